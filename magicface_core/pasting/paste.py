"""Puts an edited crop back into its picture, and changes nothing else.

Extensions of the published code, which stops at the edited crop: the paste itself, the soft edge
inside the mask, and keeping the source's detail where the edit changed nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F

from ..errors import ImageError
from ..pictures.resampling import Window, box_blur, resample

if TYPE_CHECKING:
    from ..pictures.crop import Crop

DETAIL_TOLERANCE = 0.03  # change of the rendering at which source detail has faded to 1/e
TILE = 1024  # side in pixels of the parts in which large faces are pasted, to bound the memory


def paste_back(
    source: torch.Tensor,
    edited: torch.Tensor,
    crop: Crop,
    mask: torch.Tensor,
    *,
    reference: torch.Tensor | None = None,
    feather: float = 0.03,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Puts an edited crop back into its picture; outside the mask no bit changes.

    Args:
        source: [1,3,H,W] float 0..1.
        edited: [1,3,S,S] float 0..1.
        crop: where `edited` comes from.
        mask: [1,1,S,S], above 0 where the picture may change.
        reference: [1,3,S,S], the same rendering of the unedited crop. Detail of the source that the
            rendering lacks is then kept, and fades where the edit changed the rendering:
            out = edited + w (source - reference), w = exp(-(smoothed |edited - reference| /
            0.03)^2). An edit equal to its reference returns the source, bit for bit.
        feather: width of the soft edge as a share of the crop's side; it lies inside the mask. 0
            for a hard edge. Where the picture ends there is no edge to hide, and none is made.

    Returns:
        The picture [1,3,H,W] and the weight of the edit in it [1,1,H,W], 0..1.
    """
    _check_pasted(source, edited, crop, mask, reference)
    result = source.clone()
    weight = torch.zeros_like(source[:, :1])
    size = edited.shape[-1]
    soft, inside = _feathered(mask, crop, feather), mask > 0
    lost = None if reference is None else lost_detail(edited - reference)
    for left, top, right, bottom in _tiles(_covered(inside, crop)):
        shift = np.array([[0.0, 0.0, left], [0.0, 0.0, top]])
        matrix = crop.matrix_to_crop(size)
        matrix[:, 2] += matrix[:, :2] @ shift[:, 2]
        extent = (bottom - top, right - left)
        local = resample(soft, matrix, extent).clamp(0, 1)
        local = local * _nearest(inside, matrix, extent)
        if not local.any():
            continue
        patch = source[..., top:bottom, left:right]
        change = _change(patch, edited, reference, lost, matrix)
        blended = (patch + local * change).clamp(0, 1)
        result[..., top:bottom, left:right] = torch.where(local > 0, blended, patch)
        weight[..., top:bottom, left:right] = local
    return result, weight


def _check_pasted(
    source: torch.Tensor,
    edited: torch.Tensor,
    crop: Crop,
    mask: torch.Tensor,
    reference: torch.Tensor | None,
) -> None:
    size = edited.shape[-1]
    wanted = {
        "source": (source, (1, 3, crop.source_size[1], crop.source_size[0])),
        "edited crop": (edited, (1, 3, size, size)),
        "mask": (mask, (1, 1, size, size)),
        "reference": (edited if reference is None else reference, (1, 3, size, size)),
    }
    for name, (picture, shape) in wanted.items():
        if tuple(picture.shape) != shape:
            raise ImageError(f"The {name} to paste is {list(picture.shape)}, not {list(shape)}.")


def _covered(inside: torch.Tensor, crop: Crop) -> Window:
    """Source pixels (left, top, right, bottom) under the mask [1,1,S,S], within the picture."""
    rows, columns = inside[0, 0].any(1).nonzero(), inside[0, 0].any(0).nonzero()
    if len(rows) == 0:
        return 0, 0, 0, 0
    x = [float(columns[0]), float(columns[-1]) + 1]
    y = [float(rows[0]), float(rows[-1]) + 1]
    corners = crop.to_source(np.array([[a, b] for a in x for b in y]), inside.shape[-1])
    left, top = np.floor(corners.min(0)).astype(int)
    right, bottom = np.ceil(corners.max(0)).astype(int)
    width, height = crop.source_size
    return max(int(left), 0), max(int(top), 0), min(int(right), width), min(int(bottom), height)


def _tiles(area: Window) -> Iterator[Window]:
    """The area (left, top, right, bottom) in parts small enough to bound the memory."""
    left, top, right, bottom = area
    for y in range(top, bottom, TILE):
        for x in range(left, right, TILE):
            yield x, y, min(x + TILE, right), min(y + TILE, bottom)


