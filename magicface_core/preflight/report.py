"""What preflight found in a photograph, as text and JSON."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .rules import LEVELS, Check, Level

if TYPE_CHECKING:
    from torch import Tensor

    from ..perception import Face
    from ..pictures.crop import Crop

FORMAT, VERSION = "magicface-preflight", 1
CLEAN = "nothing to complain about"


@dataclass(frozen=True)
class PreflightReport:
    """What was found in one photograph.

    checks  all of them, in a fixed order; one alone where there is no face
    size    width and height of the photograph
    faces   all faces found, in the order of their numbers
    face    the face that was looked at, if there is one
    square  what would be cut out around it
    marks   [1,1,256,256] bool in the square: black areas and what covers the face
    """

    checks: tuple[Check, ...]
    size: tuple[int, int]
    faces: tuple[Face, ...] = ()
    face: Face | None = None
    square: Crop | None = None
    marks: Tensor | None = None

    @property
    def level(self) -> Level:
        """That of the worst check."""
        return max((check.level for check in self.checks), key=LEVELS.index)

    @property
    def ok(self) -> bool:
        """Whether nothing speaks against an edit; warnings do not."""
        return self.level != "problem"

    @property
    def number(self) -> int | None:
        """The number of the face that was looked at."""
        places = (place for place, face in enumerate(self.faces) if face is self.face)
        return next(places, None)

    @property
    def summary(self) -> str:
        """How many problems and warnings there are."""
        counts = Counter(check.level for check in self.checks)
        found = [
            f"{counts[level]} {level}{'s' * (counts[level] > 1)}"
            for level in ("problem", "warning")
            if counts[level]
        ]
        return ", ".join(found) or CLEAN

    @property
    def findings(self) -> list[Check]:
        """Problems, then warnings."""
        poor = [check for check in self.checks if check.level != "ok"]
        return sorted(poor, key=lambda check: -LEVELS.index(check.level))

    def to_text(self) -> str:
        """For people: a line on the whole, findings with their fixes, then what is all right."""
        lines = [f"{self._subject()}: {self.summary}"]
        for check in self.findings:
            lines += [
                f"{check.level:<8}{check.name}: {check.measured} (allowed: {check.limits})",
                f"        {check.meaning}",
                f"        -> {check.fix}",
            ]
        fine = [f"{c.name} {c.measured}" for c in self.checks if c.level == "ok"]
        return "\n".join([*lines, *([f"ok      {', '.join(fine)}"] if fine else [])])

    def to_json(self) -> dict[str, Any]:
        """As JSON types; a limit that does not exist is null."""
        return {
            "format": FORMAT,
            "version": VERSION,
            "width": self.size[0],
            "height": self.size[1],
            "faces": len(self.faces),
            "face": self.number,
            "level": self.level,
            "ok": self.ok,
            "checks": [_check_as_json(check) for check in self.checks],
        }

    def _subject(self) -> str:
        width, height = self.size
        which = "" if self.number is None else f", face {self.number} of {len(self.faces)}"
        return f"{width} x {height} pixels{which}"


def frames_text(reports: Sequence[PreflightReport]) -> str:
    """The texts of all frames, with their numbers if there are several."""
    if len(reports) == 1:
        return reports[0].to_text()
    return "\n\n".join(f"frame {n}: {report.to_text()}" for n, report in enumerate(reports))


def _check_as_json(check: Check) -> dict[str, Any]:
    low, high = (float(limit) if math.isfinite(limit) else None for limit in check.allowed)
    return {
        "name": check.name,
        "level": check.level,
        "value": round(float(check.value), 2),
        "unit": check.unit,
        "allowed": [low, high],
        "meaning": check.meaning,
        "fix": check.fix,
    }
