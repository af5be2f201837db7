"""Edits of faces that are already cropped: identity once, then any number of deltas.

What a graph of nodes, a caller with prepared pictures, and `MagicFace` itself go through. Every row
starts from the same noise, so that frames differ by their deltas and pictures alone.

Detail that the networks' few pixels cannot hold comes back in one of two ways. Where the
autoencoder holds movements (see ``PatchAutoencoder``) and latents are relative to the identity
image's, the edit itself is applied to the face at full resolution, and what is there is moved
along (`carries_detail`). Other checkpoints that ask for it have the unedited face rendered as well,
and what the two renderings share gives way to the face's own pixels (`paste.keep_detail`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from ..errors import ImageError
from ..network.autoencoder import NetworkCodec, PatchAutoencoder
from ..pasting.paste import keep_detail
from ..pictures.images import to_uint8
from ..pictures.resampling import require_square, sized
from .identity import (
    EncodedIdentity,
    ProjectedIdentity,
    encode_identities,
    project_identity,
    require_own,
)
from .sampling import (
    Callback,
    Progress,
    decode,
    encode_background,
    no_change_delta,
    sample,
    scheduled,
)
from .settings import RenderOptions

if TYPE_CHECKING:
    import numpy as np

    from ..aus import AUDelta
    from ..network import Checkpoint

__all__ = [
    "EncodedIdentity",
    "RenderCallback",
    "RenderOptions",
    "Rendered",
    "carries_detail",
    "decode_edits",
    "encode_backgrounds",
    "encode_identities",
    "preview_picture",
    "render",
    "render_encoded",
]

RenderCallback = Callable[[int, int, Progress | None], None]
"""Called with the steps done, the steps in all, and the sampler's state to show.

