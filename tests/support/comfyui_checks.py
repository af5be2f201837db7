"""Runs the `check_...` functions of a file inside ComfyUI's own Python, with the pack imported.

As a module, `run_checks` starts that Python and returns what each function said; as a script, run
there, this file imports ComfyUI without a server, and the pack as the package `magicface_pack`.
"""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfyui_server import Installation

ROOT = Path(__file__).resolve().parents[2]
PACK = "magicface_pack"
SECONDS = 300


def names_of_checks(script: Path) -> list[str]:
    """The check functions of a file, without importing it."""
    return re.findall(r"^def (check_\w+)", script.read_text(encoding="utf-8"), re.MULTILINE)


def run_checks(installation: Installation, script: Path) -> dict[str, str]:
    """What went wrong in each check function: a traceback, or nothing."""
    with tempfile.TemporaryDirectory() as base:
        done = subprocess.run(
            [installation.python, "-B", __file__, str(script), base, str(installation.folder)],
            cwd=base,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    outcome: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return outcome


def _start_comfyui(folder: Path, base: Path) -> None:
    """Import ComfyUI as its main.py does: for the CPU, with data folders of its own."""
    sys.path.insert(0, str(folder))
    sys.argv = ["main.py", "--cpu", "--base-directory", str(base)]
    import comfy.options

    comfy.options.enable_args_parsing()


def _import_pack() -> None:
    spec = importlib.util.spec_from_file_location(PACK, ROOT / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    sys.modules[PACK] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[PACK])


def _load(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _outcome(module: ModuleType, name: str, folder: Path) -> str:
    folder.mkdir(parents=True)
    try:
        getattr(module, name)(folder)
    except Exception:  # noqa: BLE001 - the traceback is the answer
        return traceback.format_exc()
    return ""


def _main(script: Path, base: Path, folder: Path) -> None:
    _start_comfyui(folder, base)
    _import_pack()
    module = _load(script)
    outcome = {
        name: _outcome(module, name, base / "checks" / name) for name in names_of_checks(script)
    }
    sys.stdout.write("\n" + json.dumps(outcome) + "\n")


if __name__ == "__main__":
    _main(*(Path(argument).resolve() for argument in sys.argv[1:]))
