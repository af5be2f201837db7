"""A synthetic run on disk, so that it can be resumed: its settings, and a file per identity.

RUN/run.json holds what the rows were made with; RUN/rows/seed-00007.json is written when all edits
of an identity are measured.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from magicface_core.files import write_file

from ..published.run_folder import RUN_FILE, begin_run, check_folder, require_same
from ..records import EditRecord, EvaluationError, record_as_dict, record_from_dict

SYNTHETIC_FORMAT = "magicface-synthetic-run-1"


class SyntheticRun:
    """The folder of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def start(self, settings: Mapping[str, Any]) -> None:
        """Begins the run, or goes on with one of the same settings.

        Raises:
            EvaluationError: the folder holds something else or a run of other settings.
            OutputError: it cannot be made or written.
        """
        check_folder(self.path)
        wanted = json.loads(json.dumps({"format": SYNTHETIC_FORMAT, **settings}))
        if (self.path / RUN_FILE).exists():
            require_same(self.path, _settings(self.path / RUN_FILE), wanted)
            return
        begin_run(self.path, wanted)

    def rows_path(self, seed: int) -> Path:
        """Where the rows of one identity are."""
        return self.path / "rows" / f"seed-{seed:05d}.json"

    def keep(self, seed: int, records: Sequence[EditRecord]) -> None:
        """Writes the rows of one identity, whole or not at all."""
        rows = [record_as_dict(record) for record in records]
        write_file(self.rows_path(seed), json.dumps(rows) + "\n")

    def records(self, seed: int) -> tuple[EditRecord, ...] | None:
        """The rows of one identity; None where it is not finished.

        Raises:
            EvaluationError: the file is damaged.
        """
        path = self.rows_path(seed)
        if not path.is_file():
            return None
        try:
            return tuple(map(record_from_dict, json.loads(path.read_text(encoding="utf-8"))))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EvaluationError(
                f'"{path}" cannot be read ({error!r}); delete it and run the evaluation again.'
            ) from error


def _settings(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise EvaluationError(f'"{path}" is not the start of a run ({error}).') from error
    return found if isinstance(found, dict) else {}
