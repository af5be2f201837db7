"""The released checkpoint's size, with random weights: loading, one guided step, memory, time.

Writes the released layout (denoiser with 8 input channels and the AU embedding, ID encoder, both
in diffusers folders; Stable Diffusion 1.5's VAE inside a single-file checkpoint), loads it in
float32 and float16, and runs one step at 512 x 512. The result must agree with the straightforward
evaluation in ``plain_evaluation.py``, and must not once a convention of the release is broken.
Every stage is a process of its own, so that its memory is its own.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import platform
import re
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from magicface_training.evaluation.provenance import machine, versions
from plain_evaluation import evaluate
from random_checkpoint import PLAIN_VAE, VAE_FILE, write
from safetensors.torch import load_file
from torch import Tensor

from magicface_core.editing.identity import ProjectedIdentity, encode_identities
from magicface_core.editing.sampling import decode, encode_background, predict, sample
from magicface_core.network import Checkpoint, load_checkpoint
from magicface_core.network.reference_attention import identity_features, project_reference
from magicface_core.network.streaming import write_tensors

GUIDANCE, TIMESTEP = 3.0, 500
AGREEMENT = 1e-4  # of the largest value
NOTICED = 20 * AGREEMENT
TARGET_RATIO = 1.3
STAGES = ("write", "load float32", "load float16", "one step", "plain evaluation")


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns 1 where results disagree or memory is exceeded."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="narrow networks: a trial in a minute")
    parser.add_argument("--disk", choices=("float16", "float32"), default="float16")
    parser.add_argument("--folder", type=Path, help="where to write; default: the system's")
    parser.add_argument("--threads", type=int, default=0, help="torch's threads (default: its own)")
    args = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=args.folder, prefix="magicface-full-size-") as name:
        result = measure(Path(name), args.small, args.disk, args.threads)
    for stage in STAGES:
        seconds, peak = result[stage]["seconds"], result[stage]["peak_bytes"]
        print(f"{stage:<28} {seconds:8.1f} s  peak {peak / 1e9:6.2f} GB")
    for dtype, ratio in result["load_peak_to_weights"].items():
        print(f"{'load ' + dtype:<28} peak is {ratio:.3f} x the weights (target {TARGET_RATIO})")
    for name, error in result["errors"].items():
        print(f"{name:<28} {error:.1e}")
    print(json.dumps(result))
    return 0 if result["passed"] else 1


def measure(folder: Path, small: bool, disk: str = "float16", threads: int = 0) -> dict[str, Any]:
    """All stages, one after another, and what they amount to."""
    jobs = ((write, small, disk), (load, "float32"), (load, "float16"), (one_step,), (plain,))
    stages = {
        name: run_apart(threads, job, folder, *settings)
        for name, (job, *settings) in zip(STAGES, jobs, strict=True)
    }
    loads = {dtype: stages[f"load {dtype}"] for dtype in ("float32", "float16")}
    ratios = {k: round(v["growth_bytes"] / v["weight_bytes"], 3) for k, v in loads.items()}
    errors = compare(folder)
    agree = all(v < AGREEMENT for k, v in errors.items() if not k.startswith("mistake"))
    noticed = all(v > NOTICED for k, v in errors.items() if k.startswith("mistake"))
    return {
        **stages,
        "load_peak_to_weights": ratios,
        "errors": errors,
        "passed": agree and noticed and (small or max(ratios.values()) < TARGET_RATIO),
        "disk": disk,
        "versions": versions(),
        "machine": {**machine("cpu"), "threads": threads or torch.get_num_threads()},
        "cpu": cpu_name(),
    }


def run_apart(threads: int, work: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """Run a stage in a fresh process; returns its figures, seconds and peak memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(measured, (threads, work, *args))


@torch.no_grad()
def measured(threads: int, work: Callable[..., dict[str, Any]], *args: Any) -> dict[str, Any]:
    """A stage with its seconds and its peak."""
    if threads:
        torch.set_num_threads(threads)
    start = time.perf_counter()
    figures = work(*args)
    seconds = round(time.perf_counter() - start, 2)
    return {"seconds": seconds, "peak_bytes": peak_bytes(), **figures}


# --- stages ---------------------------------------------------------------------------------------


def load(folder: Path, dtype: str) -> dict[str, Any]:
    """Growth of resident memory while the checkpoint is loaded, at its peak."""
    prompt = load_file(folder / "inputs.safetensors")["prompt"]
    before = restart_peak()
    checkpoint = opened(folder, prompt, getattr(torch, dtype))
    growth = peak_bytes() - before
    networks = (checkpoint.denoiser, checkpoint.id_encoder, checkpoint.vae)
    weights = [p for network in networks for p in network.parameters()]  # type: ignore[union-attr]
    return {
        "growth_bytes": growth,
        "weight_bytes": sum(p.numel() * p.element_size() for p in weights),
        "parameters": sum(p.numel() for p in weights),
    }


