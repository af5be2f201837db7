"""Configurations that build on another: ``extends: ../paper.yaml``.

A section holds the settings of the other file, with those of this one in their place; a setting
that is itself a list or a mapping, such as ``model.unet``, is replaced whole. The other file lies
in the same folder or in the one above.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from .settings import ConfigError

EXTENDS = "extends"


def read_tree(path: Path, extending: tuple[Path, ...] = ()) -> Any:
    """The settings of a YAML file and of those it extends.

    ``extending`` are the files that led here. Raises ConfigError for files that cannot be read, lie
    elsewhere, or extend each other.
    """
    path = path.resolve()
    if path in extending:
        names = " extends ".join(file.name for file in (*extending, path))
        raise ConfigError(f"configurations extend each other: {names}; remove one of them")
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    if not isinstance(tree, dict) or EXTENDS not in tree:
        return tree
    base = read_tree(_place(path, tree.pop(EXTENDS)), (*extending, path))
    return _merged(base, tree) if isinstance(base, dict) else base


def _place(path: Path, name: Any) -> Path:
    """The file that ``path`` extends."""
    place = (path.parent / name).resolve() if isinstance(name, str) and name else None
    if place is None or Path(name).is_absolute() or place.parent not in path.parents[:2]:
        raise ConfigError(
            f"{path}: {EXTENDS} is {name!r}; give the relative path of a file in this folder or "
            "the one above"
        )
    return place


def _merged(base: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in tree.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        if both or key not in base or value is not None:
            merged[key] = {**base[key], **value} if both else value
    return merged
