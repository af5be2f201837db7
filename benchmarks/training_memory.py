"""Peak memory of training by configuration, at Stable Diffusion 1.5's size and 512 x 512.

On a CUDA GPU two real steps are measured. Without one the same forward and backward passes run on
fake tensors, which have shapes but no numbers, every storage that is alive is counted, and what an
optimiser and an average keep is added by their bytes for each weight. Such figures are labelled
"accounted": they lack the CUDA context (about 0.5 GiB) and the allocator's rounding, and the
attention is the CPU's.
"""

from __future__ import annotations

import argparse
import json
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from diffusers import DDPMScheduler
from magicface_training.averaging import WeightAverage
from magicface_training.config import TrainConfig, load_config
from magicface_training.evaluation.provenance import machine, versions
from magicface_training.initialise import Start
from magicface_training.objective import Draw, edit_loss, encode
from magicface_training.run import TYPES, enable_checkpointing
from random_training import SIZES, Size, made_up_batch, random_start
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only
from training_speed import SEED, make_stepper

CONFIGS = ("paper.yaml", "24gb.yaml", "16gb.yaml", "finetune.yaml")
GIBIBYTE = 2**30
# Bytes of the moments of one weight, relative to a weight's own (0) or not (1); 8-bit moments have
# a float32 scale for each block of 256.
MOMENTS = {"adamw": 8.0, "adamw-8bit": 2 + 8 / 256, "adamw-8bit-torchao": 2 + 8 / 256}


def main(argv: Sequence[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configs", nargs="+", default=list(CONFIGS), metavar="FILE")
    parser.add_argument("--size", choices=sorted(SIZES), default="full")
    parser.add_argument("--set", action="append", default=[], metavar="section.key=value")
    parser.add_argument("--account", action="store_true", help="fake tensors even with a GPU")
    args = parser.parse_args(argv)
    measured = torch.cuda.is_available() and not args.account
    results = {}
    for name in args.configs:
        config = load_config(name, args.set)
        how = measure if measured else account
        results[name] = how(SIZES[args.size], config)
        parts = ", ".join(f"{part} {gib:.2f}" for part, gib in results[name].items())
        print(f"{name}: GiB {'measured' if measured else 'accounted'}: {parts}", flush=True)
    facts = {
        "how": "measured" if measured else "accounted",
        "size": args.size,
        "seed": SEED,
        "versions": versions(),
        "machine": machine("cuda" if measured else "cpu"),
    }
    print(json.dumps({**facts, "gib": results}))
    return 0


def measure(size: Size, config: TrainConfig) -> dict[str, float]:
    """Peak of two steps on the GPU, as torch allocated and as it reserved."""
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    accelerator = Accelerator(mixed_precision=config.optim.mixed_precision)
    stepper = make_stepper(size, config, accelerator)
    if config.optim.gradient_checkpointing:
        enable_checkpointing(stepper.start.networks)
    device = torch.device("cpu") if config.optim.ema == "cpu" else None
    average = None
    if config.optim.ema != "off":
        average = WeightAverage(stepper.start.networks, config.optim.ema_decay, device)
    rows = config.data.identities_per_step
    for step in range(2):
        batches = [
            made_up_batch(size, rows, bool(config.data.cache))
            for _ in range(config.optim.accumulation)
        ]
        stepper.step(step, batches)
        if average is not None:
            average.update(step + 1)
    peaks = {
        "peak": torch.cuda.max_memory_allocated(),
        "reserved": torch.cuda.max_memory_reserved(),
    }
    accelerator.free_memory(stepper.model, stepper.optimizer)
    return _in_gib(peaks)


def account(size: Size, config: TrainConfig) -> dict[str, float]:
    """Peak of forward and backward passes on fake tensors, and what is kept beside them."""
    optim = config.optim
    with FakeTensorMode(), LiveMemory() as memory:
        with default_type(TYPES[optim.weights]):
            start = random_start(size)
        networks = start.networks
        if optim.gradient_checkpointing:
            enable_checkpointing(networks)
        weights = sum(p.nbytes for p in networks.parameters())
        trained = sum(p.numel() for p in networks.parameters() if p.requires_grad)
        after_forward = _passes(size, config, start, memory)
        # With one micro-batch, gradients come into being in the backward pass; more need them
        # all along.
        if optim.accumulation > 1:
            after_forward = _passes(size, config, start, memory)
    moments = MOMENTS.get(optim.optimizer, 8.0) * trained
    average = 4 * trained if optim.ema == "device" else 0
    return _in_gib(
        {
            "peak": memory.peak + moments + average,
            "weights": weights,
            "passes": memory.peak,
            "after_forward": after_forward,
            "moments": moments,
            "average": average,
        }
    )


@contextmanager
def default_type(dtype: torch.dtype) -> Iterator[None]:
    """What weights are made in."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def _passes(size: Size, config: TrainConfig, start: Start, memory: LiveMemory) -> int:
    """Forward and backward of one micro-batch; bytes alive between the two."""
    rows, networks = config.data.identities_per_step, start.networks
    batch = made_up_batch(size, rows, bool(config.data.cache))
    latents = encode(batch, start.vae, networks)
    noise = torch.randn(latents.target_mean.shape)
    drawn = Draw(noise, noise, torch.zeros(rows, dtype=torch.int64), batch.delta)
    prompt = start.prompt_embeds.to(TYPES[config.optim.weights])
    scheduler = DDPMScheduler.from_config(start.scheduler_config)
    bf16 = config.optim.mixed_precision == "bf16"
    with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
        weight = torch.ones(1)
        loss = edit_loss(networks, latents, weight, drawn, prompt, scheduler, config.objective)
    alive = memory.current
    loss.backward()
    return alive


class LiveMemory(TorchDispatchMode):
    """Bytes of all storages that torch makes while it is entered, and the most at any time."""

    def __init__(self) -> None:
        super().__init__()
        self.current = 0
        self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        made = func(*args, **(kwargs or {}))
        tree_map_only(Tensor, self._count, made)
        return made

    def _count(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self._known and tensor.device.type != "meta":
            size = storage.nbytes()
            self._known.add(key)
            self.current += size
            self.peak = max(self.peak, self.current)
            weakref.finalize(storage, self._forget, key, size)
        return tensor

    def _forget(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.current -= size


def _in_gib(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value / GIBIBYTE for name, value in values.items()}


if __name__ == "__main__":
    raise SystemExit(main())
