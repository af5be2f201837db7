"""The configuration of a network in Stable Diffusion 1.5's layout, read from its tensors' shapes.

For files that come without ``config.json``. Widths, levels and channels show in the shapes; the
number of attention heads (8) and of normalisation groups (32) do not, and are Stable Diffusion
1.5's. Whatever else differs from that layout is refused, not guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from .ldm import from_ldm, is_ldm, key_table

Shapes = Mapping[str, tuple[int, ...]]

LAYOUT = "Stable Diffusion 1.5's layout"
HEADS, GROUPS = 8, 32
LEVELS, BLOCKS = 4, 2
CONVOLUTION = 4  # dimensions of its weight
LATENT_CHANNELS, SCALING_FACTOR = 4, 0.18215


def infer_config(shapes: Shapes) -> dict[str, Any] | None:
    """``config.json`` of a UNet or autoencoder; None where the layout is another one."""
    try:
        if "encoder.conv_in.weight" in shapes:
            return _autoencoder(from_ldm(shapes, key_table(shapes)) if is_ldm(shapes) else shapes)
        return _unet(shapes)
    except (KeyError, IndexError):
        return None


def _unet(shapes: Shapes) -> dict[str, Any] | None:
    widths = _widths(shapes, "down_blocks")
    attending = [f"down_blocks.{level}.attentions.0.proj_in.weight" for level in range(LEVELS)]
    if (
        widths is None
        or [key in shapes for key in attending] != [True, True, True, False]
        or len(shapes[attending[0]]) != CONVOLUTION  # later versions have linear layers there
    ):
        return None
    prompt = "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    return {
        "_class_name": "UNet2DConditionModel",
        "sample_size": 64,
        "in_channels": shapes["conv_in.weight"][1],
        "out_channels": shapes["conv_out.weight"][0],
        "block_out_channels": widths,
        "layers_per_block": BLOCKS,
        "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3,
        "cross_attention_dim": shapes[prompt][1],
        "attention_head_dim": HEADS,  # a misnomer of the format: the number of heads
        "norm_num_groups": GROUPS,
    }


def _autoencoder(shapes: Shapes) -> dict[str, Any] | None:
    widths = _widths(shapes, "encoder.down_blocks")
    channels = shapes["post_quant_conv.weight"][1]
    if widths is None or channels != LATENT_CHANNELS:
        return None
    return {
        "_class_name": "AutoencoderKL",
        "sample_size": 512,
        "in_channels": shapes["encoder.conv_in.weight"][1],
        "out_channels": shapes["decoder.conv_out.weight"][0],
        "block_out_channels": widths,
        "layers_per_block": BLOCKS,
        "down_block_types": ["DownEncoderBlock2D"] * LEVELS,
        "up_block_types": ["UpDecoderBlock2D"] * LEVELS,
        "latent_channels": channels,
        "norm_num_groups": GROUPS,
        "scaling_factor": SCALING_FACTOR,
    }


def _widths(shapes: Shapes, prefix: str) -> list[int] | None:
    """Channels of each level; None where levels or blocks are not as many as they should be."""
    names = {key.removeprefix(f"{prefix}.") for key in shapes if key.startswith(f"{prefix}.")}
    blocks = {name.split(".")[2] for name in names if name.startswith("0.resnets.")}
    if not _counted({name.split(".")[0] for name in names}, LEVELS) or len(blocks) != BLOCKS:
        return None
    weights = [f"{prefix}.{level}.resnets.0.conv1.weight" for level in range(LEVELS)]
    widths = [shapes[key][0] for key in weights]
    return widths if all(width > 0 and width % GROUPS == 0 for width in widths) else None


def _counted(names: Collection[str], count: int) -> bool:
    return set(names) == {str(number) for number in range(count)}
