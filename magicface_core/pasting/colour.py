"""Takes back the shift of tone that a rendering brings along.

An extension of the published code. Autoencoders and samplers return a picture a little lighter,
darker or tinted; beside the mask an edit changes nothing else, so that the shift can be read off
there and undone inside.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from ..errors import ImageError
from ..pictures.resampling import reduce_to

MEASURED_SIZE = 128
"""Side in pixels at which colours are compared; what is finer than that is detail, not tone."""

RING = (0.01, 0.12)
"""The ring begins and ends so many sides of the crop outside the mask."""

BORDER = 0.05
"""Width in sides of the crop's own border, read where the mask leaves no ring."""

LEAST_SHARE = 0.01
"""Share of the crop that a ring must have to be trusted."""

NOTICED = 1 / 255
"""A shift below one grey level is none: the edit is returned as it is."""

LARGEST_SHIFT = 0.25
GAINS = (0.75, 1.33)
"""Limits of a shift and gain that are a tone; what lies outside is another picture."""

FLAT = 0.02
"""Standard deviation below which a ring has too little contrast to read a gain from."""

LARGEST_RESIDUAL = 0.1
"""Median deviation from the fit from which the ring shows something else than the original."""

CLIPPED = 2 / 255
"""Distance from black or white at which the edit no longer says what it would be without limits."""

LEAST_PIXELS = 64
"""Pixels (at the measured size) below which a ring is too small to read."""

ROUNDS = 6
OUTLIER = 2.5
"""Rounds of the fit, and deviations (in robust standard deviations) of what each leaves out."""


def match_colours(edited: Tensor, original: Tensor, mask: Tensor, strength: float = 1.0) -> Tensor:
    """The edited crops in the tone of the original.

    A gain and a shift for each colour channel are fitted to a ring around the mask, leaving out
    pixels that the edit changed. Where there is nothing to correct, or nothing to read it from,
    the edit is returned bit for bit.

    Args:
        edited: [B,3,S,S] float 0..1.
        original: [B,3,S,S], the same crops before the edit.
        mask: [B,1,S,S], above 0 where the edit counts.
        strength: 0 (leave as it is) to 1 (take all of it back).

    Returns:
        [B,3,S,S] float 0..1.

    Raises:
        ImageError: shapes that do not fit, or a strength outside 0..1.
    """
    if not (math.isfinite(strength) and 0 <= strength <= 1):
        raise ImageError(f"The strength of a colour match is 0 to 1, not {strength}.")
    if edited.shape != original.shape or mask.shape != (len(edited), 1, *edited.shape[-2:]):
        raise ImageError(
            f"Colours of {list(edited.shape)} cannot be matched to {list(original.shape)} "
            f"under a mask {list(mask.shape)}."
        )
    if strength == 0:
        return edited
    ring = ring_of(mask)
    size = ring.shape[-1]
    rows = zip(edited, reduce_to(edited, size), reduce_to(original, size), ring, strict=True)
    return torch.stack([_matched(*row, strength) for row in rows])


def ring_of(mask: Tensor) -> Tensor:
    """Where the tone is read: bool [B,1,s,s], near the mask [B,1,S,S] and outside it; s <= 128.

    A mask that leaves no ring is taken for a whole square, whose border is read instead.
    """
    size = min(mask.shape[-1], MEASURED_SIZE)
    inside = F.adaptive_max_pool2d((mask > 0).float(), size)
    near, far = (_grown(inside, max(1, round(share * size))) for share in RING)
    ring = (far > 0) & (near == 0)
    border = torch.ones_like(ring)
    width = max(1, round(BORDER * size))
    border[..., width : size - width, width : size - width] = False
    enough = ring.float().mean((1, 2, 3), keepdim=True) >= LEAST_SHARE
    return torch.where(enough, ring, border)


def _grown(inside: Tensor, radius: int) -> Tensor:
    """[B,1,S,S] dilated by a square, one axis after the other."""
    rows = F.max_pool2d(inside, (2 * radius + 1, 1), 1, (radius, 0))
    return F.max_pool2d(rows, (1, 2 * radius + 1), 1, (0, radius))


def _matched(
    edited: Tensor, small_edited: Tensor, small_original: Tensor, ring: Tensor, strength: float
) -> Tensor:
    """One crop [3,S,S], measured on smaller ones [3,s,s] in the ring [1,s,s]."""
    readable = ring[0] & ((small_edited - 0.5).abs() < 0.5 - CLIPPED).all(0)
    if readable.sum() < LEAST_PIXELS:
        return edited
    seen, wanted = small_edited[:, readable].double(), small_original[:, readable].double()
    tone = _tone(seen, wanted)
    if tone is None or not _is_noticed(*tone, seen.mean(1)):
        return edited
    gain, shift = (part.to(edited)[:, None, None] for part in tone)
    return (edited + strength * (edited * gain + shift - edited)).clamp(0, 1)


def _is_noticed(gain: Tensor, shift: Tensor, middle: Tensor) -> bool:
    """Whether a tone changes the mean colour [3], or colours a quarter of the range beside it."""
    at_mean = (gain * middle + shift - middle).abs()
    return bool((at_mean + 0.25 * (gain - 1).abs()).max() >= NOTICED)


def _tone(seen: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor] | None:
    """Gain [3] and shift [3] that turn colours [3,N] of the edit into the original's.

    Least squares, repeated without the pixels that deviate most. None where the two do not show
    the same thing.
    """
    gain, shift = torch.ones(3).to(seen), (wanted - seen).median(1).values
    for _ in range(ROUNDS):
        residual = (gain[:, None] * seen + shift[:, None] - wanted).abs().amax(0)
        spread = residual.median()
        if spread > LARGEST_RESIDUAL:
            return None
        kept = residual <= max(OUTLIER * 1.4826 * float(spread), NOTICED)
        gain, shift = _fit(seen[:, kept], wanted[:, kept])
    moved = (gain * seen.mean(1) + shift - seen.mean(1)).abs()
    low, high = GAINS
    if (moved > LARGEST_SHIFT).any() or (gain < low).any() or (gain > high).any():
        return None
    return gain, shift


def _fit(seen: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
    """Least squares of wanted = gain seen + shift by channel [3,N]; gain 1 where `seen` is flat."""
    mean, goal = seen.mean(1), wanted.mean(1)
    variance = ((seen - mean[:, None]) ** 2).mean(1)
    together = ((seen - mean[:, None]) * (wanted - goal[:, None])).mean(1)
    textured = variance > FLAT**2
    gain = torch.where(textured, together / variance.clamp_min(FLAT**2), torch.ones_like(mean))
    return gain, goal - gain * mean
