"""Named expressions (happy, sad, ...) as AU changes, read from `assets/presets.json`.

They follow the prototypes of the EMFACS tables (P. Ekman, W. V. Friesen) as far as the twelve AUs
of MagicFace reach; the file says what they cannot reach. They are starting points for an edit,
never a reading of what a person feels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from typing import Any

from ..aus import AUDelta

NEUTRALISE = "neutralise"
"""The preset without AUs of its own: it takes back what a face shows."""


@dataclass(frozen=True)
class Preset:
    """A named starting point, at strength 1, with what the twelve AUs leave out."""

    name: str
    delta: AUDelta
    description: str
    missing: str


def load_presets() -> dict[str, Preset]:
    """The named expressions with AUs of their own, in the order of the file."""
    return {
        name: Preset(name, AUDelta(**entry["aus"]), entry["description"], entry["missing"])
        for name, entry in _read()["presets"].items()
        if "aus" in entry
    }


def preset_names() -> tuple[str, ...]:
    """All names of the file in its order, `NEUTRALISE` among them."""
    return tuple(_read()["presets"])


def inexpressible() -> tuple[str, ...]:
    """What no combination of the twelve AUs can show, one plain sentence each."""
    return tuple(_read()["cannot_express"])


def _read() -> dict[str, Any]:
    text = (
        resources.files("magicface_core")
        .joinpath("assets/presets.json")
        .read_text(encoding="utf-8")
    )
    content: dict[str, Any] = json.loads(text)
    return content
