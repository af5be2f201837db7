"""Shards that are not what their manifest says, and manifests that are none."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest
from magicface_training.shards.errors import ShardError, require
from magicface_training.shards.manifest import Manifest, read_manifest, write_manifest
from magicface_training.shards.verification import verify
from magicface_training.shards.writing import Shard

from magicface_core.files import file_sha256

SHARD = "train/shard-00000.parquet"


@pytest.fixture
def copied(prepared: Path, tmp_path: Path) -> Path:
    """Shards to damage."""
    return Path(shutil.copytree(prepared, tmp_path / "shards"))


def change_manifest(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    tree = json.loads(path.read_text(encoding="utf-8"))
    change(tree)
    path.write_text(json.dumps(tree), encoding="utf-8")


def rewrite(folder: Path, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a shard and let the manifest agree with it."""
    path, manifest = folder / SHARD, read_manifest(folder)
    table = change(parquet.read_table(path))
    parquet.write_table(table, path, compression="none")
    shard = Shard(SHARD, table.num_rows, path.stat().st_size, file_sha256(path))
    splits = {**manifest.splits, "train": (shard,)}
    write_manifest(folder, Manifest(**{**vars(manifest), "splits": splits}))


def set_column(table: pa.Table, name: str, row: int, value: object) -> pa.Table:
    values = table.column(name).to_pylist()
    values[row] = value
    field = table.schema.field(name)
    return table.set_column(table.schema.get_field_index(name), field, pa.array(values, field.type))


def test_what_was_written_is_read(prepared: Path, tmp_path: Path) -> None:
    manifest = read_manifest(prepared)
    write_manifest(tmp_path, manifest)
    assert read_manifest(tmp_path) == manifest
    assert manifest.paths(prepared, "train") == [prepared / SHARD]
    assert manifest.paths(prepared, "nonsense") == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tree: tree.update(format="other"), "format 'other'"),
        (lambda tree: tree.update(version=2), "version 2; this program reads"),
        (lambda tree: tree.pop("splits"), "not whole .KeyError: 'splits'"),
        (lambda tree: tree.update(splits=[]), "not whole"),
        (lambda tree: tree["splits"]["train"][0].pop("rows"), "not whole"),
        (lambda tree: tree.update(licences=[]), "names no licence"),
        (lambda tree: tree["splits"]["train"][0].update(sha256="0" * 64), "not match itself"),
        (lambda tree: tree["splits"]["train"][0].update(file="../a/b.parquet"), "outside"),
        (lambda tree: tree["splits"]["train"][0].update(file="/etc/passwd"), "outside"),
    ],
)
def test_manifest_that_is_none(
    copied: Path, change: Callable[[dict[str, Any]], object], message: str
) -> None:
    change_manifest(copied, change)
    with pytest.raises(ShardError, match=message):
        read_manifest(copied)


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_file_that_is_no_manifest(tmp_path: Path, text: str) -> None:
    (tmp_path / "manifest.json").write_text(text, encoding="utf-8")
    with pytest.raises(ShardError, match=r"no manifest.*Prepare the shards again"):
        read_manifest(tmp_path)


def test_folder_without_a_manifest(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match=r"There is no manifest\.json"):
        verify(tmp_path)


def test_missing_shard(copied: Path) -> None:
    (copied / SHARD).unlink()
    with pytest.raises(ShardError, match=r"shard-00000.parquet\" is missing; copy it again"):
        verify(copied)


def test_cut_shard(copied: Path) -> None:
    content = (copied / SHARD).read_bytes()
    (copied / SHARD).write_bytes(content[:-1])
    with pytest.raises(ShardError, match=f"has {len(content) - 1} bytes instead of"):
        verify(copied)


def test_one_changed_byte(copied: Path) -> None:
    content = bytearray((copied / SHARD).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / SHARD).write_bytes(content)
    with pytest.raises(ShardError, match="is damaged: its sha256"):
        verify(copied)


def test_shard_of_another_preparation(copied: Path) -> None:
    shutil.copy(copied / SHARD, copied / "test" / "shard-00009.parquet")
    with pytest.raises(ShardError, match=r"shard-00009.parquet\" is not in the manifest"):
        verify(copied)


def test_pair_that_is_there_twice(copied: Path) -> None:
    rewrite(copied, lambda table: pa.concat_tables([table, table.slice(0, 1)]))
    with pytest.raises(ShardError, match="is there twice"):
        verify(copied)


def test_identity_in_two_splits(copied: Path) -> None:
    other = parquet.read_table(copied / "test" / "shard-00000.parquet").column("identity_id")[0]
    rewrite(copied, lambda table: set_column(table, "identity_id", 0, other.as_py()))
    with pytest.raises(ShardError, match="of another split"):
        verify(copied)


def test_other_columns(copied: Path) -> None:
    rewrite(copied, lambda table: table.drop_columns(["quality"]))
    with pytest.raises(ShardError, match="other columns"):
        verify(copied)


def test_changed_picture_is_found_when_looking_deep(copied: Path) -> None:
    rewrite(copied, lambda table: set_column(table, "mask", 0, b"another picture"))
    verify(copied)
    with pytest.raises(ShardError, match="pictures that do not match"):
        verify(copied, deep=True)


def test_missing_package_names_the_pip_line() -> None:
    with pytest.raises(ShardError, match=r'python -m pip install "comfyui-magicface\[data\]"'):
        require("a_package_that_nobody_has", "data")
