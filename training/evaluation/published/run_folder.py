"""A run on disk: its settings, and one file of rows per identity, so that it can be resumed.

RUN/run.json holds what the rows were made with; RUN/rows/IDENTITY.parquet is written when all edits
of an identity are measured.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from magicface_core.errors import OutputError
from magicface_core.files import write_file

from ..editor import Editor
from ..identities import Identity, prepare_identity
from ..provenance import versions
from ..records import EditJob, EvaluationError
from .edit_rows import Measuring, identity_rows
from .instruments import loaded
from .rows import EditRow, parquet, read_rows, write_rows

logger = logging.getLogger(__name__)

RUN_FORMAT = "magicface-evaluation-run-1"
RUN_FILE = "run.json"
SHOWN_DIFFERENCES = 4


@dataclass(frozen=True)
class RunFolder:
    """A run's folder; `settings` are everything that shapes its rows, `identities` all names."""

    path: Path
    settings: Mapping[str, Any]
    versions: Mapping[str, str]

    @property
    def identities(self) -> tuple[str, ...]:
        return tuple(self.settings["identities"])

    @property
    def finished(self) -> tuple[str, ...]:
        """Names of the identities whose rows are there, in the order of the run."""
        return tuple(name for name in self.identities if self.rows_path(name).is_file())

    def rows_path(self, identity: str) -> Path:
        return self.path / "rows" / f"{identity}.parquet"

    def rows(self) -> Iterator[EditRow]:
        """All rows that are there.

        Raises:
            EvaluationError: no identity is finished, or a file cannot be read.
        """
        if not self.finished:
            raise EvaluationError(f'No identity of "{self.path}" is finished; run it again first.')
        for name in self.finished:
            yield from read_rows(self.rows_path(name))


def start_run(path: Path, settings: Mapping[str, Any], machine: Mapping[str, Any]) -> RunFolder:
    """A new run, or the one of the same settings that is there already.

    Raises:
        EvaluationError: pyarrow is missing, or the folder holds something else or a run of other
            settings (says which).
        OutputError: the folder cannot be made or written.
    """
    check_place(path)
    wanted = json.loads(json.dumps({"format": RUN_FORMAT, **settings}))
    if (path / RUN_FILE).exists():
        run = open_run(path)
        require_same(path, run.settings, wanted)
        if run.versions != versions():
            logger.warning('the run "%s" was begun with other package versions', path)
        return run
    begin_run(path, {"settings": wanted, "versions": versions(), "machine": dict(machine)})
    return RunFolder(path, wanted, versions())


def check_place(path: Path) -> None:
    """Fails now for a folder that `start_run` would refuse, whatever the settings.

    Raises:
        EvaluationError: pyarrow is missing, or the place is taken by something else.
    """
    parquet()
    check_folder(path)


def check_folder(path: Path) -> None:
    """Raises EvaluationError where something that is no run is in the place of one."""
    if path.exists() and not path.is_dir():
        raise EvaluationError(f'"{path}" is a file; --out wants a folder.')
    if path.is_dir() and any(path.iterdir()) and not (path / RUN_FILE).exists():
        raise EvaluationError(f'"{path}" holds something else already; choose a new folder.')


def begin_run(path: Path, content: Mapping[str, Any]) -> None:
    """Makes the folder of a run and writes what it begins with.

    Raises:
        OutputError: it cannot be made or written.
    """
    try:
        (path / "rows").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f'Folder "{path}" cannot be made: {error.strerror}.') from error
    write_file(path / RUN_FILE, json.dumps(content, indent=1) + "\n")


def open_run(path: Path) -> RunFolder:
    """A run that is there.

    Raises:
        EvaluationError: it is none, or one of another format.
    """
    try:
        content = json.loads((path / RUN_FILE).read_text(encoding="utf-8"))
        settings, made_with = content["settings"], content["versions"]
        known = settings["format"] == RUN_FORMAT and "identities" in settings
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise EvaluationError(f'"{path}" is not an evaluation run ({error}).') from error
    if not known:
        raise EvaluationError(f'"{path}" is a run of another format than {RUN_FORMAT}.')
    return RunFolder(path, settings, made_with)


def complete(
    run: RunFolder,
    editor: Editor,
    identities: Sequence[Identity],
    jobs: Sequence[EditJob],
    measuring: Measuring,
    on_edit: Callable[[], None] | None = None,
) -> None:
    """Edits and measures the identities that are not finished yet, one after the other."""
    perception = loaded(measuring.choice).perception
    for identity in identities:
        path = run.rows_path(identity.name)
        if not path.is_file():
            subject = prepare_identity(identity, editor.framing, perception)
            write_rows(identity_rows(editor, subject, jobs, measuring, on_edit), path)


def require_same(path: Path, kept: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raises EvaluationError, naming what differs, unless both settings are equal."""
    before, now = _flat(kept), _flat(wanted)
    changed = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    if changed:
        shown = "; ".join(
            f"{key}: {before.get(key, 'absent')} there, {now.get(key, 'absent')} asked for"
            for key in changed[:SHOWN_DIFFERENCES]
        )
        more = len(changed) - SHOWN_DIFFERENCES
        raise EvaluationError(
            f'"{path}" holds a run of other settings ({shown}'
            f"{f'; and {more} more' if more > 0 else ''}). Its rows cannot be mixed with others: "
            "choose a new folder with --out."
        )


def _flat(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, Mapping):
            found.update(_flat(item, f"{prefix}{key}."))
        else:
            found[f"{prefix}{key}"] = item
    return found
