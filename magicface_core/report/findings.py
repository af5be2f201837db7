"""What was measured on one edited frame, and the same in words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..aus import AUDelta

if TYPE_CHECKING:
    from .background import BackgroundError

SAME_PERSON_DISTANCE = 0.6
"""Identity embeddings nearer than this usually belong to one person."""


@dataclass(frozen=True)
class FrameReport:
    """The measurements of one frame; None stands for what could not be measured.

    requested   the change asked for
    achieved    estimate of the edited face minus estimate of the original one
    confidence  twelve numbers 0..1, how far `achieved` can be trusted
    identity    distance of the two faces' embeddings
    background  difference where nothing was edited, range 0..1; None without a mask that says so
    problem     why there are no two faces to compare, or None
    """

    requested: AUDelta
    achieved: AUDelta | None
    confidence: tuple[float, ...]
    identity: float | None
    background: BackgroundError | None
    problem: str | None = None

    @property
    def same_person(self) -> bool | None:
        """Whether the identity distance is that of one person."""
        return None if self.identity is None else self.identity < SAME_PERSON_DISTANCE

    @property
    def followed(self) -> tuple[int, int] | None:
        """How many of the units asked to change moved that way, and how many were asked."""
        if self.achieved is None:
            return None
        pairs = zip(self.requested.values, self.achieved.values, strict=True)
        asked = [wanted * reached > 0 for wanted, reached in pairs if wanted]
        return sum(asked), len(asked)


def findings(report: FrameReport) -> dict[str, str]:
    """A sentence each on expression, identity and background."""
    return {
        "expression": _on_expression(report),
        "identity": _on_identity(report),
        "background": _on_background(report),
    }


def _on_expression(report: FrameReport) -> str:
    if report.followed is None:
        return report.problem or "not measured"
    followed, asked = report.followed
    return f"{followed} of {asked} changes went the way asked" if asked else "no change was asked"


def _on_identity(report: FrameReport) -> str:
    if report.identity is None:
        return "not measured"
    verdict, side = ("same", "below") if report.same_person else ("perhaps another", "not below")
    return f"{verdict} person, distance {report.identity:.2f} ({side} {SAME_PERSON_DISTANCE:g})"


def _on_background(report: FrameReport) -> str:
    if report.background is None:
        return "not measured without a mask of what was edited"
    if report.background.largest == 0:
        return "unchanged, every pixel"
    return f"off by {255 * report.background.rmse:.2f} of 255 (root mean square)"
