"""Networks of Stable Diffusion 1.5's layout, as narrow as it can be, and their files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from torch import Tensor

from magicface_core.network.unet import AU_COUNT, build_unet, to_released_keys

WIDTHS = (32, 32, 32, 32)  # 32 groups need multiples of 32
UNET = {"block_out_channels": WIDTHS, "cross_attention_dim": 16, "attention_head_dim": 8}
PROMPT_WIDTH = 16


@dataclass(frozen=True)
class Networks:
    """Tensors by the names of the released files, and what they were taken from."""

    denoiser: UNet2DConditionModel
    id_encoder: UNet2DConditionModel
    vae: AutoencoderKL

    @property
    def denoising_unet(self) -> dict[str, Tensor]:
        return to_released_keys(self.denoiser.state_dict())

    @property
    def ldm_vae(self) -> dict[str, Tensor]:
        """Written out by hand: independent of the table that is tested."""
        return {original_key(k): original_value(k, v) for k, v in self.vae.state_dict().items()}


def original_key(key: str) -> str:
    """A diffusers key of a four-level autoencoder in the original layout."""
    words = key.split(".")
    match words:
        case [side, "mid_block", "resnets", number, *rest]:
            return ".".join([side, "mid", f"block_{int(number) + 1}", *rest])
        case [side, "mid_block", "attentions", "0", *rest]:
            layer = {"group_norm": "norm", "to_out": "proj_out"}.get(rest[0], rest[0][-1])
            return ".".join([side, "mid", "attn_1", layer, rest[-1]])
        case ["encoder", "down_blocks", level, "resnets", number, *rest]:
            return ".".join(["encoder.down", level, "block", number, *shortcut(rest)])
        case ["encoder", "down_blocks", level, "downsamplers", "0", *rest]:
            return ".".join(["encoder.down", level, "downsample", *rest])
        case ["decoder", "up_blocks", level, "resnets", number, *rest]:
            return ".".join(["decoder.up", str(3 - int(level)), "block", number, *shortcut(rest)])
        case ["decoder", "up_blocks", level, "upsamplers", "0", *rest]:
            return ".".join(["decoder.up", str(3 - int(level)), "upsample", *rest])
        case [side, "conv_norm_out", kind]:
            return f"{side}.norm_out.{kind}"
    return key


def shortcut(words: list[str]) -> list[str]:
    return ["nin_shortcut" if word == "conv_shortcut" else word for word in words]


def original_value(key: str, value: Tensor) -> Tensor:
    linear = ".attentions." in key and value.ndim == 2
    return (value[..., None, None] if linear else value).contiguous()


@pytest.fixture(scope="session")
def released() -> Networks:
    """Random networks in the released layout; not to be changed."""
    torch.manual_seed(0)
    return Networks(
        build_unet({**UNET, "in_channels": 8, "out_channels": 4}, AU_COUNT),
        build_unet({**UNET, "in_channels": 4, "out_channels": 4}, None),
        AutoencoderKL(
            # The widths differ so that some blocks have a shortcut.
            block_out_channels=(32, 64, 64, 32),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            latent_channels=4,
        ).requires_grad_(False),
    )


@pytest.fixture
def two_files(released: Networks, tmp_path: Path) -> Path:
    """A folder of single files, under names that say nothing."""
    folder = tmp_path / "files"
    folder.mkdir()
    save_file(released.denoising_unet, folder / "b.safetensors")
    save_file(released.id_encoder.state_dict(), folder / "a.safetensors")
    save_file({"prompt_embeds": torch.ones(1, 3, 16)}, folder / "prompt_embeds.safetensors")
    return folder


@pytest.fixture
def ldm_file(released: Networks, tmp_path: Path) -> Path:
    """A single-file Stable Diffusion 1.5 checkpoint: an autoencoder among other things."""
    path = tmp_path / "sd15.safetensors"
    tensors = {f"first_stage_model.{key}": value for key, value in released.ldm_vae.items()}
    tensors["first_stage_model.loss.logvar"] = torch.zeros(())
    tensors["model.diffusion_model.time_embed.0.weight"] = torch.zeros(4, 4)
    tensors["cond_stage_model.transformer.ids"] = torch.zeros(1, 77, dtype=torch.int64)
    save_file(tensors, path)
    return path
