"""The data card: its pictures show the numbers, its page names what is there."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from magicface_training.shards.card import write_card
from magicface_training.shards.histograms import COLOUR, Panel, draw_bars, draw_panels
from magicface_training.shards.manifest import read_manifest
from PIL import Image, ImageColor

from magicface_core.drawing.text import mixed


def painted(picture: Image.Image, colour: str) -> np.ndarray:
    """Where a colour is: [H,W] bool."""
    return (np.asarray(picture) == ImageColor.getrgb(colour)).all(axis=2)


def test_panel_counts_values_beyond_its_ends_in_the_last_bins() -> None:
    panel = Panel("numbers", np.array([-9.0, -1, 0.5, 0.6, 9]), np.array([-2.0, 0, 1, 2]))
    assert panel.counts().tolist() == [2, 2, 1]


def test_bars_of_a_histogram_are_as_high_as_their_counts() -> None:
    values = np.repeat([0.5, 1.5, 2.5, 3.5], [100, 50, 100, 25])
    picture = draw_panels("Title", "note", [Panel("p", values, np.arange(5.0))], columns=1)
    columns = painted(picture, mixed(COLOUR, 0.85)).sum(axis=0)
    heights = [int(columns[x]) for x in np.linspace(24, 336, 9).astype(int)[1::2]]
    assert heights[0] == heights[2]
    assert heights[1] == pytest.approx(heights[0] / 2, abs=2)
    assert heights[3] == pytest.approx(heights[0] / 4, abs=2)


def test_rare_values_can_still_be_seen() -> None:
    values = np.repeat([0.5, 1.5], [100_000, 1])
    picture = draw_panels("Title", "note", [Panel("p", values, np.arange(3.0))], columns=1)
    assert painted(picture, mixed(COLOUR, 0.85))[:, 250].any()


def test_bars_are_as_long_as_their_numbers() -> None:
    picture = draw_bars("Rejected", "note", {"blurred": 40, "no face": 10})
    rows = painted(picture, COLOUR).sum(axis=1)
    lengths = [rows[rows > 0][0], rows[rows > 0][-1]]
    assert lengths[0] == pytest.approx(4 * lengths[1], abs=4)


def test_nothing_rejected_is_drawn_too() -> None:
    assert draw_bars("Rejected", "note", {}).height > 80


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


def test_card_drawn_again_is_the_same(prepared: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(prepared, tmp_path / "shards")
    shutil.rmtree(folder / "card")
    manifest = read_manifest(folder)
    write_card(folder, manifest, manifest.counts["rejected"])
    for path in (prepared / "card").iterdir():
        assert (folder / "card" / path.name).read_bytes() == path.read_bytes()
