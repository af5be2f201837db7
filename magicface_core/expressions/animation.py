"""Many deltas from few: an animation towards an expression, and ranges for comparison grids."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..aus import AUDelta
from ..errors import AUError

_CURVES: dict[str, Callable[[float], float]] = {
    "linear": lambda time: time,
    "ease in": lambda time: time**2,
    "ease out": lambda time: 1 - (1 - time) ** 2,
    "ease in and out": lambda time: time**2 * (3 - 2 * time),
}
EASINGS: tuple[str, ...] = tuple(_CURVES)
"""How the speed changes on the way: each maps time 0..1 to a share 0..1 of the movement."""

PRECISION = 4
"""Decimals kept of values between two expressions."""

Range = tuple[str, float, float, int]
"""An action unit ("AU12", words may follow), its first and last value, and how many there are."""


def animate(
    target: Sequence[AUDelta],
    *,
    frames: int,
    easing: str = "linear",
    hold: int = 0,
    and_back: bool = False,
    before: Sequence[AUDelta] | None = None,
) -> tuple[AUDelta, ...]:
    """Move to an expression, stay there, and return where asked.

    The movement starts from the last frame of `before`, or from the unchanged face, and leaves
    that starting frame out, so that chained movements do not repeat it: the last of `frames` is
    the target itself, and the last frame of the way back is the start.

    Args:
        target: the expression to reach; of several frames the last.
        frames: frames to the target, and as many back; at least 1.
        easing: one of `EASINGS`.
        hold: frames to stay on the target after reaching it.
        and_back: whether to return to the start.
        before: what has played so far; comes first in the result.

    Returns:
        One delta for each frame.

    Raises:
        AUError: no target, an unknown easing, or a negative number of frames.
    """
    _check_movement(target, frames, easing, hold)
    played = tuple(before or ())
    start, end = (played[-1] if played else AUDelta()), target[-1]
    there = _moved(start, end, frames, easing)
    back = _moved(end, start, frames, easing) if and_back else ()
    return (*played, *there, *(end,) * hold, *back)


def sweep(
    first: Range, second: Range | None = None, *, base: Sequence[AUDelta] | None = None
) -> tuple[AUDelta, ...]:
    """A range of one action unit, or a grid of two, row by row.

    Args:
        first: varies along a row.
        second: varies from row to row.
        base: one delta that every cell has besides.

    Returns:
        One delta for each cell; sums with `base` saturate at -10 and 10.

    Raises:
        AUError: an unknown unit, a value outside -10..10, fewer than two values, the same unit
            twice, or a base of several frames.
    """
    if base is not None and len(base) != 1:
        raise AUError(
            f"A sweep adds to one delta, not to {len(base)} frames: connect a single delta."
        )
    across = _values(first)
    down = _values(second) if second is not None else (AUDelta(),)
    if second is not None and _code(first) == _code(second):
        raise AUError(f"{_code(first)} is swept twice; choose another second unit.")
    shared = base[0] if base is not None else AUDelta()
    return tuple(shared + row + column for row in down for column in across)


def _moved(start: AUDelta, end: AUDelta, frames: int, easing: str) -> tuple[AUDelta, ...]:
    """`frames` deltas on the way from `start`, which is left out, to `end`, which is the last."""
    shares = [_CURVES[easing](index / frames) for index in range(1, frames)]
    return (*(_between(start, end, share) for share in shares), end)


def _between(start: AUDelta, end: AUDelta, share: float) -> AUDelta:
    pairs = zip(start.values, end.values, strict=True)
    return AUDelta.from_values(round(a + (b - a) * share, PRECISION) for a, b in pairs)


def _values(swept: Range) -> tuple[AUDelta, ...]:
    _, start, end, steps = swept
    if steps < 2:
        raise AUError(f"A sweep of {steps} values has no range; ask for at least 2.")
    step = (end - start) / (steps - 1)
    values = (round(start + index * step, PRECISION) for index in range(steps))
    return tuple(AUDelta(**{_code(swept): value}) for value in values)


def _code(swept: Range) -> str:
    """The "AU12" of "AU12 Lip Corner Puller"; AUDelta refuses what is none."""
    words = swept[0].split()
    return words[0].upper() if words else ""


def _check_movement(target: Sequence[AUDelta], frames: int, easing: str, hold: int) -> None:
    if not target:
        raise AUError("There is no expression to move to: the target has no frames.")
    if easing not in _CURVES:
        raise AUError(f'There is no easing "{easing}"; choose one of {", ".join(EASINGS)}.')
    if frames < 1 or hold < 0:
        raise AUError(
            f"An animation cannot take {frames} frames and hold {hold}: give at least 1 frame "
            "and 0 or more to hold."
        )
