"""Imports between packages and modules: the contracts of pyproject.toml, and who may be loose."""

from __future__ import annotations

import os
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
