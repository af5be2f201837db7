"""Where samples come from: edit sets, or prepared shards read in one of several ways."""

from __future__ import annotations

from pathlib import Path

from magicface_core.network.autoencoder import Autoencoder

from ..config import DataConfig
from .edit_sets import EditSets
from .errors import DataError
from .latent_files import LatentCache, autoencoder_key
from .pairs import PairSource, needed_columns
from .prepared import is_address, open_prepared
from .rows import open_rows
from .samples import SampleSource

__all__ = ["SampleSource", "open_source"]


def open_source(
    folder: Path | str,
    split: str,
    config: DataConfig,
    *,
    vae: Autoencoder | None = None,
    pictures: bool | None = None,
) -> SampleSource:
    """Open a folder of edit sets (.npz) or of prepared shards (``manifest.json``).

    Args:
        folder: the folder; with the streaming reader also an address such as s3://bucket/shards.
        split: "train", "validation" or "test" of prepared shards; edit sets have none.
        config: ``reader``, ``cache`` and ``scratch`` count here.
        vae: the run's autoencoder, whose latents are looked for in ``config.cache``.
        pictures: decode pictures; by default where no latents are cached.

    Raises:
        DataError: the data is missing, damaged or does not fit the settings; says the fix.
    """
    if not is_address(folder) and any(Path(folder).glob("*.npz")):
        if config.cache:
            raise DataError(
                f"{folder} holds edit sets (.npz), whose latents cannot be cached; set data.cache "
                "to ''"
            )
        return EditSets(folder)
    prepared = open_prepared(folder, split, config)
    latents = None
    if config.cache:
        if vae is None:
            raise DataError("data.cache is set, but no autoencoder says which latents to read")
        latents = LatentCache.open(
            Path(config.cache), prepared, autoencoder_key(vae), config.flip > 0
        )
    shown = latents is None if pictures is None else pictures
    rows = open_rows(prepared, needed_columns(shown), config.reader)
    return PairSource(prepared, rows, latents, shown)
