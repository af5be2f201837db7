"""From videos to a folder of shards.

    SHARDS/manifest.json              written last; without it the folder is not whole
    SHARDS/train/shard-00000.parquet  and validation/, test/
    SHARDS/rejected.parquet           every frame and video that gave nothing, with the reason
    SHARDS/card/                      what the data look like
    SHARDS/frames/                    a file for each video; may be removed, and is then made anew

Shards are written aside and moved into place when all are whole, so a run that fails leaves those
of an earlier run as they were.
"""

from __future__ import annotations

import importlib.metadata
import json
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

import magicface_core
from magicface_core.files import UNFINISHED

from ..claim import claim_folder
from ..folders import STAGING, make_folder, replace_folder, staging_folder
from ..videos.records import LIMITS, Video, VideoSettings
from .candidates import enlargement
from .card import write_card
from .errors import ShardError, require
from .frames_store import FrameStore, VideoRecord
from .manifest import FILE_NAME, Manifest, write_manifest
from .pair_settings import PairSettings
from .pairing import Choice, choose_pairs, count_lost_pairs
from .rejections import Failure, write_rejected
from .splitting import SPLITS, SplitSettings, split_identities
from .tasks import TaskFunction, TaskOutcome, VideoTask, prepare_one
from .writing import Labels, PairReader, Shard, write_split

logger = logging.getLogger(__name__)

FRAMES, REJECTED = "frames", "rejected.parquet"
LEFTOVERS = (f"{STAGING}*", UNFINISHED, f"{FRAMES}/{UNFINISHED}")  # of runs that were killed
VERSIONED = ("av", "numpy", "pillow", "pyarrow", "torch")
MEGABYTE = 1 << 20
RAISED = frozenset({"maximum_yaw", "maximum_outside", "maximum_occlusion", "identity_distance"})
ENLARGEMENTS = (1.0, 1.5, 2.0)
MOST_ADVICE = 4  # limits that a message names
Watch = Callable[[Iterator[TaskOutcome], int], Iterable[TaskOutcome]]


class Engine(Protocol):
    """What runs tasks: gives one outcome for each, in any order, whatever happens to workers."""

    def run(self, function: TaskFunction, tasks: Sequence[VideoTask]) -> Iterator[TaskOutcome]:
        """Run a function on each task."""


@dataclass(frozen=True)
class PrepareSettings:
    """Everything that decides what the shards hold, beside the videos.

    licence          under which the videos may be used; must be given
    consent          what the people shown agreed to
    shard_megabytes  of pictures after which a shard is closed
    """

    licence: str
    consent: str = "not stated"
    video: VideoSettings = field(default_factory=VideoSettings)
    pairs: PairSettings = field(default_factory=PairSettings)
    split: SplitSettings = field(default_factory=SplitSettings)
    shard_megabytes: int = 512
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.licence.strip():
            raise ShardError("The licence of the videos is empty; say under which you use them.")
        if self.shard_megabytes < 1:
            raise ShardError(f"shard_megabytes is {self.shard_megabytes}; choose 1 or more.")
        if self.seed < 0:
            raise ShardError(f"seed is {self.seed}; choose 0 or more.")

    def resolved(self) -> PrepareSettings:
        """With the backends that "auto" stands for on this machine. Raises ModelError."""
        from ..videos.prepare import resolved

        return replace(self, video=resolved(self.video))


@dataclass(frozen=True)
class _Frames:
    """What the videos gave: records without their rejections, and why others have none."""

    store: FrameStore
    records: Mapping[str, VideoRecord]
    failures: Mapping[str, Failure]

    def of_identities(self) -> dict[str, list[str]]:
        """The videos with frames of each identity."""
        videos: dict[str, list[str]] = {}
        for record in self.records.values():
            if record.frames:
                videos.setdefault(record.identity_id, []).append(record.video_id)
        return videos


