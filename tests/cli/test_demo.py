"""`magicface demo` with what ships in the package."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magicface_core.aus import DEMO_EDITS, AUDelta
from magicface_core.cli.demo import demo_strip, load_portrait
from magicface_core.cli.messages import RELEASED_WEIGHTS
from magicface_core.editing.results import EditResult


def test_strip_shows_the_source_and_every_edit() -> None:
    gray, red = (Image.new("RGB", (64, 64), color) for color in ("gray", "red"))
    results = [
        EditResult(red, red, Image.new("L", red.size), delta, 0.1) for delta in DEMO_EDITS.values()
    ]
    strip = np.asarray(demo_strip(gray, results))
    red_columns = ((strip == (255, 0, 0)).all(axis=2).sum(axis=0) > 300).astype(int)
    assert (np.diff(red_columns) == 1).sum() == len(DEMO_EDITS) >= 5
    assert (strip == (128, 128, 128)).all(axis=2).sum() >= 320 * 320


def test_demo_writes_the_strip(
    magicface: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = magicface("demo")
    assert outcome.code == 0, outcome.err
    assert "synthetic faces" in outcome.out
    assert RELEASED_WEIGHTS in outcome.out
    assert [path.name for path in tmp_path.iterdir()] == ["magicface-demo.png"]
    assert Image.open("magicface-demo.png").width > 6 * 320


def test_portrait_has_one_face_of_good_size() -> None:
    from magicface_core.framing.framing import find_face, single_picture
    from magicface_core.perception import Perception

    face, count = find_face(Perception.load(), single_picture(load_portrait()))
    assert count == 1
    assert face.width >= 128


def test_output_is_checked_first(magicface: Callable, tmp_path: Path) -> None:
    outcome = magicface("demo", "-o", tmp_path / "absent" / "demo.png")
    assert outcome.code == 2
    assert "does not exist" in outcome.error_line


def test_demo_edits_are_changes() -> None:
    assert all(delta != AUDelta() for delta in DEMO_EDITS.values())
