"""``magicface evaluate``: measures a checkpoint and writes its numbers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from magicface_core.cli.options import (
    add_backends,
    add_sampling,
    at_least,
    load_model,
    not_negative,
)
from magicface_core.errors import MagicFaceError
from magicface_core.network.precision import DTYPES

if TYPE_CHECKING:
    from .editor import CheckpointEditor

SYNTHETIC = "synthetic"
PROTOCOLS = ("paper", "quick", "single-au")
PHOTOGRAPHS = ("smiles", "wild")
RUN_OPTIONS = ("pictures", "compare")
SWEPT = f"--protocol {SYNTHETIC} --guidance-sweep"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the sub-command's arguments."""
    parser.add_argument(
        "model",
        metavar="CHECKPOINT",
        nargs="?",
        help='checkpoint folder or file, "mini", the embedded one, or "official"; not with --from',
    )
    parser.add_argument(
        "--protocol",
        choices=[SYNTHETIC, *PROTOCOLS, *PHOTOGRAPHS],
        default=SYNTHETIC,
        help="synthetic: rendered test identities with exact answers (default); paper: 12 AUs at "
        "5 strengths and 387 combinations for each identity; single-au: without combinations; "
        "quick: 30 edits for each of 8 identities; smiles: photographs NAME_neutral, NAME_smiling "
        "against each other; wild: single photographs, every AU and the named expressions",
    )
    parser.add_argument(
        "--identities",
        type=at_least(1),
        help="how many (default: all pictures; of rendered ones synthetic 40, with --check "
        "100, paper and single-au 20, quick 8)",
    )
    parser.add_argument(
        "--seed-start",
        type=int,
        default=0,
        help="first identity seed: 0 to 9999 test, 10000 to 19999 validation (default 0)",
    )
    parser.add_argument("--vae", type=Path, metavar="PATH", help="as in magicface edit")
    parser.add_argument("--device", help="cpu, cuda or mps (default: the best there is)")
    parser.add_argument("--dtype", choices=DTYPES, help="default: what suits the device")
    parser.add_argument(
        "--batch", type=at_least(1), default=16, help="edits sampled together (default 16)"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="RUN",
        help="folder for rows and report; one that is there is resumed (all protocols but "
        "synthetic need it)",
    )
    parser.add_argument(
        "--workers",
        type=at_least(0),
        default=0,
        help="processes: of protocol synthetic each edits and measures, of the others they measure "
        "while the model edits (default 0: none, take turns)",
    )
    add_sampling(parser)
    parser.add_argument(
        "--guidance-sweep",
        type=not_negative,
        nargs="+",
        metavar="ALPHA",
        help="a run for each guidance, and the curve over them; of protocol synthetic the single "
        "AUs at +4 of 8 identities, each rendered once (needs --json)",
    )
    _add_synthetic(parser.add_argument_group("protocol synthetic"))
    _add_run(parser.add_argument_group("protocols paper, quick and single-au"))
    add_backends(parser, "parser", "au_estimator")


def _add_synthetic(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--json",
        type=Path,
        help="where the numbers go (or --out, or --check); of protocols smiles and wild, too",
    )
    group.add_argument(
        "--check",
        action="store_true",
        help="also judge by the acceptance criteria; the exit code is 1 if one fails",
    )
    group.add_argument(
        "--sheet",
        type=Path,
        help="also a contact sheet of the first identities; of protocol wild, of all of them",
    )
    group.add_argument(
        "--allow-train", action="store_true", help="permit seeds that were trained on"
    )


def _add_run(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--pictures",
        type=Path,
        metavar="FOLDER",
        help="whose faces to edit, largest of each picture (default: rendered test identities); "
        "also of smiles and wild",
    )
    group.add_argument(
        "--measure",
        choices=["crop", "pasted"],
        default="crop",
        help="the model's own picture, as published (default), or the pasted result",
    )
    group.add_argument(
        "--identity",
        default="auto",
        metavar="NAME",
        help="what tells identities apart: auto, embedded or dlib (default: auto, dlib if it is "
        "installed)",
    )
    group.add_argument(
        "--from",
        dest="rows",
        type=Path,
        metavar="RUN",
        help="only write the report of a run's (or sweep's) rows again; needs no model and no GPU",
    )
    group.add_argument(
        "--compare",
        type=Path,
        metavar="RUN",
        help="with --from: how its run differs from this one, edit by edit",
    )


