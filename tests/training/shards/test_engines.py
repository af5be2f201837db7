"""Both engines run the same tasks to the same end, whatever happens to their workers."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as parquet
import pytest
from faulty_tasks import faulty
from made_up_frames import write_video
from magicface_training.shards.engines.local import LocalEngine
from magicface_training.shards.engines.ray import RayEngine
from magicface_training.shards.errors import ShardError
from magicface_training.shards.frames_store import FrameStore
from magicface_training.shards.prepare import FRAMES, REJECTED, Engine, prepare
from magicface_training.shards.tasks import Attempts, TaskOutcome, VideoTask
from magicface_training.shards.verification import verify
from magicface_training.videos.records import Video

from .conftest import SETTINGS, prepare_inline

pytestmark = pytest.mark.slow

KINDS = {"killed": 2, "late": 1, "transient": 2, "corrupt": 8, "good": 7}
ATTEMPTS = Attempts(most=3, wait=0.01)


def videos_of(folder: Path, kinds: dict[str, int]) -> list[Video]:
    folder.mkdir()
    names = [f"{kind}_{number}" for kind, count in kinds.items() for number in range(count)]
    return [write_video(folder, name, f"person {name}") for name in names]


@pytest.fixture(params=["local", "ray"])
def engine(request: pytest.FixtureRequest) -> Engine:
    if request.param == "local":
        return LocalEngine(2, ATTEMPTS)
    request.getfixturevalue("ray_cluster")
    return RayEngine(2, attempts=ATTEMPTS)


def outcomes(engine: Engine, videos: list[Video], out: Path) -> dict[str, TaskOutcome]:
    tasks = [VideoTask(video, SETTINGS.video, out / FRAMES) for video in videos]
    ended = list(engine.run(faulty, tasks))
    assert len(ended) == len({outcome.video_id for outcome in ended}) == len(videos)
    return {outcome.video_id: outcome for outcome in ended}


def test_faults_of_a_large_run_cost_no_row_and_double_none(engine: Engine, tmp_path: Path) -> None:
    """Three killed workers, two transient errors and eight corrupt files."""
    videos = videos_of(tmp_path / "videos", KINDS)
    out = tmp_path / "shards"
    manifest = prepare(videos, out, SETTINGS, engine, function=faulty)
    assert len(list((out / "faults").iterdir())) == 5
    assert verify(out, deep=True) == manifest  # also: no pair twice
    rows = parquet.read_table(out / REJECTED).to_pylist()
    failed = [row for row in rows if row["reason"] == "failed video"]
    assert {row["video_id"] for row in failed} == {f"corrupt_{n}" for n in range(8)}
    assert all(row["detail"] for row in failed)
    assert Counter(row["reason"] for row in rows)["blurred"] == 12
    assert manifest.counts["videos_with_frames"] == 12

    good = [video for video in videos if not video.video_id.startswith("corrupt")]
    untroubled = tmp_path / "untroubled"
    prepare_inline(good, untroubled)
    shards = sorted(path.relative_to(out) for path in out.glob("t*/*.parquet"))
    assert shards
    for shard in shards:
        assert (untroubled / shard).read_bytes() == (out / shard).read_bytes()


def test_one_video_that_kills_its_worker_is_given_up(engine: Engine, tmp_path: Path) -> None:
    videos = videos_of(tmp_path / "videos", {"poison": 1, "bug": 1, "good": 2})
    ended = outcomes(engine, videos, tmp_path)
    assert "died 3 times" in ended["poison_0"].failure
    assert ended["bug_0"].failure == "ZeroDivisionError: a mistake in the program"
    assert not ended["good_0"].failure + ended["good_1"].failure
    store = FrameStore(tmp_path / FRAMES)
    assert store.read("good_1") is not None
    assert store.read("poison_0") is None  # the next run tries again


def test_full_disk_in_a_worker_stops_the_run(engine: Engine, tmp_path: Path) -> None:
    videos = videos_of(tmp_path / "videos", {"good": 2, "full": 1})
    with pytest.raises(ShardError, match=r"No space left on device.*make room"):
        prepare(videos, tmp_path / "shards", SETTINGS, engine, function=faulty)
    assert not list((tmp_path / "shards").rglob("*.part"))


def test_a_run_that_stops_waits_for_workers_that_write(engine: Engine, tmp_path: Path) -> None:
    videos = videos_of(tmp_path / "videos", {"slow": 1, "fills": 1})
    with pytest.raises(ShardError, match="make room"):
        prepare(videos, tmp_path / "shards", SETTINGS, engine, function=faulty)
    assert not list((tmp_path / "shards").rglob("*.part"))


def test_ray_listens_on_this_machine_only_and_tells_nobody(ray_cluster: None) -> None:
    import ray

    assert ray.util.get_node_ip_address() == "127.0.0.1"
    names = ("RAY_USAGE_STATS_ENABLED", "RAY_AUTH_MODE")
    in_worker = ray.remote(lambda: [os.environ[name] for name in names])
    assert ray.get(in_worker.remote()) == ["0", "token"]


def test_ray_that_is_not_there_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    def refuse(**arguments: object) -> None:
        raise ConnectionError(f"nothing answers at {arguments['address']}")

    monkeypatch.setattr(ray, "init", refuse)
    with pytest.raises(ShardError, match=r'"10\.0\.0\.1:6379".*ray start'):
        RayEngine(address="10.0.0.1:6379")._start()


def test_ray_ends_with_the_run_and_leaves_no_variables() -> None:
    """In a process of its own, twice in a row."""
    result = subprocess.run(
        [sys.executable, "-c", TWO_CLUSTERS],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.split() == ["True", "False", "True", "False", "[]"]


TWO_CLUSTERS = """
import os
from magicface_training.shards.engines.ray import RayEngine
for _ in range(2):
    with RayEngine(1).cluster():
        import ray
        print(ray.get(ray.remote(lambda: True).remote()))
    print(ray.is_initialized())
print([name for name in os.environ if name.startswith(("RAY_AUTH", "RAY_USAGE"))])
"""
