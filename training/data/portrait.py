"""Render the portrait that ships: ``python -m magicface_training.data.portrait OUT.png``.

A test identity, which no training run may use, in plain studio light.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from magicface_core.pictures.images import save_image

from ..synthetic import Frame, HeadModel, Light, sample_frame, sample_identity
from ..synthetic.picture.render import render

IDENTITY = 21
BACKDROP = 7
SIZE = 512


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="portrait", description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    args = parser.parse_args(argv)
    model = HeadModel.load()
    rendering = render(model, sample_identity(model, IDENTITY), studio_frame(), SIZE)
    save_image(rendering.image, args.out)
    return 0


def studio_frame() -> Frame:
    """A neutral face turned slightly, lit by a large key light from the upper right."""
    frame = sample_frame(np.random.default_rng([71, IDENTITY]), au=np.zeros(12, np.float32))
    return replace(
        frame,
        pose=np.array([-6.0, 2.0, 0.0], np.float32),
        body_yaw=-3.0,
        gaze=(0.0, 0.0),
        light=studio_light(),
        zoom=1.0,
        shift=(0.0, 0.02),
        field_of_view=18.0,
        backdrop_seed=BACKDROP,
    )


def studio_light() -> Light:
    """Warm key light, cool fill light, grey surroundings."""
    return Light(
        key_azimuth=28.0,
        key_elevation=32.0,
        key_colour=np.array([0.95, 0.9215, 0.874], np.float32),
        fill_azimuth=-70.0,
        fill_elevation=15.0,
        fill_colour=np.array([0.22, 0.24, 0.28], np.float32),
        sky=np.array([0.34, 0.34, 0.36], np.float32),
        ground=np.array([0.16, 0.15, 0.14], np.float32),
        exposure=1.08,
        shadow_softness=0.8,
    )


if __name__ == "__main__":
    raise SystemExit(main())
