"""ComfyUI's door to MagicFace.

ComfyUI imports this folder as a package and asks `comfy_entrypoint` for the nodes. Everything they
do lives in `magicface_core`, which works without ComfyUI: outside of it this file imports nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .nodes import MagicFaceExtension

MINIMUM_COMFYUI = "0.15.0"
WEB_DIRECTORY: str | None = "./web"


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: "0.15.1" -> (0, 15, 1)."""
    parts = version.split("+")[0].split("-")[0].split(".")
    return tuple(int(part) for part in parts if part.isdecimal())


def too_old(found: str) -> bool:
    """Whether a ComfyUI of this version lacks what the nodes need."""
    return _numbers(found) < _numbers(MINIMUM_COMFYUI)


async def comfy_entrypoint() -> MagicFaceExtension:
    """What ComfyUI asks for when it loads the pack."""
    from .nodes import MagicFaceExtension

    return MagicFaceExtension()


try:
    from comfyui_version import __version__ as _found
except ModuleNotFoundError:  # outside ComfyUI: tests and tools
    _found = MINIMUM_COMFYUI

if too_old(_found):
    logging.getLogger(__name__).error(
        "MagicFace needs ComfyUI %s or newer, this is %s: update ComfyUI. "
        "The MagicFace nodes are not loaded.",
        MINIMUM_COMFYUI,
        _found,
    )
    # An empty pack in the form that every ComfyUI understands.
    NODE_CLASS_MAPPINGS: dict[str, type] = {}
    WEB_DIRECTORY = None
    del comfy_entrypoint
