"""Measures of a face against what the renderer knows."""

from __future__ import annotations

from dataclasses import astuple, replace

import numpy as np
import pytest
import torch
from face_videos import head_model
from magicface_training.synthetic import sample_identity, sample_scene
from magicface_training.synthetic.picture.render import render
from magicface_training.videos import VideoSettings
from magicface_training.videos.quality import (
    Measures,
    inside_frame,
    measure,
    occlusion,
    sharpness,
    unfit_in_crop,
    unfit_in_frame,
)
from torch import Tensor

from magicface_core.perception import Face, Perception
from magicface_core.perception.head_pose import head_pose
from magicface_core.perception.placing import crop_for_face
from magicface_core.pictures.crop import Crop
from magicface_core.pictures.images import to_tensor
from magicface_core.pictures.resampling import gaussian_blur, reduce_to

SIZE = 192
POSES = [(0.0, 0.0, 0.0), (35.0, 5.0, 0.0), (-35.0, 0.0, 8.0), (10.0, -12.0, -10.0)]


def picture(pose: tuple[float, float, float], seed: int = 40_003) -> Tensor:
    frame = sample_scene(np.random.default_rng(3))
    frame = replace(frame, pose=np.array(pose, np.float32))
    model = head_model()
    return to_tensor(render(model, sample_identity(model, seed), frame, SIZE).image)


@pytest.fixture(scope="module")
def frontal() -> Tensor:
    return picture(POSES[0])


@pytest.fixture(scope="module")
def face(frontal: Tensor, perception: Perception) -> Face:
    return perception.faces(frontal)[0]


def cropped(image: Tensor, face: Face, crop: Crop | None = None) -> tuple[Tensor, Face, Crop]:
    crop = crop or crop_for_face(face, (image.shape[-1], image.shape[-2]))
    return crop.extract(image, 512), face.mapped(crop, 512), crop


@pytest.mark.parametrize("pose", POSES)
def test_head_pose_agrees_with_the_renderer(
    pose: tuple[float, float, float], perception: Perception
) -> None:
    found = astuple(head_pose(perception.faces(picture(pose))[0].mesh))
    assert np.abs(np.subtract(found, pose)).max() < 6, (found, pose)


def test_blur_takes_sharpness_away(frontal: Tensor, face: Face) -> None:
    crop, in_crop, _ = cropped(frontal, face)
    values = [sharpness(gaussian_blur(crop, sigma), in_crop) for sigma in (0.1, 1.0, 3.0)]
    assert values[0] > 3 * values[1] > 9 * values[2] > 0


def test_sharpness_looks_at_the_face_only(frontal: Tensor, face: Face) -> None:
    crop, in_crop, _ = cropped(frontal, face)
    noisy = crop.clone()
    noisy[..., :60, :] = torch.rand(1, 3, 60, 512, generator=torch.Generator().manual_seed(0))
    assert sharpness(noisy, in_crop) == sharpness(crop, in_crop)


def test_what_hides_a_face_counts(frontal: Tensor, face: Face) -> None:
    clear = measure(*cropped(frontal, face)).occlusion
    assert clear < 0.12
    covered = frontal.clone()
    x1, y1, x2, y2 = face.box.round().astype(int)
    covered[..., (y1 + y2) // 2 : y2 + 20, x1:x2] = torch.tensor([0.2, 0.3, 0.7]).view(3, 1, 1)
    limit = VideoSettings().maximum_occlusion
    assert clear < limit < measure(*cropped(covered, face)).occlusion


def test_what_lies_outside_the_frame_counts(frontal: Tensor, face: Face) -> None:
    height = int(face.mesh[:, 1].mean())
    cut = frontal[..., :height, :]
    pixels, in_crop, crop = cropped(cut, face)
    assert occlusion(pixels, in_crop, inside_frame(crop)) > 0.25
    measures = measure(pixels, in_crop, crop)
    assert measures.outside == pytest.approx(1 - inside_frame(crop).float().mean().item())
    assert measures.outside > 0.25


def test_an_enlarged_face_is_as_sharp_as_the_video_shows_it(frontal: Tensor, face: Face) -> None:
    pixels, in_crop, crop = cropped(frontal, face)
    assert crop.side < 256
    own = round(crop.side)
    expected = sharpness(reduce_to(pixels, own), face.mapped(crop, own))
    assert measure(pixels, in_crop, crop).sharpness == pytest.approx(expected, rel=0.01)
    assert expected > 3 * sharpness(pixels, in_crop)


def test_inside_frame_marks_the_pixels_of_the_frame() -> None:
    inside = inside_frame(Crop((0.0, 50.0), 100.0, (100, 100)), 10)
    assert inside.shape == (1, 1, 10, 10)
    assert inside[..., 5:].all()
    assert not inside[..., :5].any()


def test_gates_before_the_crop(face: Face, perception: Perception) -> None:
    crop = crop_for_face(face, (SIZE, SIZE))

    def reason(settings: VideoSettings, *others: Face) -> str | None:
        return unfit_in_frame(face, [face, *others], crop, settings)

    settings = VideoSettings(minimum_face=32, maximum_outside=1)
    assert reason(settings) is None
    assert reason(VideoSettings(minimum_face=int(face.width) + 1)) == "face too small"
    moved = replace(face, mesh=face.mesh + np.array([0.6 * face.width, 0, 0]))
    assert reason(settings, moved) == "several faces"
    away = replace(face, mesh=face.mesh + np.array([1.8 * face.width, 0, 0]))
    assert reason(settings, away) is None
    tiny = replace(face, mesh=moved.mesh * [0.2, 0.2, 0.2])
    assert reason(settings, tiny) is None
    turned = perception.faces(picture((40.0, 0.0, 0.0)))[0]
    settings = VideoSettings(minimum_face=32, maximum_yaw=25)
    assert unfit_in_frame(turned, [turned], crop, settings) == "turned away"


def test_crops_that_are_largely_made_up_are_refused(face: Face) -> None:
    settings = VideoSettings(minimum_face=32, maximum_outside=0.2)
    for side, reason in ((SIZE, None), (1.1 * SIZE, None), (1.2 * SIZE, "cut off")):
        crop = Crop((SIZE / 2, SIZE / 2), side, (SIZE, SIZE))
        assert unfit_in_frame(face, [face], crop, settings) == reason


def test_gates_after_the_crop() -> None:
    settings = VideoSettings(minimum_sharpness=10, maximum_occlusion=0.2)
    good = Measures((0.0, 0.0, 0.0), 20.0, 0.1)
    assert unfit_in_crop(good, settings) is None
    assert unfit_in_crop(replace(good, sharpness=9.0), settings) == "blurred"
    assert unfit_in_crop(replace(good, occlusion=0.3), settings) == "occluded"
