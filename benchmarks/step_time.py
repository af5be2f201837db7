"""One guided denoising step: cached reference against the published implementation's arithmetic.

Same random weights, same inputs; the two take turns, and their predictions must agree.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import AttnProcessor2_0
from torch import Tensor

from magicface_core.network.reference_attention import (
    install_processors,
    project_reference,
    transformer_blocks,
)
from magicface_core.network.unet import AU_COUNT, build_unet

TARGET = 0.65
AGREEMENT = 1e-4  # of the largest value
TOKENS = 77  # of the prompt
FULL = {
    "sample_size": 64,
    "block_out_channels": (320, 640, 1280, 1280),
    "cross_attention_dim": 768,
    "attention_head_dim": 8,
}
SMALL = {
    "sample_size": 16,
    "block_out_channels": (32, 64, 64, 64),
    "cross_attention_dim": 32,
    "attention_head_dim": 8,
    "norm_num_groups": 8,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns 1 where the two ways disagree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="tiny networks: a trial in seconds")
    parser.add_argument("--repeats", type=int, default=3, help="measured steps of each way")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads (default: its own)")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    result = measure(SMALL if args.small else FULL, args.repeats)
    print(f"published arithmetic  {result['published_seconds']:9.3f} s")
    print(f"cached reference      {result['cached_seconds']:9.3f} s")
    print(f"ratio                 {result['ratio']:9.3f}   (target {TARGET} at full size)")
    print(json.dumps(result))
    return 0 if result["difference"] < AGREEMENT else 1


@torch.no_grad()
def measure(shape: dict[str, Any], repeats: int) -> dict[str, Any]:
    """Median seconds of both ways, their ratio, and their largest relative difference."""
    torch.manual_seed(0)
    unet = build_unet({**shape, "in_channels": 8, "out_channels": 4}, AU_COUNT).eval()
    inputs = guided_inputs(shape)
    features = [torch.randn(1, *tokens) for tokens in token_shapes(unet, inputs)]
    reference = project_reference(unet, features)
    both_halves = [feature.repeat(2, 1, 1) for feature in features]

    def cached() -> Tensor:
        return step(unet, {**inputs, "cross_attention_kwargs": {"reference": reference}})

    def published() -> Tensor:
        with published_blocks(unet, both_halves):
            return step(unet, inputs)

    seconds: dict[str, list[float]] = {"cached": [], "published": []}
    for turn in range(repeats + 1):
        first, prediction = timed(cached)
        second, expected = timed(published)
        if turn:  # the first turn warms up
            seconds["cached"].append(first)
            seconds["published"].append(second)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "cached_seconds": medians["cached"],
        "published_seconds": medians["published"],
        "ratio": medians["cached"] / medians["published"],
        "difference": float((prediction - expected).abs().max() / expected.abs().max()),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def guided_inputs(shape: dict[str, Any]) -> dict[str, Any]:
    """Inputs of a guided step of one edit: the null half and the AU half."""
    size = shape["sample_size"]
    delta = torch.zeros(2, AU_COUNT)
    delta[1, 6] = 4.0
    return {
        "sample": torch.randn(1, 8, size, size).repeat(2, 1, 1, 1),
        "timestep": 500,
        "encoder_hidden_states": torch.randn(1, TOKENS, shape["cross_attention_dim"]).repeat(
            2, 1, 1
        ),
        "class_labels": delta,
    }


def step(unet: UNet2DConditionModel, inputs: dict[str, Any]) -> Tensor:
    """The guided prediction (Eq. 4) at alpha = 3."""
    null, edited = unet(**inputs).sample.chunk(2)
    return null + 3.0 * (edited - null)


def token_shapes(unet: UNet2DConditionModel, inputs: dict[str, Any]) -> list[tuple[int, int]]:
    """Tokens and channels of each transformer block."""
    shapes: list[tuple[int, int]] = []
    handles = [
        block.register_forward_pre_hook(lambda _, given: shapes.append(tuple(given[0].shape[1:])))
        for block in transformer_blocks(unet)
    ]
    step(unet, inputs)
    for handle in handles:
        handle.remove()
    return shapes


def timed(work: Callable[[], Tensor]) -> tuple[float, Tensor]:
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


# --- the published arithmetic -------------------------------------------------------------------


@contextmanager
def published_blocks(unet: UNet2DConditionModel, features: list[Tensor]) -> Iterator[None]:
    """Stock attention layers, and blocks that join the reference tokens before ``norm1``."""
    blocks = list(transformer_blocks(unet))
    for block, feature in zip(blocks, features, strict=True):
        block.attn1.set_processor(AttnProcessor2_0())
        block.attn2.set_processor(AttnProcessor2_0())
        block.forward = functools.partial(published_forward, block, feature)
    try:
        yield
    finally:
        for block in blocks:
            del block.forward
        install_processors(unet)


def published_forward(
    block: BasicTransformerBlock,
    feature: Tensor,
    hidden_states: Tensor,
    encoder_hidden_states: Tensor | None = None,
    **_unused: Any,
) -> Tensor:
    """A transformer block whose self-attention runs over own and reference tokens alike.

    The reference's half of the result, queries and all, is computed and dropped.
    """
    own = hidden_states.shape[1]
    joined = block.norm1(torch.cat([hidden_states, feature], dim=1))
    hidden_states = hidden_states + block.attn1(joined)[:, :own]
    prompted = block.attn2(block.norm2(hidden_states), encoder_hidden_states=encoder_hidden_states)
    hidden_states = hidden_states + prompted
    forwarded: Tensor = hidden_states + block.ff(block.norm3(hidden_states))
    return forwarded


if __name__ == "__main__":
    raise SystemExit(main())
