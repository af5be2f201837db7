"""Edits applied to the picture itself, at full resolution."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import magicface_core
from magicface_core import AUDelta, MagicFace
from magicface_core.editing.rendering import (
    RenderOptions,
    carries_detail,
    decode_edits,
    encode_identities,
    render,
)
from magicface_core.network import Checkpoint, load_checkpoint
from magicface_core.network.tiny import write_tiny_checkpoint

SMILE = AUDelta(AU6=2, AU12=4)
PORTRAIT = Path(magicface_core.__file__).parent / "assets" / "portrait.png"
FACES = torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def carrying(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("carrying")
    settings = {"identity_skip": True, "keep_detail": True, "scheduler": "ddim"}
    write_tiny_checkpoint(folder, resolution=32, motion=2, **settings)
    return load_checkpoint(folder, device="cpu")


def silent(checkpoint: Checkpoint) -> Checkpoint:
    """The same with a denoiser that changes nothing."""
    from copy import deepcopy

    denoiser = deepcopy(checkpoint.denoiser)
    for parameter in denoiser.conv_out.parameters():
        parameter.data.zero_()
    return replace(checkpoint, denoiser=denoiser)


def test_which_checkpoints_carry(carrying: Checkpoint) -> None:
    assert carries_detail(carrying)
    for setting in ("keep_detail", "identity_skip"):
        assert not carries_detail(
            replace(carrying, info=replace(carrying.info, **{setting: False}))
        )


def test_detail_beyond_the_resolution_survives(carrying: Checkpoint) -> None:
    """A picture of noise has none of its detail at 32 pixels; the edit still shows all of it."""
    identity = encode_identities(carrying, FACES[:1])
    background = torch.rand(1, 3, 32, 32)
    options = RenderOptions(seed=1, guidance=1.0)
    found = render(silent(carrying), identity, background, [SMILE], options)
    torch.testing.assert_close(found.pictures, FACES[:1], atol=1e-3, rtol=0)
    moved = render(carrying, identity, background, [SMILE], options)
    assert float((moved.pictures - FACES[:1]).abs().mean()) > 0.05
    assert float(moved.pictures.diff(dim=-1).abs().mean()) > 0.1  # noise still


def test_rows_of_a_batch_are_single_edits(carrying: Checkpoint) -> None:
    identity = encode_identities(carrying, FACES)
    background = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    options = RenderOptions(seed=1, guidance=2.0)
    both = render(carrying, identity, background, [SMILE, SMILE * 0.5], options)
    alone = render(carrying, identity.rows([1]), background[1:], [SMILE * 0.5], options)
    torch.testing.assert_close(both.pictures[1:], alone.pictures, atol=1e-3, rtol=0)
    own = decode_edits(carrying, identity.rows([1]), both.latents[1:])
    torch.testing.assert_close(both.pictures[1:], own, atol=1e-3, rtol=0)


def test_no_unedited_face_is_rendered_for_comparison(carrying: Checkpoint) -> None:
    identity = encode_identities(carrying, FACES[:1])
    steps: list[int] = []
    options = RenderOptions(seed=1, steps=3, guidance=1.0)
    callback = lambda done, total, _: steps.append(total)  # noqa: E731
    render(carrying, identity, torch.rand(1, 3, 32, 32), [SMILE], options, callback)
    assert set(steps) == {3}


def test_a_photograph_is_edited_in_the_crop_at_full_size(carrying: Checkpoint) -> None:
    photo = Image.open(PORTRAIT).convert("RGB")
    model = MagicFace(carrying)
    prepared = model.prepare(photo)
    result = model.edit_prepared(prepared, SMILE)[0]
    source, weight = np.asarray(photo), np.asarray(result.mask)
    edited = np.asarray(result.image)
    assert np.array_equal(edited[weight == 0], source[weight == 0])
    assert not np.array_equal(edited, source)
    untouched = MagicFace(silent(carrying)).edit_prepared(prepared, SMILE)[0]
    difference = np.abs(np.asarray(untouched.image).astype(int) - source)
    assert difference.max() <= 2, "an edit that changes nothing returns the photograph"
