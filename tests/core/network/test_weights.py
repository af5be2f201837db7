"""Reading and writing safetensors."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from magicface_core.errors import CheckpointError
from magicface_core.network.streaming import write_tensors
from magicface_core.network.weights import (
    check_shapes,
    find_weights,
    read_header,
    read_tensors,
)

CPU = torch.device("cpu")


def test_round_trip_keeps_integers_and_converts_floats(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {"f": torch.randn(3, 2).t(), "i": torch.tensor([1 << 40])}
    write_tensors(path, tensors)
    assert read_header(path) == {"f": (2, 3), "i": (1,)}
    found = read_tensors(path, torch.float16, CPU)
    assert torch.equal(found["f"], tensors["f"].half())
    assert torch.equal(found["i"], tensors["i"])
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_full_precision_file_is_preferred(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"lacks diffusion_pytorch_model\.safetensors"):
        find_weights(tmp_path)
    half = tmp_path / "diffusion_pytorch_model.fp16.safetensors"
    full = tmp_path / "diffusion_pytorch_model.safetensors"
    half.touch()
    assert find_weights(tmp_path) == half
    full.touch()
    assert find_weights(tmp_path) == full


def test_header_is_checked_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes((101_000_000).to_bytes(8, "little") + b" " * 64)
    with pytest.raises(CheckpointError, match="101000000 bytes where at most 64 fit"):
        read_header(path)


def test_wrong_shapes_are_listed() -> None:
    expected = dict.fromkeys("abcde", (2,))
    check_shapes(expected, dict(expected), Path("f"))
    with pytest.raises(CheckpointError, match=r"a missing; z unexpected; b has shape \[3\]") as e:
        check_shapes(expected, {"b": (3,), "c": (2,), "d": (2, 1), "e": (2,), "z": ()}, Path("f"))
    assert "and 1 more" in str(e.value)
