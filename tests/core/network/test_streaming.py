"""Writing safetensors."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from magicface_core.network.streaming import Planned, write_stream, write_tensors
from magicface_core.network.weights import read_entries, read_tensors

CPU = torch.device("cpu")


def test_tensors_are_written_as_the_library_of_the_format_does(tmp_path: Path) -> None:
    tensors = {
        "b": torch.randn(3, 2).t(),
        "a": torch.randn(3).half(),
        "bytes": torch.arange(5, dtype=torch.uint8),
        "long": torch.tensor(1 << 40),
        "none": torch.empty(0, 4),
        "truth": torch.tensor([True, False]),
        "brain": torch.randn(3).bfloat16(),
    }
    own, theirs = tmp_path / "own", tmp_path / "theirs"
    write_tensors(own, tensors)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, theirs)
    found = load_file(own)
    assert found.keys() == tensors.keys()
    assert all(torch.equal(found[name], tensors[name]) for name in tensors)
    assert {k: (e.kind, e.shape) for k, e in read_entries(own).items()} == {
        k: (e.kind, e.shape) for k, e in read_entries(theirs).items()
    }
    assert all(e.start % tensors[k].itemsize == 0 for k, e in read_entries(own).items())
    write_tensors(theirs, dict(reversed(tensors.items())))
    assert own.read_bytes() == theirs.read_bytes()


def test_bytes_that_were_not_planned_leave_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="3 bytes, planned 4"):
        write_stream(tmp_path / "a", [Planned("x", "F32", (1,), 4)], [b"abc"], {})
    assert os.listdir(tmp_path) == []


def test_writing_replaces_an_older_file(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for value in (1.0, 2.0):
        write_tensors(path, {"x": torch.tensor([value])})
    assert float(read_tensors(path, torch.float32, CPU)["x"]) == 2.0
