"""Configurations that build on another."""

from __future__ import annotations

from pathlib import Path

import pytest
from magicface_training.config import load_config
from magicface_training.settings import ConfigError, read_tree


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write(
        tmp_path / "base.yaml",
        "optim: {steps: 5, learning_rate: 0.5}\nmodel: {unet: {a: 1, b: 2}, prompt_tokens: 3}\n"
        "stages: [{start: 1}, {start: 2}]\n",
    )


def test_settings_of_this_file_come_in_place_of_the_others(base: Path) -> None:
    path = write(
        base.parent / "own.yaml",
        "extends: base.yaml\noptim: {steps: 7}\nmodel: {unet: {c: 3}}\nstages: []\ndata:\nrun:\n",
    )
    assert read_tree(path) == {
        "optim": {"steps": 7, "learning_rate": 0.5},
        "model": {"unet": {"c": 3}, "prompt_tokens": 3},
        "stages": [],
        "data": None,
        "run": None,
    }
    config = load_config(path, ["optim.steps=9"])
    assert (config.optim.steps, config.optim.learning_rate) == (9, 0.5)


def test_an_empty_section_takes_nothing_away(base: Path) -> None:
    path = write(base.parent / "own.yaml", "extends: base.yaml\noptim:\n")
    assert read_tree(path)["optim"] == {"steps": 5, "learning_rate": 0.5}


def test_from_the_folder_above_and_in_a_chain(base: Path) -> None:
    middle = write(base.parent / "more" / "middle.yaml", "extends: ../base.yaml\nrun: {seed: 1}\n")
    path = write(middle.parent / "own.yaml", "extends: middle.yaml\nrun: {keep: 2}\n")
    config = load_config(path)
    assert (config.optim.steps, config.run.seed, config.run.keep) == (5, 1, 2)


def test_a_file_that_extends_nothing_is_itself(base: Path) -> None:
    assert read_tree(base)["optim"] == {"steps": 5, "learning_rate": 0.5}
    assert read_tree(write(base.parent / "empty.yaml", "")) == {}
    assert read_tree(write(base.parent / "list.yaml", "[1]")) == [1]


@pytest.mark.parametrize("name", ["/etc/base.yaml", "../../base.yaml", "deep/base.yaml", "", "3"])
def test_files_elsewhere_are_refused(base: Path, name: str) -> None:
    path = write(base.parent / "more" / "own.yaml", f"extends: {name}\n")
    with pytest.raises(ConfigError, match=r"own\.yaml: extends is .* give the relative path"):
        read_tree(path)


def test_a_link_out_of_the_folders_is_refused(
    base: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = write(tmp_path_factory.mktemp("elsewhere") / "base.yaml", "run: {seed: 1}\n")
    (base.parent / "link.yaml").symlink_to(elsewhere)
    path = write(base.parent / "own.yaml", "extends: link.yaml\n")
    with pytest.raises(ConfigError, match="give the relative path"):
        read_tree(path)


def test_circles_are_refused(base: Path) -> None:
    for name, other in (("a", "b"), ("b", "a"), ("c", "c")):
        write(base.parent / f"{name}.yaml", f"extends: {other}.yaml\n")
    with pytest.raises(ConfigError, match=r"each other: a\.yaml extends b\.yaml extends a\.yaml"):
        read_tree(base.parent / "a.yaml")
    with pytest.raises(ConfigError, match=r"c\.yaml extends c\.yaml"):
        read_tree(base.parent / "c.yaml")


def test_mistakes_in_the_other_file_are_reported(base: Path) -> None:
    path = write(base.parent / "own.yaml", "extends: absent.yaml\n")
    with pytest.raises(ConfigError, match=r"cannot read the configuration .*absent\.yaml"):
        load_config(path)
    write(base.parent / "absent.yaml", "optim: {step: 1}\n")
    with pytest.raises(ConfigError, match=r"unknown settings \['step'\] under optim"):
        load_config(path)
    write(base.parent / "absent.yaml", "{")
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load_config(path)
