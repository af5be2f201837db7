"""LibreFace's network: the published numbers, exactly the published tensors, nothing else."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from libreface_weights import random_weights, ruled_weights
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

from magicface_core.conversion.layouts import COUNTER, libreface
from magicface_core.errors import ModelError
from magicface_core.perception.libreface import network_input
from magicface_core.perception.libreface_network import (
    LibreFaceNetwork,
    convert_libreface,
    load_network,
    network_of,
)

GOLDEN = Path(__file__).parents[2] / "golden" / "preparation"
SECOND_HEAD = {
    key.replace("classifier.", "classifier_2."): shape
    for key, shape in libreface().items()
    if key.startswith("classifier.")
}


@pytest.fixture(scope="module")
def weights() -> dict[str, Tensor]:
    return random_weights(libreface())


@pytest.fixture(scope="module")
def network(weights: dict[str, Tensor]) -> LibreFaceNetwork:
    return network_of(weights)


def noise(batch: int = 2) -> Tensor:
    return torch.randn(batch, 3, 224, 224, generator=torch.Generator().manual_seed(1))


def test_intensities_are_the_published_ones(tmp_path: Path) -> None:
    """The combined file's 138 tensors by their rule, through the conversion, on a real input."""
    with np.load(GOLDEN / "libreface.npz") as golden:
        names, expected = golden["libreface.keys"].tolist(), golden["libreface.intensity"]
    path = tmp_path / "combined_resnet.pt"
    torch.save({"model": ruled_weights({**libreface(), **SECOND_HEAD}, names)}, path)
    with Image.open(GOLDEN / "libreface.aligned.webp") as aligned:
        found = network_of(convert_libreface(path))(network_input(aligned.convert("RGB")))
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=0, atol=1e-4)


def test_modules_have_the_names_of_the_layout(network: LibreFaceNetwork) -> None:
    own = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    assert own == libreface()


def test_rows_do_not_influence_each_other(network: LibreFaceNetwork) -> None:
    faces = noise(3)
    together = network(faces)
    assert together.shape == (3, 12)
    assert 0 <= float(together.min()) <= float(together.max()) <= 5
    for row in range(3):
        torch.testing.assert_close(network(faces[row : row + 1])[0], together[row])
    assert float(together.std(0).min()) > 1e-3


def test_the_network_is_ready_to_use(network: LibreFaceNetwork) -> None:
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_face_is_read_quickly(network: LibreFaceNetwork) -> None:
    face = noise(1)
    network(face)
    start = time.perf_counter()
    network(face)
    assert time.perf_counter() - start < 3  # a tenth of a second on an idle core


# --- converted files ------------------------------------------------------------------------------


def test_converted_files_come_back(
    tmp_path: Path, weights: dict[str, Tensor], network: LibreFaceNetwork
) -> None:
    path = tmp_path / "resnet.safetensors"
    save_file(weights, path)
    assert torch.equal(load_network(path)(noise()), network(noise()))
    # Half of the size, no counters, as other tools may leave it.
    small = {k: v.half() for k, v in weights.items() if not k.endswith(COUNTER)}
    save_file(small, path)
    torch.testing.assert_close(load_network(path)(noise()), network(noise()), rtol=0, atol=0.02)


CHANGES: dict[str, Callable[[dict[str, Tensor]], Any]] = {
    "encoder.0.weight missing": lambda w: w.pop("encoder.0.weight"),
    "classifier.4.weight has shape [8, 128]": lambda w: w.update(
        {"classifier.4.weight": torch.zeros(8, 128)}
    ),
    "fc.weight unexpected": lambda w: w.update({"fc.weight": torch.zeros(1000, 512)}),
}


@pytest.mark.parametrize("text", CHANGES)
def test_other_networks_are_refused(tmp_path: Path, weights: dict[str, Tensor], text: str) -> None:
    changed = dict(weights)
    CHANGES[text](changed)
    safe, pickled = tmp_path / "resnet.safetensors", tmp_path / "resnet.pt"
    save_file(changed, safe)
    torch.save({"model": changed}, pickled)
    for read, path in ((load_network, safe), (convert_libreface, pickled)):
        with pytest.raises(ModelError) as caught:
            read(path)
        assert text in str(caught.value)


def test_missing_and_damaged_files(tmp_path: Path, weights: dict[str, Tensor]) -> None:
    path = tmp_path / "resnet.safetensors"
    with pytest.raises(ModelError, match="magicface models download libreface"):
        load_network(path)
    save_file(weights, path)
    content = path.read_bytes()
    for damaged in (b"", b"\xff" * 8, content[:100], content[:-1], b"\0" * 100):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match="damaged"):
            load_network(path)


# --- the authors' files ---------------------------------------------------------------------------


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_single_file_is_converted(
    tmp_path: Path, weights: dict[str, Tensor], legacy: bool, prefix: str
) -> None:
    path = tmp_path / "resnet.pt"
    tree = {"model": {prefix + name: tensor for name, tensor in weights.items()}}
    torch.save(tree, path, _use_new_zipfile_serialization=not legacy)
    found = convert_libreface(path)
    assert found.keys() == libreface().keys()
    assert all(torch.equal(found[name], tensor) for name, tensor in weights.items())


def test_the_second_head_is_checked_and_left_out(
    tmp_path: Path, weights: dict[str, Tensor]
) -> None:
    path = tmp_path / "combined_resnet.pt"
    both = {**weights, **random_weights(SECOND_HEAD)}
    torch.save({"model": both}, path)
    assert convert_libreface(path).keys() == libreface().keys()
    torch.save({"model": {**both, "classifier_2.4.bias": torch.zeros(13)}}, path)
    with pytest.raises(ModelError, match=r"classifier_2.4.bias has shape \[13\]"):
        convert_libreface(path)


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("legacy", [False, True])
def test_hostile_files_run_nothing(
    tmp_path: Path, weights: dict[str, Tensor], legacy: bool
) -> None:
    path, mark = tmp_path / "resnet.pt", tmp_path / "ran"
    for tree in ({"model": {**weights, "extra": Bomb(mark)}}, Bomb(mark)):
        torch.save(tree, path, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(ModelError, match="asks to run"):
            convert_libreface(path)
    assert not mark.exists()


def test_oversized_files_are_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "resnet.pt"
    with path.open("wb") as file:
        file.truncate(65 * 1024**2)
    with pytest.raises(ModelError, match="at most 67108864"):
        convert_libreface(path)
