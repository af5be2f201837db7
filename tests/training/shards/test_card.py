"""The data card: its pictures show the numbers, its page names what is there."""

from __future__ import annotations

import io
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from magicface_training.shards.card import write_card
from magicface_training.shards.histograms import COLOUR, Panel, as_png, draw_bars, draw_panels
from magicface_training.shards.manifest import read_manifest
from matplotlib.figure import Figure
from PIL import Image, ImageColor


def painted(figure: Figure) -> np.ndarray:
    """Where the bars' colour is: [H,W] bool."""
    with Image.open(io.BytesIO(as_png(figure))) as picture:
        assert not picture.info.keys() & {"Software", "date:create"}
        return (np.asarray(picture.convert("RGB")) == ImageColor.getrgb(COLOUR)).all(axis=2)


def runs(line: np.ndarray) -> list[int]:
    """The middles of the stretches of a line that are not 0."""
    ends = np.flatnonzero(np.diff(np.concatenate([[0], line > 0, [0]])))
    return [int(middle) for middle in (ends[::2] + ends[1::2]) // 2]


def test_panel_counts_values_beyond_its_ends_in_the_last_bins() -> None:
    panel = Panel("numbers", np.array([-9.0, -1, 0.5, 0.6, 9]), np.array([-2.0, 0, 1, 2]))
    assert panel.counts().tolist() == [2, 2, 1]


def test_bars_of_a_histogram_are_as_high_as_their_counts() -> None:
    values = np.repeat([0.5, 1.5, 2.5, 3.5], [100, 50, 100, 25])
    figure = draw_panels("Title", "note", [Panel("p", values, np.arange(5.0))], columns=1)
    columns = painted(figure).sum(axis=0)
    heights = [int(columns[x]) for x in runs(columns)]
    assert len(heights) == 4
    assert heights[0] == heights[2]
    assert heights[1] == pytest.approx(heights[0] / 2, abs=2)
    assert heights[3] == pytest.approx(heights[0] / 4, abs=2)


def test_rare_values_can_still_be_seen() -> None:
    values = np.repeat([0.5, 1.5], [100_000, 1])
    figure = draw_panels("Title", "note", [Panel("p", values, np.arange(3.0))], columns=1)
    assert len(runs(painted(figure).sum(axis=0))) == 2


def test_bars_are_as_long_as_their_numbers() -> None:
    rows = painted(draw_bars("Rejected", "note", {"blurred": 40, "no face": 10})).sum(axis=1)
    first, second = (int(rows[y]) for y in runs(rows))
    assert first == pytest.approx(4 * second, abs=4)


def test_nothing_rejected_is_drawn_too() -> None:
    figure = draw_bars("Rejected", "note", {})
    assert [text.get_text() for text in figure.axes[0].texts] == ["none"]
    assert not painted(figure).any()


def test_drawing_keeps_no_figure() -> None:
    import matplotlib.pyplot as pyplot

    as_png(draw_bars("Rejected", "note", {"blurred": 40}))
    assert pyplot.get_fignums() == []


def test_page_names_licence_counts_and_pictures(prepared: Path) -> None:
    card, manifest = prepared / "card", read_manifest(prepared)
    page = (card / "card.md").read_text(encoding="utf-8")
    pictures = re.findall(r"\]\((\w+\.png)\)", page)
    assert sorted(pictures) == sorted(path.name for path in card.glob("*.png"))
    for name in pictures:
        with Image.open(card / name) as picture:
            picture.verify()
    assert "Licence of the videos: made up." in page
    assert "Consent of the people shown: nobody is shown." in page
    assert manifest.sha256 in page
    assert f"| train | 4 | {manifest.counts['pairs']['train']} | 1 |" in page
    assert "| blurred | 12 |" in page
    assert f"| up to 1 | {manifest.counts['enlarged']['up to 1']} |" in page


def test_card_drawn_again_is_the_same(prepared: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(prepared, tmp_path / "shards")
    shutil.rmtree(folder / "card")
    manifest = read_manifest(folder)
    write_card(folder, manifest, manifest.counts["rejected"])
    for path in (prepared / "card").iterdir():
        assert (folder / "card" / path.name).read_bytes() == path.read_bytes()
