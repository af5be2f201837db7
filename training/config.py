"""Training settings: one dataclass per concern, read from YAML, unknown keys refused.

Defaults are the paper's (section IV-A) where it states a value; the configuration files say where
each differs.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from .run_settings import ObjectiveConfig, OptimConfig, RunConfig, ValidationConfig
from .settings import ConfigError, build, check_range, read_tree

__all__ = [
    "ConfigError",
    "ObjectiveConfig",
    "OptimConfig",
    "RunConfig",
    "TrainConfig",
    "ValidationConfig",
    "load_config",
]
SHIPPED = Path(__file__).resolve().parent / "configs"


@dataclass(frozen=True)
class ModelConfig:
    """What is trained and from where it starts.

    start_folder          Stable Diffusion's or MagicFace's folder; unused from scratch
    autoencoder           folder of the frozen autoencoder; from scratch and Stable Diffusion
    wider_autoencoder     folder of one whose latents continue a MagicFace checkpoint's, see
                          widening.py; from such a checkpoint
    unet                  diffusers settings of both UNets; from scratch
    prompt_tokens         length of the constant prompt; from scratch it is all zeros
    locality              slopes of the attention's distance penalty, see reference_attention
    identity              how the identity image is seen, see network/identity_paths.py
    image_encoder         transformers folder of CLIP; for the identity by an image encoder
    identity_skip         predict the change from the identity image's latents, see
                          network/identity_skip.py; from scratch
    freeze_denoiser       train the ControlNet alone; for the identity by a ControlNet
    action_units          how the AU delta goes in, see network/action_unit_inputs.py
    attribute_controller  see network/attribute_controller.py
    """

    start: Literal["scratch", "stable-diffusion", "magicface"] = "stable-diffusion"
    start_folder: str = ""
    autoencoder: str = ""
    wider_autoencoder: str = ""
    unet: dict[str, Any] = field(default_factory=dict)
    prompt_tokens: int = 77
    locality: tuple[float, ...] = ()
    identity: Literal["reference-attention", "convolution", "image-encoder", "controlnet"] = (
        "reference-attention"
    )
    image_encoder: str = ""
    identity_skip: bool = False
    freeze_denoiser: bool = False
    action_units: Literal["linear", "zero-append", "convolution"] = "linear"
    attribute_controller: Literal["concatenation", "convolution"] = "concatenation"


@dataclass(frozen=True)
class DataConfig:
    """Which pictures, and how pairs are drawn from them.

    train, validation     folders of prepared shards, whose split of that name is read, or of edit
                          sets; to be streamed also addresses such as s3://bucket/shards
    reader                of prepared shards: mapped from a local copy, or streamed shard by shard
    cache                 folder of cached latents, see ``magicface-data cache``; empty encodes the
                          pictures while training
    scratch               local folder for what readers derive from prepared shards; empty is
                          ``reader`` in the shards' folder
    workers               processes that read ahead; 0 reads in the training process
    identities_per_step   on each process; paper: batch 2 on each of 4 GPUs
    targets_per_identity  targets that share one run of the ID encoder; of edit sets
    other_scene           share of targets with another pose, light and background than the identity
                          image; of edit sets, prepared pairs are what the preparation chose
    zero_delta            share of targets that equal the identity image (all-zero delta)
    window                train on square windows of this many pixels; 0 takes whole pictures
    flip                  share of prepared pairs that are mirrored
    """

    train: str = ""
    validation: str = ""
    reader: Literal["memory-mapped", "streaming"] = "memory-mapped"
    cache: str = ""
    scratch: str = ""
    workers: int = 0
    identities_per_step: int = 2
    targets_per_identity: int = 1
    other_scene: float = 0.5
    zero_delta: float = 0.15
    window: int = 0
    flip: float = 0.0

    def __post_init__(self) -> None:
        for name in ("identities_per_step", "targets_per_identity"):
            check_range(f"data.{name}", getattr(self, name), 1)
        for name in ("workers", "window"):
            check_range(f"data.{name}", getattr(self, name), 0)
        for name in ("other_scene", "zero_delta", "flip"):
            check_range(f"data.{name}", getattr(self, name), 0, 1)


@dataclass(frozen=True)
class Stage:
    """Settings of ``data`` and ``objective`` that change from step ``start`` on."""

    start: int = 0
    data: dict[str, Any] = field(default_factory=dict)
    objective: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainConfig:
    """All of it, plus what goes into the checkpoint.

    stages     in the order of their starts; each adds to those before it
    info       values of ``magicface.json``
    scheduler  noise schedule, in diffusers' names
    """

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
    stages: tuple[Stage, ...] = ()
    info: dict[str, Any] = field(default_factory=dict)
    scheduler: dict[str, Any] = field(default_factory=dict)

    def at(self, step: int) -> TrainConfig:
        """The settings in force at a step, counted from 0."""
        data, objective = self.data, self.objective
        for stage in self.stages:
            if step >= stage.start:
                data = dataclasses.replace(data, **stage.data)
                objective = dataclasses.replace(objective, **stage.objective)
        return dataclasses.replace(self, data=data, objective=objective)


def load_config(path: Path | str, overrides: Sequence[str] = ()) -> TrainConfig:
    """Read a YAML file; ``overrides`` are ``section.key=value`` texts with YAML values.

    A bare name such as "paper.yaml" or "paper" may be that of a configuration of the package. A
    file may build on another, see ``settings.py``. Raises ConfigError for a file that cannot be
    read, an unknown key or a wrong value.
    """
    return parse_config(read_tree(find_config(path)), overrides)


def find_config(path: Path | str) -> Path:
    """The file itself; for a bare name without one, the package's configuration of that name."""
    file = Path(path)
    if file.exists() or os.path.basename(path) != os.fspath(path):
        return file
    name = file.name.removesuffix(".yaml") + ".yaml"
    shipped = (folder / name for folder in (SHIPPED, SHIPPED / "ablations"))
    return next(filter(Path.is_file, shipped), file)


def parse_config(tree: Any, overrides: Sequence[str] = ()) -> TrainConfig:
    """A configuration from parsed YAML or JSON; see ``load_config``."""
    for text in overrides:
        dotted, separator, value = text.partition("=")
        section, _, key = dotted.partition(".")
        if not separator or not key or not isinstance(tree, dict):
            raise ConfigError(f"override {text!r} is not of the form section.key=value")
        try:
            tree = {**tree, section: {**(tree.get(section) or {}), key: yaml.safe_load(value)}}
        except yaml.YAMLError as error:
            raise ConfigError(f"override {text!r} is not a YAML value: {error}") from error
    config: TrainConfig = build(TrainConfig, tree)
    return dataclasses.replace(config, stages=_checked_stages(config.stages))


def _checked_stages(stages: tuple[Stage, ...]) -> tuple[Stage, ...]:
    """Stages whose settings are known and of the right kind."""
    starts = [stage.start for stage in stages]
    if starts != sorted(starts):
        raise ConfigError(f"stages start at {starts}; list them in the order of their starts")
    return tuple(_checked_stage(stage, f"stages[{i}].") for i, stage in enumerate(stages))


def _checked_stage(stage: Stage, where: str) -> Stage:
    data = build(DataConfig, stage.data, f"{where}data.")
    objective = build(ObjectiveConfig, stage.objective, f"{where}objective.")
    return Stage(
        stage.start,
        {k: getattr(data, k) for k in stage.data},
        {k: getattr(objective, k) for k in stage.objective},
    )
