"""Weight files of backends: compared before they are read, and every fault has its fix."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from magicface_core.errors import ModelError
from magicface_core.perception.weights import read_weights

SHAPES: dict[str, tuple[int, ...]] = {
    "conv.weight": (2, 3, 1, 1),
    "bn.bias": (2,),
    "bn.num_batches_tracked": (),
}


def tensors() -> dict[str, Tensor]:
    return {
        "conv.weight": torch.arange(6.0).reshape(2, 3, 1, 1),
        "bn.bias": torch.tensor([1.0, 2.0]),
        "bn.num_batches_tracked": torch.tensor(3),
    }


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        read_weights(path, SHAPES, "bisenet")
    assert str(path) in str(caught.value)
    assert "magicface models download bisenet" in str(caught.value)
    return str(caught.value)


def test_tensors_come_back_as_float32(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({**tensors(), "bn.bias": torch.tensor([1.0, 2.0]).half()}, path)
    found = read_weights(path, SHAPES, "bisenet")
    assert {name: tuple(tensor.shape) for name, tensor in found.items()} == SHAPES
    assert found["bn.bias"].dtype == torch.float32
    assert found["bn.num_batches_tracked"].dtype == torch.int64


def test_counters_may_be_absent(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({k: v for k, v in tensors().items() if "num_batches" not in k}, path)
    assert set(read_weights(path, SHAPES, "bisenet")) == {"conv.weight", "bn.bias"}


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"conv.weight": None}, "conv.weight missing"),
        ({"extra": torch.zeros(1)}, "extra unexpected"),
        ({"bn.bias": torch.zeros(3)}, "bn.bias has shape [3], expected [2]"),
    ],
)
def test_another_network(tmp_path: Path, change: dict[str, Tensor | None], fragment: str) -> None:
    path = tmp_path / "a.safetensors"
    save_file({k: v for k, v in {**tensors(), **change}.items() if v is not None}, path)
    assert fragment in refusal(path)


def test_no_more_than_three_differences_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({str(number): torch.zeros(1) for number in range(9)}, path)
    assert "and 8 more" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\xff" * 64, b"\x08" + b"\0" * 7 + b"{}"])
def test_damage(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.safetensors"
    path.write_bytes(content)
    assert "damaged" in refusal(path)


def test_truncated(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file(tensors(), path)
    path.write_bytes(path.read_bytes()[:-4])
    assert "damaged" in refusal(path)


def test_absent(tmp_path: Path) -> None:
    assert "no file" in refusal(tmp_path / "a.safetensors")
