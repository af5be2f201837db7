"""Third-party .pth files: the right ones are read, hostile ones run nothing and cost nothing."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from magicface_core.conversion import pickles
from magicface_core.conversion.layouts import COUNTER, LAYOUTS, Shapes
from magicface_core.conversion.pickles import read_pickled_tensors
from magicface_core.errors import ModelError

SHAPES: Shapes = {"conv.weight": (4, 3, 3, 3), "bn.weight": (4,), f"bn.{COUNTER}": ()}
LIMIT = 100_000


def good() -> dict[str, Tensor]:
    return OrderedDict(
        {
            "conv.weight": torch.randn(4, 3, 3, 3),
            "bn.weight": torch.randn(4),
            f"bn.{COUNTER}": torch.tensor(7),
        }
    )


def save(path: Path, tree: Any, legacy: bool = False) -> Path:
    torch.save(tree, path, _use_new_zipfile_serialization=not legacy)
    return path


def refusal(path: Path, limit: int = LIMIT) -> str:
    before = path.read_bytes()
    with pytest.raises(ModelError) as caught:
        read_pickled_tensors(path, SHAPES, limit)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- what is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("wrapper", [None, "model", "state_dict"])
def test_tensors_come_back(tmp_path: Path, legacy: bool, wrapper: str | None) -> None:
    tensors = good()
    tree = tensors if wrapper is None else {wrapper: tensors, "epoch": 3}
    found = read_pickled_tensors(save(tmp_path / "a.pth", tree, legacy), SHAPES, LIMIT)
    assert list(found) == list(tensors)
    for name, tensor in tensors.items():
        assert torch.equal(found[name], tensor)


def test_a_modules_state_with_its_versions(tmp_path: Path) -> None:
    module = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 4, 3, bias=False), bn=nn.BatchNorm2d(4)))
    shapes = {k: tuple(v.shape) for k, v in module.state_dict().items()}
    path = save(tmp_path / "a.pth", module.state_dict())
    assert read_pickled_tensors(path, shapes, LIMIT).keys() == shapes.keys()


def test_data_parallel_names_and_absent_counters(tmp_path: Path) -> None:
    tensors = {f"module.{k}": nn.Parameter(v) for k, v in good().items() if COUNTER not in k}
    found = read_pickled_tensors(save(tmp_path / "a.pth", tensors), SHAPES, LIMIT)
    assert set(found) == {"conv.weight", "bn.weight"}
    assert type(found["bn.weight"]) is Tensor
    assert not found["bn.weight"].requires_grad


def test_spare_tensors_may_be_there(tmp_path: Path) -> None:
    path, spare = tmp_path / "a.pth", {"head.bias": (2,)}
    assert "head.bias" not in read_pickled_tensors(save(path, good()), SHAPES, LIMIT, spare)
    save(path, {**good(), "head.bias": torch.zeros(2)})
    assert "head.bias" in read_pickled_tensors(path, SHAPES, LIMIT, spare)
    assert "head.bias unexpected" in refusal(path)


def test_shared_storages_are_separated(tmp_path: Path) -> None:
    both = torch.randn(8)
    path = save(tmp_path / "a.pth", {"x": both[:4], "y": both[4:]})
    found = read_pickled_tensors(path, {"x": (4,), "y": (4,)}, LIMIT)
    assert found["x"].untyped_storage().nbytes() == 16
    assert torch.equal(found["y"], both[4:])


@pytest.mark.parametrize("legacy", [False, True])
def test_a_real_layout(tmp_path: Path, legacy: bool) -> None:
    shapes = LAYOUTS["blazeface.pth"]()
    tensors = {name: torch.randn(shape) for name, shape in shapes.items()}
    path = save(tmp_path / "blazeface.pth", tensors, legacy)
    assert read_pickled_tensors(path, shapes, 500_000).keys() == shapes.keys()


# --- what is not: code ----------------------------------------------------------------------------


class Bomb:
    """Runs a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.reduced = (function, arguments)

    def __reduce__(self) -> Any:
        return self.reduced


def bombs(folder: Path) -> dict[str, Bomb]:
    mark = str(folder / "ran")
    return {
        "os": Bomb(os.system, f"touch {mark}"),
        "open": Bomb(open, mark, "w"),
        "exec": Bomb(exec, f"open({mark!r}, 'w')"),
        "torch": Bomb(torch.load, mark),
        "getattr": Bomb(getattr, "x", "upper"),
    }


