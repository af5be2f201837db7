"""The table of models: complete, plausible, inside its folder."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

import pytest

from magicface_core.conversion.layouts import COUNTER, LAYOUTS
from magicface_core.downloads.catalogue import BACKENDS, MODELS, Model, ModelFile, find_model
from magicface_core.errors import ModelError

FILES = [file for model in MODELS for file in model.files]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_model_says_what_it_is_and_who_may_use_it(model: Model) -> None:
    assert model.purpose
    assert model.licence
    assert model.licence_url.startswith("https://")
    assert model.source.startswith("https://")
    assert find_model(model.name) is model
    assert model.about == sum(file.size or file.about for file in model.files)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.target)
def test_every_file_is_fetched_safely_and_stays_in_its_folder(file: ModelFile) -> None:
    assert file.address.startswith("https://")
    assert "{" not in file.address
    assert ("{revision}" in file.url) or file.revision is None
    for text, length in ((file.sha256, 64), (file.git_blob, 40), (file.revision, 40)):
        assert text is None or re.fullmatch(f"[0-9a-f]{{{length}}}", text)
    assert file.size is None or file.size == file.about
    assert file.about <= file.limit <= file.about * 1.1 + 65536
    assert PurePosixPath(file.target).parts[0] in ("official", BACKENDS)


def test_nothing_is_placed_twice() -> None:
    places = [file.target for file in FILES] + [f.converted for f in FILES if f.converted]
    assert len(places) == len(set(places))


def test_what_a_pickle_may_hold_is_known() -> None:
    pickles = [f for f in FILES if f.target.endswith((".pt", ".pth", ".tar"))]
    assert {file.name for file in pickles} == set(LAYOUTS)
    assert all(file.pinned and file.converted for file in pickles)


def test_only_json_arrays_tokenizers_and_the_official_networks_are_not_pinned() -> None:
    loose = {file.target for file in FILES if not file.pinned}
    assert {target for target in loose if target.endswith(".safetensors")} == {
        f"official/{part}/diffusion_pytorch_model.safetensors"
        for part in ("denoising_unet", "ID_enc")
    }
    assert all(t.endswith((".json", ".txt", ".npy", ".safetensors")) for t in loose)


@pytest.mark.parametrize(
    "target", ["/etc/x", "../x", "a/../x", "a\\x", "C:x", "a//x", ".x", "a/.x", "a\0", "", "a/"]
)
def test_targets_that_lead_elsewhere_are_refused(target: str) -> None:
    with pytest.raises(ModelError, match="no plain relative path"):
        ModelFile("https://example.org/x", target, about=1)
    with pytest.raises(ModelError, match="no plain relative path"):
        ModelFile("https://example.org/x", "x", about=1, converted=target)


def test_an_unknown_name_lists_the_known() -> None:
    with pytest.raises(ModelError, match=r'no model "offical"; choose one of official, sd15-vae'):
        find_model("offical")


@pytest.mark.parametrize(
    ("name", "tensors", "parameters"),
    [
        ("resnet.pt", 129, 11_253_836),
        ("79999_iter.pth", 191, 13_313_088),
        ("2DFAN4-11f355bf06.pth.tar", 1129, 23_874_320),
        ("blazeface.pth", 74, 101_390),
    ],
)
def test_layouts(name: str, tensors: int, parameters: int) -> None:
    """Sizes as published: a file's bytes are four times its values, and little more."""
    shapes = LAYOUTS[name]()
    assert len(shapes) == tensors
    count = 0
    for key, shape in shapes.items():
        size = 1
        for side in shape:
            size *= side
        count += 0 if key.endswith(COUNTER) else size
    assert count == parameters
    [file] = [file for file in FILES if file.name == name]
    assert 0 < file.about - 4 * count < 0.05 * file.about
