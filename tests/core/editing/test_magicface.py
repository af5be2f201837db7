"""MagicFace end to end with a tiny checkpoint of random weights."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import magicface_core
from magicface_core import AUDelta, MagicFace
from magicface_core.editing.settings import Settings
from magicface_core.errors import CheckpointError, ImageError, NoFaceError
from magicface_core.pictures.images import load_image

SMILE, FROWN = AUDelta(AU6=2, AU12=4), AUDelta(AU1=2, AU4=3, AU15=3)


@pytest.fixture(scope="module")
def model(tiny_checkpoint: Path) -> MagicFace:
    return MagicFace.load(tiny_checkpoint, device="cpu")


@pytest.fixture(scope="module")
def photo(astronaut: Path) -> Image.Image:
    return load_image(astronaut)


def pixels(image: Image.Image) -> np.ndarray:
    return np.asarray(image).astype(int)


def never(*_: object, **__: object) -> None:
    pytest.fail("this must not be computed")


def test_importing_the_package_is_light() -> None:
    script = (
        "import sys, magicface_core; magicface_core.AUDelta(AU12=4); "
        "sys.exit(len({'torch', 'diffusers', 'PIL'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_public_names() -> None:
    for name in magicface_core.__all__:
        assert getattr(magicface_core, name) is not None
        assert name in dir(magicface_core)
    with pytest.raises(AttributeError, match="no attribute 'Magic'"):
        magicface_core.Magic  # noqa: B018


def test_zero_delta_returns_the_input_without_sampling(
    model: MagicFace, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(MagicFace, "encode", never)
    result = model.edit(photo, AUDelta())
    assert np.array_equal(pixels(result.image), pixels(photo))
    assert not np.asarray(result.mask).any()


def test_edit_changes_the_face_and_nothing_else(model: MagicFace, photo: Image.Image) -> None:
    result = model.edit(photo, SMILE)
    mask = np.asarray(result.mask)
    difference = np.abs(pixels(result.image) - pixels(photo)).max(axis=2)
    assert result.image.size == photo.size
    assert result.crop.size == (512, 512)
    assert result.delta == SMILE
    assert result.seconds > 0
    assert not difference[mask == 0].any()
    assert (difference[mask == 255] > 0).mean() > 0.5


def test_kinds_of_input_agree(model: MagicFace, photo: Image.Image) -> None:
    array = np.asarray(photo)
    batch = torch.from_numpy(array / 255.0).float()[None]
    results = [pixels(model.edit(image, SMILE).image) for image in (photo, array, batch)]
    assert np.array_equal(results[0], results[1])
    assert np.abs(results[0] - results[2]).max() <= 1


def test_seed_decides_the_noise(model: MagicFace, photo: Image.Image) -> None:
    first, again, other = (model.edit(photo, SMILE, seed=seed) for seed in (3, 3, 4))
    assert np.array_equal(pixels(first.image), pixels(again.image))
    assert not np.array_equal(pixels(first.image), pixels(other.image))


def test_many_edits_are_the_single_edits(model: MagicFace, photo: Image.Image) -> None:
    deltas = [SMILE, AUDelta(), FROWN]
    together = model.edit_many(photo, deltas)
    assert [result.delta for result in together] == deltas
    for result, delta in zip(together, deltas, strict=True):
        alone = model.edit(photo, delta)
        assert np.abs(pixels(result.image) - pixels(alone.image)).max() <= 1
    assert not np.array_equal(pixels(together[0].image), pixels(together[2].image))


def test_a_prepared_face_is_encoded_once(
    model: MagicFace, photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepared = model.prepare(photo)
    encoded = model.encode(prepared)
    [expected] = model.edit_prepared(prepared, SMILE)
    monkeypatch.setattr(MagicFace, "encode", never)
    [result] = model.edit_prepared(prepared, SMILE, encoded=encoded)
    assert np.array_equal(pixels(result.image), pixels(expected.image))


def test_small_batches_give_the_same(model: MagicFace, photo: Image.Image) -> None:
    prepared = model.prepare(photo)
    deltas = [SMILE, FROWN, SMILE * 0.5]
    whole = model.edit_prepared(prepared, deltas)
    parts = model.edit_prepared(prepared, deltas, batch_size=2)
    for one, other in zip(whole, parts, strict=True):
        assert np.abs(pixels(one.image) - pixels(other.image)).max() <= 1


def test_callback_hears_every_step(model: MagicFace, photo: Image.Image) -> None:
    heard: list[tuple[int, int, object]] = []
    model.edit(photo, SMILE, steps=5, callback=lambda *arguments: heard.append(arguments))
    assert [done for done, total, _ in heard] == list(range(6))
    assert {total for _, total, _ in heard} == {5}


def test_settings_reach_the_sampler(model: MagicFace, photo: Image.Image) -> None:
    prepared = model.prepare(photo)
    encoded = model.encode(prepared)

    def edited(**changes: object) -> np.ndarray:
        [result] = model.edit_prepared(prepared, SMILE, Settings(**changes), encoded=encoded)
        return pixels(result.image)

    info = model.checkpoint.info
    default = edited()
    spelled = edited(steps=info.steps, guidance=info.guidance, scheduler=info.scheduler)
    assert np.array_equal(default, spelled)
    for change in ({"steps": 4}, {"guidance": 6.0}, {"scheduler": "ddim"}):
        assert not np.array_equal(default, edited(**change)), change


def test_keep_detail_changes_what_is_pasted(tiny_checkpoint: Path, photo: Image.Image) -> None:
    from dataclasses import replace

    from magicface_core.network import load_checkpoint

    checkpoint = load_checkpoint(tiny_checkpoint, device="cpu")
    model = MagicFace(checkpoint)
    prepared = model.prepare(photo)
    plain = model.edit_prepared(prepared, SMILE)[0]
    checkpoint.info = replace(checkpoint.info, keep_detail=True)
    detailed = model.edit_prepared(prepared, SMILE)[0]
    assert not np.array_equal(pixels(detailed.image), pixels(plain.image))


def test_region_and_face_can_be_chosen(model: MagicFace, photo: Image.Image) -> None:
    face, person = (
        model.prepare(photo, region=region).background.mask.mean() for region in ("face", "person")
    )
    assert torch.equal(model.prepare(photo).background.mask.mean(), face)
    assert person > face
    with pytest.raises(NoFaceError, match="no face number 1"):
        model.edit(photo, SMILE, face=1)


def test_face_only_leaves_hair_and_clothes_alone(model: MagicFace, photo: Image.Image) -> None:
    person = model.edit(photo, SMILE, region="person")
    face = model.edit(photo, SMILE, region="person", face_only=True)
    change = [(pixels(result.image) != pixels(photo)).any(-1) for result in (person, face)]
    assert 0.05 < change[1].sum() / change[0].sum() < 0.6
    assert not change[1][np.asarray(face.mask) == 0].any()
    full = (np.asarray(face.mask) == 255) & (np.asarray(person.mask) == 255)
    assert np.abs(pixels(face.image)[full] - pixels(person.image)[full]).max() <= 1


def test_bad_arguments(model: MagicFace, tiny_checkpoint: Path) -> None:
    with pytest.raises(ImageError, match="batch of 2"):
        model.edit(torch.zeros(2, 64, 64, 3), SMILE)
    with pytest.raises(CheckpointError, match="float64"):
        MagicFace.load(tiny_checkpoint, dtype="float64")
    with pytest.raises(CheckpointError, match="absent"):
        MagicFace.load(tiny_checkpoint / "absent")


def test_dtype_by_name(tiny_checkpoint: Path) -> None:
    model = MagicFace.load(tiny_checkpoint, device="cpu", dtype="bfloat16")
    assert model.checkpoint.dtype is torch.bfloat16


def test_stochastic_edits_do_not_depend_on_their_batch(
    model: MagicFace, photo: Image.Image
) -> None:
    """Every row draws the same noise in every step, and it follows the seed."""
    prepared = model.prepare(photo)
    settings = Settings(scheduler="euler_ancestral", seed=1)
    together = model.edit_prepared(prepared, [FROWN, SMILE], settings)
    [alone] = model.edit_prepared(prepared, SMILE, settings)
    assert np.abs(pixels(together[1].image) - pixels(alone.image)).max() <= 1


def test_an_edit_is_its_steps_bit_for_bit(model: MagicFace, photo: Image.Image) -> None:
    from magicface_core.editing.results import pasted
    from magicface_core.editing.sampling import decode, sample
    from magicface_core.pictures.resampling import sized

    prepared, info = model.prepare(photo), model.checkpoint.info
    encoded = model.encode(prepared)
    latents = sample(
        model.checkpoint,
        encoded.identity,
        encoded.conditions,
        SMILE.to_tensor()[None],
        steps=info.steps,
        guidance=info.guidance,
        noise=torch.randn(encoded.conditions.shape, generator=torch.Generator().manual_seed(7)),
    )
    picture = sized(decode(model.checkpoint, latents), 512).clamp(0, 1)
    expected = pasted(prepared, picture, SMILE)
    result = model.edit(photo, SMILE, seed=7)
    assert np.array_equal(pixels(result.image), pixels(expected.image))
    assert np.array_equal(pixels(result.crop), pixels(expected.crop))
