"""Translations of the nodes: complete, without leftovers, and in a form that ComfyUI can show.

The keys are compared with the snapshot of the nodes' schemas, so that no ComfyUI is needed; that
the English texts are those of the schemas is tested against a server, in tests/comfyui.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from magicface_core.aus import ACTION_UNITS

ROOT = Path(__file__).resolve().parent.parent
LANGUAGES = ("en", "zh", "ja")
FILES = ("main.json", "nodeDefs.json")
SCHEMAS = ROOT / "tests" / "comfyui" / "schemas.json"
NATIVE = {"zh": re.compile(r"[\u4e00-\u9fff]"), "ja": re.compile(r"[\u3040-\u30ff\u4e00-\u9fff]")}
SAME_EVERYWHERE = {"MagicFace", "VAE", "CLIP", "Latent"}  # proper names
MESSAGE_SYNTAX = re.compile(r"[{}|@]")  # a template, a plural and a link in vue-i18n

Json = dict[str, Any]


def read(language: str, name: str) -> Json:
    text = (ROOT / "locales" / language / name).read_text(encoding="utf-8")
    return json.loads(text)  # type: ignore[no-any-return]


def schemas() -> dict[str, Json]:
    return json.loads(SCHEMAS.read_text(encoding="utf-8"))  # type: ignore[no-any-return]


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text of a file by its path."""
    if isinstance(value, str):
        yield path, value
        return
    for key, part in value.items():
        yield from texts(part, f"{path}.{key}" if path else key)


def expected_keys(schema: Json) -> set[str]:
    names = [entry["name"] for entry in schema["inputs"]]
    wanted = {"display_name", "description"}
    wanted |= {f"inputs.{name}.{key}" for name in names for key in ("name", "tooltip")}
    places = range(len(schema["outputs"]))
    return wanted | {f"outputs.{place}.{key}" for place in places for key in ("name", "tooltip")}


def test_languages() -> None:
    folders = {path.name for path in (ROOT / "locales").iterdir() if path.is_dir()}
    assert folders == set(LANGUAGES)
    for language in LANGUAGES:
        names = {path.name for path in (ROOT / "locales" / language).iterdir()}
        assert names == set(FILES), language


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_key_is_missing_and_none_is_stale(language: str) -> None:
    translated = read(language, "nodeDefs.json")
    assert set(translated) == set(schemas())
    for node, schema in schemas().items():
        found = {path for path, _ in texts(translated[node])}
        wanted = expected_keys(schema)
        assert found == wanted, f"{node}: {sorted(found ^ wanted)}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_categories(language: str) -> None:
    sources = [path.read_text(encoding="utf-8") for path in (ROOT / "nodes").glob("*.py")]
    categories = re.findall(r'category="([^"]+)"', "\n".join(sources))
    wanted = {part for category in categories for part in category.split("/")}
    assert wanted
    assert set(read(language, "main.json")) == {"nodeCategories"}
    assert set(read(language, "main.json")["nodeCategories"]) == wanted


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", FILES)
def test_texts_are_plain(language: str, name: str) -> None:
    for path, text in texts(read(language, name)):
        assert text == text.strip() and text, path
        assert not MESSAGE_SYNTAX.search(text), f"{path}: {text}"
        assert "\ufffd" not in text, path


@pytest.mark.parametrize("language", sorted(NATIVE))
@pytest.mark.parametrize("name", FILES)
def test_everything_is_translated(language: str, name: str) -> None:
    english = dict(texts(read("en", name)))
    for path, text in texts(read(language, name)):
        if text not in SAME_EVERYWHERE:
            assert text != english[path] and NATIVE[language].search(text), f"{path}: {text}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_numbers_and_codes_agree_with_the_english_text(language: str) -> None:
    """A range, file or action unit that one language gets wrong would mislead only its readers."""
    marks = re.compile(r"\bAU\d+|(?<![A-Za-z])-?\d+(?:\.\d+)?|models/\w+|(?:in|out)put/\w+|JSON")
    english = dict(texts(read("en", "nodeDefs.json")))
    for path, text in texts(read(language, "nodeDefs.json")):
        if path.endswith("tooltip"):
            wanted = set(marks.findall(english[path]))
            assert wanted <= set(marks.findall(text)), f"{path}: {text}"


@pytest.mark.parametrize("language", LANGUAGES)
def test_sliders_begin_with_their_code(language: str) -> None:
    inputs = read(language, "nodeDefs.json")["MagicFace_AUDeltaBuilder"]["inputs"]
    names = [inputs[unit.code]["name"] for unit in ACTION_UNITS]
    assert [name.split(" ", 1)[0] for name in names] == [unit.code for unit in ACTION_UNITS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("language", LANGUAGES)
def test_names_within_a_node_differ(language: str) -> None:
    for node, entry in read(language, "nodeDefs.json").items():
        for kind in ("inputs", "outputs"):
            names = [value["name"] for value in entry.get(kind, {}).values()]
            assert len(set(names)) == len(names), f"{node}.{kind}"
