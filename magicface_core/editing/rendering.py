"""Edits of faces that are already cropped: identity once, then any number of deltas.

What a graph of nodes, or a caller with prepared pictures, needs; `pipeline.MagicFace` goes from a
photograph to a photograph. Every row starts from the same noise, so that frames differ by their
deltas and pictures alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import ImageError, MagicFaceError
from ..framing.preparation import WORKING_SIZE
from ..network.autoencoder import PatchAutoencoder
from ..pasting.paste import keep_detail
from ..pictures.images import to_uint8
from .carrying import carries_detail
from .decoding import decode_edits, decoded
from .identity import (
    EncodedIdentity,
    as_seen,
    encode_identities,
    require_own,
    require_square,
    sized,
)
from .sampling import (
    Callback,
    Identity,
    Progress,
    decode,
    encode_background,
    no_change_delta,
    sample,
    scheduled,
)
from .settings import RenderOptions, Settings

if TYPE_CHECKING:
    import numpy as np

    from ..aus import AUDelta
    from ..network import Checkpoint

__all__ = [
    "EncodedIdentity",
    "RenderCallback",
    "RenderOptions",
    "Rendered",
    "encode_identities",
    "preview_picture",
    "render",
]

RenderCallback = Callable[[int, int, Progress | None], None]
"""Called with the steps done, the steps in all, and the sampler's state to show.

