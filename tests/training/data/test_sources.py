"""Which source a folder is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from diffusers import AutoencoderKL
from magicface_training.config import ConfigError, DataConfig, load_config
from magicface_training.data.edit_sets import EditSets
from magicface_training.data.errors import DataError
from magicface_training.data.pairs import PairSource
from magicface_training.data.sources import open_source
from pair_shards import needs_litdata


@pytest.fixture
def npz(tmp_path: Path) -> Path:
    image = np.zeros((2, 4, 3, 8, 8), np.uint8)
    au = np.ones((2, 4, 12), np.float32)
    mask = np.zeros((2, 4, 8), np.uint8)
    np.savez(tmp_path / "a.npz", image=image, condition=image, mask=mask, au=au)
    return tmp_path


def test_edit_sets_and_shards(npz: Path, pair_shards: Path) -> None:
    assert isinstance(open_source(npz, "train", DataConfig()), EditSets)
    assert isinstance(open_source(pair_shards, "train", DataConfig()), PairSource)
    with pytest.raises(DataError, match=r"edit sets \(\.npz\), whose latents cannot be cached"):
        open_source(npz, "train", DataConfig(cache="latents"))


def test_fingerprints_follow_the_data(npz: Path, pair_shards: Path, vae: AutoencoderKL) -> None:
    first = open_source(npz, "train", DataConfig()).fingerprint
    with np.load(npz / "a.npz") as shard:
        arrays = dict(shard)
    arrays["au"][1, 2, 3] = 2.0
    np.savez(npz / "a.npz", **arrays)
    splits = ("train", "validation")
    others = [open_source(pair_shards, split, DataConfig()).fingerprint for split in splits]
    assert len({first, open_source(npz, "train", DataConfig()).fingerprint, *others}) == 4


@needs_litdata
def test_readers_do_not_change_the_fingerprint(pair_shards: Path) -> None:
    plain, streamed = (
        open_source(pair_shards, "train", DataConfig(reader=reader)).fingerprint
        for reader in ("memory-mapped", "streaming")
    )
    assert plain == streamed


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.reader=tar", r"data\.reader is 'tar'; allowed: \('memory-mapped', 'streaming'\)"),
        ("data.workers=-1", r"data\.workers is -1; choose 0 or more"),
        ("data.flip=1.5", r"data\.flip is 1\.5; choose 0\.\.1"),
        ("data.identities_per_step=0", r"data\.identities_per_step is 0; choose 1 or more"),
    ],
)
def test_settings_out_of_range(tmp_path: Path, setting: str, message: str) -> None:
    (tmp_path / "config.yaml").touch()
    with pytest.raises(ConfigError, match=message):
        load_config(tmp_path / "config.yaml", [setting])
