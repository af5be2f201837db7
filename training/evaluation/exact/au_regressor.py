"""Action units of an edit by a small network trained on exact labels.

Of two aligned pictures of one rendered face it tells the change of each unit. Estimators made for
photographs read rendered faces with errors larger than the errors of edits; this network has only
ever seen the renderer's faces (other people than any test or training of checkpoints) and is of no
use for photographs. Its own error on people it never saw is in the file's metadata.

The file is made by ``python -m magicface_training.au_regressor``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from magicface_core.aus import AU_ORDER
from magicface_core.errors import CheckpointError
from magicface_core.files import write_file
from magicface_core.pictures.affine import invert_affine, umeyama_similarity
from magicface_core.pictures.resampling import resample

ASSET = Path(__file__).resolve().parent.parent / "assets" / "au_regressor.safetensors"
REGRESSOR_FORMAT = "magicface-au-regressor-2"
"""Name of the file's only metadata entry: the order of several is not fixed from file to file."""
CHIP_SIZE = 80
EYES = np.array([[25.0, 23.0], [55.0, 23.0]])
"""Where the eye centres of the source lie in a chip, image-left first, in its pixels."""
SCALE = 5.0
"""Changes in units of the network's output."""
WIDTHS = (24, 48, 64, 96)
"""Channels of the stages; each halves the picture."""


class AURegressor(nn.Module):
    """Source and edit to the change of the 12 units."""

    def __init__(self) -> None:
        super().__init__()
        stages: list[nn.Module] = []
        before = 6
        for width in WIDTHS:
            stages += [
                nn.Conv2d(before, width, 3, stride=2, padding=1),
                nn.GroupNorm(8, width),
                nn.SiLU(),
                nn.Conv2d(width, width, 3, padding=1),
                nn.GroupNorm(8, width),
                nn.SiLU(),
            ]
            before = width
        self.features = nn.Sequential(*stages)
        side = CHIP_SIZE >> len(WIDTHS)
        self.head = nn.Linear(before * side * side, len(AU_ORDER))

    def forward(self, source: Tensor, edit: Tensor) -> Tensor:
        """Chips [B,3,80,80] 0..1 twice -> changes [B,12], about -5..5."""
        seen = torch.cat([2 * source - 1, 4 * (edit - source)], 1)
        change: Tensor = SCALE * self.head(self.features(seen).flatten(1))
        return change

    @torch.no_grad()
    def changes(self, source: Tensor, edits: Tensor, eyes: np.ndarray) -> np.ndarray:
        """What happens to each unit from a source to its edits.

        Args:
            source: picture [1,3,R,R] 0..1.
            edits: pictures [B,3,R,R] 0..1 of the same scene.
            eyes: eye centres [2,2] of the source in pixels, image-left first.

        Returns:
            [B,12] in `AU_ORDER`.
        """
        chips = face_chips(torch.cat([source, edits]), eyes)
        found: np.ndarray = self(chips[:1].expand(len(edits), -1, -1, -1), chips[1:]).numpy()
        return found.astype(float)


def load_regressor(path: Path = ASSET) -> AURegressor:
    """The network of the package.

    Raises:
        CheckpointError: the file is missing, damaged or of another format.
    """
    network = AURegressor()
    tensors, _ = _read(path)
    try:
        network.load_state_dict({name: tensor.float() for name, tensor in tensors.items()})
    except RuntimeError as error:
        raise CheckpointError(f'"{path}" holds another network ({error}).') from error
    return network.eval()


def own_error(path: Path = ASSET) -> dict[str, Any]:
    """The network's own error on people it never saw (see ``training/au_regressor.py``).

    Raises:
        CheckpointError: as `load_regressor`.
    """
    found: dict[str, Any] = _read(path)[1]["held_out"]
    return found


def face_chips(pictures: Tensor, eyes: np.ndarray) -> Tensor:
    """Pictures [B,3,H,W] of one scene -> [B,3,80,80]: brows to chin, eyes level."""
    to_chip = umeyama_similarity(np.asarray(eyes, np.float64), EYES)
    chips = resample(pictures, invert_affine(to_chip), (CHIP_SIZE, CHIP_SIZE))
    return chips.clamp(0, 1)


def save_regressor(network: AURegressor, path: Path, facts: dict[str, Any]) -> None:
    """Writes weights as float16, whole or not at all; equal input gives equal bytes.

    Args:
        facts: what JSON can hold, with the network's own error under ``held_out``.

    Raises:
        OutputError: the file cannot be written.
    """
    tensors = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    write_file(path, save(tensors, {REGRESSOR_FORMAT: json.dumps(facts)}))


def _read(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            if REGRESSOR_FORMAT not in metadata:
                raise ValueError(f"its metadata has no {REGRESSOR_FORMAT!r}")
            names = list(file.keys())
            facts = json.loads(metadata[REGRESSOR_FORMAT])
            return {name: file.get_tensor(name) for name in names}, facts
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            f'"{path}" is not an AU regressor ({error}). Reinstall the package.'
        ) from error
