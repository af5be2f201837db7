"""Going on with a checkpoint on latents of more channels."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from magicface_training.autoencoder import main as make_autoencoder
from magicface_training.initialise import initialise
from magicface_training.settings import ConfigError

from magicface_core.editing.identity import encode_identities, project_identity
from magicface_core.editing.sampling import encode_background, predict
from magicface_core.network import load_checkpoint
from magicface_core.network.autoencoder import PatchAutoencoder
from magicface_core.network.checkpoint import load_autoencoder
from magicface_core.network.tiny import write_tiny_checkpoint

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint that predicts clean latents, without a skip."""
    folder = tmp_path_factory.mktemp("known")
    write_tiny_checkpoint(folder, resolution=32, identity_skip=True)
    info = folder / "magicface.json"
    info.write_text(info.read_text().replace('"identity_skip": true', '"identity_skip": false'))
    return folder


@pytest.fixture(scope="module")
def moving(known: Path, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("moving")
    options = ["--steps", "0", "--width", "0", "--motion", "2", "--start", str(known / "vae")]
    assert make_autoencoder(["--data", str(shards), "--out", str(folder), *options]) == 0
    return folder


def test_the_new_autoencoder_keeps_the_linear_maps(known: Path, moving: Path) -> None:
    old, new = (load_autoencoder(each, torch.float32, CPU) for each in (known / "vae", moving))
    assert isinstance(old, PatchAutoencoder)
    assert isinstance(new, PatchAutoencoder)
    assert (new.content_channels, int(new.config.latent_channels)) == (4, 12)
    assert torch.equal(new.to_latents.weight, old.to_latents.weight)
    assert torch.equal(new.to_pixels.weight, old.to_pixels.weight)


def test_new_channels_are_unread_and_zero(configure, known: Path, moving: Path) -> None:
    checkpoint = load_checkpoint(known, device="cpu")
    start = initialise(
        configure(
            "model.start=magicface",
            f"model.start_folder={known}",
            f"model.wider_autoencoder={moving}",
            "objective.prediction=sample",
        )
    )
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    identity = encode_identities(checkpoint, picture)
    condition = encode_background(checkpoint, picture)
    noisy, delta = torch.randn_like(condition), torch.randn(1, 12)
    expected = predict(
        checkpoint, project_identity(checkpoint, identity), noisy, condition, delta, 500
    )
    anything = torch.randn(1, 8, *noisy.shape[2:])
    inputs = (torch.cat([each, anything], 1) for each in (noisy, condition, identity.latents))
    with torch.no_grad():
        found = start.networks(*inputs, delta, torch.tensor([500]), start.prompt_embeds)
    torch.testing.assert_close(found[:, :4], expected, atol=1e-5, rtol=1e-4)
    assert not found[:, 4:].any()


def test_a_new_skip_starts_as_a_copy(configure, known: Path, moving: Path) -> None:
    start = initialise(
        configure(
            "model.start=magicface",
            f"model.start_folder={known}",
            f"model.wider_autoencoder={moving}",
            "model.identity_skip=true",
            "objective.prediction=sample",
        )
    )
    assert start.info.identity_skip
    identity, noisy = torch.randn(1, 12, 4, 4), torch.randn(2, 12, 4, 4)
    deltas, timestep = torch.randn(2, 12), torch.tensor([999, 10])
    with torch.no_grad():
        found = start.networks(noisy, noisy, identity, deltas, timestep, start.prompt_embeds)
    assert torch.equal(found, identity.expand_as(found))


def test_an_autoencoder_of_other_latents_is_refused(
    configure, known: Path, autoencoder: Path
) -> None:
    config = configure(
        "model.start=magicface",
        f"model.start_folder={known}",
        f"model.wider_autoencoder={autoencoder}",
        "objective.prediction=sample",
    )
    with pytest.raises(ConfigError, match="has other latents than the checkpoint's"):
        initialise(config)
