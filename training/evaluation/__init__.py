"""Measuring editors: metrics, protocols, reports.

`metrics` holds the measures and their error bars, `editor` what an editor must offer. Two kinds of
protocols are built on them:

- with exact answers (`exact`): `jobs` lists the edits, `synthetic_protocol` renders test
  identities, `measure` makes one row (`records`) per edit with `readings` and the `au_regressor`,
  `synthetic_workers` spreads that over processes, `synthetic_folder` keeps rows on disk, `report`
  makes tables and JSON, and `acceptance` says whether a checkpoint is good enough;
- the paper's: `protocols` lists the edits (`combinations` the published 387), `identities` the
  faces, `edit_rows` measures with `instruments`, `run_folder` keeps rows on disk, `summary` and
  `comparison` turn them into numbers, `run_reports` into files.

`cli` is the sub-command ``magicface evaluate``.
"""

from .editor import CheckpointEditor, Editor, EditSource
from .metrics import ChangedError, bootstrap_interval, changed_error, identity_distance, pooled

__all__ = [
    "ChangedError",
    "CheckpointEditor",
    "EditSource",
    "Editor",
    "bootstrap_interval",
    "changed_error",
    "identity_distance",
    "pooled",
]
