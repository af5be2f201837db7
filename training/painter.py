"""Train the painter of an editor, and give it to the editor's autoencoder.

    python -m magicface_training.painter --checkpoint EDITOR --data FOLDER --out CHECKPOINT

The editor is done and stays: its answers to exact edits are part of the data (``painted_sets``).
Colours are fitted in closed form to teeth and dark insides of rendered mouths; where to paint is
learned by gradient descent (see ``magicface_core/network/painter.py``).
The run saves itself and goes on from there when it is started again.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional as F
from tqdm import tqdm

from magicface_core.errors import MagicFaceError
from magicface_core.network import load_checkpoint
from magicface_core.network.autoencoder import PatchAutoencoder
from magicface_core.network.painter import LUMA, Painter, Scene, brightness, hues, statistics
from magicface_core.network.streaming import write_tensors

from .autoencoder import write
from .data.painted_edits import LIGHT, SCALE, PaintedEdits, PaintedSets
from .settings import ConfigError, build, check_range, read_tree
from .synthetic.head.regions import FACE_CLASSES, FaceClass

logger = logging.getLogger(__name__)
CONFIG = Path(__file__).resolve().parent / "configs" / "mini-painter.yaml"
STATE = "painter-state.safetensors"
LEAST_PIXELS = 12
"""Means over fewer pixels count less."""
WRONG = 0.12
"""Difference (picture range -1..1) of moved picture and answer that must be painted."""
LIGHT_QUANTILE, DARK_QUANTILE = 0.65, 0.05
"""Of the brightness of teeth and of dark insides, what is painted: clearly light, clearly dark."""


@dataclass(frozen=True)
class PainterConfig:
    """Settings of a painter's training; see ``configs/mini-painter.yaml``.

    window          left, top, right, bottom at the painter's scale of 160 pixels
    widths          channels of the two levels
    fit_edits       edits that colours are fitted to
    opacity_weight  of where paint lies, beside the error of the picture and of its gradient
    save_every      steps
    """

    window: tuple[int, int, int, int] = (32, 68, 128, 148)
    widths: tuple[int, int] = (32, 64)
    steps: int = 1800
    batch: int = 24
    learning_rate: float = 2e-3
    warmup_steps: int = 100
    weight_decay: float = 1e-3
    average_decay: float = 0.998
    opacity_weight: float = 0.04
    fit_edits: int = 720
    save_every: int = 250
    seed: int = 0
    threads: int = 2

    def __post_init__(self) -> None:
        check_range("steps", self.steps, 0)
        check_range("batch", self.batch, 1)
        check_range("save_every", self.save_every, 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m magicface_training.painter", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="the editor, done")
    parser.add_argument("--data", type=Path, required=True, help="folder of painted sets")
    parser.add_argument("--out", type=Path, required=True, help="checkpoint folder to write")
    parser.add_argument("--config", type=Path, default=CONFIG)
    parser.add_argument("--set", action="append", default=[], metavar="key=value")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    try:
        config = load_painter_config(args.config, args.set)
        torch.set_num_threads(config.threads)
        painter = train(PaintedSets(args.data), config, args.data / STATE)
        give(painter, args.checkpoint, args.out)
    except MagicFaceError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    return 0


def load_painter_config(path: Path, overrides: Sequence[str] = ()) -> PainterConfig:
    """Settings of a YAML file, some of them replaced by ``key=value``.

    Raises:
        ConfigError: a file that cannot be read, an unknown setting or a value of the wrong kind.
    """
    tree = read_tree(path)
    for text in overrides:
        key, separator, value = text.partition("=")
        if not separator:
            raise ConfigError(f"--set {text!r} is not key=value")
        tree[key] = yaml.safe_load(value)
    config: PainterConfig = build(PainterConfig, tree)
    return config


def train(data: PaintedSets, config: PainterConfig, state: Path) -> Painter:
    """A painter after all steps, the moving average of its weights; goes on from ``state``."""
    torch.manual_seed(config.seed)
    painter = Painter(SCALE, config.window, config.widths)
    fit_colours(painter, data, config)
    average = Painter(SCALE, config.window, config.widths)
    average.load_state_dict(painter.state_dict())
    learned = [p for name, p in painter.named_parameters() if not name.startswith("colours")]
    optimizer = torch.optim.AdamW(
        learned, config.learning_rate, betas=(0.9, 0.98), weight_decay=config.weight_decay
    )
    first = _resume(state, painter, average, optimizer)
    for step in tqdm(range(first, config.steps), initial=first, total=config.steps):
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, config)
        rng = np.random.default_rng([config.seed, step])
        loss = painter_loss(painter, _seen(data, rng, config.batch), config)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        _follow(average, painter, min(config.average_decay, (step + 1) / (step + 10)))
        if (step + 1) % config.save_every == 0:
            logger.info("step %d: loss %.4f", step + 1, float(loss.detach()))
            _save(state, step + 1, painter, average, optimizer)
    return average.eval()


def fit_colours(painter: Painter, data: PaintedSets, config: PainterConfig) -> None:
    """Set what colours follow from, by least squares over mouths of the data."""
    rng = np.random.default_rng([config.seed, len(data)])
    examples: tuple[list[_Example], list[_Example]] = ([], [])
    for _ in range(max(1, config.fit_edits // config.batch)):
        batch = _seen(data, rng, config.batch)
        for found, kind in zip(examples, (FaceClass.MOUTH + LIGHT, FaceClass.MOUTH), strict=True):
            quantile = LIGHT_QUANTILE if kind >= LIGHT else DARK_QUANTILE
            found += _examples(painter, batch, int(kind), quantile)
    weight, bias = (torch.zeros_like(each) for each in painter.colours.parameters())
    for row, found in zip((0, 4), examples, strict=True):
        if found:
            weight[row], bias[row], bias[row + 1 : row + 4] = _fitted(found)
    painter.colours.load_state_dict({"weight": weight, "bias": bias})


@dataclass(frozen=True)
class _Example:
    """One mouth: statistics [6], brightness over the middle, hues [3,3], mean hue [3]."""

    known: Tensor
    light: Tensor
    hues: Tensor
    hue: Tensor


def _examples(painter: Painter, batch: PaintedEdits, kind: int, quantile: float) -> list[_Example]:
    source, target, classes = (
        painter.cut(each) for each in (batch.source, batch.target, batch.classes)
    )
    known, own, light = statistics(brightness(source)), hues(source), brightness(target)
    found = []
    for row in range(len(source)):
        mask = classes[row, 0] == kind
        if int(mask.sum()) >= LEAST_PIXELS:
            level = torch.quantile(light[row, 0][mask], quantile) - known[row, 2]
            hue = (target[row] - light[row])[:, mask].mean(1)
            found.append(_Example(known[row], level, own[row], hue))
    return found


def _fitted(examples: Sequence[_Example]) -> tuple[Tensor, Tensor, Tensor]:
    """Weights [6] and bias [] of the brightness, and amounts [3] of hue."""
    known = torch.stack([each.known for each in examples])
    inputs = torch.cat([known, torch.ones(len(known), 1)], dim=1)
    ridge = 0.5 * torch.eye(inputs.shape[1])
    ridge[-1, -1] = 0
    levels = torch.stack([each.light for each in examples])
    solved = torch.linalg.solve(inputs.T @ inputs + ridge, inputs.T @ levels)
    own, hue = (torch.cat([getattr(each, name) for each in examples]) for name in ("hues", "hue"))
    amounts = torch.linalg.solve(own.T @ own + 1e-4 * torch.eye(3), own.T @ hue)
    return solved[:-1], solved[-1], amounts


def painter_loss(painter: Painter, batch: PaintedEdits, config: PainterConfig) -> Tensor:
    """Error of the picture, of its gradient, and of where paint lies."""
    scene = Scene.of(batch.source, batch.change, batch.vectors, SCALE)
    answer = painter.answer(scene)
    moved, target = painter.cut(scene.moved), painter.cut(batch.target)
    classes, before = painter.cut(batch.classes), painter.cut(batch.before)
    inside, was = (each % LIGHT == FaceClass.MOUTH for each in (classes, before))
    near = F.max_pool2d((inside | was).float(), 3, 1, 1)
    weight = _importance(classes % LIGHT, near)
    result = answer.over(moved)
    error = ((result - target).abs() * weight).mean()
    across = (result.diff(dim=-1) - target.diff(dim=-1)).abs() * weight[..., 1:]
    down = (result.diff(dim=-2) - target.diff(dim=-2)).abs() * weight[..., 1:, :]
    wrong = (moved - target).abs().mean(1, keepdim=True) > WRONG
    opacity = _mean(F.softplus(-answer.opacity), (inside & wrong).float())
    opacity = opacity + 0.5 * _mean(F.softplus(answer.opacity), 1 - near)
    return error + across.mean() + down.mean() + config.opacity_weight * opacity


def _importance(classes: Tensor, near: Tensor) -> Tensor:
    """Of pixels [B,1,H,W], 1 in the mean: the face, lips more, the mouth's inside most."""
    face = torch.isin(classes, torch.tensor([float(each) for each in FACE_CLASSES]))
    weight = 0.15 + 0.85 * face.float() + (classes == FaceClass.LIP).float() + 3.0 * near
    return weight / weight.mean()


