"""A network that reads AU changes, for an objective that compares what it reads.

It is made by ``python -m magicface_training.au_regressor --teaching`` from people and a seed of its
own, so that no checkpoint is measured by the network that taught it. Without its opinion a mouth
corner that is half a pixel off costs next to nothing, though it shows another unit than the one
that was asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from magicface_core.evaluation.au_regressor import AURegressor, face_chips, load_regressor
from magicface_core.network.denoiser_inputs import for_rows
from magicface_core.synthetic import HeadModel
from magicface_core.synthetic.tracks import eye_weights

from .run_settings import ObjectiveConfig
from .settings import ConfigError


@dataclass(frozen=True)
class AUReader:
    """A frozen regressor, and where the eyes lie among the tracked points of skin.

    eyes are weights [2,P], image-left eye first.
    """

    network: AURegressor
    eyes: Tensor

    def changes(self, identity: Tensor, pictures: Tensor, tracks: Tensor) -> Tensor:
        """What happens to each unit; gradients flow back to the pictures.

        Args:
            identity: pictures [R,3,H,W] in 0..1.
            pictures: [B,3,H,W] in 0..1; row b shows identity b mod R.
            tracks: movements of skin [B,P,5], see `Sample`; they tell where the eyes are.

        Returns:
            [B,12] in AU intensities.
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
        changes: Tensor = self.network(before, after)
        return changes


def reader_for(objectives: Sequence[ObjectiveConfig]) -> AUReader | None:
    """The reader of a run's objectives; None where none counts what it reads.

    Raises:
        CheckpointError: its file is missing, damaged or of another format.
        ConfigError: no file is named.
    """
    used = [each.au_reader for each in objectives if each.au_weight]
    if not used:
        return None
    if not used[0]:
        raise ConfigError(
            "objective.au_weight needs objective.au_reader: make the file with "
            "python -m magicface_training.au_regressor --teaching, or set the weight to 0"
        )
    network = load_regressor(Path(used[0])).requires_grad_(False)
    return AUReader(network, eye_weights(HeadModel.load()))
