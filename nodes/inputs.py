"""Inputs that several nodes have, said once."""

from __future__ import annotations

from comfy_api.latest import io

from ..magicface_core.aus import ACTION_UNITS, AUDelta

LESS, MORE = [92, 145, 214], [228, 142, 72]
"""Colours of a slider's two sides."""

TRACK, ZERO = [96, 96, 96], [240, 240, 240]
"""Colours beside the middle of a slider, and of the mark in it."""

SIDES = [
    {"offset": offset, "color": colour}
    for offset, colour in (
        *((0.0, LESS), (0.485, TRACK), (0.485, ZERO)),
        *((0.515, ZERO), (0.515, TRACK), (1.0, MORE)),
    )
]


def au_sliders() -> list[io.Input]:
    """The twelve changes of an expression; web/sliders.mjs shows -5..5 of their range."""
    return [
        io.Float.Input(
            unit.code,
            display_name=unit.label,
            default=0.0,
            min=AUDelta.minimum,
            max=AUDelta.maximum,
            step=0.1,
            round=0.01,
            display_mode=io.NumberDisplay.gradient_slider,
            gradient_stops=SIDES,
            tooltip=f"{unit.name}: {unit.plain}. Muscle: {unit.muscle}. Positive is more, "
            "negative is less than the face shows now; 2 to 5 is a clear change.",
        )
        for unit in ACTION_UNITS
    ]
