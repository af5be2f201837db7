"""Batches do not depend on who makes them, nor on where a run was resumed."""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from magicface_training.config import ConfigError, DataConfig, OptimConfig, Stage, TrainConfig
from magicface_training.data.edit_sets import EditSets
from magicface_training.data.errors import DataError
from magicface_training.data.loading import Failure, MicroBatches, WaitMeter, batches
from magicface_training.data.order import Split
from magicface_training.data.samples import Batch, CachedLatents
from magicface_training.data.sources import SampleSource, open_source
from pair_shards import needs_litdata

STEPS = 8  # of two units: nearly two epochs of nine pairs
PAIRS = DataConfig(identities_per_step=2, zero_delta=0.2, flip=0.3)


def run(data: DataConfig, **settings: object) -> TrainConfig:
    return replace(TrainConfig(data=data, optim=OptimConfig(steps=STEPS)), **settings)  # type: ignore[arg-type]


def assert_same(first: Batch | CachedLatents, second: Batch | CachedLatents) -> None:
    for each in fields(first):
        one, other = getattr(first, each.name), getattr(second, each.name)
        if isinstance(one, CachedLatents):
            assert_same(one, other)
        elif one is None:
            assert other is None, each.name
        else:
            assert torch.equal(one, other), each.name


def assert_all_same(first: list[Batch], second: list[Batch]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert_same(one, other)


@pytest.fixture(scope="module")
def edit_sets(tmp_path_factory: pytest.TempPathFactory) -> EditSets:
    """Seven identities, two scenes of three expressions, noise."""
    folder = tmp_path_factory.mktemp("edit_sets")
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (7, 6, 3, 32, 32), dtype=np.uint8)
    au = rng.uniform(0, 5, (7, 6, 12)).astype(np.float32)
    mask = rng.integers(0, 255, (7, 6, 128), dtype=np.uint8)
    np.savez(folder / "a.npz", image=image, condition=image[::-1], mask=mask, au=au)
    return EditSets(folder)


@pytest.fixture(scope="module")
def sources(
    pair_shards: Path, cached: Path, vae: AutoencoderKL, edit_sets: EditSets
) -> dict[str, tuple[SampleSource, TrainConfig]]:
    """Every way of reading, with a configuration for it."""
    latents = replace(PAIRS, cache=str(cached))
    streamed = replace(PAIRS, reader="streaming")
    drawn = DataConfig(identities_per_step=2, targets_per_identity=3, window=16)
    stages = (Stage(4, {"window": 0, "targets_per_identity": 2}),)
    ways = {
        "edit sets": (edit_sets, run(drawn, stages=stages)),
        "pictures": (open_source(pair_shards, "train", PAIRS), run(PAIRS)),
        "latents": (open_source(pair_shards, "train", latents, vae=vae), run(latents)),
    }
    if find_spec("litdata"):
        ways["streaming"] = (open_source(pair_shards, "train", streamed), run(streamed))
    return ways


STREAMING = pytest.param("streaming", marks=needs_litdata)
WAYS = ("edit sets", "pictures", "latents", STREAMING)
Sources = dict[str, tuple[SampleSource, TrainConfig]]


@pytest.mark.parametrize("way", WAYS)
def test_resuming_anywhere_goes_on_alike(sources: Sources, way: str) -> None:
    source, config = sources[way]
    straight = list(batches(source, config, seed=3))
    assert [b.position.tolist() for b in straight] == [[2 * i, 2 * i + 1] for i in range(STEPS)]
    for start in (1, 4, 5, 7, STEPS):  # the middle and the end of an epoch, a stage
        assert_all_same(list(batches(source, config, 3, start_step=start)), straight[start:])
    other = next(batches(source, config, seed=4))
    assert not torch.equal(other.delta, straight[0].delta)


@pytest.mark.parametrize(
    ("way", "workers"), [("latents", 2), pytest.param("streaming", 1, marks=needs_litdata)]
)
def test_workers_change_nothing(sources: Sources, way: str, workers: int) -> None:
    """Neither their number, nor the signals that end a job, whose state is yet to be saved."""
    source, config = sources[way]
    random_state = torch.get_rng_state()
    made = batches(source, config, 3, start_step=2, workers=workers)
    found = [next(made)]
    children = multiprocessing.active_children()
    assert len(children) == workers
    for child in children:
        signal_from_elsewhere(child.pid or 0)
    found += made
    assert_all_same(found, list(batches(source, config, 3))[2:])
    assert torch.equal(torch.get_rng_state(), random_state)
    assert [child.exitcode for child in children] == [0] * workers
    assert not signal.pthread_sigmask(signal.SIG_BLOCK, ())


def signal_from_elsewhere(process: int) -> None:
    """What a scheduler does: SIGINT and SIGTERM of a process that is not the parent."""
    for name in ("INT", "TERM"):
        subprocess.run(["sh", "-c", f"kill -{name} {process}"], check=True)


