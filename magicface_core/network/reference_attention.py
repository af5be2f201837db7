"""Reference attention: the denoiser's self-attention also sees the ID encoder's tokens.

In every BasicTransformerBlock the denoising UNet attends, with queries of its own tokens only, to
keys and values of ``cat([own tokens, reference tokens])`` (paper, section III-C). Keys and values
of the reference depend neither on the timestep nor on the AUs, so they are projected once per
identity image and shared by all steps, both guidance halves and every edit of that image.

Deviations from the released code, both with equal results:

* the release concatenates before ``norm1`` and drops the reference half of the output, which
  computes queries for reference tokens in vain; LayerNorm acts per token, so normalising the two
  parts apart is the same;
* the ID encoder stops after its last transformer block: what follows feeds nothing.

``locality`` is an extension that only checkpoints asking for it use (the released ones do not): a
distance penalty on attention in the manner of ALiBi (Press et al. 2022), so that a small model need
not discover from nothing that the identity's eye belongs where the portrait's eye is.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from torch import Tensor

N = TypeVar("N", bound=torch.nn.Module)
_features_wanted: ContextVar[list[Tensor] | None] = ContextVar("features_wanted", default=None)
"""Of each thread its own: where the features go of the ID encoder that runs in it."""


def _hand_out_features(_block: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
    wanted = _features_wanted.get()
    if wanted is not None:
        wanted.append(inputs[0])


@dataclass(frozen=True)
class Reference:
    """Keys and values of one or more identity images for each of the denoiser's transformer blocks.

    ``keys[i]`` and ``values[i]`` are [R, N_i, C_i]: R identity images, N_i tokens, C_i channels of
    block i.
    """

    keys: tuple[Tensor, ...]
    values: tuple[Tensor, ...]

    def for_batch(self, index: int, batch: int) -> tuple[Tensor, Tensor]:
        """Keys and values of block ``index`` for ``batch`` rows; row b has identity b mod R."""
        key, value = self.keys[index], self.values[index]
        repeats, rest = divmod(batch, key.shape[0])
        if rest:
            raise ValueError(
                f"a batch of {batch} cannot share {key.shape[0]} identity images evenly"
            )
        if repeats == 1:
            return key, value
        if key.shape[0] == 1:
            return key.expand(batch, -1, -1), value.expand(batch, -1, -1)
        return key.repeat(repeats, 1, 1), value.repeat(repeats, 1, 1)

    def select(self, rows: slice) -> Reference:
        """The reference of some of the identity images."""
        return Reference(tuple(k[rows] for k in self.keys), tuple(v[rows] for v in self.values))


def transformer_blocks(unet: UNet2DConditionModel) -> Iterator[BasicTransformerBlock]:
    """All transformer blocks in the order the forward pass meets them: down, mid, up."""
    for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        for transformer in getattr(block, "attentions", ()):
            yield from transformer.transformer_blocks


class ReferenceSelfAttention:
    """Attention processor of one self-attention layer.

    ``reference`` comes with each call; nothing is stored.
    """

    def __init__(self, index: int, locality: Sequence[float] = ()) -> None:
        self.index = index
        self.locality = tuple(locality)

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        reference: Reference | None = None,
    ) -> Tensor:
        query = attn.to_q(hidden_states)
        key, value = attn.to_k(hidden_states), attn.to_v(hidden_states)
        if reference is not None:
            reference_key, reference_value = reference.for_batch(self.index, len(hidden_states))
            key, value = join(key, reference_key), join(value, reference_value)
        attended = attend(query, key, value, attn.heads, self.locality)
        return attn.to_out[1](attn.to_out[0](attended))


class PromptAttention:
    """Attention processor of a cross-attention layer: attends to the prompt, not the reference."""

    def __call__(
        self,
        attn: Attention,
        hidden_states: Tensor,
        encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None,
        reference: Reference | None = None,
    ) -> Tensor:
        prompt = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        attended = scaled_dot_product(
            attn.to_q(hidden_states), attn.to_k(prompt), attn.to_v(prompt), attn.heads
        )
        return attn.to_out[1](attn.to_out[0](attended))


def join(own: Tensor, reference: Tensor) -> Tensor:
    """What a denoiser's layer attends to: own tokens [B,N,C], then the reference's [B,M,C].

    The same for tokens, keys and values, since layers act on each token alone.
    """
    return torch.cat([own, reference.to(own.dtype)], dim=1)


def attend(
    query: Tensor, key: Tensor, value: Tensor, heads: int, locality: Sequence[float] = ()
) -> Tensor:
    """Attention of own queries [B,N,C] to joined keys and values [B,N+M,C] -> [B,N,C].

    locality is one slope per head, or empty: see ``add_distance_penalty``.
    """
    if locality:
        query, key = add_distance_penalty(query, key, heads, locality)
    return scaled_dot_product(query, key, value, heads)


def slopes_of_heads(locality: Sequence[float], heads: int) -> tuple[float, ...]:
    """A checkpoint's ``locality`` repeated to a layer's number of heads; empty stays empty."""
    return tuple(locality[h % len(locality)] for h in range(heads)) if locality else ()


def scaled_dot_product(query: Tensor, key: Tensor, value: Tensor, heads: int) -> Tensor:
    """Multi-head attention; query [B,N,C'], key [B,M,C'], value [B,M,C] -> [B,N,C].

    C' may exceed C by extra channels per head that only shape the scores; the scale is that of C.
    """
    query, key, value = (t.unflatten(2, (heads, -1)).transpose(1, 2) for t in (query, key, value))
    width = value.shape[-1]
    padded = F.pad(value, (0, query.shape[-1] - width))
    attended = F.scaled_dot_product_attention(query, key, padded, scale=width**-0.5)
    return attended[..., :width].transpose(1, 2).flatten(2)


def add_distance_penalty(
    query: Tensor, key: Tensor, heads: int, locality: Sequence[float]
) -> tuple[Tensor, Tensor]:
    """Three more channels per head, which lower scores by ``slope * squared distance``.

    The N query tokens form a square grid; the key tokens are one or more copies of that grid (own
    tokens, reference tokens). With p the query's and p' the key's place, -|p - p'|^2 = 2 p.p' -
    |p'|^2 - |p|^2, and the last term cancels in the softmax, so the penalty is a dot product and
    needs no mask.

    Args:
        query: [B, N, heads * d]; key: [B, M, heads * d] with M a multiple of N.
        locality: one slope per head, in 1 / tokens^2; 0 leaves a head free.

    Returns:
        query [B, N, heads * (d + 3)] and key [B, M, heads * (d + 3)].
    """
    side = math.isqrt(query.shape[1])
    if side * side != query.shape[1]:
        raise ValueError(
            f"a checkpoint with locality needs square pictures, got {query.shape[1]} tokens"
        )
    axis = torch.arange(side, device=query.device, dtype=torch.float32) - (side - 1) / 2
    grid = torch.cartesian_prod(axis, axis)
    # The scores will be divided by the square root of the head's width.
    width = query.shape[2] // heads
    slopes = torch.tensor(locality, device=query.device)[None, :, None] * width**0.5
    query_place = slopes * torch.cat([2 * grid, -torch.ones_like(grid[:, :1])], 1)[:, None]
    key_place = torch.cat([grid, grid.square().sum(1, keepdim=True)], 1)[:, None]
    key_place = key_place.repeat(key.shape[1] // len(grid), heads, 1)
    return _append(query, query_place), _append(key, key_place)


def _append(tokens: Tensor, channels: Tensor) -> Tensor:
    """Append channels [N, heads, c] to each head of tokens [B, N, heads * d]."""
    per_head = tokens.unflatten(2, (channels.shape[1], -1))
    added = channels.to(tokens).expand(len(tokens), -1, -1, -1)
    return torch.cat([per_head, added], dim=3).flatten(2)


def install_processors(unet: UNet2DConditionModel, locality: Sequence[float] = ()) -> None:
    """Give every attention layer of ``unet`` this module's processors, in execution order.

    ``locality`` is repeated to the number of heads of each layer. Blocks also learn to hand out
    what enters them, to whoever asks (`identity_features`).
    """
    for index, block in enumerate(transformer_blocks(unet)):
        block.register_forward_pre_hook(_hand_out_features)
        slopes = slopes_of_heads(locality, block.attn1.heads)
        block.attn1.set_processor(ReferenceSelfAttention(index, slopes))
        if block.attn2 is not None:
            block.attn2.set_processor(PromptAttention())


def identity_features(
    id_encoder: UNet2DConditionModel, latents: Tensor, prompt_embeds: Tensor
) -> list[Tensor]:
    """The ID encoder's features at timestep 0: what enters each block, before its ``norm1``.

    ``latents`` [R, C, h, w] are the mode of the VAE's posterior WITHOUT the scaling factor, as
    released. Returns one [R, N_i, C_i] tensor per block, in execution order.
    """
    features: list[Tensor] = []
    token = _features_wanted.set(features)
    try:
        _run_to_last_attention(id_encoder, latents, prompt_embeds)
    finally:
        _features_wanted.reset(token)
    if len(features) != len(list(transformer_blocks(id_encoder))):
        raise ValueError("the ID encoder was not prepared by install_processors")
    return features


def with_own_hooks(network: N) -> N:
    """The same network, sharing every weight, whose hooks are nobody else's.

    Other threads may run the original meanwhile: a call that listens to layers leaves no trace.
    """
    shared = {id(tensor): tensor for tensor in (*network.parameters(), *network.buffers())}
    return copy.deepcopy(network, shared)


def _run_to_last_attention(
    unet: UNet2DConditionModel, sample: Tensor, prompt_embeds: Tensor
) -> None:
    """The UNet's forward pass at timestep 0, ended after the last up block that holds attention."""
    prompt = prompt_embeds.to(sample.dtype).expand(sample.shape[0], -1, -1)
    time = unet.time_embedding(unet.get_time_embed(sample=sample, timestep=0))
    sample = unet.conv_in(sample)
    skips: tuple[Tensor, ...] = (sample,)
    for block in unet.down_blocks:
        extra = {"encoder_hidden_states": prompt} if hasattr(block, "attentions") else {}
        sample, residuals = block(hidden_states=sample, temb=time, **extra)
        skips += residuals
    sample = unet.mid_block(sample, time, encoder_hidden_states=prompt)
    last = max((i for i, b in enumerate(unet.up_blocks) if hasattr(b, "attentions")), default=-1)
    for index, block in enumerate(unet.up_blocks[: last + 1]):
        count = len(block.resnets)
        taken, skips = skips[-count:], skips[:-count]
        extra = {"encoder_hidden_states": prompt} if hasattr(block, "attentions") else {}
        size = skips[-1].shape[2:] if index < len(unet.up_blocks) - 1 else None
        sample = block(
            hidden_states=sample,
            temb=time,
            res_hidden_states_tuple=taken,
            upsample_size=size,
            **extra,
        )


def project_reference(denoiser: UNet2DConditionModel, features: Sequence[Tensor]) -> Reference:
    """Keys and values that the denoiser's own layers make of the ID encoder's features."""
    keys, values = [], []
    for block, feature in zip(transformer_blocks(denoiser), features, strict=True):
        normed = block.norm1(feature)
        keys.append(block.attn1.to_k(normed))
        values.append(block.attn1.to_v(normed))
    return Reference(tuple(keys), tuple(values))
