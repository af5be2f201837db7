"""Attention maps of an edit (paper, Fig. 9): where the denoiser looks while it paints a face.

Three maps for each denoising step and each of the denoiser's transformer blocks:

* self-attention: the share of its attention that each place gives to the denoiser's own tokens;
* reference attention: the share it gives to the ID encoder's tokens, which stand in the same
  softmax, so the two sum to 1; and, for chosen points, where in the identity image they look;
* cross-attention: how strongly the prompt acts on each place, as the norm of what it adds over the
  norm of what that is added to. The prompt is the same in every edit and, in small checkpoints, a
  single token, whose softmax is 1 everywhere: a probability would say nothing.

All are means over heads of the pass that sees the AUs. Checkpoints that take the identity another
way (``network/identity_paths.py``) have a self-attention of 1 and no reference attention.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from ..editing.rendering import RenderCallback, Rendered, RenderOptions, render
from ..editing.sampling import Progress
from ..errors import MagicFaceError
from ..pictures.resampling import WORKING_SIZE
from .recording import AttentionRecorder, LayerMaps, recorded_attention

if TYPE_CHECKING:
    from ..aus import AUDelta
    from ..editing.identity import EncodedIdentity
    from ..editing.magicface import MagicFace
    from ..editing.results import EditResult
    from ..editing.settings import Settings
    from ..framing.preparation import Prepared
    from ..network import Checkpoint
    from ..perception import Face

Kind = Literal["self", "cross", "reference"]

POINT_NAMES = ("left eye", "right eye", "nose", "left mouth corner", "right mouth corner")
"""Of ``Face.points5``: left and right in the picture."""

SHOWN_POINTS = ("left eye", "right eye", "left mouth corner", "right mouth corner")


@dataclass(frozen=True)
class Point:
    """A place in the face picture: x to the right and y down, both 0..1."""

    name: str
    x: float
    y: float


@dataclass(frozen=True)
class AttentionMaps:
    """The attention of one edit.

    timesteps  of the T evaluations of the denoiser, from the noise to the picture
    points     the P places whose looks at the identity image were recorded
    layers     the recorded transformer blocks, each [T,...] at its own size, on the CPU
    """

    timesteps: tuple[float, ...]
    points: tuple[Point, ...]
    layers: tuple[LayerMaps, ...]

    @property
    def has_reference(self) -> bool:
        """Whether the denoiser attends to an ID encoder's tokens."""
        return any(bool(layer.reference.any()) for layer in self.layers)

    def picture(self, kind: Kind, size: int, layer: int | None = None) -> Tensor:
        """Maps [T,size,size] of one kind: the mean over layers, or one of them by its number.

        "self" and "reference" are shares 0..1, "cross" is a ratio of 0 or more.
        """
        field = {"self": "own", "cross": "prompt", "reference": "reference"}[kind]
        return self._mean([getattr(one, field)[:, None] for one in self._of(layer)], size)[:, 0]

    def looks(self, size: int, layer: int | None = None) -> Tensor:
        """Where each point looks in the identity image, [T,P,size,size].

        The weights are densities, so that layers of all sizes count alike: 1 everywhere if a place
        spread its whole attention evenly over the identity image. A map's mean is, up to the
        resizing, the point's share of reference attention.
        """
        return self._mean([one.looks * one.looks.shape[-1] ** 2 for one in self._of(layer)], size)

    def shares(self) -> Tensor:
        """Share 0..1 of its attention that each point gives to the identity image, [T,P]."""
        return torch.stack([one.looks.sum((-2, -1)) for one in self.layers]).mean(0)

    def _of(self, layer: int | None) -> list[LayerMaps]:
        found = [one for one in self.layers if layer in (None, one.index)]
        if not found:
            recorded = ", ".join(str(one.index) for one in self.layers)
            raise MagicFaceError(f"Layer {layer} was not recorded; choose one of {recorded}.")
        return found

    def _mean(self, maps: Sequence[Tensor], size: int) -> Tensor:
        """[T,P,h,w] of every layer -> their mean [T,P,size,size]."""
        total = torch.zeros(*maps[0].shape[:2], size, size)
        for one in maps if total.numel() else ():  # without points there are no looks
            total += F.interpolate(one, size=(size, size), mode="bilinear", align_corners=False)
        return total / len(maps)


