"""Dataclasses of settings from parsed YAML: unknown keys and wrong kinds are refused by name."""

from __future__ import annotations

import dataclasses
import math
import typing
from collections.abc import Callable
from typing import Any, Literal

from magicface_core.errors import MagicFaceError

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
        return _convert_list(arguments[0], value, where)
    if hint is float:
        return _converted(lambda: float(value), where, value, "a number")
    expected: type = origin or hint
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise ConfigError(f"{where} is {value!r}; expected {expected.__name__}")
    return value


def _convert_list(kind: Any, value: Any, where: str) -> tuple[Any, ...]:
    if dataclasses.is_dataclass(kind):
        if not isinstance(value, list):
            raise ConfigError(f"{where} is {value!r}; expected a list of {where}")
        pairs = enumerate(value)
        return tuple(build(typing.cast(type, kind), v, f"{where}[{i}].") for i, v in pairs)
    if kind is float:
        return _converted(lambda: tuple(float(v) for v in value), where, value, "numbers")
    if not isinstance(value, list | tuple):
        raise ConfigError(f"{where} is {value!r}; expected a list of {kind.__name__}")
    return tuple(_convert(kind, v, f"{where}[{i}]") for i, v in enumerate(value))


def _converted(convert: Callable[[], Any], where: str, value: Any, expected: str) -> Any:
    """YAML reads 1e-5 as text, so numbers may come as text."""
    try:
        return convert()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where} is {value!r}; expected {expected}") from error
