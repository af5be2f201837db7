"""The fixed prompt's embedding, computed once, so that no text encoder is loaded at run time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import CheckpointError, ModelError
from ..network.parts import PROMPT, PROMPT_KEY
from ..network.streaming import write_tensors
from ..network.weights import read_config, read_header

ENCODER, TOKENIZER = "text_encoder", "tokenizer"
MAX_WIDTH = 4096


def write_prompt_embedding(folder: Path, target: Path) -> Path:
    """Encode ``PROMPT`` and write ``prompt_embeds.safetensors``.

    Args:
        folder: has ``text_encoder/`` and ``tokenizer/`` of Stable Diffusion 1.5.
        target: the file; it appears whole or not at all.

    Raises:
        ModelError: transformers is not installed, or the folder holds something else.
        CheckpointError: a file is missing or damaged.
    """
    width = _width(folder / ENCODER)
    read_header(folder / ENCODER / "model.safetensors")
    embedding = _encode(folder, _transformers())
    if embedding.ndim != 3 or embedding.shape[0] != 1 or embedding.shape[2] != width:
        raise ModelError(
            f"{folder} gives an embedding of shape {list(embedding.shape)}, expected "
            f"[1, tokens, {width}]; fetch sd15-text-encoder again."
        )
    if not torch.isfinite(embedding).all():
        raise ModelError(f"{folder} gives values that are not finite; fetch it again.")
    write_tensors(target, {PROMPT_KEY: embedding}, {"prompt": PROMPT})
    return target


def transformers_installed() -> bool:
    """Whether ``write_prompt_embedding`` can work here."""
    try:
        _transformers()
    except ModelError:
        return False
    return True


def _transformers() -> Any:
    try:
        import transformers
    except ImportError as error:
        raise ModelError(
            "The prompt's embedding needs the package transformers, once: pip install "
            "transformers, then magicface models convert sd15-text-encoder. In ComfyUI it is "
            "there already, and connecting CLIP does without this."
        ) from error
    return transformers


@torch.no_grad()
def _encode(folder: Path, transformers: Any) -> Tensor:
    """[1, tokens, width] float32: the last hidden state, padded to the encoder's length."""
    local = {"local_files_only": True}
    try:
        tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / TOKENIZER, **local)
        encoder = transformers.CLIPTextModel.from_pretrained(
            folder / ENCODER, use_safetensors=True, **local
        )
        length = int(encoder.config.max_position_embeddings)
        tokens = tokenizer(
            PROMPT, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        )
        output = encoder.float().eval()(tokens.input_ids)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, IndexError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(
            f"{folder} is no text encoder of Stable Diffusion 1.5 ({reason}); fetch it again."
        ) from error
    embedding: Tensor = output.last_hidden_state.float().contiguous()
    return embedding


def _width(folder: Path) -> int:
    width = read_config(folder).get("hidden_size")
    if not isinstance(width, int) or not 0 < width <= MAX_WIDTH:
        raise CheckpointError(f"{folder / 'config.json'}: hidden_size is {width!r}; fetch it again")
    return width