def prepare(
    videos: Sequence[Video],
    out: Path,
    settings: PrepareSettings,
    engine: Engine,
    *,
    function: TaskFunction = prepare_one,
    watch: Watch = lambda outcomes, _: outcomes,
) -> Manifest:
    """Prepare videos that are not yet, choose pairs, and write shards, manifest and card.

    Args:
        videos: of different `video_id`.
        out: the folder; finished videos in it are not prepared again.
        engine: where the videos are prepared.
        function: what prepares one.
        watch: sees the outcomes pass, for instance to show progress.

    Raises:
        ShardError: no videos, or no pair in them; `rejected.parquet` says why.
        FolderInUseError: another run fills the folder.
        OutputError: the disk is full or closed; finished videos stay, and so do older shards.
        ModelError: a backend that cannot be used.
    """
    for module in ("matplotlib", "pyarrow"):
        require(module, "data")
    settings = settings.resolved()
    _require_different(videos)
    with claim_folder(out, LEFTOVERS):
        frames = _prepare_frames(videos, out, settings, engine, function, watch)
        with staging_folder(out) as staging:
            return _fill(staging, out, frames, settings)


def _fill(staging: Path, out: Path, frames: _Frames, settings: PrepareSettings) -> Manifest:
    """Shards and what belongs to them, in place once all are whole."""
    rejected = write_rejected(staging / REJECTED, frames.store, frames.records, frames.failures)
    try:
        manifest = _write_shards(staging, frames, settings, rejected)
    except ShardError:
        (staging / REJECTED).replace(out / REJECTED)
        raise
    _move_into_place(staging, out, manifest)
    return manifest


def _prepare_frames(
    videos: Sequence[Video],
    out: Path,
    settings: PrepareSettings,
    engine: Engine,
    function: TaskFunction,
    watch: Watch,
) -> _Frames:
    store = FrameStore(out / FRAMES)
    make_folder(store.folder)
    tasks = [VideoTask(video, settings.video, store.folder) for video in videos]
    reasons: dict[str, str] = {}
    for outcome in watch(engine.run(function, tasks), len(tasks)):
        if outcome.stop:
            raise ShardError(outcome.stop)
        if outcome.failure:
            logger.warning("%s: %s", outcome.video_id, outcome.failure)
            reasons[outcome.video_id] = outcome.failure
    records: dict[str, VideoRecord] = {}
    failures: dict[str, Failure] = {}
    seen: dict[str, str] = {}
    for video in sorted(videos, key=lambda video: video.video_id):
        video_id = video.video_id
        record = None if video_id in reasons else store.read(video_id)
        if record is None:
            why = reasons.get(video_id, "no record was written")
        elif seen.setdefault(record.sha256, video_id) != video_id:
            why = f"the same file as {seen[record.sha256]}"
        else:
            records[video_id] = replace(record, rejections=())  # of millions of frames
            continue
        failures[video_id] = Failure(video.identity_id, video.path.name, why)
    return _Frames(store, records, failures)


def _require_different(videos: Sequence[Video]) -> None:
    if not videos:
        raise ShardError("There are no videos to prepare; check the folder and --layout.")
    count = Counter(video.video_id for video in videos)
    twice = sorted(video_id for video_id in count if count[video_id] > 1)
    if twice:
        raise ShardError(f"Several videos are called {', '.join(twice[:5])}; rename them.")


def _write_shards(
    staging: Path, frames: _Frames, settings: PrepareSettings, rejected: Mapping[str, int]
) -> Manifest:
    identities = frames.of_identities()
    choice = choose_pairs(frames.store, identities, settings.pairs, settings.seed)
    if not choice.pairs:
        raise ShardError(_no_pairs(frames, choice, settings, rejected))
    paired = {pair.identity_id for pair in choice.pairs}
    split_of = split_identities(paired, settings.split, settings.seed)
    reader = PairReader(frames.store, frames.records)
    splits: dict[str, tuple[Shard, ...]] = {}
    for split in SPLITS:
        labels = Labels(split, settings.licence, settings.seed)
        pairs = [pair for pair in choice.pairs if split_of[pair.identity_id] == split]
        size = settings.shard_megabytes * MEGABYTE
        splits[split] = tuple(write_split(staging, pairs, reader, labels, size))
    manifest = Manifest(
        picture_size=settings.video.picture_size,
        splits=splits,
        counts=_counts(frames, choice, split_of, splits, rejected),
        licences=(settings.licence,),
        consent=settings.consent,
        versions=_versions(frames),
        settings=_settings(settings),
    )
    write_card(staging, manifest, rejected)
    return manifest


