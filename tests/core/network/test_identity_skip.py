"""Clean latents relative to the identity image's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from magicface_core.editing.identity import encode_identities, project_identity
from magicface_core.editing.sampling import encode_background, guided_prediction, sample
from magicface_core.errors import CheckpointError
from magicface_core.network import Checkpoint, load_checkpoint
from magicface_core.network.denoiser_inputs import add_identity, check_identity_skip
from magicface_core.network.tiny import write_tiny_checkpoint

SIZE = 32


@pytest.fixture(scope="module")
def skipping(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("skipping")
    write_tiny_checkpoint(folder, resolution=SIZE, identity_skip=True, keep_detail=True, motion=2)
    return load_checkpoint(folder, device="cpu")


def test_rows_go_to_their_identities() -> None:
    prediction, identity = torch.zeros(4, 1, 2, 2), torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)
    found = add_identity(prediction, identity.expand(2, 1, 2, 2), scaling_factor=3.0)
    assert found[:, 0, 0, 0].tolist() == [3.0, 6.0, 3.0, 6.0]


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_prediction_is_the_plain_one_and_the_identity(
    skipping: Checkpoint, guidance: float
) -> None:
    generator = torch.Generator().manual_seed(0)
    picture = torch.rand(1, 3, SIZE, SIZE, generator=generator)
    identity = encode_identities(skipping, picture)
    background = encode_background(skipping, picture).expand(2, -1, -1, -1)
    noisy = torch.randn(2, *identity.latents.shape[1:], generator=generator)
    deltas = torch.randn(2, 12, generator=generator)
    plain = replace(skipping, info=replace(skipping.info, identity_skip=False))
    found, without = (
        guided_prediction(
            each, project_identity(each, identity), noisy, background, deltas, 500, guidance
        )
        for each in (skipping, plain)
    )
    torch.testing.assert_close(found - without, identity.latents.expand_as(found))


def test_a_denoiser_that_says_nothing_returns_the_identity(skipping: Checkpoint) -> None:
    picture = torch.rand(1, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(1))
    identity = encode_identities(skipping, picture)
    state = {name: tensor.clone() for name, tensor in skipping.denoiser.state_dict().items()}
    for parameter in skipping.denoiser.conv_out.parameters():
        parameter.data.zero_()
    try:
        clean: list[torch.Tensor] = []
        sample(
            skipping,
            identity,
            encode_background(skipping, picture),
            torch.ones(1, 12),
            steps=3,
            scheduler="ddim",
            generator=torch.Generator().manual_seed(0),
            callback=lambda progress: clean.append(progress.clean),
        )
    finally:
        skipping.denoiser.load_state_dict(state)
    assert len(clean) == 3
    for found in clean:
        torch.testing.assert_close(found, identity.latents, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(
    ("identity", "prediction"),
    [("reference-attention", "epsilon"), ("image-encoder", "sample")],
)
def test_skips_that_make_no_sense(identity: str, prediction: str) -> None:
    scheduler = {"prediction_type": prediction}
    check_identity_skip(False, identity, scheduler)
    with pytest.raises(CheckpointError, match=f"{prediction}.*set identity_skip to false"):
        check_identity_skip(True, identity, scheduler)


def test_a_checkpoint_that_skips_and_predicts_noise_is_refused(tmp_path: Path) -> None:
    write_tiny_checkpoint(tmp_path, resolution=SIZE, identity_skip=True)
    config = tmp_path / "scheduler_config.json"
    config.write_text(config.read_text().replace('"sample"', '"epsilon"'))
    with pytest.raises(CheckpointError, match="identity_skip goes with prediction_type"):
        load_checkpoint(tmp_path, device="cpu")
