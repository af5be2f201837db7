"""What each way of seeing an identity computes once, and what it asks of the denoiser."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from magicface_core.network.denoiser_inputs import DenoiserInputs
from magicface_core.network.denoisers import build_denoiser, input_channels
from magicface_core.network.identity_paths import (
    IDENTITY_PATHS,
    IdentityKind,
    IdentityLatents,
    LatentPath,
)
from magicface_core.network.reference_attention import identity_features, project_reference
from magicface_core.network.tiny import TINY_IMAGE_ENCODER, TINY_UNET

SHAPE = {**TINY_UNET, "in_channels": 4, "out_channels": 4}
PROMPT = torch.randn(1, 3, 4, generator=torch.Generator().manual_seed(0))
LATENTS = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(1))


def given(rows: int = 4) -> DenoiserInputs:
    maps = (torch.zeros(rows, 4, 4, 4),)
    return DenoiserInputs(torch.zeros(rows, 4, 4, 4), maps, PROMPT.expand(rows, -1, -1), None)


def test_reference_attention_is_as_it_was() -> None:
    torch.manual_seed(0)
    path = IDENTITY_PATHS["reference-attention"]
    denoiser, encoder = build_denoiser({**SHAPE, "in_channels": 8}), path.build_encoder(SHAPE, ())
    with torch.no_grad():
        features = path.features(encoder, LATENTS, PROMPT)
        reference = path.project(denoiser, features)
        expected = project_reference(denoiser, identity_features(encoder, LATENTS, PROMPT))
    assert all(torch.equal(*pair) for pair in zip(reference.keys, expected.keys, strict=True))
    assert path.join(given(), reference).reference is reference
    assert path.fits(denoiser, features)
    assert not path.fits(denoiser, features[1:])
    assert not path.reads_pictures


@pytest.mark.parametrize("kind", ["convolution", "controlnet"])
def test_latents_are_joined_to_the_maps(kind: IdentityKind) -> None:
    path = IDENTITY_PATHS[kind]
    assert isinstance(path, LatentPath)
    encoder = path.build_encoder({}, ())
    assert isinstance(encoder, IdentityLatents)
    features = path.features(encoder, LATENTS, PROMPT)
    channels = input_channels(kind, "linear", latent=4, condition=4)
    denoiser = build_denoiser({**SHAPE, **channels}, kind)
    assert path.fits(denoiser, features)
    assert not path.fits(denoiser, [LATENTS[:, :3]])
    maps = path.join(given(), path.project(denoiser, features)).maps
    assert [m.shape for m in maps] == [(4, 4, 4, 4)] * 2
    assert torch.equal(maps[1], torch.cat([LATENTS, LATENTS]))


def test_tokens_of_the_picture_follow_the_prompts() -> None:
    pytest.importorskip("transformers")
    torch.manual_seed(0)
    path = IDENTITY_PATHS["image-encoder"]
    assert path.reads_pictures
    denoiser = build_denoiser({**SHAPE, "in_channels": 8}, "image-encoder")
    encoder = path.build_encoder(TINY_IMAGE_ENCODER, ())
    with torch.no_grad():
        features = path.features(encoder, LATENTS[:, :3].tanh(), PROMPT)
    assert path.fits(denoiser, features)
    assert not path.fits(denoiser, [features[0][..., :3]])
    tokens: Tensor = path.join(given(), path.project(denoiser, features)).tokens
    assert tokens.shape == (4, 3 + 5, 4)
    assert torch.equal(tokens[:, :3], PROMPT.expand(4, -1, -1))
    assert torch.equal(tokens[3, 3:], features[0][1])


def test_channels_of_every_kind() -> None:
    found = {
        (identity, units): input_channels(identity, units, latent=4, condition=3)
        for identity in ("reference-attention", "convolution", "image-encoder", "controlnet")
        for units in ("linear", "convolution")
    }
    assert found == {
        ("reference-attention", "linear"): {"in_channels": 7},
        ("reference-attention", "convolution"): {"in_channels": 11},
        ("convolution", "linear"): {"in_channels": 11},
        ("convolution", "convolution"): {"in_channels": 15},
        ("image-encoder", "linear"): {"in_channels": 7},
        ("image-encoder", "convolution"): {"in_channels": 11},
        ("controlnet", "linear"): {"in_channels": 4, "control_channels": 7},
        ("controlnet", "convolution"): {"in_channels": 4, "control_channels": 11},
    }
