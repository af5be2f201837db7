"""Which denoisers ComfyUI's own UNet can run, and what it calls their layers.

Stable Diffusion 1.5's layout in any width and depth, with what small checkpoints add: other
numbers of normalisation groups, scale-shift normalisation and locality of attention.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import comfy.utils

from ...magicface_core.errors import CheckpointError

if TYPE_CHECKING:
    from torch import Tensor

    from ...magicface_core.network import Checkpoint, CheckpointInfo

AU_LAYER = "label_emb"
SAME_AU_LAYER = "class_embedding"
ATTENDING_DOWN, PLAIN_DOWN = "CrossAttnDownBlock2D", "DownBlock2D"
ATTENDING_UP, PLAIN_UP = "CrossAttnUpBlock2D", "UpBlock2D"
# What magicface.json may say in any way; anything else must be as released.
FREE = {
    *("name", "format_version", "resolution", "locality", "region", "face_fraction"),
    *("crop_offset", "mask_dilation", "chin_extension", "steps", "guidance", "scheduler"),
    *("identity_skip", "keep_detail", "licence", "notice", "training"),
}
# What ComfyUI's UNet has no setting for, as diffusers' config.json names it.
FIXED: Mapping[str, tuple[Any, ...]] = {
    "mid_block_type": ("UNetMidBlock2DCrossAttn",),
    "act_fn": ("silu", "swish"),
    "center_input_sample": (False, None),
    "flip_sin_to_cos": (True,),
    "freq_shift": (0,),
    "only_cross_attention": (False, None),
    "downsample_padding": (1,),
    "mid_block_scale_factor": (1,),
    "transformer_layers_per_block": (1,),
    "reverse_transformer_layers_per_block": (None,),
    "encoder_hid_dim_type": (None,),
    "dual_cross_attention": (False, None),
    "class_embed_type": ("simple_projection",),
    "projection_class_embeddings_input_dim": (12,),
    "class_embeddings_concat": (False, None),
    "addition_embed_type": (None,),
    "upcast_attention": (False, None),
    "resnet_time_scale_shift": ("default", "scale_shift"),
    "resnet_skip_time_act": (False, None),
    "resnet_out_scale_factor": (1, None),
    "time_embedding_type": ("positional",),
    "time_embedding_dim": (None,),
    "time_embedding_act_fn": (None,),
    "timestep_post_act": (None,),
    "time_cond_proj_dim": (None,),
    "conv_in_kernel": (3,),
    "conv_out_kernel": (3,),
    "attention_type": ("default",),
    "mid_block_only_cross_attention": (None, False),
    "cross_attention_norm": (None,),
    "dropout": (0, None),
}
INSTEAD = "Use Load MagicFace Model with MagicFace Sampler for this checkpoint."


def unet_arguments(checkpoint: Checkpoint) -> dict[str, Any]:
    """Arguments of ComfyUI's UNet, and of ours on top of it, for a checkpoint's denoiser.

    Raises CheckpointError for one that ComfyUI's UNet cannot run as it was trained.
    """
    check_info(checkpoint.info)
    config = checkpoint.denoiser.config
    _check_config(config)
    widths, depths = list(config["block_out_channels"]), _per_level(config)
    attending = [kind == ATTENDING_DOWN for kind in config["down_block_types"]]
    levels = list(zip(attending, depths, strict=True))
    return {
        "image_size": 32,
        "in_channels": config["in_channels"],
        "out_channels": config["out_channels"],
        "model_channels": widths[0],
        "channel_mult": [width // widths[0] for width in widths],
        "num_res_blocks": depths,
        "num_heads": config.get("num_attention_heads") or config["attention_head_dim"],
        "use_spatial_transformer": True,
        "transformer_depth": [int(on) for on, depth in levels for _ in range(depth)],
        "transformer_depth_middle": 1,
        "transformer_depth_output": [int(on) for on, depth in levels for _ in range(depth + 1)],
        "context_dim": config["cross_attention_dim"],
        "use_linear_in_transformer": bool(config.get("use_linear_projection")),
        "use_scale_shift_norm": config["resnet_time_scale_shift"] == "scale_shift",
        "adm_in_channels": None,
        "use_temporal_attention": False,
        "legacy": False,
        "norm_groups": config["norm_num_groups"],
        "norm_epsilon": config["norm_eps"],
        "locality": tuple(checkpoint.info.locality),
    }


def native_keys(arguments: Mapping[str, Any]) -> dict[str, str]:
    """diffusers' names of the denoiser's tensors -> ComfyUI's."""
    table: dict[str, str] = comfy.utils.unet_to_diffusers(dict(arguments))
    own = {f"{SAME_AU_LAYER}.{kind}": f"{AU_LAYER}.{kind}" for kind in ("weight", "bias")}
    return table | own


def to_native(tensors: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """Tensors of a denoiser, under the checkpoint's names or diffusers', under ComfyUI's."""
    from ...magicface_core.network.unet import to_stock_keys

    table = native_keys(arguments)
    return {table[key]: tensor for key, tensor in to_stock_keys(tensors).items()}


def from_native(tensors: Mapping[str, Tensor], arguments: Mapping[str, Any]) -> dict[str, Tensor]:
    """The inverse of ``to_native``, under the checkpoint's names."""
    from ...magicface_core.network.unet import to_released_keys

    table = {native: key for key, native in native_keys(arguments).items()}
    return to_released_keys({table[key]: tensor for key, tensor in tensors.items()})


def check_info(info: CheckpointInfo) -> None:
    """Raise CheckpointError for a checkpoint that takes its inputs in another way than released."""
    for entry in dataclasses.fields(info):
        value = getattr(info, entry.name)
        if entry.name not in FREE and value != entry.default:
            raise CheckpointError(
                f'A native MODEL needs {entry.name} "{entry.default}", this checkpoint has '
                f'"{value}". {INSTEAD}'
            )


def _check_config(config: Mapping[str, Any]) -> None:
    for problem in problems(config):
        raise CheckpointError(f"ComfyUI's UNet cannot run this denoiser: {problem}. {INSTEAD}")


def problems(config: Mapping[str, Any]) -> Iterator[str]:
    """What ComfyUI's UNet cannot do as a denoiser's config.json says."""
    for name, allowed in FIXED.items():
        if name in config and config[name] not in allowed:
            yield f"its {name} is {config[name]}, not {allowed[0]}"
    down, up = list(config["down_block_types"]), list(config["up_block_types"])
    mirrored = [ATTENDING_UP if kind == ATTENDING_DOWN else PLAIN_UP for kind in reversed(down)]
    if not set(down) <= {ATTENDING_DOWN, PLAIN_DOWN} or up != mirrored:
        yield f"its blocks are {', '.join(down)} and {', '.join(up)}"
    widths = list(config["block_out_channels"])
    if any(width % widths[0] for width in widths):
        yield f"its widths {widths} are no multiples of the first"
    heads = config.get("num_attention_heads") or config["attention_head_dim"]
    if not isinstance(heads, int) or not isinstance(config["cross_attention_dim"], int):
        yield "its levels differ in heads or in the prompt's width"


def _per_level(config: Mapping[str, Any]) -> list[int]:
    """Residual blocks of each level."""
    count = config["layers_per_block"]
    return [count] * len(config["block_out_channels"]) if isinstance(count, int) else list(count)
