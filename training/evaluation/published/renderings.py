"""The pictures that are measured: originals, edits and floors, each 512 x 512 in 8 bits.

"crop" is the model's own picture against the crop it was shown, as the published script writes it;
"pasted" is what a user gets, against the same part of the photograph.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from PIL import Image

from magicface_core.aus import AUDelta
from magicface_core.editing.results import pasted
from magicface_core.framing.preparation import Prepared
from magicface_core.pictures.images import to_uint8
from magicface_core.pictures.resampling import WORKING_SIZE, enlarge_to

from ..editor import Editor, EditSource, streamed
from ..identities import PreparedIdentity
from ..records import EditJob

Measured = Literal["crop", "pasted"]

FLOOR_COPY, FLOOR_AUTOENCODER, FLOOR_JPEG = "copy of the input", "autoencoder round trip", "JPEG 95"
FLOORS = (FLOOR_COPY, FLOOR_AUTOENCODER, FLOOR_JPEG)
JPEG_QUALITY = 95


def original(prepared: Prepared, measured: Measured) -> np.ndarray:
    """What edits are compared with, [512,512,3] uint8."""
    return _finished(prepared.model_input) if measured == "crop" else to_uint8(prepared.crop512)


def floor_pictures(
    editor: Editor, subject: PreparedIdentity, measured: Measured
) -> Iterator[np.ndarray]:
    """What copying, coding and storing alone would give, in the order of `FLOORS`."""
    source, prepared = _found(subject)
    untouched = original(prepared, measured)
    yield untouched
    coded = editor.reconstruct(source.picture)
    if measured == "pasted" and editor.keeps_detail:
        coded = source.picture
    yield _result(prepared, coded, measured)
    yield jpeg(untouched, JPEG_QUALITY)


def edit_pictures(
    editor: Editor, subject: PreparedIdentity, jobs: Sequence[EditJob], measured: Measured
) -> Iterator[np.ndarray]:
    """The edits of one identity in the order of the jobs, a batch in memory at a time.

    Pasted ones are what users get; crops have the checkpoint's resolution.
    """
    source, prepared = _found(subject)
    if measured == "pasted":
        source = replace(source, detail=prepared.crop512)
    deltas = torch.stack([job.delta.to_tensor() for job in jobs])
    for crops in streamed(editor, source, deltas):
        for crop in crops.split(1):
            yield _result(prepared, crop, measured)


def jpeg(picture: np.ndarray, quality: int) -> np.ndarray:
    """A picture [H,W,3] uint8 after a JPEG file of this quality, with full colour resolution."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "JPEG", quality=quality, subsampling=0)
    return np.asarray(Image.open(buffer).convert("RGB"))


def _result(prepared: Prepared, crop: torch.Tensor, measured: Measured) -> np.ndarray:
    """A model's crop [1,3,R,R] or [1,3,512,512], as it is or pasted (see `results.pasted`)."""
    if measured == "crop":
        return _finished(crop)
    return np.asarray(pasted(prepared, crop, AUDelta()).crop)


def _finished(crop: torch.Tensor) -> np.ndarray:
    return to_uint8(enlarge_to(crop, WORKING_SIZE))


def _found(subject: PreparedIdentity) -> tuple[EditSource, Prepared]:
    assert subject.source is not None and subject.prepared is not None
    return subject.source, subject.prepared
