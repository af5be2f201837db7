"""Cached latents are what encoding the pictures gives, and belong to one autoencoder."""

from __future__ import annotations

import copy
import errno
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from magicface_training.config import DataConfig
from magicface_training.data import latent_cache
from magicface_training.data.errors import DataError
from magicface_training.data.latent_cache import cache_latents
from magicface_training.data.latent_files import autoencoder_key, bytes_per_pair
from magicface_training.data.samples import Sample
from magicface_training.data.sources import SampleSource, open_source
from pair_shards import write_pair_shards
from safetensors import safe_open

from magicface_core.errors import MagicFaceError
from magicface_core.network.autoencoder import PatchAutoencoder, encode_mode

HALF = {"rtol": 1e-3, "atol": 1e-5}


def drawn(source: SampleSource, index: int, **settings: float) -> Sample:
    config = DataConfig(**{"zero_delta": 0.0, **settings})  # type: ignore[arg-type]
    return source.sample(index, np.random.default_rng(0), config)


@pytest.fixture(scope="module")
def both(pair_shards: Path, cached: Path, vae: AutoencoderKL) -> SampleSource:
    """A source of samples with pictures and latents."""
    config = DataConfig(cache=str(cached), flip=0.5)
    return open_source(pair_shards, "train", config, vae=vae, pictures=True)


# --- size ---------------------------------------------------------------------------------------


def test_a_pair_takes_128_kb_at_512() -> None:
    assert bytes_per_pair(512, reduction=8, channels=4) == 128 * 1024
    assert bytes_per_pair(512, reduction=8, channels=4, flipped=True) == 256 * 1024


def test_files_take_what_the_arithmetic_says(cached: Path, vae: AutoencoderKL) -> None:
    folder = cached / autoencoder_key(vae) / "train"
    paths = sorted(folder.glob("*.safetensors"))
    assert [path.name for path in paths] == [
        f"shard-0000{i}{flipped}.safetensors" for i in (0, 1) for flipped in (".flipped", "")
    ]
    for path, rows in zip(paths, (5, 5, 4, 4), strict=True):
        header = path.stat().st_size - rows * bytes_per_pair(64, reduction=8, channels=4)
        assert 0 < header < 1024
        with safe_open(path, "pt") as file:
            for name in ("source", "target_mean", "target_std", "background"):
                assert file.get_slice(name).get_dtype() == "F16"
                assert file.get_slice(name).get_shape() == [rows, 4, 8, 8]


# --- content ------------------------------------------------------------------------------------


@pytest.mark.parametrize("settings", [{}, {"flip": 1.0}, {"zero_delta": 1.0}])
@torch.no_grad()
def test_latents_are_those_of_the_pictures(
    both: SampleSource, vae: AutoencoderKL, settings: dict[str, float]
) -> None:
    for index in (0, 4, 5, 8):
        sample = drawn(both, index, **settings)
        latents = sample.latents
        assert latents is not None
        assert sample.identity is not None
        assert sample.target is not None
        assert sample.condition is not None
        posterior = vae.encode(sample.target * 2 - 1).latent_dist
        expected = {
            "identity": encode_mode(vae, sample.identity[None])[0],
            "condition": encode_mode(vae, sample.condition),
            "target_mean": posterior.mean,
            "target_std": posterior.std,
        }
        for name, tensor in expected.items():
            found = getattr(latents, name)
            assert found.dtype == torch.float16
            torch.testing.assert_close(found.float(), tensor, **HALF)
        noise = torch.randn(posterior.mean.shape, generator=torch.Generator().manual_seed(0))
        torch.testing.assert_close(
            latents.target(noise), posterior.mean + posterior.std * noise, rtol=1e-3, atol=2e-3
        )
        assert float(posterior.std.min()) > 0


def test_pictures_are_decoded_on_request_alone(
    pair_shards: Path, cached: Path, vae: AutoencoderKL, both: SampleSource
) -> None:
    source = open_source(pair_shards, "train", DataConfig(cache=str(cached)), vae=vae)
    sample, complete = drawn(source, 6), drawn(both, 6)
    assert (sample.identity, sample.target, sample.condition) == (None, None, None)
    assert sample.latents is not None
    assert complete.latents is not None
    assert torch.equal(sample.latents.target_std, complete.latents.target_std)
    assert torch.equal(sample.mask, complete.mask)
    assert torch.equal(sample.delta, complete.delta)


def test_a_posterior_without_variance(pair_shards: Path, tmp_path: Path) -> None:
    vae = PatchAutoencoder(latent_channels=2, width=4, blocks=1)
    config = DataConfig(cache=str(cache_latents(pair_shards, vae, out=tmp_path)))
    latents = drawn(open_source(pair_shards, "train", config, vae=vae), 0).latents
    assert latents is not None
    assert not latents.target_std.any()


