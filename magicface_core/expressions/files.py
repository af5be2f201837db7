"""Expressions on disk: small JSON files that people can read, share and edit by hand.

One change is what `AUDelta.to_json` writes, with a note:

    {"format": "magicface-aus", "version": 1, "kind": "delta", "note": "", "aus": {"AU12": 4.0}}

An animation has the kind "animation" and, instead of "aus", the list "frames" of such objects.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

from ..aus import JSON_FORMAT, JSON_VERSION, AUDelta
from ..errors import AUError
from ..files import write_file

MAX_BYTES = 1_000_000
"""No expression file is larger: about ten thousand frames of a smile."""

_EXAMPLE = '"aus": {"AU6": 2, "AU12": 4}'


def write_expression(
    path: str | os.PathLike[str], deltas: Sequence[AUDelta], note: str = ""
) -> Path:
    """Write one change, or an animation of several, whole or not at all; returns the real path.

    Raises AUError when there is nothing to write or more than a file may hold, and OutputError
    when the file cannot be written.
    """
    if not deltas:
        raise AUError("There is no expression to save: it has no frames.")
    text = _as_text(deltas, note)
    if len(text.encode()) > MAX_BYTES:
        raise AUError(
            f"An animation of {len(deltas)} frames makes a file above {MAX_BYTES:,} bytes; "
            "save it in shorter pieces."
        )
    return write_file(path, text)


def read_expression(path: str | os.PathLike[str]) -> tuple[AUDelta, ...]:
    """Read what `write_expression` wrote, perhaps edited by hand since: one delta per frame.

    Raises AUError naming the file, what is wrong in it and how to mend it.
    """
    try:
        return _frames(_parse(_read_text(Path(path))))
    except AUError as error:
        raise AUError(f'Expression file "{path}": {_printable(str(error), 400)}') from error


def _as_text(deltas: Sequence[AUDelta], note: str) -> str:
    head = {
        "format": JSON_FORMAT,
        "version": JSON_VERSION,
        "kind": "delta" if len(deltas) == 1 else "animation",
        "note": _printable(note),
    }
    lines = [f"  {json.dumps(key)}: {_dumped(value)}," for key, value in head.items()]
    frames = [_dumped(delta.as_dict()) for delta in deltas]
    if len(frames) == 1:
        lines.append(f'  "aus": {frames[0]}')
    else:
        lines.append('  "frames": [\n    ' + ",\n    ".join(frames) + "\n  ]")
    return "{\n" + "\n".join(lines) + "\n}\n"


def _dumped(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise AUError("there is no such file; save an expression first, or choose another name.")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise AUError(f"it cannot be read: {error.strerror or error}.") from error
    if len(content) > MAX_BYTES:
        raise AUError(f"it is larger than {MAX_BYTES:,} bytes, so it is no expression.")
    try:
        return content.decode("utf-8-sig")  # some editors add a byte order mark
    except UnicodeDecodeError as error:
        raise AUError("it is not UTF-8 text; save it as UTF-8.") from error


def _parse(text: str) -> Mapping[str, Any]:
    try:
        content = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        raise AUError(
            f"line {error.lineno}, column {error.colno} is not JSON ({error.msg}). JSON needs "
            "double quotes around names, a comma between values, and none after the last."
        ) from error
    except (ValueError, RecursionError) as error:
        raise AUError(f"it is not JSON that this program reads: {error}.") from error
    if not isinstance(content, dict) or content.get("format") != JSON_FORMAT:
        raise AUError(
            f'it is no expression: it must hold an object with "format": "{JSON_FORMAT}".'
        )
    if content.get("version") != JSON_VERSION or isinstance(content["version"], bool):
        raise AUError(
            f"its version is {_shown(content.get('version'))}, and this program reads version "
            f'{JSON_VERSION}: write "version": {JSON_VERSION}, or update MagicFace.'
        )
    return content


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, refused where a name stands twice: one of the two values would be lost."""
    content = dict(pairs)
    if len(content) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise AUError(f'"{repeated}" is given twice in one place; keep one of them.')
    return content


def _refuse_constant(name: str) -> NoReturn:
    raise AUError(f"it holds {name}, which is not a finite number; write a number instead.")


def _frames(content: Mapping[str, Any]) -> tuple[AUDelta, ...]:
    kind = content.get("kind")
    if kind == "delta":
        if "aus" not in content:
            raise AUError(f"it has no {_EXAMPLE} or the like.")
        return (_delta(content["aus"], '"aus"'),)
    if kind != "animation":
        raise AUError(
            f'its kind is {_shown(kind)}: "delta" (a change) or "animation" (a list of changes) '
            "can be loaded."
        )
    frames = content.get("frames")
    if not isinstance(frames, list) or not frames:
        raise AUError('an animation needs a list "frames" with at least one {"AU12": 4} in it.')
    return tuple(
        _delta(units, f"frame {number} (counted from 0)") for number, units in enumerate(frames)
    )


def _delta(units: object, place: str) -> AUDelta:
    if not isinstance(units, dict):
        raise AUError(f"{place} is {_shown(units)} and should be like {_EXAMPLE[7:]}.")
    codes = [name.strip().upper() for name in units]
    for code, value in zip(codes, units.values(), strict=True):
        if codes.count(code) > 1:
            raise AUError(f"{place} gives {code} twice; keep one of them.")
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise AUError(f"{place}: {code} is {_shown(value)}; write a number.")
    try:
        return AUDelta(**dict(zip(codes, units.values(), strict=True)))
    except AUError as error:
        raise AUError(f"{place}: {error}") from error


def _shown(value: object) -> str:
    """A value from a file, short enough for an error message."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return "null or missing" if value is None else _printable(_dumped(value), 40)


def _printable(text: str, length: int | None = None) -> str:
    """`text` as every terminal, browser and file takes it, cut after `length` characters."""
    clean = text.encode("utf-8", "backslashreplace").decode()
    return clean if length is None or len(clean) <= length else f"{clean[:length]}..."
