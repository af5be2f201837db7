"""`magicface attention`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

TILE = 100
SHARED = ("--au", "AU12=4", "--device", "cpu", "--steps", 2, "--tile", TILE)


def test_a_sheet_of_steps_and_landmarks(
    magicface: Callable, astronaut: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    output = tmp_path / "maps.png"
    words = ("--out", output, "--model", tiny_checkpoint)
    outcome = magicface("attention", astronaut, *SHARED, *words)
    assert outcome.code == 0, outcome.err
    said = f"wrote {output}: face 0, AU12+4, 2 steps, 4 layers; "
    assert outcome.out.startswith(said), outcome.out
    width, height = Image.open(output).size
    assert 5 * TILE > width - 48 > (1 + 2 + 1) * TILE  # what it is, two steps, their mean
    assert height > 10 * TILE  # seven rows: kinds of maps, eyes and mouth corners


def test_points_and_a_layer_with_the_short_name_of_the_output(
    magicface: Callable, astronaut: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    """The face of this photograph spans 190..270 across and 60..180 down."""
    output = tmp_path / "one.png"
    words = ("--model", tiny_checkpoint, "-o", output, "--layer", 0, "--point", "210,110")
    outcome = magicface("attention", astronaut, *SHARED, *words)
    assert outcome.code == 0, outcome.err
    assert ", 2 steps, 1 layer; " in outcome.out
    assert 6 * TILE < Image.open(output).height < 9 * TILE  # four rows


@pytest.mark.parametrize(
    ("words", "fragment"),
    [
        (("--au", "AU12=0"), "AU12=4"),
        (("--au", "AU12=4", "--point", "5,5"), "--point 5,5 lies outside the face's crop"),
        (("--au", "AU12=4", "--point", "middle"), '"middle" is not a point'),
        (("--au", "AU12=4", "--layer", "77"), "no layer 77; this denoiser has 0 down_blocks.0"),
        (("--au", "AU12=4", "--layer", "-1"), "--layer: -1 is below 0"),
        (("--au", "AU12=4", "--tile", "9"), "--tile: 9 is below 64"),
        (("--au", "AU77=4"), "AU77"),
        ((), "--au"),
    ],
)
def test_what_cannot_be_shown(
    magicface: Callable,
    astronaut: Path,
    tiny_checkpoint: Path,
    tmp_path: Path,
    words: tuple[str, ...],
    fragment: str,
) -> None:
    output = ("-o", tmp_path / "out.png", "--model", tiny_checkpoint, "--device", "cpu")
    outcome = magicface("attention", astronaut, *words, *output)
    assert outcome.code == 2
    assert fragment in outcome.error_line
    assert list(tmp_path.iterdir()) == []


def test_the_output_is_checked_before_anything_is_computed(
    magicface: Callable, astronaut: Path, tmp_path: Path
) -> None:
    outcome = magicface("attention", astronaut, *SHARED, "-o", tmp_path / "maps.txt")
    assert outcome.code == 2
    assert "maps.txt" in outcome.error_line