# --- whose they are -----------------------------------------------------------------------------


def test_key_follows_weights_and_settings(vae: AutoencoderKL) -> None:
    other = copy.deepcopy(vae)
    assert autoencoder_key(other) == autoencoder_key(vae)
    with torch.no_grad():
        other.encoder.conv_in.bias[0] += 1e-3
    keys = {autoencoder_key(vae), autoencoder_key(other)}
    keys.add(autoencoder_key(copy.deepcopy(vae).half()))
    other = copy.deepcopy(vae)
    other.register_to_config(scaling_factor=1.0)
    keys.add(autoencoder_key(other))
    assert len(keys) == 4


def test_latents_of_another_autoencoder_are_refused(
    pair_shards: Path, cached: Path, vae: AutoencoderKL
) -> None:
    other = copy.deepcopy(vae)
    with torch.no_grad():
        other.quant_conv.bias += 1
    config = DataConfig(cache=str(cached))
    with pytest.raises(DataError, match=r"2 of 2 .*other autoencoders: .*magicface-data cache"):
        open_source(pair_shards, "train", config, vae=other)
    with pytest.raises(DataError, match="no autoencoder says which latents"):
        open_source(pair_shards, "train", config)


def test_latents_of_other_shards_are_refused(
    cached: Path, vae: AutoencoderKL, tmp_path: Path
) -> None:
    write_pair_shards(tmp_path / "shards", seed=1)
    with pytest.raises(DataError, match=r"2 of 2 files of latents are missing or of other shards"):
        open_source(tmp_path / "shards", "train", DataConfig(cache=str(cached)), vae=vae)


def test_flips_have_to_be_cached(pair_shards: Path, vae: AutoencoderKL, tmp_path: Path) -> None:
    cache = cache_latents(pair_shards, vae, out=tmp_path)
    config = DataConfig(cache=str(cache), flip=0.5)
    with pytest.raises(DataError, match=r"2 of 4 .* --flip with the autoencoder"):
        open_source(pair_shards, "train", config, vae=vae)
    plain = open_source(pair_shards, "train", DataConfig(cache=str(cache)), vae=vae)
    with pytest.raises(DataError, match=r"data\.flip is above 0"):
        plain.check(config)
    with pytest.raises(DataError, match=r"data\.window cuts pictures, but latents"):
        plain.check(DataConfig(cache=str(cache), window=32))
    cache_latents(pair_shards, vae, out=tmp_path, flip=True)
    open_source(pair_shards, "train", config, vae=vae).check(config)


# --- interruptions and faults -------------------------------------------------------------------


def test_finished_shards_are_kept_and_damaged_ones_made_again(
    pair_shards: Path, vae: AutoencoderKL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = cache_latents(pair_shards, vae, out=tmp_path) / autoencoder_key(vae)
    contents = {path: path.read_bytes() for path in folder.rglob("*.*")}
    assert len(contents) == 6  # three shards and their records
    damaged, removed, cut = sorted(path for path in contents if path.suffix == ".safetensors")
    flipped_bit = bytearray(contents[damaged])
    flipped_bit[-1] ^= 1
    damaged.write_bytes(flipped_bit)
    removed.unlink()
    cut.with_suffix(".json").unlink()  # as if killed between both
    encoded: list[str] = []
    encode = latent_cache._encoded
    monkeypatch.setattr(
        latent_cache,
        "_encoded",
        lambda p, s, *rest: (encoded.append(s.file), encode(p, s, *rest))[1],
    )
    cache_latents(pair_shards, vae, out=tmp_path)
    assert len(encoded) == 3
    assert {path: path.read_bytes() for path in folder.rglob("*.*")} == contents
    cache_latents(pair_shards, vae, out=tmp_path)
    assert len(encoded) == 3


def test_full_disk_leaves_nothing_half_written(
    pair_shards: Path, vae: AutoencoderKL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(MagicFaceError, match=r"cannot be written: No space left .*make room"):
        cache_latents(pair_shards, vae, out=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_damaged_latents(pair_shards: Path, vae: AutoencoderKL, tmp_path: Path) -> None:
    cache = cache_latents(pair_shards, vae, out=tmp_path)
    path = cache / autoencoder_key(vae) / "train" / "shard-00000.safetensors"
    path.write_bytes(bytes(path.stat().st_size))
    source = open_source(pair_shards, "train", DataConfig(cache=str(cache)), vae=vae)
    with pytest.raises(DataError, match=r"cannot read the latents .*repeat magicface-data cache"):
        drawn(source, 0)


def test_shards_have_to_be_local(vae: AutoencoderKL) -> None:
    with pytest.raises(DataError, match="cached from a local folder"):
        cache_latents("s3://bucket/shards", vae)
