"""Checksums, and the small JSON beside a model file that says what was downloaded.

``FILE.record.json`` holds address, revision, size and sha256 of the file. Where the catalogue knows
no checksum, the record of the first download is what later checks compare with.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import ModelError
from ..files import write_file

RECORD_SUFFIX = ".record.json"
FORMAT, VERSION = "magicface-model-file", 1
MAX_RECORD_BYTES = 16_384
CHUNK = 1 << 20

_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Record:
    """What lies in a model folder: ``first_seen`` is True where nothing vouches but the download.

    revision is the source's commit where it told one; derived_from is the sha256 of the file that
    a converted one was made of.
    """

    address: str
    size: int
    sha256: str
    revision: str | None = None
    first_seen: bool = False
    derived_from: str | None = None

    def to_json(self) -> str:
        """Pretty-printed JSON."""
        return json.dumps({"format": FORMAT, "version": VERSION, **asdict(self)}, indent=2) + "\n"


def record_path(path: Path) -> Path:
    """Where the record of a file lies."""
    return path.with_name(path.name + RECORD_SUFFIX)


def read_record(path: Path) -> Record | None:
    """The record of a file; None where there is none or it cannot be used."""
    tree = read_small_json(record_path(path))
    if tree is None or (tree.get("format"), tree.get("version")) != (FORMAT, VERSION):
        return None
    size, sha256 = tree.get("size"), tree.get("sha256")
    if not isinstance(size, int) or size < 0 or not is_sha256(sha256):
        return None
    return Record(
        address=str(tree.get("address", "")),
        size=size,
        sha256=str(sha256),
        revision=_text(tree.get("revision")),
        first_seen=tree.get("first_seen") is True,
        derived_from=_text(tree.get("derived_from")),
    )


def write_record(path: Path, record: Record) -> None:
    """Put the record beside a file."""
    write_file(record_path(path), record.to_json())


def read_small_json(path: Path) -> dict[str, Any] | None:
    """A JSON object of at most 16 kB; None for anything else."""
    if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_RECORD_BYTES:
        return None
    try:
        tree = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        return None
    return tree if isinstance(tree, dict) else None


def is_sha256(value: object) -> bool:
    """Whether this is a sha256 in lower-case hexadecimal."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def blocks(path: Path) -> Iterator[bytes]:
    """A file's content in pieces."""
    with path.open("rb") as file:
        while block := file.read(CHUNK):
            yield block


def git_blob_of(path: Path) -> str:
    """The object id that git gives a file's content."""
    digest = hashlib.sha1(usedforsecurity=False)
    digest.update(b"blob %d\0" % path.stat().st_size)
    for block in blocks(path):
        digest.update(block)
    return digest.hexdigest()


def check_kind(path: Path, name: str) -> None:
    """Raise ModelError for content that its name contradicts; for files nobody vouches for."""
    if name.endswith(".json"):
        _check_json(path, name)
    elif name.endswith(".safetensors"):
        _check_safetensors(path, name)
    elif name.endswith(".npy") and not path.read_bytes().startswith(b"\x93NUMPY"):
        raise ModelError(f"{name} is no NumPy file; the source sent something else.")


def _check_json(path: Path, name: str) -> None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{name} is no JSON; the source sent something else.") from error
    if not isinstance(found, dict):
        raise ModelError(f"{name} is no JSON object; the source sent something else.")


def _check_safetensors(path: Path, name: str) -> None:
    """The header must describe the file to its last byte."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        text = file.read(length) if length <= min(size - 8, 10_000_000) else b""
    try:
        header = json.loads(text)
        ends = [entry["data_offsets"][1] for k, entry in header.items() if k != "__metadata__"]
        whole = 8 + length + max(ends, default=0) == size
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError):
        whole = False
    if not whole:
        raise ModelError(f"{name} is no whole safetensors file; the source sent something else.")


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
