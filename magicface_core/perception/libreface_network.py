"""LibreFace's network: a ResNet-18 and a small head that reads twelve intensities.

D. Chang et al., "LibreFace: An Open-Source Toolkit for Deep Facial Expression Analysis", 2024.
Modules are named so that the tensors of the published file fit as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from ..conversion.layouts import Shapes, libreface
from ..conversion.pickles import read_pickled_tensors
from .resnet import residual_stage
from .weights import read_weights

UNITS = 12
FULL_INTENSITY = 5.0
FEATURES = 512
HIDDEN = 128
LARGEST_FILE = 64 * 1024**2  # bytes; the published ones have 45 MB
INTENSITY_HEAD, PRESENCE_HEAD = "classifier.", "classifier_2."


class LibreFaceNetwork(nn.Module):
    """The network as it is used; constructing it reads and downloads nothing."""

    def __init__(self) -> None:
        super().__init__()
        stages = [residual_stage(64, 64, 1), residual_stage(64, 128, 2)]
        stages += [residual_stage(128, 256, 2), residual_stage(256, FEATURES, 2)]
        self.encoder = nn.Sequential(
            nn.Conv2d(3, 64, 7, 2, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
            *stages,
            nn.AdaptiveAvgPool2d(1),
        )
        # The authors normalise after the activation.
        self.classifier = nn.Sequential(
            nn.Linear(FEATURES, HIDDEN),
            nn.ReLU(),
            nn.BatchNorm1d(HIDDEN),
            nn.Dropout(0.1),
            nn.Linear(HIDDEN, UNITS),
            nn.Sigmoid(),
        )

    def forward(self, faces: Tensor) -> Tensor:
        """Normalised faces [B,3,224,224] -> intensities [B,12] 0..5 in the order of `AU_ORDER`."""
        intensities: Tensor = FULL_INTENSITY * self.classifier(self.encoder(faces).flatten(1))
        return intensities


def network_of(tensors: Mapping[str, Tensor]) -> LibreFaceNetwork:
    """The network with these tensors, as `read_weights` or `convert_libreface` return them."""
    with torch.device("meta"):  # every value is replaced
        network = LibreFaceNetwork()
    network.load_state_dict(dict(tensors), assign=True)
    return network.eval().requires_grad_(False)


def load_network(path: Path) -> LibreFaceNetwork:
    """Read a converted file in float32 on the CPU; raises ModelError."""
    return network_of(read_weights(path, libreface(), "libreface"))


def convert_libreface(path: Path) -> dict[str, Tensor]:
    """The tensors of LibreFace's own `resnet.pt` or `combined_resnet.pt` that are used here.

    Nothing in the file is run. The second head of the combined file, which says whether twelve
    (partly other) units are present, is checked and left out.

    Raises:
        ModelError: too large, damaged, hostile, or another network.
    """
    tensors = read_pickled_tensors(path, libreface(), LARGEST_FILE, _presence_head())
    return {name: tensor for name, tensor in tensors.items() if not name.startswith(PRESENCE_HEAD)}


def _presence_head() -> Shapes:
    head = {k: v for k, v in libreface().items() if k.startswith(INTENSITY_HEAD)}
    return {k.replace(INTENSITY_HEAD, PRESENCE_HEAD, 1): v for k, v in head.items()}
