"""The AU regressor's training: deterministic, on people of its own, measured on others."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from magicface_training import au_regressor
from magicface_training.au_faces import Faces, draw_expressions
from magicface_training.au_regressor import TEACHING_PEOPLE, TEACHING_RECIPE, People, Recipe
from magicface_training.evaluation.exact.au_regressor import (
    CHIP_SIZE,
    AURegressor,
    load_regressor,
    own_error,
)
from magicface_training.make_mini import TRAIN_IDENTITIES
from magicface_training.synthetic import HeadModel, split_of
from torch import Tensor

from magicface_core.aus import AU_ORDER
from magicface_core.files import file_sha256

MEASURING, TEACHING = (Recipe(), People()), (TEACHING_RECIPE, TEACHING_PEOPLE)


def seeds_of(recipe: Recipe, people: People) -> list[int]:
    further = range(people.first_held_out, people.first_held_out + recipe.held_out)
    return [*range(people.first, people.first + recipe.identities), *further]


@pytest.fixture(scope="module")
def faces() -> Faces:
    """Two people whose pictures say their labels: the first row of pixels holds them."""
    rng = np.random.default_rng(1)
    aus = np.stack([draw_expressions(rng) for _ in range(2)])
    chips = torch.zeros(2, 12, 3, CHIP_SIZE, CHIP_SIZE, dtype=torch.uint8)
    chips[..., 0, 0, :12] = torch.from_numpy(aus * 51).round().byte()
    return Faces(chips, torch.from_numpy(aus))


def test_one_small_command_gives_the_same_file_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = HeadModel.load()
    monkeypatch.setattr(HeadModel, "load", lambda: model)
    words = ["--identities", "1", "--held-out", "1", "--steps", "2"]
    paths = [tmp_path / f"{name}.safetensors" for name in "ab"]
    for path in paths:
        assert au_regressor.main(["--out", str(path), *words]) == 0
    assert file_sha256(paths[0]) == file_sha256(paths[1])
    assert own_error(paths[0])["people"] == 1
    assert load_regressor(paths[0]).training is False


def test_a_place_that_cannot_be_written_fails_before_any_work(tmp_path: Path) -> None:
    assert au_regressor.main(["--out", str(tmp_path / "absent" / "x.safetensors")]) == 2


def test_its_people_are_nobody_else_s() -> None:
    measuring, teaching = (seeds_of(*choice) for choice in (MEASURING, TEACHING))
    everyone = [*measuring, *teaching]
    assert {split_of(seed) for seed in everyone} == {"train"}
    assert len(set(everyone)) == len(everyone) == 360 + 24 + 300 + 24
    assert min(everyone) > 20_000 + 10 * TRAIN_IDENTITIES
    assert MEASURING[0].seed != TEACHING[0].seed


def test_options_change_the_recipe() -> None:
    words = dict.fromkeys(("identities", "steps", "seed", "data")) | {"held_out": 3}
    teaching = argparse.Namespace(teaching=True, **words)
    assert au_regressor.chosen(teaching) == replace(TEACHING_RECIPE, held_out=3)
    plain = argparse.Namespace(teaching=False, **words)
    assert au_regressor.chosen(plain) == replace(Recipe(), held_out=3)
    plain.data, plain.seed = Path("shards"), 7
    assert au_regressor.chosen(plain) == Recipe(held_out=3, seed=7)


def test_it_learns_of_edit_sets_and_is_measured_on_other_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = 21
    scenes = Faces(
        torch.zeros(2 * people, 3, 3, CHIP_SIZE, CHIP_SIZE, dtype=torch.uint8),
        torch.arange(2.0 * people)[:, None, None].expand(-1, 3, 12),
    )
    taught: list[Tensor] = []

    def remember(faces: Faces, _: Recipe) -> AURegressor:
        taught.append(faces.aus[:, 0, 0])
        return AURegressor().eval()

    class Sets:
        scenes = 2

        def __init__(self, folder: Path) -> None:
            assert folder == Path("shards")

        def __len__(self) -> int:
            return people

    monkeypatch.setattr(au_regressor, "EditSets", Sets)
    monkeypatch.setattr(au_regressor, "edit_set_faces", lambda _: scenes)
    monkeypatch.setattr(au_regressor, "train", remember)
    path = tmp_path / "x.safetensors"
    assert au_regressor.main(["--data", "shards", "--out", str(path)]) == 0
    assert taught[0].tolist() == [*range(2, 40)]
    assert own_error(path)["people"] == 2


def test_expressions_are_neutral_singles_pairs_and_mixtures() -> None:
    drawn = draw_expressions(np.random.default_rng(3))
    counts = [int((au > 0).sum()) for au in drawn]
    assert counts[0] == 0
    assert counts[1:9] == [1] * 6 + [2] * 2
    assert len(drawn) == 12
    assert all(au.min() >= 0 and au.max() <= 5 for au in drawn)
    assert len({int(au.argmax()) for au in drawn[1:7]}) == 6, "different units"


def test_batches_carry_the_change_of_their_pictures(faces: Faces) -> None:
    recipe = Recipe(batch=64, blur=0.0)
    source, edit, change = au_regressor.draw_batch(faces, recipe, np.random.default_rng(2))
    assert source.shape == edit.shape == (64, 3, CHIP_SIZE, CHIP_SIZE)
    moved = (edit - source).sum((1, 2, 3)) * 5
    assert torch.allclose(moved, change.sum(1), atol=0.2)


def test_blur_keeps_brightness_and_takes_detail() -> None:
    assert torch.allclose(
        au_regressor.gaussian_blur(torch.full((1, 3, 16, 16), 0.4), 1.0),
        torch.tensor(0.4),
        atol=1e-6,
    )
    noise = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert au_regressor.gaussian_blur(noise, 1.0).std() < 0.5 * noise.std()


def test_the_error_of_a_perfect_and_of_a_weak_reader(faces: Faces) -> None:
    def perfect(source: Tensor, edit: Tensor) -> Tensor:
        return 5 * (edit - source)[:, 0, 0, :12]

    found = au_regressor.held_out_error(perfect, faces)
    assert found["mse"] == pytest.approx(0, abs=1e-3)
    assert found["leakage"] == 0
    shown = (faces.aus[:, 1:7] > 0).any(0).any(0).tolist()
    slopes = [found["slope"][f"AU{unit}"] for unit in AU_ORDER]  # type: ignore[index]
    assert slopes == pytest.approx([float(here) for here in shown], abs=0.01)

    def leaking(source: Tensor, edit: Tensor) -> Tensor:
        return 0.5 * (perfect(source, edit) + perfect(source, edit).roll(1, -1))

    found = au_regressor.held_out_error(leaking, faces)
    assert found["leakage"] == pytest.approx(0.5, abs=0.01)
