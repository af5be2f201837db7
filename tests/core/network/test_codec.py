"""Autoencoders from outside, and computing elsewhere than where the weights are."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from magicface_core.editing.identity import (
    ProjectedIdentity,
    encode_identities,
    encode_picture,
)
from magicface_core.editing.sampling import decode, encode_background, predict, reconstruct
from magicface_core.errors import CheckpointError
from magicface_core.network import Checkpoint, load_checkpoint
from magicface_core.network.autoencoder import (
    Autoencoder,
    NetworkCodec,
    codec_of,
    decode_latents,
    encode_mode,
    reduction_factor,
)
from magicface_core.network.tiny import write_tiny_checkpoint

PICTURES = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
DELTAS = torch.full((2, 12), 2.0)


@dataclass
class OutsideCodec:
    """Somebody else's autoencoder, with its own scaling factor and its own idea of devices."""

    vae: Autoencoder
    latent_channels: int = 4
    reduction: int = 8
    scaling_factor: float = 0.5
    heard: list[str] = field(default_factory=list)

    def encode_pictures(self, pictures: Tensor) -> Tensor:
        assert 0 <= float(pictures.min()) <= float(pictures.max()) <= 1
        self.heard.append("encode")
        return encode_mode(self.vae, pictures)

    def decode_pictures(self, latents: Tensor) -> Tensor:
        self.heard.append("decode")
        return NetworkCodec(self.vae).decode_pictures(latents)


@pytest.fixture
def outside(tiny: Checkpoint) -> OutsideCodec:
    return OutsideCodec(tiny.vae)


# --- outside autoencoders -----------------------------------------------------------------------


def test_a_checkpoint_without_autoencoder_takes_a_connected_one(
    tiny: Checkpoint, tiny_checkpoint: Path, tmp_path: Path, outside: OutsideCodec
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, tmp_path / "copy"))
    shutil.rmtree(folder / "vae")
    loaded = load_checkpoint(folder, "cpu", codec=outside)
    assert loaded.codec is outside
    assert loaded.latent_size == tiny.latent_size
    with torch.no_grad():
        assert torch.equal(encode_background(loaded, PICTURES), encode_background(tiny, PICTURES))
        latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1))
        expected = NetworkCodec(tiny.vae).decode_pictures(latents / 0.5)
        assert torch.equal(decode(loaded, latents), expected)
        assert torch.allclose(reconstruct(loaded, PICTURES), reconstruct(tiny, PICTURES))
    assert outside.heard == ["encode", "decode", "encode", "decode"]


def test_a_connected_one_replaces_the_checkpoints_own(
    tiny_checkpoint: Path, outside: OutsideCodec
) -> None:
    loaded = load_checkpoint(tiny_checkpoint, "cpu", codec=outside)
    encode_identities(loaded, PICTURES)
    assert outside.heard == ["encode"]


def test_a_connected_one_of_other_channels_is_refused(
    tiny_checkpoint: Path, outside: OutsideCodec
) -> None:
    """As Stable Diffusion 1.5's with the embedded checkpoint, and a larger one with the release."""
    with pytest.raises(
        CheckpointError, match=r"72 channels, but the connected VAE has 4: disconnect it"
    ):
        load_checkpoint("mini", "cpu", codec=outside)
    with pytest.raises(
        CheckpointError,
        match=r"4 channels, but the connected VAE has 16: connect a Stable Diffusion 1\.5 VAE",
    ):
        load_checkpoint(tiny_checkpoint, "cpu", codec=replace(outside, latent_channels=16))


def test_a_controller_of_another_reduction_is_refused(
    tmp_path: Path, outside: OutsideCodec
) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", attribute_controller="convolution")
    with pytest.raises(CheckpointError, match="8 times, the autoencoder 4 times"):
        load_checkpoint(folder, "cpu", codec=replace(outside, reduction=4))


def test_functions_take_either_kind(tiny: Checkpoint, outside: OutsideCodec) -> None:
    assert codec_of(outside) is outside
    assert reduction_factor(outside) == reduction_factor(tiny.vae) == 8
    with torch.no_grad():
        latents = encode_mode(outside, PICTURES)
        assert torch.equal(latents, encode_mode(tiny.vae, PICTURES))
        assert torch.equal(
            decode_latents(outside, latents * 0.5), decode_latents(tiny.vae, latents)
        )


