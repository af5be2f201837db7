"""Merged checkpoints whose description is a tensor, for writers that cannot set metadata.

The same tensors as in ``merged.py``; the JSON texts of the metadata are one JSON object in a uint8
tensor.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from .parts import PROMPT_KEY
from .unet import to_released_keys
from .weights import parse_object, read_tensors

if TYPE_CHECKING:
    from .checkpoint import Checkpoint

DESCRIPTION_KEY = "magicface_description"


def described_tensors(
    checkpoint: Checkpoint, denoiser: Mapping[str, Tensor], vae: nn.Module | None
) -> dict[str, Tensor]:
    """All tensors of a checkpoint with this denoiser (released names) and, if given, autoencoder.

    The checkpoint's Attribute Controller must be the released one, which has no tensors.
    """
    parts: dict[str, tuple[nn.Module, Mapping[str, Tensor]]] = {
        "denoising_unet": (checkpoint.denoiser, denoiser),
        "ID_enc": (
            checkpoint.id_encoder,
            to_released_keys(checkpoint.id_encoder.state_dict()),
        ),
    }
    if vae is not None:
        parts["vae"] = (vae, vae.state_dict())
    texts = {name: json.dumps(_config(module)) for name, (module, _) in parts.items()}
    texts["magicface"] = checkpoint.info.to_json()
    texts["scheduler"] = json.dumps(checkpoint.scheduler_config)
    tensors = {
        f"{name}.{key}": value for name, (_, own) in parts.items() for key, value in own.items()
    }
    tensors[PROMPT_KEY] = checkpoint.prompt_embeds.float()
    content = bytearray(json.dumps(texts).encode())
    return tensors | {DESCRIPTION_KEY: torch.frombuffer(content, dtype=torch.uint8).clone()}


def read_description(path: Path) -> dict[str, str]:
    """The JSON texts by name. Raises CheckpointError for a damaged tensor."""
    found = read_tensors(path, None, torch.device("cpu"), [DESCRIPTION_KEY])[DESCRIPTION_KEY]
    text = found.flatten().to(torch.uint8).numpy().tobytes().decode(errors="replace")
    where = f"{path}, {DESCRIPTION_KEY}"
    return {name: str(value) for name, value in parse_object(text, where).items()}


def _config(module: nn.Module) -> dict[str, Any]:
    """A network's ``config.json``."""
    config: Any = module.config  # of diffusers, whose types hide it
    own = {key: value for key, value in config.items() if not key.startswith("_")}
    return {"_class_name": type(module).__name__, **own}
