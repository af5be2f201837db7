"""Attention maps of prepared faces, frame by frame: what a graph of nodes shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from PIL import Image
from torch import Tensor

from ..drawing.text import PAPER, as_tensor
from ..editing.identity import EncodedIdentity
from ..editing.rendering import RenderCallback, RenderOptions, common_count
from ..expressions.building import rounded
from ..pictures.batches import frame
from ..pictures.resampling import WORKING_SIZE, sized
from .maps import AttentionMaps, Point, face_points, parse_places, record_render
from .sheet import TILE, attention_sheet

if TYPE_CHECKING:
    from ..aus import AUDelta
    from ..network import Checkpoint
    from ..perception import Perception


@dataclass(frozen=True)
class AttentionFrames:
    """The maps of N edits, float32 on the CPU.

    sheets     [N,3,h,w] 0..1, see ``attention_sheet``
    edited     [N,3,512,512] 0..1, the edited faces
    reference  [N,1,512,512] 0..1, share of attention on the identity image, the mean over the steps
    """

    sheets: Tensor
    edited: Tensor
    reference: Tensor


@torch.no_grad()
def attention_frames(
    checkpoint: Checkpoint,
    identity: EncodedIdentity,
    backgrounds: Tensor,
    deltas: Sequence[AUDelta],
    perception: Perception,
    options: RenderOptions | None = None,
    *,
    points: str = "",
    layer: int | None = None,
    tile: int = TILE,
    callback: RenderCallback | None = None,
) -> AttentionFrames:
    """Edit N faces one after the other and draw the attention of each edit.

    Args:
        checkpoint, identity, backgrounds, deltas, options, callback: as in ``editing.render``,
            whose pictures these are; deltas of zero are drawn like any other.
        perception: finds eyes and mouth corners, where no points are given.
        points: "x,y" for each, in pixels of the face at 512 x 512; empty: eyes and mouth corners.
        layer: number of a transformer block; None: the mean of all.
        tile: side in pixels of one map on a sheet.

    Raises:
        ImageError: numbers of rows that do not fit, pictures that are not square, or a sheet that
            would be too large.
        MagicFaceError: settings out of range, no such layer, or a point outside the picture.
    """
    count = common_count(len(identity), len(backgrounds), len(deltas))
    given = [
        Point(f"{x:g}, {y:g}", x / WORKING_SIZE, y / WORKING_SIZE) for x, y in parse_places(points)
    ]
    shown = [given or _found_points(face, perception) for face in identity.picture.split(1)]
    sheets, edited, reference = [], [], []
    for number in range(count):
        who = identity if len(identity) == 1 else identity.rows([number])
        delta = frame(deltas, number)
        rendered, maps = record_render(
            checkpoint,
            who,
            frame(backgrounds.split(1), number),
            delta,
            options,
            points=frame(shown, number),
            layers=None if layer is None else [layer],
            callback=_counted(callback, number, count),
        )
        heading = f"Attention maps, {rounded(delta).label()}{_layer_name(maps, layer)}"
        sheets.append(
            attention_sheet(maps, rendered.pictures, who.picture, heading=heading, tile=tile)
        )
        edited.append(rendered.pictures)
        reference.append(maps.picture("reference", WORKING_SIZE).mean(0)[None, None])
    return AttentionFrames(_batch(sheets), torch.cat(edited), torch.cat(reference))


def _found_points(picture: Tensor, perception: Perception) -> tuple[Point, ...]:
    """Eyes and mouth corners of the largest face; none where no face is seen."""
    faces = perception.faces(sized(picture.float().cpu(), WORKING_SIZE), limit=1)
    return face_points(faces[0], WORKING_SIZE) if faces else ()


def _layer_name(maps: AttentionMaps, layer: int | None) -> str:
    return "" if layer is None else f", layer {layer}: {maps.layers[0].name}"


def _counted(callback: RenderCallback | None, number: int, count: int) -> RenderCallback | None:
    """The callback for one frame, which hears of the steps of all frames."""
    if callback is None:
        return None
    return lambda done, total, progress: callback(number * total + done, count * total, progress)


def _batch(sheets: Sequence[Image.Image]) -> Tensor:
    """Sheets as [N,3,h,w]; shorter ones, of faces without points, end in empty paper."""
    size = max(sheet.width for sheet in sheets), max(sheet.height for sheet in sheets)
    pages = []
    for sheet in sheets:
        page = Image.new("RGB", size, PAPER)
        page.paste(sheet)
        pages.append(as_tensor(page))
    return torch.cat(pages)
