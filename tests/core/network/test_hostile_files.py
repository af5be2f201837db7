"""Headers that lie, files that are none, JSON without end: refused by name, nothing allocated."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from magicface_core.errors import CheckpointError
from magicface_core.network.weights import (
    MAX_JSON_BYTES,
    MAX_TENSORS,
    parse_object,
    read_config,
    read_entries,
    read_header,
    read_metadata,
    read_object,
    read_tensors,
)

CPU = torch.device("cpu")


def written(path: Path, tree: dict[str, Any], data: bytes) -> Path:
    text = json.dumps(tree).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + data)
    return path


def tensor(shape: list[int], start: int, end: int, kind: str = "F32") -> dict[str, Any]:
    return {"dtype": kind, "shape": shape, "data_offsets": [start, end]}


LIES = {
    "larger than the file": {"a": tensor([10**6], 0, 4 * 10**6)},
    "shape beyond its bytes": {"a": tensor([10**9, 4], 0, 16)},
    "product beyond 64 bits": {"a": tensor([2**40, 2**40], 0, 16)},
    "overlapping": {"a": tensor([4], 0, 16), "b": tensor([4], 0, 16)},
    "a gap": {"a": tensor([2], 0, 8), "b": tensor([1], 12, 16)},
    "backwards": {"a": tensor([4], 16, 0)},
    "negative": {"a": tensor([4], -16, 0)},
    "negative shape": {"a": tensor([-4], 0, 16)},
    "bytes that nobody owns": {"a": tensor([2], 0, 8)},
    "unknown type": {"a": tensor([4], 0, 16, kind="OBJECT")},
    "no offsets": {"a": {"dtype": "F32", "shape": [4]}},
    "no object": {"a": [1, 2]},
    "metadata that is no text": {"__metadata__": {"x": 1}, "a": tensor([4], 0, 16)},
}


@pytest.mark.parametrize("lie", LIES)
def test_headers_that_lie(tmp_path: Path, lie: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "a.safetensors", LIES[lie], bytes(16))
    monkeypatch.setattr(torch, "empty", lambda *_, **__: pytest.fail("memory was allocated"))
    for read in (read_header, read_metadata, lambda p: read_tensors(p, torch.float16, CPU)):
        with pytest.raises(CheckpointError, match="not a readable safetensors file") as caught:
            read(path)
        assert str(path) in str(caught.value)


def test_a_true_header(tmp_path: Path) -> None:
    tree = {"__metadata__": {"k": "v"}, "b": tensor([2], 8, 16), "a": tensor([2], 0, 8)}
    path = written(tmp_path / "a.safetensors", tree, bytes(16))
    assert list(read_entries(path)) == ["a", "b"]  # in the order of the data
    assert read_metadata(path) == {"k": "v"}


def test_too_many_tensors(tmp_path: Path) -> None:
    tree = {str(number): tensor([0], 0, 0) for number in range(MAX_TENSORS + 1)}
    path = written(tmp_path / "a.safetensors", tree, b"")
    with pytest.raises(CheckpointError, match=f"lists {MAX_TENSORS + 1} tensors"):
        read_header(path)


def test_a_file_cut_while_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.safetensors"
    save_file({"a": torch.ones(1000)}, path)
    entries = read_entries(path)
    path.write_bytes(path.read_bytes()[:-400])
    monkeypatch.setattr("magicface_core.network.weights.read_entries", lambda _: entries)
    with pytest.raises(CheckpointError, match="ended early"):
        read_tensors(path, None, CPU)


def test_a_type_that_is_not_read(tmp_path: Path) -> None:
    path = written(tmp_path / "a.safetensors", {"a": tensor([16], 0, 16, "F8_E4M3")}, bytes(16))
    with pytest.raises(CheckpointError, match="type F8_E4M3; known: F32"):
        read_tensors(path, torch.float16, CPU)


@pytest.mark.parametrize("kind", ["absent", "folder", "pipe", "device"])
def test_what_is_no_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.safetensors"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)  # opening it would wait for ever
    elif kind == "device":
        path.symlink_to("/dev/zero")  # which never ends
    with pytest.raises(CheckpointError, match="is not a file"):
        read_header(path)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("wanted", [None, torch.float32, torch.float16, torch.bfloat16])
def test_all_conversions(tmp_path: Path, dtype: torch.dtype, wanted: torch.dtype | None) -> None:
    path = tmp_path / "a.safetensors"
    tensors = {
        "matrix": torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).to(dtype),
        "scalar": torch.tensor(1.5, dtype=dtype),
        "empty": torch.zeros(0, 3, dtype=dtype),
        "flags": torch.tensor([True, False]),
        "counts": torch.arange(7, dtype=torch.int16),
    }
    save_file(tensors, path)
    found = read_tensors(path, wanted, CPU)
    assert found.keys() == tensors.keys()
    for key, value in tensors.items():
        expected = value.to(wanted) if wanted and value.is_floating_point() else value
        assert found[key].dtype == expected.dtype
        assert torch.equal(found[key], expected), key
    assert read_tensors(path, wanted, CPU, ["scalar"]).keys() == {"scalar"}


def test_results_do_not_share_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    save_file({name: torch.full((8,), float(i)) for i, name in enumerate("abc")}, path)
    found = read_tensors(path, torch.float16, CPU)
    assert [float(found[name][0]) for name in "abc"] == [0, 1, 2]
    path.unlink()
    assert float(found["a"].add_(1).mean()) == 1


# --- JSON -----------------------------------------------------------------------------------------


def test_json_without_end(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(" " * (MAX_JSON_BYTES + 1))
    with pytest.raises(CheckpointError, match=f"has {MAX_JSON_BYTES + 1} bytes"):
        read_config(tmp_path)
    with pytest.raises(CheckpointError, match="not valid JSON"):
        parse_object('{"a": ' + "[" * 200_000, "here")
    path.write_text("[" * 200_000)
    with pytest.raises(CheckpointError, match="not valid JSON"):
        read_object(path)


def test_a_config_that_is_a_pipe(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(CheckpointError, match=r"lacks config\.json"):
        read_config(tmp_path)
