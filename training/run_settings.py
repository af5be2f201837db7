"""Settings of objective, optimisation, run and validation; part of ``config.py``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from magicface_core.aus import AU_ORDER

from .settings import ConfigError, check_range


@dataclass(frozen=True)
class ObjectiveConfig:
    """The paper's Eq. 3 and its options.

    error           what is compared: the network's output, or the picture decoded from it (see
                    picture_error.py), which needs a decoder small enough to run in every step
    edge_weight     weight of the error of pictures' differences between neighbours; of decoded ones
    motion_weight   weight of the error of movements (in patches), of an autoencoder that holds
                    some and rendered faces that tell the exact ones
    au_weight       weight of the error of the AU changes (in intensities) that readers see in
                    decoded pictures, of rendered faces whose points tell where the eyes are
    au_readers      files of these readers, see au_readers.py
    own_states      share of each identity's targets whose noisy latents are made of the network's
                    own prediction, as in sampling; all others then start from pure noise. 0 is
                    the paper's: noise added to the target's latents
    target_latents  the target's posterior is sampled, as in Stable Diffusion's training, or its
                    mode is taken
    au_dropout      deltas replaced by the null AU, for classifier-free guidance (section III-D)
    zero_sigma      noise on all-zero deltas (section III-B)
    timestep_power  t = T * u^power; below 1 prefers high noise
    min_snr         gamma of the min-SNR loss weights (Hang et al. 2023), 5 is usual; 0 is off
    outside_weight  loss weight outside the face mask
    change_weight   extra weight per unit of difference between target and identity image
    change_balance  0 leaves that weight proportional to the change, so that small movements count
                    little; 1 gives every exact edit the same sum of it
    """

    prediction: Literal["epsilon", "sample", "v_prediction"] = "epsilon"
    loss: Literal["l2", "huber"] = "l2"
    huber_width: float = 0.1
    error: Literal["output", "picture"] = "output"
    edge_weight: float = 0.0
    motion_weight: float = 0.0
    au_weight: float = 0.0
    au_readers: tuple[str, ...] = ()
    own_states: float = 0.0
    target_latents: Literal["sample", "mode"] = "sample"
    au_dropout: float = 0.1
    zero_sigma: float = 0.2
    timestep_power: float = 1.0
    min_snr: float = 0.0
    outside_weight: float = 1.0
    change_weight: float = 0.0
    change_balance: float = 0.0

    def __post_init__(self) -> None:
        for name in ("au_dropout", "change_balance", "own_states"):
            check_range(f"objective.{name}", getattr(self, name), 0, 1)
        weights = ("outside_weight", "change_weight", "edge_weight", "motion_weight", "au_weight")
        for name in ("zero_sigma", "min_snr", *weights):
            check_range(f"objective.{name}", getattr(self, name), 0)


@dataclass(frozen=True)
class OptimConfig:
    """Optimiser, schedule, precision and averaging.

    optimizer               "adamw-8bit" is bitsandbytes', "adamw-8bit-torchao" torchao's
    weights                 what the trained weights are kept in; bfloat16 needs torchao's
                            optimiser, which rounds stochastically: plain rounding loses steps of
                            1e-5
    mixed_precision         of the computation (autocast)
    accumulation            micro-batches of one step
    gradient_checkpointing  compute activations again in the backward pass: less memory, more time
    decay_steps             linear decay to a tenth over the last steps; 0 keeps the rate constant
    clip_norm               largest norm of the gradient; 0 leaves it as it is
    ema                     where the averaged weights are kept, which validation and export use
    ema_every               steps from one update of the average to the next
    """

    steps: int = 100_000
    optimizer: Literal["adamw", "adamw-8bit", "adamw-8bit-torchao", "adafactor"] = "adamw"
    learning_rate: float = 1e-5
    warmup_steps: int = 0
    decay_steps: int = 0
    weight_decay: float = 1e-2
    betas: tuple[float, float] = (0.9, 0.999)
    clip_norm: float = 1.0
    weights: Literal["float32", "bfloat16"] = "float32"
    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    accumulation: int = 1
    gradient_checkpointing: bool = False
    ema: Literal["device", "cpu", "off"] = "device"
    ema_decay: float = 0.9999
    ema_every: int = 1

    def __post_init__(self) -> None:
        for name in ("steps", "accumulation", "ema_every"):
            check_range(f"optim.{name}", getattr(self, name), 1)
        check_range("optim.learning_rate", self.learning_rate, 0)
        check_range("optim.ema_decay", self.ema_decay, 0, 1)
        if self.weights == "bfloat16" and self.optimizer != "adamw-8bit-torchao":
            raise ConfigError(
                f"optim.weights is 'bfloat16' with optim.optimizer {self.optimizer!r}: its steps "
                "would be rounded away; set optim.optimizer to 'adamw-8bit-torchao', which rounds "
                "stochastically, or optim.weights to 'float32'"
            )


@dataclass(frozen=True)
class RunConfig:
    """Where and how often things are written.

    keep           newest states that stay
    tracker        beside log.jsonl, which is always written
    threads        CPU threads of torch; 0 leaves its own choice
    deterministic  bit-identical repeats on a GPU too, slower
    """

    output: str = "runs/magicface"
    seed: int = 0
    save_every: int = 1000
    keep: int = 3
    log_every: int = 20
    validate_every: int = 1000
    tracker: Literal["tensorboard", "wandb", "trackio", "none"] = "tensorboard"
    threads: int = 0
    deterministic: bool = False

    def __post_init__(self) -> None:
        for name in ("save_every", "keep", "log_every", "validate_every"):
            check_range(f"run.{name}", getattr(self, name), 1)


@dataclass(frozen=True)
class ValidationConfig:
    """What each validation looks at; all of it is fixed, so that numbers compare along a run.

    rows        held-out identity images of the loss
    bins        timesteps at which it is computed: the middles of as many equal ranges
    identities  rows of the picture grid; 0 draws none
    aus         action units (columns) of the grid, each asked for at ``strength``
    guidance    alphas of the grid
    steps       denoising steps of the grid
    probe       read the action units of the grid's faces: the AU response
    """

    rows: int = 32
    bins: int = 5
    identities: int = 4
    aus: tuple[int, ...] = AU_ORDER
    strength: float = 3.0
    guidance: tuple[float, ...] = (1.0, 3.0)
    steps: int = 20
    probe: bool = True

    def __post_init__(self) -> None:
        for name in ("rows", "bins", "steps"):
            check_range(f"validation.{name}", getattr(self, name), 1)
        unknown = sorted(set(self.aus) - set(AU_ORDER))
        if unknown:
            raise ConfigError(f"validation.aus holds {unknown}; known units: {list(AU_ORDER)}")
