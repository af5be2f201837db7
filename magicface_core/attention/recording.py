"""What the denoiser's attention layers attend to, recorded while it runs.

Hooks read what enters and leaves the layers. The layers themselves run as ever, so that a recorded
edit is the same edit, bit for bit; their attention weights are computed a second time, in float32
and for a chunk of queries at a time, and only means over heads are kept.

Of a batch the last row is recorded: of one edit with AU guidance, the half that sees the AUs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch import Tensor, nn

from ..errors import MagicFaceError
from ..network.reference_attention import (
    Reference,
    ReferenceSelfAttention,
    add_distance_penalty,
    join,
    transformer_blocks,
    with_own_hooks,
)

MOST_SCORES = 2**23
"""Attention weights that are held at a time; 32 MiB, as float32."""


@dataclass(frozen=True)
class LayerMaps:
    """One transformer block over T passes: means over heads, float32 on the CPU.

    index      number of the block in the order of execution
    name       diffusers' name of the block
    own        [T,h,w] share 0..1 of its attention that each place gives the denoiser's own tokens
    reference  [T,h,w] share for those of the ID encoder; own + reference = 1
    prompt     [T,h,w] norm of what the cross-attention adds at each place, over the norm of what
               it is added to; 0 where a block has no cross-attention
    looks      [T,P,r,r] weight that each of P places gives to each place of the identity image;
               summed over r x r, the place's share in ``reference``
    """

    index: int
    name: str
    own: Tensor
    reference: Tensor
    prompt: Tensor
    looks: Tensor


class AttentionRecorder:
    """Collects the maps of chosen layers; a pass counts when ``finish_step`` is called after it.

    Passes without it are dropped, such as those that render the unedited face for comparison.
    """

    def __init__(
        self,
        denoiser: UNet2DConditionModel,
        points: Sequence[tuple[float, float]],
        most_scores: int,
    ) -> None:
        self.denoiser = denoiser
        self.points = tuple(points)
        self.most_scores = most_scores
        self.timesteps: list[float] = []
        self._names: dict[int, str] = {}
        self._norms: dict[int, Tensor] = {}
        self._pass: dict[int, dict[str, Tensor]] = {}
        self._passes: list[dict[int, dict[str, Tensor]]] = []

    def finish_step(self, timestep: float) -> None:
        """Keep what the layers did since the last step."""
        if self._names.keys() - self._pass.keys():
            raise ValueError("finish_step is called after a pass of the denoiser")
        self.timesteps.append(timestep)
        self._passes.append(self._pass)
        self._pass = {}

    def layers(self) -> tuple[LayerMaps, ...]:
        """The maps of all finished steps. Raises ValueError where there is none."""
        if not self._passes:
            raise ValueError("no step was recorded")
        return tuple(
            LayerMaps(index, name, **self._stacked(index)) for index, name in self._names.items()
        )

    def _stacked(self, index: int) -> dict[str, Tensor]:
        steps = [one[index] for one in self._passes]
        return {key: torch.stack([step[key] for step in steps]) for key in steps[0]}

    def attach(self, index: int, name: str, block: BasicTransformerBlock) -> None:
        """Start to listen to a transformer block."""
        self._names[index] = name

        def read_self_attention(
            attn: Any, args: tuple[Tensor, ...], kwargs: dict[str, Any]
        ) -> None:
            self._pass[index] = self._own_and_reference(attn, args[0], kwargs.get("reference"))

        def read_residual(_: nn.Module, args: tuple[Tensor, ...]) -> None:
            self._norms[index] = _norms(args[0])

        def read_cross_attention(_: nn.Module, args: tuple[Tensor, ...], added: Tensor) -> None:
            strength = _norms(added) / self._norms.pop(index).clamp_min(1e-12)
            self._pass[index]["prompt"] = _grid(strength).cpu()

        block.attn1.register_forward_pre_hook(read_self_attention, with_kwargs=True)
        if block.attn2 is not None:
            block.norm2.register_forward_pre_hook(read_residual)
            block.attn2.register_forward_hook(read_cross_attention)

    @torch.no_grad()
    def _own_and_reference(
        self, attn: Any, tokens: Tensor, reference: Reference | None
    ) -> dict[str, Tensor]:
        processor: ReferenceSelfAttention = attn.processor
        query, key = attn.to_q(tokens[-1:]), attn.to_k(tokens[-1:])
        if reference is not None:
            key = join(key, reference.keys[processor.index][-1:])
        picked = [token_at(point, query.shape[1]) for point in self.points]
        own, other, looks = attention_shares(
            query, key, attn.heads, processor.locality, picked, self.most_scores
        )
        if reference is None:
            looks = own.new_zeros(len(picked), len(own))
        return {
            "own": _grid(own).cpu(),
            "reference": _grid(other).cpu(),
            "looks": _grid(looks).cpu(),
            "prompt": torch.zeros_like(_grid(own), device="cpu"),
        }


def listening_denoiser(
    denoiser: UNet2DConditionModel,
    points: Sequence[tuple[float, float]] = (),
    layers: Sequence[int] | None = None,
    most_scores: int = MOST_SCORES,
) -> AttentionRecorder:
    """A recorder whose ``denoiser``, of the same weights, tells it what it attends to.

    Args:
        denoiser: of any kind of checkpoint, with the processors of ``install_processors``; it is
            left as it is.
        points: (x, y) in 0..1 of the picture, whose looks at the identity image are recorded.
        layers: numbers of transformer blocks in the order of execution; None: all.
        most_scores: attention weights that may be held at a time; fewer save memory.

    Raises MagicFaceError for a layer that does not exist or a point outside the picture.
    """
    for x, y in points:
        if not (0 <= x <= 1 and 0 <= y <= 1):
            raise MagicFaceError(
                f"A point lies at {x:.2f}, {y:.2f} of the face picture's sides; it must lie within "
                "0..1 of both."
            )
    recorder = AttentionRecorder(with_own_hooks(denoiser), points, most_scores)
    for index, (name, block) in _chosen_blocks(recorder.denoiser, layers).items():
        recorder.attach(index, name, block)
    return recorder


def layer_names(denoiser: UNet2DConditionModel) -> tuple[str, ...]:
    """Diffusers' names of the transformer blocks, in the order of execution."""
    names = {module: name for name, module in denoiser.named_modules()}
    return tuple(names[block] for block in transformer_blocks(denoiser))


