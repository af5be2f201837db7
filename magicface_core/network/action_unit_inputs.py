"""Three ways of the AU delta into the denoiser (paper, Table III).

Chosen by the checkpoint (``magicface.json``, key ``action_units``):

* ``linear``, the paper's and the release's "Linear + Time": one linear layer, added to the time
  embedding;
* ``zero-append``: the delta itself, padded with zeros to the time embedding's width, added to it;
* ``convolution``, "MLP + Conv": two linear layers make a map, which is joined to the input of the
  denoiser's first convolution. Width, activation and the map's four channels are ours.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from .denoiser_inputs import DenoiserInputs
from .unet import AU_COUNT

ActionUnitKind = Literal["linear", "zero-append", "convolution"]
CLASS_EMBEDDINGS: dict[ActionUnitKind, str | None] = {
    "linear": "simple_projection",
    "zero-append": "identity",
    "convolution": None,
}
"""diffusers' ``class_embed_type`` of the layer that takes the labels."""

MAP_CHANNELS = 4
MAP_WIDTH = 256


class LinearInput(nn.Module):
    """The delta as labels of a linear layer, which is the UNet's (or the ControlNet's) own."""

    def forward(self, given: DenoiserInputs) -> DenoiserInputs:
        return given


class ZeroAppendInput(nn.Module):
    """Labels [B,12] padded with zeros to the time embedding's width; nothing is learnt."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width

    def forward(self, given: DenoiserInputs) -> DenoiserInputs:
        assert given.labels is not None
        return replace(given, labels=F.pad(given.labels, (0, self.width - AU_COUNT)))


class MapInput(nn.Module):
    """Labels [B,12] as a map [B,4,side,side], joined to the others; resized where they differ."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.side = side
        self.layers = nn.Sequential(
            nn.Linear(AU_COUNT, MAP_WIDTH), nn.SiLU(), nn.Linear(MAP_WIDTH, MAP_CHANNELS * side**2)
        )

    def forward(self, given: DenoiserInputs) -> DenoiserInputs:
        made: Tensor = self.layers(given.labels).unflatten(1, (MAP_CHANNELS, self.side, self.side))
        size = given.noisy.shape[2:]
        if made.shape[2:] != size:
            made = F.interpolate(made, size, mode="bilinear")
        return replace(given, maps=(*given.maps, made), labels=None)


def action_unit_input(kind: ActionUnitKind, unet: UNet2DConditionModel) -> nn.Module:
    """The input of a kind, for a UNet's time embedding and size."""
    if kind == "zero-append":
        return ZeroAppendInput(unet.time_embedding.linear_2.out_features)
    return MapInput(int(unet.config.sample_size)) if kind == "convolution" else LinearInput()
