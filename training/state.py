"""Saving, resuming and exporting a run.

A state folder holds safetensors and JSON, except the optimizer's moments, which torch writes and
reads with ``weights_only=True``. Folders are written under a temporary name and renamed when
complete.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file

from magicface_core.network.saving import save_checkpoint
from magicface_core.network.weights import write_tensors

from .averaging import WeightAverage
from .config import TrainConfig
from .initialise import Networks, Start


@dataclass
class TrainState:
    """What changes during training."""

    networks: Networks
    optimizer: torch.optim.Optimizer
    average: WeightAverage
    step: int = 0


def latest(output: Path) -> Path | None:
    """The newest complete state of a run."""
    folders = sorted(output.glob("state-*"))
    return folders[-1] if folders else None


def save(output: Path, state: TrainState, config: TrainConfig) -> Path:
    """Write ``state-<step>`` and drop all but the newest ``keep``."""
    folder = output / f"state-{state.step:08d}"
    temporary = output / f"partial-{state.step:08d}"
    temporary.mkdir(parents=True, exist_ok=True)
    write_tensors(temporary / "networks.safetensors", state.networks.state_dict())
    write_tensors(temporary / "average.safetensors", state.average.shadow)
    torch.save(state.optimizer.state_dict(), temporary / "optimizer.pt")
    (temporary / "trainer.json").write_text(
        json.dumps({"step": state.step, "config": dataclasses.asdict(config)}, indent=2)
    )
    if folder.exists():
        shutil.rmtree(folder)
    os.replace(temporary, folder)
    for old in sorted(output.glob("state-*"))[: -config.run.keep]:
        shutil.rmtree(old)
    return folder


def restore(folder: Path, state: TrainState) -> None:
    """Load a state written by ``save`` in place."""
    state.networks.load_state_dict(load_file(folder / "networks.safetensors"))
    for name, tensor in load_file(folder / "average.safetensors").items():
        state.average.shadow[name].copy_(tensor)
    state.optimizer.load_state_dict(
        torch.load(folder / "optimizer.pt", map_location="cpu", weights_only=True)
    )
    state.step = int(json.loads((folder / "trainer.json").read_text())["step"])


def export(
    folder: Path,
    state: TrainState,
    start: Start,
    config: TrainConfig,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """The averaged weights as a checkpoint folder that ``MagicFace.load`` reads."""
    training = {**start.info.training, "steps": state.step, "config": dataclasses.asdict(config)}
    with state.average.applied():
        save_checkpoint(
            folder,
            denoiser=state.networks.denoiser,
            id_encoder=state.networks.id_encoder,
            vae=start.vae,
            prompt_embeds=start.prompt_embeds,
            scheduler_config=start.scheduler_config,
            info=dataclasses.replace(start.info, training=training),
            controller=state.networks.controller,
            dtype=dtype,
        )
    return folder
