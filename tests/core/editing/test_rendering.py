"""Edits of prepared crops: counts, batches, zero deltas, detail, and agreement with `MagicFace`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import magicface_core
from magicface_core import AUDelta, MagicFace, Settings
from magicface_core.editing import rendering as editing
from magicface_core.editing.rendering import (
    EncodedIdentity,
    Rendered,
    RenderOptions,
    encode_identities,
    preview_picture,
    render,
)
from magicface_core.errors import ImageError, MagicFaceError
from magicface_core.framing.background import background_frames
from magicface_core.framing.crops import crop_faces
from magicface_core.framing.framing import Framing
from magicface_core.network import Checkpoint, identity_paths, load_checkpoint
from magicface_core.network.tiny import write_tiny_checkpoint
from magicface_core.pasting.frames import paste_frames
from magicface_core.pictures.images import load_image, to_tensor

SMILE, FROWN, ZERO = AUDelta(AU6=2, AU12=4), AUDelta(AU1=2, AU4=3, AU15=3), AUDelta()
FACES = torch.rand(3, 3, 96, 96, generator=torch.Generator().manual_seed(0))
BACKGROUNDS = torch.rand(3, 3, 96, 96, generator=torch.Generator().manual_seed(1))
PORTRAIT = Path(magicface_core.__file__).parent / "assets" / "portrait.png"


@pytest.fixture(scope="module")
def identity(tiny: Checkpoint) -> EncodedIdentity:
    return encode_identities(tiny, FACES[:1])


@pytest.fixture(scope="module")
def identities_of_three(tiny: Checkpoint) -> EncodedIdentity:
    return encode_identities(tiny, FACES)


def edited(checkpoint: Checkpoint, *inputs: Any, **options: Any) -> Rendered:
    return render(checkpoint, *inputs, RenderOptions(**options))


def close(found: Rendered, expected: Rendered) -> bool:
    return torch.allclose(found.pictures, expected.pictures, atol=1e-4) and torch.allclose(
        found.latents, expected.latents, rtol=1e-3, atol=1e-3
    )


def rows(rendered: Rendered, *numbers: int) -> Rendered:
    chosen = list(numbers)
    return Rendered(rendered.pictures[chosen], rendered.latents[chosen])


# --- identities ---------------------------------------------------------------------------------


def test_identities_are_rows(tiny: Checkpoint, identities_of_three: EncodedIdentity) -> None:
    three = identities_of_three
    assert len(three) == 3
    assert torch.equal(three.picture, FACES)
    assert three.latents.shape == (3, 4, 8, 8)
    alone = encode_identities(tiny, FACES[[1]])
    again = encode_identities(tiny, FACES, batch_size=2)
    for found in (three.rows([1]), again.rows([1])):
        assert torch.equal(found.picture, alone.picture)
        for feature, expected in zip(found.features, alone.features, strict=True):
            torch.testing.assert_close(feature, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(three.rows([2, 0]).latents, three.latents[[2, 0]])
    moved = three.to("meta")
    assert {t.device.type for t in (moved.picture, moved.latents, *moved.features)} == {"meta"}


def test_small_and_large_faces_become_the_checkpoints_size(tiny: Checkpoint) -> None:
    for side in (32, 64, 200):
        found = encode_identities(tiny, torch.rand(1, 3, side, side))
        assert found.latents.shape == (1, 4, 8, 8)
        assert found.picture.shape[-1] == side


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 3, 64, 96), "96 x 64, not square: take the square"), ((3, 64, 64), "3, 64, 64")],
)
def test_pictures_that_are_no_face_crops(
    tiny: Checkpoint, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ImageError, match=message):
        encode_identities(tiny, torch.zeros(shape))


# --- counts and batches -------------------------------------------------------------------------


@pytest.mark.parametrize("keep_detail", [False, True])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_every_mixture_of_one_and_many_is_the_single_edits(
    tiny: Checkpoint, identities_of_three: EncodedIdentity, keep_detail: bool, guidance: float
) -> None:
    deltas = [SMILE, FROWN, SMILE * 0.5]
    options = {"seed": 3, "guidance": guidance, "keep_detail": keep_detail}

    def single(face: int, place: int, delta: int) -> Rendered:
        return edited(
            tiny, identities_of_three.rows([face]), BACKGROUNDS[[place]], [deltas[delta]], **options
        )

    for faces, places, asked in ((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 1, 1)):
        found = edited(
            tiny,
            identities_of_three if faces else identities_of_three.rows([0]),
            BACKGROUNDS if places else BACKGROUNDS[:1],
            deltas if asked else deltas[:1],
            batch_size=2,
            **options,
        )
        assert found.pictures.shape == (3, 3, 512, 512)
        assert found.latents.shape == (3, 4, 8, 8)
        for row in range(3):
            expected = single(row * faces, row * places, row * asked)
            assert close(rows(found, row), expected), (faces, places, asked, row)


@pytest.mark.parametrize("scheduler", ["unipc", "euler_ancestral"])
def test_every_row_has_the_same_random_numbers(
    tiny: Checkpoint, identity: EncodedIdentity, scheduler: str
) -> None:
    """Frames of one face would flicker otherwise; stochastic schedulers draw in every step."""
    found = edited(tiny, identity, BACKGROUNDS[:1], [SMILE] * 3, scheduler=scheduler, batch_size=2)
    for row in (1, 2):
        assert close(rows(found, row), rows(found, 0))
    other = edited(tiny, identity, BACKGROUNDS[:1], [SMILE], scheduler=scheduler, seed=1)
    assert not close(other, rows(found, 0))


def test_counts_that_do_not_fit(tiny: Checkpoint, identities_of_three: EncodedIdentity) -> None:
    with pytest.raises(ImageError, match="3 faces, 1 backgrounds and 2 deltas do not go"):
        render(tiny, identities_of_three, BACKGROUNDS[:1], [SMILE, FROWN])
    with pytest.raises(ImageError, match="3 faces, 3 backgrounds and 0 deltas"):
        render(tiny, identities_of_three, BACKGROUNDS, [])


def test_the_largest_seed_of_a_graph(tiny: Checkpoint, identity: EncodedIdentity) -> None:
    assert edited(tiny, identity, BACKGROUNDS[:1], [SMILE], seed=0xFFFFFFFFFFFFFFFF)


def test_settings_that_cannot_work(
    tiny: Checkpoint, identity: EncodedIdentity, golden_checkpoint: Checkpoint
) -> None:
    background = BACKGROUNDS[:1]
    with pytest.raises(MagicFaceError, match="steps is 2000"):
        edited(tiny, identity, background, [SMILE], steps=2000)
    with pytest.raises(MagicFaceError, match="batch_size is 0"):
        edited(tiny, identity, background, [SMILE], batch_size=0)
    with pytest.raises(ImageError, match="not square: take the square"):
        render(tiny, identity, background[..., 8:], [SMILE])
    with pytest.raises(MagicFaceError, match="another checkpoint"):
        render(golden_checkpoint, identity, background, [SMILE])


def test_an_identity_of_another_checkpoint_of_the_same_shapes(
    tiny: Checkpoint, identity: EncodedIdentity, tmp_path: Path
) -> None:
    """Its features have the right shapes and would be sampled without a word."""
    other = load_checkpoint(write_tiny_checkpoint(tmp_path / "a", resolution=64, seed=1), "cpu")
    message = "encoded by another checkpoint .* encode it with the same model"
    for moved in (identity, identity.rows([0]), identity.to("cpu")):
        with pytest.raises(MagicFaceError, match=message):
            render(other, moved, BACKGROUNDS[:1], [SMILE])
    same = replace(tiny, compute_dtype=torch.float32)
    assert close(
        edited(same, identity, BACKGROUNDS[:1], [SMILE]),
        edited(tiny, identity, BACKGROUNDS[:1], [SMILE]),
    )


def test_networks_that_come_from_no_file_are_told_by_their_shapes(
    tiny: Checkpoint, identity: EncodedIdentity
) -> None:
    unknown = replace(tiny, fingerprint="")
    assert identity.fingerprint == tiny.fingerprint != ""
    assert encode_identities(unknown, FACES[:1]).fingerprint == ""
    assert edited(unknown, identity, BACKGROUNDS[:1], [SMILE])


# --- zero deltas --------------------------------------------------------------------------------


def test_a_zero_delta_is_the_face_itself(tiny: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    face = torch.rand(1, 3, 512, 512)
    identity = encode_identities(tiny, face)
    monkeypatch.setattr(editing, "sample", lambda *_, **__: pytest.fail("sampled"))
    found = render(tiny, identity, BACKGROUNDS[:1], [ZERO, ZERO], callback=pytest.fail)
    assert torch.equal(found.pictures, face.expand(2, -1, -1, -1))
    assert torch.equal(found.latents, identity.latents.expand(2, -1, -1, -1))


def test_zero_deltas_among_others_keep_their_place(
    tiny: Checkpoint, identities_of_three: EncodedIdentity
) -> None:
    mixed = edited(tiny, identities_of_three, BACKGROUNDS, [SMILE, ZERO, FROWN])
    moving = edited(tiny, identities_of_three.rows([0, 2]), BACKGROUNDS[[0, 2]], [SMILE, FROWN])
    assert close(rows(mixed, 0, 2), moving)
    assert torch.equal(mixed.latents[1], identities_of_three.latents[1])


def test_a_zero_delta_can_be_drawn(tiny: Checkpoint, identity: EncodedIdentity) -> None:
    plain = edited(tiny, identity, BACKGROUNDS[:1], [ZERO, SMILE])
    drawn = edited(tiny, identity, BACKGROUNDS[:1], [ZERO, SMILE], render_zero=True)
    assert not close(rows(drawn, 0), rows(plain, 0))
    assert close(rows(drawn, 1), rows(plain, 1))


def test_latents_have_one_scale(tmp_path: Path) -> None:
    """Sampled latents and encoded faces come out alike: without the scaling factor."""
    checkpoint = load_checkpoint(write_tiny_checkpoint(tmp_path / "tiny", resolution=64), "cpu")
    checkpoint.vae.register_to_config(scaling_factor=0.25)
    identity = encode_identities(checkpoint, FACES[:1])
    found = edited(checkpoint, identity, BACKGROUNDS[:1], [SMILE, ZERO])
    with torch.no_grad():
        pictures = checkpoint.codec.decode_pictures(found.latents)
    again = torch.nn.functional.interpolate(pictures, 512, mode="bicubic").clamp(0, 1)
    assert torch.allclose(again[:1], found.pictures[:1], atol=1e-5)
    assert torch.equal(found.latents[1:], identity.latents)


# --- progress -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faces", "keep_detail", "scheduler", "total"),
    [(1, False, "ddim", 6), (1, True, "ddim", 9), (3, True, "ddim", 12), (1, False, "heun", 10)],
)
def test_every_step_is_reported(
    tiny: Checkpoint,
    identities_of_three: EncodedIdentity,
    faces: int,
    keep_detail: bool,
    scheduler: str,
    total: int,
) -> None:
    """Three steps, two batches; the unedited face once, or once for each of several faces."""
    heard: list[tuple[int, int]] = []
    shown: list[int] = []
    identity = identities_of_three.rows(range(faces))
    options = RenderOptions(
        steps=3, keep_detail=keep_detail, scheduler=scheduler, guidance=2.0, batch_size=2
    )

    def hear(done: int, steps: int, progress: object) -> None:
        heard.append((done, steps))
        if progress is not None:
            shown.append(done)

    render(tiny, identity, BACKGROUNDS[:1], [SMILE, FROWN, SMILE], options, hear)
    assert heard == [(done, total) for done in range(total + 1)]
    # Two batches of edits are worth looking at; the unedited face, drawn last, is not.
    assert len(shown) == (10 if scheduler == "heun" else 6)
    assert shown == list(range(1, len(shown) + 1))


def test_a_callback_may_stop_a_run(tiny: Checkpoint, identity: EncodedIdentity) -> None:
    heard: list[int] = []

    def stop(done: int, *_: object) -> None:
        heard.append(done)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render(tiny, identity, BACKGROUNDS[:1], [SMILE], RenderOptions(steps=9), stop)
    assert heard == [0, 1, 2]


def test_one_face_is_projected_once(
    tiny: Checkpoint, identity: EncodedIdentity, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []
    project = identity_paths.project_reference
    monkeypatch.setattr(
        identity_paths, "project_reference", lambda *inputs: calls.append(1) or project(*inputs)
    )
    edited(tiny, identity, BACKGROUNDS[:1], [SMILE] * 5, batch_size=2, keep_detail=True)
    assert len(calls) == 1


def test_previews_of_cheap_autoencoders_only(
    tiny: Checkpoint, golden_checkpoint: Checkpoint
) -> None:
    picture = preview_picture(tiny, torch.randn(3, 4, 8, 8))
    assert picture is not None
    assert (picture.shape, picture.dtype) == ((64, 64, 3), np.uint8)
    assert preview_picture(golden_checkpoint, torch.randn(1, 4, 8, 8)) is None


# --- agreement with the pipeline ----------------------------------------------------------------


def test_detail_of_the_face_is_kept_in_the_crop(tiny: Checkpoint) -> None:
    """As the checkpoint asks, or as the options say; the latents are the same either way."""
    face = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(5))
    identity = encode_identities(tiny, face)
    detailed = edited(tiny, identity, BACKGROUNDS[:1], [SMILE], keep_detail=True)
    plain = edited(tiny, identity, BACKGROUNDS[:1], [SMILE], keep_detail=False)
    assert torch.equal(detailed.latents, plain.latents)
    assert not torch.allclose(detailed.pictures, plain.pictures, atol=0.05)
    asked = replace(tiny, info=replace(tiny.info, keep_detail=True))
    assert close(edited(asked, identity, BACKGROUNDS[:1], [SMILE]), detailed)


@pytest.fixture(scope="module")
def mini() -> MagicFace:
    return MagicFace.load("mini", device="cpu")


def test_the_steps_of_a_graph_agree_with_the_pipeline(mini: MagicFace) -> None:
    """Crop, background, identity, sampler and paste on the packaged portrait."""
    photo = load_image(PORTRAIT)
    deltas = [SMILE, ZERO, FROWN]
    expected = mini.edit_many(photo, deltas, Settings(seed=5))
    source, perception = to_tensor(photo), mini.perception
    cropped = crop_faces(source, perception, Framing.of(mini.checkpoint.info))
    drawn = background_frames(cropped.pictures, perception, cropped.crops, None, None)
    identity = encode_identities(mini.checkpoint, cropped.pictures)
    found = edited(mini.checkpoint, identity, drawn.picture, deltas, seed=5)
    pasted, _ = paste_frames(
        source,
        found.pictures,
        cropped.crops,
        mask=drawn.mask,
        feather=0.03,
        colour_match=0.0,
        keep_detail=True,
    )
    inside = drawn.mask > 0.5  # outside the pipeline's crop shows the source
    for row, result in enumerate(expected):
        assert _mean_difference(pasted[row], to_tensor(result.image)[0]) < 0.5
        crop = to_tensor(result.crop)
        assert _mean_difference((found.pictures[row] * inside)[0], (crop * inside)[0]) < 1
    assert torch.equal(found.pictures[1:2], cropped.pictures)
    assert torch.equal(pasted[1:2], source)


def _mean_difference(found: Tensor, expected: Tensor) -> float:
    """In grey levels of 255."""
    return float((found - expected).abs().mean()) * 255