def _mean(values: Tensor, mask: Tensor) -> Tensor:
    return (values * mask).sum() / mask.sum().clamp_min(LEAST_PIXELS)


def _seen(data: PaintedSets, rng: np.random.Generator, count: int) -> PaintedEdits:
    """Random edits, some mirrored, each in colours of its own."""
    batch = data.batch(data.draw(rng, count))
    turned = batch.mirrored(torch.from_numpy(rng.random(count) < 0.5))
    return turned.recoloured(torch.stack([_colour_mix(rng) for _ in range(count)]))


def _colour_mix(rng: np.random.Generator) -> Tensor:
    """A linear change of colours [3,3]: saturation, white and brightness."""
    grey = rng.random() < 0.08
    saturation = 0.0 if grey else rng.uniform(0.6, 1.25)
    gains = rng.uniform(0.9, 1.1, 3) * rng.uniform(0.85, 1.1)
    if grey:
        gains[:] = gains.mean()
    mix = saturation * np.eye(3) + (1 - saturation) * np.array(LUMA)[None]
    return torch.from_numpy(gains[:, None] * mix).float()


def _rate(step: int, config: PainterConfig) -> float:
    """Rises at first, stays to the middle, falls to a thirtieth."""
    share = step / config.steps
    warm = min(1.0, (step + 1) / max(1, config.warmup_steps))
    return config.learning_rate * warm * (1.0 if share < 0.5 else max(0.03, 2 * (1 - share)))


