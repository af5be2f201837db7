"""Face parsing into 19 classes with BiSeNet, the parser of the published preparation.

Yu et al., "BiSeNet: bilateral segmentation network for real-time semantic segmentation", 2018, in
the variant of zllrunning's face-parsing.PyTorch (MIT), trained on CelebAMask-HQ: the spatial path
is the backbone's feature at 1/8. The weights do not ship: `magicface models download bisenet`.

Deviations from the published script: the picture is not rounded to 8 bits; one that is not square
is looked at in a square crop instead of being squeezed; the two training heads are not run.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..conversion.layouts import bisenet as layout
from ..pictures.crop import Crop
from .faces import Face
from .placing import crop_for_face
from .regions import Region, region_of_parsing
from .resnet import ResNet18
from .segmentation import LARGEST_DIRECT, placed_mask
from .weights import read_weights

BACKEND = "bisenet"
INPUT_SIZE = 512
CLASSES = 19
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's colours
TRAINING_HEADS = ("conv_out16.", "conv_out32.")


class ConvBNReLU(nn.Module):
    """Convolution, batch normalisation, ReLU."""

    def __init__(self, inputs: int, outputs: int, side: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, side, padding=side // 2, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B,inputs,h,w] -> [B,outputs,h,w]."""
        return F.relu(self.bn(self.conv(x)))


class AttentionRefinement(nn.Module):
    """Features weighted, channel by channel, by their own mean over the picture."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = ConvBNReLU(inputs, outputs, 3)
        self.conv_atten = nn.Conv2d(outputs, outputs, 1, bias=False)
        self.bn_atten = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[B,inputs,h,w] -> [B,outputs,h,w]."""
        features = self.conv(x)
        weights = self.bn_atten(self.conv_atten(F.adaptive_avg_pool2d(features, 1)))
        return features * torch.sigmoid(weights)


class ContextPath(nn.Module):
    """The backbone, and its deep features brought back to 1/8 of the picture."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet18()
        self.arm16 = AttentionRefinement(256, 128)
        self.arm32 = AttentionRefinement(512, 128)
        self.conv_head32 = ConvBNReLU(128, 128, 3)
        self.conv_head16 = ConvBNReLU(128, 128, 3)
        self.conv_avg = ConvBNReLU(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B,3,H,W] -> spatial and context features, both [B,128,H/8,W/8]."""
        eighth, sixteenth, thirtysecond = self.resnet(x)
        whole = self.conv_avg(F.adaptive_avg_pool2d(thirtysecond, 1))
        deep = self.arm32(thirtysecond) + whole
        deep = self.conv_head32(F.interpolate(deep, sixteenth.shape[-2:], mode="nearest"))
        middle = self.arm16(sixteenth) + deep
        return eighth, self.conv_head16(F.interpolate(middle, eighth.shape[-2:], mode="nearest"))


class FeatureFusion(nn.Module):
    """Spatial and context features as one, with a gate for each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.convblk = ConvBNReLU(256, 256, 1)
        self.conv1 = nn.Conv2d(256, 64, 1, bias=False)
        self.conv2 = nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, spatial: Tensor, context: Tensor) -> Tensor:
        """Twice [B,128,h,w] -> [B,256,h,w]."""
        features = self.convblk(torch.cat([spatial, context], 1))
        gate = self.conv2(F.relu(self.conv1(F.adaptive_avg_pool2d(features, 1))))
        fused: Tensor = features + features * torch.sigmoid(gate)
        return fused


class Classifier(nn.Module):
    """A score for each class."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = ConvBNReLU(256, 256, 3)
        self.conv_out = nn.Conv2d(256, CLASSES, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B,256,h,w] -> [B,19,h,w]."""
        scores: Tensor = self.conv_out(self.conv(x))
        return scores


class BiSeNet(nn.Module):
    """The network as it is used; constructing it reads and downloads nothing."""

    def __init__(self) -> None:
        super().__init__()
        self.cp = ContextPath()
        self.ffm = FeatureFusion()
        self.conv_out = Classifier()

    def forward(self, x: Tensor) -> Tensor:
        """Normalised pictures [B,3,H,W] -> scores [B,19,H,W]."""
        scores = self.conv_out(self.ffm(*self.cp(x)))
        return F.interpolate(scores, x.shape[-2:], mode="bilinear", align_corners=True)


class BiSeNetParser:
    """`FaceParser` by class maps of 512 x 512."""

    backend = BACKEND

    def __init__(self, network: BiSeNet, device: torch.device | str = "cpu") -> None:
        self.network = network.to(device).eval().requires_grad_(False)
        self.device = torch.device(device)
        self._mean = torch.tensor(MEAN, device=device).reshape(3, 1, 1)
        self._deviation = torch.tensor(DEVIATION, device=device).reshape(3, 1, 1)

    @classmethod
    def load(cls, path: Path, device: torch.device | str = "cpu") -> BiSeNetParser:
        """From the converted weights; all 191 tensors are checked. Raises ModelError."""
        tensors = read_weights(path, layout(), BACKEND)
        used = {k: v for k, v in tensors.items() if not k.startswith(TRAINING_HEADS)}
        with torch.device("meta"):  # every value is replaced
            network = BiSeNet()
        network.load_state_dict(used, assign=True)
        return cls(network, device)

    @torch.inference_mode()
    def parse(self, square: Tensor) -> Tensor:
        """Square picture [1,3,S,S] float 0..1 -> classes [512,512], whole numbers 0..18, CPU."""
        size = (INPUT_SIZE, INPUT_SIZE)
        square = square.to(self.device, torch.float32)
        if square.shape[-2:] != size:
            square = F.interpolate(square, size, mode="bilinear", antialias=True).clamp(0, 1)
        scores = self.network((square - self._mean) / self._deviation)
        return scores[0].argmax(0).cpu()

    def person_mask(self, image: Tensor) -> Tensor:
        """Picture [1,3,H,W] float 0..1 -> [1,1,H,W], 1 where a person is (classes 1 to 18)."""
        height, width = image.shape[-2:]
        center, side = (width / 2, height / 2), float(max(height, width))
        return self._masked(image, "person", Crop(center, side, (width, height)))

    def face_mask(self, image: Tensor, face: Face) -> Tensor:
        """Picture [1,3,H,W] float 0..1 -> [1,1,H,W], 1 where the published script blackens.

        Every face that is in sight counts, and a necklace. A crop of up to 768 pixels is parsed
        whole, as published; in other pictures the published crop around `face` is.
        """
        height, width = image.shape[-2:]
        if height == width <= LARGEST_DIRECT:
            return self._masked(image, "face", Crop((width / 2, width / 2), width, (width, width)))
        return self._masked(image, "face", crop_for_face(face, (width, height)))

    def _masked(self, image: Tensor, region: Region, crop: Crop) -> Tensor:
        """The region inside a crop of a picture, as a mask of the picture."""
        width, height = crop.source_size
        whole = width == height == crop.side
        square = image if whole else crop.extract(image, INPUT_SIZE)
        mask = region_of_parsing(self.parse(square).numpy(), region).to(image.device)
        return mask if whole and width == INPUT_SIZE else placed_mask(mask, crop)
