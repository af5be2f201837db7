"""One head model for all tests of the synthetic portraits, and a plain frontal frame."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from magicface_training.synthetic import (
    Frame,
    HeadModel,
    Identity,
    Rendering,
    edit_set_rng,
    sample_identity,
    sample_scene,
)
from magicface_training.synthetic.picture.render import render

SEEDS = (3, 4, 12)


@pytest.fixture(scope="session")
def model() -> HeadModel:
    return HeadModel.load()


@pytest.fixture(scope="session")
def identities(model: HeadModel) -> list[Identity]:
    return [sample_identity(model, seed) for seed in SEEDS]


@pytest.fixture(scope="session")
def frontal() -> Frame:
    """Neutral, straight ahead, symmetric."""
    return replace(
        sample_scene(edit_set_rng(3)),
        pose=np.zeros(3, np.float32),
        gaze=(0.0, 0.0),
        body_yaw=0.0,
        shift=(0.0, 0.0),
        zoom=1.1,
        asymmetry=np.ones((12, 2), np.float32),
    )


@pytest.fixture(scope="session")
def renderings(model: HeadModel, identities: list[Identity], frontal: Frame) -> list[Rendering]:
    """The frontal frame of every identity at 128 pixels."""
    return [render(model, identity, frontal, 128) for identity in identities]
