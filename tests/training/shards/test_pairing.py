"""Pairs by the paper's rule, balanced, limited and repeatable."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_up_frames import made_up_frame, png, write_video
from magicface_training.shards.balancing import Frequencies
from magicface_training.shards.candidates import (
    Candidates,
    enlargement,
    find_candidates,
    load_identity,
    lost_pairs,
)
from magicface_training.shards.errors import ShardError
from magicface_training.shards.frames_store import FrameStore
from magicface_training.shards.pair_settings import PairSettings
from magicface_training.shards.pairing import Choice, choose_pairs
from magicface_training.videos.records import FrameRecord, PreparedVideo, VideoSettings

ROOM = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
STILL: dict[str, Any] = {
    "aus": (0.0,) * 12,
    "pose": (0.0, 0.0, 0.0),
    "embedding": (0.0,) * 128,
    "background": png(ROOM),
    "mask": png(np.zeros((16, 16), bool)),
}
SMILE = (0.0,) * 6 + (3.0,) + (0.0,) * 5
TURNED = {"time": 5.0, "pose": (12.0, 0.0, 0.0)}


def store_of(folder: Path, videos: Mapping[str, Sequence[FrameRecord]]) -> FrameStore:
    store = FrameStore(folder / "frames")
    for video_id, frames in videos.items():
        video = write_video(folder, video_id, frames[0].identity_id)
        store.write(PreparedVideo(video, video_id, tuple(frames)), VideoSettings())
    return store


def still(number: int, video_id: str = "video", **values: Any) -> FrameRecord:
    """A frame of a face that neither moves nor changes, but for what is said."""
    merged = {**STILL, "time": 0.0, **values}
    scene = int(merged.pop("scene", 0))
    return made_up_frame(video_id, "person", number, scene=scene, **merged)


@pytest.mark.parametrize(
    ("second", "allowed"),
    [
        ({"time": 5.0}, False),  # later, but nothing else differs
        (TURNED, True),
        ({**TURNED, "time": 1.9}, False),
        ({**TURNED, "time": 2.0}, True),
        ({**TURNED, "time": 0.0, "scene": 1}, True),
        ({**TURNED, "pose": (4.0, 4.0, -4.0)}, False),
        ({**TURNED, "pose": (0.0, 0.0, -6.0)}, True),
        ({"time": 5.0, "background": png(255 - ROOM)}, True),
        ({"time": 0.0, "background": png(255 - ROOM)}, False),
        ({**TURNED, "embedding": (0.05,) * 128}, False),  # distance 0.57
        ({**TURNED, "embedding": (0.04,) * 128}, True),  # distance 0.45
    ],
)
def test_rule_for_two_frames(tmp_path: Path, second: dict[str, Any], allowed: bool) -> None:
    store = store_of(tmp_path, {"video": [still(0), still(1, **second)]})
    frames = load_identity(store, "person", ["video"], 400)
    assert len(find_candidates(frames, PairSettings())) == allowed


def test_other_video_counts_as_apart(tmp_path: Path) -> None:
    turned = still(0, "second", **{**TURNED, "time": 0.0})
    store = store_of(tmp_path, {"first": [still(0, "first")], "second": [turned]})
    frames = load_identity(store, "person", ["first", "second"], 400)
    found = find_candidates(frames, PairSettings())
    assert (found.first.tolist(), found.second.tolist()) == ([0], [1])


def test_lost_pairs_are_counted_by_setting(tmp_path: Path) -> None:
    far = {"embedding": (0.05,) * 128}
    frames = [still(0), still(1, time=1.0), still(2, **{**TURNED, **far})]
    store = store_of(tmp_path, {"video": frames})
    lost = lost_pairs(load_identity(store, "person", ["video"], 400), PairSettings())
    assert lost == {"seconds_apart": 1, "pose_apart": 1, "identity_distance": 2}


def test_enlargement_is_that_of_the_published_crop() -> None:
    crop = 512 * 0.4583 / 1.025  # pixels of the mesh in a crop of 512
    assert enlargement(np.array([crop / 2, crop, 2 * crop])) == pytest.approx([2, 1, 1], rel=1e-3)


def test_enlarged_and_cut_faces_are_drawn_less_often(tmp_path: Path) -> None:
    """Forty people with a sharp and a small or cut pair each; one pair of a person is wanted."""
    smiling = {"aus": SMILE, "pose": (0.0, 0.0, 0.0)}
    for worse in ({"face_width": 96.0}, {"outside": 0.4}):
        videos = {}
        for person in range(40):
            name = f"person{person}"
            frames = [
                made_up_frame(name, name, n, **{**STILL, **TURNED, "time": 9.0 * n, **values})
                for n, values in enumerate([{}, smiling, worse, {**worse, **smiling}])
            ]
            videos[name] = frames
        folder = tmp_path / next(iter(worse))
        folder.mkdir()
        store = store_of(folder, videos)
        identities = {name: [name] for name in videos}
        settings = PairSettings(per_identity=2, small_share=0)
        pairs = choose_pairs(store, identities, settings, seed=0).pairs
        rows = [pair.source.row for pair in pairs]
        assert sum(row < 2 for row in rows) > 1.3 * sum(row >= 2 for row in rows)


def test_long_videos_are_thinned_evenly(tmp_path: Path) -> None:
    store = store_of(tmp_path, {"video": [still(n) for n in range(11)]})
    assert load_identity(store, "person", ["video"], 6).row.tolist() == [0, 2, 4, 6, 8, 10]


# --- choosing -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crowd(tmp_path_factory: pytest.TempPathFactory) -> FrameStore:
    """Eight people with two videos of 15 frames each; AU9 is rare."""
    videos = {}
    for person in range(8):
        for number in range(2):
            video_id = f"person{person}_{number}"
            rng = np.random.default_rng([person, number])
            frames = [
                made_up_frame(video_id, f"person{person}", n, aus=_aus(rng), time=2.0 * n)
                for n in range(15)
            ]
            videos[video_id] = frames
    return store_of(tmp_path_factory.mktemp("crowd"), videos)


def _aus(rng: np.random.Generator) -> tuple[float, ...]:
    """Often neutral, often a smile, seldom a wrinkled nose."""
    aus = rng.uniform(0, 0.1, 12)
    kind = rng.random()
    if kind < 0.04:
        aus[5] = 2.5
    elif kind < 0.5:
        aus[6] = rng.uniform(1.5, 4)
    return tuple(aus.tolist())


def identities(people: int = 8) -> dict[str, list[str]]:
    return {f"person{p}": [f"person{p}_{n}" for n in range(2)] for p in range(people)}


def choose(store: FrameStore, seed: int = 0, **settings: Any) -> Choice:
    return choose_pairs(store, identities(), PairSettings(**settings), seed)


def deltas(store: FrameStore, choice: Choice) -> np.ndarray:
    """Target minus source of every pair: [N,12]."""
    aus = {name: store.columns(name, ["aus"])["aus"] for v in identities().values() for name in v}
    return np.array(
        [
            np.subtract(aus[p.target.video_id][p.target.row], aus[p.source.video_id][p.source.row])
            for p in choice.pairs
        ]
    )


def test_choice_depends_on_frames_settings_and_seed_alone(crowd: FrameStore) -> None:
    first = choose(crowd)
    turned = {name: videos[::-1] for name, videos in reversed(identities().items())}
    assert choose_pairs(crowd, turned, PairSettings(), 0) == first
    assert choose(crowd, seed=1).pairs != first.pairs


def test_both_directions_and_none_twice(crowd: FrameStore) -> None:
    pairs = choose(crowd).pairs
    assert {p.reversed().pair_id for p in pairs} == {p.pair_id for p in pairs}
    assert len({p.pair_id for p in pairs}) == len(pairs) > 200
    assert all(p.source != p.target for p in pairs)


def test_limits_hold(crowd: FrameStore) -> None:
    pairs = choose(crowd, per_identity=20, per_picture=4).pairs
    assert max(Counter(p.identity_id for p in pairs).values()) <= 20
    uses = Counter(frame for p in pairs for frame in (p.source, p.target))
    assert max(uses.values()) <= 2 * 4 // 2


def test_changes_and_pairs_without_change_have_their_shares(crowd: FrameStore) -> None:
    largest = np.abs(deltas(crowd, choose(crowd))).max(axis=1)
    assert not ((largest >= 0.5) & (largest < 1)).any()
    assert (largest < 0.5).mean() == pytest.approx(0.15, abs=0.02)
    assert (np.abs(deltas(crowd, choose(crowd, small_share=0.0))).max(axis=1) >= 1).all()


def test_total_is_kept_to(crowd: FrameStore) -> None:
    pairs = choose(crowd, pairs=100).pairs
    assert len(pairs) == 100
    assert len(choose(crowd, pairs=0).pairs) > 300
    assert set(pairs) <= set(choose(crowd, pairs=0).pairs)


def test_rare_changes_are_taken_more_often(crowd: FrameStore) -> None:
    def share(power: float) -> float:
        found = deltas(crowd, choose(crowd, rare_power=power, per_picture=50, pairs=100))
        return float((np.abs(found[:, 5]) >= 1).mean())

    assert share(1.0) > 2 * share(0.0) > 0


def test_weight_is_the_inverse_of_the_frequency() -> None:
    """Nine mild smiles and one strong wrinkle, turns alike: the wrinkle weighs nine times more."""
    delta = np.zeros((10, 12), np.float32)
    delta[:9, 6], delta[9, 5] = 2.0, -4.0
    same = np.zeros(10)
    candidates = Candidates(same, same, delta, same, same)
    frequencies = Frequencies()
    frequencies.add(candidates)
    assert frequencies.changes[5].tolist() == [1, 0, 18, 0, 1]
    assert frequencies.changes[6].tolist() == [0, 9, 2, 9, 0]
    weights = frequencies.weights(candidates, 1.0)
    assert weights[9] / weights[0] == pytest.approx(9)
    assert frequencies.weights(candidates, 0.0) == pytest.approx(1)


def test_rare_turns_of_the_head_weigh_more() -> None:
    turn = np.array([2.0] * 9 + [40.0])
    same = np.zeros(10)
    candidates = Candidates(same, same, np.zeros((10, 12), np.float32), turn, same)
    frequencies = Frequencies()
    frequencies.add(candidates)
    weights = frequencies.weights(candidates, 1.0)
    assert weights[9] / weights[0] == pytest.approx(9)


@pytest.mark.parametrize(
    "settings",
    [
        {"pairs": -1},
        {"per_identity": 1},
        {"small_share": 1.0},
        {"small_change": 2.0},
        {"seconds_apart": float("nan")},
    ],
)
def test_impossible_settings_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ShardError, match=next(iter(settings))):
        replace(PairSettings(), **settings)