The state is None before the first step, and while the unedited face is rendered for comparison.
"""


@dataclass(frozen=True)
class Rendered:
    """N edited faces on the CPU, float32.

    pictures  [N,3,512,512] in 0..1
    latents   [N,C,h,w] WITHOUT the scaling factor, as ComfyUI's LATENT is
    """

    pictures: Tensor
    latents: Tensor


@torch.no_grad()
def render(
    checkpoint: Checkpoint,
    identity: EncodedIdentity,
    backgrounds: Tensor,
    deltas: Sequence[AUDelta],
    options: RenderOptions | None = None,
    callback: RenderCallback | None = None,
) -> Rendered:
    """Edit N faces; identity, backgrounds [.,3,S,S] and deltas have 1 or N rows each.

    Rows whose delta is zero are the identity's own picture and cost nothing, unless
    ``options.render_zero``. The others are sampled ``batch_size`` at a time. Where detail is kept
    (see ``paste.keep_detail``), the unedited face is rendered as well, once for each face and
    background.

    Raises:
        ImageError: numbers of rows that do not fit, or pictures that are not square.
        MagicFaceError: settings out of range, or an identity of another checkpoint.
    """
    options = options or RenderOptions()
    if options.batch_size < 1:
        raise MagicFaceError(f"batch_size is {options.batch_size}; it must be 1 or more")
    count = common_count(len(identity), len(backgrounds), len(deltas))
    require_square("background", backgrounds, "Background+Pose Parse")
    require_own(checkpoint, identity)
    wanted = list(deltas) * (count // len(deltas))
    moving = [n for n in range(count) if options.render_zero or not wanted[n].is_zero]
    faces = sized(identity.picture.float().cpu(), WORKING_SIZE).clamp(0, 1)
    pictures = faces.expand(count, -1, -1, -1).clone()
    latents = identity.latents.float().cpu().expand(count, -1, -1, -1).clone()
    if moving:
        edited, unedited = _sample_batches(
            checkpoint,
            identity if len(identity) == 1 else identity.rows(moving),
            backgrounds if len(backgrounds) == 1 else backgrounds[moving],
            torch.stack([wanted[n].to_tensor() for n in moving]),
            options,
            callback,
        )
        latents[moving] = edited
        shown = identity if len(identity) == 1 else identity.rows(moving)
        size, kept = options.batch_size, options.keep_detail
        pictures[moving] = (
            decode_edits(checkpoint, shown, edited, size, kept)
            if unedited is None
            else _decode_compared(checkpoint, pictures[moving], edited, unedited, size)
        )
    return Rendered(pictures, latents)


def preview_picture(checkpoint: Checkpoint, clean: Tensor) -> np.ndarray | None:
    """The first of predicted clean latents [B,C,h,w] (scaled) as uint8 [H,W,3].

    None for checkpoints whose autoencoder is too slow to run in every step.
    """
    if not isinstance(checkpoint.vae, PatchAutoencoder):
        return None
    return to_uint8(decode(checkpoint, clean[:1]))


def sample_alike(
    checkpoint: Checkpoint,
    identity: Identity,
    background: Tensor,
    deltas: Tensor,
    settings: Settings,
    callback: Callback | None = None,
) -> Tensor:
    """``sampling.sample`` with the same random numbers for every row, on any device.

    background [B or 1,C',h,w], deltas [B,12]; returns scaled latents [B,C,h,w] float32.
    """
    shape = (1, checkpoint.latent_channels, *background.shape[2:])
    generators = [torch.Generator().manual_seed(settings.seed) for _ in deltas]
    noise = [torch.randn(shape, generator=generator) for generator in generators]
    return sample(
        checkpoint,
        identity,
        background,
        deltas,
        steps=settings.steps,
        guidance=settings.guidance,
        scheduler=settings.scheduler,
        noise=torch.cat(noise).to(background),
        generator=generators,
        callback=callback,
    )


def no_change(settings: Settings) -> tuple[Tensor, Settings]:
    """Delta [1,12] and settings that render the unedited face like an edit."""
    return no_change_delta(), replace(settings, guidance=1.0)


def _sample_batches(
    checkpoint: Checkpoint,
    identity: EncodedIdentity,
    backgrounds: Tensor,
    deltas: Tensor,
    options: RenderOptions,
    callback: RenderCallback | None,
) -> tuple[Tensor, Tensor | None]:
    """Latents of M edits [M,C,h,w], and of their unedited faces [M or 1,C,h,w] if wanted.

    Neither has the scaling factor.
    Autoencoder and denoiser take turns once, not once per batch: they may not fit together.
    """
    batches = _batches(len(deltas), options.batch_size)
    alone = len(identity) == 1 and len(backgrounds) == 1
    compared = _keeps_detail(checkpoint, options) and not carries_detail(checkpoint)
    passes = len(batches) + (0 if not compared else 1 if alone else len(batches))
    solver = scheduled(checkpoint, options.steps, options.scheduler)
    count_step, count_unseen = _counters(callback, passes * len(solver.timesteps))
    conditions = _encode_backgrounds(checkpoint, backgrounds, options.batch_size)
    seen = as_seen(checkpoint, identity) if len(identity) == 1 else None
    edited: list[Tensor] = []
    unedited: list[Tensor] = []
    for rows in batches:
        who = seen or as_seen(checkpoint, identity.rows(range(len(deltas))[rows]))
        where = conditions if len(conditions) == 1 else conditions[rows]
        edited.append(sample_alike(checkpoint, who, where, deltas[rows], options, count_step).cpu())
        if compared and not (alone and unedited):
            same, unguided = no_change(options)
            same = same.expand(max(len(who.latents), len(where)), -1)
            found = sample_alike(checkpoint, who, where, same, unguided, count_unseen)
            unedited.append(found.cpu())
    scale = checkpoint.codec.scaling_factor
    return torch.cat(edited) / scale, torch.cat(unedited) / scale if unedited else None


def _decode_compared(
    checkpoint: Checkpoint, faces: Tensor, edited: Tensor, unedited: Tensor, batch_size: int
) -> Tensor:
    """Pictures [M,3,512,512] in 0..1 of latents, with the faces' detail.

    ``unedited`` has 1 row or M.
    """
    pictures = []
    reference = None
    for rows in _batches(len(edited), batch_size):
        if reference is None or len(unedited) > 1:
            reference = decoded(checkpoint, unedited if len(unedited) == 1 else unedited[rows])
        picture = keep_detail(faces[rows], decoded(checkpoint, edited[rows]), reference)
        pictures.append(picture.clamp(0, 1))
    return torch.cat(pictures)


def _encode_backgrounds(checkpoint: Checkpoint, pictures: Tensor, batch_size: int) -> Tensor:
    size = checkpoint.info.resolution
    parts = [
        encode_background(checkpoint, sized(part, size)) for part in pictures.split(batch_size)
    ]
    return torch.cat(parts)


def _keeps_detail(checkpoint: Checkpoint, options: RenderOptions) -> bool:
    return checkpoint.info.keep_detail if options.keep_detail is None else options.keep_detail


def _counters(
    callback: RenderCallback | None, total: int
) -> tuple[Callback, Callback] | tuple[None, None]:
    """Callbacks for the sampler that count the steps of all batches; the second shows no state."""
    if callback is None:
        return None, None
    callback(0, total, None)
    done = itertools.count(1)
    return (
        lambda progress: callback(next(done), total, progress),
        lambda _: callback(next(done), total, None),
    )


def _batches(count: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, count)) for first in range(0, count, size)]


def common_count(identities: int, backgrounds: int, deltas: int) -> int:
    """How many edits these make together. Raises ImageError for numbers that do not fit."""
    count = max(identities, backgrounds, deltas)
    if {identities, backgrounds, deltas} - {1, count}:
        raise ImageError(
            f"{identities} faces, {backgrounds} backgrounds and {deltas} deltas do not go "
            "together: give one or the same number of each. Make faces and backgrounds from the "
            "same frames, and as many deltas as frames, or a single one."
        )
    return count
