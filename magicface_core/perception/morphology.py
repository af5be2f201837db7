"""Morphology of boolean masks [1,1,H,W] in plain torch."""

from __future__ import annotations

import torch


def dilate(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """Grows a mask by `radius` pixels; outside the picture nothing is set.

    Crosses and squares in turn make an octagon, close to a disc.
    """
    for step in range(radius):
        wide = _widened(mask)
        tall = _widened((wide if step % 2 else mask).transpose(-1, -2)).transpose(-1, -2)
        mask = tall | wide
    return mask


def _widened(mask: torch.Tensor) -> torch.Tensor:
    """Each pixel or one of its horizontal neighbours."""
    out = mask.clone()
    out[..., 1:] |= mask[..., :-1]
    out[..., :-1] |= mask[..., 1:]
    return out


def erode(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """Shrinks a mask by `radius` pixels; the picture's border does not eat into it."""
    return ~dilate(~mask, radius)


def open_mask(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """Removes what is thinner than about 2 `radius` pixels."""
    return dilate(erode(mask, radius), radius)


def close_mask(mask: torch.Tensor, radius: int) -> torch.Tensor:
    """Fills gaps narrower than about 2 `radius` pixels."""
    return erode(dilate(mask, radius), radius)


def fill_holes(mask: torch.Tensor) -> torch.Tensor:
    """Sets every unset pixel from which the picture's border cannot be reached."""
    border = torch.ones_like(mask)
    border[..., 1:-1, 1:-1] = False
    return ~connected_to(border, ~mask)


def connected_to(seed: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The parts of `mask` that a 4-connected path inside it joins to a pixel of `seed`.

    Geodesic dilation, whole runs of a row or column at a time, so that a few passes are enough.
    """
    reached = seed & mask
    while True:
        grown = _fill_runs(reached, mask)
        grown = _fill_runs(grown.transpose(-1, -2), mask.transpose(-1, -2)).transpose(-1, -2)
        if torch.equal(grown, reached):
            return reached
        reached = grown


def _fill_runs(reached: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Extends `reached` over every horizontal run of `mask` that it touches."""
    # Runs are numbered along the flattened mask: a gap pixel or a row's first pixel takes the next
    # number and the mask pixels after it share it. Gap pixels are never reached, so a number is
    # touched exactly when its run is.
    starts = torch.cat([torch.ones_like(mask[..., :1]), ~mask[..., 1:]], -1)
    run = starts.flatten().long().cumsum(0)
    touched = torch.zeros(int(run[-1]) + 1, dtype=torch.bool, device=mask.device)
    touched[run[reached.flatten()]] = True
    return touched[run].view(mask.shape) & mask
