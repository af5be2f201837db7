"""Which pairs of frames training sees.

Candidates by the paper's rule (`candidates`) are drawn without repeats, the rare ones more often
(`balancing`) and those of small or cut faces less often, with limits for each identity and each
frame. A draw is by weight: the candidates with the smallest -log(u) / weight, u uniform
(P. Efraimidis, P. Spirakis, "Weighted random sampling with a reservoir", 2006). Every unordered
pair is used in both directions. One identity is in memory at a time.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from .balancing import Frequencies
from .candidates import Candidates, IdentityFrames, find_candidates, load_identity, lost_pairs
from .frames_store import FrameStore
from .pair_settings import PairSettings

_PAIR_ID_DIGITS = 20


@dataclass(frozen=True, order=True)
class Frame:
    """A frame by its video and its row in that video's frame file."""

    video_id: str
    row: int


@dataclass(frozen=True)
class Pair:
    """A source and a target frame of one identity, and the distance of their embeddings."""

    identity_id: str
    source: Frame
    target: Frame
    identity_distance: float

    @property
    def pair_id(self) -> str:
        """Stable: of the two frames alone."""
        names = (self.source.video_id, self.source.row, self.target.video_id, self.target.row)
        text = "\n".join(str(name) for name in names)
        return hashlib.sha256(text.encode()).hexdigest()[:_PAIR_ID_DIGITS]

    def reversed(self) -> Pair:
        """The same frames the other way round."""
        return Pair(self.identity_id, self.target, self.source, self.identity_distance)


@dataclass(frozen=True)
class Choice:
    """The pairs, both directions next to each other, and how many candidates there were."""

    pairs: tuple[Pair, ...]
    candidates: int


@dataclass(frozen=True)
class _Drawn:
    """A pair in one direction; those with the smallest keys are taken first."""

    key: float
    pair: Pair


def choose_pairs(
    store: FrameStore, identities: Mapping[str, Sequence[str]], settings: PairSettings, seed: int
) -> Choice:
    """Pairs of the videos of each identity, the same for the same frames, settings and seed."""
    frequencies, total = Frequencies(), 0
    for _, candidates in _all_candidates(store, identities, settings):
        frequencies.add(candidates)
        total += len(candidates)
    large: list[_Drawn] = []
    small: list[_Drawn] = []
    for frames, candidates in _all_candidates(store, identities, settings):
        if len(candidates):
            keys = _keys(frames, frequencies, candidates, settings, seed)
            drawn = _Draw(frames, candidates, keys, settings)
            large += drawn.large
            small += drawn.small
    taken = [drawn.pair for drawn in _within_total(large, small, settings)]
    both = tuple(pair for one in taken for pair in (one, one.reversed()))
    return Choice(both, total)


def count_lost_pairs(
    store: FrameStore, identities: Mapping[str, Sequence[str]], settings: PairSettings
) -> Counter[str]:
    """How many pairs of one identity's frames each setting refuses (see `lost_pairs`)."""
    lost: Counter[str] = Counter()
    for frames in _all_frames(store, identities, settings):
        lost.update(lost_pairs(frames, settings))
    return lost


def _all_frames(
    store: FrameStore, identities: Mapping[str, Sequence[str]], settings: PairSettings
) -> Iterator[IdentityFrames]:
    for identity_id in sorted(identities):
        videos = sorted(identities[identity_id])
        yield load_identity(store, identity_id, videos, settings.frames_per_identity)


def _all_candidates(
    store: FrameStore, identities: Mapping[str, Sequence[str]], settings: PairSettings
) -> Iterator[tuple[IdentityFrames, Candidates]]:
    for frames in _all_frames(store, identities, settings):
        yield frames, find_candidates(frames, settings)


def _keys(
    frames: IdentityFrames,
    frequencies: Frequencies,
    candidates: Candidates,
    settings: PairSettings,
    seed: int,
) -> np.ndarray:
    name = int.from_bytes(hashlib.sha256(frames.identity_id.encode()).digest()[:8], "big")
    uniform = np.random.default_rng([seed, name]).random(len(candidates))
    weights = frequencies.weights(candidates, settings.rare_power)
    weights *= frames.weight[candidates.first] * frames.weight[candidates.second]
    return -np.log1p(-uniform) / weights


class _Draw:
    """The pairs of one identity: `large` with a change of expression, `small` without."""

    def __init__(
        self,
        frames: IdentityFrames,
        candidates: Candidates,
        keys: np.ndarray,
        settings: PairSettings,
    ) -> None:
        self._frames, self._candidates, self._keys = frames, candidates, keys
        self._uses: Counter[int] = Counter()
        self._most_uses = settings.per_picture // 2
        most = settings.per_identity // 2
        change = np.abs(candidates.delta).max(axis=1)
        most_small = min(round(settings.small_share * most), most - 1)
        self.large = self._take(change >= settings.large_change, most - most_small)
        self.small = self._take(change < settings.small_change, most_small)

    def _take(self, eligible: np.ndarray, most: int) -> list[_Drawn]:
        numbers = np.nonzero(eligible)[0]
        taken: list[_Drawn] = []
        for number in numbers[np.argsort(self._keys[numbers], kind="stable")]:
            if len(taken) == most:
                break
            ends = int(self._candidates.first[number]), int(self._candidates.second[number])
            if all(self._uses[end] < self._most_uses for end in ends):
                self._uses.update(ends)
                taken.append(_Drawn(float(self._keys[number]), self._pair(*ends, number)))
        return taken

    def _pair(self, first: int, second: int, number: int) -> Pair:
        distance = float(self._candidates.distance[number])
        return Pair(self._frames.identity_id, self._frame(first), self._frame(second), distance)

    def _frame(self, index: int) -> Frame:
        video_id = self._frames.video_ids[int(self._frames.video[index])]
        return Frame(video_id, int(self._frames.row[index]))


def _within_total(large: list[_Drawn], small: list[_Drawn], settings: PairSettings) -> list[_Drawn]:
    """As many as wanted, in the wanted shares; fewer pairs of no change where change is scarce."""
    large, small = _in_order(large), _in_order(small)
    share, wanted = settings.small_share, settings.pairs // 2
    most_large = round(wanted * (1 - share))
    if wanted and len(large) >= most_large:
        return large[:most_large] + small[: wanted - most_large]
    return large + small[: round(len(large) * share / (1 - share))]


def _in_order(drawn: list[_Drawn]) -> list[_Drawn]:
    return sorted(drawn, key=lambda one: (one.key, one.pair.pair_id))