The state is None before the first step, and while the unedited face is rendered for comparison.
"""


@dataclass(frozen=True)
class Rendered:
    """N edited faces on the CPU, float32.

    pictures  [N,3,S,S] in 0..1, S the side that the options ask for
    latents   [N,C,h,w] WITHOUT the scaling factor, as ComfyUI's LATENT is
    """

    pictures: Tensor
    latents: Tensor


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
    require_square("background", backgrounds)
    common_count(len(identity), len(backgrounds), len(deltas))
    conditions = encode_backgrounds(checkpoint, backgrounds, options.batch_size)
    return render_encoded(checkpoint, identity, conditions, deltas, options, callback)


@torch.no_grad()
def render_encoded(
    checkpoint: Checkpoint,
    identity: EncodedIdentity,
    conditions: Tensor,
    deltas: Sequence[AUDelta],
    options: RenderOptions | None = None,
    callback: RenderCallback | None = None,
) -> Rendered:
    """`render` with what `encode_backgrounds` makes of the backgrounds, [1 or N,C',h,w]."""
    options = options or RenderOptions()
    count = common_count(len(identity), len(conditions), len(deltas))
    require_own(checkpoint, identity)
    wanted = list(deltas) * (count // len(deltas))
    moving = [n for n in range(count) if options.render_zero or not wanted[n].is_zero]
    faces = sized(identity.picture.float().cpu(), options.size).clamp(0, 1)
    pictures = faces.expand(count, -1, -1, -1).clone()
    latents = identity.latents.float().cpu().expand(count, -1, -1, -1).clone()
    if moving:
        shown = identity if len(identity) == 1 else identity.rows(moving)
        edited, unedited = _sample_batches(
            checkpoint,
            shown,
            conditions if len(conditions) == 1 else conditions[moving],
            torch.stack([wanted[n].to_tensor() for n in moving]),
            options,
            callback,
        )
        latents[moving] = edited
        pictures[moving] = (
            decode_edits(checkpoint, shown, edited, options)
            if unedited is None
            else _decode_compared(checkpoint, pictures[moving], edited, unedited, options)
        )
    return Rendered(pictures, latents)


@torch.no_grad()
def encode_backgrounds(checkpoint: Checkpoint, pictures: Tensor, batch_size: int = 4) -> Tensor:
    """Conditions [B,C',h,w] of square background + pose pictures [B,3,S,S] in 0..1, any size."""
    size = checkpoint.info.resolution
    parts = [
        encode_background(checkpoint, sized(part, size)) for part in pictures.split(batch_size)
    ]
    return torch.cat(parts)


def carries_detail(checkpoint: Checkpoint) -> bool:
    """Whether edits of this checkpoint are applied to the picture itself."""
    info = checkpoint.info
    return info.keep_detail and info.identity_skip and isinstance(checkpoint.vae, PatchAutoencoder)


@torch.no_grad()
def decode_edits(
    checkpoint: Checkpoint,
    identity: EncodedIdentity,
    latents: Tensor,
    options: RenderOptions | None = None,
) -> Tensor:
    """Pictures [N,3,S,S] float32 in 0..1, on the CPU, of edited latents [N,C,h,w].

    The last part of an edit, alone: also for latents that other samplers than this package's have
    made, or that changed on the way. They are WITHOUT the scaling factor, as ComfyUI's LATENT is;
    the identity has 1 row or N. A checkpoint that `carries_detail` edits the identity's own
    pictures, unless ``options.keep_detail`` is False; any other decodes ``options.batch_size``
    latents at a time.

    Raises:
        ImageError: latents of another shape, or a number of them that does not fit.
        MagicFaceError: an identity of another checkpoint.
    """
    options = options or RenderOptions()
    require_own(checkpoint, identity)
    _check_latents(checkpoint, latents, len(identity))
    if carries_detail(checkpoint) and options.keep_detail is not False:
        return _carried(checkpoint, identity, latents.float(), options.size)
    parts = latents.float().split(options.batch_size)
    return torch.cat([_decoded(checkpoint, part, options.size) for part in parts]).clamp(0, 1)


def preview_picture(checkpoint: Checkpoint, clean: Tensor) -> np.ndarray | None:
    """The first of predicted clean latents [B,C,h,w] (scaled) as uint8 [H,W,3].

    None for checkpoints whose autoencoder is too slow to run in every step.
    """
    if not isinstance(checkpoint.vae, PatchAutoencoder):
        return None
    return to_uint8(decode(checkpoint, clean[:1]))


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


def _sample_batches(
    checkpoint: Checkpoint,
    identity: EncodedIdentity,
    conditions: Tensor,
    deltas: Tensor,
    options: RenderOptions,
    callback: RenderCallback | None,
) -> tuple[Tensor, Tensor | None]:
    """Latents of M edits [M,C,h,w], and of their unedited faces [M or 1,C,h,w] if wanted.

    Neither has the scaling factor. Autoencoder and denoiser take turns once, not once per batch:
    they may not fit together.
    """
    batches = _batches(len(deltas), options.batch_size)
    alone = len(identity) == 1 and len(conditions) == 1
    compared = _keeps_detail(checkpoint, options) and not carries_detail(checkpoint)
    unguided = replace(options, guidance=1.0)
    compared_batches = (batches[:1] if alone else batches) if compared else []
    solver = scheduled(checkpoint, options.steps, options.scheduler)
    seen = project_identity(checkpoint, identity) if len(identity) == 1 else None
    total = (len(batches) + len(compared_batches)) * len(solver.timesteps)
    count_step, count_unseen = _counters(callback, total)

    def sample_rows(
        rows: slice, wanted: Tensor, settings: RenderOptions, counted: Callback | None
    ) -> Tensor:
        who = seen or project_identity(checkpoint, identity.rows(range(len(deltas))[rows]))
        where = conditions if len(conditions) == 1 else conditions[rows]
        return _sample_alike(checkpoint, who, where, wanted, settings, counted).cpu()

    edited = [sample_rows(rows, deltas[rows], options, count_step) for rows in batches]
    unedited = [
        sample_rows(
            rows,
            no_change_delta().expand(1 if alone else len(deltas[rows]), -1),
            unguided,
            count_unseen,
        )
        for rows in compared_batches
    ]
    scale = checkpoint.codec.scaling_factor
    return torch.cat(edited) / scale, torch.cat(unedited) / scale if unedited else None


def _sample_alike(
    checkpoint: Checkpoint,
    identity: ProjectedIdentity,
    conditions: Tensor,
    deltas: Tensor,
    options: RenderOptions,
    callback: Callback | None,
) -> Tensor:
    """``sampling.sample`` with the same random numbers for every row, on any device."""
    shape = (1, checkpoint.latent_channels, *conditions.shape[2:])
    generators = [torch.Generator().manual_seed(options.seed) for _ in deltas]
    noise = [torch.randn(shape, generator=generator) for generator in generators]
    return sample(
        checkpoint,
        identity,
        conditions,
        deltas,
        steps=options.steps,
        guidance=options.guidance,
        scheduler=options.scheduler,
        noise=torch.cat(noise).to(conditions),
        generator=generators,
        callback=callback,
    )


def _decode_compared(
    checkpoint: Checkpoint,
    faces: Tensor,
    edited: Tensor,
    unedited: Tensor,
    options: RenderOptions,
) -> Tensor:
    """Pictures [M,3,S,S] in 0..1 of latents, with the faces' detail.

    ``unedited`` has 1 row or M.
    """
    pictures = []
    reference = None
    for rows in _batches(len(edited), options.batch_size):
        if reference is None or len(unedited) > 1:
            shared = unedited if len(unedited) == 1 else unedited[rows]
            reference = _decoded(checkpoint, shared, options.size)
        found = _decoded(checkpoint, edited[rows], options.size)
        pictures.append(keep_detail(faces[rows], found, reference).clamp(0, 1))
    return torch.cat(pictures)


def _decoded(checkpoint: Checkpoint, latents: Tensor, size: int) -> Tensor:
    """Pictures [B,3,size,size] on the CPU, of latents [B,C,h,w] without the scaling factor."""
    return sized(checkpoint.codec.decode_pictures(latents).float().cpu(), size)


def _carried(
    checkpoint: Checkpoint, identity: EncodedIdentity, latents: Tensor, size: int
) -> Tensor:
    """The edits [N,3,size,size] of the faces themselves, for latents [N,C,h,w].

    One at a time: they are larger than the latents' own pictures.
    """
    codec = checkpoint.codec
    assert isinstance(codec, NetworkCodec)
    assert isinstance(codec.vae, PatchAutoencoder)
    faces = sized(identity.picture.float().cpu(), size).clamp(0, 1)
    parts = []
    for n, wanted in enumerate(latents.split(1)):
        own = slice(n % len(identity), n % len(identity) + 1)
        face, edited, unedited = (
            codec.placed(each) for each in (faces[own], wanted, identity.latents[own])
        )
        moved: Tensor = codec.vae.carry(face * 2 - 1, edited, unedited)
        parts.append((moved.float() / 2 + 0.5).clamp(0, 1).cpu())
    return torch.cat(parts)


def _check_latents(checkpoint: Checkpoint, latents: Tensor, identities: int) -> None:
    shape, channels, size = list(latents.shape), checkpoint.latent_channels, checkpoint.latent_size
    if shape[1:] != [channels, size, size]:
        raise ImageError(
            f"These latents are {shape}, this checkpoint decodes [N, {channels}, {size}, {size}]: "
            "give those that its own denoiser made."
        )
    if not len(latents) or identities not in (1, len(latents)):
        raise ImageError(
            f"{identities} identities and {len(latents)} latents do not go together: give one "
            "identity, or one for each of the latents."
        )


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
