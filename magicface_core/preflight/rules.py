"""What is asked of a photograph: for each thing measured the limits, what it means, what to do.

Where limits come from. The authors advise against large black areas ("our background is represented
using black masks") and against faces that fill the frame ("a significant number of non-facial
regions" must be painted); they give no numbers. Numbers are

- those of the published preparation where it has some (framing, turning), or of this package's
  training data (pose);
- else chosen on rendered faces (validation seeds from 10000) so that few good pictures are blamed,
  and tried on other ones by ``benchmarks/preflight_rates.py``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from ..framing.framing import MINIMUM_FACE_WIDTH
from ..perception.placing import (
    BOX_WIDTH_PER_MESH_WIDTH,
    LARGEST_TILT,
    OFFICIAL_FACE_FRACTION,
    OFFICIAL_SIZE,
)

Level = Literal["ok", "warning", "problem"]
LEVELS: tuple[Level, ...] = ("ok", "warning", "problem")

NATIVE_FACE_WIDTH = OFFICIAL_FACE_FRACTION / BOX_WIDTH_PER_MESH_WIDTH * OFFICIAL_SIZE
"""Width in pixels of a face's mesh in the published 512-pixel crop: 229."""

MOST_ENLARGED = 2.0
"""Faces that must be enlarged more than this to fill the published crop are short of detail."""

OVERHANG = (1.2, 2.0)
"""Sides of the square over the picture's shorter side: mirrored strips of a tenth of the square on
either edge; half of the square invented."""


@dataclass(frozen=True)
class Check:
    """One thing measured.

    name     what was looked at
    level    "ok", "warning" (an edit may suffer) or "problem" (an edit will fail, or look wrong)
    value    measured
    unit     of the value
    allowed  lowest and highest value that is "ok"
    meaning  why it matters
    fix      what to do where it is not "ok"
    """

    name: str
    level: Level
    value: float
    unit: str
    allowed: tuple[float, float]
    meaning: str
    fix: str

    @property
    def measured(self) -> str:
        """The value with its unit."""
        return _with_unit(_number(self.value), self.unit)

    @property
    def limits(self) -> str:
        """The allowed range in words."""
        low, high = (_number(limit) for limit in self.allowed)
        if low == high:
            return low
        if not math.isfinite(self.allowed[1]):
            return f"at least {low}"
        return f"{low} to {high}" if self.allowed[0] < 0 else f"at most {high}"


@dataclass(frozen=True)
class Rule:
    """The limits of one value; see `Check`. Beyond `bearable` it is a problem."""

    name: str
    unit: str
    allowed: tuple[float, float]
    bearable: tuple[float, float]
    meaning: str
    fix: str

    def check(self, value: float) -> Check:
        """Judge a measured value."""
        level: Level = "problem"
        if self.allowed[0] <= value <= self.allowed[1]:
            level = "ok"
        elif self.bearable[0] <= value <= self.bearable[1]:
            level = "warning"
        return Check(self.name, level, value, self.unit, self.allowed, self.meaning, self.fix)


def framed(rule: Rule, face_fraction: float) -> Rule:
    """The rule for the face's share of the frame, for a checkpoint's framing."""
    allowed, bearable = (100 * face_fraction * overhang for overhang in OVERHANG)
    return replace(rule, allowed=(0, allowed), bearable=(0, bearable))


def at_least(rule: Rule, lowest: float) -> Rule:
    """The rule with another lowest value; less is a problem."""
    return replace(rule, allowed=(lowest, math.inf), bearable=(lowest, math.inf))


