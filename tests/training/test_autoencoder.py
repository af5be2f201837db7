"""The small autoencoder's training."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from magicface_training.autoencoder import fit_encoder, reconstruction_loss, train_decoder
from magicface_training.data.edit_sets import EditSets

from magicface_core.network.autoencoder import PatchAutoencoder, decode_latents, encode_mode
from magicface_core.network.checkpoint import load_autoencoder


def pictures(data: EditSets) -> torch.Tensor:
    return torch.from_numpy(data.image[:, 0]).float() / 255


def test_folder_loads(autoencoder: Path, edit_sets: EditSets) -> None:
    vae = load_autoencoder(autoencoder, torch.float32, torch.device("cpu"))
    assert isinstance(vae, PatchAutoencoder)
    assert vae.config.latent_channels == 4
    shown = pictures(edit_sets)
    restored = decode_latents(vae, encode_mode(vae, shown))
    assert float((restored - shown).abs().mean()) < 0.1


def test_decoder_learns_and_the_encoder_stays(edit_sets: EditSets) -> None:
    torch.manual_seed(0)
    vae = PatchAutoencoder(latent_channels=2, width=8, blocks=1)
    fit_encoder(vae, edit_sets)
    encoder = vae.to_latents.weight.clone()
    shown = pictures(edit_sets) * 2 - 1

    def loss() -> float:
        with torch.no_grad():
            restored = vae.decode(vae.encode(shown).latent_dist.mode()).sample
            return float(reconstruction_loss(restored, shown))

    before = loss()
    train_decoder(vae, edit_sets, steps=40, batch=6, rate=1e-2, seed=0)
    assert loss() < 0.97 * before
    assert torch.equal(vae.to_latents.weight, encoder)


def test_loss_counts_differences_of_neighbours() -> None:
    flat, edge = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    edge[..., 2:] = 1.0
    assert float(reconstruction_loss(flat, flat)) == 0.0
    assert float(reconstruction_loss(edge, flat)) == pytest.approx(0.5 + 1 / 3)
