"""LibreFace as an AU estimator, with random weights."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from libreface_weights import random_weights
from safetensors.torch import save_file
from skimage import data

from magicface_core.aus import AU_ORDER
from magicface_core.conversion.layouts import libreface
from magicface_core.errors import ImageError, ModelError
from magicface_core.perception import AUEstimator, Face, Perception
from magicface_core.perception.libreface import (
    TRUST,
    LibreFaceAUEstimator,
    aligned_face,
    network_input,
)
from magicface_core.perception.libreface_network import network_of
from magicface_core.pictures.images import to_tensor


@pytest.fixture(scope="module")
def estimator() -> LibreFaceAUEstimator:
    return LibreFaceAUEstimator(network_of(random_weights(libreface())))


def test_an_estimate(estimator: LibreFaceAUEstimator, photo: torch.Tensor, face: Face) -> None:
    plain: AUEstimator = estimator
    estimate = plain.estimate(face, photo)
    assert estimate.backend == estimator.backend == "libreface"
    values = estimate.intensities.values
    assert len(values) == len(estimate.confidence) == len(AU_ORDER)
    assert len(set(values)) == 12
    assert all(0 <= value <= 5 for value in values)
    given = estimator.intensities(network_input(aligned_face(face, photo)))
    np.testing.assert_allclose(values, given[0], atol=1e-4)
    assert plain.estimate(face, photo) == estimate


def test_it_takes_part_in_the_perception(
    estimator: LibreFaceAUEstimator, photo: torch.Tensor, face: Face
) -> None:
    perception = Perception.load()
    perception.au_estimator = estimator
    assert perception.estimate_aus(face, photo) == estimator.estimate(face, photo)


def test_files_on_devices_and_in_types(
    tmp_path: Path, photo: torch.Tensor, face: Face, estimator: LibreFaceAUEstimator
) -> None:
    path = tmp_path / "resnet.safetensors"
    save_file(random_weights(libreface()), path)
    reference = estimator.estimate(face, photo).intensities.values
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-3)):
        loaded = LibreFaceAUEstimator.load(path, torch.device("cpu"), dtype)
        assert {p.dtype for p in loaded.network.parameters()} == {dtype}
        found = loaded.estimate(face, photo).intensities.values
        np.testing.assert_allclose(found, reference, atol=tolerance)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_on_a_gpu(
    photo: torch.Tensor, face: Face, estimator: LibreFaceAUEstimator, dtype: torch.dtype
) -> None:
    network = network_of(random_weights(libreface()))
    moved = LibreFaceAUEstimator(network, "cuda", dtype)
    found = moved.estimate(face, photo.cuda()).intensities.values
    np.testing.assert_allclose(found, estimator.estimate(face, photo).intensities.values, atol=0.05)


def test_input_is_normalised(photo: torch.Tensor, face: Face) -> None:
    """The middle 224 of 256 pixels in ImageNet's units."""
    aligned = aligned_face(face, photo)
    given = network_input(aligned)
    assert given.shape == (1, 3, 224, 224)
    assert given.dtype == torch.float32
    means, deviations = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    colours = given[0] * deviations[:, None, None] + means[:, None, None]
    middle = to_tensor(aligned)[0, :, 32:480, 32:480]
    assert float((colours - torch.nn.functional.avg_pool2d(middle, 2)).abs().mean()) < 0.01


def test_confidence_falls_with_what_is_seen(
    estimator: LibreFaceAUEstimator, photo: torch.Tensor, face: Face
) -> None:
    (full,) = set(estimator.estimate(face, photo).confidence)
    assert 0.5 < full <= TRUST
    unsure = estimator.estimate(replace(face, presence=0.5), photo).confidence[0]
    assert unsure == pytest.approx(full / 2, abs=0.01)
    half = int(face.points5[2, 0])
    assert estimator.estimate(face, photo[..., :half]).confidence[0] < 0.7 * full
    turned = face.mesh.copy()
    turned[263, 2] += face.width  # one eye far behind the other
    assert estimator.estimate(replace(face, mesh=turned), photo).confidence[0] < full


def test_pictures_it_cannot_read(
    estimator: LibreFaceAUEstimator, photo: torch.Tensor, face: Face
) -> None:
    with pytest.raises(ImageError, match="give the picture"):
        estimator.estimate(face)
    for picture in (photo[0], photo.expand(2, -1, -1, -1), photo[:, :1], photo[..., :0]):
        with pytest.raises(ImageError, match=r"one picture \[1,3,H,W\]"):
            estimator.estimate(face, picture)


def test_weights_without_numbers(photo: torch.Tensor, face: Face) -> None:
    weights = random_weights(libreface())
    weights["classifier.4.bias"][3] = torch.nan
    with pytest.raises(ModelError, match="weights are damaged"):
        LibreFaceAUEstimator(network_of(weights)).estimate(face, photo)


def test_the_callers_picture_and_random_numbers_stay(
    estimator: LibreFaceAUEstimator, photo: torch.Tensor, face: Face
) -> None:
    before, state = photo.clone(), torch.get_rng_state()
    estimator.estimate(face, photo)
    assert torch.equal(photo, before)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_small_face_in_a_large_picture_is_read_quickly(
    estimator: LibreFaceAUEstimator, face: Face
) -> None:
    """Only the pixels around the face are looked at."""
    canvas = torch.zeros(1, 3, 6000, 6000)
    canvas[..., :512, :512] = to_tensor(data.astronaut())
    estimator.estimate(face, canvas)
    start = time.perf_counter()
    estimator.estimate(face, canvas)
    assert time.perf_counter() - start < 4  # converting all pixels alone takes longer than the rest
