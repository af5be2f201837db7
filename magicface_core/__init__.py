"""Edit a portrait's facial expression by the twelve action units of MagicFace.

The names below are imported on first use, so that `import magicface_core` stays light.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .aus import AUDelta, AUVector
    from .editing.magicface import MagicFace
    from .editing.results import EditResult
    from .editing.settings import Settings
    from .errors import MagicFaceError

__version__ = "0.3.0"

_HOMES = {
    "AUDelta": ".aus",
    "AUVector": ".aus",
    "EditResult": ".editing.results",
    "MagicFace": ".editing.magicface",
    "MagicFaceError": ".errors",
    "Settings": ".editing.settings",
}

__all__ = [
    "AUDelta",
    "AUVector",
    "EditResult",
    "MagicFace",
    "MagicFaceError",
    "Settings",
    "__version__",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name], __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
