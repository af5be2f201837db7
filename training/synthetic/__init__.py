"""Portraits with exact action-unit labels, drawn from a seed without any network or photograph.

A CC0 head (MakeHuman / MPFB2 with the Face Units of Mika Suominen, see `head_pack`) is shaped,
painted and lit procedurally. Labels (intensities, pose, jaw contour, masks) come from the geometry,
and a frame rendered with other intensities is the exact answer to that edit. The pictures are
stylised: they train and measure the mechanics of editing, not the look of photographs.

    model = HeadModel.load()
    identity = sample_identity(model, seed=20_000)
    rows = sample_edit_set(edit_set_rng(20_000), scenes=2, k=6)
    rendering = render(model, identity, rows[0][0], size=128)
"""

from .frame import Frame, Light, exact_edit
from .head.head_model import HeadModel
from .head.regions import FACE_CLASSES, FaceClass
from .looks.identity import Identity, sample_identity
from .picture.render import Rendering, render
from .sampling import (
    edit_set_rng,
    sample_edit_set,
    sample_expression,
    sample_expression_set,
    sample_frame,
    sample_pair,
    sample_scene,
)
from .splits import Split, split_of, split_seeds

__all__ = [
    "FACE_CLASSES",
    "FaceClass",
    "Frame",
    "HeadModel",
    "Identity",
    "Light",
    "Rendering",
    "Split",
    "edit_set_rng",
    "exact_edit",
    "render",
    "sample_edit_set",
    "sample_expression",
    "sample_expression_set",
    "sample_frame",
    "sample_identity",
    "sample_pair",
    "sample_scene",
    "split_of",
    "split_seeds",
]
