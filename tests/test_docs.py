"""Help pages of the nodes: one in each language, about every input, with pictures that exist.

The frontend asks for web/docs/<node>/<language>.md, then for web/docs/<node>.md, and resolves the
links of pictures from web/docs, whichever of the two it found.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "web" / "docs"
PICTURES = DOCS / "images"
LANGUAGES = ("en", "zh", "ja")
SCHEMAS: dict[str, Any] = json.loads(
    (ROOT / "tests" / "comfyui" / "schemas.json").read_text(encoding="utf-8")
)
NODES = sorted(SCHEMAS)
MOST_BYTES = 60_000
WIDEST = 800
PAGES = [(node, language) for node in NODES for language in LANGUAGES]

Json = dict[str, Any]


def page(node: str, language: str) -> str:
    return (DOCS / node / f"{language}.md").read_text(encoding="utf-8")


def texts(node: str, language: str) -> Json:
    path = ROOT / "locales" / language / "nodeDefs.json"
    return json.loads(path.read_text(encoding="utf-8"))[node]  # type: ignore[no-any-return]


def entries(text: str) -> list[tuple[str, str]]:
    """(name, rest of the line) of everything that a page lists under Inputs and Outputs."""
    sections = text.split("\n## ")[1:-2]  # the last two are about wiring and errors
    return re.findall(r"^- \*\*(.+?)\*\*(.*)$", "\n".join(sections), re.MULTILINE)


def pictures(text: str) -> list[tuple[str, str]]:
    """(alternative text, link) of every picture."""
    return re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", text)


def limits(entry: Json) -> list[str]:
    """The numbers of an input as a page writes them."""
    if "min" not in entry or entry["max"] > 1e9:
        return []
    return [f"{entry[key]:g}" for key in ("min", "max", "default")]


def test_there_are_pages_for_all_nodes_and_no_others() -> None:
    assert {path.name for path in DOCS.iterdir() if path.is_dir()} == {*NODES, PICTURES.name}
    assert {path.name for path in DOCS.glob("*.md")} == {f"{node}.md" for node in NODES}
    for node in NODES:
        names = {path.name for path in (DOCS / node).iterdir()}
        assert names == {f"{language}.md" for language in LANGUAGES}, node


@pytest.mark.parametrize("node", NODES)
def test_other_languages_get_the_english_page(node: str) -> None:
    assert (DOCS / f"{node}.md").read_text(encoding="utf-8") == page(node, "en")


@pytest.mark.parametrize(("node", "language"), PAGES)
def test_page_lists_every_input_and_output(node: str, language: str) -> None:
    text, words = page(node, language), texts(node, language)
    assert text.startswith(f"# {words['display_name']}\n")
    inputs = [words["inputs"][entry["name"]]["name"] for entry in SCHEMAS[node]["inputs"]]
    outputs = [entry["name"] for entry in words.get("outputs", {}).values()]
    assert [name for name, _ in entries(text)] == inputs + outputs


@pytest.mark.parametrize(("node", "language"), PAGES)
def test_page_gives_ranges_choices_and_types(node: str, language: str) -> None:
    inputs = SCHEMAS[node]["inputs"]
    for entry, (_, line) in zip(inputs, entries(page(node, language)), strict=False):
        assert all(number in line for number in limits(entry)), f"{entry['name']}: {line}"
        if len(entry.get("options", ())) < 12:
            assert all(f"`{choice}`" in line for choice in entry.get("options", ())), line
        if entry["type"] not in {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}:
            assert entry["type"] in line, line


@pytest.mark.parametrize(("node", "language"), PAGES)
def test_bold_words_of_the_text_are_names_in_the_interface(node: str, language: str) -> None:
    """What a page calls an input must be what the reader sees on a node."""
    every = {
        entry["name"]
        for other in NODES
        for kind in ("inputs", "outputs")
        for entry in texts(other, language).get(kind, {}).values()
    }
    running = "\n".join(
        re.sub(r"^- \*\*.+?\*\*", "-", line)  # of the last part: what has gone wrong
        for line in page(node, language).splitlines()
    )
    assert [word for word in re.findall(r"\*\*(.+?)\*\*", running) if word not in every] == []


@pytest.mark.parametrize(("node", "language"), PAGES)
def test_pages_have_the_same_parts_in_all_languages(node: str, language: str) -> None:
    def shape(text: str) -> tuple[int, ...]:
        marks = (r"^## ", r"^- ", r"^\d\. ", r"^```")
        return tuple(len(re.findall(mark, text, re.MULTILINE)) for mark in marks)

    text = page(node, language)
    assert shape(text) == shape(page(node, "en"))
    assert [link for _, link in pictures(text)] == [link for _, link in pictures(page(node, "en"))]


@pytest.mark.parametrize(("node", "language"), PAGES)
def test_pictures_resolve(node: str, language: str) -> None:
    for words, link in pictures(page(node, language)):
        assert words and link.startswith("images/"), link
        assert (DOCS / link).is_file(), link


def test_pictures_are_small_and_all_of_them_are_used() -> None:
    used = {link for node in NODES for _, link in pictures(page(node, "en"))}
    assert {f"images/{path.name}" for path in PICTURES.iterdir()} == used
    for path in PICTURES.iterdir():
        assert path.stat().st_size <= MOST_BYTES, path.name
        with Image.open(path) as picture:
            assert picture.width <= WIDEST, path.name


def test_pages_are_not_left_out_of_the_package() -> None:
    """A pattern without a leading slash drops folders of that name at any depth."""
    patterns = (ROOT / ".comfyignore").read_text(encoding="utf-8").split()
    anywhere = {pattern.strip("/") for pattern in patterns if not pattern.startswith("/")}
    assert not anywhere & {"web", "docs", "images", "locales", *LANGUAGES, *NODES}


@pytest.mark.parametrize("language", LANGUAGES)
def test_limits_of_mini_are_told(language: str) -> None:
    assert "128 x 128" in page("MagicFace_LoadModel", language)
    assert "128 x 128" in page("MagicFace_Sampler", language)
    assert "huggingface.co/mengtingwei/magicface" in page("MagicFace_LoadModel", language)
