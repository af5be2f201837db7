"""Aligned faces with exact labels, from which regressors of action units learn."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from magicface_core.aus import AU_ORDER
from magicface_core.pictures.images import to_tensor

from .data.edit_sets import EditSets
from .data.errors import DataError
from .evaluation.exact.au_regressor import face_chips
from .synthetic import HeadModel, exact_edit, sample_expression, sample_identity, sample_scene
from .synthetic.picture.render import render
from .synthetic.picture.tracks import eye_weights

logger = logging.getLogger(__name__)
SCENE_STREAM = 71
POSE = 15.0
"""Largest yaw in degrees, a little beyond that of test scenes."""
SIZE = 128
SINGLES, PAIRS, MIXTURES = 6, 2, 3
UNITS = len(AU_ORDER)


@dataclass(frozen=True)
class Faces:
    """Chips [n,E,3,80,80] uint8 of n people with E expressions in one scene, labels [n,E,12]."""

    chips: Tensor
    aus: Tensor

    def of(self, chosen: Tensor) -> Faces:
        """Those where ``chosen`` [n] bool says so."""
        return Faces(self.chips[chosen], self.aus[chosen])


def render_faces(model: HeadModel, seeds: range) -> Faces:
    """One scene of every person, with the expressions of `draw_expressions`."""
    chips, labels = [], []
    for number, seed in enumerate(seeds, 1):
        rng = np.random.default_rng([SCENE_STREAM, seed])
        identity, scene = sample_identity(model, seed), sample_scene(rng, pose=POSE)
        expressions = draw_expressions(rng)
        shown = [render(model, identity, exact_edit(scene, au), SIZE) for au in expressions]
        pictures = torch.cat([to_tensor(one.image) for one in shown])
        found = face_chips(pictures, shown[0].points5[:2])
        chips.append((255 * found).round().byte())
        labels.append(torch.from_numpy(np.stack(expressions)))
        if number % 20 == 0 or number == len(seeds):
            logger.info("rendered %d of %d people", number, len(seeds))
    return Faces(torch.stack(chips), torch.stack(labels))


def draw_expressions(rng: np.random.Generator) -> list[np.ndarray]:
    """Neutral, six units alone, two random pairs, three random expressions; [12] each."""
    drawn = np.zeros((1 + SINGLES + PAIRS, UNITS), np.float32)
    singles, pairs = drawn[1 : 1 + SINGLES], drawn[1 + SINGLES :]
    for au, unit in zip(singles, rng.permutation(UNITS)[:SINGLES], strict=True):
        au[unit] = rng.uniform(1, 5)
    for au in pairs:
        intensities = rng.uniform(1, 5, 2)
        au[rng.choice(UNITS, 2, replace=False)] = intensities
    return [*drawn, *(sample_expression(rng) for _ in range(MIXTURES))]


def edit_set_faces(sets: EditSets) -> Faces:
    """Every scene of rendered edit sets; people keep their order, and their scenes stay together.

    Raises:
        DataError: the sets have no points, which tell where the eyes are.
    """
    if sets.points is None:
        raise DataError(f"the shards in {sets.folder} have no points; render them again")
    weights = eye_weights(HeadModel.load()).numpy()
    shape = (len(sets) * sets.scenes, sets.expressions)
    points = sets.points.reshape(*shape, -1, 2)[:, 0].astype(np.float32)
    eyes = (weights @ points + 1) / 2 * sets.size
    pictures = sets.image.reshape(*shape, *sets.image.shape[2:])
    found = [
        (255 * face_chips(torch.from_numpy(scene).float() / 255, at)).round().byte()
        for scene, at in zip(pictures, eyes, strict=True)
    ]
    return Faces(torch.stack(found), torch.from_numpy(sets.au.reshape(*shape, UNITS)))
