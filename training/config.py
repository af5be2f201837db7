"""Training settings: one dataclass per concern, read from YAML, unknown keys refused.

Defaults are the paper's (section IV-A) where it states a value; the configuration files say where
each differs.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from magicface_core.errors import MagicFaceError


class ConfigError(MagicFaceError):
    """A training configuration with an unknown key or a value of the wrong kind."""


@dataclass(frozen=True)
class ModelConfig:
    """What is trained and from where it starts.

    start_folder          Stable Diffusion's or MagicFace's folder; unused from scratch
    autoencoder           folder of the frozen autoencoder; from scratch and Stable Diffusion
    unet                  diffusers settings of both UNets; from scratch
    prompt_tokens         length of the constant prompt; from scratch it is all zeros
    locality              slopes of the attention's distance penalty, see reference_attention
    attribute_controller  see network/attribute_controller.py
    """

    start: Literal["scratch", "stable-diffusion", "magicface"] = "stable-diffusion"
    start_folder: str = ""
    autoencoder: str = ""
    unet: dict[str, Any] = field(default_factory=dict)
    prompt_tokens: int = 77
    locality: tuple[float, ...] = ()
    attribute_controller: Literal["concatenation", "convolution"] = "concatenation"


@dataclass(frozen=True)
class DataConfig:
    """Which pictures, and how pairs are drawn from them.

    train, validation     folders of prepared shards
    identities_per_step   on each process; paper: batch 2 on each of 4 GPUs
    targets_per_identity  targets that share one run of the ID encoder
    other_scene           share of targets with another pose, light and background than the identity
                          image
    zero_delta            share of targets that equal the identity image (all-zero delta)
    window                train on square windows of this many pixels; 0 takes whole pictures
    """

    train: str = ""
    validation: str = ""
    identities_per_step: int = 2
    targets_per_identity: int = 1
    other_scene: float = 0.5
    zero_delta: float = 0.15
    window: int = 0


@dataclass(frozen=True)
class ObjectiveConfig:
    """The paper's Eq. 3 and its options.

    au_dropout      deltas replaced by the null AU, for classifier-free guidance (section III-D)
    zero_sigma      noise on all-zero deltas (section III-B)
    timestep_power  t = T * u^power; below 1 prefers high noise
    outside_weight  loss weight outside the face mask
    change_weight   extra weight per unit of difference between target and identity image
    """

    prediction: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    loss: Literal["l2", "huber"] = "l2"
    huber_width: float = 0.1
    au_dropout: float = 0.1
    zero_sigma: float = 0.2
    timestep_power: float = 1.0
    outside_weight: float = 1.0
    change_weight: float = 0.0


@dataclass(frozen=True)
class OptimConfig:
    """AdamW, schedule and averaging.

    decay_steps  linear decay to a tenth over the last steps; 0 keeps the rate constant
    ema_decay    of the averaged weights, which validation and export use
    """

    steps: int = 100_000
    learning_rate: float = 1e-5
    warmup_steps: int = 0
    decay_steps: int = 0
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float = 1.0
    ema_decay: float = 0.9999
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"


@dataclass(frozen=True)
class RunConfig:
    """Where and how often things are written.

    keep     newest states that stay
    threads  CPU threads of torch; 0 leaves its own choice
    """

    output: str = "runs/magicface"
    seed: int = 0
    save_every: int = 1000
    keep: int = 3
    log_every: int = 20
    validate_every: int = 1000
    threads: int = 0


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

    Raises ConfigError for a file that cannot be read, an unknown key or a wrong value.
    """
    try:
        tree = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"cannot read the configuration {path}: {error}") from error
    for text in overrides:
        dotted, separator, value = text.partition("=")
        section, _, key = dotted.partition(".")
        if not separator or not key or not isinstance(tree, dict):
            raise ConfigError(f"override {text!r} is not of the form section.key=value")
        tree[section] = {**(tree.get(section) or {}), key: yaml.safe_load(value)}
    config: TrainConfig = _build(TrainConfig, tree, "")
    return config


def _build(kind: type, tree: Any, where: str) -> Any:
    place = where.rstrip(".") or "the top"
    if not isinstance(tree, dict):
        raise ConfigError(f"{place} is {tree!r}; expected settings, one 'key: value' a line")
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}
    unknown = sorted(str(key) for key in set(tree) - known)
    if unknown:
        raise ConfigError(f"unknown settings {unknown} under {place}; known: {sorted(known)}")
    return kind(**{k: _convert(hints[k], v, f"{where}{k}") for k, v in tree.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value or {}, f"{where}.")
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        if value not in arguments:
            raise ConfigError(f"{where} is {value!r}; allowed: {arguments}")
        return value
    if origin is tuple and dataclasses.is_dataclass(typing.get_args(hint)[0]):
        return _build_stages(value, where)
    if origin is tuple:
        return _converted(lambda: tuple(float(v) for v in value), where, value, "numbers")
    if hint is float:
        return _converted(lambda: float(value), where, value, "a number")
    expected: type = origin or hint
    if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
        raise ConfigError(f"{where} is {value!r}; expected {expected.__name__}")
    return value


def _build_stages(trees: Any, where: str) -> tuple[Stage, ...]:
    if not isinstance(trees, list):
        raise ConfigError(f"{where} is {trees!r}; expected a list of stages")
    stages = tuple(_build_stage(tree, f"{where}[{i}].") for i, tree in enumerate(trees))
    starts = [stage.start for stage in stages]
    if starts != sorted(starts):
        raise ConfigError(f"{where} start at {starts}; list them in the order of their starts")
    return stages


def _build_stage(tree: Any, where: str) -> Stage:
    """A stage whose settings are known and of the right kind."""
    stage: Stage = _build(Stage, tree, where)
    data = _build(DataConfig, stage.data, f"{where}data.")
    objective = _build(ObjectiveConfig, stage.objective, f"{where}objective.")
    return Stage(
        stage.start,
        {k: getattr(data, k) for k in stage.data},
        {k: getattr(objective, k) for k in stage.objective},
    )


def _converted(convert: Callable[[], Any], where: str, value: Any, expected: str) -> Any:
    """YAML reads 1e-5 as text, so numbers may come as text."""
    try:
        return convert()
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where} is {value!r}; expected {expected}") from error