@pytest.mark.parametrize("name", ["os", "open", "exec", "torch", "getattr"])
@pytest.mark.parametrize("legacy", [False, True])
def test_code_is_named_and_not_run(tmp_path: Path, name: str, legacy: bool) -> None:
    tree = {**good(), "extra": bombs(tmp_path)[name]}
    message = refusal(save(tmp_path / "a.pth", tree, legacy))
    assert "asks to run" in message
    assert "was not opened" in message


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_bare_pickles_of_every_age(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(pickle.dumps(bombs(tmp_path)["os"], protocol))
    assert "asks to run" in refusal(path)


@pytest.mark.parametrize(
    "instructions",
    [
        b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93\x8c\x01x\x85R.",  # STACK_GLOBAL
        b"\x80\x02\x82\x01.",  # extension registry
        b"(S'x'\nios\nsystem\n.",  # INST
        b"\x80\x04h\x00h\x00\x93.",  # names from the memo
    ],
)
def test_code_by_other_instructions(tmp_path: Path, instructions: bytes) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(instructions)
    assert "asks to run" in refusal(path)


def test_torch_is_the_second_gate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even without our own look at the instructions nothing runs."""
    monkeypatch.setattr(pickles, "check_names", lambda *_: None)
    for name, bomb in bombs(tmp_path).items():
        folder = tmp_path / name
        folder.mkdir()
        assert "damaged or no file of tensors" in refusal(save(folder / "a.pth", {"x": bomb}))
    assert not (tmp_path / "ran").exists()


def test_an_old_torch_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.pth", good())
    monkeypatch.setattr(torch, "__version__", "2.9.1+cu128")
    assert "update it to 2.10" in refusal(path)


# --- what is not: size ----------------------------------------------------------------------------


def rewritten(path: Path, compression: int = zipfile.ZIP_STORED, **extra: bytes) -> Path:
    """The same archive packed again, with more entries."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in {**entries, **extra}.items():
            archive.writestr(name, content)
    return path


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pth", {"conv.weight": torch.zeros(20_000_000)})
    rewritten(path, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < LIMIT
    assert "compressed" in refusal(path)


def test_an_archive_of_many_entries(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pth", good())
    with zipfile.ZipFile(path, "a") as archive:
        for index in range(10_001):
            archive.writestr(str(index), b"")
    assert "overfull" in refusal(path, 10_000_000)


def test_two_sets_of_instructions(tmp_path: Path) -> None:
    path = rewritten(save(tmp_path / "a.pth", good()), **{"b/data.pkl": b"."})
    assert "no file of tensors that torch wrote" in refusal(path)


def test_a_file_above_the_limit_is_not_opened(tmp_path: Path) -> None:
    path = save(tmp_path / "a.pth", good())
    assert "at most 10 are accepted" in refusal(path, 10)


def test_a_tensor_that_only_looks_large(tmp_path: Path) -> None:
    """4 TB by strides of zero: refused by its shape before it is copied."""
    huge = torch.zeros(1).expand(1 << 40)
    assert "bn.weight has shape [1099511627776]" in refusal(
        save(tmp_path / "a.pth", {**good(), "bn.weight": huge})
    )


# --- what is not: damage and other networks -------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("kept", [0, 1, 4, 30, 200, 0.5, 0.9, -1])
def test_truncated(tmp_path: Path, legacy: bool, kept: float) -> None:
    path = save(tmp_path / "a.pth", good(), legacy)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept) if isinstance(kept, float) else kept])
    assert str(path) in refusal(path)


@pytest.mark.parametrize("legacy", [False, True])
def test_single_bytes_exchanged_never_crash(tmp_path: Path, legacy: bool) -> None:
    path = save(tmp_path / "a.pth", good(), legacy)
    content = path.read_bytes()
    for place in range(0, len(content), 13):
        damaged = bytearray(content)
        damaged[place] ^= 0x5A
        path.write_bytes(damaged)
        with suppress(ModelError):  # some bytes are only values
            read_pickled_tensors(path, SHAPES, LIMIT)


@pytest.mark.parametrize("content", [b"", b"not a pickle", b"PK\x03\x04" + bytes(50), b"\x80\x02."])
def test_other_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    assert "damaged" in refusal(path)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"bn.weight": None}, "bn.weight missing"),
        ({"stray": torch.zeros(1)}, "stray unexpected"),
        ({"bn.weight": torch.zeros(5)}, "bn.weight has shape [5], expected [4]"),
        ({"bn.weight": torch.zeros(4, dtype=torch.long)}, "bn.weight has the type torch.int64"),
        ({f"bn.{COUNTER}": torch.tensor(0.5)}, "has the type torch.float32"),
    ],
)
def test_another_network(tmp_path: Path, change: dict[str, Any], text: str) -> None:
    tree = {k: v for k, v in {**good(), **change}.items() if v is not None}
    assert text in refusal(save(tmp_path / "a.pth", tree))


@pytest.mark.parametrize("tree", [[1, 2], {}, {"model": 3}, torch.zeros(3), {1: torch.zeros(3)}])
def test_other_contents(tmp_path: Path, tree: Any) -> None:
    message = refusal(save(tmp_path / "a.pth", tree))
    assert "table of tensors" in message or "no plain tensor" in message


def test_a_sparse_tensor(tmp_path: Path) -> None:
    tree = {**good(), "bn.weight": torch.eye(4).to_sparse()}
    assert str(tmp_path) in refusal(save(tmp_path / "a.pth", tree))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(nn.Linear(2, 2), torch.zeros(1, 2)), buffer)
    path = tmp_path / "a.pt"
    path.write_bytes(buffer.getvalue())
    assert str(path) in refusal(path)
