"""Reports on edits: the right faces compared, missing ones said, counts and sizes checked."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from magicface_core.aus import AUDelta, AUVector
from magicface_core.errors import ImageError
from magicface_core.perception import AUEstimate, Face, Perception
from magicface_core.pictures.images import to_tensor
from magicface_core.report.report import report_frames

SIZE = 96
SMILE = AUDelta(AU12=3)


def face_at(x: float, y: float, width: float = 30) -> Face:
    """A face whose mesh fills a square around (x, y)."""
    generator = np.random.default_rng(0)
    mesh = np.column_stack([generator.uniform(-0.5, 0.5, (478, 2)), np.zeros(478)])
    mesh[33], mesh[263] = (-0.3, -0.2, 0), (0.3, -0.2, 0)
    mesh = mesh * width + np.array([x, y, 0])
    box = np.array([x - width / 2, y - width / 2, x + width / 2, y + width / 2])
    return Face(0.9, box, np.zeros((6, 2)), mesh, 1.0)


class Reader:
    """Perception that finds a face for every brightness in `places`, and reads it as a smile.

    A picture's first pixel says which places have a face: its red level is the key of `places`.
    The smile is the mean green level times 5, the embedding the mean blue level.
    """

    def __init__(self, places: dict[float, list[Face]]) -> None:
        self.places = places
        self.looks = 0

    def faces(self, image: torch.Tensor) -> list[Face]:
        self.looks += 1
        return list(self.places.get(round(float(image[0, 0, 0, 0]), 2), []))

    def estimate_aus(self, face: Face, image: torch.Tensor) -> AUEstimate:
        smile = 5 * float(self._look(face, image)[1])
        return AUEstimate(AUVector(AU12=round(smile, 2)), (0.5,) * 12, "test")

    def embed(self, image: torch.Tensor, face: Face) -> np.ndarray:
        return np.array([float(self._look(face, image)[2])])

    @staticmethod
    def _look(face: Face, image: torch.Tensor) -> torch.Tensor:
        x, y = ((face.box[:2] + face.box[2:]) / 2).astype(int)
        return image[0, :, y, x]


LEFT, RIGHT = face_at(24, 48), face_at(72, 48, 36)
BOTH, ONE, NONE = 0.8, 0.6, 0.2
PLACES = {BOTH: [RIGHT, LEFT], ONE: [LEFT], NONE: []}


def picture(kind: float, left: float = 0.0, right: float = 0.0, blue: float = 0.0) -> torch.Tensor:
    """[1,3,96,96]: what `Reader` sees a face in, with a smile in either half."""
    image = torch.full((1, 3, SIZE, SIZE), kind)
    image[:, 1, :, : SIZE // 2], image[:, 1, :, SIZE // 2 :] = left, right
    image[:, 2] = blue
    return image


def report(*arguments: Any, mask: torch.Tensor | None = None) -> Any:
    reader = Reader(PLACES)
    result = report_frames(*arguments, reader, mask)  # type: ignore[arg-type]
    return SimpleNamespace(result=result, frames=result.frames, looks=reader.looks)


def half(side: str) -> torch.Tensor:
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., slice(0, 48) if side == "left" else slice(48, None)] = 1
    return mask


def test_achieved_is_edited_minus_original() -> None:
    seen = report(picture(ONE, left=0.2), picture(ONE, left=0.8, blue=0.25), [SMILE])
    (frame,) = seen.frames
    assert frame.requested == SMILE
    assert frame.achieved == AUDelta(AU12=3)
    assert frame.confidence == (0.5,) * 12
    assert frame.identity == pytest.approx(0.25)
    assert frame.problem is None
    assert seen.result.charts.shape[:2] == (1, 3)


def test_the_face_is_the_largest_or_the_one_below_the_mask() -> None:
    pictures = picture(BOTH), picture(BOTH, left=0.2, right=0.6)
    assert report(*pictures, [SMILE]).frames[0].achieved == AUDelta(AU12=3)
    masked = report(*pictures, [SMILE], mask=half("left")).frames[0]
    assert masked.achieved == AUDelta(AU12=1)


def test_a_face_elsewhere_is_not_the_edited_one() -> None:
    (frame,) = report(picture(BOTH), picture(ONE, left=1.0), [SMILE]).frames
    assert frame.achieved is None
    assert frame.identity is None
    assert frame.problem == "no face found in its place in the edited picture"


def test_missing_faces_are_reported_and_the_background_still_measured() -> None:
    edited = torch.cat([picture(ONE), picture(NONE)])
    original = torch.cat([picture(NONE), picture(ONE)])
    seen = report(original, edited, [SMILE], mask=half("left"))
    problems = [frame.problem for frame in seen.frames]
    assert problems[0] == "no face found in the original"
    assert problems[1] == "no face found in its place in the edited picture"
    assert all(frame.background.rmse > 0 for frame in seen.frames)
    assert seen.result.charts.shape[0] == 2


def test_background_is_what_the_mask_leaves_out() -> None:
    original, edited = picture(ONE), picture(ONE)
    edited[..., :48] = 0.5
    edited[0, 0, 0, 0] = original[0, 0, 0, 0]
    inside = report(original, edited, [SMILE], mask=half("left")).frames[0].background
    assert (inside.rmse, inside.largest) == (0.0, 0.0)
    outside = report(original, edited, [SMILE], mask=half("right")).frames[0].background
    assert outside.largest == pytest.approx(0.5, abs=0.01)
    assert report(original, edited, [SMILE]).frames[0].background is None
    whole = torch.ones(1, 1, SIZE, SIZE)
    assert report(original, edited, [SMILE], mask=whole).frames[0].background is None


def test_one_original_is_looked_at_once_for_many_edits() -> None:
    edited = torch.cat([picture(ONE, left=value) for value in (0.2, 0.4, 0.6)])
    seen = report(picture(ONE), edited, [SMILE])
    assert [frame.achieved.values[6] for frame in seen.frames] == [1, 2, 3]
    assert seen.looks == 1 + 3


def test_numbers_of_frames_must_fit() -> None:
    frames = torch.cat([picture(ONE)] * 3)
    with pytest.raises(ImageError, match="3 in original, 1 in edited, 2 in delta"):
        report(frames, picture(ONE), [SMILE] * 2)
    with pytest.raises(ImageError, match="2 in mask"):
        report(frames, frames, [SMILE], mask=torch.ones(2, 1, SIZE, SIZE))


def test_sizes_must_fit() -> None:
    with pytest.raises(ImageError, match=r"original is 96 x 96 pixels and the edited.* 48 x 96"):
        report(picture(ONE), picture(ONE)[..., :48], [SMILE])
    with pytest.raises(ImageError, match=r"mask 64 x 64: connect.*of one size"):
        report(picture(ONE), picture(ONE), [SMILE], mask=torch.ones(1, 1, 64, 64))


def test_json_says_everything_in_numbers() -> None:
    original = torch.cat([picture(ONE), picture(NONE)])
    edited = torch.cat([picture(ONE, left=0.4, blue=0.7), picture(NONE)])
    content = json.loads(report(original, edited, [SMILE], mask=half("left")).result.to_json())
    assert (content["format"], content["version"]) == ("magicface-report", 1)
    first, second = content["frames"]
    assert first["frame"] == 0
    assert first["aus"][6] == {
        "au": "AU12",
        "name": "Lip Corner Puller",
        "requested": 3.0,
        "achieved": 2.0,
        "confidence": 0.5,
    }
    assert first["identity_distance"] == 0.7
    assert first["same_person"] is False
    assert first["background_rmse"] == pytest.approx(0.4, abs=0.05)
    assert first["findings"]["expression"] == "1 of 1 changes went the way asked"
    assert second["aus"][6]["achieved"] is None
    assert second["identity_distance"] is second["same_person"] is None
    assert second["problem"] == "no face found in the original"


def test_charts_show_what_was_reached() -> None:
    edited = torch.cat([picture(ONE, left=value) for value in (0.2, 0.8)])
    charts = report(picture(ONE), edited, [AUDelta(AU12=4)]).result.charts
    rows = charts[:, :, 300:, 310:480]
    coloured = (rows.amax(1) - rows.amin(1) > 0.15).sum((1, 2))
    assert coloured[1] > 3 * coloured[0] > 0


def test_a_real_photograph_and_itself() -> None:
    from skimage import data

    photo = to_tensor(data.astronaut())
    mask = torch.zeros(1, 1, *photo.shape[-2:])
    mask[..., 50:220, 150:300] = 1
    (frame,) = report_frames(photo, photo.clone(), [AUDelta()], Perception.load(), mask).frames
    assert frame.achieved is not None
    assert frame.achieved.is_zero
    assert frame.identity == 0
    assert frame.same_person
    assert frame.background is not None
    assert frame.background.largest == 0