def opened(folder: Path, prompt: Tensor, dtype: torch.dtype = torch.float32) -> Checkpoint:
    return load_checkpoint(folder, "cpu", dtype, prompt, folder / VAE_FILE)


def one_step(folder: Path) -> dict[str, Any]:
    """The library's results, and predictions with one convention broken each."""
    given = load_file(folder / "inputs.safetensors")
    checkpoint = opened(folder, given["prompt"])
    checkpoint.info = replace(checkpoint.info, resolution=given["source"].shape[-1])
    clock = [time.perf_counter()]
    identity = encode_identities(checkpoint, given["source"])
    background = encode_background(checkpoint, given["background"])
    clock.append(time.perf_counter())
    settings: dict[str, Any] = {"steps": 1, "guidance": GUIDANCE, "noise": given["noise"]}
    latents = sample(checkpoint, identity, background, given["delta"], **settings)
    clock.append(time.perf_counter())
    picture = decode(checkpoint, latents)
    clock.append(time.perf_counter())
    edit_peak = peak_bytes()
    found = {
        "identity latents": identity.latents,
        "background latents": background,
        "one guided step": latents,
        "picture": picture,
        **predictions(checkpoint, given, identity.latents, background),
    }
    write_tensors(folder / "library.safetensors", found)
    names = ("encode_seconds", "guided_step_seconds", "decode_seconds")
    times = [round(b - a, 2) for a, b in itertools.pairwise(clock)]
    return {**dict(zip(names, times, strict=True)), "edit_peak_bytes": edit_peak}


def predictions(
    checkpoint: Checkpoint, given: dict[str, Tensor], latents: Tensor, background: Tensor
) -> dict[str, Tensor]:
    """The noise prediction as it should be, and with mistakes."""
    delta, scale = given["delta"], checkpoint.codec.scaling_factor
    features = identity_features(checkpoint.id_encoder, latents, given["prompt"])
    scaled = identity_features(checkpoint.id_encoder, latents * scale, given["prompt"])
    exchanged = [features[1], features[0], *features[2:]]

    def predicted(features: Sequence[Tensor], background: Tensor, delta: Tensor) -> Tensor:
        identity = ProjectedIdentity(project_reference(checkpoint.denoiser, features), latents)
        return predict(checkpoint, identity, given["noise"], background, delta, TIMESTEP)

    return {
        **{f"reference {index:02d}": feature for index, feature in enumerate(features)},
        "prediction": predicted(features, background, delta),
        "mistake: scaled background": predicted(features, background * scale, delta),
        "mistake: scaled identity": predicted(scaled, background, delta),
        "mistake: no AUs": predicted(features, background, torch.zeros_like(delta)),
        "mistake: exchanged features": predicted(exchanged, background, delta),
        "mistake: no reference": predicted([f[:, :0] for f in features], background, delta),
    }


def plain(folder: Path) -> dict[str, Any]:
    """The same by stock layers, read from the same files by other code."""
    given = load_file(folder / "inputs.safetensors")
    places = (folder / PLAIN_VAE, folder / "ID_enc", folder / "denoising_unet")
    write_tensors(folder / "plain.safetensors", evaluate(*places, given, TIMESTEP, GUIDANCE))
    return {}


# --- results --------------------------------------------------------------------------------------


def compare(folder: Path) -> dict[str, float]:
    """Largest difference of each result, relative to the largest value."""
    found, expected = (load_file(folder / f"{k}.safetensors") for k in ("library", "plain"))
    errors = {}
    for name, tensor in found.items():
        wanted = expected["prediction" if name.startswith("mistake") else name]
        errors[name] = float((tensor - wanted).abs().max() / wanted.abs().max())
    return {**errors, "missing": float(len(set(expected) - set(found)))}


def peak_bytes() -> int:
    """Largest resident memory of this process since ``restart_peak``; 0 where nothing tells.

    Linux' own number: that of ``resource`` starts from the parent's memory.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0]) * 1024
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def restart_peak() -> int:
    """Resident memory now; on Linux the peak starts anew from it."""
    refs = Path("/proc/self/clear_refs")
    if refs.exists():
        refs.write_text("5")
    return peak_bytes()


def cpu_name() -> str:
    """Model of the processor, where the system tells."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


if __name__ == "__main__":
    raise SystemExit(main())
