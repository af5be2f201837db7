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

from ..conditions import prepare_source
from ..identities import POSE_SPREAD, SCENE_STREAM
from ..records import EditJob
from .measure import Case, Clock

if TYPE_CHECKING:
    from magicface_core.framing.framing import Framing
    from magicface_core.perception import Perception

    from ...synthetic import HeadModel, Rendering

logger = logging.getLogger(__name__)

PROTOCOL_VERSION = 2


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
