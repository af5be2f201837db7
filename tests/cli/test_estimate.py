"""`magicface estimate`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from magicface_core.aus import ACTION_UNITS


def test_table_has_a_row_per_unit(magicface: Callable, astronaut: Path) -> None:
    outcome = magicface("estimate", astronaut)
    assert outcome.code == 0
    assert outcome.err == ""
    head, titles, *rows = outcome.out.splitlines()
    assert "face 0 of 1, estimated by embedded" in head
    assert "confidence" in titles
    assert [row.split()[0] for row in rows] == [unit.code for unit in ACTION_UNITS]
    for row, unit in zip(rows, ACTION_UNITS, strict=True):
        assert unit.name in row
        assert unit.plain in row


def test_json_is_the_same_estimate(magicface: Callable, astronaut: Path) -> None:
    outcome = magicface("estimate", astronaut, "--json")
    report = json.loads(outcome.out)
    assert (report["format"], report["version"]) == ("magicface-estimate", 1)
    assert (report["face"], report["faces"]) == (0, 1)
    intensities = {unit["au"]: unit["intensity"] for unit in report["aus"]}
    assert list(intensities) == [unit.code for unit in ACTION_UNITS]
    assert all(0 <= value <= 5 for value in intensities.values())
    assert all(0 <= unit["confidence"] <= 1 for unit in report["aus"])
    assert intensities["AU12"] > 3 > 1 > intensities["AU26"]


@pytest.mark.parametrize("face", [0, 1])
def test_each_face_of_two(magicface: Callable, two_faces: Path, face: int) -> None:
    report = json.loads(magicface("estimate", two_faces, "--face", face, "--json").out)
    assert (report["face"], report["faces"]) == (face, 2)


def test_no_such_face(magicface: Callable, astronaut: Path) -> None:
    outcome = magicface("estimate", astronaut, "--face", 1)
    assert outcome.code == 2
    assert "no face number 1: 1 found" in outcome.error_line


def test_no_face(magicface: Callable, faceless: Path) -> None:
    outcome = magicface("estimate", faceless)
    assert outcome.code == 2
    assert "No face found in the 320 x 240 picture" in outcome.error_line


def test_small_face(magicface: Callable, tiny_face: Path) -> None:
    outcome = magicface("estimate", tiny_face)
    assert outcome.code == 2
    assert "at least 64 are needed" in outcome.error_line


def test_a_backend_that_is_not_there(magicface: Callable, astronaut: Path) -> None:
    outcome = magicface("estimate", astronaut, "--au-backend", "libreface")
    assert outcome.code == 2
    assert "magicface models download libreface --accept-licence" in outcome.error_line
