"""`magicface sweep`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from magicface_core.aus import AUDelta
from magicface_core.cli.sweep import sweep_deltas


def test_deltas_are_evenly_spaced() -> None:
    [smile, brows] = sweep_deltas(["AU12", "au4"], -1, 2, 4)
    assert smile == [AUDelta(AU12=strength) for strength in (-1, 0, 1, 2)]
    assert brows[3] == AUDelta(AU4=2)


def test_grid_has_a_row_per_unit(
    magicface: Callable, astronaut: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    sizes = []
    for units in (("--au", "AU12"), ("--au", "AU12", "--au", "AU4")):
        output = tmp_path / f"{len(units)}.png"
        common = ("--steps-count", 3, "-o", output, "--model", tiny_checkpoint, "--device", "cpu")
        outcome = magicface("sweep", astronaut, *units, *common)
        assert outcome.code == 0, outcome.err
        assert f"{3 * len(units) // 2} edits" in outcome.out
        sizes.append(Image.open(output).size)
    assert sizes[0][0] == sizes[1][0] > 3 * 320
    assert sizes[1][1] > 1.8 * sizes[0][1]


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--au", "AU3"), "AU3"),
        (("--au", "AU12=4"), "AU12=4"),
        (("--au", "AU12", "--to", "12"), "-10"),
        (("--au", "AU12", "--from", "nan"), "finite"),
        (("--au", "AU12", "--steps-count", "1"), "--steps-count: 1 is below 2"),
    ],
)
def test_what_cannot_be_swept(
    magicface: Callable, astronaut: Path, tmp_path: Path, words: tuple[str, ...], fragment: str
) -> None:
    outcome = magicface("sweep", astronaut, *words, "-o", tmp_path / "out.png")
    assert outcome.code == 2
    assert fragment in outcome.error_line
    assert list(tmp_path.iterdir()) == []
