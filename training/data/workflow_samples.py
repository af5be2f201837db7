"""Draw the sample pictures of the workflow templates.

``python -m magicface_training.data.workflow_samples web/samples``: the shipped portrait as a JPEG,
another person who smiles, and a short clip of a third who turns the head. Test identities, which
no training run may use.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path

import numpy as np
from PIL import Image

from magicface_core.aus import AU_ORDER
from magicface_core.files import whole_file

from ..synthetic import HeadModel, sample_frame, sample_identity
from ..synthetic.picture.render import render
from .portrait import studio_light

SMILING_IDENTITY = 47
SMILE = {6: 2.0, 12: 4.0, 25: 2.0}
TURNING_IDENTITY = 60
YAWS = (-5.0, -3.0, -1.0, 1.0, 3.0, 5.0)
FRAME_MILLISECONDS = 160


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="workflow_samples", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args(argv).folder
    folder.mkdir(parents=True, exist_ok=True)
    save_jpeg(shipped_portrait(), folder / "magicface_portrait.jpg")
    model = HeadModel.load()
    smile = draw(model, SMILING_IDENTITY, SMILE, yaw=5.0, size=512, backdrop=19)
    save_jpeg(smile, folder / "magicface_smile.jpg")
    frames = [draw(model, TURNING_IDENTITY, {}, yaw, size=384, backdrop=9) for yaw in YAWS]
    with whole_file(folder / "magicface_frames.webp") as unfinished:
        frames[0].save(
            unfinished,
            "WEBP",
            save_all=True,
            append_images=frames[1:],
            duration=FRAME_MILLISECONDS,
            quality=88,
            method=6,
        )
    return 0


def shipped_portrait() -> Image.Image:
    """The portrait of the package."""
    path = resources.files("magicface_core").joinpath("assets/portrait.png")
    with path.open("rb") as file, Image.open(file) as picture:
        return picture.convert("RGB")


def draw(
    model: HeadModel,
    identity: int,
    intensities: Mapping[int, float],
    yaw: float,
    size: int,
    backdrop: int,
) -> Image.Image:
    """A portrait in studio light, the head turned by `yaw` degrees; intensities 0..5 by unit."""
    au = np.array([intensities.get(unit, 0.0) for unit in AU_ORDER], np.float32)
    frame = replace(
        sample_frame(np.random.default_rng([71, identity]), au=au),
        pose=np.array([yaw, 1.0, 0.0], np.float32),
        body_yaw=yaw / 2,
        gaze=(0.0, 0.0),
        light=studio_light(),
        zoom=1.0,
        shift=(0.0, 0.02),
        field_of_view=18.0,
        backdrop_seed=backdrop,
    )
    return Image.fromarray(render(model, sample_identity(model, identity), frame, size).image)


def save_jpeg(picture: Image.Image, path: Path) -> None:
    with whole_file(path) as unfinished:
        picture.save(unfinished, "JPEG", quality=93, subsampling=0, optimize=True)


if __name__ == "__main__":
    raise SystemExit(main())
