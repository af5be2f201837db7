"""Imports between packages and modules: the contracts of pyproject.toml, and who may be loose."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MOST_LOOSE_MODULES = 5


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    """The contracts, held against the packages of a folder under their installed names."""
    code = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports())"
    path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The packages under the names that pip gives them, without assets."""
    for name, folder in (("magicface_core", "magicface_core"), ("magicface_training", "training")):
        ignored = shutil.ignore_patterns("assets", "configs", "__pycache__")
        shutil.copytree(ROOT / folder, tmp_path / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def test_imports_run_one_way(installed: Path) -> None:
    found = lint_imports(installed)
    assert found.returncode == 0, found.stdout


def test_a_circle_is_found(installed: Path) -> None:
    """The check above can fail."""
    with (installed / "magicface_core" / "pictures" / "images.py").open("a") as file:
        file.write("\nfrom ..editing import sampling  # noqa\n")
    found = lint_imports(installed)
    assert found.returncode == 1
    assert "pictures" in found.stdout


def test_few_modules_are_loose() -> None:
    """Everything else has a room."""
    loose = [p.name for p in (ROOT / "magicface_core").glob("*.py") if p.name != "__init__.py"]
    assert len(loose) <= MOST_LOOSE_MODULES, loose


# --- one way to write -----------------------------------------------------------------------------

BY_ITSELF = {"write_text", "write_bytes", "save_file", "imwrite", "mkstemp", "NamedTemporaryFile"}
BUFFERS = {"unfinished", "buffer", "file", "stream"}  # of whole_file, or in memory
OWN_WAYS = {
    "magicface_core/files.py": "the one writer",
    "magicface_core/downloads/unfinished.py": "a part that stays, to be continued",
    "magicface_core/perception/libreface_package.py": "what that package reads, and goes at once",
    "training/trackers.py": "a line at the end of a log",
    "training/folders.py": "a folder gets its name",
    "training/export.py": "a folder gets its name",
    "training/state.py": "a folder gets its name",
    "training/shards/prepare.py": "the contents of a folder get their places",
    "benchmarks/full_size.py": "a switch of Linux below /proc",
    "benchmarks/preparation_speed.py": "a clip in a folder that goes",
}


def writes(call: ast.Call) -> bool:
    """Whether a call makes, fills or renames a file without ``whole_file``."""
    method = isinstance(call.func, ast.Attribute)
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    owner = getattr(getattr(call.func, "value", None), "id", "")
    given = [getattr(value, "id", getattr(value, "value", None)) for value in call.args]
    if name in ("rename", "replace"):
        return owner == "os" or (method and len(given) == 1 and not call.keywords)
    if name == "save":
        return method and owner != "torch" and given[0] not in BUFFERS
    if name == "open":
        mode = re.compile("[rwxabt+]*[wxa+][rwxabt+]*")
        return owner not in BUFFERS and any(mode.fullmatch(str(value)) for value in given)
    return name in BY_ITSELF and owner not in BUFFERS


def test_every_file_is_written_by_whole_file() -> None:
    found = set()
    for room in ("magicface_core", "nodes", "training", "scripts", "benchmarks"):
        for path in (ROOT / room).rglob("*.py"):
            nodes = ast.walk(ast.parse(path.read_text("utf-8")))
            if any(writes(node) for node in nodes if isinstance(node, ast.Call)):
                found.add(path.relative_to(ROOT).as_posix())
    assert found == set(OWN_WAYS)
