"""Attribute Controller: how the background + pose picture reaches the denoiser.

Two kinds, chosen by the checkpoint (``magicface.json``, key ``attribute_controller``):

* ``concatenation``, the released one: the picture goes through the VAE (posterior mode, no scaling
  factor) and its latents are concatenated to the noisy latents, which makes eight input channels of
  four;
* ``convolution``, the paper's description: the picture goes through convolutions with 4x4 kernels
  and stride 2 until it has the latents' size, and the result is concatenated in the same way. The
  paper names kernel, stride and four channels; the SiLU between the layers and their number (log2
  of the VAE's reduction) are ours.
"""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

ControllerKind = Literal["concatenation", "convolution"]


class ConvolutionController(nn.Module):
    """Picture [B,3,H,W] in -1..1 -> condition [B, channels, H/reduction, W/reduction]."""

    def __init__(self, channels: int = 4, reduction: int = 8) -> None:
        super().__init__()
        self.channels, self.reduction = channels, reduction
        depth = reduction.bit_length() - 1
        if depth < 1 or 2**depth != reduction:
            raise ValueError(f"reduction must be a power of two above 1, got {reduction}")
        widths = [3, *[channels] * depth]
        layers: list[nn.Module] = []
        for i in range(depth):
            layers.append(nn.Conv2d(widths[i], widths[i + 1], kernel_size=4, stride=2, padding=1))
            if i < depth - 1:
                layers.append(nn.SiLU())
        self.layers = nn.Sequential(*layers)

    def forward(self, picture: Tensor) -> Tensor:
        condition: Tensor = self.layers(picture)
        return condition
