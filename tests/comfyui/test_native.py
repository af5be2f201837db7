"""The native MODEL inside ComfyUI, without a server: see native_checks.py and its neighbour."""

from __future__ import annotations

from pathlib import Path

import pytest
from comfyui_checks import names_of_checks, run_checks
from comfyui_server import Installation

SCRIPTS = [
    Path(__file__).with_name(name) for name in ("native_checks.py", "native_limits_checks.py")
]


@pytest.fixture(scope="module")
def outcome(installation: Installation) -> dict[str, str]:
    """What each check said."""
    return {name: said for path in SCRIPTS for name, said in run_checks(installation, path).items()}


@pytest.mark.parametrize("name", [name for path in SCRIPTS for name in names_of_checks(path)])
def test_native(outcome: dict[str, str], name: str) -> None:
    assert not outcome[name], outcome[name]
