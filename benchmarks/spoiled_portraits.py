"""Pictures with one thing wrong each, for ``preflight_rates.py``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from magicface_training.synthetic import FaceClass
from torch import Tensor

from magicface_core.perception import Face
from magicface_core.perception.segmentation import OVAL, SKIN, polygon_mask
from magicface_core.pictures.resampling import gaussian_blur, resample

SIZE = 512
GRAIN = 0.006

# What a mask covers: over the nose, along the jaw.
LOWER_FACE = (6, 118, 123, 93, 132, 58, 136, 150, 176, 152, 400, 379, 365, 288, 361, 323, 352, 347)


@dataclass(frozen=True)
class Sample:
    """A rendered picture [1,3,512,512], its labels, and its face."""

    picture: Tensor
    classes: np.ndarray
    pose: np.ndarray
    glasses: bool
    face: Face

    @property
    def hair(self) -> float:
        """Share of the face's oval that hair covers."""
        oval = polygon_mask(self.face.mesh[list(OVAL), :2], (SIZE, SIZE))[0, 0].numpy()
        return float((oval & (self.classes == FaceClass.HAIR)).sum() / oval.sum())


@dataclass(frozen=True)
class Spoiling:
    """A way to spoil pictures, and the check that should notice."""

    name: str
    check: str
    spoil: Callable[[Sample], Tensor]


def blurred(pixels: float) -> Callable[[Sample], Tensor]:
    """Out of focus, with the grain that a camera adds afterwards."""
    return lambda sample: _grainy(gaussian_blur(sample.picture, pixels))


def exposed(stops: float) -> Callable[[Sample], Tensor]:
    """More or less light, through the sRGB curve."""

    def spoil(sample: Sample) -> Tensor:
        linear = torch.where(
            sample.picture <= 0.04045,
            sample.picture / 12.92,
            ((sample.picture + 0.055) / 1.055) ** 2.4,
        )
        light = (linear * 2**stops).clamp(0, 1)
        return torch.where(
            light <= 0.0031308, 12.92 * light, 1.055 * light.clamp_min(1e-9) ** (1 / 2.4) - 0.055
        )

    return spoil


def reduced(width: float) -> Callable[[Sample], Tensor]:
    """Smaller, until the face is so many pixels wide."""

    def spoil(sample: Sample) -> Tensor:
        size = round(SIZE * width / sample.face.width)
        return resample(sample.picture, np.diag([SIZE / size, SIZE / size, 0.0])[:2], (size, size))

    return spoil


def pillarboxed(share: float) -> Callable[[Sample], Tensor]:
    """Black bars left and right, each of a share of the width, in the square around the face."""

    def spoil(sample: Sample) -> Tensor:
        spoiled = sample.picture.clone()
        bar = round(share * SIZE)
        spoiled[..., :bar] = 0
        spoiled[..., SIZE - bar :] = 0
        return spoiled

    return spoil


def turned(degrees: float) -> Callable[[Sample], Tensor]:
    """Turned, the corners filled with black."""

    def spoil(sample: Sample) -> Tensor:
        angle = np.radians(degrees)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        middle = np.full(2, SIZE / 2)
        matrix = np.column_stack([turn, middle - turn @ middle])
        return resample(sample.picture, matrix, (SIZE, SIZE), padding="zeros")

    return spoil


def close_up(sample: Sample) -> Tensor:
    """The face alone, its box four fifths of the frame."""
    x, y = sample.face.mesh[:468, :2].mean(0)
    side = round(sample.face.width * 1.025 / 0.8)
    left, top = (int(np.clip(place - side / 2, 0, SIZE - side)) for place in (x, y))
    return sample.picture[..., top : top + side, left : left + side]


def cut_at_the_mouth(sample: Sample) -> Tensor:
    """Without what lies below the mouth."""
    return sample.picture[..., : int(sample.face.points5[3:, 1].mean()), :]


def masked(colour: tuple[float, float, float] | None) -> Callable[[Sample], Tensor]:
    """A mask over mouth and nose; None for the skin's own colour, like a hand's."""

    def spoil(sample: Sample) -> Tensor:
        size, points = (SIZE, SIZE), sample.face.mesh[:, :2]
        area = polygon_mask(points[list(LOWER_FACE)], size).float()
        cheek = polygon_mask(points[list(SKIN[0])], size)[0, 0]
        paint = torch.tensor(colour) if colour else sample.picture[0][:, cheek].median(1).values
        shade = torch.linspace(1.1, 0.8, SIZE).view(1, 1, 1, SIZE)
        cover = _grainy(paint.view(1, 3, 1, 1) * shade.expand(1, 3, SIZE, SIZE))
        return sample.picture * (1 - area) + cover * area

    return spoil


def beside(sample: Sample) -> Tensor:
    """The same person twice."""
    return torch.cat([sample.picture, sample.picture.flip(-1)], -1)


SPOILINGS: tuple[Spoiling, ...] = (
    Spoiling("two faces", "several faces", beside),
    Spoiling("face 90 pixels wide", "face width", reduced(90)),
    Spoiling("face fills 4/5 of the frame", "face share", close_up),
    Spoiling("cut off below the mouth", "cut off", cut_at_the_mouth),
    Spoiling("black bars, 10 % each", "black areas", pillarboxed(0.10)),
    Spoiling("turned 20 degrees, black corners", "black areas", turned(20)),
    Spoiling("blur 1.5 pixels", "blur", blurred(1.5)),
    Spoiling("blur 2.5 pixels", "blur", blurred(2.5)),
    Spoiling("three stops too dark", "brightest part", exposed(-3)),
    Spoiling("two stops too bright", "burnt out", exposed(2)),
    Spoiling("mask, light blue", "covered", masked((0.45, 0.65, 0.80))),
    Spoiling("mask, black", "covered", masked((0.10, 0.10, 0.12))),
    Spoiling("mask, white", "covered", masked((0.90, 0.90, 0.92))),
    Spoiling("hand (colour of the skin)", "covered", masked(None)),
)


def _grainy(picture: Tensor) -> Tensor:
    noise = torch.randn(picture.shape, generator=torch.Generator().manual_seed(0))
    return (picture + GRAIN * noise).clamp(0, 1)
