"""Rows on disk: what is written is read, whole, and readable errors else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from evaluation_rows import JOBS, lost_row, make_row
from magicface_training.evaluation.published.rows import read_rows, write_rows
from magicface_training.evaluation.records import EvaluationError

pyarrow = pytest.importorskip("pyarrow")


def test_rows_survive_with_their_gaps(tmp_path: Path) -> None:
    rows = (make_row("a", JOBS[0], 0.3), lost_row("a", JOBS[1]))
    path = tmp_path / "a.parquet"
    write_rows(rows, path)
    assert read_rows(path) == rows
    assert [item.name for item in tmp_path.iterdir()] == ["a.parquet"]


def test_columns_are_plain_for_other_programs(tmp_path: Path) -> None:
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    write_rows([make_row("a", JOBS[0])], path)
    schema = parquet.read_schema(path)
    assert schema.field("edit_aus").type == pyarrow.list_(pyarrow.float64(), 12)
    assert schema.field("source_pose").type == pyarrow.list_(pyarrow.float64(), 3)
    assert schema.field("edit_face").type == pyarrow.bool_()
    assert b"magicface-evaluation-rows-1" in schema.metadata[b"format"]


@pytest.mark.parametrize("content", [b"", b"PAR1 but not really"])
def test_damaged_rows_are_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.parquet"
    path.write_bytes(content)
    with pytest.raises(EvaluationError, match="delete it"):
        read_rows(path)


def test_other_tables_are_refused(tmp_path: Path) -> None:
    from pyarrow import parquet

    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table({"x": [1]}), path)
    with pytest.raises(EvaluationError, match="format"):
        read_rows(path)


def test_without_pyarrow_the_error_names_the_pip_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(EvaluationError, match=r'pip install "comfyui-magicface\[evaluate\]"'):
        write_rows([make_row("a", JOBS[0])], tmp_path / "a.parquet")
