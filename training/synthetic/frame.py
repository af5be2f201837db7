"""One picture of an identity: expression, pose, camera, light and backdrop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from magicface_core.aus import AU_ORDER
from magicface_core.errors import AUError

from .numerics import Array

MAX_INTENSITY = 5.0


@dataclass(frozen=True, eq=False)
class Light:
    """Key light, fill light and surroundings; angles in degrees, colours linear RGB [3] float32."""

    key_azimuth: float
    key_elevation: float
    key_colour: Array
    fill_azimuth: float
    fill_elevation: float
    fill_colour: Array
    sky: Array
    ground: Array
    exposure: float
    shadow_softness: float


@dataclass(frozen=True, eq=False)
class Frame:
    """Everything that may differ between two pictures of one identity."""

    au: Array
    """[12] intensities 0..5 in the order of `AU_ORDER`, float32."""
    pose: Array
    """[3] degrees, float32: yaw to the subject's left, pitch down, roll to the left shoulder."""
    noise_seed: int
    """Seed of the sensor noise."""
    asymmetry: Array
    """[12, 2] gain of each action unit on the subject's left and right side, about 1."""
    gaze: tuple[float, float]
    """Degrees sideways and up, relative to the head."""
    body_yaw: float
    """Yaw of the shoulders in degrees."""
    field_of_view: float
    """Degrees."""
    zoom: float
    """1 frames the head with some room, larger is closer."""
    shift: tuple[float, float]
    """Offset of the face right and down, as a share of the picture."""
    light: Light
    backdrop_seed: int
    blink: float = 0.0
    """0 open eyes, 1 closed."""


def exact_edit(frame: Frame, au: Array) -> Frame:
    """The frame with other intensities [12] (0..5) and all else equal, sensor noise included.

    Rendered, it is the exact answer to the edit ``au - frame.au``. Raises AUError where ``au`` is
    not twelve numbers in range.
    """
    intensities = np.asarray(au, np.float32)
    if intensities.shape != (len(AU_ORDER),):
        raise AUError(
            f"intensities have shape {intensities.shape}; give {len(AU_ORDER)} numbers, "
            "one for each action unit in AU_ORDER"
        )
    if not np.all((intensities >= 0) & (intensities <= MAX_INTENSITY)):
        raise AUError(f"intensities {intensities.tolist()} leave 0..5; keep each within 0..5")
    return replace(frame, au=intensities)
