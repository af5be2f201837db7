"""ResNet-18 without its classifier, under the tensor names that its pickled weights carry.

He et al., "Deep residual learning for image recognition", 2016. The backbone of BiSeNet.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


class ResidualBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut, which is a convolution where sizes change."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.downsample = nn.Sequential(
                nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """[B,inputs,h,w] -> [B,outputs,h/stride,w/stride]."""
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(self.downsample(x) + residual)


class ResNet18(nn.Module):
    """The features of the last three stages."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = residual_stage(64, 64, 1)
        self.layer2 = residual_stage(64, 128, 2)
        self.layer3 = residual_stage(128, 256, 2)
        self.layer4 = residual_stage(256, 512, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """[B,3,H,W] -> [B,128,H/8,W/8], [B,256,H/16,W/16], [B,512,H/32,W/32]."""
        stem = self.maxpool(F.relu(self.bn1(self.conv1(x))))
        eighth = self.layer2(self.layer1(stem))
        sixteenth = self.layer3(eighth)
        return eighth, sixteenth, self.layer4(sixteenth)


def residual_stage(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Two blocks; the first one reduces by `stride`."""
    return nn.Sequential(ResidualBlock(inputs, outputs, stride), ResidualBlock(outputs, outputs, 1))
