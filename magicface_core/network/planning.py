"""Networks that are built, and known to fit their files, before any tensor is read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn

from ..errors import CheckpointError
from .attribute_controller import ConvolutionController
from .autoencoder import Autoencoder, PatchAutoencoder, to_current_keys
from .denoisers import build_denoiser
from .identity_paths import IDENTITY_PATHS, IdentityEncoder
from .info import CheckpointInfo
from .ldm import from_ldm, is_ldm, key_table, to_ldm
from .parts import CheckpointParts, Part
from .unet import to_released_keys, to_stock_keys
from .weights import check_shapes, load_into

N = TypeVar("N", bound=nn.Module)
MAX_REPEATS = 64
REPEATS = ("layers_per_block", "transformer_layers_per_block", "blocks", "num_hidden_layers")


@dataclass(frozen=True)
class Plan(Generic[N]):
    """A network without storage yet, whose tensors are known to fit."""

    network: N
    part: Part
    from_file: Callable[[Mapping[str, Any]], dict[str, Any]]

    def fill(self, dtype: torch.dtype, device: torch.device) -> None:
        """Read the tensors and make the network ready for inference."""
        load_into(self.network, self.from_file(self.part.tensors(dtype, device)))
        self.network.eval().requires_grad_(False)


def plan(
    part: Part,
    build: Callable[[], N],
    from_file: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
    to_file: Callable[[Mapping[str, Any]], dict[str, Any]] = dict,
) -> Plan[N]:
    """Build a network and compare its tensors with the file's, without reading those.

    ``from_file`` turns the file's keys into the network's, ``to_file`` is its inverse. Complaints
    name keys as they are in the file.
    """
    check_size(part)
    try:
        with torch.device("meta"):
            network = build()
    except (TypeError, ValueError, KeyError, IndexError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"{part.place} describes no network this version can build: {error}"
        ) from error
    expected = {k: tuple(v.shape) for k, v in network.state_dict().items()}
    found = to_file(from_file(part.shapes()))
    check_shapes(to_file(expected), found, part.weights, part.place)
    return Plan(network, part, from_file)


def check_size(part: Part) -> None:
    """Raise a CheckpointError for a configuration of more layers than any network here has.

    Building those would take for ever, even without storage.
    """
    for name, value in part.config().items():
        counts = [value] if isinstance(value, int) else []
        if isinstance(value, list | tuple):
            counts = [len(value), *(v for v in value if isinstance(v, int) and name in REPEATS)]
        elif name not in REPEATS:
            continue
        if max(counts, default=0) > MAX_REPEATS:
            raise CheckpointError(
                f"{part.place}: {name} asks for {max(counts)} layers, at most {MAX_REPEATS} are "
                "built; copy the file from the checkpoint's source"
            )


def plan_denoiser(part: Part, info: CheckpointInfo) -> Plan[UNet2DConditionModel]:
    """The denoiser that takes identity and AUs as the checkpoint says."""
    config = part.config()
    return plan(
        part,
        lambda: build_denoiser(config, info.identity, info.action_units, info.locality),
        to_stock_keys,
        to_released_keys,
    )


def plan_id_encoder(part: Part, info: CheckpointInfo) -> Plan[IdentityEncoder]:
    """What sees the identity, as the checkpoint says."""
    config, path = part.config(), IDENTITY_PATHS[info.identity]
    return plan(part, lambda: path.build_encoder(config, info.locality))


def plan_autoencoder(part: Part) -> Plan[Autoencoder]:
    """``AutoencoderKL`` or ``PatchAutoencoder``, whichever the configuration names."""
    config = part.config()
    kind = PatchAutoencoder if config.get("_class_name") == "PatchAutoencoder" else AutoencoderKL
    settings = {k: v for k, v in config.items() if not k.startswith("_")}
    table = key_table(shapes) if is_ldm(shapes := part.shapes()) else ()
    return plan(
        part,
        lambda: kind.from_config(settings),
        lambda tensors: to_current_keys(from_ldm(tensors, table)),
        lambda tensors: to_ldm(tensors, table),
    )


def plan_controller(
    parts: CheckpointParts, info: CheckpointInfo
) -> Plan[ConvolutionController] | None:
    """The convolutional Attribute Controller; None where latents are concatenated."""
    if info.attribute_controller == "concatenation":
        return None
    part = parts.part("attribute_controller")
    config = part.config()
    return plan(part, lambda: ConvolutionController(config["channels"], config["reduction"]))
