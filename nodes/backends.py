"""Backends of the perception as nodes offer them: those whose weights lie in a model folder.

Looked for in all of ComfyUI's magicface folders, then where `magicface models` puts its files.
"""

from __future__ import annotations

import folder_paths

from ..magicface_core.downloads.store import Store
from ..magicface_core.perception import backends
from .files import FOLDER


def model_stores() -> tuple[Store, ...]:
    """Where weights of backends may lie, first place first."""
    return (*(Store.open(folder) for folder in folder_paths.get_folder_paths(FOLDER)), Store.open())


def backend_choices(part: backends.Part) -> list[str]:
    """What a combo of this part should list: auto and what can be used."""
    return backends.choices(part, model_stores())


def backend_advice(part: backends.Part) -> str:
    """What auto takes now, and how to get the backends that the combo does not list."""
    return backends.advice(part, model_stores())


def missing_backend(part: backends.Part, name: str) -> str | None:
    """What to do about a backend that cannot be used; None for one that can."""
    return backends.obstacle(part, str(name), model_stores())


def validate_backend(part: backends.Part, name: str | None) -> bool | str:
    """What a node's validation says of its combo: True, or what is wrong and what there is.

    None stands for a linked value, which is not known yet.
    """
    missing = None if name is None else missing_backend(part, name)
    return True if missing is None else f"{missing}\n{backend_advice(part)}"


def backend_fingerprint(part: backends.Part, name: str) -> str:
    """Changes when auto takes another backend; the name itself for one that cannot be used."""
    if missing_backend(part, name) is not None:
        return str(name)
    return backends.chosen_name(part, name, model_stores())
