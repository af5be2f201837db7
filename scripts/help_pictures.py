"""Draw the pictures of the nodes' help pages: ``python scripts/help_pictures.py``.

Everything is made by the library from the packaged portrait, with the packaged checkpoint.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image, ImageChops
from torch import Tensor

from magicface_core import AUDelta, MagicFace
from magicface_core.attention.frames import attention_frames
from magicface_core.drawing.charts import intensity_charts
from magicface_core.drawing.sheets import Tile, frames_sheet, labelled_sheet
from magicface_core.drawing.text import as_picture
from magicface_core.editing.rendering import RenderOptions, encode_identities, render
from magicface_core.expressions.animation import animate, sweep
from magicface_core.expressions.presets import load_presets
from magicface_core.files import write_file
from magicface_core.framing.background import background_frames
from magicface_core.framing.crops import CroppedFaces, crop_faces, estimate_frames
from magicface_core.framing.framing import Framing
from magicface_core.pasting.frames import paste_frames
from magicface_core.pictures.images import load_image, to_tensor
from magicface_core.preflight.checks import preflight_frames
from magicface_core.preflight.overlay import preflight_pictures
from magicface_core.report.report import report_frames

ROOT = Path(__file__).resolve().parent.parent
PICTURES = ROOT / "web" / "docs" / "images"
PORTRAIT = ROOT / "magicface_core" / "assets" / "portrait.png"
SECOND = ROOT / "web" / "samples" / "magicface_smile.jpg"

WIDTH = 720
MOST_BYTES = 60_000
QUALITIES = (88, 80, 72, 64)
SMILE = AUDelta(AU6=2, AU12=4)
SURPRISE = AUDelta(AU1=4, AU2=3, AU26=4)


class Studio:
    """The portrait, ready for any number of edits."""

    def __init__(self) -> None:
        self.model = MagicFace.load("mini")
        self.perception = self.model.perception
        self.portrait = to_tensor(load_image(PORTRAIT))
        self.found = self.crop(self.portrait)
        self.background = background_frames(
            self.found.pictures, self.perception, crops=self.found.crops
        )
        self.identity = encode_identities(self.model.checkpoint, self.found.pictures)

    def crop(self, images: Tensor) -> CroppedFaces:
        """Faces cut out as the checkpoint wants them."""
        framing = Framing.of(self.model.checkpoint.info)
        return crop_faces(images, self.perception, framing, order="left to right")

    def faces(self, deltas: Sequence[AUDelta], render_zero: bool = False) -> Tensor:
        """[N,3,512,512], the edited crops."""
        options = RenderOptions(render_zero=render_zero)
        edits = render(
            self.model.checkpoint, self.identity, self.background.picture, deltas, options
        )
        return edits.pictures

    def paste(self, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Edited crops back in the portrait [N,3,H,W], and where it changed [N,1,H,W]."""
        mask = self.background.mask
        return paste_frames(self.portrait, faces, self.found.crops, mask=mask)


def draw_all(studio: Studio) -> dict[str, Image.Image]:
    """Every picture by its file name."""
    steps = sweep(("AU12", -2.0, 4.0, 4))
    frames = animate([SMILE], frames=4, easing="ease in and out", and_back=True)
    smile, surprise = studio.faces([SMILE, SURPRISE]).split(1)
    pasted, _ = studio.paste(smile)
    amazed, edited_area = studio.paste(surprise)
    report = report_frames(studio.portrait, amazed, [SURPRISE], studio.perception, mask=edited_area)
    crop = studio.found.pictures
    chart = intensity_charts(estimate_frames(studio.portrait, studio.perception))
    return {
        "face_crop.jpg": as_picture(studio.crop(_two_people(studio.portrait)).overview),
        "au_chart.png": as_picture(chart),
        "presets.jpg": _presets(studio),
        "background_pose.jpg": _row(crop, studio.background.picture),
        "edited.jpg": _row(crop, smile, surprise),
        "paste_back.jpg": _row(studio.portrait, pasted),
        "sheet.jpg": _sheet(studio.faces(steps, render_zero=True), steps),
        "keyframes.jpg": _sheet(studio.faces(frames, render_zero=True), frames),
        "report.png": as_picture(report.charts),
        "portrait_check.jpg": _checked(studio),
        "attention.jpg": _attention(studio),
    }


def save(image: Image.Image, path: Path) -> None:
    """Write a picture at most WIDTH wide and MOST_BYTES long."""
    if image.width > WIDTH:
        height = round(image.height * WIDTH / image.width)
        image = image.resize((WIDTH, height), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    if path.suffix == ".png":
        image.quantize(64, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    for quality in QUALITIES if path.suffix == ".jpg" else ():
        file = io.BytesIO()
        image.save(file, "JPEG", quality=quality, optimize=True, progressive=True)
        if file.tell() <= MOST_BYTES:
            break
    if file.tell() > MOST_BYTES:
        raise SystemExit(f"{path.name} has {file.tell()} bytes, more than {MOST_BYTES}.")
    write_file(path, file.getvalue())


def _two_people(portrait: Tensor) -> Tensor:
    """The portrait beside another sample."""
    height, width = portrait.shape[-2:]
    other = to_tensor(load_image(SECOND).resize((width, height), Image.Resampling.LANCZOS))
    return torch.cat([portrait, other], dim=-1)


def _checked(studio: Studio) -> Image.Image:
    """The portrait with black bars, checked."""
    barred = studio.portrait.clone()
    bar = barred.shape[-1] // 8
    barred[..., :bar] = 0
    barred[..., -bar:] = 0
    reports = preflight_frames(barred, studio.perception, crops=studio.crop(barred).crops)
    page = as_picture(preflight_pictures(barred, reports))
    foot = ImageChops.difference(page, Image.new("RGB", page.size, "white")).getbbox()
    return page if foot is None else page.crop((0, 0, page.width, foot[3] + 16))


def _attention(studio: Studio) -> Image.Image:
    """Maps of the smile, and where a mouth corner looks."""
    frames = attention_frames(
        studio.model.checkpoint,
        studio.identity,
        studio.background.picture,
        [SMILE],
        studio.perception,
        RenderOptions(steps=3, guidance=1.0),
        points="326,345",
        tile=WIDTH // 7,
    )
    return as_picture(frames.sheets)


def _row(*pictures: Tensor) -> Image.Image:
    return as_picture(torch.cat(pictures, dim=-1))


def _sheet(pictures: Tensor, deltas: Sequence[AUDelta]) -> Image.Image:
    return as_picture(frames_sheet(pictures, deltas, columns=4, tile=WIDTH // 4))


def _presets(studio: Studio) -> Image.Image:
    """The named expressions, two rows of three."""
    deltas = {name: preset.delta for name, preset in load_presets().items()}
    faces = studio.faces(list(deltas.values())).split(1)
    tiles = [
        Tile(as_picture(face), name, delta.label())
        for face, (name, delta) in zip(faces, deltas.items(), strict=True)
    ]
    return labelled_sheet([tiles[:3], tiles[3:]], "", WIDTH // 3)


def main() -> None:
    """Draw and write all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, default=PICTURES)
    folder: Path = parser.parse_args().output
    folder.mkdir(parents=True, exist_ok=True)
    with torch.no_grad():
        pictures = draw_all(Studio())
    for name, image in pictures.items():
        save(image, folder / name)


if __name__ == "__main__":
    main()
