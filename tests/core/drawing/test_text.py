"""Text that fits, fonts that know the letters, pictures that fit their place."""

from __future__ import annotations

import pytest
import torch
from PIL import Image, ImageDraw, ImageFont

from magicface_core.drawing import text as drawing
from magicface_core.drawing.text import (
    as_picture,
    as_tensor,
    contained,
    fitted,
    font,
    font_for,
    mixed,
    text_width,
    wrapped,
    write,
)


def test_short_text_is_left_alone() -> None:
    assert fitted("smile", 20, 200) == ("smile", 20)


def test_longer_text_shrinks_before_it_is_cut() -> None:
    width = text_width("cheeks up, eyes narrowed", 20)
    text, size = fitted("cheeks up, eyes narrowed", 20, 0.85 * width)
    assert text == "cheeks up, eyes narrowed"
    assert 14 <= size < 20
    text, size = fitted("cheeks up, eyes narrowed", 20, 0.4 * width)
    assert text.startswith("cheek") and text.endswith("...")
    assert size == pytest.approx(14)
    assert text_width(text, size) <= 0.4 * width


@pytest.mark.parametrize("width", [0, 3, 10])
def test_no_place_at_all_gives_no_text(width: float) -> None:
    text, size = fitted("smile", 20, width)
    assert text_width(text, size) <= width


def test_lines_break_at_spaces() -> None:
    text = "AU1+4 AU2+4 AU5+3 AU25+3"
    width = text_width("AU1+4 AU2+4", 20) + 1
    assert wrapped(text, 20, width, 4) == ["AU1+4 AU2+4", "AU5+3", "AU25+3"]
    assert wrapped(text, 20, width, 2) == ["AU1+4 AU2+4", "AU5+3 ..."]
    assert wrapped("", 20, width, 2) == [""]


def test_written_text_keeps_to_its_width() -> None:
    image = Image.new("RGB", (200, 40), "white")
    write(ImageDraw.Draw(image), (10, 5), "far too long\nfor so little room" * 9, 20, width=100)
    assert image.crop((112, 0, 200, 40)).getextrema() == ((255, 255),) * 3
    assert image.crop((0, 0, 110, 40)).getextrema()[0][0] < 100


def test_letters_beyond_ascii_take_the_first_font_of_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, load = [], ImageFont.truetype

    def truetype(name: object, *options: object, **named: object) -> ImageFont.FreeTypeFont:
        if not isinstance(name, str):  # Pillow's own font, from memory
            return load(name, *options, **named)  # type: ignore[arg-type]
        asked.append(name)
        if len(asked) < 3:
            raise OSError("no such font")
        return found

    font.cache_clear()
    found = ImageFont.load_default(21)
    monkeypatch.setattr(drawing.ImageFont, "truetype", truetype)
    font_for("smile", 21)
    assert asked == []
    assert font_for("笑顔", 21) is found
    assert len(asked) == 3
    font.cache_clear()


def test_machines_without_any_font_still_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    font.cache_clear()
    monkeypatch.setattr(drawing, "_WORLD_FONTS", ("absent-font-of-no-system.ttf",))
    assert text_width("笑顔", 21) > 0
    font.cache_clear()


def test_thin_paint_lets_the_paper_through() -> None:
    assert mixed("#336699", 1) == "#336699"
    assert mixed("#336699", 0) == "#ffffff"
    assert mixed("#000000", 0.5) == "#808080"


@pytest.mark.parametrize(
    ("size", "expected"), [((50, 25), (100, 50)), ((400, 400), (80, 80)), ((9000, 1), (100, 1))]
)
def test_pictures_fit_their_place(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert contained(Image.new("RGB", size), (100, 80)).size == expected


def test_pictures_and_tensors() -> None:
    image = torch.rand(1, 3, 4, 6)
    back = as_tensor(as_picture(image))
    assert back.shape == image.shape
    torch.testing.assert_close(back, image, atol=0.002, rtol=0)
