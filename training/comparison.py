"""How the settings of a resumed run differ from those its state was made with."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from typing import Any

from .config import TrainConfig
from .settings import ConfigError

# Settings that change neither what is computed nor in which order.
HARMLESS = (
    "run.output",
    "run.save_every",
    "run.keep",
    "run.log_every",
    "run.validate_every",
    "run.tracker",
    "run.threads",
    "run.deterministic",
    "validation.",
    "info.",
    "data.train",  # the data itself is compared by its fingerprint
    "data.validation",
    "data.workers",
    "data.scratch",
    "data.identities_per_step",  # their product with processes and accumulation is compared
    "optim.accumulation",
    "optim.gradient_checkpointing",
)


@dataclass(frozen=True)
class Difference:
    """One setting, in the state and now."""

    key: str
    old: Any
    new: Any
    harmless: bool  # the run goes on as it would have

    def __str__(self) -> str:
        return f"{self.key} was {self.old!r}, is {self.new!r}"


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[Difference]:
    """Settings that differ between two trees from ``as_tree``; what one lacks has its default."""
    defaults = _flat(as_tree(TrainConfig()))
    before, now = defaults | _flat(old), defaults | _flat(new)
    decays = bool(before["optim.decay_steps"] or now["optim.decay_steps"])
    found = []
    for key in sorted(before.keys() | now.keys()):
        one, other = before.get(key), now.get(key)
        if one != other:
            found.append(Difference(key, one, other, _is_harmless(key, (one, other), decays)))
    return found


def _is_harmless(key: str, values: tuple[Any, Any], decays: bool) -> bool:
    if key == "optim.steps":
        return not decays  # the last steps' learning rates hang on the number of steps
    if key == "optim.ema":
        return "off" not in values  # the average lies elsewhere
    if key == "data.cache":
        return "" not in values  # the latents have moved; they are known by their autoencoder
    return any(key.startswith(h) if h.endswith(".") else key == h for h in HARMLESS)


def check_same_run(found: list[Difference], place: str, accept: bool) -> None:
    """Raise ConfigError for differences that make another run, unless they are accepted."""
    serious = [str(each) for each in found if not each.harmless]
    if serious and not accept:
        raise ConfigError(
            f"{place} was made with other settings: {'; '.join(serious)}. Give back the old values "
            "or another run.output; to go on with the new ones all the same, add --accept-changes"
        )


def as_tree(config: TrainConfig) -> dict[str, Any]:
    """The configuration as JSON gives it back."""
    tree: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return tree


def config_hash(config: TrainConfig) -> str:
    """sha256 of all settings, 64 hexadecimal digits."""
    text = json.dumps(dataclasses.asdict(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            flat.update(_flat(value, f"{prefix}{key}."))
        elif value != {}:
            flat[prefix + key] = value
    return flat
