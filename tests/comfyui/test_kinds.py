"""Checkpoints with other ways of identity and AUs inside ComfyUI: see kinds_checks.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_checks import names_of_checks, run_checks
from comfyui_server import Installation

SCRIPT = Path(__file__).with_name("kinds_checks.py")


@pytest.fixture(scope="module")
def outcome(installation: Installation) -> dict[str, str]:
    return run_checks(installation, SCRIPT)


@pytest.mark.parametrize("name", names_of_checks(SCRIPT))
def test_kinds(outcome: dict[str, str], name: str) -> None:
    assert not outcome[name], outcome[name]
