"""Every kind of picture file on the way into a command: converted where possible, else refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SMILE = "AU12"


def estimated(outcome: tuple) -> dict[str, float]:
    assert outcome[0] == 0, outcome
    return {unit["au"]: unit["intensity"] for unit in json.loads(outcome[1])["aus"]}


def as_cmyk(photo: Image.Image, path: Path) -> None:
    photo.convert("CMYK").save(path, quality=95)


def as_rgba(photo: Image.Image, path: Path) -> None:
    photo.convert("RGBA").save(path)


def as_sixteen_bit(photo: Image.Image, path: Path) -> None:
    grey = np.asarray(photo.convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(path)


def as_exif_rotated(photo: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # shown a quarter turn clockwise of how it is stored
    photo.transpose(Image.Transpose.ROTATE_90).save(path, exif=exif, quality=95)


def as_animation(photo: Image.Image, path: Path) -> None:
    photo.save(path, save_all=True, append_images=[Image.new("RGB", photo.size)], duration=80)


@pytest.mark.parametrize(
    ("convert", "ending"),
    [
        (as_cmyk, ".jpg"),
        (as_rgba, ".png"),
        (as_sixteen_bit, ".png"),
        (as_exif_rotated, ".jpg"),
        (as_animation, ".gif"),
    ],
)
def test_unusual_pictures_are_converted(
    magicface: Callable,
    astronaut: Path,
    tmp_path: Path,
    convert: Callable[[Image.Image, Path], None],
    ending: str,
) -> None:
    path = tmp_path / f"photo{ending}"
    convert(Image.open(astronaut), path)
    assert estimated(magicface("estimate", path, "--json"))[SMILE] > 3


def absent(path: Path, astronaut: Path) -> None:
    assert not path.exists()


def empty(path: Path, astronaut: Path) -> None:
    path.write_bytes(b"")


def text(path: Path, astronaut: Path) -> None:
    path.write_text("not a picture")


def truncated(path: Path, astronaut: Path) -> None:
    path.write_bytes(astronaut.read_bytes()[:200_000])


def folder(path: Path, astronaut: Path) -> None:
    path.mkdir()


COMMANDS = {
    "estimate": ["estimate", "PHOTO"],
    "pose": ["pose", "PHOTO", "-o", "OUT"],
    "edit": ["edit", "PHOTO", "--au", "AU12=4", "-o", "OUT"],
    "sweep": ["sweep", "PHOTO", "--au", "AU12", "-o", "OUT"],
}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("damage", [absent, empty, text, truncated, folder])
def test_what_is_no_picture_is_refused(
    magicface: Callable,
    astronaut: Path,
    tmp_path: Path,
    damage: Callable[[Path, Path], None],
    command: str,
) -> None:
    photo, output = tmp_path / "photo.png", tmp_path / "out.png"
    damage(photo, astronaut)
    places = {"PHOTO": str(photo), "OUT": str(output)}
    outcome = magicface(*(places.get(word, word) for word in COMMANDS[command]))
    assert outcome.code == 2
    assert "photo.png" in outcome.error_line
    assert {path.name for path in tmp_path.iterdir()} <= {"photo.png"}
