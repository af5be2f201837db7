"""One for all frames, or one for each: how inputs with different numbers of frames combine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from ..errors import MagicFaceError

T = TypeVar("T")


def frame_count(counts: Mapping[str, int], error: type[MagicFaceError]) -> int:
    """The common number of frames of inputs that have one frame or all the same number.

    `counts` maps each input's name for people to its number of frames. Raises `error`, naming all
    of them, where one is empty or they do not fit together.
    """
    empty = [name for name, count in counts.items() if count == 0]
    if empty:
        raise error(f"There are no frames in {empty[0]}; at least one is needed.")
    longest = max(counts.values(), default=1)
    if any(count not in (1, longest) for count in counts.values()):
        listed = ", ".join(f"{count} in {name}" for name, count in counts.items())
        raise error(
            f"The numbers of frames do not fit together: {listed}. "
            "Give each input one frame, or all of them the same number."
        )
    return longest


def frame(frames: Sequence[T], index: int) -> T:
    """Frame `index` of an input that has one for all frames or one for each."""
    return frames[0] if len(frames) == 1 else frames[index]
