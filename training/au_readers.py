"""Networks that read AU changes, for an objective that compares what they read.

They are regressors like that of the synthetic protocol, made by ``au_regressor.py`` from people and
seeds of their own, so that no checkpoint is measured by a network that taught it. Without their
opinion a mouth corner that is half a pixel off costs next to nothing, though it shows another unit
than the one that was asked for. Ask several: a single one is soon fitted better than faces are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from magicface_core.network.denoiser_inputs import for_rows

from .evaluation.exact.au_regressor import AURegressor, face_chips, load_regressor
from .run_settings import ObjectiveConfig
from .settings import ConfigError
from .synthetic import HeadModel
from .synthetic.picture.tracks import eye_weights


@dataclass(frozen=True)
class AUReaders:
    """Frozen regressors, and where the eyes lie among the tracked points of skin.

    eyes are weights [2,P], image-left eye first.
    """

    networks: tuple[AURegressor, ...]
    eyes: Tensor

    def changes(self, identity: Tensor, pictures: Tensor, tracks: Tensor) -> Tensor:
        """What each network sees happen; gradients flow back to the pictures.

        Args:
            identity: pictures [R,3,H,W] in 0..1.
            pictures: [B,3,H,W] in 0..1; row b shows identity b mod R.
            tracks: movements of skin [B,P,5], see `Sample`; they tell where the eyes are.

        Returns:
            [N,B,12] in AU intensities, of N networks.
        """
        side = torch.tensor([identity.shape[-1], identity.shape[-2]])
        points = tracks[: len(identity), :, :2] + tracks[: len(identity), :, 2:4]
        places = (self.eyes.to(points) @ points + 1) / 2 * side.to(points)
        chips = [
            face_chips(torch.cat([one[None], pictures[row :: len(identity)]]), eyes.cpu().numpy())
            for row, (one, eyes) in enumerate(zip(identity, places, strict=True))
        ]
        before = for_rows(torch.cat([each[:1] for each in chips]), len(pictures))
        after = torch.stack([each[1:] for each in chips], dim=1).flatten(0, 1)
        return torch.stack([network(before, after) for network in self.networks])


def readers_for(objectives: Sequence[ObjectiveConfig], device: torch.device) -> AUReaders | None:
    """The readers of a run's objectives; None where none counts what they read.

    Raises:
        CheckpointError: a file is missing, damaged or of another format.
        ConfigError: no file is named.
    """
    used = [each.au_readers for each in objectives if each.au_weight]
    if not used:
        return None
    if not used[0]:
        raise ConfigError(
            "objective.au_weight needs objective.au_readers: make files with "
            "python -m magicface_training.au_regressor --teaching, or set the weight to 0"
        )
    networks = [load_regressor(Path(file)).requires_grad_(False).to(device) for file in used[0]]
    return AUReaders(tuple(networks), eye_weights(HeadModel.load()))
