"""From downloaded to loadable, with stand-in files of the released layouts."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub_files import contents
from safetensors.torch import load_file, save_file

from magicface_core.conversion.convert import convert_model, pending
from magicface_core.conversion.layouts import blazeface
from magicface_core.downloads.catalogue import FACE_ALIGNMENT, OFFICIAL, SD15_VAE, Model
from magicface_core.downloads.records import read_record
from magicface_core.downloads.store import Store
from magicface_core.errors import CheckpointError, ModelError, OutputError
from magicface_core.files import file_sha256
from magicface_core.network import load_checkpoint

FOLDER = "backends/face-alignment"


@pytest.fixture
def detector() -> Model:
    """face-alignment with BlazeFace alone, of unknown content."""
    return replace(
        FACE_ALIGNMENT, files=(replace(FACE_ALIGNMENT.files[1], sha256=None, size=None),)
    )


@pytest.fixture
def pickled(store: Store) -> Path:
    path = store.root / FOLDER / "blazeface.pth"
    path.parent.mkdir(parents=True)
    torch.save({name: torch.randn(shape) for name, shape in blazeface().items()}, path)
    return path


@pytest.fixture
def official(store: Store, tiny_checkpoint: Path) -> Path:
    """A tiny checkpoint where the official one goes."""
    return Path(shutil.copytree(tiny_checkpoint, store.root / "official"))


# --- third-party pickles --------------------------------------------------------------------------


def test_a_pickle_becomes_safetensors(store: Store, detector: Model, pickled: Path) -> None:
    expected, made_of = torch.load(pickled, weights_only=True), file_sha256(pickled)
    assert [file.name for file in pending(store, detector)] == ["blazeface.pth"]
    [path] = convert_model(store, detector)
    found = load_file(path)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert set(contents(store.root)) == {
        f"{FOLDER}/blazeface.safetensors",
        f"{FOLDER}/blazeface.safetensors.record.json",
    }
    record = read_record(path)
    assert record is not None
    assert record.derived_from == made_of
    assert store.state(detector) == "converted"
    assert store.verify(detector.files[0]) == "ok"
    assert list(pending(store, detector)) == []


def test_the_original_can_be_kept(store: Store, detector: Model, pickled: Path) -> None:
    convert_model(store, detector, keep=True)
    assert pickled.is_file()
    assert store.state(detector) == "converted"


def test_twice_is_once(store: Store, detector: Model, pickled: Path) -> None:
    convert_model(store, detector)
    with pytest.raises(ModelError, match="converted already"):
        convert_model(store, detector)


def test_nothing_to_convert(store: Store, detector: Model) -> None:
    with pytest.raises(ModelError, match="magicface models download face-alignment"):
        convert_model(store, detector)
    with pytest.raises(ModelError, match="used as it comes"):
        convert_model(store, SD15_VAE)


@pytest.mark.parametrize("kind", ["code", "truncated", "other"])
def test_a_hostile_pickle_leaves_the_folder(
    store: Store, detector: Model, pickled: Path, kind: str
) -> None:
    if kind == "code":
        pickled.write_bytes(b"\x80\x02cos\nsystem\nX\x01\x00\x00\x00x\x85R.")
    elif kind == "truncated":
        pickled.write_bytes(pickled.read_bytes()[:-1000])
    else:
        torch.save({"x": torch.zeros(1)}, pickled)
    store.verify(detector.files[0])  # writes the record
    before = contents(store.root)
    with pytest.raises(ModelError, match=r"blazeface\.pth"):
        convert_model(store, detector)
    assert contents(store.root) == before


def test_wrong_content_is_not_even_opened(store: Store, pickled: Path) -> None:
    model = replace(FACE_ALIGNMENT, files=(FACE_ALIGNMENT.files[1],))  # with its checksum
    with pytest.raises(ModelError, match="is corrupt; run: magicface models download face-align"):
        convert_model(store, model)


def test_a_damaged_conversion_is_made_again(store: Store, detector: Model, pickled: Path) -> None:
    [path] = convert_model(store, detector, keep=True)
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    convert_model(store, detector)
    assert path.read_bytes() == good


def test_a_full_disk_leaves_the_original(
    store: Store, detector: Model, pickled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OutputError, match="No space left"):
        convert_model(store, detector)
    assert pickled.is_file()
    assert store.state(detector) == "present"


# --- the official networks ------------------------------------------------------------------------


def test_the_official_networks_in_half(store: Store, official: Path) -> None:
    before = load_checkpoint(official, "cpu").denoiser.state_dict()
    size, told = store.size(OFFICIAL), []
    made = convert_model(store, OFFICIAL, report=told.append)
    assert [path.name for path in made] == ["diffusion_pytorch_model.fp16.safetensors"] * 2
    assert store.size(OFFICIAL) < 0.75 * size  # the tiny networks' headers weigh, too
    assert store.state(OFFICIAL) == "converted"
    assert store.checkpoint("official") == official.resolve()
    assert sum(told) > 0
    after = load_checkpoint(official, "cpu").denoiser.state_dict()
    assert after.keys() == before.keys()
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor.half().float())


def test_a_network_that_does_not_fit_its_configuration(store: Store, official: Path) -> None:
    path = official / "ID_enc" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "cross_attention_dim": 12}))
    with pytest.raises(CheckpointError, match="does not fit"):
        convert_model(store, OFFICIAL)
    assert (official / "ID_enc" / "diffusion_pytorch_model.safetensors").is_file()


def test_one_network_missing(store: Store, official: Path) -> None:
    shutil.rmtree(official / "ID_enc")
    with pytest.raises(ModelError, match=r"ID_enc.* is missing"):
        convert_model(store, OFFICIAL)


def test_official_goes_with_its_prompt(store: Store, official: Path) -> None:
    store.remove(OFFICIAL)
    kept = {name.partition("/")[2].partition("/")[0] for name in contents(store.root)}
    assert kept == {"magicface.json", "scheduler_config.json", "vae"}


def test_values_beyond_half(store: Store, official: Path, tiny_checkpoint: Path) -> None:
    path = official / "denoising_unet" / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    tensors["conv_in.bias"].fill_(1e6)
    save_file(tensors, path)
    before: Callable = contents
    names = set(before(store.root))
    with pytest.raises(ModelError, match=r"conv_in\.bias reaches 1e\+06"):
        convert_model(store, OFFICIAL)
    assert {n for n in before(store.root) if not n.endswith("record.json")} == names
