"""An identity by the tokens of CLIP's image encoder, for the denoiser's cross-attention.

The encoder is transformers' ``CLIPVisionModel``, which stays as it was trained; a linear layer and
a normalisation, which are trained, take its tokens to the cross-attention's width.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import CheckpointError

MEAN = (0.48145466, 0.4578275, 0.40821073)  # CLIP's, of pictures in 0..1
DEVIATION = (0.26862954, 0.26130258, 0.27577711)
SHAPE: dict[str, type] = {
    "hidden_size": int,
    "intermediate_size": int,
    "num_hidden_layers": int,
    "num_attention_heads": int,
    "image_size": int,
    "patch_size": int,
    "hidden_act": str,
    "layer_norm_eps": float,
}
"""The settings of ``CLIPVisionConfig`` that decide what the encoder computes."""

SOURCE = "openai/clip-vit-large-patch14"


class ImageEncoder(nn.Module):
    """Pictures [R,3,H,W] in -1..1 -> tokens [R,N,width]; N is 257 for CLIP's ViT-L/14."""

    def __init__(self, vision: nn.Module, width: int) -> None:
        super().__init__()
        self.shape = {name: getattr(vision.config, name) for name in SHAPE}
        # Before transformers 5, CLIPVisionModel is a shell around what it is itself since.
        self.vision = getattr(vision, "vision_model", vision)
        self.projection = nn.Sequential(
            nn.Linear(self.shape["hidden_size"], width), nn.LayerNorm(width)
        )
        self.register_load_state_dict_post_hook(_restore_positions)

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> ImageEncoder:
        """Random weights of a ``config``'s shape; raises CheckpointError without transformers."""
        settings, model = _clip()
        for name, kind in SHAPE.items():
            if not isinstance(config[name], kind):
                raise TypeError(f"{name} is {config[name]!r}, expected {kind.__name__}")
        return cls(model(settings(**{name: config[name] for name in SHAPE})), config["width"])

    @classmethod
    def from_folder(cls, folder: Path, width: int) -> ImageEncoder:
        """The encoder of a transformers folder with safetensors (CLIP whole, or its vision part).

        Raises CheckpointError for a folder without one.
        """
        _, model = _clip()
        fix = f"copy config.json and model.safetensors of {SOURCE} there"
        try:
            vision, report = model.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
        except (OSError, ValueError) as error:
            raise CheckpointError(
                f"{folder} holds no CLIP image encoder ({error}); {fix}"
            ) from error
        if report["missing_keys"]:
            missing = ", ".join(sorted(report["missing_keys"])[:3])
            raise CheckpointError(f"{folder} lacks {missing} of a CLIP image encoder; {fix}")
        return cls(vision.float(), width)

    @property
    def config(self) -> dict[str, Any]:
        """What ``from_config`` reads."""
        return {**self.shape, "width": self.projection[0].out_features}

    def forward(self, pictures: Tensor) -> Tensor:
        size = self.shape["image_size"]
        resized = F.interpolate(
            pictures.float(), (size, size), mode="bicubic", align_corners=False, antialias=True
        )
        mean, deviation = (
            torch.tensor(values).to(resized).view(3, 1, 1) for values in (MEAN, DEVIATION)
        )
        normed = ((resized / 2 + 0.5).clamp(0, 1) - mean) / deviation
        seen = self.vision(pixel_values=normed.to(pictures.dtype)).last_hidden_state
        tokens: Tensor = self.projection(seen)
        return tokens


def _restore_positions(encoder: nn.Module, _: object) -> None:
    """Count CLIP's positions, which no file holds and a network built without storage lacks."""
    for module in encoder.modules():
        table = getattr(module, "position_embedding", None)
        if isinstance(table, nn.Embedding):
            module.position_ids = torch.arange(len(table.weight), device=table.weight.device)[None]


def _clip() -> tuple[Any, Any]:
    try:
        from transformers import CLIPVisionConfig, CLIPVisionModel
    except ImportError as error:
        raise CheckpointError(
            "identity by an image encoder needs transformers: "
            'pip install "comfyui-magicface[prompt]"'
        ) from error
    return CLIPVisionConfig, CLIPVisionModel