def test_workers_of_an_abandoned_run_end_when_asked(sources: Sources) -> None:
    """As at the end of a process that an error stops."""
    source, config = sources["pictures"]
    made = batches(source, config, 3, workers=1)
    next(made)
    (child,) = multiprocessing.active_children()
    child.terminate()
    child.join(timeout=60)
    assert child.exitcode == 0
    with pytest.raises(RuntimeError, match="DataLoader worker"):
        list(made)


@pytest.mark.parametrize("way", WAYS)
def test_any_division_of_a_step_reads_the_same(sources: Sources, way: str) -> None:
    """Two processes, or two micro-batches, of one identity are one batch of two."""
    source, config = sources[way]
    single = replace(config, data=replace(config.data, identities_per_step=1))
    whole = list(batches(source, config, 3))
    processes = [list(batches(source, single, 3, processes=2, process=p)) for p in (0, 1)]
    accumulated = list(batches(source, single, 3, accumulation=2))
    for step, batch in enumerate(whole):
        for row, part in enumerate(
            (processes[0][step], processes[1][step]),
        ):
            assert_same(part, accumulated[2 * step + row])
            assert part.position.tolist() == [batch.position[row].item()]
            assert torch.equal(part.delta, batch.delta[row::2])
            assert torch.equal(part.mask, batch.mask[row::2])
            if batch.target is not None and part.target is not None:
                assert torch.equal(part.target, batch.target[row::2])
            if batch.latents is not None and part.latents is not None:
                assert torch.equal(part.latents.identity, batch.latents.identity[row::2])
                assert torch.equal(part.latents.target_mean, batch.latents.target_mean[row::2])
    resumed = list(batches(source, single, 3, accumulation=2, start_step=3))
    assert_all_same(resumed, accumulated[6:])


@pytest.mark.parametrize("way", ["pictures", STREAMING])
def test_an_epoch_shows_every_pair(sources: Sources, way: str) -> None:
    source, config = sources[way]
    plain = replace(config, data=replace(config.data, zero_delta=0.0, identities_per_step=3))
    seen = torch.cat(
        [batch.delta[:, 0] for batch in itertools.islice(batches(source, plain, 0), 3)]
    )
    assert sorted(seen.round().int().tolist()) == list(range(1, 10))


def test_stages_change_batches(sources: Sources) -> None:
    source, config = sources["edit sets"]
    shapes = [tuple(batch.mask.shape) for batch in batches(source, config, 0)]
    assert shapes == [(6, 1, 16, 16)] * 4 + [(4, 1, 32, 32)] * 4


def test_what_a_stage_may_not_change(sources: Sources) -> None:
    source, config = sources["pictures"]
    wrong = replace(config, stages=(Stage(2, {"identities_per_step": 4}),))
    with pytest.raises(ConfigError, match=r"stages\[0\]\.data changes \['identities_per_step'\]"):
        batches(source, wrong, 0)
    later = replace(config, stages=(Stage(2, {"targets_per_identity": 2}),))
    with pytest.raises(DataError, match="targets_per_identity is 2"):
        batches(source, later, 0)


def test_edit_sets_are_not_mirrored(edit_sets: EditSets) -> None:
    with pytest.raises(DataError, match=r"data\.flip is 0\.5, but edit sets"):
        batches(edit_sets, run(DataConfig(flip=0.5)), 0)


class Broken:
    """A source whose third pair cannot be read."""

    picture_size, fingerprint, shards = 8, "", ()

    def __len__(self) -> int:
        return 4

    def check(self, config: DataConfig) -> None:
        """Nothing to object to."""

    def sample(self, index: int, rng: np.random.Generator, config: DataConfig) -> None:
        raise DataError(f"pair {index} is damaged; copy it again")


def test_errors_of_workers_arrive_as_they_are() -> None:
    """Workers send them as values: the loader would put a traceback around the message."""
    plan = MicroBatches(Broken(), run(PAIRS), 0, Split(2))  # type: ignore[arg-type]
    sent = pickle.loads(pickle.dumps(plan[0]))  # noqa: S301
    assert isinstance(sent, Failure)
    with pytest.raises(DataError, match=r"^pair \d is damaged; copy it again$"):
        next(batches(Broken(), run(PAIRS), 0))  # type: ignore[arg-type]


def test_edit_sets_are_read_again_by_workers(edit_sets: EditSets) -> None:
    sent = pickle.dumps(edit_sets)
    assert len(sent) < 1000
    copy = pickle.loads(sent)  # noqa: S301
    assert np.array_equal(copy.image, edit_sets.image)
    assert copy.fingerprint == edit_sets.fingerprint


def test_waiting_is_measured() -> None:
    def slow() -> Iterator[int]:
        for number in range(4):
            time.sleep(0.15)
            yield number

    meter = WaitMeter(slow())  # type: ignore[arg-type]
    assert meter.stall_share == 0.0
    for _ in meter:
        time.sleep(0.05)
    assert 0.5 < meter.stall_share < 0.9  # the first wait does not count
    meter.reset()
    time.sleep(0.02)
    assert meter.stall_share == 0.0
