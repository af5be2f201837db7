"""Entry point: help, usage errors, exit codes, interruption, speed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from magicface_core import MagicFaceError, __version__
from magicface_core.cli import COMMANDS, Command, build_parser


def test_help_names_every_command(magicface: Callable) -> None:
    outcome = magicface("--help")
    assert outcome.code == 0
    for command in COMMANDS:
        assert f" {command.name} " in outcome.out
        assert command.help.split()[0] in outcome.out


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_every_command_explains_its_options(magicface: Callable, command: Command) -> None:
    outcome = magicface(command.name, "--help")
    assert outcome.code == 0
    assert command.help.split()[0] in outcome.out
    assert "--verbose" in outcome.out


def test_version(magicface: Callable) -> None:
    assert magicface("--version").out == f"magicface {__version__}\n"


EDIT = ("edit", "photo.png", "--au", "AU12=1", "-o", "out.png")


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        ((), "required"),
        (("smile",), "invalid choice"),
        (("edit",), "PHOTO, --au, -o/--output"),
        ((*EDIT, "--seed", "-1"), "--seed: -1 is below 0"),
        ((*EDIT, "--steps", "0"), "--steps: 0 is below 1"),
        ((*EDIT, "--steps", "many"), "--steps: invalid whole_number value"),
        ((*EDIT, "--guidance", "nan"), "--guidance: nan"),
        ((*EDIT, "--face", "x"), "--face"),
        ((*EDIT, "--region", "hair"), "--region"),
        ((*EDIT, "--dtype", "int8"), "--dtype"),
        (("pose", "photo.png", "-o", "out.png", "--size", "9"), "--size: 9 is outside"),
    ],
)
def test_wrong_usage_is_explained(
    magicface: Callable, words: tuple[str, ...], fragment: str
) -> None:
    outcome = magicface(*words)
    assert outcome.code == 2
    assert fragment in outcome.error_line
    assert outcome.out == ""


def failing(error: BaseException) -> SimpleNamespace:
    def run(_: object) -> int:
        raise error

    return SimpleNamespace(add_arguments=lambda parser: None, run=run)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (MagicFaceError("two\n  lines"), 2, "magicface: two lines\n"),
        (KeyboardInterrupt(), 130, "magicface: interrupted\n"),
    ],
)
def test_exit_codes(
    magicface: Callable,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    code: int,
    text: str,
) -> None:
    monkeypatch.setattr(Command, "load", lambda self: failing(error))
    outcome = magicface("doctor")
    assert outcome == (code, "", text)


def test_a_bug_keeps_its_traceback(magicface: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Command, "load", lambda self: failing(ZeroDivisionError("bug")))
    with pytest.raises(ZeroDivisionError):
        magicface("doctor")


def test_verbose_may_stand_before_or_after_the_command() -> None:
    for words in (["-v", "doctor"], ["doctor", "-v"]):
        assert build_parser(words).parse_args(words).verbose == 1


def test_help_is_fast_and_imports_nothing_heavy() -> None:
    script = (
        "import sys, time; from magicface_core.cli import main; main(['--help']); "
        "heavy = {'torch', 'numpy', 'PIL', 'diffusers'} & set(sys.modules); "
        "print(len(heavy), time.process_time(), file=sys.stderr)"
    )
    words = [sys.executable, "-c", script]
    finished = subprocess.run(words, capture_output=True, text=True, check=True)
    heavy, seconds = finished.stderr.split()
    assert int(heavy) == 0
    assert float(seconds) < 1.0, "processor time, so that a busy machine makes no difference"


def test_module_can_be_run(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "magicface_core.cli", "pose", "absent.png", "-o", "o.png"]
    finished = subprocess.run(words, capture_output=True, text=True, check=False)
    assert finished.returncode == 2
    assert finished.stderr == 'magicface: "absent.png" does not exist.\n'
