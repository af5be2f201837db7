"""Very large pictures: searched on a smaller copy, placed on the original."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from magicface_core.perception import Detection, Face, Perception

STACK = "magicface_core.perception.stack"


class Watching:
    """A detector that finds nothing and remembers the sizes it was shown."""

    def __init__(self) -> None:
        self.sizes: list[tuple[int, int]] = []

    def detect(self, image: torch.Tensor, turn: float = 0.0) -> list[Detection]:
        self.sizes.append((image.shape[-2], image.shape[-1]))
        return []


@pytest.mark.parametrize(
    ("size", "searched"),
    [
        ((4096, 50), (4096, 50)),
        ((4097, 50), (2049, 25)),
        ((60, 8192), (30, 4096)),
        ((30, 20000), (6, 4000)),
        ((1, 9000), (1, 3000)),
    ],
)
def test_only_a_copy_of_a_large_picture_is_searched(
    size: tuple[int, int], searched: tuple[int, int]
) -> None:
    perception = Perception()
    watching = Watching()
    perception.detector = watching
    assert perception.faces(torch.zeros(1, 3, *size)) == []
    assert set(watching.sizes) == {searched}


@pytest.mark.parametrize(("sharp_enough", "tolerance"), [(1000.0, 1.0), (0.0, 4.0)])
def test_faces_found_on_a_copy_lie_on_the_original(
    monkeypatch: pytest.MonkeyPatch,
    perception: Perception,
    photo: torch.Tensor,
    face: Face,
    sharp_enough: float,
    tolerance: float,
) -> None:
    monkeypatch.setattr(f"{STACK}.LONGEST_SEARCHED", 200)
    monkeypatch.setattr(f"{STACK}.SHARP_ENOUGH", sharp_enough)
    (found,) = perception.faces(photo)
    assert np.linalg.norm(found.mesh[:, :2] - face.mesh[:, :2], axis=1).mean() < tolerance
    assert found.width == pytest.approx(face.width, rel=0.05)
    assert np.abs(found.box - face.box).max() < 0.1 * face.width
    assert np.abs(found.keypoints - face.keypoints).max() < 0.1 * face.width
    assert found.presence > 0.9


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's memory counters")
def test_memory_is_bounded() -> None:
    """A flat picture of 8192 x 8192 (0.8 GB): searched four ways up, with little more memory."""
    code = """
import json, resource
import torch
from magicface_core.perception import Perception
perception = Perception.load()
perception.faces(torch.zeros(1, 3, 64, 64))
picture = torch.full((1, 3, 8192, 8192), 0.4)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
faces = perception.faces(picture)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"faces": len(faces), "gigabytes": (after - before) / 1e6}))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    report = json.loads(ran.stdout)
    assert report["faces"] == 0
    assert report["gigabytes"] < 1.0
