"""How pairs are chosen: the numbers, with where they come from."""

from __future__ import annotations

from dataclasses import dataclass, fields

from .errors import ShardError


@dataclass(frozen=True)
class PairSettings:
    """The paper's rule (section IV-A), and how pairs are balanced.

    A source and a target show one identity at two moments that lie apart in time, with another pose
    or background. The paper gives no numbers except the 30,000 pairs; the others are ours.

    pairs                wanted in all, both directions counted; 0 takes all that the rest allows
    per_identity         most pairs of one identity, both directions counted
    per_picture          most pairs, both directions counted, in which one frame takes part
    frames_per_identity  looked at, evenly over the identity's videos
    seconds_apart        least time between two frames of one scene
    pose_apart           degrees of yaw, pitch or roll from which two poses differ
    background_apart     root mean square difference 0..1 from which two backgrounds differ
    identity_distance    largest distance of the embeddings; above 0.6 they are usually two people
    large_change         least change of an AU that makes a pair one of change
    small_change         largest change of any AU in a pair of no change
    small_share          share of the pairs of no change, which teach to leave a face as it is
    rare_power           how strongly rare changes are preferred: 0 not at all, 1 by the inverse of
                         their frequency
    """

    pairs: int = 30_000
    per_identity: int = 50
    per_picture: int = 8
    frames_per_identity: int = 400
    seconds_apart: float = 2.0
    pose_apart: float = 5.0
    background_apart: float = 0.04
    identity_distance: float = 0.5
    large_change: float = 1.0
    small_change: float = 0.5
    small_share: float = 0.15
    rare_power: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) >= 0:  # so that NaN is refused as well
                raise ShardError(f"{field.name} is {getattr(self, field.name)}; choose 0 or more.")
        for name in ("per_identity", "per_picture", "frames_per_identity"):
            if getattr(self, name) < 2:
                raise ShardError(f"{name} is {getattr(self, name)}; choose 2 or more.")
        if not 0 <= self.small_share < 1:
            raise ShardError(f"small_share is {self.small_share}; choose 0 or more, below 1.")
        if self.small_change > self.large_change:
            raise ShardError(
                f"small_change is {self.small_change}, above large_change {self.large_change}; "
                "choose it at most as large."
            )
