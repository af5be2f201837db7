"""Measuring editors: metrics, protocols with exact answers, reports.

`metrics` holds the measures and their error bars, `editor` what an editor must offer, `measure`
one row per edit, `synthetic_protocol` the rendered test identities, `report` tables and JSON, and
`cli` the sub-command ``magicface evaluate``.
"""

from .editor import CheckpointEditor, Editor, EditSource
from .metrics import (
    BackgroundError,
    ChangedError,
    background_error,
    bootstrap_interval,
    changed_error,
    identity_distance,
    pooled,
)

__all__ = [
    "BackgroundError",
    "ChangedError",
    "CheckpointEditor",
    "EditSource",
    "Editor",
    "background_error",
    "bootstrap_interval",
    "changed_error",
    "identity_distance",
    "pooled",
]
