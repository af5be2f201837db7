"""What is compared before the first step."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from magicface_training.config import DataConfig
from magicface_training.data.sources import open_source
from magicface_training.run import check_region
from magicface_training.settings import ConfigError
from magicface_training.shards.manifest import write_manifest
from pair_shards import write_pair_shards


@pytest.mark.parametrize("region", ["face", "person"])
def test_the_data_and_the_checkpoint_black_out_the_same(tmp_path: Path, region: str) -> None:
    manifest = write_pair_shards(tmp_path / "pairs", size=32)
    settings = {"video": {"region": region}}
    write_manifest(tmp_path / "pairs", dataclasses.replace(manifest, settings=settings))
    source = open_source(tmp_path / "pairs", "train", DataConfig(targets_per_identity=1))
    check_region(source, region, "pairs")
    other = {"face": "person", "person": "face"}[region]
    with pytest.raises(ConfigError, match=f'"{region}".*set info.region to "{region}"'):
        check_region(source, other, "pairs")


def test_data_that_do_not_say_are_taken_as_they_are(tmp_path: Path) -> None:
    write_pair_shards(tmp_path / "pairs", size=32)
    source = open_source(tmp_path / "pairs", "train", DataConfig(targets_per_identity=1))
    check_region(source, "person", "pairs")
