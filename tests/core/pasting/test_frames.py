"""Backgrounds of many crops, and many edits pasted back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from magicface_core.errors import ImageError, NoFaceError
from magicface_core.framing.background import BackgroundPose, background_frames
from magicface_core.framing.crops import CroppedFaces, FaceCrop, FaceCrops, crop_faces
from magicface_core.framing.framing import Framing
from magicface_core.framing.preparation import prepare
from magicface_core.pasting.frames import paste_frames
from magicface_core.perception import Face, JawPoints, Perception
from magicface_core.perception.mesh import MeshJaw
from magicface_core.pictures.crop import Crop
from magicface_core.pictures.images import channels_last, to_tensor, to_uint8
from magicface_core.pictures.resampling import enlarge_to, reduce_to

NOTHING: Any = None  # a perception that must not be asked


class JawOnly:
    """A perception that must be asked for the dots alone."""

    jaw = MeshJaw()

    def jaw_points(self, image: Tensor, face: Face) -> JawPoints:
        return self.jaw.estimate(image, face)


JAW_ONLY: Any = JawOnly()
FRAMING = Framing(face_fraction=0.55, mask_dilation=0.02, resolution=128)


@pytest.fixture(scope="module")
def cropped(perception: Perception, photo: Tensor) -> CroppedFaces:
    return crop_faces(photo, perception, FRAMING)


@pytest.fixture(scope="module")
def background(perception: Perception, cropped: CroppedFaces) -> BackgroundPose:
    return background_frames(cropped.pictures, perception, cropped.crops)


@pytest.fixture
def mixed(cropped: CroppedFaces) -> FaceCrops:
    """Crops of three frames, the middle one without a face."""
    entry = cropped.crops.frames[0]
    return replace(cropped.crops, frames=(entry, None, entry))


SQUARES = {
    "enlarged": Crop((225.5, 130.3), 140.7, (512, 401)),
    "reduced": Crop((250.0, 200.5), 900.0, (512, 401)),
    "turned": Crop((225.5, 180.0), 333.3, (512, 401), 0.6),
    "turned over a corner": Crop((60.0, 350.0), 250.0, (512, 401), -0.7),
}
SCALED = [
    (512, "none"),
    (257, "bilinear"),
    (301, "area"),
    (333, "lanczos"),
    (701, "nearest-exact"),
    (600, "lanczos"),
    (645, "bicubic"),
]
"""Sizes and filters of the nodes and programs that scale pictures."""


def scaled_by(manner: str, pictures: Tensor, size: int) -> Tensor:
    """[B,3,size,size] by a filter of torch, or by Pillow in eight bits."""
    if manner != "lanczos":
        return F.interpolate(pictures, (size, size), mode=manner).clamp(0, 1)
    lanczos = Image.Resampling.LANCZOS
    return torch.cat(
        [
            to_tensor(Image.fromarray(to_uint8(picture)).resize((size, size), lanczos))
            for picture in pictures.split(1)
        ]
    )


def disc(size: int, radius: float = 0.3) -> Tensor:
    steps = (torch.arange(size) + 0.5) / size - 0.5
    return ((steps[:, None] ** 2 + steps**2) < radius**2).float()[None, None]


class TestBackgroundFrames:
    def test_equals_the_pipelines(
        self, perception: Perception, photo: Tensor, background: BackgroundPose
    ) -> None:
        prepared = prepare(channels_last(photo), perception, FRAMING)
        assert torch.equal(background.picture, prepared.background.picture)
        assert torch.equal(background.mask, prepared.background.mask)

    def test_the_region_can_be_chosen(
        self, perception: Perception, cropped: CroppedFaces, background: BackgroundPose
    ) -> None:
        person = background_frames(cropped.pictures, perception, cropped.crops, region="person")
        assert person.mask.mean() > background.mask.mean() + 0.1
        with pytest.raises(ImageError, match="Unknown region 'hair'"):
            background_frames(cropped.pictures, perception, cropped.crops, region="hair")  # type: ignore[arg-type]

    def test_without_crops_the_face_is_searched(
        self, perception: Perception, cropped: CroppedFaces
    ) -> None:
        crops = replace(cropped.crops, framing=Framing())
        known = background_frames(cropped.pictures, perception, crops)
        searched = background_frames(cropped.pictures, perception)
        both = (known.mask * searched.mask).sum() / (known.mask + searched.mask).clamp(0, 1).sum()
        assert both > 0.95
        two = torch.cat([cropped.pictures, torch.zeros(1, 3, 512, 512)])
        with pytest.raises(NoFaceError, match=r"Frame 1 \(of 0 to 1\): No face"):
            background_frames(two, perception)

    def test_frames_without_a_face_stay_as_they_are(
        self,
        perception: Perception,
        cropped: CroppedFaces,
        background: BackgroundPose,
        mixed: FaceCrops,
    ) -> None:
        pictures = cropped.pictures.expand(3, -1, -1, -1)
        drawn = background_frames(pictures, perception, mixed)
        assert torch.equal(drawn.picture[1:2], cropped.pictures)
        assert not drawn.mask[1].any()
        for number in (0, 2):
            assert torch.equal(drawn.picture[number], background.picture[0])
            assert torch.equal(drawn.mask[number], background.mask[0])
        assert (drawn.parser, drawn.jaw) == ("embedded", "embedded")
        masked = background_frames(pictures, JAW_ONLY, mixed, mask=disc(64))
        assert (masked.parser, masked.jaw) == (None, "embedded")
        assert not masked.mask[1].any()
        assert masked.mask[2].any()

    @pytest.mark.parametrize("size", [300, 1024])
    def test_crops_of_another_size(
        self, perception: Perception, cropped: CroppedFaces, background: BackgroundPose, size: int
    ) -> None:
        scale = reduce_to if size < 512 else enlarge_to
        scaled = scale(cropped.pictures, size).clamp(0, 1)
        drawn = background_frames(scaled, perception, cropped.crops)
        assert drawn.picture.shape == (1, 3, 512, 512)
        assert (drawn.mask - background.mask).abs().mean() < 0.02

    @pytest.mark.parametrize("size", [64, 512, 700])
    def test_a_given_mask_replaces_the_region(self, cropped: CroppedFaces, size: int) -> None:
        drawn = background_frames(cropped.pictures, JAW_ONLY, cropped.crops, mask=disc(size))
        assert (drawn.mask - disc(512)).abs().mean() < 0.02
        inside = drawn.mask.bool().expand(-1, 3, -1, -1)
        assert (drawn.picture[inside] == 0).float().mean() > 0.95
        dots = (drawn.picture != torch.where(inside, 0, cropped.pictures)).any(1)
        assert 300 < dots.sum() < 6000, "seventeen dots"

    def test_a_mask_of_the_whole_picture(self, perception: Perception, photo: Tensor) -> None:
        wide = torch.cat([photo, photo[..., :100]], -1)
        found = crop_faces(wide, perception, Framing())
        entry = found.crops.frames[0]
        assert entry is not None
        drawn = background_frames(found.pictures, JAW_ONLY, found.crops, mask=found.mask[:, None])
        assert drawn.mask.mean() > 0.99
        far = torch.zeros(1, 1, 512, 612)
        far[..., 400:, 400:] = 1
        with pytest.raises(ImageError, match="empty where the face is"):
            background_frames(found.pictures, NOTHING, found.crops, mask=far)

    def test_refused_inputs(self, cropped: CroppedFaces, mixed: FaceCrops) -> None:
        with pytest.raises(ImageError, match="1 face pictures and crops of 3 frames"):
            background_frames(cropped.pictures, NOTHING, mixed)
        with pytest.raises(ImageError, match="512 x 300, not square: take the square"):
            background_frames(cropped.pictures[..., :300, :], NOTHING, cropped.crops)
        with pytest.raises(ImageError, match="empty where the face is"):
            background_frames(
                cropped.pictures, NOTHING, cropped.crops, mask=torch.zeros(1, 1, 64, 64)
            )


class TestPasteFrames:
    @pytest.mark.parametrize("masked", [False, True])
    @pytest.mark.parametrize("colour_match", [0.0, 1.0])
    def test_an_unedited_crop_returns_the_picture_bit_for_bit(
        self,
        photo: Tensor,
        cropped: CroppedFaces,
        background: BackgroundPose,
        masked: bool,
        colour_match: float,
    ) -> None:
        mask = background.mask if masked else None
        pasted, weight = paste_frames(
            photo, cropped.pictures, cropped.crops, mask=mask, colour_match=colour_match
        )
        assert torch.equal(pasted, photo)
        assert weight.max() == 1
        assert (weight > 0).float().mean() <= cropped.mask.mean()

    def test_outside_the_mask_no_bit_changes(
        self, photo: Tensor, cropped: CroppedFaces, background: BackgroundPose
    ) -> None:
        before = photo.clone()
        edited = 1 - cropped.pictures
        pasted, weight = paste_frames(photo, edited, cropped.crops, mask=background.mask)
        untouched = (weight == 0).expand_as(photo)
        assert torch.equal(pasted[untouched], photo[untouched])
        assert (pasted != photo).any()
        assert torch.equal(photo, before)
        assert not (weight[:, 0] * (1 - cropped.mask)).any()

    @pytest.mark.parametrize("size", [64, 256, 1024])
    def test_edits_of_another_size(self, photo: Tensor, cropped: CroppedFaces, size: int) -> None:
        scale = reduce_to if size < 512 else enlarge_to
        unedited = scale(cropped.pictures, size).clamp(0, 1)
        pasted, _ = paste_frames(photo, unedited, cropped.crops)
        assert torch.equal(pasted, photo)
        black = torch.zeros_like(unedited)
        edited, weight = paste_frames(photo, black, cropped.crops, keep_detail=False)
        assert (edited * (weight == 1)).max() < 1e-6
        assert (weight == 1).any()

    @pytest.mark.parametrize("name", SQUARES)
    @pytest.mark.parametrize(("size", "manner"), SCALED)
    def test_the_round_trip_of_an_unedited_crop(
        self, photo: Tensor, name: str, size: int, manner: str
    ) -> None:
        """Within one grey level inside, bit for bit outside, whoever scaled the crop."""
        frames = torch.cat([photo, photo.flip(-1)])[..., :401, :]
        crop = SQUARES[name]
        crops = FaceCrops((FaceCrop(crop, NOTHING),), crop.source_size, FRAMING)
        faces = torch.cat([crop.extract(frame, 512) for frame in frames.split(1)])
        edits = faces if manner == "none" else scaled_by(manner, faces, size)
        pasted, weight = paste_frames(frames, edits, crops, mask=disc(512, 0.6))
        assert (pasted - frames).abs().max() <= 1 / 255
        assert torch.equal(
            pasted[(weight == 0).expand_as(frames)], frames[weight.eq(0).expand_as(frames)]
        )
        assert weight.max() == 1
        if manner == "none":
            assert torch.equal(pasted, frames)

    def test_a_crop_that_was_saved_and_loaded(self, photo: Tensor, cropped: CroppedFaces) -> None:
        for offset in (0.0, 0.5):  # ComfyUI cuts off, other programs round
            levels = (cropped.pictures * 255 + offset).floor() / 255
            pasted, _ = paste_frames(photo, levels, cropped.crops)
            assert (pasted - photo).abs().max() <= 1 / 255

    def test_a_mask_of_the_whole_picture_reaches_its_border(self, photo: Tensor) -> None:
        crop = Crop((10.0, 250.0), 200.0, (511, 512), 0.4)
        crops = FaceCrops((FaceCrop(crop, NOTHING),), crop.source_size, FRAMING)
        mask = torch.zeros(1, 1, 512, 511)
        mask[..., 220:280, :60] = 1
        edit = torch.rand(1, 3, 300, 300)
        _, weight = paste_frames(photo[..., :511], edit, crops, mask=mask)
        assert weight[..., 240:260, :30].min() > 0.999
        assert not weight[mask == 0].any()

    def test_one_photo_with_many_edits(
        self, photo: Tensor, cropped: CroppedFaces, background: BackgroundPose
    ) -> None:
        edits = torch.cat([cropped.pictures, cropped.pictures * 0.3, 1 - cropped.pictures])
        pasted, weight = paste_frames(photo, edits, cropped.crops, mask=background.mask)
        assert pasted.shape == (3, 3, 512, 512)
        assert weight.shape == (3, 1, 512, 512)
        assert torch.equal(pasted[:1], photo)
        for number in (1, 2):
            alone = paste_frames(
                photo, edits[number : number + 1], cropped.crops, mask=background.mask
            )
            assert torch.equal(pasted[number : number + 1], alone[0])
            assert torch.equal(weight[number : number + 1], alone[1])

    def test_many_frames_with_as_many_edits(self, perception: Perception, photo: Tensor) -> None:
        frames = torch.cat([photo, photo.roll(60, -1), photo.roll(-30, -2)])
        found = crop_faces(frames, perception, Framing())
        drawn = background_frames(found.pictures, perception, found.crops)
        pasted, _ = paste_frames(frames, found.pictures, found.crops, mask=drawn.mask)
        assert torch.equal(pasted, frames)
        dark, weight = paste_frames(
            frames, found.pictures * 0.2, found.crops, mask=drawn.mask, colour_match=0.0
        )
        for number, entry in enumerate(found.crops.frames):
            assert entry is not None
            rows, columns = (weight[number, 0] > 0.5).nonzero(as_tuple=True)
            x, y = entry.crop.center
            assert abs(float(columns.float().mean()) - x) < 0.15 * entry.crop.side
            assert abs(float(rows.float().mean()) - y) < 0.25 * entry.crop.side
            alone = weight[number, 0] == 1
            assert dark[number, :, alone].mean() < 0.5 * frames[number, :, alone].mean()

    def test_frames_without_a_face_are_untouched(
        self, photo: Tensor, cropped: CroppedFaces, mixed: FaceCrops
    ) -> None:
        frames, edits = photo.repeat(3, 1, 1, 1), torch.rand(3, 3, 128, 128)
        pasted, weight = paste_frames(frames, edits, mixed, mask=disc(64))
        assert torch.equal(pasted[1], photo[0])
        assert not weight[1].any()
        assert weight[0].any()
        assert weight[2].any()
        nobody = replace(cropped.crops, frames=(None,))
        pasted, weight = paste_frames(photo, edits[:1], nobody, mask=torch.zeros(1, 1, 8, 8))
        assert torch.equal(pasted, photo)
        assert pasted.data_ptr() != photo.data_ptr()
        assert not weight.any()

    def test_several_faces_one_after_the_other(self, perception: Perception, group: Tensor) -> None:
        picture = group
        everywhere = torch.zeros(640, 900)
        for number in range(3):
            found = crop_faces(group, perception, Framing(), face=number, order="left to right")
            drawn = background_frames(found.pictures, perception, found.crops)
            same, _ = paste_frames(picture, found.pictures, found.crops, mask=drawn.mask)
            assert torch.equal(same, picture)
            picture, weight = paste_frames(
                picture, 1 - found.pictures, found.crops, mask=drawn.mask, colour_match=0.0
            )
            assert not (weight[0, 0] * everywhere).any()
            everywhere += weight[0, 0]
        changed = (picture != group).any(1)[0]
        assert torch.equal(changed, changed & (everywhere > 0))
        assert changed[:, :250].any()
        assert changed[:200].any()
        assert changed[400:, 550:].any()

    @pytest.mark.parametrize("size", [37, 300, 512, 900])
    def test_masks_in_the_crop_at_any_resolution(
        self, photo: Tensor, cropped: CroppedFaces, size: int
    ) -> None:
        _, expected = paste_frames(photo, cropped.pictures, cropped.crops, mask=disc(512))
        _, weight = paste_frames(photo, cropped.pictures, cropped.crops, mask=disc(size))
        assert (weight - expected).abs().mean() < 0.02
        assert not weight[expected == 0].gt(0.5).any()

    def test_masks_of_the_whole_picture(self, perception: Perception, photo: Tensor) -> None:
        wide = torch.cat([photo, photo[..., :77]], -1)[..., :-1, :]
        found = crop_faces(wide, perception, Framing())
        mask = torch.zeros(1, 1, 511, 589)
        mask[..., 60:150, 150:230] = 1
        pasted, weight = paste_frames(wide, 1 - found.pictures, found.crops, mask=mask)
        outside = (mask == 0).expand_as(wide)
        assert torch.equal(pasted[outside], wide[outside])
        assert not weight[mask == 0].any()
        assert weight[..., 90:120, 180:200].min() > 0.999
        with pytest.raises(ImageError, match="empty where the face is"):
            paste_frames(wide, found.pictures, found.crops, mask=mask.roll(350, -1))

    def test_colours_are_matched(
        self, photo: Tensor, cropped: CroppedFaces, background: BackgroundPose
    ) -> None:
        toned = (cropped.pictures * 0.85 + 0.08).clamp(0, 1)

        def error(strength: float) -> float:
            pasted, _ = paste_frames(
                photo, toned, cropped.crops, mask=background.mask, colour_match=strength
            )
            return float((pasted - photo).abs().sum() / background.mask.sum())

        assert error(1.0) < 0.1 * error(0.0)
        assert error(1.0) < error(0.5) < error(0.0)

    def test_detail_of_the_picture_is_kept(self, perception: Perception, group: Tensor) -> None:
        large = enlarge_to(group[..., 330:582, 500:752], 1400).clamp(0, 1)
        generator = torch.Generator().manual_seed(0)
        grain = 0.1 * torch.rand(large.shape, generator=generator)
        picture = (large + grain).clamp(0, 1)
        found = crop_faces(picture, perception, Framing())
        kept, _ = paste_frames(picture, found.pictures, found.crops)
        assert torch.equal(kept, picture)
        plain, _ = paste_frames(picture, found.pictures, found.crops, keep_detail=False)
        assert (plain - picture).abs().max() > 0.03

    def test_counts_that_do_not_fit(
        self, photo: Tensor, cropped: CroppedFaces, mixed: FaceCrops
    ) -> None:
        two = cropped.pictures.expand(2, -1, -1, -1)
        with pytest.raises(
            ImageError, match=r"1 pictures, 2 edited faces and crops of 3 frames .* 1 or 3"
        ):
            paste_frames(photo, two, mixed)
        with pytest.raises(ImageError, match="3 masks for 2 pictures"):
            paste_frames(photo, two, cropped.crops, mask=torch.ones(3, 1, 64, 64))

    def test_sizes_and_numbers_that_do_not_fit(self, photo: Tensor, cropped: CroppedFaces) -> None:
        faces, crops = cropped.pictures, cropped.crops
        with pytest.raises(ImageError, match="picture of 512 x 512, this one is 512 x 400"):
            paste_frames(photo[..., :400, :], faces, crops)
        with pytest.raises(ImageError, match="edited face picture is 512 x 300, not square"):
            paste_frames(photo, faces[..., :300, :], crops)
        with pytest.raises(ImageError, match="mask is 30 x 20; it must be square"):
            paste_frames(photo, faces, crops, mask=torch.ones(1, 1, 20, 30))
        with pytest.raises(ImageError, match=r"feather is 0 to 0.5, not 0.6"):
            paste_frames(photo, faces, crops, feather=0.6)
        with pytest.raises(ImageError, match="colour match is 0 to 1, not 2"):
            paste_frames(photo, faces, crops, colour_match=2)
        with pytest.raises(ImageError, match="empty where the face is"):
            paste_frames(photo, faces, crops, mask=torch.zeros(1, 1, 64, 64))
