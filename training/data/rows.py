"""Rows of prepared shards by number, memory-mapped or streamed.

Memory-mapped: HF datasets copies the columns that are needed into Arrow files once and maps them,
so any row is at hand. Streamed: LitData's ParquetLoader reads row groups of one shard at a time,
in place or fetched from a bucket, so nothing has to fit on a disk.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from magicface_core.errors import OutputError
from magicface_core.files import write_file

from .errors import DataError
from .prepared import Prepared, file_name, open_litdata, verify_hint

Row = Mapping[str, Any]


class Rows(Protocol):
    """The rows of a split in the order of its shards; picklable."""

    @property
    def shards(self) -> tuple[int, ...]:
        """Rows of each shard where they have to be read shard by shard; else empty."""

    def row(self, index: int) -> Row:
        """The needed columns of a row."""


def open_rows(prepared: Prepared, columns: Sequence[str], reader: str) -> Rows:
    """Rows with some of the columns; ``reader`` is "memory-mapped" or "streaming"."""
    if reader == "streaming":
        return StreamedRows(prepared, columns)
    if prepared.remote:
        raise DataError(
            f"{prepared.folder} cannot be memory-mapped: set data.reader to streaming, or copy the "
            "shards to a local folder"
        )
    return MemoryMappedRows(prepared, columns)


class MemoryMappedRows:
    """Through HF datasets; the Arrow copy lies in the scratch folder and is used again."""

    def __init__(self, prepared: Prepared, columns: Sequence[str]) -> None:
        datasets = _datasets()
        self.prepared = prepared
        folder = prepared.scratch / "arrow" / prepared.sha256[:16]
        try:
            self.table = datasets.Dataset.from_parquet(
                [str(prepared.path(shard)) for shard in prepared.shards],
                split=datasets.NamedSplit(prepared.split),
                cache_dir=str(folder),
                columns=list(columns),
            )
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
            cause = error.__cause__ or error
            raise DataError(
                f"cannot bring the shards of {prepared.folder} into {folder}: {cause}; make room "
                f"there, or {verify_hint(prepared.folder)}"
            ) from error

    @property
    def shards(self) -> tuple[int, ...]:
        """Any row is at hand."""
        return ()

    def row(self, index: int) -> Row:
        """The needed columns of a row."""
        row: Row = self.table[index]
        return row


class StreamedRows:
    """Through LitData's ParquetLoader, one shard open at a time.

    Of the shard that is being read, the row groups met so far are kept decoded. Shards that were
    fetched stay in the scratch folder; beyond three quarters of its free disk the oldest go.
    """

    def __init__(self, prepared: Prepared, columns: Sequence[str]) -> None:
        open_litdata()
        self.prepared = prepared
        self.columns = list(columns)
        self.ends = prepared.ends
        self.folder = prepared.scratch / "streaming" / f"{prepared.sha256[:16]}-{prepared.split}"
        self._cache: Any = None
        _write_index(self.folder, prepared)

    @property
    def shards(self) -> tuple[int, ...]:
        """Rows of each shard."""
        return self.prepared.rows

    def row(self, index: int) -> Row:
        """The needed columns of a row."""
        litdata = open_litdata()
        shard = bisect_right(self.ends, index)
        try:
            if self._cache is None:
                self._cache = self._open(litdata)
            row: Row = self._cache[litdata.sampler.ChunkedIndex(index=index, chunk_index=shard)]
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            name = self.prepared.shards[shard].file
            raise DataError(
                f"cannot read row {index} from {name} of {self.prepared.folder}: {error}; "
                f"{verify_hint(self.prepared.folder)}"
            ) from error
        return row

    def _open(self, litdata: Any) -> Any:
        # StreamingDataset would look for updates of its package on the network, and bring an
        # order of its own; the cache beneath it does neither.
        url = f"{self.prepared.folder.rstrip('/')}/{self.prepared.split}"
        return litdata.Cache(
            litdata.resolver.Dir(str(self.folder), url if self.prepared.remote else None),
            item_loader=litdata.item_loader.ParquetLoader(columns=self.columns),
            chunk_bytes=1,  # asked for, though nothing is written
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_cache": None}  # has threads and open files


def _write_index(folder: Path, prepared: Prepared) -> None:
    """LitData's list of the shards, in the manifest's order; local ones are named by their path.

    Lying here it is not looked for in the bucket.
    """
    chunks = [
        {
            "filename": file_name(shard)
            if prepared.remote
            else str(prepared.path(shard).resolve()),
            "chunk_size": shard.rows,
            "chunk_bytes": shard.bytes,
            "dim": None,
        }
        for shard in prepared.shards
    ]
    unused = ("compression", "chunk_size", "chunk_bytes", "data_spec", "types", "encryption")
    config: dict[str, Any] = {
        **dict.fromkeys(unused),
        "data_format": [],
        "item_loader": "ParquetLoader",
    }
    index = {"chunks": chunks, "config": config, "updated_at": "0"}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / "index.json", json.dumps(index))
    except (OSError, OutputError) as error:
        raise DataError(
            f"cannot write to {folder}: {error}; set data.scratch to a folder "
            "that can be written to"
        ) from error


def _datasets() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise DataError(
            "data.reader is memory-mapped, which needs HF datasets: "
            'pip install "comfyui-magicface[train]", or set data.reader to streaming'
        ) from error
    return datasets
