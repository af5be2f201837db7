"""The benchmark of ablations: what its variants are, that it runs, and that it keeps results."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from magicface_training.data.edit_sets import DataError, EditSets
from magicface_training.initialise import initialise

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
CONFIGS = Path(__file__).parents[2] / "training" / "configs" / "ablations"


@pytest.fixture(scope="module")
def ablations() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield importlib.import_module("ablations")


def test_every_ablation_of_the_paper_has_a_row(ablations: ModuleType) -> None:
    configs = {variant.config for variant in ablations.VARIANTS}
    assert configs == {"", *(path.stem for path in CONFIGS.glob("*.yaml"))}


def test_a_variant_differs_in_what_its_file_says(ablations: ModuleType, autoencoder: Path) -> None:
    base, *others = [
        ablations.settings_of(variant, autoencoder.parent, 3)
        for variant in ablations.VARIANTS
        if not variant.missing
    ]
    assert base.model.start == "scratch"
    for config in others:
        assert config != base
        assert (config.optim, config.data) == (base.optim, base.data)
        assert config.model.unet == base.model.unet
    assert {config.objective.au_dropout for config in (base, *others)} == {0.0, 0.1}


def test_all_variants_start(ablations: ModuleType, autoencoder: Path, tmp_path: Path) -> None:
    (tmp_path / "autoencoder").symlink_to(autoencoder)
    for variant in ablations.VARIANTS:
        if not variant.missing:
            start = initialise(ablations.settings_of(variant, tmp_path, 3))
            assert start.info.name == variant.name


def test_edit_sets_are_halved(ablations: ModuleType, shards: Path, tmp_path: Path) -> None:
    ablations.halve(shards, tmp_path, 4)
    whole, half = EditSets(shards), EditSets(tmp_path)
    assert (len(half), half.size) == (5, whole.size // 2), "whole shards"
    first = whole.image[0, 0, :, :2, :2].astype(float).mean((1, 2))
    assert half.image[0, 0, :, 0, 0] == pytest.approx(first, abs=0.51)
    side = np.unpackbits(half.mask[0, 0]).reshape(16, 16)
    assert side.sum() == side[4:12, 4:12].sum() == 64
    with pytest.raises(DataError, match="render more"):
        ablations.halve(shards, tmp_path, 6)


def test_variants_are_trained_measured_and_kept(
    ablations: ModuleType,
    shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    baseline, missing = ablations.VARIANTS[:2]
    jobs = ablations.sweep_jobs()[:1]
    monkeypatch.setattr(ablations, "VARIANTS", (baseline, missing))
    monkeypatch.setattr(ablations, "sweep_jobs", lambda: jobs)
    words = ["--data", str(shards), "--out", str(tmp_path), "--steps", "2"]
    words += ["--train-identities", "5", "--test-identities", "1"]
    assert ablations.main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    (result,) = json.loads(lines[-1])["results"].values()
    assert result["steps"] == 2
    assert set(result["scores"]) == {"1", "2"}
    assert result["scores"]["1"]["ratio"]["count"] == len(jobs)
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")][2:] == [
        "| MagicFace",
        "| MagicFace, guidance 2",
        "| ControlNet",
    ]
    monkeypatch.setattr(ablations, "train", lambda *_, **__: pytest.fail("trained again"))
    assert ablations.main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["results"]["magicface"] == result
