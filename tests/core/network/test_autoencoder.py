"""The patch autoencoder, and both autoencoders through the same functions."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor
from torch.nn import functional as F

from magicface_core.network import Checkpoint
from magicface_core.network.autoencoder import (
    Autoencoder,
    PatchAutoencoder,
    decode_latents,
    encode_mode,
    reduction_factor,
    to_current_keys,
)
from magicface_core.network.checkpoint import load_autoencoder
from magicface_core.network.streaming import write_tensors

OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def smooth_pictures(count: int, size: int = 64, seed: int = 0) -> Tensor:
    """[count,3,size,size] in 0..1, blurred noise."""
    coarse = torch.rand(count, 3, 6, 6, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=(size, size), mode="bicubic").clamp(0, 1)


@pytest.fixture(scope="module")
def fitted() -> PatchAutoencoder:
    torch.manual_seed(0)
    vae = PatchAutoencoder(patch_size=8, latent_channels=24, width=8, blocks=1)
    vae.fit_patches(smooth_pictures(24) * 2 - 1)
    return vae.eval().requires_grad_(False)


def small_kl() -> AutoencoderKL:
    torch.manual_seed(0)
    vae = AutoencoderKL(
        block_out_channels=(8, 8),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        scaling_factor=0.18215,
    )
    return vae.eval().requires_grad_(False)


def test_fitted_latents_have_unit_deviation(fitted: PatchAutoencoder) -> None:
    latents = encode_mode(fitted, smooth_pictures(24))
    assert latents.shape == (24, 24, 8, 8)
    # The root mean square over channels is fixed to 1, of the pictures it was fitted to.
    deviation = (latents - latents.mean((0, 2, 3), keepdim=True)).square().mean().sqrt()
    assert float(deviation) == pytest.approx(1.0, abs=0.02)
    assert float(latents.mean((0, 2, 3)).abs().max()) < 1e-3


def test_fitted_round_trip_of_pictures_never_seen(fitted: PatchAutoencoder) -> None:
    pictures = smooth_pictures(4, seed=1)
    restored = decode_latents(fitted, encode_mode(fitted, pictures))
    assert float((restored - pictures).abs().mean()) < 0.005
    untrained = PatchAutoencoder(latent_channels=24, width=8, blocks=1)
    worse = decode_latents(untrained, encode_mode(untrained, pictures))
    assert float((worse - pictures).abs().mean()) > 0.05


def test_refinement_starts_at_zero(fitted: PatchAutoencoder) -> None:
    latents = torch.randn(1, 24, 2, 2, generator=torch.Generator().manual_seed(0))
    linear = F.pixel_shuffle(fitted.to_pixels(latents), 8)
    assert torch.equal(fitted.decode(latents).sample, linear)


@pytest.mark.parametrize("make", [small_kl, PatchAutoencoder])
def test_both_kinds_through_the_same_functions(make: type[Autoencoder]) -> None:
    vae = make()
    reduction = reduction_factor(vae)
    assert reduction == (2 if isinstance(vae, AutoencoderKL) else 8)
    pictures = smooth_pictures(2, size=32)
    with torch.no_grad():
        latents = encode_mode(vae, pictures)
        assert torch.equal(latents, encode_mode(vae, pictures))
        direct = vae.encode(pictures * 2 - 1).latent_dist.mode()
        assert torch.equal(latents, direct)
        restored = decode_latents(vae, latents * vae.config.scaling_factor)
    assert latents.shape == (2, vae.config.latent_channels, 32 // reduction, 32 // reduction)
    assert restored.shape == pictures.shape
    assert float(restored.min()) >= 0
    assert float(restored.max()) <= 1


def test_posterior_of_patches_has_no_variance() -> None:
    vae = PatchAutoencoder()
    posterior = vae.encode(torch.zeros(1, 3, 16, 16)).latent_dist
    assert torch.equal(posterior.sample(), posterior.mode())


def test_scaling_factor_is_undone_before_decoding(golden_checkpoint: Checkpoint) -> None:
    vae = golden_checkpoint.vae
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    direct = (vae.decode(latents).sample / 2 + 0.5).clamp(0, 1)
    torch.testing.assert_close(decode_latents(vae, latents * 0.18215), direct)


def test_old_names_of_the_middle_attention_are_read(tmp_path: Path) -> None:
    """Stable Diffusion 1.5's own file has them."""
    vae = small_kl()
    old = {}
    for key, tensor in vae.state_dict().items():
        for now, before in OLD_NAMES.items():
            key = key.replace(f".attentions.0.{now}.", f".attentions.0.{before}.")
        old[key] = tensor
    assert "encoder.mid_block.attentions.0.proj_attn.weight" in old
    assert set(to_current_keys(old)) == set(vae.state_dict())
    vae.save_config(tmp_path)
    write_tensors(tmp_path / "diffusion_pytorch_model.safetensors", old)
    loaded = load_autoencoder(tmp_path, torch.float32, torch.device("cpu"))
    for key, tensor in loaded.state_dict().items():
        assert torch.equal(tensor, vae.state_dict()[key]), key