def _move_into_place(staging: Path, out: Path, manifest: Manifest) -> None:
    """Replace older shards; between first and last step there is no manifest."""
    (out / FILE_NAME).unlink(missing_ok=True)
    for path in sorted(staging.iterdir()):
        if path.is_dir():
            replace_folder(path, out / path.name)
        else:
            path.replace(out / path.name)
    write_manifest(out, manifest)


def _no_pairs(
    frames: _Frames, choice: Choice, settings: PrepareSettings, rejected: Mapping[str, int]
) -> str:
    found = sum(record.frames for record in frames.records.values())
    reasons = ", ".join(f"{count} x {reason}" for reason, count in rejected.items()) or "none"
    return (
        f"No pair can be made of {len(frames.records)} videos with {found} usable frames and "
        f"{choice.candidates} candidates (rejected: {reasons}). {REJECTED} has one row for each; "
        "a pair needs two moments of one person with another pose or background."
        f"{_costliest_limits(frames, choice, settings, rejected)}"
    )


def _costliest_limits(
    frames: _Frames, choice: Choice, settings: PrepareSettings, rejected: Mapping[str, int]
) -> str:
    """The settings that refused most frames and pairs, and the way to relax each."""
    of_frames = {name: rejected.get(reason, 0) for reason, name in LIMITS.items()}
    identities, pairs = frames.of_identities(), settings.pairs
    of_pairs = dict(count_lost_pairs(frames.store, identities, pairs))
    if choice.candidates:
        of_pairs = {"large_change": choice.candidates}
    advice = [
        f"{'raise' if name in RAISED else 'lower'} --{name.replace('_', '-')} "
        f"(now {getattr(limits, name):g}, cost {count} {what})"
        for limits, lost, what in (
            (settings.video, of_frames, "frames"), (pairs, of_pairs, "pairs of frames")
        )
        for name, count in sorted(lost.items(), key=lambda item: -item[1])
        if count
    ]  # fmt: skip
    return f" What cost most: {'; '.join(advice[:MOST_ADVICE])}." if advice else ""


def _counts(
    frames: _Frames,
    choice: Choice,
    split_of: Mapping[str, str],
    splits: Mapping[str, Sequence[Shard]],
    rejected: Mapping[str, int],
) -> dict[str, Any]:
    names = list(split_of.values())
    return {
        "videos": len(frames.records) + len(frames.failures),
        "videos_with_frames": sum(record.frames > 0 for record in frames.records.values()),
        "frames": sum(record.frames for record in frames.records.values()),
        "candidates": choice.candidates,
        "pairs": {split: sum(s.rows for s in shards) for split, shards in splits.items()},
        "identities": {split: names.count(split) for split in splits},
        "rejected": dict(rejected),
        "enlarged": _enlarged(frames.store, choice),
    }


def _enlarged(store: FrameStore, choice: Choice) -> dict[str, int]:
    """Frames in pairs by how many times the published crop of 512 pixels enlarges their faces."""
    rows: dict[str, set[int]] = {}
    for frame in (frame for pair in choice.pairs for frame in (pair.source, pair.target)):
        rows.setdefault(frame.video_id, set()).add(frame.row)
    counts: Counter[int] = Counter()
    for video_id, used in rows.items():
        widths = np.asarray(store.columns(video_id, ["face_width"])["face_width"])
        times = enlargement(widths[sorted(used)])
        counts.update(np.digitize(times, ENLARGEMENTS, right=True).tolist())
    names = (*(f"up to {edge:g}" for edge in ENLARGEMENTS), "more")
    return {name: counts[number] for number, name in enumerate(names)}


def _versions(frames: _Frames) -> dict[str, str]:
    """Of this package, the packages that decide bytes, and the backends that saw the frames."""
    made = [record for record in frames.records.values() if record.frames]
    return {
        "magicface": magicface_core.__version__,
        **{name: importlib.metadata.version(name) for name in VERSIONED},
        "estimator": ", ".join(sorted({record.estimator for record in made})),
        "parser": ", ".join(sorted({record.parser for record in made})),
    }


def _settings(settings: PrepareSettings) -> dict[str, Any]:
    return {
        "video": json.loads(settings.video.to_json()),
        "pairs": asdict(settings.pairs),
        "split": asdict(settings.split),
        "shard_megabytes": settings.shard_megabytes,
        "seed": settings.seed,
    }
