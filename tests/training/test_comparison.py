"""Which differences of settings make another run."""

from __future__ import annotations

import dataclasses

import pytest
from magicface_training.comparison import as_tree, check_same_run, config_hash, differences
from magicface_training.config import TrainConfig, parse_config
from magicface_training.settings import ConfigError


def found(*overrides: str, old: tuple[str, ...] = ()) -> list[tuple[str, bool]]:
    before, now = parse_config({}, old), parse_config({}, overrides)
    return [(d.key, d.harmless) for d in differences(as_tree(before), as_tree(now))]


def test_the_same_settings_do_not_differ() -> None:
    assert found() == []
    tree = as_tree(TrainConfig(stages=parse_config({"stages": [{"start": 3}]}).stages))
    assert differences(tree, tree) == []


@pytest.mark.parametrize(
    "setting",
    [
        "run.output=elsewhere",
        "run.tracker=none",
        "validation.rows=4",
        "info.name=other",
        "data.workers=8",
        "data.train=moved",
        "optim.steps=7",
        "optim.gradient_checkpointing=true",
        "optim.ema=cpu",
        "optim.accumulation=4",
    ],
)
def test_harmless(setting: str) -> None:
    assert found(setting) == [(setting.partition("=")[0], True)]


@pytest.mark.parametrize(
    "setting",
    [
        "run.seed=1",
        "optim.learning_rate=1e-4",
        "optim.ema=off",
        "optim.mixed_precision=bf16",
        "objective.loss=huber",
        "model.unet={sample_size: 8}",
        "stages=[]",
        "scheduler.beta_end=0.02",
    ],
)
def test_serious(setting: str) -> None:
    if setting == "stages=[]":
        before = parse_config({"stages": [{"start": 3}]})
        changed = differences(as_tree(before), as_tree(TrainConfig()))
    else:
        changed = differences(as_tree(TrainConfig()), as_tree(parse_config({}, [setting])))
    assert [each.harmless for each in changed] == [False]
    with pytest.raises(ConfigError, match=f"{changed[0].key} was .*, is .*--accept-changes"):
        check_same_run(changed, "state", accept=False)
    check_same_run(changed, "state", accept=True)


def test_more_steps_bend_a_decaying_rate() -> None:
    decaying = "optim.decay_steps=10"
    assert found("optim.steps=7", decaying, old=(decaying,)) == [("optim.steps", False)]


def test_settings_an_older_state_lacks_have_their_defaults() -> None:
    tree = as_tree(TrainConfig())
    del tree["optim"]["ema_every"]
    assert differences(tree, as_tree(TrainConfig())) == []
    other = as_tree(parse_config({}, ["optim.ema_every=5"]))
    assert [str(d) for d in differences(tree, other)] == ["optim.ema_every was 1, is 5"]


def test_hash_of_a_configuration() -> None:
    config = TrainConfig()
    assert config_hash(config) == config_hash(parse_config({}))
    other = dataclasses.replace(config, info={"name": "x"})
    assert config_hash(other) != config_hash(config)
