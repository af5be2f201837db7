"""The synthetic protocol: edits of rendered test identities, measured against their exact answers.

For every identity one neutral, nearly frontal source picture is rendered and, for every job, the
exact answer: the same head, pose, light, backdrop and sensor noise with other action units. An
editor sees the source only. Errors are then free of any other model's noise.

Identities of seeds below 10,000 are test identities and never trained on. Their scenes are drawn
from a generator of their own, so they do not depend on how training draws its edit sets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from ..aus import AU_ORDER, DEMO_EDITS, AUDelta, AUVector
from ..errors import MagicFaceError
from .conditions import prepare_source
from .measure import Case, Clock, EditJob

if TYPE_CHECKING:
    from ..perception import Perception
    from ..preparation import Framing
    from ..synthetic import HeadModel

logger = logging.getLogger(__name__)

PROTOCOL_VERSION = 1
SINGLE_AU_STEP = 4.0
SCENE_STREAM = 53
"""First word of the seed of a test scene; training scenes use another."""
POSE_SPREAD = 12.0
"""Largest yaw of a source picture in degrees; pitch and roll stay below three quarters of it."""


class ProtocolError(MagicFaceError):
    """A protocol asked for what it cannot honestly measure."""


def synthetic_jobs() -> tuple[EditJob, ...]:
    """Every action unit alone by +4, then the demo's edits of two or more action units.

    The demo's edits of one action unit are the first kind already and would count twice.
    """
    singles = [
        EditJob(f"AU{unit}", "single", AUDelta(**{f"AU{unit}": SINGLE_AU_STEP}))
        for unit in AU_ORDER
    ]
    combinations = [
        EditJob(name, "combination", delta)
        for name, delta in DEMO_EDITS.items()
        if sum(value != 0 for value in delta.values) > 1
    ]
    return (*singles, *combinations)


def check_seeds(seed_start: int, identities: int, *, allow_train: bool = False) -> range:
    """The identity seeds of a run; seeds that were trained on are refused.

    Raises:
        ProtocolError: no identity asked for, a negative seed, or a training seed without
            ``allow_train``. Validation seeds steer training, so they draw a warning.
    """
    from ..synthetic import split_of

    if identities < 1 or seed_start < 0:
        raise ProtocolError(
            f"{identities} identities from seed {seed_start}: ask for at least 1 identity and a "
            "first seed of 0 or more"
        )
    seeds = range(seed_start, seed_start + identities)
    splits = {split_of(seed) for seed in (seeds[0], seeds[-1])}
    if "train" in splits and not allow_train:
        raise ProtocolError(
            f"identity seeds {seeds[0]} to {seeds[-1]} reach into the training split (20000 and "
            "up): results on them say nothing about new people; use seeds 0 to 9999, or "
            "--allow-train to measure the training error on purpose"
        )
    if splits != {"test"}:
        logger.warning(
            "identity seeds %d to %d are not all test seeds (0 to 9999)", seeds[0], seeds[-1]
        )
    return seeds


def synthetic_cases(
    seeds: Iterable[int],
    jobs: Sequence[EditJob],
    *,
    framing: Framing,
    head_model: HeadModel,
    perception: Perception,
    clock: Clock | None = None,
) -> Iterator[Case]:
    """Renders one identity after the other, source and exact answers, and prepares its condition.

    Deterministic: a case depends on its seed, the jobs and the framing only.
    """
    for seed in seeds:
        started = time.perf_counter()
        case = render_case(seed, jobs, framing, head_model, perception)
        (clock or Clock()).add("render", started)
        yield case


def render_case(
    seed: int,
    jobs: Sequence[EditJob],
    framing: Framing,
    head_model: HeadModel,
    perception: Perception,
) -> Case:
    """One identity: a neutral source picture and the exact answer to every job."""
    from ..images import to_tensor
    from ..synthetic import exact_edit, render, sample_identity, sample_scene

    size = framing.resolution
    identity = sample_identity(head_model, seed)
    frame = sample_scene(np.random.default_rng([SCENE_STREAM, seed]), pose=POSE_SPREAD)
    frame = exact_edit(frame, np.zeros(len(AU_ORDER), np.float32))
    source = prepare_source(seed, render(head_model, identity, frame, size), framing, perception)
    answers = []
    for job in jobs:
        target = np.asarray((AUVector() + job.delta).values, np.float32)
        answer = render(head_model, identity, exact_edit(frame, target), size)
        answers.append(to_tensor(answer.image))
    return Case(source, torch.cat(answers))
