"""What web/ gives to the browser, read as files."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
WEB = ROOT / "web"
SCRIPTS = sorted([*WEB.glob("*.js"), *WEB.glob("*.mjs")])
IMPORT = re.compile(r'from "([^"]+)"')


def version() -> str:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return str(tomllib.loads(text)["project"]["version"])


def test_presets_are_those_of_the_library() -> None:
    """To renew them: cp magicface_core/assets/presets.json web/presets.json"""
    library = ROOT / "magicface_core" / "assets" / "presets.json"
    assert (WEB / "presets.json").read_bytes() == library.read_bytes()


def test_comfyui_imports_only_what_registers_an_extension() -> None:
    """It imports every *.js below web/ on its own; what those share must be *.mjs."""
    for script in WEB.rglob("*.js"):
        assert "registerExtension" in script.read_text(encoding="utf-8"), script


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_imports_lead_to_this_version_of_a_file(script: Path) -> None:
    """Browsers may keep *.mjs for days: after an update an old one must not meet a new script."""
    for target in IMPORT.findall(script.read_text(encoding="utf-8")):
        if target.startswith("../../scripts/"):
            continue
        name, _, query = target.partition("?")
        assert (script.parent / name).is_file(), target
        assert query == f"v={version()}", f"{script.name} imports {target}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_keep_to_themselves(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 300
    assert max(map(len, text.splitlines())) <= 110
    left_over = "TO" + "DO"
    banned_words = (r"\beval\(", r"new Function", r"\.prototype\b", r"\bdocument\.write", left_over)
    for banned in banned_words:
        assert not re.search(banned, text), banned
    assert not re.search(r"\b(window|globalThis|self)(\.\w+)+\s*[-+|&?]*=[^=]", text)
    assert set(re.findall(r"https?://[^\s\"'`]+", text)) <= {"http://www.w3.org/2000/svg"}
    for name in re.findall(r'registerExtension\(\{\s*name: "([^"]+)"', text):
        assert name.startswith("MagicFace.")
