"""Rows of prepared shards, whichever way they are read."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from magicface_training.config import DataConfig
from magicface_training.data.errors import DataError
from magicface_training.data.prepared import open_prepared
from magicface_training.data.rows import open_rows
from pair_shards import READERS, needs_litdata, pair_row, write_pair_shards

COLUMNS = ("pair_id", "mask", "aus_target")


@pytest.mark.parametrize("reader", READERS)
def test_rows_are_the_shards_in_order(pair_shards: Path, reader: str) -> None:
    prepared = open_prepared(pair_shards, "train", DataConfig())
    rows = open_rows(prepared, COLUMNS, reader)
    assert rows.shards == ((5, 4) if reader == "streaming" else ())
    copy = pickle.loads(pickle.dumps(rows))  # noqa: S301  # what worker processes get
    for index in (8, 0, 4, 5, 1, 7):
        expected = pair_row("train", index, 64, 0)
        for each in (rows, copy):
            assert dict(each.row(index)) == {name: expected[name] for name in COLUMNS}


@pytest.mark.parametrize("reader", READERS)
def test_validation_is_a_split_of_its_own(pair_shards: Path, reader: str) -> None:
    prepared = open_prepared(pair_shards, "validation", DataConfig())
    rows = open_rows(prepared, COLUMNS, reader)
    assert [rows.row(i)["pair_id"] for i in range(3)] == [f"validation-{i}" for i in range(3)]


@needs_litdata
def test_fetched_shards(pair_shards: Path, tmp_path: Path) -> None:
    """LitData's local: stands in for a bucket; only there it asks for a list of the files."""
    source = tmp_path / "bucket"
    write_pair_shards(source)
    (source / "train" / "index.json").touch()
    config = DataConfig(reader="streaming", scratch=str(tmp_path / "scratch"))
    prepared = open_prepared(f"local:{source}", "train", config)
    assert prepared.sha256 == open_prepared(pair_shards, "train", DataConfig()).sha256
    rows = open_rows(prepared, COLUMNS, "streaming")
    assert [rows.row(i)["pair_id"] for i in (2, 7, 3)] == ["train-2", "train-7", "train-3"]
    with pytest.raises(DataError, match=r"cannot be memory-mapped: set data\.reader to streaming"):
        open_rows(prepared, COLUMNS, "memory-mapped")
    with pytest.raises(DataError, match=r"set data\.scratch to a local folder"):
        open_prepared(f"local:{source}", "train", DataConfig(reader="streaming"))
    with pytest.raises(DataError, match=r"cannot fetch local:.*/absent/manifest\.json"):
        open_prepared(f"local:{tmp_path}/absent", "train", config)


ALONE = """
import sys
shards, scratch, reader = sys.argv[1:]
def watch(event, details):
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise AssertionError(f"{event} {details}")
sys.addaudithook(watch)
from magicface_training.config import DataConfig
from magicface_training.data.sources import open_source
heavy = {"datasets", "litdata", "polars"} & set(sys.modules)
assert not heavy, heavy
source = open_source(shards, "train", DataConfig(reader=reader, scratch=scratch))
assert source.rows.row(8)["pair_id"] == "train-8"
"""


@pytest.mark.parametrize("reader", READERS)
def test_nothing_is_written_elsewhere_and_nobody_is_called(
    pair_shards: Path, tmp_path: Path, reader: str
) -> None:
    folders = {name: tmp_path / name for name in ("home", "temporary", "work", "scratch")}
    for folder in folders.values():
        folder.mkdir()
    before = sorted(pair_shards.rglob("*"))
    hidden = ("HF_", "XDG_", "LITDATA", "TMPDIR")
    environment = {k: v for k, v in os.environ.items() if not k.startswith(hidden)}
    environment |= {"HOME": str(folders["home"]), "TMPDIR": str(folders["temporary"])}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    command = [sys.executable, "-c", ALONE, str(pair_shards), str(folders["scratch"]), reader]
    subprocess.run(command, check=True, env=environment, cwd=folders["work"], timeout=300)
    assert sorted(pair_shards.rglob("*")) == before
    for name in ("home", "temporary", "work"):
        assert not list(folders[name].rglob("*")), name
    written = {path.name for path in folders["scratch"].iterdir()}
    assert written == {"arrow" if reader == "memory-mapped" else "streaming"}


@pytest.mark.parametrize("reader", READERS)
def test_damaged_contents(tmp_path: Path, reader: str) -> None:
    """A shard whose footer is whole and whose rows are not."""
    write_pair_shards(tmp_path / "shards")
    path = tmp_path / "shards" / "train" / "shard-00000.parquet"
    content = bytearray(path.read_bytes())
    content[4 : len(content) // 2] = bytes(len(content) // 2 - 4)
    path.write_bytes(content)
    prepared = open_prepared(tmp_path / "shards", "train", DataConfig())
    with pytest.raises(DataError, match=r"magicface-data verify .*shards"):
        open_rows(prepared, COLUMNS, reader).row(0)
