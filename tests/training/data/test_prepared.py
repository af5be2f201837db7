"""Manifests, and shards that are not what they say."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from magicface_training.config import DataConfig
from magicface_training.data.errors import DataError
from magicface_training.data.prepared import filled_splits, open_prepared
from magicface_training.data.sources import open_source
from magicface_training.shards.manifest import Manifest, write_manifest
from magicface_training.shards.writing import Shard
from pair_shards import png, smooth_picture, write_pair_shards

from magicface_core.files import file_sha256


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_pair_shards(tmp_path / "shards", splits={"train": (3, 2), "test": (1,), "validation": ()})
    return tmp_path / "shards"


def test_a_split(folder: Path) -> None:
    prepared = open_prepared(folder, "train", DataConfig())
    assert (prepared.rows, prepared.ends) == ((3, 2), (3, 5))
    assert prepared.picture_size == 64
    assert prepared.scratch == folder / "reader"
    assert prepared.sha256 == json.loads((folder / "manifest.json").read_text())["sha256"]
    assert filled_splits(folder) == ("train", "test")


def test_splits_and_folders_without_pairs(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no pairs in the split 'validation' \(there are \['test'"):
        open_prepared(folder, "validation", DataConfig())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"neither manifest\.json nor edit sets .* magicface-data"):
        open_source(tmp_path / "empty", "train", DataConfig())


def replace_shard(folder: Path, change: Callable[[pyarrow.Table], pyarrow.Table]) -> None:
    """Another table as the first shard, with a manifest that fits."""
    path = folder / "train" / "shard-00000.parquet"
    table = change(pyarrow.parquet.read_table(path))
    pyarrow.parquet.write_table(table, path)
    shard = Shard("train/shard-00000.parquet", 3, path.stat().st_size, file_sha256(path))
    write_manifest(folder, Manifest(64, {"train": (shard,)}, {}, ("made up",), "", {}, {}))


def shorten(folder: Path) -> None:
    path = folder / "train" / "shard-00001.parquet"
    path.write_bytes(path.read_bytes()[:-100])


def overwrite(folder: Path) -> None:
    path = folder / "train" / "shard-00001.parquet"
    path.write_bytes(bytes(path.stat().st_size))


def remove(folder: Path) -> None:
    (folder / "train" / "shard-00001.parquet").unlink()


def drop_rows(folder: Path) -> None:
    replace_shard(folder, lambda table: table.slice(0, 2))


def drop_columns(folder: Path) -> None:
    replace_shard(folder, lambda table: table.drop_columns(["mask", "aus_target"]))


def edit_manifest(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"rows": 3', '"rows": 4'))


def forge_hash(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"sha256": "', '"sha256": "0', 1))


def break_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text("{")


def new_version(folder: Path) -> None:
    path = folder / "manifest.json"
    path.write_text(path.read_text().replace('"version": 1', '"version": 2'))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shorten, r"shard-00001\.parquet has \d+ bytes, the manifest says \d+; .* verify"),
        (overwrite, r"shard-00001\.parquet.* cannot be read .* magicface-data verify"),
        (remove, r"shard-00001\.parquet is missing, but the manifest lists it; .* verify"),
        (drop_rows, r"has 2 rows, the manifest says 3"),
        (drop_columns, r"lacks the columns \['mask', 'aus_target'\]; prepare the shards again"),
        (edit_manifest, r"has 3 rows, the manifest says 4"),
        (forge_hash, r"does not match itself"),
        (break_manifest, r"is no manifest.* Prepare the shards again"),
        (new_version, r"version 2; this program reads"),
    ],
)
def test_what_does_not_match_is_named(
    folder: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(folder)
    with pytest.raises(DataError, match=message):
        open_prepared(folder, "train", DataConfig())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (png(smooth_picture(np.random.default_rng(0), 32)), "has 32 x 32 pixels"),
        (b"\x89PNG\r\n\x1a\n and nothing", "is no readable picture"),
        (b"", "is no readable picture"),
    ],
)
def test_pictures_that_cannot_be_used(folder: Path, content: bytes, message: str) -> None:
    def change(table: pyarrow.Table) -> pyarrow.Table:
        column = [content, *table["target"].to_pylist()[1:]]
        return table.set_column(
            table.column_names.index("target"), table.schema.field("target"), [column]
        )

    replace_shard(folder, change)
    source = open_source(folder, "train", DataConfig())
    with pytest.raises(DataError, match=rf"target of the pair train-0 {message}.*data verify"):
        source.sample(0, np.random.default_rng(0), DataConfig())