# --- movements ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def moving() -> PatchAutoencoder:
    """One vector a patch, in units of half a patch."""
    torch.manual_seed(0)
    vae = PatchAutoencoder(patch_size=8, latent_channels=26, width=0, motion=1)
    vae.fit_patches(smooth_pictures(24) * 2 - 1)
    return vae.eval().requires_grad_(False)


def shifted(latents: Tensor, right: float = 0.0, down: float = 0.0) -> Tensor:
    """Latents whose every pixel comes from that many patches to the right and below."""
    moved = latents.clone()
    moved[:, -2], moved[:, -1] = 2 * right, 2 * down
    return moved


def test_encoded_pictures_do_not_move(moving: PatchAutoencoder) -> None:
    latents = encode_mode(moving, smooth_pictures(2))
    assert latents.shape[1] == 26
    assert not latents[:, 24:].any()
    still = F.pixel_shuffle(moving.to_pixels(latents[:, :24]), 8)
    torch.testing.assert_close(moving.decode(latents).sample, still, atol=1e-5, rtol=1e-5)


def test_vectors_point_to_where_pixels_come_from(moving: PatchAutoencoder) -> None:
    latents = encode_mode(moving, smooth_pictures(1))
    still = moving.decode(latents).sample
    moved = moving.decode(shifted(latents, right=1.0, down=0.5)).sample
    torch.testing.assert_close(moved[..., :-8, :-8], still[..., 4:-4, 8:], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("size", [64, 160])
def test_an_unedited_picture_is_carried_bit_for_bit(moving: PatchAutoencoder, size: int) -> None:
    latents = encode_mode(moving, smooth_pictures(1))
    picture = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(2)) * 2 - 1
    found = moving.carry(picture, latents, latents)
    torch.testing.assert_close(found, picture, atol=1e-5, rtol=0)


def test_detail_that_latents_lack_moves_along(moving: PatchAutoencoder) -> None:
    latents = encode_mode(moving, smooth_pictures(1))
    detail = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(3)) * 2 - 1
    found = moving.carry(detail, shifted(latents, right=1.0), latents)
    torch.testing.assert_close(found[..., :-16], detail[..., 16:], atol=1e-4, rtol=1e-4)


def test_colours_that_change_are_added_before_they_move(moving: PatchAutoencoder) -> None:
    pictures = smooth_pictures(2)
    first, second = encode_mode(moving, pictures).split(1)
    picture = pictures[:1] * 2 - 1
    painted = moving.carry(picture, second, first)
    change = moving.decode(second).sample - moving.decode(first).sample
    torch.testing.assert_close(painted, picture + change, atol=1e-5, rtol=1e-5)
    moved = moving.carry(picture, shifted(second, down=1.0), first)
    torch.testing.assert_close(moved[..., :-8, :], painted[..., 8:, :], atol=1e-4, rtol=1e-4)
