"""Nodes that make many deltas: sweeps for grids, keyframes for animations."""

from __future__ import annotations

from comfy_api.latest import io

from ..magicface_core.aus import ACTION_UNITS, AUDelta
from ..magicface_core.expressions.animation import EASINGS, animate, sweep
from . import types

UNITS = [f"{unit.code} {unit.name}" for unit in ACTION_UNITS]
NO_UNIT = "none"


def _range(prefix: str, start: float, end: float, advanced: bool) -> list[io.Input]:
    """Start, end and number of values of one swept action unit."""
    limits = {
        "min": AUDelta.minimum,
        "max": AUDelta.maximum,
        "step": 0.1,
        "round": 0.01,
        "advanced": advanced,
    }
    return [
        io.Float.Input(f"{prefix}start", default=start, tooltip="First value.", **limits),
        io.Float.Input(f"{prefix}end", default=end, tooltip="Last value.", **limits),
        io.Int.Input(
            f"{prefix}steps",
            default=5,
            min=2,
            max=64,
            tooltip="How many values, evenly spaced, both ends included.",
            advanced=advanced,
        ),
    ]


class AUSweep(io.ComfyNode):
    """One action unit over a range of strengths, or two of them against each other."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_AUSweep",
            display_name="AU Sweep",
            category="MagicFace/action units",
            description="Deltas over a range of one action unit, or a grid of two: feed them to "
            "MagicFace Sampler and the pictures to Expression Sheet.",
            search_aliases=["grid", "XY plot", "comparison", "range"],
            inputs=[
                io.Combo.Input("unit", options=UNITS, default=UNITS[6], tooltip="What to vary."),
                *_range("", 0.0, 5.0, advanced=False),
                io.Combo.Input(
                    "second_unit",
                    options=[NO_UNIT, *UNITS],
                    tooltip="A second action unit, one row of the grid for each of its values.",
                    advanced=True,
                ),
                *_range("second_", -2.0, 2.0, advanced=True),
                types.Delta.Input(
                    "delta", optional=True, tooltip="A change that every cell has besides."
                ),
            ],
            outputs=[
                types.Delta.Output("delta_out", display_name="delta", tooltip="Row by row."),
                io.Int.Output(
                    "columns", display_name="columns", tooltip="Columns, for Expression Sheet."
                ),
            ],
        )

    @classmethod
    def execute(
        cls,
        unit: str,
        start: float,
        end: float,
        steps: int,
        second_unit: str,
        second_start: float,
        second_end: float,
        second_steps: int,
        delta: tuple[AUDelta, ...] | None = None,
    ) -> io.NodeOutput:
        second = None if second_unit == NO_UNIT else second_unit
        deltas = sweep(
            (unit, start, end, steps),
            None if second is None else (second, second_start, second_end, second_steps),
            base=delta,
        )
        return io.NodeOutput(deltas, steps)


class AUKeyframes(io.ComfyNode):
    """Moves from one expression to the next; chain several for a longer animation."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_AUKeyframes",
            display_name="AU Keyframes",
            category="MagicFace/action units",
            description="An animation towards an expression. Chain these nodes to go on from one "
            "expression to the next.",
            search_aliases=["animation", "interpolate", "ease", "video"],
            inputs=[
                types.Delta.Input("target", tooltip="The expression to reach."),
                io.Int.Input(
                    "frames",
                    default=12,
                    min=1,
                    max=600,
                    tooltip="Frames from where the animation stands to the target.",
                ),
                io.Combo.Input(
                    "easing",
                    options=list(EASINGS),
                    default="ease in and out",
                    tooltip="How the speed changes on the way.",
                ),
                io.Int.Input(
                    "hold",
                    default=4,
                    min=0,
                    max=600,
                    tooltip="Frames to stay on the target.",
                ),
                io.Boolean.Input(
                    "and_back",
                    display_name="and back",
                    default=True,
                    tooltip="Return to where the movement began, in as many frames.",
                ),
                types.Delta.Input(
                    "animation",
                    optional=True,
                    tooltip="What has played so far; the movement starts from its last frame. "
                    "Without it, from the face as it is.",
                ),
            ],
            outputs=[
                types.Delta.Output(
                    "animation_out", display_name="animation", tooltip="One delta for each frame."
                ),
                io.Int.Output("count", display_name="count", tooltip="How many frames."),
            ],
        )

    @classmethod
    def execute(
        cls,
        target: tuple[AUDelta, ...],
        frames: int,
        easing: str,
        hold: int,
        and_back: bool,
        animation: tuple[AUDelta, ...] | None = None,
    ) -> io.NodeOutput:
        played = animate(
            target, frames=frames, easing=easing, hold=hold, and_back=and_back, before=animation
        )
        return io.NodeOutput(played, len(played))
