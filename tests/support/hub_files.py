"""One file as a hub has it, and as the catalogue could describe it."""

from __future__ import annotations

import hashlib
import random
from dataclasses import replace
from pathlib import Path

from magicface_core.downloads.catalogue import HUB, ModelFile
from magicface_core.downloads.download import Limits

CONTENT = random.Random(0).randbytes(300_000)
PATH = "/people/model/resolve/abc/part/weights.bin"
PINNED = ModelFile(
    f"{HUB}/people/model/resolve/{{revision}}/part/weights.bin",
    "model/part/weights.bin",
    about=300_000,
    revision="abc",
    size=len(CONTENT),
    sha256=hashlib.sha256(CONTENT).hexdigest(),
)
UNPINNED = replace(PINNED, size=None, sha256=None)
FAST = Limits(timeout=5, attempts=3, all_attempts=12, pause=0.0, longest_pause=0.0, chunk=16_384)


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
