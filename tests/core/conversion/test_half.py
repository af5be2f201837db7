"""float32 -> float16 on disk: half the size, the same network, little memory."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import namedtuple
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from magicface_core.conversion.half import halve
from magicface_core.errors import CheckpointError, ModelError, OutputError


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.safetensors"
    tensors = {
        "weight": torch.randn(7, 5),
        "bias": torch.tensor([65504.0, -1e-9, 0.0]),
        "empty": torch.zeros(0, 3),
        "scalar": torch.tensor(1.5),
        "count": torch.tensor([2**40]),
        "small": torch.randn(3).half(),
        "brain": torch.randn(3).bfloat16(),
    }
    save_file(tensors, path, {"note": "kept"})
    return path


def test_values_are_rounded_once(source: Path, tmp_path: Path) -> None:
    before, target = load_file(source), tmp_path / "b.safetensors"
    assert halve(source, target) == target
    after = load_file(target)
    assert after.keys() == before.keys()
    for name, tensor in before.items():
        expected = tensor.half() if tensor.dtype == torch.float32 else tensor
        assert after[name].dtype == expected.dtype
        assert torch.equal(after[name], expected)
    with safe_open(target, "pt") as file:
        assert file.metadata() == {"format": "pt", "note": "kept"}


def test_it_takes_half_the_disk(tmp_path: Path) -> None:
    source, target = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    save_file({f"layer.{index}": torch.randn(300, 300) for index in range(5)}, source)
    told: list[int] = []
    halve(source, target, told.append)
    assert 0.5 <= target.stat().st_size / source.stat().st_size < 0.501
    assert told == [360_000] * 5


@pytest.mark.parametrize("value", [65505.0 * 2, float("inf"), float("nan"), -1e6])
def test_what_does_not_fit_is_named(tmp_path: Path, value: float) -> None:
    source = tmp_path / "a.safetensors"
    save_file({"large.weight": torch.tensor([0.0, value])}, source)
    with pytest.raises(ModelError, match=r"large\.weight reaches"):
        halve(source, tmp_path / "b.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize("kept", [0, 7, 40, -1])
def test_truncated(source: Path, tmp_path: Path, kept: int) -> None:
    source.write_bytes(source.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match="copy it again"):
        halve(source, tmp_path / "b.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


@pytest.mark.parametrize(
    "header",
    [
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8]}},
        {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 16]}},
        {"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 32]}},
        {"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}},
        {"a": {"dtype": "X", "shape": [4], "data_offsets": [0, 16]}},
        [1],
    ],
)
def test_a_header_that_lies(tmp_path: Path, header: object) -> None:
    text = json.dumps(header).encode()
    source = tmp_path / "a.safetensors"
    source.write_bytes(len(text).to_bytes(8, "little") + text + bytes(16))
    with pytest.raises(CheckpointError):
        halve(source, tmp_path / "b.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


def test_no_room(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(1, 1, 10))
    with pytest.raises(OutputError, match="make room first"):
        halve(source, tmp_path / "b.safetensors")


def test_a_failed_write_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        halve(source, tmp_path / "b.safetensors")
    assert [path.name for path in tmp_path.iterdir()] == ["a.safetensors"]


MEASURE = """
import resource, sys
from pathlib import Path
import torch
from magicface_core.conversion.half import halve
halve(Path(sys.argv[1]), Path(sys.argv[1] + ".warm"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
halve(Path(sys.argv[2]), Path(sys.argv[2] + ".half"))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in kB on Linux")
def test_memory_does_not_grow_with_the_file(source: Path, tmp_path: Path) -> None:
    large = tmp_path / "large.safetensors"
    save_file({f"layer.{index}": torch.zeros(1 << 20) for index in range(24)}, large)
    words = [sys.executable, "-c", MEASURE, str(source), str(large)]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    assert large.stat().st_size > 100_000_000
    assert int(done.stdout) < 40_000
