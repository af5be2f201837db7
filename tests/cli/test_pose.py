"""`magicface pose`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def black_share(path: Path) -> float:
    with Image.open(path) as picture:
        return float((np.asarray(picture.convert("RGB")).max(axis=2) < 8).mean())


def test_regions_black_out_face_or_person(
    magicface: Callable, astronaut: Path, tmp_path: Path
) -> None:
    shares = {}
    for region in ("face", "person"):
        output = tmp_path / f"{region}.png"
        outcome = magicface("pose", astronaut, "-o", output, "--region", region)
        assert outcome.code == 0
        assert f"region {region} by embedded" in outcome.out
        assert Image.open(output).size == (512, 512)
        shares[region] = black_share(output)
    assert 0.05 < shares["face"] < shares["person"] < 0.95


def test_size(magicface: Callable, astronaut: Path, tmp_path: Path) -> None:
    output = tmp_path / "pose.webp"
    assert magicface("pose", astronaut, "-o", output, "--size", 128).code == 0
    assert Image.open(output).size == (128, 128)


def test_absent_folder(magicface: Callable, astronaut: Path, tmp_path: Path) -> None:
    outcome = magicface("pose", astronaut, "-o", tmp_path / "absent" / "pose.png")
    assert outcome.code == 2
    assert "does not exist" in outcome.error_line
    assert list(tmp_path.iterdir()) == []


def test_read_only_folder(magicface: Callable, astronaut: Path, read_only: Path) -> None:
    outcome = magicface("pose", astronaut, "-o", read_only / "pose.png")
    assert outcome.code == 2
    assert "read-only" in outcome.error_line
    assert list(read_only.iterdir()) == []


@pytest.mark.parametrize("name", ["pose", "pose.txt"])
def test_unknown_ending(magicface: Callable, astronaut: Path, tmp_path: Path, name: str) -> None:
    outcome = magicface("pose", astronaut, "-o", tmp_path / name)
    assert outcome.code == 2
    assert ".png" in outcome.error_line


@pytest.mark.parametrize(
    ("option", "fragment"),
    [
        (("--parser", "bisenet"), "magicface models download bisenet"),
        (("--parser", "sam"), "choose one of auto, bisenet, embedded"),
        (("--jaw", "face-alignment"), "magicface models download face-alignment"),
    ],
)
def test_backends_that_cannot_be_used(
    magicface: Callable, astronaut: Path, tmp_path: Path, option: tuple[str, str], fragment: str
) -> None:
    outcome = magicface("pose", astronaut, "-o", tmp_path / "pose.png", *option)
    assert outcome.code == 2
    assert fragment in outcome.error_line
    assert list(tmp_path.iterdir()) == []
