"""A node that says whether a photograph suits an edit, before time is spent on one."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

from ..magicface_core.framing.crops import FACE_ORDERS, FaceCrops
from ..magicface_core.pictures.images import channels_last, to_tensor
from ..magicface_core.preflight.checks import frames_text, preflight_frames
from ..magicface_core.preflight.overlay import preflight_pictures
from . import types
from .memory import intermediate, perception
from .previews import preview


class PortraitCheck(io.ComfyNode):
    """Checks photographs and shows what was found; never stops a graph for a bad one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_PortraitCheck",
            display_name="Portrait Check",
            category="MagicFace/face",
            description="Checks whether a photograph suits an edit (size and place of the face, "
            "pose, blur, light, glasses, hair, black bars) and says what to do where it does not.",
            search_aliases=["preflight", "quality check", "face quality", "doctor", "validate"],
            is_output_node=True,
            inputs=[
                io.Image.Input("image", tooltip="The photograph or frames, before Face Crop."),
                io.Int.Input(
                    "face",
                    default=0,
                    min=0,
                    max=99,
                    tooltip="Which face, counted from 0 in the order below.",
                ),
                io.Combo.Input(
                    "order",
                    options=list(FACE_ORDERS),
                    tooltip="How faces are numbered.",
                ),
                types.Crop.Input(
                    "crop",
                    optional=True,
                    tooltip="From Face Crop: its face is checked, whatever the number, for the "
                    "framing of its checkpoint. Without it the published framing counts.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    "report",
                    display_name="report",
                    tooltip="The photograph with what was found, above a table of all checks; of a "
                    "long video the 16 worst frames.",
                ),
                io.String.Output(
                    "text", display_name="text", tooltip="The same in words, with what to do."
                ),
                io.Boolean.Output(
                    "ok",
                    display_name="ok",
                    tooltip="True if no frame has a problem; warnings do not count.",
                ),
            ],
        )

    @classmethod
    def execute(
        cls, image: torch.Tensor, face: int, order: str, crop: FaceCrops | None = None
    ) -> io.NodeOutput:
        frames = to_tensor(image)
        reports = preflight_frames(frames, perception(), face=face, order=order, crops=crop)
        pictures = channels_last(preflight_pictures(frames, reports))
        text = frames_text(reports)
        shown = {**preview(pictures, cls).as_dict(), **ui.PreviewText(text).as_dict()}
        good = all(report.ok for report in reports)
        return io.NodeOutput(intermediate(pictures), text, good, ui=shown)
