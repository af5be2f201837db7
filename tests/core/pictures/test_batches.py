"""Inputs with one frame or as many as the others."""

from __future__ import annotations

import pytest

from magicface_core.errors import AUError, ImageError
from magicface_core.pictures.batches import frame, frame_count


@pytest.mark.parametrize(
    ("counts", "common"), [({}, 1), ({"a": 1}, 1), ({"a": 3}, 3), ({"a": 1, "b": 3, "c": 3}, 3)]
)
def test_one_or_all_the_same(counts: dict[str, int], common: int) -> None:
    assert frame_count(counts, AUError) == common


def test_other_numbers_are_all_named() -> None:
    with pytest.raises(ImageError, match="3 in original, 2 in edited, 1 in delta"):
        frame_count({"original": 3, "edited": 2, "delta": 1}, ImageError)
    with pytest.raises(AUError, match="no frames in delta"):
        frame_count({"delta": 0, "source": 2}, AUError)


def test_a_single_frame_stands_for_all() -> None:
    assert [frame("x", index) for index in range(2)] == ["x", "x"]
    assert [frame("xy", index) for index in range(2)] == ["x", "y"]
