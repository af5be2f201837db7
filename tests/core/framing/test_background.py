"""The background + pose picture against the published one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from magicface_core.errors import ImageError
from magicface_core.framing.background import CANVAS_POINTS5, background_pose, compose, jaw_dots
from magicface_core.perception import Face, JawPoints, Perception
from magicface_core.perception.mesh import MeshJaw
from magicface_core.perception.regions import region_of_parsing
from magicface_core.pictures.affine import apply_affine, invert_affine, least_squares_similarity
from magicface_core.pictures.images import to_tensor, to_uint8

GOLDEN = Path(__file__).parents[2] / "golden" / "preparation"


def picture(name: str) -> np.ndarray:
    with Image.open(GOLDEN / f"{name}.png") as image:
        return np.asarray(image.convert("RGB"))


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "preparation.npz") as file:
        return dict(file)


def test_five_point_fit_is_the_published_one(golden: dict[str, np.ndarray]) -> None:
    fitted = least_squares_similarity(golden["background.pts5"], CANVAS_POINTS5)
    np.testing.assert_allclose(fitted, golden["background.warp256"], rtol=0, atol=1e-9)


def test_dots_are_the_published_ones(golden: dict[str, np.ndarray]) -> None:
    dots = jaw_dots(golden["background.contour512"], golden["background.pts5"])
    ours = np.rint(dots * 255).astype(int)
    assert np.abs(ours - picture("background.dots")).max() == 0


def test_kept_pixels_and_result_are_the_published_ones(golden: dict[str, np.ndarray]) -> None:
    crop = to_tensor(picture("background.image"))
    mask = region_of_parsing(golden["background.parsing"], "face")
    none = np.zeros((512, 512, 3), np.float32)
    kept = to_uint8(compose(crop, mask, none)).astype(int)
    assert np.abs(kept - picture("background.kept")).max() == 0
    dots = jaw_dots(golden["background.contour512"], golden["background.pts5"])
    result = to_uint8(compose(crop, mask, dots)).astype(int)
    assert np.abs(result - picture("background.result")).max() == 0


def test_person_region_is_everything_but_background() -> None:
    parsing = np.arange(19, dtype=np.uint8)[None].repeat(2, 0)
    assert region_of_parsing(parsing, "person")[0, 0, 0].tolist() == [0] + [1] * 18
    face = region_of_parsing(parsing, "face")[0, 0, 0].nonzero().flatten().tolist()
    assert face == [1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 15]


def test_dots_lie_on_the_jaw_from_pink_to_orange(golden: dict[str, np.ndarray]) -> None:
    jaw = golden["background.contour512"]
    dots = jaw_dots(jaw, golden["background.pts5"])
    for x, y in np.rint(jaw).astype(int):
        assert dots[y, x, 0] > 0.8
    first, last = (dots[y, x] for x, y in np.rint(jaw[[0, 16]]).astype(int))
    assert first[2] > first[1]
    assert last[1] > last[2]


def test_dots_scale_with_the_crop(golden: dict[str, np.ndarray]) -> None:
    jaw, points = golden["background.contour512"] / 4, golden["background.pts5"] / 4
    dots = jaw_dots(jaw, points, 128)
    assert dots.shape == (128, 128, 3)
    covered = (dots.max(-1) > 0.1).mean()
    large = jaw_dots(4 * jaw, 4 * points)
    assert covered == pytest.approx((large.max(-1) > 0.1).mean(), rel=0.35)


def test_dots_outside_the_crop_are_left_out() -> None:
    to_crop = invert_affine(np.array([[1.0, 0, 0], [0, 1.0, 0]]))
    jaw = np.full((17, 2), -40.0)
    assert not jaw_dots(jaw, apply_affine(to_crop, CANVAS_POINTS5), 256).any()


@pytest.mark.parametrize("shape", [(16, 2), (17, 3)])
def test_wrong_number_of_jaw_points(shape: tuple[int, int]) -> None:
    with pytest.raises(ImageError, match="17,2"):
        jaw_dots(np.zeros(shape), CANVAS_POINTS5)


class _Masks:
    """Stands in for the perception: half the picture is person, a square is face."""

    parser = SimpleNamespace(backend="halves")
    jaw = MeshJaw()

    def jaw_points(self, image: torch.Tensor, face: Face) -> JawPoints:
        return self.jaw.estimate(image, face)

    def person_mask(self, image: torch.Tensor) -> torch.Tensor:
        mask = torch.zeros_like(image[:, :1])
        mask[..., :60] = 0.9
        mask[..., 60:] = 0.4
        return mask

    def face_mask(self, image: torch.Tensor, face: Face) -> torch.Tensor:
        mask = torch.zeros_like(image[:, :1])
        mask[..., 40:80, 40:80] = 1
        return mask


def face_in_crop() -> Face:
    mesh = np.zeros((478, 3))
    mesh[:, :2] = 64
    face = Face(0.9, np.array([30.0, 30, 90, 90]), np.zeros((6, 2)), mesh, 1.0)
    for vertex, place in zip((468, 473, 4, 61, 291), CANVAS_POINTS5 / 2, strict=True):
        mesh[vertex, :2] = place
    return face


def test_regions_take_their_own_masks() -> None:
    crop = torch.full((1, 3, 128, 128), 0.5)
    masks: Perception = _Masks()  # type: ignore[assignment]
    person = background_pose(crop, face_in_crop(), "person", masks)
    assert person.mask.mean() == pytest.approx(60 / 128)
    assert not person.picture[..., 100:, :40].any()
    face = background_pose(crop, face_in_crop(), "face", masks)
    assert int(face.mask.sum()) == 1600
    assert float(face.picture[0, 0, 100, 5]) == 0.5
    assert face.picture[..., 60:68, 60:68].max() > 0.9  # all jaw points of this face lie here
    assert (face.parser, face.jaw) == ("halves", "embedded")


def test_unknown_region_and_oblong_crop_are_refused() -> None:
    masks: Perception = _Masks()  # type: ignore[assignment]
    with pytest.raises(ImageError, match=r"'head'.*face, person"):
        background_pose(torch.zeros(1, 3, 64, 64), face_in_crop(), "head", masks)  # type: ignore[arg-type]
    with pytest.raises(ImageError, match="square"):
        background_pose(torch.zeros(1, 3, 64, 32), face_in_crop(), "face", masks)
