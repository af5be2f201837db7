"""Translations and help pages as the server gives them to the frontend."""

from __future__ import annotations

import json
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from comfyui_client import Client
from comfyui_server import Server

ROOT = Path(__file__).resolve().parents[2]
PACK = "ComfyUI-MagicFace"
LANGUAGES = ("en", "zh", "ja")
WIDGETS = {"COMBO", "INT", "FLOAT", "STRING", "BOOLEAN"}
SOCKET_LABELS = {
    "face_image": "face",
    "bounding_box": "bounding box",
    "source_aus": "source AUs",
    "target_aus": "target AUs",
}


def fetch(server: Server, path: str) -> tuple[str, bytes]:
    """Content type and content of a page."""
    with urllib.request.urlopen(f"http://{server.address}{path}") as answer:
        return answer.headers["Content-Type"], answer.read()


def ours(client: Client) -> dict[str, dict[str, Any]]:
    return {
        name: schema for name, schema in client.schemas.items() if name.startswith("MagicFace_")
    }


def english(schema: dict[str, Any]) -> dict[str, Any]:
    """The texts of a schema in the form of locales/en/nodeDefs.json."""
    inputs: dict[str, dict[str, str]] = {}
    for section in ("required", "optional"):
        for name, (_, options) in schema["input"].get(section, {}).items():
            label = options.get("display_name") or SOCKET_LABELS.get(name, name)
            inputs[name] = {"name": label, "tooltip": options["tooltip"]}
    texts = {key: schema[key] for key in ("display_name", "description")} | {"inputs": inputs}
    outputs = zip(schema["output_name"], schema["output_tooltips"], strict=True)
    named = {str(place): {"name": n, "tooltip": t} for place, (n, t) in enumerate(outputs)}
    return texts | ({"outputs": named} if named else {})


def test_english_texts_are_those_of_the_schemas(client: Client) -> None:
    path = ROOT / "locales" / "en" / "nodeDefs.json"
    written = json.loads(path.read_text(encoding="utf-8"))
    assert written == {name: english(schema) for name, schema in ours(client).items()}


def test_sockets_have_their_labels_from_the_translations(client: Client) -> None:
    """The frontend lets a socket's display_name win over its translation, in every language."""
    named = [
        f"{node}.{name}"
        for node, schema in ours(client).items()
        for section in ("required", "optional")
        for name, (kind, options) in schema["input"].get(section, {}).items()
        if kind not in WIDGETS and "display_name" in options
    ]
    assert named == []


def test_server_merges_the_translations(server: Server, client: Client) -> None:
    _, content = fetch(server, "/i18n")
    merged = json.loads(content)
    for language in LANGUAGES:
        assert set(ours(client)) <= set(merged[language]["nodeDefs"])
        parts = {part for schema in ours(client).values() for part in schema["category"].split("/")}
        assert parts <= set(merged[language]["nodeCategories"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_help_pages_are_served(server: Server, client: Client, language: str) -> None:
    for node in ours(client):
        for page in (f"{node}/{language}.md", f"{node}.md"):
            kind, content = fetch(server, f"/extensions/{PACK}/docs/{page}")
            assert "html" not in kind, f"the frontend takes {page} for an error page"
            assert content == (ROOT / "web" / "docs" / page).read_bytes()
