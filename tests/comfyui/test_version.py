"""ComfyUI's door: what it offers to new, old and absent ComfyUIs; a ComfyUI is not needed."""

from __future__ import annotations

import importlib.util
import inspect
import logging
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


def open_door(monkeypatch: pytest.MonkeyPatch, version: str | None) -> ModuleType:
    """The root package as a ComfyUI of this version imports it; None is no ComfyUI."""
    known = ModuleType("comfyui_version")
    known.__dict__["__version__"] = version
    # None in sys.modules makes an import fail, as it does where there is no such module.
    monkeypatch.setitem(sys.modules, "comfyui_version", known if version else None)
    spec = importlib.util.spec_from_file_location("pack_door", ROOT / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    door = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(door)
    return door


@pytest.mark.parametrize("version", [None, "0.15.0", "0.15.1", "0.33.0", "1.0", "0.15.0+fork.2"])
def test_offers_its_nodes_and_says_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, version: str | None
) -> None:
    door = open_door(monkeypatch, version)
    assert inspect.iscoroutinefunction(door.comfy_entrypoint)
    assert not hasattr(door, "NODE_CLASS_MAPPINGS")  # ComfyUI would prefer it
    assert door.WEB_DIRECTORY == "./web"
    assert caplog.records == []


@pytest.mark.parametrize("version", ["0.14.2", "0.3.64", "0.9", "0.14.99-rc1"])
def test_too_old_a_comfyui_gets_one_line_and_no_nodes(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, version: str
) -> None:
    door = open_door(monkeypatch, version)
    assert door.NODE_CLASS_MAPPINGS == {}
    assert not hasattr(door, "comfy_entrypoint")
    assert door.WEB_DIRECTORY is None
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    for part in (f"needs ComfyUI {door.MINIMUM_COMFYUI}", f"this is {version}", "update ComfyUI"):
        assert part in record.getMessage()


def test_the_least_version_is_the_declared_one(monkeypatch: pytest.MonkeyPatch) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    least = open_door(monkeypatch, None).MINIMUM_COMFYUI
    assert project["tool"]["comfy"]["requires-comfyui"] == f">={least}"


def test_the_web_folder_exists_and_is_named_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Naming it in pyproject.toml as well would load every script twice."""
    door = open_door(monkeypatch, None)
    assert (ROOT / door.WEB_DIRECTORY).is_dir()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "web" not in project["tool"]["comfy"]
