"""Which edits a protocol asks for, always in the same order: its job list and that list's hash.

The paper (arXiv:2501.02260) measures 20 identities under 12 AUs at five strengths, here 1, 3, 5, 7
and 9 as in its Fig. 4, and 387 combinations, here our own published list (`combinations`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from magicface_core.aus import AU_ORDER, AUDelta

from ..records import EditJob
from .combinations import COMBINATIONS_NOTICE, combination_deltas

LEVELS: tuple[float, ...] = (1.0, 3.0, 5.0, 7.0, 9.0)
"""Strengths of the single edits: those of the paper's Fig. 4."""


@dataclass(frozen=True)
class ProtocolPlan:
    """Edits per identity: every AU alone at each of `levels`, then `combinations` of the 387.

    Fewer than all combinations are spread evenly over the list. `identities` is the number that is
    rendered where no pictures are given.
    """

    name: str
    identities: int
    levels: tuple[float, ...]
    combinations: int
    version: int = 1

    @property
    def jobs(self) -> tuple[EditJob, ...]:
        return (*single_jobs(self.levels), *combination_jobs(self.combinations))

    @property
    def about(self) -> str:
        """One sentence for the caption of a table."""
        levels = ", ".join(f"{level:g}" for level in self.levels)
        text = f"12 action units at +{levels}"
        if self.combinations:
            whole = len(combination_deltas())
            share = "all" if self.combinations == whole else f"{self.combinations} of"
            text += f"; {share} {whole} combinations ({COMBINATIONS_NOTICE})"
        return text


PLANS: dict[str, ProtocolPlan] = {
    plan.name: plan
    for plan in (
        ProtocolPlan("paper", 20, LEVELS, 387),
        ProtocolPlan("quick", 8, (1.0, 5.0), 6),
        ProtocolPlan("single-au", 20, LEVELS, 0),
    )
}


def single_jobs(levels: Sequence[float]) -> tuple[EditJob, ...]:
    """Every AU alone, from the weakest level to the strongest."""
    deltas = (AUDelta(**{f"AU{unit}": level}) for unit in AU_ORDER for level in levels)
    return tuple(EditJob(delta.label(), "single", delta) for delta in deltas)


def combination_jobs(count: int) -> tuple[EditJob, ...]:
    """So many of the 387 combinations, evenly spread over the list."""
    deltas = combination_deltas()
    chosen = (deltas[index * len(deltas) // count] for index in range(count))
    return tuple(EditJob(delta.label(), "combination", delta) for delta in chosen)


def jobs_sha256(jobs: Sequence[EditJob]) -> str:
    """Hash over kinds and deltas in their order: two runs with the same one asked for the same."""
    rows = [[job.kind, *job.delta.values] for job in jobs]
    return hashlib.sha256(json.dumps(rows).encode()).hexdigest()
