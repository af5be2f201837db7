"""From YAML to dataclasses of settings: unknown keys and wrong kinds are refused by name.

A file may build on another, ``extends: ../paper.yaml``, in the same folder or the one above. A
section then holds the settings of the other file, with those of this one in their place; a setting
that is itself a list or a mapping, such as ``model.unet``, is replaced whole.
"""

from __future__ import annotations

import dataclasses
import math
import typing
from pathlib import Path
from typing import Any, Literal

import yaml

from magicface_core.errors import MagicFaceError

EXTENDS = "extends"
YAML_WORDS = {False: ("no", "off"), True: ("yes", "on")}  # what YAML reads as these, unquoted


class ConfigError(MagicFaceError):
    """A training configuration with an unknown key or a value of the wrong kind."""


def check_range(where: str, value: float, low: float, high: float = math.inf) -> None:
    """Raise ConfigError where a number lies outside low..high, or is NaN."""
    if not low <= value <= high:
        allowed = f"{low}..{high}" if math.isfinite(high) else f"{low} or more"
        raise ConfigError(f"{where} is {value}; choose {allowed}")


def build(kind: type, tree: Any, where: str = "") -> Any:
    """``kind`` from a mapping; ``where`` ends in a dot and leads to it from the top.

    Raises ConfigError that names the setting, what it is and what is allowed.
    """
    place = where.rstrip(".") or "the top"
    if not isinstance(tree, dict):
        raise ConfigError(f"{place} is {tree!r}; expected settings, one 'key: value' a line")
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}
    unknown = sorted(str(key) for key in set(tree) - known)
    if unknown:
        raise ConfigError(f"unknown settings {unknown} under {place}; known: {sorted(known)}")
    return kind(**{k: _convert(hints[k], v, f"{where}{k}") for k, v in tree.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return build(typing.cast(type, hint), value or {}, f"{where}.")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if isinstance(value, bool):
            value = next((word for word in YAML_WORDS[value] if word in arguments), value)
        if value not in arguments:
            raise ConfigError(f"{where} is {value!r}; allowed: {arguments}")
        return value
    if origin is tuple:
        return _convert_list(arguments, value, where)
    if hint is float:
        return _convert_number(value, where)
    expected: type = origin or hint
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise ConfigError(f"{where} is {value!r}; expected {expected.__name__}")
    return value


def _convert_list(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    kind, settings = kinds[0], dataclasses.is_dataclass(kinds[0])
    if not isinstance(value, list | tuple):
        each = f"a list of {where if settings else kind.__name__}"
        raise ConfigError(f"{where} is {value!r}; expected {'numbers' if kind is float else each}")
    if Ellipsis not in kinds and len(value) != len(kinds):
        raise ConfigError(f"{where} is {value!r}; expected {len(kinds)} values")
    if settings:
        return tuple(build(kind, v, f"{where}[{i}].") for i, v in enumerate(value))
    return tuple(_convert(kind, v, f"{where}[{i}]") for i, v in enumerate(value))


def _convert_number(value: Any, where: str) -> float:
    """YAML reads 1e-5 as text, so numbers may come as text."""
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where} is {value!r}; expected a number") from error


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