# --- weights here, computation there ------------------------------------------------------------


class CastingLinear(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, *_like(x, self))


class CastingConv2d(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, *_like(x, self))


class CastingGroupNorm(nn.GroupNorm):
    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.num_groups, *_like(x, self), self.eps)


class CastingLayerNorm(nn.LayerNorm):
    def forward(self, x: Tensor) -> Tensor:
        return F.layer_norm(x, self.normalized_shape, *_like(x, self), self.eps)


CASTING = {
    kind.__mro__[1]: kind
    for kind in (CastingLinear, CastingConv2d, CastingGroupNorm, CastingLayerNorm)
}


def _like(x: Tensor, layer: Any) -> tuple[Tensor, Tensor | None]:
    return layer.weight.to(x), None if layer.bias is None else layer.bias.to(x)


def offloaded(folder: Path, dtype: torch.dtype, **compute: Any) -> Checkpoint:
    """Layers that fetch their weights when they run, as under ComfyUI's memory manager."""
    checkpoint = load_checkpoint(folder, "cpu", dtype)
    for network in (checkpoint.denoiser, checkpoint.id_encoder, checkpoint.vae):
        for module in network.modules():
            module.__class__ = CASTING.get(type(module), type(module))
    return replace(checkpoint, **compute)


def prediction(checkpoint: Checkpoint) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        path, latents = checkpoint.identity_path, encode_picture(checkpoint, PICTURES[:1])
        features = path.features(checkpoint.id_encoder, latents, checkpoint.prompt())
        identity = ProjectedIdentity(path.project(checkpoint.denoiser, features), latents)
        background = encode_background(checkpoint, PICTURES)
        latents = torch.ones(2, 4, 8, 8, device=checkpoint.device)
        deltas = DELTAS.to(checkpoint.device)
        found = predict(checkpoint, identity, latents, background, deltas, 300)
        return found, decode(checkpoint, found)


def test_half_precision_weights_compute_in_single(tiny_checkpoint: Path, tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", resolution=64, dtype=torch.float16)
    expected = prediction(load_checkpoint(folder, "cpu", torch.float32))
    stored = offloaded(folder, torch.float16, compute_dtype=torch.float32)
    assert next(stored.denoiser.parameters()).dtype == torch.float16
    assert stored.dtype == stored.vae_dtype == torch.float32
    for found, wanted in zip(prediction(stored), expected, strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-3, atol=1e-3)


def test_inputs_follow_the_compute_device(tiny_checkpoint: Path) -> None:
    """The meta device stands for a GPU: mixing it with the CPU raises."""
    checkpoint = offloaded(tiny_checkpoint, torch.float32, compute_device=torch.device("meta"))
    assert checkpoint.device.type == "meta"
    assert next(checkpoint.denoiser.parameters()).device.type == "cpu"
    assert {found.device.type for found in prediction(checkpoint)} == {"meta"}


def test_the_autoencoder_has_a_type_of_its_own(tiny_checkpoint: Path) -> None:
    checkpoint = load_checkpoint(tiny_checkpoint, "cpu", torch.bfloat16, vae_dtype=torch.float32)
    assert (checkpoint.dtype, checkpoint.vae_dtype) == (torch.bfloat16, torch.float32)
    assert checkpoint.vae.dtype == torch.float32
    identity = encode_identities(checkpoint, PICTURES)
    assert identity.latents.dtype == torch.bfloat16
    assert checkpoint.codec.encode_pictures(PICTURES).dtype == torch.float32


def test_without_settings_it_is_the_weights(tiny: Checkpoint, outside: OutsideCodec) -> None:
    assert (tiny.device.type, tiny.dtype, tiny.vae_dtype) == ("cpu", *[torch.float32] * 2)
    assert replace(tiny, vae=outside).vae_dtype == torch.float32
    assert tiny.prompt(3).shape == (3, *tiny.prompt_embeds.shape[1:])