NO_FACE = Rule(
    "face",
    "faces",
    (1, math.inf),
    (1, math.inf),
    "No face was found, so there is nothing to edit.",
    "Use a picture where both eyes and the mouth can be seen; enlarge faces below about 4 % of "
    "the picture's longer side.",
)
NO_SUCH_FACE = replace(
    NO_FACE,
    meaning="There are fewer faces than the number asked for.",
    fix="Choose a smaller number; faces are counted from 0.",
)
SEVERAL_FACES = Rule(
    "several faces",
    "faces",
    (1, 1),
    (1, math.inf),
    "Other faces are about as large as this one, or reach into its square, where they are taken "
    "for background.",
    "Make sure that the number in the picture is the face you mean, or crop the others away.",
)
FACE_WIDTH = Rule(
    "face width",
    "pixels",
    (math.ceil(NATIVE_FACE_WIDTH / MOST_ENLARGED), math.inf),
    (MINIMUM_FACE_WIDTH, math.inf),
    "Small faces are enlarged for the model, and detail that is not there cannot be kept.",
    "Use a larger version of the picture, or enlarge it with an upscaler first.",
)
FACE_SHARE = framed(
    Rule(
        "face share",
        "% of the shorter side",
        (0, 0),
        (0, 0),
        "A face that fills the frame leaves no surroundings: what the model needs around it is "
        "mirrored from the picture, and much besides the face is painted anew.",
        "Use a picture with more room around the head, or pad it (outpainting, not black bars).",
    ),
    OFFICIAL_FACE_FRACTION,
)
CUT_OFF = Rule(
    "cut off",
    "% of the face",
    (0, 2),
    (0, 20),
    "Part of the face lies outside the picture.",
    "Use a picture that shows the whole face, or extend it (outpainting).",
)
BLACK_AREAS = Rule(
    "black areas",
    "% of the square",
    (0, 5),
    (0, 20),
    "The model takes solid black for the region that it has to paint.",
    "Crop black bars and corners away, or fill them with a plain colour.",
)
YAW = Rule(
    "yaw",
    "degrees",
    (-30, 30),
    (-60, 60),
    "The head is turned sideways; the hidden half of the face is guessed, and action units are "
    "read less surely.",
    "Use a picture that shows the face more from the front.",
)
PITCH = Rule(
    "pitch",
    "degrees",
    (-25, 25),
    (-45, 45),
    "The head is lowered (above 0) or raised (below 0), which foreshortens brows or chin.",
    "Use a picture taken at the height of the eyes.",
)
ROLL = Rule(
    "roll",
    "degrees",
    (-round(math.degrees(LARGEST_TILT)), round(math.degrees(LARGEST_TILT))),
    (-180, 180),
    "The head is tilted in the picture; beyond this limit its square is cut out turned.",
    "Turn the picture so that the eyes are level.",
)
BLUR = Rule(
    "blur",
    "pixels",
    (0, 1.7),
    (0, 3.5),
    "The face is out of focus, moved, or was enlarged; the edited part may look sharper than the "
    "rest.",
    "Use a sharper picture, or restore the face before the edit.",
)
GLASSES = Rule(
    "glasses",
    "% rim contrast",
    (0, 22),
    (0, math.inf),
    "Lines run where the rims of glasses do. Glasses lie inside the region that is painted anew, "
    "and may change or vanish.",
    "Use a picture without glasses, or connect a mask of your own that leaves them out.",
)
COVERED = Rule(
    "covered",
    "% of the face",
    (0, 4),
    (0, 30),
    "Hair or something else that is not the face's own skin lies over it; the model paints a face "
    "there, or the thing itself moves.",
    "Use a picture with the face free, or connect a mask of your own that leaves it out.",
)
DARKNESS = Rule(
    "brightest part",
    "% of white",
    (33, math.inf),
    (15, math.inf),
    "The face is underexposed: even its brightest twentieth is dark.",
    "Brighten the picture before the edit.",
)
BURNT_OUT = Rule(
    "burnt out",
    "% of the face",
    (0, 5),
    (0, 30),
    "Parts of the face are white, without any detail that could move with the expression.",
    "Use a picture with less exposure; what is white cannot be brought back.",
)
RULES: tuple[Rule, ...] = (
    SEVERAL_FACES, FACE_WIDTH, FACE_SHARE, CUT_OFF, BLACK_AREAS, YAW, PITCH, ROLL,
    BLUR, GLASSES, COVERED, DARKNESS, BURNT_OUT,
)  # fmt: skip
"""What is measured on a face, in the order of a report."""


def _with_unit(number: str, unit: str) -> str:
    if number == "1" and unit.endswith("s") and " " not in unit:
        unit = unit[:-1]
    return f"{number} {unit}"


def _number(value: float) -> str:
    """Whole numbers from 10 up, one digit after the point below."""
    text = f"{value:.0f}" if abs(value) >= 10 else f"{value:.1f}".removesuffix(".0")
    return "0" if text == "-0" else text
