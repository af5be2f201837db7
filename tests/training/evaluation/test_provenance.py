"""Hashes of what a number was made with."""

from __future__ import annotations

import hashlib
from pathlib import Path

from magicface_training.evaluation.provenance import file_hashes


def test_folders_and_single_files(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    path = tmp_path / "part" / "a.safetensors"
    path.write_bytes(b"weights")
    (tmp_path / "notes.txt").write_text("no part of the checkpoint")
    digest = hashlib.sha256(b"weights").hexdigest()
    assert file_hashes(tmp_path) == {"part/a.safetensors": digest}
    assert file_hashes(path) == {"a.safetensors": digest}
