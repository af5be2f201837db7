"""The raw rows of a run: one per edit, one Parquet file per identity.

pyarrow is optional: ``pip install "comfyui-magicface[evaluate]"``.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from magicface_core.aus import AU_ORDER
from magicface_core.files import write_file

from ..records import EvaluationError, JobKind

ROWS_FORMAT = "magicface-evaluation-rows-1"
INSTALL = 'pip install "comfyui-magicface[evaluate]"'
RowKind = JobKind | Literal["floor"]
Numbers = tuple[float, ...]


@dataclass(frozen=True)
class EditRow:
    """The raw measurements of one edit, or of one floor (what an editor that does less would get).

    identity, identity_sha256, identity_kind   whose face, and the hash of the picture
    job, kind            name of the edit, "single", "combination" or "floor"
    requested            [12] change asked for, in `AU_ORDER`; zeros for a floor
    source_aus, edit_aus [12] intensities 0..5; None where no face was found
    identity_distance    L2 of the two embeddings; None where one is missing
    background_rmse      0..1, with the faces of both pictures masked; None where nothing is left
    source_pose, edit_pose  [3] yaw, pitch, roll in degrees
    source_face, edit_face  whether a face was found
    source_embedded      whether the source has an embedding
    au_estimator, identity_embedding, parser   the instruments
    versions             JSON object of package versions
    """

    identity: str
    identity_sha256: str
    identity_kind: str
    job: str
    kind: RowKind
    requested: Numbers
    source_aus: Numbers | None
    edit_aus: Numbers | None
    identity_distance: float | None
    background_rmse: float | None
    source_pose: Numbers | None
    edit_pose: Numbers | None
    source_face: bool
    edit_face: bool
    source_embedded: bool
    au_estimator: str
    identity_embedding: str
    parser: str
    versions: str


def parquet() -> ModuleType:
    """The module pyarrow.parquet.

    Raises:
        EvaluationError: it is not installed; names the pip line.
    """
    try:
        return import_module("pyarrow.parquet")
    except ImportError as error:
        raise EvaluationError(
            f"Rows are kept as Parquet, which needs pyarrow: {INSTALL}"
        ) from error


def write_rows(rows: Sequence[EditRow], path: Path) -> None:
    """Writes one identity's rows, whole or not at all.

    Raises:
        EvaluationError: pyarrow is missing.
        OutputError: the file cannot be written.
    """
    writer, pyarrow = parquet(), import_module("pyarrow")
    table = pyarrow.Table.from_pylist([asdict(row) for row in rows], schema=_schema())
    sink = pyarrow.BufferOutputStream()
    writer.write_table(table, sink)
    write_file(path, sink.getvalue().to_pybytes())


def read_rows(path: Path) -> tuple[EditRow, ...]:
    """The rows of one file, in their order.

    Raises:
        EvaluationError: pyarrow is missing, or the file is damaged or of another format.
    """
    reader, pyarrow = parquet(), import_module("pyarrow")
    try:
        table = reader.read_table(path)
    except (OSError, pyarrow.ArrowException) as error:
        raise EvaluationError(
            f'"{path}" cannot be read ({error}); delete it and run the evaluation again.'
        ) from error
    metadata = table.schema.metadata or {}
    if metadata.get(b"format") != ROWS_FORMAT.encode():
        raise EvaluationError(f'"{path}" does not hold rows of the format {ROWS_FORMAT}.')
    return tuple(_row(values) for values in table.to_pylist())


def _row(values: dict[str, Any]) -> EditRow:
    lists = {name: tuple(value) for name, value in values.items() if isinstance(value, list)}
    return EditRow(**{**values, **lists})


def _schema() -> Any:
    """The pyarrow schema of `EditRow`."""
    pyarrow = import_module("pyarrow")
    aus, angles = pyarrow.list_(pyarrow.float64(), 12), pyarrow.list_(pyarrow.float64(), 3)
    kinds: dict[str, Any] = {
        "Numbers": aus,
        "Numbers | None": aus,
        "float | None": pyarrow.float64(),
        "bool": pyarrow.bool_(),
    }
    columns = []
    for field in fields(EditRow):
        kind = angles if field.name.endswith("pose") else kinds.get(str(field.type))
        columns.append((field.name, kind or pyarrow.string()))
    about = {"format": ROWS_FORMAT, "action_units": json.dumps(AU_ORDER)}
    return pyarrow.schema(columns, metadata=about)
