"""Nodes that show results: a labelled sheet, and what was asked against what came out."""

from __future__ import annotations

import torch
from comfy_api.latest import io

from ..magicface_core.aus import AUDelta
from ..magicface_core.drawing.sheets import frames_sheet
from ..magicface_core.pictures.images import channels_last, to_tensor
from ..magicface_core.pictures.masks import to_masks
from ..magicface_core.report.report import report_frames
from . import types
from .memory import intermediate, perception
from .previews import preview


class ExpressionSheet(io.ComfyNode):
    """Lays pictures out in a grid with their deltas written below."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_ExpressionSheet",
            display_name="Expression Sheet",
            category="MagicFace/expression",
            description="A contact sheet: every picture with its change of expression below.",
            search_aliases=["grid", "contact sheet", "image grid", "labels"],
            inputs=[
                io.Image.Input("image", tooltip="The pictures, one for each delta."),
                types.Delta.Input("delta", tooltip="What was asked for; becomes the labels."),
                io.Int.Input(
                    "columns",
                    default=0,
                    min=0,
                    max=64,
                    tooltip="Pictures in a row; 0 chooses for you.",
                ),
                io.Int.Input(
                    "tile", default=256, min=64, max=1024, step=8, tooltip="Pixels of one picture."
                ),
                io.String.Input(
                    "title", default="", tooltip="A heading, or nothing.", advanced=True
                ),
            ],
            outputs=[
                io.Image.Output("sheet", display_name="sheet", tooltip="The labelled sheet."),
            ],
        )

    @classmethod
    def execute(
        cls,
        image: torch.Tensor,
        delta: tuple[AUDelta, ...],
        columns: int,
        tile: int,
        title: str,
    ) -> io.NodeOutput:
        sheet = frames_sheet(to_tensor(image), delta, columns=columns, tile=tile, heading=title)
        return io.NodeOutput(intermediate(channels_last(sheet)))


class ExpressionReport(io.ComfyNode):
    """Measures an edit: action units asked for and reached, identity, background."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_ExpressionReport",
            display_name="Expression Report",
            category="MagicFace/expression",
            description="Compares an edit with its original: action units asked for and reached, "
            "whether it is still the same person, and whether the background stayed.",
            search_aliases=["measure", "identity distance", "quality", "compare faces"],
            inputs=[
                io.Image.Input("original", tooltip="The picture before the edit."),
                io.Image.Input("edited", tooltip="The picture after it, of the same size."),
                types.Delta.Input("delta", tooltip="What was asked for."),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="What was edited (from Paste Back); the rest is the background.",
                ),
            ],
            outputs=[
                io.Image.Output("report", display_name="report", tooltip="A chart for each frame."),
                io.String.Output("text", display_name="text", tooltip="The same as JSON."),
            ],
        )

    @classmethod
    def execute(
        cls,
        original: torch.Tensor,
        edited: torch.Tensor,
        delta: tuple[AUDelta, ...],
        mask: torch.Tensor | None = None,
    ) -> io.NodeOutput:
        report = report_frames(
            to_tensor(original),
            to_tensor(edited),
            delta,
            perception(),
            mask=None if mask is None else to_masks(mask),
        )
        charts = channels_last(report.charts)
        return io.NodeOutput(intermediate(charts), report.to_json(), ui=preview(charts, cls))
