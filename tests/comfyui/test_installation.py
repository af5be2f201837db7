"""Which ComfyUI the tests run on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from comfyui_server import NoComfyUIError, working_installation


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is taken for ComfyUI."""
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    monkeypatch.setenv("COMFYUI_PYTHON", sys.executable)
    return tmp_path


def test_one_that_cannot_start_by_itself_is_none(checkout: Path) -> None:
    (checkout / "main.py").write_text("import no_such_requirement")
    with pytest.raises(NoComfyUIError, match=r"not start by itself .*no_such_requirement"):
        working_installation.__wrapped__()


def test_one_that_starts_is_taken(checkout: Path) -> None:
    (checkout / "main.py").write_text("import sys; assert '--quick-test-for-ci' in sys.argv")
    assert working_installation.__wrapped__().folder == checkout
