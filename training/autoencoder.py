"""Train the small autoencoder.

    python -m magicface_training.autoencoder --data SHARDS --out FOLDER

The encoder is the principal components of image patches, in closed form, and stays fixed, so that
editors can be trained on its latents while the decoder is still learning. The decoder starts as the
inverse map and learns, by gradient descent on L1 error plus the error of picture gradients, to
restore what the components drop.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from magicface_core.files import write_file
from magicface_core.network.autoencoder import PatchAutoencoder
from magicface_core.network.checkpoint import load_autoencoder
from magicface_core.network.streaming import write_tensors

from .data.edit_sets import EditSets
from .settings import ConfigError

logger = logging.getLogger(__name__)
FIT_PICTURES = 600


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="magicface-train-autoencoder", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--data", required=True, help="folder of prepared shards")
    parser.add_argument("--out", required=True, help="diffusers folder to write")
    parser.add_argument("--steps", type=int, default=2000, help="steps of the decoder's training")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--patch-size", type=int, default=8)
    parser.add_argument("--latent-channels", type=int, default=64, help="without --motion's")
    parser.add_argument("--width", type=int, default=128, help="of the refinement; 0 is none")
    parser.add_argument(
        "--motion", type=int, default=0, help="vectors of movement along a patch's side"
    )
    parser.add_argument("--start", help="autoencoder whose linear maps are kept instead of fitted")
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if args.threads:
        torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    data = EditSets(args.data)
    start = None if args.start is None else _opened(Path(args.start))
    channels = args.latent_channels if start is None else start.content_channels
    vae = PatchAutoencoder(
        patch_size=args.patch_size if start is None else int(start.config.patch_size),
        latent_channels=channels + 2 * args.motion**2,
        width=args.width,
        motion=args.motion,
    )
    if start is None:
        fit_encoder(vae, data)
    else:
        for name in ("to_latents", "to_pixels"):
            getattr(vae, name).load_state_dict(getattr(start, name).state_dict())
    train_decoder(vae, data, args.steps, args.batch, args.learning_rate, args.seed)
    write(vae, Path(args.out))
    return 0


def _opened(folder: Path) -> PatchAutoencoder:
    vae = load_autoencoder(folder, torch.float32, torch.device("cpu"))
    if not isinstance(vae, PatchAutoencoder):
        raise ConfigError(f"--start {folder} is a {type(vae).__name__}, not a PatchAutoencoder")
    return vae


def fit_encoder(vae: PatchAutoencoder, data: EditSets) -> None:
    """Principal components of evenly spaced pictures of the data."""
    flat = data.image.reshape(-1, *data.image.shape[2:])
    rows = np.linspace(0, len(flat) - 1, min(FIT_PICTURES, len(flat))).astype(int)
    vae.fit_patches(_pictures(flat[rows]))


def train_decoder(
    vae: PatchAutoencoder, data: EditSets, steps: int, batch: int, rate: float, seed: int
) -> None:
    """Adam with a cosine schedule on everything but the encoder."""
    for parameter in vae.to_latents.parameters():
        parameter.requires_grad_(False)
    trained = [p for p in vae.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, max(steps, 1))
    flat = data.image.reshape(-1, *data.image.shape[2:])
    vae.to(memory_format=torch.channels_last)
    bar = tqdm(range(steps), disable=steps == 0)
    for step in bar:
        rng = np.random.default_rng([seed, step])
        pictures = _pictures(flat[rng.integers(len(flat), size=batch)])
        restored = vae.decode(vae.encode(pictures).latent_dist.mode()).sample
        loss = reconstruction_loss(restored, pictures)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        if step % 50 == 0:
            bar.set_postfix(loss=f"{float(loss.detach()):.4f}")


def reconstruction_loss(restored: Tensor, pictures: Tensor) -> Tensor:
    """L1 of pixels plus L1 of horizontal and vertical differences, [B,3,H,W] in -1..1."""
    error = restored - pictures
    across, down = error.diff(dim=-1).abs().mean(), error.diff(dim=-2).abs().mean()
    return error.abs().mean() + across + down


def write(vae: PatchAutoencoder, folder: Path) -> None:
    """A diffusers folder: ``config.json`` and safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    settings = {"_class_name": "PatchAutoencoder"}
    settings.update({k: v for k, v in vae.config.items() if not k.startswith("_")})
    write_file(folder / "config.json", json.dumps(settings, indent=2) + "\n")
    write_tensors(folder / "diffusion_pytorch_model.safetensors", vae.state_dict())
    logger.info("autoencoder in %s", folder)


def _pictures(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).float() / 127.5 - 1


if __name__ == "__main__":
    raise SystemExit(main())
