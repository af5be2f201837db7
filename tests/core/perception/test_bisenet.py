"""BiSeNet on stand-in weights of the published layout: network, masks, devices, faults."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from weight_files import formula_weights, write_formula_weights

from magicface_core.conversion.layouts import bisenet as layout
from magicface_core.conversion.pickles import read_pickled_tensors
from magicface_core.errors import ModelError
from magicface_core.perception import Face
from magicface_core.perception.bisenet import TRAINING_HEADS, BiSeNet, BiSeNetParser
from magicface_core.perception.placing import crop_for_face
from magicface_core.perception.regions import FACE_CLASSES
from magicface_core.pictures.crop import Crop

# Scores at rows 5, 33 and columns 7, 80 by the published code (zllrunning, commit b9a12fe) with
# the weights of `formula_weights` and the picture of the test; and pixels of each class.
SCORES = {
    (5, 7): (31.1043, -0.4879, 35.9682, -21.1804, -0.8422, -10.0822, 27.0024, 26.7534, 26.3534,
             -6.2276, -30.1633, 5.2414, -17.8378, -49.4293, -5.0939, -23.4771, -0.6168, 3.8509,
             0.1815),
    (33, 80): (59.2285, -15.8512, 21.8617, -30.8685, 9.9494, -16.6139, 69.2636, 55.6059, 60.8589,
               -66.4555, -47.9073, 17.5924, -28.6659, -70.6078, -20.6705, -51.4567, 4.5989,
               -6.1857, -0.539),
}  # fmt: skip
COUNTS = (1902, 0, 177, 0, 5, 33, 1135, 2069, 814, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bisenet") / "79999_iter.safetensors"
    return write_formula_weights(path, layout())


@pytest.fixture(scope="session")
def parser(weights: Path) -> BiSeNetParser:
    return BiSeNetParser.load(weights)


@pytest.fixture(scope="session")
def classes(parser: BiSeNetParser, portrait: torch.Tensor) -> torch.Tensor:
    return parser.parse(portrait)


class Stripes(BiSeNetParser):
    """Columns of 32 pixels of class 0 (background), 1 (skin), 17 (hair), again and again."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def parse(self, square: torch.Tensor) -> torch.Tensor:
        self.seen.append(square)
        classes = torch.tensor([0, 1, 17])[torch.arange(512) // 32 % 3]
        return classes.expand(512, 512)


def test_the_layout_is_the_network_and_two_training_heads() -> None:
    published = layout()
    assert len(published) == 191
    own = {name: tuple(tensor.shape) for name, tensor in BiSeNet().state_dict().items()}
    used = {k: v for k, v in published.items() if not k.startswith(TRAINING_HEADS)}
    assert own == used


def test_scores_are_the_published_codes(parser: BiSeNetParser) -> None:
    waves = torch.cos(torch.arange(3 * 64 * 96, dtype=torch.float64) * 0.37)
    scores = parser.network(waves.float().reshape(1, 3, 64, 96))
    assert scores.shape == (1, 19, 64, 96)
    for (row, column), expected in SCORES.items():
        assert scores[0, :, row, column].tolist() == pytest.approx(expected, abs=2e-3)
    counts = scores[0].argmax(0).flatten().bincount(minlength=19)
    assert (counts - torch.tensor(COUNTS)).abs().max() <= 3


def test_weights_are_those_of_the_file(weights: Path, parser: BiSeNetParser) -> None:
    tensors = load_file(weights)
    for name, value in parser.network.state_dict().items():
        assert torch.equal(value, tensors[name])
    assert not parser.network.training
    assert not any(parameter.requires_grad for parameter in parser.network.parameters())


def test_constructing_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a file or an address was opened")

    for name in ("torch.load", "torch.hub.load_state_dict_from_url", "builtins.open"):
        monkeypatch.setattr(name, refuse)
    BiSeNet()


def test_pictures_are_normalised_as_imagenets(
    parser: BiSeNetParser, portrait: torch.Tensor, classes: torch.Tensor
) -> None:
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    deviation = torch.tensor([0.229, 0.224, 0.225]).reshape(3, 1, 1)
    with torch.no_grad():
        expected = parser.network((portrait - mean) / deviation)[0].argmax(0)
    assert classes.shape == (512, 512)
    assert torch.equal(classes, expected)
    assert classes.unique().numel() > 2


def test_regions_are_sets_of_classes(
    parser: BiSeNetParser,
    portrait: torch.Tensor,
    face_in_portrait: Face,
    classes: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parser, "parse", lambda _: classes)
    person = parser.person_mask(portrait)
    face = parser.face_mask(portrait, face_in_portrait)
    assert person.shape == face.shape == (1, 1, 512, 512)
    assert person.dtype == face.dtype == torch.float32
    assert torch.equal(person[0, 0], (classes > 0).float())
    assert torch.equal(face[0, 0], torch.isin(classes, torch.tensor(FACE_CLASSES)).float())


@pytest.mark.parametrize("size", [300, 512, 768])
def test_square_crops_are_parsed_whole(face_in_portrait: Face, size: int) -> None:
    parser, picture = Stripes(), torch.rand(1, 3, size, size)
    face = face_in_portrait.mapped(Crop((256.0, 256.0), 512.0, (512, 512)), size)
    mask = parser.face_mask(picture, face)
    (seen,) = parser.seen
    assert seen is picture
    assert mask.shape == (1, 1, size, size)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    columns = ((torch.arange(size) + 0.5) * 512 / size).int()
    stripes = columns // 32 % 3 == 1
    inside = (columns % 32 > 3) & (columns % 32 < 28)
    assert torch.equal(mask[0, 0, size // 2, inside] > 0.5, stripes[inside])


def test_other_pictures_are_parsed_in_the_published_crop(photo: torch.Tensor, face: Face) -> None:
    wide = torch.nn.functional.pad(photo, (0, 300, 0, 0), value=0.5)
    parser = Stripes()
    mask = parser.face_mask(wide, face)
    crop = crop_for_face(face, (812, 512))
    assert torch.equal(parser.seen[0], crop.extract(wide, 512))
    assert mask.shape == (1, 1, 512, 812)
    outside = round(crop.center[0] + crop.side / 2) + 2
    assert not mask[..., outside:].any()
    assert mask.any()


def test_people_in_oblong_pictures() -> None:
    parser = Stripes()
    mask = parser.person_mask(torch.rand(1, 3, 256, 512))
    assert parser.seen[0].shape == (1, 3, 512, 512)
    assert mask.shape == (1, 1, 256, 512)
    expected = (torch.arange(512) // 32 % 3 > 0).float()
    assert torch.equal(mask[0, 0, 100], expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_cuda_agrees(weights: Path, portrait: torch.Tensor, classes: torch.Tensor) -> None:
    other = BiSeNetParser.load(weights, "cuda")
    agreement = (other.parse(portrait.cuda()) == classes).float().mean()
    assert agreement > 0.999
    assert other.person_mask(portrait.cuda()).device.type == "cuda"


def test_a_training_head_of_another_shape_is_refused(tmp_path: Path) -> None:
    tensors = formula_weights(layout())
    tensors["conv_out32.conv_out.weight"] = torch.zeros(11, 64, 1, 1)
    path = tmp_path / "other.safetensors"
    save_file(tensors, path)
    with pytest.raises(ModelError, match=r"conv_out32.*\[11, 64, 1, 1\].*download bisenet"):
        BiSeNetParser.load(path)


def test_the_pickled_file_becomes_loadable(tmp_path: Path) -> None:
    """As published, in either serialisation: read by its layout, the same tensors come out."""
    tensors = formula_weights(layout())
    for legacy in (False, True):
        path = tmp_path / "79999_iter.pth"
        torch.save(tensors, path, _use_new_zipfile_serialization=not legacy)
        found = read_pickled_tensors(path, layout(), 60_000_000)
        assert found.keys() == tensors.keys()
        assert all(torch.equal(found[name], tensors[name]) for name in found)
