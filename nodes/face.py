"""Nodes around the face: cut it out, show the model its background and pose, put it back."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..magicface_core.framing.background import background_frames
from ..magicface_core.framing.crops import FACE_ORDERS, ON_NO_FACE, FaceCrops, crop_faces
from ..magicface_core.pasting.frames import paste_frames
from ..magicface_core.perception.regions import Region
from ..magicface_core.pictures.images import channels_last, to_tensor
from ..magicface_core.pictures.masks import to_masks
from . import types
from .backends import backend_choices, backend_fingerprint, validate_backend
from .memory import LoadedModel, intermediate, perception
from .previews import preview

REGIONS: dict[str, Region | None] = {"checkpoint": None, "face": "face", "person": "person"}


class FaceCrop(io.ComfyNode):
    """Finds a face in every frame and cuts out the square that the checkpoint wants to see."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_FaceCrop",
            display_name="Face Crop",
            category="MagicFace/face",
            description="Finds a face, numbers all faces in a preview, and cuts out the square "
            "around the chosen one as the checkpoint wants to see it.",
            search_aliases=["face detector", "crop face", "detect face", "align face"],
            inputs=[
                types.Model.Input(
                    "model",
                    tooltip="The checkpoint: each one was trained on its own framing of the face.",
                ),
                io.Image.Input("image", tooltip="Picture or frames with at least one face."),
                io.Int.Input(
                    "face",
                    default=0,
                    min=0,
                    max=99,
                    tooltip="Which face, counted from 0 in the order below; see the numbers in "
                    "the preview.",
                ),
                io.Combo.Input(
                    "order",
                    options=list(FACE_ORDERS),
                    tooltip="How faces are numbered. A connected bounding box overrides it.",
                ),
                io.Combo.Input(
                    "on_no_face",
                    options=list(ON_NO_FACE),
                    tooltip="A frame without a face: stop with an error, or pass it through "
                    "unchanged (for video).",
                ),
                io.Int.Input(
                    "smoothing",
                    default=0,
                    min=0,
                    max=30,
                    tooltip="For video: averages the crop's place over so many frames before and "
                    "after, against jitter. 0 treats every frame alone.",
                    advanced=True,
                ),
                types.BoundingBox.Input(
                    "bounding_box",
                    optional=True,
                    extra_dict={"forceInput": True},  # a socket; a widget would always send a box
                    tooltip="Box of the face to take, from any detector; one box or one for each "
                    "frame. Overrides number and order.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "face_image", display_name="face", tooltip="The face, 512 x 512 pixels."
                ),
                types.Crop.Output(
                    "crop", display_name="crop", tooltip="Where the face was, for Paste Back."
                ),
                io.Mask.Output(
                    "mask", display_name="mask", tooltip="The square in the original picture."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        model: LoadedModel,
        image: torch.Tensor,
        face: int,
        order: str,
        on_no_face: str,
        smoothing: int,
        bounding_box: Any = None,
    ) -> io.NodeOutput:
        found = crop_faces(
            to_tensor(image),
            perception(),
            model.framing,
            face=face,
            order=order,
            boxes=bounding_box,
            on_no_face=on_no_face,
            smoothing=smoothing,
        )
        return io.NodeOutput(
            intermediate(channels_last(found.pictures)),
            found.crops,
            intermediate(found.mask),
            ui=preview(channels_last(found.overview), cls),
        )


class BackgroundPose(io.ComfyNode):
    """Draws the background + pose picture that tells the denoiser what to leave alone."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_BackgroundPose",
            display_name="Background+Pose Parse",
            category="MagicFace/face",
            description="Blackens the face and draws seventeen jaw dots: the background + pose "
            "picture through which the denoiser sees the scene, and the mask of what it repaints.",
            search_aliases=["face parsing", "face mask", "segmentation", "background"],
            inputs=[
                io.Image.Input("face_image", tooltip="From Face Crop."),
                io.Combo.Input(
                    "region",
                    options=list(REGIONS),
                    tooltip="What is repainted: as the checkpoint was trained, the face alone, or "
                    "the whole person.",
                ),
                io.Combo.Input(
                    "backend",
                    options=backend_choices("parser"),
                    tooltip="What finds the region. Listed is what is present; auto takes the "
                    "best. For the paper's: magicface models download bisenet, then reload.",
                    advanced=True,
                ),
                types.Crop.Input(
                    "crop",
                    optional=True,
                    tooltip="From Face Crop: the face's place and the checkpoint's framing. "
                    "Without it the face is searched in the picture and framed as published.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Your own region to repaint, in the crop, instead of the parsed one.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "background",
                    display_name="background",
                    tooltip="The background + pose picture, for MagicFace Sampler.",
                ),
                io.Mask.Output(
                    "region_mask",
                    display_name="mask",
                    tooltip="What is repainted, in the crop, for Paste Back.",
                ),
            ],
        )

    @classmethod
    def validate_inputs(cls, backend: str | None = None) -> bool | str:
        return validate_backend("parser", backend)

    @classmethod
    def fingerprint_inputs(cls, backend: str | None = None, **_: Any) -> str:
        return backend_fingerprint("parser", backend) if backend else ""

    @classmethod
    def execute(
        cls,
        face_image: torch.Tensor,
        region: str,
        backend: str,
        crop: FaceCrops | None = None,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        drawn = background_frames(
            to_tensor(face_image),
            perception(parser=backend),
            crops=crop,
            region=REGIONS[region],
            mask=None if mask is None else to_masks(mask),
        )
        return io.NodeOutput(
            intermediate(channels_last(drawn.picture)), intermediate(drawn.mask[:, 0])
        )


class PasteBack(io.ComfyNode):
    """Puts edited faces back; outside the mask no pixel changes."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_PasteBack",
            display_name="Paste Back",
            category="MagicFace/face",
            description="Puts the edited face back into the original picture with a soft edge. "
            "Outside the mask every pixel stays as it is.",
            search_aliases=["uncrop", "stitch", "composite face", "paste face"],
            inputs=[
                io.Image.Input("image", tooltip="The original picture or frames."),
                io.Image.Input(
                    "edited", tooltip="The edited face, of any size: it may be upscaled first."
                ),
                types.Crop.Input("crop", tooltip="From Face Crop."),
                io.Float.Input(
                    "feather",
                    default=0.03,
                    min=0.0,
                    max=0.25,
                    step=0.005,
                    round=0.001,
                    tooltip="Width of the soft edge inside the mask, a share of the crop's side.",
                ),
                io.Float.Input(
                    "colour_match",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    round=0.01,
                    tooltip="How far a colour shift, measured around the mask, is taken back.",
                ),
                io.Boolean.Input(
                    "keep_detail",
                    default=True,
                    tooltip="Where the edited face equals the original, keep the original's own "
                    "pixels instead of the crop's 512 x 512 ones.",
                    advanced=True,
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="What to replace, in the crop (from Background+Pose Parse) or in the "
                    "whole picture. Without it, the whole square.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "pasted", display_name="image", tooltip="The pictures with the edited face."
                ),
                io.Mask.Output(
                    "pasted_mask",
                    display_name="mask",
                    tooltip="How far each pixel was replaced, in the whole picture.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        edited: torch.Tensor,
        crop: FaceCrops,
        feather: float,
        colour_match: float,
        keep_detail: bool,
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        pasted, weight = paste_frames(
            to_tensor(image),
            to_tensor(edited),
            crop,
            mask=None if mask is None else to_masks(mask),
            feather=feather,
            colour_match=colour_match,
            keep_detail=keep_detail,
        )
        return io.NodeOutput(intermediate(channels_last(pasted)), intermediate(weight[:, 0]))
