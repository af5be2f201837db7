"""Rows of an evaluation made by hand: an editor that does a known share of what it is asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from magicface_training.evaluation.published.protocols import (
    combination_jobs,
    jobs_sha256,
    single_jobs,
)
from magicface_training.evaluation.published.renderings import FLOORS
from magicface_training.evaluation.published.rows import EditRow, write_rows
from magicface_training.evaluation.published.run_folder import RunFolder, start_run
from magicface_training.evaluation.records import EditJob

from magicface_core.aus import AU_ORDER

JOBS: tuple[EditJob, ...] = (*single_jobs((1.0, 3.0)), *combination_jobs(3))
NEUTRAL = (0.0,) * len(AU_ORDER)


def make_row(person: str, job: EditJob, share: float = 1.0, **changes: Any) -> EditRow:
    """One edit that does `share` of what was asked; an edit and its picture are all alike else."""
    delta = np.array(job.delta.values)
    values: dict[str, Any] = {
        "identity": person,
        "identity_sha256": hashlib.sha256(person.encode()).hexdigest(),
        "identity_kind": "picture",
        "job": job.name,
        "kind": job.kind,
        "requested": job.delta.values,
        "source_aus": NEUTRAL,
        "edit_aus": tuple(np.clip(share * delta, 0, 5).tolist()),
        "identity_distance": 0.25,
        "background_rmse": 0.02,
        "source_pose": (0.0, 0.0, 179.0),
        "edit_pose": (3.0, 0.0, -179.0),
        "source_face": True,
        "edit_face": True,
        "source_embedded": True,
        "au_estimator": "embedded",
        "identity_embedding": "embedded",
        "parser": "embedded",
        "versions": "{}",
    }
    return EditRow(**{**values, **changes})


def lost_row(person: str, job: EditJob) -> EditRow:
    """An edit in which no face is left."""
    gone: dict[str, Any] = {"edit_aus": None, "identity_distance": None, "edit_pose": None}
    return make_row(person, job, **gone, edit_face=False)


def floor_rows(person: str) -> list[EditRow]:
    """The source itself, whatever the floor's name."""
    copy = {"requested": NEUTRAL, "edit_aus": NEUTRAL, "identity_distance": 0.0, "kind": "floor"}
    return [replace(make_row(person, JOBS[0], **copy), job=name) for name in FLOORS]


def person_rows(person: str, share: float, jobs: Sequence[EditJob] = JOBS) -> list[EditRow]:
    """Floors and edits of one person."""
    return [*floor_rows(person), *(make_row(person, job, share) for job in jobs)]


def make_settings(people: Sequence[str], **changes: Any) -> dict[str, Any]:
    """Settings as a run has them."""
    settings: dict[str, Any] = {
        "protocol": {
            "name": "quick",
            "version": 1,
            "about": "a few edits",
            "jobs": len(JOBS),
            "jobs_sha256": jobs_sha256(JOBS),
            "combinations": "",
        },
        "identities": dict.fromkeys(people, ""),
        "people": "pictures",
        "checkpoint": {"name": "tiny", "sha256": {}},
        "sampling": {
            "guidance": 3.0, "steps": 2, "scheduler": "ddim", "seed": 0, "dtype": "float32",
        },
        "instruments": {"au_estimator": "embedded", "identity": "embedded", "parser": "embedded"},
        "measured": "crop",
    }  # fmt: skip
    return {**settings, **changes}


def make_run(path: Path, shares: dict[str, float], **changes: Any) -> RunFolder:
    """A finished run on disk, one share of what is asked per person."""
    run = start_run(path, make_settings(list(shares), **changes), {"device": "cpu"})
    for person, share in shares.items():
        write_rows(person_rows(person, share), run.rows_path(person))
    return run
