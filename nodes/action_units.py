"""Nodes that read action units from faces and build changes of them."""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io

from ..magicface_core.aus import AUDelta
from ..magicface_core.drawing.charts import intensity_charts
from ..magicface_core.expressions.building import (
    PRESET_NAMES,
    Gains,
    build_deltas,
    describe,
    label_frames,
)
from ..magicface_core.framing.crops import FACE_ORDERS, ON_NO_FACE, estimate_frames
from ..magicface_core.perception import AUEstimate
from ..magicface_core.perception.backends import AUTO
from ..magicface_core.pictures.images import channels_last, to_tensor
from . import types
from .backends import backend_choices, backend_fingerprint, validate_backend
from .inputs import au_sliders
from .memory import intermediate, perception
from .previews import preview


class AUEstimateNode(io.ComfyNode):
    """Reads the twelve action units of a face in every frame."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_AUEstimate",
            display_name="AU Estimate",
            category="MagicFace/action units",
            description="Estimates how strongly each of the twelve action units shows in a face, "
            "0 (absent) to 5 (maximum), with a confidence each.",
            search_aliases=["FACS", "expression detection", "emotion", "AU detector"],
            inputs=[
                io.Image.Input("image", tooltip="Pictures with a face; cropped or not."),
                io.Int.Input(
                    "face",
                    default=0,
                    min=0,
                    max=99,
                    tooltip="Which face, counted from 0 in the order below.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "order",
                    options=list(FACE_ORDERS),
                    tooltip="How faces are numbered.",
                    advanced=True,
                ),
                io.Combo.Input(
                    "on_no_face",
                    options=list(ON_NO_FACE),
                    tooltip="A frame without a face: stop with an error, or give zeros with no "
                    "confidence.",
                ),
                io.Combo.Input(
                    "backend",
                    options=backend_choices("au_estimator"),
                    optional=True,
                    tooltip="What reads the action units. Listed is what is present; auto takes "
                    "the best. For the paper's: magicface models download libreface, then reload.",
                    advanced=True,
                ),
            ],
            outputs=[
                types.ActionUnits.Output(
                    "aus", display_name="AUs", tooltip="Intensities and confidences."
                ),
                io.Image.Output("chart", display_name="chart", tooltip="A bar chart of them."),
                io.String.Output("text", display_name="text", tooltip="The same in words."),
            ],
        )

    @classmethod
    def validate_inputs(cls, backend: str | None = None) -> bool | str:
        return validate_backend("au_estimator", backend)

    @classmethod
    def fingerprint_inputs(cls, backend: str | None = AUTO, **_: Any) -> str:
        return backend_fingerprint("au_estimator", backend) if backend else ""

    @classmethod
    def execute(
        cls, image: torch.Tensor, face: int, order: str, on_no_face: str, backend: str = AUTO
    ) -> io.NodeOutput:
        estimates = estimate_frames(
            to_tensor(image),
            perception(au_estimator=backend),
            face=face,
            order=order,
            on_no_face=on_no_face,
        )
        charts = channels_last(intensity_charts(estimates))
        return io.NodeOutput(
            estimates,
            intermediate(charts),
            describe(estimates),
            ui=preview(charts, cls),
        )


class AUDeltaBuilder(io.ComfyNode):
    """Says how the expression should change."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_AUDeltaBuilder",
            display_name="AU Delta Builder",
            category="MagicFace/action units",
            description="Says how the expression changes: by sliders, by a named expression, by "
            "what another face shows, or by all of them added up.",
            search_aliases=["expression editor", "smile", "FACS sliders", "facial expression"],
            inputs=[
                io.Combo.Input(
                    "preset",
                    options=list(PRESET_NAMES),
                    tooltip="A named expression to start from, or neutralise: take back what the "
                    "source shows (connect source AUs).",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=2.0,
                    step=0.05,
                    round=0.01,
                    tooltip="How much of the preset.",
                ),
                *au_sliders(),
                *(
                    io.Float.Input(
                        region,
                        default=1.0,
                        min=0.0,
                        max=2.0,
                        step=0.05,
                        round=0.01,
                        tooltip=f"How much of target - source is copied for {units}.",
                        advanced=True,
                    )
                    for region, units in Gains.units().items()
                ),
                types.Delta.Input(
                    "delta", optional=True, tooltip="A change to add to, frame by frame."
                ),
                types.ActionUnits.Input(
                    "source_aus",
                    optional=True,
                    tooltip="What the face to edit shows now.",
                ),
                types.ActionUnits.Input(
                    "target_aus",
                    optional=True,
                    tooltip="What it should show, for instance estimated from another photograph. "
                    "Needs source AUs.",
                ),
            ],
            outputs=[
                types.Delta.Output(
                    "delta_out", display_name="delta", tooltip="The change, for the sampler."
                ),
                io.String.Output("text", display_name="text", tooltip="The change in words."),
            ],
        )

    @classmethod
    def execute(
        cls,
        preset: str,
        strength: float,
        brows: float,
        eyes: float,
        mouth: float,
        delta: tuple[AUDelta, ...] | None = None,
        source_aus: tuple[AUEstimate, ...] | None = None,
        target_aus: tuple[AUEstimate, ...] | None = None,
        **sliders: float,
    ) -> io.NodeOutput:
        built = build_deltas(
            AUDelta(**sliders),
            preset=preset,
            strength=strength,
            incoming=delta,
            source=source_aus,
            target=target_aus,
            gains=Gains(brows, eyes, mouth),
        )
        return io.NodeOutput(built, label_frames(built))