def record_edit(
    model: MagicFace,
    prepared: Prepared,
    delta: AUDelta,
    settings: Settings | None = None,
    *,
    points: Sequence[Point] | None = None,
    layers: Sequence[int] | None = None,
    callback: RenderCallback | None = None,
    face_only: bool = False,
) -> tuple[EditResult, AttentionMaps]:
    """``MagicFace.edit_prepared`` of one delta, and the attention maps of its sampling.

    The edit is the same, bit for bit, as without maps.

    Args:
        model, prepared, delta, settings, callback, face_only: as in ``edit_prepared``.
        points: whose looks at the identity image are recorded; None: eyes and mouth corners.
        layers: numbers of transformer blocks in the order of execution; None: all.

    Raises MagicFaceError for a delta of zero, which samples nothing, for a layer that does not
    exist, or a point outside the picture.
    """
    if delta.is_zero:
        raise MagicFaceError(
            "A delta of zero returns the picture without sampling, so there is no attention to "
            "show; ask for a change, such as AU12=4."
        )
    points = face_points(prepared.face) if points is None else points
    with recorded_attention(model.checkpoint.denoiser, _places(points), layers) as recorder:
        [result] = model.edit_prepared(
            prepared,
            [delta],
            settings,
            callback=_finishing(recorder, callback),
            face_only=face_only,
        )
    return result, AttentionMaps(tuple(recorder.timesteps), tuple(points), recorder.layers())


def record_render(
    checkpoint: Checkpoint,
    identity: EncodedIdentity,
    background: Tensor,
    delta: AUDelta,
    options: RenderOptions | None = None,
    *,
    points: Sequence[Point] = (),
    layers: Sequence[int] | None = None,
    callback: RenderCallback | None = None,
) -> tuple[Rendered, AttentionMaps]:
    """``editing.render`` of one face, background [1,3,S,S] and delta, and its attention maps.

    A delta of zero is drawn like any other. Arguments and errors as in ``render`` and
    ``record_edit``.
    """
    drawn = replace(options or RenderOptions(), render_zero=True)
    with recorded_attention(checkpoint.denoiser, _places(points), layers) as recorder:
        finish = _finishing(recorder, callback)
        rendered = render(checkpoint, identity, background, [delta], drawn, finish)
    return rendered, AttentionMaps(tuple(recorder.timesteps), tuple(points), recorder.layers())


def _finishing(recorder: AttentionRecorder, callback: RenderCallback | None) -> RenderCallback:
    """A callback that has the recorder finish every step of an edit, then calls the other."""

    def finish(done: int, total: int, progress: Progress | None) -> None:
        if progress is not None:
            recorder.finish_step(progress.timestep)
        if callback is not None:
            callback(done, total, progress)

    return finish


def face_points(face: Face, size: int = WORKING_SIZE) -> tuple[Point, ...]:
    """Eyes and mouth corners of a face in the pixels of a picture of this size.

    Those outside the picture are left out.
    """
    named = zip(POINT_NAMES, (face.points5 / size).tolist(), strict=True)
    return tuple(
        Point(name, x, y)
        for name, (x, y) in named
        if name in SHOWN_POINTS and 0 <= x <= 1 and 0 <= y <= 1
    )


def parse_places(text: str) -> list[tuple[float, float]]:
    """Places written "x,y", several with spaces or semicolons between; raises MagicFaceError."""
    return [_place(words) for words in text.replace(";", " ").split()]


def _place(words: str) -> tuple[float, float]:
    try:
        x, y = (float(word) for word in words.split(","))
    except ValueError:
        raise MagicFaceError(
            f'"{words}" is not a point; write x and y in pixels, such as 120,245, and a space '
            "before the next point."
        ) from None
    return x, y


def _places(points: Sequence[Point]) -> list[tuple[float, float]]:
    return [(point.x, point.y) for point in points]
