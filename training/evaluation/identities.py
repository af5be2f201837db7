"""Whose faces a run edits: a folder of pictures, or rendered test identities, each with its hash.

Both go through the same preparation as any photograph, so two checkpoints with crops of their own
are measured on the same pictures.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from PIL import Image

from magicface_core.errors import FaceTooSmallError, MagicFaceError, NoFaceError
from magicface_core.files import file_sha256
from magicface_core.framing.framing import Framing
from magicface_core.framing.preparation import Prepared, prepare
from magicface_core.pictures.images import load_image
from magicface_core.pictures.resampling import reduce_to

from .editor import EditSource
from .records import EvaluationError

if TYPE_CHECKING:
    from magicface_core.perception import Perception

    from ..synthetic import HeadModel

IdentityKind = Literal["picture", "synthetic"]

PICTURE_ENDINGS = frozenset((".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".avif"))
RENDERED_SIZE = 640
RENDERED_ZOOM = 0.85
"""Of the zoom that a scene draws: room around the head for the framing of every checkpoint."""


@dataclass(frozen=True)
class Identity:
    """One face: a name safe for files, and how to get its picture.

    `sha256` is that of a picture file's bytes; a rendering has it of its pixels once it is drawn,
    and "" before. `seed` starts the noise of its edits: it follows from the face alone, not from
    its place in the list.
    """

    name: str
    kind: IdentityKind
    seed: int
    sha256: str
    load: Callable[[], Image.Image]


@dataclass(frozen=True)
class PreparedIdentity:
    """An identity as an editor sees it (`source`), and what its edits are pasted into.

    The identity has its hash; source and prepared are None where no face large enough was found.
    """

    identity: Identity
    source: EditSource | None
    prepared: Prepared | None


def prepare_identity(
    identity: Identity, framing: Framing, perception: Perception
) -> PreparedIdentity:
    """The crop, condition and mask of the largest face, as inference makes them.

    Raises:
        ImageError: a file that is no picture.
    """
    picture = identity.load()
    if not identity.sha256:
        identity = replace(identity, sha256=hashlib.sha256(picture.tobytes()).hexdigest())
    try:
        prepared = prepare(picture, perception, framing)
    except (NoFaceError, FaceTooSmallError):
        return PreparedIdentity(identity, None, None)
    mask = reduce_to(prepared.background.mask, framing.resolution)
    source = EditSource(
        identity.seed, prepared.model_input, prepared.condition, mask, prepared.face
    )
    return PreparedIdentity(identity, source, prepared)


def picture_identities(folder: Path, count: int | None = None) -> tuple[Identity, ...]:
    """The pictures of a folder by name, the first `count` of them (default: all).

    Raises:
        EvaluationError: no such folder, no or too few pictures in it, or a picture twice, which
            would count one person as two.
    """
    if not folder.is_dir():
        raise EvaluationError(f'"{folder}" is not a folder; --pictures wants one with pictures.')
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURE_ENDINGS)
    if not files or len(files) < (count or 0):
        raise EvaluationError(
            f'"{folder}" holds {len(files)} pictures ({", ".join(sorted(PICTURE_ENDINGS))}); '
            f"at least {count or 1} needed."
        )
    found: dict[str, Identity] = {}
    for path in files[:count]:
        identity = _picture_identity(path)
        if identity.sha256 in found:
            raise EvaluationError(
                f'"{path}" is the same picture as another one of its folder; take one away.'
            )
        found[identity.sha256] = identity
    return tuple(found.values())


def _picture_identity(path: Path) -> Identity:
    digest = file_sha256(path)
    words = re.sub(r"[^A-Za-z0-9._]+", "-", path.stem).strip("-.")[:60]
    name = f"{words or 'picture'}-{digest[:8]}"
    return Identity(name, "picture", int(digest[:12], 16), digest, partial(load_image, path))


def synthetic_identities(start: int, count: int) -> tuple[Identity, ...]:
    """Rendered portraits of test identities, each in a scene and with an expression of its own.

    Deterministic from the seed alone, whatever the checkpoint.

    Raises:
        ProtocolError: seeds that were trained on, or none (see `check_seeds`).
    """

    renderer = _Renderer()
    return tuple(
        Identity(f"synthetic-test-{seed:05d}", "synthetic", seed, "", partial(renderer.draw, seed))
        for seed in check_seeds(start, count)
    )


class _Renderer:
    """Draws portraits; the head model takes seconds to load and is loaded for the first only."""

    @cached_property
    def head_model(self) -> HeadModel:
        from ..synthetic import HeadModel

        return HeadModel.load()

    def draw(self, seed: int) -> Image.Image:
        return render_portrait(seed, self.head_model)


def render_portrait(seed: int, head_model: HeadModel) -> Image.Image:
    """The 640 x 640 portrait that a seed stands for."""
    from ..synthetic import sample_frame, sample_identity
    from ..synthetic.picture.render import render

    frame = sample_frame(np.random.default_rng([SCENE_STREAM, seed]), pose=POSE_SPREAD)
    frame = replace(frame, zoom=RENDERED_ZOOM * frame.zoom)
    identity = sample_identity(head_model, seed)
    return Image.fromarray(render(head_model, identity, frame, RENDERED_SIZE).image)


logger = logging.getLogger(__name__)

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
