"""How often the checks of ``magicface doctor PHOTO`` are right, on faces with exact answers.

Rendered heads of the test split, which were not used to choose the limits: as they are, and each
spoiled in one way (``spoiled_portraits.py``). A hit is a spoiled picture with the check's warning,
a false alarm the warning on a picture where the renderer's own labels say that nothing is wrong.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import islice

import numpy as np
import torch
from magicface_training.synthetic import (
    Frame,
    HeadModel,
    Identity,
    sample_frame,
    sample_identity,
    split_seeds,
)
from magicface_training.synthetic.picture.render import render
from spoiled_portraits import SIZE, SPOILINGS, Sample

from magicface_core.perception import Perception
from magicface_core.pictures.images import to_tensor
from magicface_core.preflight.checks import PreflightReport, preflight
from magicface_core.preflight.rules import RULES

STREAM = 97
"""First word of the random stream of these pictures."""

FIRST_PICTURE, FIRST_WITH_GLASSES, FIRST_UNDER_HAIR = 0, 5_000, 6_000
POSE, POSE_UNDER_HAIR = 25.0, 45.0
HAIR = "hair over 5 % or more"
TURNED = {
    "turned 45 degrees aside": ("yaw", (45, 0, 0)),
    "turned 65 degrees aside": ("yaw", (65, 0, 0)),
    "lowered 40 degrees": ("pitch", (0, 40, 0)),
}
HAIR_SHARE = (0.02, 0.05)
"""Hair over less of the face's oval is none; more is to be found; in between nothing is asked."""


class Rates:
    """Counts of warnings by row of the table."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, str], list[bool]] = {}

    def add(self, check: str, name: str, report: PreflightReport | None) -> None:
        """A picture counts as noticed, too, where no face is found in it (any more)."""
        checks = () if report is None else report.checks
        found = {entry.name: entry.level != "ok" for entry in checks}
        self.rows.setdefault((check, name), []).append(found.get(check, True))

    def table(self) -> list[dict[str, object]]:
        """Rows with how many pictures and how many warnings, in the order of the checks."""
        order = [rule.name for rule in RULES]
        rows = sorted(self.rows.items(), key=lambda row: order.index(row[0][0]))
        return [
            {"check": check, "pictures": name, "count": len(flags), "warned": sum(flags)}
            for (check, name), flags in rows
        ]


def measure(faces: int, with_glasses: int, under_hair: int) -> list[dict[str, object]]:
    """All rows: good pictures under "nothing wrong", then spoiled ones by their spoiling."""
    model, perception, rates = HeadModel.load(), Perception.load(models=()), Rates()
    for identity, frame in _portraits(model, faces):
        sample = _sample(model, identity, frame, perception)
        if sample is not None:
            _measure_sample(sample, perception, rates)
        for name, (check, pose) in TURNED.items():
            aside = replace(frame, pose=np.array(pose, np.float32))
            rates.add(check, name, _report(_sample(model, identity, aside, perception), perception))
    for sample in _with_glasses(model, with_glasses, perception):
        rates.add("glasses", "glasses", preflight(sample.picture, perception))
    for sample in _under_hair(model, under_hair, perception):
        rates.add("covered", HAIR, preflight(sample.picture, perception))
    return rates.table()


def _measure_sample(sample: Sample, perception: Perception, rates: Rates) -> None:
    report = preflight(sample.picture, perception)
    true = {
        "glasses": sample.glasses,
        "yaw": abs(sample.pose[0]) > 30,
        "pitch": abs(sample.pose[1]) > 25,
        "roll": abs(sample.pose[2]) > 25,
        "covered": sample.hair > HAIR_SHARE[0],
    }
    for rule in RULES:
        if not true.get(rule.name, False):
            rates.add(rule.name, "nothing wrong", report)
    for spoiling in SPOILINGS:
        if not true.get(spoiling.check, False):
            report = preflight(spoiling.spoil(sample), perception)
            rates.add(spoiling.check, spoiling.name, report)


def _report(sample: Sample | None, perception: Perception) -> PreflightReport | None:
    return None if sample is None else preflight(sample.picture, perception)


def _portraits(
    model: HeadModel, count: int | None, first: int = FIRST_PICTURE, pose: float = POSE
) -> Iterator[tuple[Identity, Frame]]:
    for seed in split_seeds("test", first, count):
        frame = sample_frame(np.random.default_rng([STREAM, seed]), pose=pose)
        yield sample_identity(model, seed), frame


def _with_glasses(model: HeadModel, count: int, perception: Perception) -> Iterator[Sample]:
    """The first test identities with glasses, about one in nine."""
    found = (
        _sample(model, identity, frame, perception)
        for identity, frame in _portraits(model, None, FIRST_WITH_GLASSES)
        if identity.appearance.glasses is not None
    )
    return islice((sample for sample in found if sample is not None), count)


def _under_hair(model: HeadModel, count: int, perception: Perception) -> Iterator[Sample]:
    """The first test identities with hair hanging over a good part of the face."""
    found = (
        _sample(model, identity, frame, perception)
        for identity, frame in _portraits(model, None, FIRST_UNDER_HAIR, POSE_UNDER_HAIR)
        if identity.appearance.hair_style in ("long", "bob")
    )
    covered = (sample for sample in found if sample is not None and sample.hair > HAIR_SHARE[1])
    return islice(covered, count)


def _sample(
    model: HeadModel, identity: Identity, frame: Frame, perception: Perception
) -> Sample | None:
    rendering = render(model, identity, frame, size=SIZE)
    picture = to_tensor(rendering.image)
    face = next(iter(perception.faces(picture, limit=1)), None)
    if face is None:
        return None
    glasses = identity.appearance.glasses is not None
    return Sample(picture, rendering.classes, rendering.pose, glasses, face)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", type=int, default=60, help="default: 60")
    parser.add_argument("--glasses", type=int, default=30, help="faces with glasses; default: 30")
    parser.add_argument("--hair", type=int, default=20, help="faces under hair; default: 20")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads (default: its own)")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    with torch.no_grad():
        rows = measure(args.faces, args.glasses, args.hair)
    for row in rows:
        rate = f"{row['warned']:>4} of {row['count']:<4}"
        print(f"{row['check']:<15} {row['pictures']:<34} {rate}")
    print(json.dumps(rows))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