def _feathered(mask: torch.Tensor, crop: Crop, feather: float) -> torch.Tensor:
    """[1,1,S,S] weights: 0 outside the mask, rising to 1 inside over `feather` sides.

    The mask shrinks by the reach of the smoothing that follows, so the soft edge stays inside.
    """
    if feather == 0:
        return mask.clamp(0, 1)
    radius = max(1, round(feather * mask.shape[-1] / 4))
    margin = 2 * radius + 1
    padded = _surrounded(mask.clamp(0, 1), crop, margin)
    reach = 2 * margin - 1
    rows = F.max_pool2d(-padded, (reach, 1), stride=1, padding=(margin - 1, 0))
    eroded = -F.max_pool2d(rows, (1, reach), stride=1, padding=(0, margin - 1))
    smooth = box_blur(box_blur(eroded, radius), radius)
    return smooth[..., margin:-margin, margin:-margin]


def _surrounded(mask: torch.Tensor, crop: Crop, margin: int) -> torch.Tensor:
    """The mask [1,1,S,S] with what lies around it, [1,1,S+2m,S+2m].

    Beside the crop the picture continues unchanged: 0. Beyond the picture there is nothing to blend
    with, so that the mask goes on as its mirror image, whatever was drawn there; and so do the
    pixels on the picture's border, half of which was.
    """
    size = mask.shape[-1]
    steps = np.arange(-margin, size + margin) + 0.5
    columns, rows = np.meshgrid(steps, steps)
    border = 0.5 + crop.side / size
    places = crop.to_source(np.stack([columns.ravel(), rows.ravel()], 1), size) - border
    extent = np.maximum(np.asarray(crop.source_size) - 2 * border, 1)
    beyond = ((places < 0) | (places > extent)).any(1)
    padded = F.pad(mask, (margin,) * 4)
    if beyond.any():
        folded = extent - np.abs(places[beyond] % (2 * extent) - extent) + border
        back = np.floor(crop.to_crop(folded, size)).astype(int).clip(0, size - 1)
        column, row = torch.from_numpy(back).to(mask.device).T
        there = torch.from_numpy(beyond.reshape(columns.shape)).to(mask.device)
        padded[..., there] = mask[..., row, column]
    return padded


def _nearest(inside: torch.Tensor, matrix: np.ndarray, extent: tuple[int, int]) -> torch.Tensor:
    """Mask [1,1,S,S] read at each source pixel's centre, without interpolation; 0 outside."""
    rows, columns = np.arange(extent[0])[:, None] + 0.5, np.arange(extent[1])[None] + 0.5
    x, y = (np.floor(a * columns + b * rows + c).astype(int) for a, b, c in matrix.tolist())
    size = inside.shape[-1]
    valid = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    row, column = (torch.from_numpy(place.clip(0, size - 1)).to(inside.device) for place in (y, x))
    return inside[..., row, column] & torch.from_numpy(valid).to(inside.device)


def _change(
    patch: torch.Tensor,
    edited: torch.Tensor,
    reference: torch.Tensor | None,
    lost: torch.Tensor | None,
    matrix: np.ndarray,
) -> torch.Tensor:
    """What to add to the patch [1,3,h,w] at full weight.

    edited + w (source - reference) - source, with lost = 1 - w, written so that it is exactly 0 for
    edited = reference.
    """
    extent = (patch.shape[-2], patch.shape[-1])

    def to_source(picture: torch.Tensor) -> torch.Tensor:
        return resample(picture, matrix, extent, interpolation="bicubic")

    if reference is None or lost is None:
        return to_source(edited) - patch
    lost_here = resample(lost, matrix, extent).clamp(0, 1)
    return to_source(edited - reference) - lost_here * (patch - to_source(reference))


def keep_detail(
    source: torch.Tensor, edited: torch.Tensor, reference: torch.Tensor
) -> torch.Tensor:
    """The source's detail under an edit, in the crop itself: `paste_back` without a mask.

    Args:
        source: [B,3,S,S] float 0..1, the unedited crop.
        edited: [B,3,S,S], the rendering of the edit.
        reference: [B or 1,3,S,S], the same rendering of the unedited crop.

    Returns:
        edited + w (source - reference) [B,3,S,S] float 0..1, exactly the source where edited =
        reference.
    """
    difference = edited - reference
    change = difference - lost_detail(difference) * (source - reference)
    return (source + change).clamp(0, 1)


def lost_detail(difference: torch.Tensor) -> torch.Tensor:
    """Share 1 - w [B,1,S,S] of the source's detail that fades under an edit.

    difference [B,3,S,S] is the rendering of the edit minus the one of the unedited crop.
    """
    radius = max(1, round(difference.shape[-1] / 128))
    smooth = box_blur(box_blur(difference.abs().mean(1, keepdim=True), radius), radius)
    return 1 - torch.exp(-((smooth / DETAIL_TOLERANCE) ** 2))
