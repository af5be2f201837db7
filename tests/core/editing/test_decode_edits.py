"""Pictures of edited latents, which are those of `render` whoever sampled them."""

from __future__ import annotations

import pytest
import torch

from magicface_core import AUDelta
from magicface_core.editing.rendering import (
    RenderOptions,
    decode_edits,
    encode_identities,
    render,
)
from magicface_core.errors import ImageError, MagicFaceError
from magicface_core.network import Checkpoint, load_checkpoint
from magicface_core.network.tiny import write_tiny_checkpoint

DELTAS = [AUDelta(AU6=2, AU12=4), AUDelta(AU4=3, AU15=3)]
FACES = torch.rand(2, 3, 512, 512, generator=torch.Generator().manual_seed(0))
BACKGROUNDS = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def carrying(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """Its latents have a scale of their own, which ComfyUI's do not show."""
    settings = {"identity_skip": True, "keep_detail": True, "scheduler": "ddim"}
    folder = tmp_path_factory.mktemp("carrying")
    checkpoint = load_checkpoint(
        write_tiny_checkpoint(folder, resolution=32, motion=2, **settings), "cpu"
    )
    checkpoint.vae.register_to_config(scaling_factor=0.5)
    return checkpoint


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("plain")
    checkpoint = load_checkpoint(write_tiny_checkpoint(folder, resolution=32), "cpu")
    checkpoint.vae.register_to_config(scaling_factor=0.5)
    return checkpoint


@pytest.mark.parametrize("kind", ["carrying", "plain"])
@pytest.mark.parametrize("people", [1, 2])
def test_pictures_are_those_of_render(
    kind: str, people: int, carrying: Checkpoint, plain: Checkpoint
) -> None:
    checkpoint = {"carrying": carrying, "plain": plain}[kind]
    identity = encode_identities(checkpoint, FACES[:people])
    options = RenderOptions(seed=1, steps=2, guidance=2.0)
    rendered = render(checkpoint, identity, BACKGROUNDS[:people], DELTAS, options)
    found = decode_edits(checkpoint, identity, rendered.latents)
    assert found.shape == (2, 3, 512, 512)
    torch.testing.assert_close(found, rendered.pictures, atol=1e-4, rtol=0)
    assert float((found[0] - found[1]).abs().max()) > 0.02


def test_the_faces_own_latents_give_the_face_where_detail_is_carried(
    carrying: Checkpoint, plain: Checkpoint
) -> None:
    identity = encode_identities(carrying, FACES)
    found = decode_edits(carrying, identity, identity.latents)
    torch.testing.assert_close(found, FACES, atol=1e-4, rtol=0)
    soft = decode_edits(carrying, identity, identity.latents, RenderOptions(keep_detail=False))
    assert float(soft.diff(dim=-1).abs().mean()) < 0.05 < float(found.diff(dim=-1).abs().mean())
    others = encode_identities(plain, FACES)
    assert float((decode_edits(plain, others, others.latents) - FACES).abs().mean()) > 0.1


def test_latents_that_do_not_fit(carrying: Checkpoint, plain: Checkpoint) -> None:
    identity = encode_identities(carrying, FACES)
    good = identity.latents
    for wrong in (good[:, :-1], good[..., :-1], good[0], good[..., None]):
        with pytest.raises(ImageError, match=r"this checkpoint decodes \[N, \d+, 4, 4\]"):
            decode_edits(carrying, identity, wrong)
    for count in (0, 1, 3):
        with pytest.raises(ImageError, match=f"2 identities and {count} latents do not go"):
            decode_edits(carrying, identity, good[:1].expand(count, -1, -1, -1))
    with pytest.raises(MagicFaceError, match="encode it with the same model"):
        decode_edits(plain, identity, good)
