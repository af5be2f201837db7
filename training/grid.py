"""The fixed picture grid: held-out identities x action units x guidance, and the AU response.

The response is the slope of measured over requested intensity: an estimator reads each unit in the
edit that asks for it and in the edit that asks for no change, and their difference is divided by
what was asked for. 1 is obedient, 0 is ignored.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean

import torch
from PIL import Image
from torch import Tensor

from magicface_core.aus import AU_ORDER
from magicface_core.drawing.sheets import Tile, labelled_sheet
from magicface_core.drawing.text import as_picture
from magicface_core.editing.identity import encode_identities, project_identity
from magicface_core.editing.sampling import decode, encode_background, no_change_delta, sample
from magicface_core.network.checkpoint import Checkpoint
from magicface_core.perception import Perception

from .data.samples import Batch
from .evaluation.conditions import enlarge
from .initialise import Start
from .objective import picture
from .run_settings import ValidationConfig

EDITS_AT_ONCE = 4  # little beside what training holds
TILE = 160  # pixels


@dataclass(frozen=True)
class Row:
    """Edits of one identity at one guidance: no change first, then one for each unit."""

    source: Tensor  # [1,3,H,W]
    edits: Tensor  # [1 + units,3,H,W]
    guidance: float


def draw_grid(
    start: Start, held_out: Iterator[Batch], config: ValidationConfig
) -> tuple[Image.Image | None, dict[str, float]]:
    """The sheet, and the AU responses at the last guidance; None and nothing where it is off."""
    if not (config.identities and config.guidance):
        return None, {}
    checkpoint = current_checkpoint(start)
    rows = [
        _edit(checkpoint, source, condition, guidance, seed, config)
        for seed, (source, condition) in enumerate(_people(held_out, config.identities))
        for guidance in config.guidance
    ]
    names = ["source", "no change", *(f"AU{unit} {config.strength:+g}" for unit in config.aus)]
    tiles = [
        [
            Tile(as_picture(each), f"{name}, guidance {row.guidance:g}")
            for each, name in zip((row.source, *row.edits.split(1)), names, strict=True)
        ]
        for row in rows
    ]
    judged = [row for row in rows if row.guidance == config.guidance[-1]]
    response = action_unit_response(judged, config) if config.probe else {}
    return labelled_sheet(tiles, tile_size=TILE), response


def current_checkpoint(start: Start) -> Checkpoint:
    """The networks as they are now, for sampling."""
    networks = start.networks
    return Checkpoint(
        denoiser=networks.denoiser,
        id_encoder=networks.id_encoder,
        vae=start.vae,
        controller=networks.controller,
        prompt_embeds=start.prompt_embeds,
        scheduler_config=start.scheduler_config,
        info=start.info,
    )


def _people(held_out: Iterator[Batch], count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Identity image [1,3,H,W] and condition picture [1,3,H,W] of the first held-out rows."""
    for batch in held_out:
        identity, condition = picture(batch.identity), picture(batch.condition)
        for row in range(len(identity)):
            if count == 0:
                return
            count -= 1
            yield identity[row : row + 1], condition[row : row + 1]


def _edit(
    checkpoint: Checkpoint,
    source: Tensor,
    condition: Tensor,
    guidance: float,
    seed: int,
    config: ValidationConfig,
) -> Row:
    identity = project_identity(checkpoint, encode_identities(checkpoint, source))
    background = encode_background(checkpoint, condition)
    deltas = torch.zeros(len(config.aus), len(AU_ORDER))
    for row, unit in enumerate(config.aus):
        deltas[row, AU_ORDER.index(unit)] = config.strength
    deltas = torch.cat([no_change_delta(seed), deltas])
    noise = torch.randn(
        1,
        checkpoint.latent_channels,
        *background.shape[2:],
        generator=torch.Generator().manual_seed(seed),
    )
    parts = [
        sample(
            checkpoint,
            identity,
            background,
            part,
            steps=config.steps,
            guidance=guidance,
            noise=noise,
            generator=torch.Generator().manual_seed(seed),
        )
        for part in deltas.split(EDITS_AT_ONCE)
    ]
    return Row(source, torch.cat([decode(checkpoint, part).cpu() for part in parts]), guidance)


def action_unit_response(rows: Sequence[Row], config: ValidationConfig) -> dict[str, float]:
    """Mean slope of each unit over the rows in which a face was found, and the mean of all."""
    perception = Perception()
    slopes: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        start = _intensities(perception, row.edits[:1])
        if start is None:
            continue
        for unit, edit in zip(config.aus, row.edits[1:].split(1), strict=True):
            found = _intensities(perception, edit)
            if found is not None:
                change = found[unit] - start[unit]
                slopes[unit].append(change / config.strength)
    if not slopes:
        return {}
    means = {f"au_response_AU{unit}": fmean(values) for unit, values in slopes.items()}
    return {**means, "au_response": fmean(means.values())}


def _intensities(perception: Perception, edit: Tensor) -> dict[int, float] | None:
    """Intensity of each unit in a picture [1,3,H,W]; None where no face is found."""
    enlarged = enlarge(edit.float().clamp(0, 1))
    faces = perception.faces(enlarged, limit=1)
    if not faces:
        return None
    values = perception.estimate_aus(faces[0], enlarged).intensities.to_tensor().tolist()
    return dict(zip(AU_ORDER, values, strict=True))
