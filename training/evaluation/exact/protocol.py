"""The synthetic protocol: edits of rendered test identities, measured against their exact answers.

Every identity is rendered in one nearly frontal scene with every expression that its jobs (see
`synthetic_jobs`) start from or ask for: the same head, pose, light, backdrop and sensor noise with
other action units. An editor sees the source of a job only; the picture asked for is the exact
answer. Errors are then free of any other model's noise.

Identities of seeds below 10,000 are test identities and never trained on. Their scenes are drawn
from a generator of their own, so they do not depend on how training draws its edit sets.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from magicface_core.aus import AUVector
from magicface_core.errors import MagicFaceError

from ..conditions import prepare_source
from .measure import Case, Clock
from .records import EditJob

if TYPE_CHECKING:
    from magicface_core.framing.framing import Framing
    from magicface_core.perception import Perception

    from ...synthetic import HeadModel, Rendering

logger = logging.getLogger(__name__)

PROTOCOL_VERSION = 2
SCENE_STREAM = 53
"""First word of the seed of a test scene; training scenes use another."""
POSE_SPREAD = 12.0
"""Largest yaw of a source picture in degrees; pitch and roll stay below three quarters of it."""


class ProtocolError(MagicFaceError):
    """A protocol asked for what it cannot honestly measure."""


def check_seeds(seed_start: int, identities: int, *, allow_train: bool = False) -> range:
    """The identity seeds of a run; seeds that were trained on are refused.

    Raises:
        ProtocolError: no identity asked for, a negative seed, or a training seed without
            ``allow_train``. Validation seeds steer training, so they draw a warning.
    """
    from ...synthetic import split_of

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
    """Renders one identity after the other, sources and exact answers, and prepares conditions.

    One case for every expression that jobs start from, in the order of the jobs. Deterministic: a
    case depends on its seed, its jobs and the framing only.
    """
    for seed in seeds:
        started = time.perf_counter()
        cases = identity_cases(seed, jobs, framing, head_model, perception)
        (clock or Clock()).add("render", started)
        yield from cases


def identity_cases(
    seed: int,
    jobs: Sequence[EditJob],
    framing: Framing,
    head_model: HeadModel,
    perception: Perception,
) -> list[Case]:
    """The sources of one identity, each with the exact answers to its jobs; no picture twice."""
    from magicface_core.pictures.images import to_tensor

    from ...synthetic import exact_edit, sample_identity, sample_scene
    from ...synthetic.picture.render import render

    identity = sample_identity(head_model, seed)
    scene = sample_scene(np.random.default_rng([SCENE_STREAM, seed]), pose=POSE_SPREAD)

    @cache
    def picture(shown: AUVector) -> Rendering:
        frame = exact_edit(scene, np.asarray(shown.values, np.float32))
        return render(head_model, identity, frame, framing.resolution)

    cases = []
    for shown in dict.fromkeys(job.source for job in jobs):
        own = tuple(job for job in jobs if job.source == shown)
        before, after = picture(shown), [picture(job.target) for job in own]
        source = prepare_source(seed, before, framing, perception)
        answers = torch.cat([to_tensor(answer.image) for answer in after])
        still = np.stack([_still(before, answer) for answer in after])
        cases.append(Case(source, answers, own, torch.from_numpy(still), before.points5[:2]))
    return cases


def _still(source: Rendering, answer: Rendering) -> np.ndarray:
    """Bool [1,R,R]: outside both faces, and equal in both pictures."""
    equal: np.ndarray = (source.image == answer.image).all(-1)
    still: np.ndarray = equal & ~source.edit_mask & ~answer.edit_mask
    return still[None]