def run(args: argparse.Namespace) -> int:
    """Runs the protocol, prints its table and writes the numbers; returns the exit code.

    It is 0, or 1 where --check was given and a criterion fails.

    Raises:
        MagicFaceError: arguments, checkpoint or output paths that cannot work, before any work.
    """
    _check_mode(args)
    if args.rows is None and args.protocol in PHOTOGRAPHS:
        from .photographs.command import evaluate_photographs

        print(evaluate_photographs(args, _load_editor))
        return 0
    if args.rows is None and args.protocol == SYNTHETIC:
        if args.guidance_sweep:
            from .exact.sweep import evaluate_sweep

            print(evaluate_sweep(args, _load_editor))
            return 0
        from .exact.command import evaluate_synthetic

        text, code = evaluate_synthetic(args, _load_editor)
        print(text)
        return code
    from .published.run_command import evaluate, report_rows

    print(report_rows(args) if args.rows is not None else evaluate(args, _load_editor))
    return 0


def _check_mode(args: argparse.Namespace) -> None:
    """Raise MagicFaceError for options that do not belong together."""
    if args.rows is not None:
        misplaced = [
            name for name in ("model", "out", "pictures", "json", "check") if _given(args, name)
        ]
        mode = "--from"
    elif args.protocol == SYNTHETIC:
        refused = (*RUN_OPTIONS, "out", "check", "sheet") if args.guidance_sweep else RUN_OPTIONS
        misplaced = [name for name in refused if _given(args, name)]
        mode = SWEPT if args.guidance_sweep else f"--protocol {SYNTHETIC}"
    elif args.protocol in PHOTOGRAPHS:
        foreign = ["out", "check", "compare", "workers", "guidance_sweep"]
        foreign += ["sheet"] if args.protocol == "smiles" else []
        misplaced = [name for name in foreign if getattr(args, name)]
        mode = f"--protocol {args.protocol}"
    else:
        misplaced = [name for name in ("json", "sheet", "check", "compare") if _given(args, name)]
        mode = f"--protocol {args.protocol}"
    if misplaced:
        names = ", ".join(_written(name) for name in misplaced)
        raise MagicFaceError(f"{names} cannot be used with {mode}; leave it out.")
    if args.rows is None:
        synthetic = args.protocol == SYNTHETIC
        outputs = ("json", "out", "check") if synthetic else ("out",)
        outputs = ("json",) if args.protocol in PHOTOGRAPHS else outputs
        outputs = outputs[:1] if args.guidance_sweep else outputs
        missing = [] if _given(args, "model") else ["model"]
        if not any(_given(args, name) for name in outputs):
            missing.append(outputs[0])
        if missing:
            names = " and ".join(_written(name) for name in missing)
            raise MagicFaceError(f"{mode} needs {names}; see magicface evaluate --help.")
    if args.guidance is not None and args.guidance_sweep:
        raise MagicFaceError("--guidance and --guidance-sweep exclude each other.")


def _given(args: argparse.Namespace, name: str) -> bool:
    return getattr(args, name) not in (None, False)


def _written(name: str) -> str:
    """An option as it is typed."""
    return "CHECKPOINT" if name == "model" else f"--{name.replace('_', '-')}"


def _load_editor(args: argparse.Namespace) -> CheckpointEditor:
    from .editor import CheckpointEditor

    return CheckpointEditor(
        load_model(args).checkpoint,
        steps=args.steps,
        guidance=args.guidance,
        scheduler=args.scheduler,
        seed=args.seed,
        batch=args.batch,
    )