def attention_shares(
    query: Tensor,
    key: Tensor,
    heads: int,
    locality: Sequence[float] = (),
    picked: Sequence[int] = (),
    most_scores: int = MOST_SCORES,
) -> tuple[Tensor, Tensor, Tensor]:
    """How queries divide their attention between own and reference tokens; means over heads.

    Args:
        query: [1,N,C]; key: [1,N+M,C], own tokens first (see ``join``); M may be 0.
        heads, locality: the layer's, see ``reference_attention.attend``.
        picked: numbers of P queries whose weights are wanted one by one.
        most_scores: weights that may be held at a time, at least those of one query.

    Returns:
        Shares [N] of own tokens, [N] of reference tokens, and the weights [P,M] of the picked
        queries for each reference token, float32.
    """
    own, scale = query.shape[1], (query.shape[2] // heads) ** -0.5
    query, key = query.float(), key.float()
    if locality:
        query, key = add_distance_penalty(query, key, heads, locality)
    query, key = (t[0].unflatten(1, (heads, -1)).transpose(0, 1) for t in (query, key))
    shares = []
    for rows in query.split(max(most_scores // (heads * key.shape[1]), 1), dim=1):
        weights = (rows @ key.mT * scale).softmax(-1)
        parts = weights[..., :own].sum(-1), weights[..., own:].sum(-1)
        shares.append(torch.stack(parts).mean(1))
    to_own, to_reference = torch.cat(shares, dim=1)
    looks = (query[:, list(picked)] @ key.mT * scale).softmax(-1)[..., own:].mean(0)
    return to_own, to_reference, looks


def token_at(point: tuple[float, float], tokens: int) -> int:
    """Number of the token whose square of the picture has the point (x, y), 0..1."""
    side = _side(tokens)
    column, row = (min(int(value * side), side - 1) for value in point)
    return row * side + column


def _chosen_blocks(
    denoiser: UNet2DConditionModel, layers: Sequence[int] | None
) -> dict[int, tuple[str, BasicTransformerBlock]]:
    """Number -> name and module, in the order of execution."""
    every = dict(enumerate(zip(layer_names(denoiser), transformer_blocks(denoiser), strict=True)))
    if layers is None:
        return every
    for layer in layers:
        if layer not in every:
            listed = ", ".join(f"{index} {name}" for index, (name, _) in every.items())
            raise MagicFaceError(f"There is no layer {layer}; this denoiser has {listed}.")
    if not layers:
        raise MagicFaceError("No layer was chosen; give at least one, or none at all for all.")
    return {index: every[index] for index in sorted(set(layers))}


def _norms(tokens: Tensor) -> Tensor:
    """Of the last row's tokens: [B,N,C] -> [N]."""
    return tokens[-1].detach().float().norm(dim=-1)


def _grid(tokens: Tensor) -> Tensor:
    """[...,N] as the square [...,h,h] that the tokens form."""
    side = _side(tokens.shape[-1])
    return tokens.unflatten(-1, (side, side))


def _side(tokens: int) -> int:
    side = math.isqrt(tokens)
    if side * side != tokens:
        raise MagicFaceError(f"Attention maps need square pictures, not one of {tokens} tokens.")
    return side
