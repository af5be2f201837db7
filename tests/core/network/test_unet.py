"""Building the two UNets, and the released names."""

from __future__ import annotations

import torch

from magicface_core.network import Checkpoint
from magicface_core.network.reference_attention import PromptAttention, ReferenceSelfAttention
from magicface_core.network.tiny import TINY_UNET
from magicface_core.network.unet import (
    AU_COUNT,
    build_unet,
    share_initial_weights,
    to_released_keys,
    to_stock_keys,
)


def test_released_names_and_back() -> None:
    stock = {"class_embedding.weight": 1, "conv_in.weight": 2, "x.class_embedding.weight": 3}
    released = {"au_aug_mlp.weight": 1, "conv_in.weight": 2, "x.class_embedding.weight": 3}
    assert to_released_keys(stock) == released
    assert to_stock_keys(released) == stock


def test_aus_enter_through_one_linear_layer(golden_checkpoint: Checkpoint) -> None:
    layer = golden_checkpoint.denoiser.class_embedding
    assert isinstance(layer, torch.nn.Linear)
    assert layer.in_features == AU_COUNT
    assert golden_checkpoint.id_encoder.class_embedding is None
    assert golden_checkpoint.denoiser.config.in_channels == 8


def test_every_attention_layer_has_our_processors(golden_checkpoint: Checkpoint) -> None:
    kinds = [type(p) for p in golden_checkpoint.denoiser.attn_processors.values()]
    assert kinds.count(ReferenceSelfAttention) == kinds.count(PromptAttention) == 16
    assert len(kinds) == 32


def test_id_encoder_starts_as_the_denoiser() -> None:
    torch.manual_seed(0)
    denoiser = build_unet({**TINY_UNET, "in_channels": 8, "out_channels": 4}, AU_COUNT)
    id_encoder = build_unet({**TINY_UNET, "in_channels": 4, "out_channels": 4}, None)
    share_initial_weights(denoiser, id_encoder)
    source = denoiser.state_dict()
    for name, tensor in id_encoder.state_dict().items():
        expected = source[name][:, :4] if name == "conv_in.weight" else source[name]
        assert torch.equal(tensor, expected), name
