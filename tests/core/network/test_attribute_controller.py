"""The two kinds of Attribute Controller."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from magicface_core.editing.identity import encode_identities, project_identity
from magicface_core.editing.sampling import encode_background, predict
from magicface_core.network import load_checkpoint
from magicface_core.network.attribute_controller import ConvolutionController
from magicface_core.network.tiny import write_tiny_checkpoint
from magicface_core.network.weights import read_header


@pytest.mark.parametrize(("reduction", "depth"), [(2, 1), (8, 3), (16, 4)])
def test_convolutions_of_the_paper(reduction: int, depth: int) -> None:
    controller = ConvolutionController(channels=4, reduction=reduction)
    convolutions = [m for m in controller.layers if isinstance(m, nn.Conv2d)]
    assert len(convolutions) == depth
    for layer in convolutions:
        assert layer.kernel_size == (4, 4)
        assert layer.stride == (2, 2)
        assert layer.out_channels == 4
    assert controller(torch.zeros(2, 3, 64, 32)).shape == (2, 4, 64 // reduction, 32 // reduction)


@pytest.mark.parametrize("reduction", [0, 1, 6])
def test_reduction_must_be_a_power_of_two(reduction: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        ConvolutionController(reduction=reduction)


def test_checkpoint_chooses_the_kind(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "convolution", attribute_controller="convolution")
    assert "layers.0.weight" in read_header(
        folder / "attribute_controller" / "diffusion_pytorch_model.safetensors"
    )
    checkpoint = load_checkpoint(folder, "cpu")
    assert checkpoint.controller is not None
    again = load_checkpoint(folder, "cpu")
    picture = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    condition = encode_background(checkpoint, picture)
    assert condition.shape == (1, 4, 4, 4)
    assert torch.equal(condition, encode_background(again, picture))
    assert torch.equal(condition, checkpoint.controller(picture * 2 - 1))
    plain = load_checkpoint(write_tiny_checkpoint(tmp_path / "concatenation"), "cpu")
    assert plain.controller is None
    assert not torch.equal(condition, encode_background(plain, picture))


def test_condition_changes_the_prediction_and_trains(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", attribute_controller="convolution")
    checkpoint = load_checkpoint(folder, "cpu")
    controller = checkpoint.controller
    assert controller is not None
    controller.requires_grad_(True)
    pictures = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    identity = encode_identities(checkpoint, pictures[:1])
    latents, delta = torch.zeros(1, 4, 4, 4), torch.zeros(1, 12)
    one, other = (
        predict(
            checkpoint,
            project_identity(checkpoint, identity),
            latents,
            controller(p[None] * 2 - 1),
            delta,
            100,
        )
        for p in pictures
    )
    assert float((one - other).detach().abs().max()) > 1e-4
    one.square().mean().backward()
    for name, parameter in controller.named_parameters():
        assert parameter.grad is not None
        assert float(parameter.grad.abs().max()) > 0, name
