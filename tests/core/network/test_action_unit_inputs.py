"""Three ways of the AU delta into the denoiser."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from magicface_core.network.action_unit_inputs import (
    MAP_CHANNELS,
    ActionUnitKind,
    LinearInput,
    MapInput,
    ZeroAppendInput,
    action_unit_input,
)
from magicface_core.network.denoiser_inputs import DenoiserInputs
from magicface_core.network.denoisers import build_denoiser, input_channels
from magicface_core.network.tiny import TINY_UNET

DELTA = torch.arange(24.0).reshape(2, 12)


def given(side: int = 4) -> DenoiserInputs:
    maps = (torch.zeros(2, 4, side, side),)
    return DenoiserInputs(torch.zeros(2, 4, side, side), maps, torch.zeros(2, 3, 4), DELTA)


def test_linear_leaves_the_labels_to_the_layer() -> None:
    before = given()
    assert LinearInput()(before) is before


def test_zero_append_pads_and_learns_nothing() -> None:
    layer = ZeroAppendInput(32)
    labels = layer(given()).labels
    assert labels is not None
    assert torch.equal(labels[:, :12], DELTA)
    assert labels.shape == (2, 32)
    assert not labels[:, 12:].any()
    assert not list(layer.parameters())


@pytest.mark.parametrize("side", [4, 6])
def test_a_map_of_the_deltas_is_joined(side: int) -> None:
    torch.manual_seed(0)
    layer = MapInput(side=4)
    after = layer(given(side))
    assert after.labels is None
    assert [m.shape[1] for m in after.maps] == [4, MAP_CHANNELS]
    made = after.maps[1]
    assert made.shape[2:] == (side, side)
    assert float((made[0] - made[1]).abs().max()) > 1e-3
    assert float(made[0].std()) > 1e-3  # places differ: a map, not a constant


@pytest.mark.parametrize(
    ("kind", "input_kind"),
    [("linear", LinearInput), ("zero-append", ZeroAppendInput), ("convolution", MapInput)],
)
def test_each_kind_reaches_the_denoiser(kind: ActionUnitKind, input_kind: type) -> None:
    """The same delta gives the same prediction, another delta another one."""
    torch.manual_seed(0)
    channels = input_channels("reference-attention", kind, latent=4, condition=4)
    unet = build_denoiser(
        {**TINY_UNET, **channels, "out_channels": 4}, "reference-attention", kind
    ).eval()
    assert isinstance(action_unit_input(kind, unet), input_kind)

    def predicted(delta: Tensor) -> Tensor:
        with torch.no_grad():
            sample: Tensor = unet(
                torch.ones(1, 8, 4, 4),
                100,
                encoder_hidden_states=torch.ones(1, 3, 4),
                class_labels=delta,
                cross_attention_kwargs={"reference": None},
            ).sample
            return sample

    assert torch.equal(predicted(DELTA[:1]), predicted(DELTA[:1]))
    assert float((predicted(DELTA[:1]) - predicted(DELTA[1:])).abs().max()) > 1e-5


def test_zero_append_adds_the_delta_to_the_time_embedding() -> None:
    """What the residual blocks get is the time embedding plus the padded delta, nothing else."""
    torch.manual_seed(0)
    shape = {**TINY_UNET, "in_channels": 8, "out_channels": 4}
    unet = build_denoiser(shape, "reference-attention", "zero-append").eval()
    seen: list[Tensor] = []
    unet.down_blocks[0].resnets[0].register_forward_pre_hook(lambda _, x: seen.append(x[1]))
    for delta in (torch.zeros(1, 12), DELTA[1:]):
        unet(
            torch.zeros(1, 8, 4, 4),
            100,
            encoder_hidden_states=torch.zeros(1, 3, 4),
            class_labels=delta,
            cross_attention_kwargs={"reference": None},
        )
    difference = seen[1] - seen[0]
    torch.testing.assert_close(difference[:, :12], DELTA[1:], rtol=1e-5, atol=1e-5)
    assert not difference[:, 12:].any()
