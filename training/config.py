"""Training settings: one dataclass per concern, read from YAML, unknown keys refused.

Defaults are the paper's (section IV-A) where it states a value; the configuration files say where each differs.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from magicface_core.errors import MagicFaceError


class ConfigError(MagicFaceError):
    """A training configuration with an unknown key or a value of the wrong kind."""


@dataclass(frozen=True)
class ModelConfig:
    """What is trained and from where it starts."""

    start: Literal["scratch", "stable-diffusion", "magicface"] = "stable-diffusion"
    start_folder: str = ""  # Stable Diffusion's or MagicFace's folder; unused from scratch
    autoencoder: str = ""  # folder of the frozen autoencoder; from scratch and from Stable Diffusion
    unet: dict[str, Any] = field(default_factory=dict)  # diffusers settings of both UNets; from scratch
    prompt_tokens: int = 77  # length of the constant prompt; from scratch it is all zeros
    locality: tuple[float, ...] = ()  # slopes of the attention's distance penalty, see reference_attention
    attribute_controller: Literal["concatenation", "convolution"] = "concatenation"


@dataclass(frozen=True)
class DataConfig:
    """Which pictures, and how pairs are drawn from them."""

    train: str = ""  # folder of prepared shards
    validation: str = ""
    identities_per_step: int = 2  # per process; paper: batch 2 on each of 4 GPUs
    targets_per_identity: int = 1  # targets that share one run of the ID encoder
    other_scene: float = 0.5  # share of targets with another pose, light and background than the identity image
    zero_delta: float = 0.15  # share of targets that equal the identity image (all-zero delta)
    window: int = 0  # train on square windows of this many pixels; 0 takes whole pictures
    window_steps: int = 0  # windows up to this step, whole pictures after it


@dataclass(frozen=True)
class ObjectiveConfig:
    """The paper's Eq. 3 and its options."""

    prediction: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    loss: Literal["l2", "huber"] = "l2"
    huber_width: float = 0.1
    au_dropout: float = 0.1  # deltas replaced by the null AU, for classifier-free guidance (section III-D)
    zero_sigma: float = 0.2  # noise on all-zero deltas (section III-B)
    timestep_power: float = 1.0  # t = T * u^power; below 1 prefers high noise
    outside_weight: float = 1.0  # loss weight outside the face mask
    change_weight: float = 0.0  # extra weight per unit of difference between target and identity image


@dataclass(frozen=True)
class OptimConfig:
    """AdamW, schedule and averaging."""

    steps: int = 100_000
    learning_rate: float = 1e-5
    warmup_steps: int = 0
    decay_steps: int = 0  # linear decay to a tenth over the last steps; 0 keeps the rate constant
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float = 1.0
    ema_decay: float = 0.9999
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"


@dataclass(frozen=True)
class RunConfig:
    """Where and how often things are written."""

    output: str = "runs/magicface"
    seed: int = 0
    save_every: int = 1000
    keep: int = 3
    log_every: int = 20
    validate_every: int = 1000
    threads: int = 0  # CPU threads of torch; 0 leaves its own choice


@dataclass(frozen=True)
class TrainConfig:
    """All of it, plus what goes into the checkpoint's ``magicface.json``."""

    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    optim: OptimConfig = field(default_factory=OptimConfig)
    run: RunConfig = field(default_factory=RunConfig)
    info: dict[str, Any] = field(default_factory=dict)
    scheduler: dict[str, Any] = field(default_factory=dict)  # noise schedule, diffusers' names


def load_config(path: Path | str, overrides: typing.Sequence[str] = ()) -> TrainConfig:
    """Read a YAML file; ``overrides`` are ``section.key=value`` texts with YAML values."""
    tree = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
    for text in overrides:
        dotted, separator, value = text.partition("=")
        section, _, key = dotted.partition(".")
        if not separator or not key:
            raise ConfigError(f"override {text!r} is not of the form section.key=value")
        tree.setdefault(section, {})[key] = yaml.safe_load(value)
    return _build(TrainConfig, tree, "")


def _build(kind: type, tree: Any, where: str) -> Any:
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}
    unknown = sorted(set(tree) - known)
    if unknown:
        raise ConfigError(f"unknown settings {unknown} under {where or 'the top'}; known: {sorted(known)}")
    return kind(**{k: _convert(hints[k], v, f"{where}{k}") for k, v in tree.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint):
        return _build(typing.cast(type, hint), value or {}, f"{where}.")
    origin = typing.get_origin(hint)
    if origin is Literal:
        if value not in typing.get_args(hint):
            raise ConfigError(f"{where} is {value!r}; allowed: {typing.get_args(hint)}")
        return value
    if origin is tuple:
        return tuple(float(v) for v in value)
    if hint is float and isinstance(value, (int, float, str)):
        return float(value)
    expected = origin or hint
    if not isinstance(expected, types.GenericAlias) and not isinstance(value, expected):
        raise ConfigError(f"{where} is {value!r}; expected {expected.__name__}")
    return value
