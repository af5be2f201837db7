"""Training configurations."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml
from magicface_training.config import (
    ConfigError,
    ObjectiveConfig,
    OptimConfig,
    TrainConfig,
    load_config,
)
from magicface_training.initialise import _info

from magicface_core.network.info import CheckpointInfo

FOLDER = Path(__file__).parents[2] / "training" / "configs"
CONFIGS = sorted(path for path in FOLDER.glob("*.yaml") if path.stem != "mini-painter")


def load(tmp_path: Path, text: str, *overrides: str) -> TrainConfig:
    path = tmp_path / "config.yaml"
    path.write_text(text, encoding="utf-8")
    return load_config(path, overrides)


def test_the_configurations_are_there() -> None:
    names = {"mini", "mini-move", "mini-start", "paper", "tiny-cpu", "24gb", "16gb", "finetune"}
    assert {path.stem for path in CONFIGS} >= names


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_shipped_configurations_load(path: Path) -> None:
    config = load_config(path)
    info = _info(config)
    assert isinstance(info, CheckpointInfo)
    assert info.name == config.info["name"]
    assert 0 <= config.data.other_scene + config.data.zero_delta <= 1


def test_paper_settings() -> None:
    config = load_config(next(path for path in CONFIGS if path.stem == "paper"))
    assert config.model.start == "stable-diffusion"
    assert (config.optim.steps, config.optim.learning_rate) == (100_000, 1e-5)
    assert (config.objective.prediction, config.objective.loss) == ("epsilon", "l2")
    assert (config.objective.au_dropout, config.objective.zero_sigma) == (0.1, 0.2)
    assert config.data.identities_per_step == 2
    assert config.info["guidance"] == 3.0
    assert config.objective == TrainConfig().objective
    assert config.optim == TrainConfig().optim


def test_every_setting_of_the_paper_is_explained() -> None:
    """paper.yaml leaves no setting of objective and optimisation to defaults, nor uncommented."""
    path = next(path for path in CONFIGS if path.stem == "paper")
    tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    optional = {"huber_width"}
    for section, kind in (("objective", ObjectiveConfig), ("optim", OptimConfig)):
        names = {field.name for field in fields(kind)} - optional
        assert set(tree[section]) == names
    lines = path.read_text(encoding="utf-8").splitlines()
    start, end = lines.index("model:"), lines.index("run:")
    for line in lines[start:end]:
        assert "#" in line or line.endswith(":") or line.lstrip().startswith("#"), line


@pytest.mark.parametrize("name", ["24gb", "16gb"])
def test_smaller_cards_train_on_as_many_pairs(name: str) -> None:
    config, paper = (load_config(f"{stem}.yaml") for stem in (name, "paper"))
    assert config.objective == paper.objective
    assert config.optim.learning_rate == paper.optim.learning_rate
    pairs = config.data.identities_per_step * config.optim.accumulation
    assert pairs == 4 * paper.data.identities_per_step
    assert config.optim.gradient_checkpointing


def test_shipped_configurations_are_found_by_bare_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert load_config("paper") == load_config("paper.yaml")
    monkeypatch.chdir(tmp_path)
    Path("paper.yaml").write_text("optim: {steps: 3}")
    assert load_config("paper.yaml").optim.steps == load_config("./paper.yaml").optim.steps == 3


def test_path_of_a_missing_file_is_no_name_of_a_shipped_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for path in (tmp_path / "no" / "paper.yaml", "no/paper.yaml", "./paper.yaml", "no/paper"):
        with pytest.raises(ConfigError, match=rf"cannot read .*{Path(path).name}"):
            load_config(path)


def test_yaml_reads_no_and_off_as_false(tmp_path: Path) -> None:
    config = load(tmp_path, "optim: {mixed_precision: no, ema: off}")
    assert (config.optim.mixed_precision, config.optim.ema) == ("no", "off")


def test_empty_file_is_all_defaults(tmp_path: Path) -> None:
    assert load(tmp_path, "") == TrainConfig()
    assert load(tmp_path, "optim:\n") == TrainConfig()


def test_overrides(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        "optim: {steps: 5, learning_rate: 1e-3}",
        "optim.steps=7",
        "optim.betas=[0.5, 0.6]",
        "info.name=x",
        "objective.loss=huber",
        "data.train=a=b",
    )
    assert config.optim == OptimConfig(steps=7, learning_rate=1e-3, betas=(0.5, 0.6))
    assert config.info == {"name": "x"}
    assert (config.objective.loss, config.data.train) == ("huber", "a=b")


def test_stages_add_up(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        """
        data: {window: 96, zero_delta: 0.1}
        objective: {change_weight: 20}
        stages:
          - {start: 5, objective: {change_weight: 60, timestep_power: 1e-1}}
          - {start: 8, data: {window: 0}}
        """,
    )
    seen = [config.at(step) for step in (0, 4, 5, 7, 8, 100)]
    assert [c.data.window for c in seen] == [96, 96, 96, 96, 0, 0]
    assert [c.objective.change_weight for c in seen] == [20, 20, 60, 60, 60, 60]
    assert [c.objective.timestep_power for c in seen] == [1, 1, 0.1, 0.1, 0.1, 0.1]
    assert {c.data.zero_delta for c in seen} == {0.1}


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (
            "optim: {step: 5}",
            (),
            r"unknown settings \['step'\] under optim; known: \['accumulation'",
        ),
        ("optimizer: {steps: 5}", (), r"unknown settings \['optimizer'\] under the top"),
        ("optim: {steps: many}", (), "optim.steps is 'many'; expected int"),
        ("optim: {steps: true}", (), "optim.steps is True; expected int"),
        ("optim: {learning_rate: fast}", (), "optim.learning_rate is 'fast'; expected a number"),
        ("optim: {betas: 0.9}", (), "optim.betas is 0.9; expected numbers"),
        ("optim: {betas: [0.9, x]}", (), r"optim.betas\[1\] is .x.; expected a number"),
        ("optim: {betas: [0.9]}", (), r"optim.betas is \[0.9\]; expected 2 values"),
        ("objective: {loss: l3}", (), r"objective.loss is 'l3'; allowed: \('l2', 'huber'\)"),
        ("optim: {accumulation: 0}", (), "optim.accumulation is 0; choose 1 or more"),
        ("optim: {ema_decay: 1.5}", (), r"optim.ema_decay is 1.5; choose 0..1"),
        ("run: {keep: 0}", (), "run.keep is 0; choose 1 or more"),
        ("objective: {au_dropout: -1}", (), r"au_dropout is -1.0; choose 0..1"),
        ("validation: {aus: [3]}", (), r"validation.aus holds \[3\]; known units: \[1, 2"),
        ("validation: {aus: 3}", (), "validation.aus is 3; expected a list of int"),
        ("optim: {ema: true}", (), "optim.ema is True; allowed"),
        ("optim: {weights: bfloat16}", (), "would be rounded away"),
        ("", ("optim.steps=[",), "is not a YAML value"),
        ("optim: 5", (), "optim is 5; expected settings"),
        ("stages: 5", (), "stages is 5; expected a list of stages"),
        ("stages: [{begin: 5}]", (), r"unknown settings \['begin'\] under stages\[0\]"),
        ("stages: [{data: {x: 5}}]", (), r"unknown settings \['x'\] under stages\[0\]\.data"),
        ("stages: [{start: 5}, {start: 2}]", (), r"stages start at \[5, 2\]; list them in"),
        ("[1, 2]", (), "the top is .* expected settings"),
        ("{", (), "cannot read the configuration"),
        ("", ("optim.steps",), "override 'optim.steps' is not of the form section.key=value"),
        ("", ("steps=3",), "not of the form"),
        ("", ("optim.lr=3",), r"unknown settings \['lr'\]"),
    ],
)
def test_mistakes_are_named(
    tmp_path: Path, text: str, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, text, *overrides)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot read .*absent\.yaml"):
        load_config(tmp_path / "absent.yaml")


@pytest.mark.parametrize("info", [{"colour": 1}, {"resolution": 1}])
def test_wrong_checkpoint_information_is_refused(tmp_path: Path, info: dict[str, Any]) -> None:
    from magicface_core.errors import CheckpointError

    with pytest.raises(CheckpointError, match="info"):
        _info(TrainConfig(info=info))
