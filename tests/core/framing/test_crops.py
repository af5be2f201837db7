"""Faces cut out of pictures and frames."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from magicface_core.errors import FaceTooSmallError, ImageError, NoFaceError
from magicface_core.framing.background import background_frames
from magicface_core.framing.boxes import box_of
from magicface_core.framing.crops import (
    FACE_ORDERS,
    ON_NO_FACE,
    CroppedFaces,
    crop_faces,
    estimate_frames,
)
from magicface_core.framing.framing import Framing
from magicface_core.framing.preparation import prepare
from magicface_core.pasting.frames import paste_frames
from magicface_core.perception import Face, Perception
from magicface_core.pictures.crop import Crop
from magicface_core.pictures.images import channels_last, to_tensor

FRAMING = Framing(face_fraction=0.55, crop_offset=(0.01, -0.02), resolution=128)


class Recorded:
    """A perception that has seen the frames before: their faces, one list after the other."""

    def __init__(self, faces: list[list[Face]]) -> None:
        self._faces: Iterator[list[Face]] = iter(faces)

    def faces(self, image: Tensor) -> list[Face]:
        return next(self._faces)


@pytest.fixture(scope="module")
def face(perception: Perception, photo: Tensor) -> Face:
    return perception.faces(photo)[0]


@pytest.fixture(scope="module")
def cropped(perception: Perception, photo: Tensor) -> CroppedFaces:
    return crop_faces(photo, perception, FRAMING)


@pytest.fixture(scope="module")
def frames(photo: Tensor) -> Tensor:
    """[3,3,512,400], a face in the first and the last."""
    return torch.cat([photo, torch.zeros_like(photo), photo])[..., :400]


def moved(face: Face, x: float) -> Face:
    return replace(face, mesh=face.mesh + np.array([x, 0, 0]))


def test_one_picture_is_cropped_as_the_pipeline_does(
    perception: Perception, photo: Tensor, cropped: CroppedFaces
) -> None:
    prepared = prepare(channels_last(photo), perception, FRAMING)
    assert torch.equal(cropped.pictures, prepared.crop512)
    (entry,) = cropped.crops.frames
    assert entry is not None
    assert entry.crop == prepared.crop
    assert np.array_equal(entry.face.mesh, prepared.face.mesh)
    assert cropped.crops.source_size == (512, 512)
    assert cropped.crops.framing is FRAMING
    assert len(cropped.crops) == 1


def test_the_mask_is_the_square(cropped: CroppedFaces) -> None:
    entry = cropped.crops.frames[0]
    assert entry is not None
    assert cropped.mask.shape == (1, 512, 512)
    assert set(cropped.mask.unique().tolist()) == {0.0, 1.0}
    assert cropped.mask.sum().item() == pytest.approx(entry.crop.side**2, rel=0.02)
    rows, columns = cropped.mask[0].nonzero(as_tuple=True)
    middle = (float(columns.float().mean()) + 0.5, float(rows.float().mean()) + 0.5)
    assert middle == pytest.approx(entry.crop.center, abs=1)


def test_the_mask_of_a_tilted_face_is_tilted(perception: Perception, photo: Tensor) -> None:
    turned = Crop((256, 256), 700, (512, 512), angle=0.7).extract(photo, 700)
    found = crop_faces(turned, perception, Framing())
    entry = found.crops.frames[0]
    assert entry is not None
    assert abs(entry.crop.angle) == pytest.approx(0.7, abs=0.15)
    places = np.stack(np.meshgrid(np.arange(700) + 0.5, np.arange(700) + 0.5), -1).reshape(-1, 2)
    inside = entry.crop.to_crop(places, 1)
    expected = ((inside >= 0) & (inside <= 1)).all(1).reshape(700, 700)
    assert (found.mask[0].numpy().astype(bool) == expected).mean() > 0.9999


def test_frames_keep_their_order_and_size(perception: Perception, photo: Tensor) -> None:
    frames = torch.cat([photo, photo.roll(40, -1), photo.flip(-1)])[..., :-1, :-3]
    found = crop_faces(frames, perception, Framing())
    assert found.pictures.shape == (3, 3, 512, 512)
    assert found.mask.shape == (3, 511, 509)
    assert found.overview.shape[0] == 3
    centers = [entry.crop.center[0] for entry in found.crops.frames if entry is not None]
    assert centers[1] - centers[0] == pytest.approx(40, abs=2)
    assert centers[2] == pytest.approx(509 - centers[0] + 3, abs=6)


@pytest.mark.parametrize("order", FACE_ORDERS)
def test_orders_reach_the_crop(perception: Perception, group: Tensor, order: str) -> None:
    expected = {"largest first": 662, "left to right": 136, "right to left": 662}
    found = crop_faces(group, perception, Framing(), order=order)
    entry = found.crops.frames[0]
    assert entry is not None
    x, _ = entry.crop.to_source(entry.face.mesh[:468, :2].mean(0)[None], 512)[0]
    assert x == pytest.approx(expected.get(order, 399), abs=12)


def test_boxes_reach_the_crop(perception: Perception, group: Tensor) -> None:
    faces = perception.faces(group)
    boxes = []
    for face in faces:
        x1, y1, x2, y2 = box_of(face).tolist()
        boxes.append({"x": x1, "y": y1, "width": x2 - x1, "height": y2 - y1})
    recorded: Any = Recorded([faces] * 3)
    found = crop_faces(group.expand(3, -1, -1, -1), recorded, Framing(), face=9, boxes=boxes)
    widths = [entry.crop.side for entry in found.crops.frames if entry is not None]
    assert len(widths) == 3
    assert widths == sorted(widths, reverse=True)


def test_rgba_and_odd_sizes(perception: Perception, photo: Tensor) -> None:
    alpha = torch.ones(1, 1, 512, 512)
    alpha[..., 300:, :] = 0
    rgba = channels_last(torch.cat([photo, alpha], 1))[:, :-5, 3:]
    found = crop_faces(to_tensor(rgba), perception, Framing())
    assert found.pictures.shape == (1, 3, 512, 512)
    assert found.crops.source_size == (509, 507)


class TestFramesWithoutAFace:
    def test_an_error_names_the_frame(self, perception: Perception, frames: Tensor) -> None:
        message = r'Frame 1 \(of 0 to 2\): No face found in the 400 x 512.*"pass through"'
        with pytest.raises(NoFaceError, match=message):
            crop_faces(frames, perception, Framing())
        with pytest.raises(NoFaceError, match=message):
            estimate_frames(frames, perception)

    def test_of_a_single_picture_no_frame_is_named(self, perception: Perception) -> None:
        with pytest.raises(NoFaceError, match=r"^No face found in the 40 x 30 picture; use one"):
            crop_faces(torch.zeros(1, 3, 30, 40), perception, Framing())

    def test_they_pass_through(self, perception: Perception, frames: Tensor) -> None:
        ramp = torch.linspace(0, 0.2, 512)[:, None].expand(512, 400)
        frames = frames.clone()
        frames[1] = ramp
        found = crop_faces(frames, perception, Framing(), on_no_face="pass through", smoothing=2)
        assert [entry is None for entry in found.crops.frames] == [False, True, False]
        assert not found.mask[1].any()
        assert found.mask[0].any()
        assert found.pictures.shape == (3, 3, 512, 512)
        middle = found.pictures[1, 0, :, 256]
        assert float(middle[0]) == pytest.approx(56 / 512 * 0.2, abs=1e-3)
        assert float(middle[-1]) == pytest.approx(456 / 512 * 0.2, abs=1e-3)

    def test_their_action_units_are_unknown(self, perception: Perception, frames: Tensor) -> None:
        estimates = estimate_frames(frames, perception, on_no_face="pass through")
        assert [estimate.backend == "no face" for estimate in estimates] == [False, True, False]
        assert not any(estimates[1].intensities.values)
        assert not any(estimates[1].confidence)
        assert estimates[0] == estimates[2]
        assert max(estimates[0].intensities.values) > 1

    def test_small_faces_and_missing_numbers_count_as_none(
        self, perception: Perception, photo: Tensor
    ) -> None:
        small = torch.nn.functional.interpolate(photo, scale_factor=0.35, mode="area")
        with pytest.raises(FaceTooSmallError, match="at least 64 are needed"):
            crop_faces(small, perception, Framing())
        assert crop_faces(small, perception, Framing(), on_no_face="pass through").crops.frames == (
            None,
        )
        found = crop_faces(photo, perception, Framing(), face=1, on_no_face="pass through")
        assert found.crops.frames == (None,)

    def test_a_frame_without_box_is_one(self, face: Face, photo: Tensor) -> None:
        box = {"x": 180, "y": 70, "width": 90, "height": 110}
        recorded: Any = Recorded([[face], [face]])
        two = photo.expand(2, -1, -1, -1)
        found = crop_faces(two, recorded, Framing(), boxes=[[box], []], on_no_face="pass through")
        assert [entry is None for entry in found.crops.frames] == [False, True]
        again: Any = Recorded([[face], [face]])
        with pytest.raises(NoFaceError, match=r"Frame 1 .* boxes connected hold none"):
            crop_faces(two, again, Framing(), boxes=[[box], []])


def test_smoothing_steadies_the_crop(face: Face, photo: Tensor) -> None:
    jitter = [0, 6, -5, 4, -6, 5, 0]
    frames = photo.expand(len(jitter), -1, -1, -1)

    def centers(smoothing: int) -> list[float]:
        recorded: Any = Recorded([[moved(face, x)] for x in jitter])
        found = crop_faces(frames, recorded, Framing(), smoothing=smoothing)
        for entry, x in zip(found.crops.frames, jitter, strict=True):
            assert entry is not None
            back = entry.crop.to_source(entry.face.mesh[:, :2], 512)
            assert np.allclose(back, moved(face, x).mesh[:, :2])
        return [entry.crop.center[0] for entry in found.crops.frames if entry is not None]

    loose, steady = centers(0), centers(3)
    assert np.abs(np.diff(loose)).max() == pytest.approx(11)
    assert np.abs(np.diff(steady)).max() < 2
    with pytest.raises(ImageError, match="number of frames from 0, not -1"):
        centers(-1)


def test_unknown_settings_are_named(perception: Perception, photo: Tensor) -> None:
    with pytest.raises(ImageError, match='pass through; not "skip"'):
        crop_faces(photo, perception, Framing(), on_no_face="skip")
    with pytest.raises(ImageError, match='Unknown order "random"'):
        estimate_frames(photo, perception, order="random")
    assert ON_NO_FACE == ("error", "pass through")


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 3)])
def test_tiny_pictures_pass_through(perception: Perception, size: tuple[int, int]) -> None:
    found = crop_faces(
        torch.full((1, 3, *size), 0.5), perception, Framing(), on_no_face="pass through"
    )
    assert torch.allclose(found.pictures, torch.full((1, 3, 512, 512), 0.5))
    assert found.mask.shape == (1, *size)
    assert max(found.overview.shape[-2:]) == 512


def test_squares_by_frame_number(cropped: CroppedFaces) -> None:
    entry = cropped.crops.frames[0]
    assert entry is not None
    assert cropped.crops.squares(3) == {0: entry.crop, 1: entry.crop, 2: entry.crop}
    mixed = replace(cropped.crops, frames=(None, entry))
    assert mixed.squares(2) == {1: entry.crop}
    assert replace(cropped.crops, frames=(None,)).squares(4) == {}


SIDES = {"left": (1, 0), "right": (-1, 0), "top": (0, 1), "bottom": (0, -1), "corner": (0.7, 0.7)}


def cut_by(photo: Tensor, side: str, degrees: float) -> Tensor:
    """[1,3,401,401] of the photo turned, its face against one side and partly beyond it."""
    angle, reach = np.radians(degrees), 0.36 * 230
    x, y = Crop((0, 0), 1, (1, 1), angle).rotation @ np.array(SIDES[side]) * reach
    return Crop((225 + x, 130 + y), 230.0, (512, 512), angle).extract(photo, 401)


@pytest.mark.parametrize("degrees", [0, 35])
@pytest.mark.parametrize("side", SIDES)
def test_faces_cut_by_a_border_go_there_and_back(
    perception: Perception, photo: Tensor, side: str, degrees: float
) -> None:
    """An edit reaches the border at full weight, and no edge of the crop cuts the face."""
    picture = cut_by(photo, side, degrees)
    found = crop_faces(picture, perception, Framing(face_fraction=0.567, mask_dilation=0.016))
    drawn = background_frames(found.pictures, perception, found.crops)
    same, weight = paste_frames(picture, found.pictures, found.crops, mask=drawn.mask)
    assert torch.equal(same, picture)
    (entry,) = found.crops.frames
    assert entry is not None
    assert (entry.crop.angle != 0) == (degrees != 0)
    mesh = entry.crop.to_source(entry.face.mesh[:468, :2], 512)
    assert ((mesh < 0) | (mesh > 401)).any()
    seen = mesh[((mesh > 3) & (mesh < 398)).all(1)].astype(int)
    assert weight[0, 0, seen[:, 1], seen[:, 0]].gt(0).float().mean() > 0.9
    borders = {"left": weight[..., 0], "right": weight[..., -1], "top": weight[:, :, 0]}
    assert borders.get(side, weight[:, :, -1] if side == "bottom" else weight).max() > 0.999
    edited, weight = paste_frames(picture, 1 - found.pictures, found.crops, mask=drawn.mask)
    untouched = (weight == 0).expand_as(picture)
    assert torch.equal(edited[untouched], picture[untouched])
    assert (edited != picture).any()