@torch.no_grad()
def _follow(average: Painter, painter: Painter, keep: float) -> None:
    for mine, theirs in zip(average.parameters(), painter.parameters(), strict=True):
        mine.lerp_(theirs, 1 - keep)


def _save(
    path: Path, step: int, painter: Painter, average: Painter, optimizer: torch.optim.Optimizer
) -> None:
    tensors = {f"painter.{k}": v for k, v in painter.state_dict().items()}
    tensors.update({f"average.{k}": v for k, v in average.state_dict().items()})
    for number, moments in optimizer.state_dict()["state"].items():
        tensors.update({f"moments.{number}.{k}": v for k, v in moments.items()})
    tensors["step"] = torch.tensor(step)
    write_tensors(path, tensors)


def _resume(
    path: Path, painter: Painter, average: Painter, optimizer: torch.optim.Optimizer
) -> int:
    """Load what was saved; returns the steps done."""
    if not path.is_file():
        return 0
    tensors = load_file(path)
    for name, module in (("painter.", painter), ("average.", average)):
        module.load_state_dict(
            {k.removeprefix(name): v for k, v in tensors.items() if k.startswith(name)}
        )
    moments: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("moments."):
            _, number, name = key.split(".", 2)
            moments.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": moments})
    return int(tensors["step"])


def give(painter: Painter, checkpoint: Path, out: Path) -> None:
    """Copy a checkpoint folder, its autoencoder with this painter.

    Raises:
        ConfigError: the autoencoder cannot have one.
    """
    vae = load_checkpoint(checkpoint, device="cpu").vae
    if not isinstance(vae, PatchAutoencoder):
        raise ConfigError(f"{checkpoint} has a {type(vae).__name__}, not a PatchAutoencoder")
    settings = {k: v for k, v in vae.config.items() if not k.startswith("_")}
    settings["painter_settings"] = {
        "size": painter.size,
        "window": list(painter.window),
        "widths": [painter.enter[0][0].out_channels, painter.middle[0][0].out_channels],
    }
    whole = PatchAutoencoder(**settings)
    whole.load_state_dict(
        {**vae.state_dict(), **{f"painter.{k}": v for k, v in painter.state_dict().items()}}
    )
    shutil.copytree(checkpoint, out, dirs_exist_ok=True)
    write(whole, out / "vae")


if __name__ == "__main__":
    raise SystemExit(main())
