"""Seams that pasting leaves, measured on rendered portraits and public-domain photographs.

Every picture is edited by a checkpoint and pasted with and without a soft edge and a colour match;
once more with an edit whose colours were shifted on purpose, and with a crop that nobody edited.
All numbers are grey levels of 255, means over the three channels:

jump        mean difference between neighbours across the mask's border, less that of the original
step        95th percentile of how fast the change grows from neighbour to neighbour, at the border
            and in a band of 0.03 sides inside it
colour      mean difference between the shifted edit and the edit as it was, where both count fully
outside     root mean square of the change outside the mask
unedited    largest change anywhere, of a crop pasted back as it was cut out

The exit code is 1 if anything changed outside, or by more than one level unedited.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from magicface_training.evaluation.provenance import machine, versions
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from magicface_core import MagicFace
from magicface_core.aus import DEMO_EDITS
from magicface_core.editing.rendering import RenderOptions, encode_identities, render
from magicface_core.files import write_file
from magicface_core.framing.background import background_frames
from magicface_core.framing.crops import FaceCrops, crop_faces
from magicface_core.framing.framing import Framing
from magicface_core.pasting.frames import paste_frames
from magicface_core.pictures.images import load_image, save_image, to_tensor, to_uint8

PHOTOGRAPHS = Path(__file__).parents[1] / "tests" / "photographs"
BAND = 0.03
"""Width in sides of the crop of the band in which steps are looked for; the default soft edge."""

WAYS = {
    "hard": (0.0, 0.0),
    "soft": (0.03, 0.0),
    "hard, matched": (0.0, 1.0),
    "soft, matched": (0.03, 1.0),
}
"""Feather and strength of the colour match."""

SHIFTED_GAIN, SHIFTED_BY = (0.86, 1.0, 1.1), (0.08, 0.03, -0.05)
"""The deliberate shift of colour: gain and shift of red, green and blue."""

SCENES: tuple[tuple[int, float, float, tuple[float, float]], ...] = (
    (384, 0.80, 0, (0.0, 0.0)),
    (511, 0.50, 35, (0.1, 0.0)),
    (640, 0.90, -15, (-0.42, 0.0)),
    (449, 0.60, 0, (0.46, 0.1)),
    (701, 1.10, 5, (0.0, 0.0)),
    (512, 0.70, -38, (0.0, 0.05)),
    (577, 0.80, 0, (0.0, -0.33)),
    (480, 0.75, 10, (0.0, 0.34)),
    (400, 0.90, -30, (0.4, -0.1)),
    (900, 0.45, 60, (-0.15, 0.1)),
)
"""Size, zoom, in-plane rotation in degrees and shift of the rendered portraits; five are cut by a
side of the picture, four are cropped upright from a tilted head."""


class Case(NamedTuple):
    """A picture [1,3,H,W], its crop and mask, and its edit [1,3,512,512] in the crop."""

    name: str
    kind: str
    picture: Tensor
    crops: FaceCrops
    face: Tensor
    mask: Tensor
    edit: Tensor

    @property
    def side(self) -> float:
        """Side of the crop in pixels of the picture."""
        return next(iter(self.crops.squares(1).values())).side

    def pasted(self, edit: Tensor, way: str) -> tuple[Tensor, Tensor]:
        """The picture with an edit in it, and the edit's weight."""
        feather, strength = WAYS[way]
        return paste_frames(
            self.picture,
            edit,
            self.crops,
            mask=self.mask,
            feather=feather,
            colour_match=strength,
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photo", type=Path, action="append", default=[], help="one more, repeat")
    parser.add_argument("--checkpoint", default="mini", help='"mini" or a folder')
    parser.add_argument("--seed", type=int, default=0, help="of identities and noise")
    parser.add_argument("--rendered", type=int, default=len(SCENES), help="how many portraits")
    parser.add_argument("--pictures", type=Path, help="folder for the pasted crops, to look at")
    parser.add_argument("--json", type=Path, help="file for everything that was measured")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads (default: its own)")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    model = MagicFace.load(args.checkpoint, device="cpu")
    sources = [*rendered(args.seed, args.rendered), *photographs(args.photo)]
    rows = []
    for number, (name, kind, picture) in enumerate(sources):
        case = edited(model, name, kind, picture, number, args.seed)
        rows.append(measure(case))
        if args.pictures:
            save_strip(case, args.pictures / f"{name}.png")
    result = {
        "seed": args.seed,
        "checkpoint": args.checkpoint,
        "machine": machine("cpu"),
        "versions": versions(),
        "rows": rows,
    }
    print(table(rows))
    if args.json:
        write_file(args.json, json.dumps(result, indent=1) + "\n")
    print(json.dumps(result))
    return int(broken(rows))


def rendered(seed: int, count: int) -> Iterator[tuple[str, str, Tensor]]:
    """Name, kind and picture [1,3,S,S] of portraits that no checkpoint was trained on."""
    from magicface_training.synthetic import HeadModel, sample_frame, sample_identity
    from magicface_training.synthetic.picture.render import render

    model = HeadModel.load()
    for number, (size, zoom, roll, shift) in enumerate(SCENES[:count]):
        frame = sample_frame(np.random.default_rng([seed, number]), au=np.zeros(12), pose=12)
        pose = np.array([*frame.pose[:2], roll], np.float32)
        frame = replace(frame, zoom=zoom, shift=shift, pose=pose)
        drawn = render(model, sample_identity(model, seed=seed + number), frame, size)
        yield f"rendered-{number}", "rendered", to_tensor(Image.fromarray(drawn.image))


def photographs(others: Iterable[Path]) -> Iterator[tuple[str, str, Tensor]]:
    """Name, kind and picture [1,3,H,W]; where they come from: tests/photographs/README.md."""
    from skimage import data

    yield "astronaut", "photograph", to_tensor(Image.fromarray(data.astronaut()))
    for path in (*sorted(PHOTOGRAPHS.glob("*.jpg")), *others):
        yield path.stem, "photograph", to_tensor(load_image(path))


def edited(model: MagicFace, name: str, kind: str, picture: Tensor, number: int, seed: int) -> Case:
    """The picture's largest face under one of the demo's edits."""
    found = crop_faces(picture, model.perception, Framing.of(model.checkpoint.info))
    drawn = background_frames(found.pictures, model.perception, found.crops)
    identity = encode_identities(model.checkpoint, found.pictures)
    delta = list(DEMO_EDITS.values())[number % len(DEMO_EDITS)]
    edit = render(
        model.checkpoint, identity, drawn.picture, [delta], RenderOptions(seed=seed)
    ).pictures
    return Case(name, kind, picture, found.crops, found.pictures, drawn.mask, edit)


def measure(case: Case) -> dict[str, Any]:
    """Everything about one picture; see the module's text."""
    gain, shift = (torch.tensor(values).view(1, 3, 1, 1) for values in (SHIFTED_GAIN, SHIFTED_BY))
    shifted = (case.edit * gain + shift).clamp(0, 1)
    inside = case.pasted(case.edit, "hard")[1] > 0
    row: dict[str, Any] = {
        "name": case.name,
        "kind": case.kind,
        "size": [case.picture.shape[-1], case.picture.shape[-2]],
        "side": round(case.side, 1),
        "rotation": round(float(np.degrees(next(iter(case.crops.squares(1).values())).angle)), 1),
        "ways": {},
    }
    for way in WAYS:
        plain, weight = case.pasted(case.edit, way)
        toned, _ = case.pasted(shifted, way)
        again, _ = case.pasted(case.face, way)
        full = (weight == 1).expand_as(plain)
        row["ways"][way] = {
            "jump": jump(plain, case.picture, inside),
            "step": step(plain, case.picture, inside, case.side),
            "shifted_jump": jump(toned, case.picture, inside),
            "shifted_step": step(toned, case.picture, inside, case.side),
            "colour": 255 * float((toned - plain)[full].abs().mean()),
            "outside": max(outside(part, case.picture, inside) for part in (plain, toned, again)),
            "unedited": 255 * float((again - case.picture).abs().max()),
        }
    return row


def jump(pasted: Tensor, original: Tensor, inside: Tensor) -> float:
    """Mean difference across the border of `inside` [1,1,H,W], less the original's."""
    levels = [
        torch.cat([_differences(part, axis)[_crosses(inside, axis)] for axis in (-1, -2)])
        for part in (pasted, original)
    ]
    return 255 * float(levels[0].mean() - levels[1].mean()) if len(levels[0]) else 0.0


def step(pasted: Tensor, original: Tensor, inside: Tensor, side: float) -> float:
    """95th percentile of the change's own differences at the border and a band inside it."""
    radius = max(1, round(BAND * side))
    beside = F.max_pool2d((~inside).float(), 2 * radius + 1, 1, radius) > 0
    band = inside & beside
    change, found = pasted - original, []
    for axis in (-1, -2):
        either = _pairs(band, axis)
        found.append(_differences(change, axis)[either[0] | either[1]])
    return 255 * float(torch.cat(found).quantile(0.95)) if band.any() else 0.0


def outside(pasted: Tensor, original: Tensor, inside: Tensor) -> float:
    """Root mean square of the change outside [1,1,H,W]."""
    change = (pasted - original)[(~inside).expand_as(pasted)]
    return 255 * float(change.square().mean().sqrt())


def _pairs(picture: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """Every pixel but the last along an axis, and its neighbour."""
    length = picture.shape[axis]
    return picture.narrow(axis, 0, length - 1), picture.narrow(axis, 1, length - 1)


def _differences(picture: Tensor, axis: int) -> Tensor:
    """[1,1,h,w], mean over the channels of |neighbour - pixel|."""
    first, second = _pairs(picture, axis)
    return (second - first).abs().mean(1, keepdim=True)


def _crosses(inside: Tensor, axis: int) -> Tensor:
    first, second = _pairs(inside, axis)
    return first ^ second


def save_strip(case: Case, path: Path) -> None:
    """The crop before, and pasted hard and soft."""
    crop = next(iter(case.crops.squares(1).values()))
    pictures = [case.picture, *(case.pasted(case.edit, way)[0] for way in ("hard", "soft"))]
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = [to_uint8(crop.extract(picture, 512)) for picture in pictures]
    save_image(np.concatenate(shown, 1), path)


def broken(rows: Sequence[dict[str, Any]]) -> bool:
    """Whether a promise was: nothing changes outside, and nothing where nothing was edited."""
    found = [way for row in rows for way in row["ways"].values()]
    return any(way["outside"] != 0 or way["unedited"] > 1 for way in found)


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Markdown: a line for each picture, and the means of each kind."""
    lines = [
        "| picture | side | rotation | jump hard | soft | step hard | soft "
        "| shifted: jump hard | soft | soft, matched | colour | matched | outside | unedited |",
        "|---|" + "---:|" * 13,
    ]
    for row in rows:
        lines.append(_line(row["name"], f"{row['side']:.0f} | {row['rotation']:.0f}", [row]))
    for kind in dict.fromkeys(row["kind"] for row in rows):
        alike = [row for row in rows if row["kind"] == kind]
        lines.append(_line(f"**mean of {len(alike)}: {kind}**", " | ", alike))
    return "\n".join(lines)


def _line(name: str, place: str, rows: Sequence[dict[str, Any]]) -> str:
    shown = (
        ("hard", "jump"),
        ("soft", "jump"),
        ("hard", "step"),
        ("soft", "step"),
        ("hard", "shifted_jump"),
        ("soft", "shifted_jump"),
        ("soft, matched", "shifted_jump"),
        ("soft", "colour"),
        ("soft, matched", "colour"),
    )
    means = (statistics.fmean(row["ways"][way][key] for row in rows) for way, key in shown)
    cells = [f"{round(mean, 2) + 0.0:.2f}" for mean in means]
    for key in ("outside", "unedited"):
        cells.append(f"{max(found[key] for row in rows for found in row['ways'].values()):.2g}")
    return f"| {name} | {place} | " + " | ".join(cells) + " |"


if __name__ == "__main__":
    raise SystemExit(main())
