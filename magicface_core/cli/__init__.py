"""The `magicface` command: one module per sub-command, imported only when it is called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType

from .. import __version__
from ..errors import MagicFaceError
from .messages import quiet_third_parties, set_up_logging

OK, FAULT, INTERRUPTED = 0, 2, 130
COMMAND_GROUP = "magicface.commands"


@dataclass(frozen=True)
class Command:
    """A sub-command: its module offers `add_arguments(parser)` and `run(args) -> int`."""

    name: str
    module: str
    help: str

    def load(self) -> ModuleType:
        return import_module(self.module, __package__)


COMMANDS: tuple[Command, ...] = (
    Command("demo", ".demo", "edit the portrait that ships with the package, as a labelled strip"),
    Command("edit", ".edit", "change the expression of a face in a photograph"),
    Command("estimate", ".estimate", "read the twelve action units of a face"),
    Command("pose", ".pose", "write the background + pose picture of a face"),
    Command("sweep", ".sweep", "one action unit over a range of strengths, as a labelled grid"),
    Command("attention", ".attention", "where the denoiser looks in an edit, as a labelled sheet"),
    Command("models", ".models", "list, fetch, check, convert and remove weights for full quality"),
    Command("doctor", ".doctor", "show versions, device, what is missing; or check a photograph"),
)


def all_commands() -> list[Command]:
    """The library's own commands, then those that other packages contribute as entry points.

    A package adds one by an entry point of group ``magicface.commands`` that names a `Command`.
    """
    from importlib.metadata import entry_points  # brings the socket module

    contributed = sorted(entry_points(group=COMMAND_GROUP), key=lambda entry: entry.name)
    return [*COMMANDS, *(entry.load() for entry in contributed)]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 (a fault to mend) or 130 (Ctrl-C).

    `doctor PHOTO` also knows 1: a photograph that an edit will not suit.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = build_parser(words).parse_args(words)
        set_up_logging(args.verbose)
        with quiet_third_parties(args.verbose):
            return int(args.run(args))
    except SystemExit as leaving:  # argparse: --help, --version, or wrong usage
        return leaving.code if isinstance(leaving.code, int) else OK
    except MagicFaceError as error:
        print(f"magicface: {' '.join(str(error).split())}", file=sys.stderr)
        return FAULT
    except KeyboardInterrupt:
        print("magicface: interrupted", file=sys.stderr)
        return INTERRUPTED


def build_parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The parser of all commands; only those named in `words` have their modules imported."""
    parser = argparse.ArgumentParser(
        prog="magicface",
        description="Edit a portrait's facial expression by action units (AUs).",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"magicface {__version__}")
    _add_verbose(parser, 0)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for command in all_commands():
        sub = commands.add_parser(
            command.name, help=command.help, description=command.help, allow_abbrev=False
        )
        _add_verbose(sub, argparse.SUPPRESS)
        if command.name in words:
            module = command.load()
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return parser


def _add_verbose(parser: argparse.ArgumentParser, default: int | str) -> None:
    parser.add_argument(
        "-v",
        "--verbose",
        action="count",
        default=default,
        help="say more on stderr; twice for debugging",
    )
