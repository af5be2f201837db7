"""A painter inside a decoder: what moving the skin of a picture cannot bring.

An edit that moves skin (see ``autoencoder.py``) stays sharp, but what lips that part lay open was
never in the picture: moving draws out what lies beside it. Where the latents' vectors draw the
picture out, the painter says for each pixel how surely something new appears. Right below the upper
lip that is light, a row of teeth, and dark below, the mouth (`teeth`):

    colour = dark + lightness * (light - dark)
    result = moved + opacity * (colour - moved)

The opacity comes from a small U-Net over a window around the mouth. It is kept as logits, so that
its edges are sharp at any resolution. The two colours of a window follow from the brightness
of its skin, and their hues are mixtures of the picture's own (`hues`): a grey photograph stays
grey, and a toned one keeps its tone, whatever the weights are. Decoders that see their source are
known from inpainting (Zhu et al., "Designing a Better Asymmetric VQGAN for StableDiffusion", 2023).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .warping import fetched, pixel_grid

PLACE = 2
"""Pixels along a side that are one place of the network."""
FEATURES = 2 * PLACE**2 + 2 + 1 + 1 + 2
"""Brightness of source and moved picture; movement, change of brightness, stretch, place."""
COLOURS = 2 * (1 + 3)
"""Brightness and three amounts of hue, of what is light and of what is dark."""
QUANTILES = (0.02, 0.25, 0.5, 0.75, 0.98)
"""Of a window's brightness. With its deviation, colours follow from them linearly."""
LUMA = (0.299, 0.587, 0.114)
FADE = 0.12
"""Share of the window's side over which it fades out."""
LEAST_EDIT = 0.02
"""Movement (half sides of the picture) or change of colour from which an edit counts fully."""
RIGID, DRAWN_OUT = 0.85, 0.5
"""Stretch from which nothing is painted, and below which all may be."""
BESIDE, SOFT = 7, 5
"""Pixels: paint reaches so far beyond what is drawn out, and fades over so many."""
FAINT_HUE = 0.02
"""Root mean square of a hue (picture range -1..1) that half counts as one of the picture's own."""
SEEN_MOVEMENT, SEEN_CHANGE = 20.0, 3.0
"""What movements and changes are multiplied by to be seen."""
TOOTH_HEIGHT, CORNER, TOOTH_EDGE = 5.5, 3.0, 0.8
"""How far below the upper lip teeth show, how far the corners of the mouth are dark, in pixels, and
how steeply teeth end."""
TOOTH_WIDTH, GAP_WIDTH, GAP_DEPTH = 4.6, 0.35, 1.0
"""Of a tooth, of the dark between two, and how dark that is."""
SHARPNESS = 2.0
"""Factor of the logits in whole pictures, whose pixels are finer than the painter's."""


@dataclass(frozen=True)
class Scene:
    """A picture and its edit so far, at the painter's scale.

    source   [B,3,S,S] in -1..1, the picture
    change   [B,3,S,S], added to it before it is moved
    vectors  [B,2,S,S] (x, y) in half sides of the picture, where each pixel is fetched from
    """

    source: Tensor
    change: Tensor
    vectors: Tensor

    @classmethod
    def of(cls, picture: Tensor, change: Tensor, vectors: Tensor, size: int) -> Scene:
        """Bring a picture [B,3,.,.], change [B,3,.,.] and vectors [B,2,.,.] to ``size``.

        Hues that the picture has nowhere are taken out of the change.
        """
        source = resized(picture, size)
        own = in_own_hues(change, source)
        return cls(source, resized(own, size), resized(vectors, size))

    @cached_property
    def moved(self) -> Tensor:
        """The edit without the painter."""
        return fetched(self.source + self.change, self.vectors)

    @cached_property
    def stretch(self) -> Tensor:
        """[B,1,S,S]: how fast the place that pixels are fetched from moves down; 1 is rigid.

        Near 0 the picture is drawn out: something appears that it does not hold.
        """
        side = self.vectors.shape[-1]
        return 1 + torch.gradient(self.vectors[:, 1:], dim=2)[0] * (side / 2)

    @property
    def opening(self) -> Tensor:
        """[B,1,S,S]: 1 where, or right beside where, the picture is drawn out, else 0."""
        drawn = ((RIGID - self.stretch) / (RIGID - DRAWN_OUT)).clamp(0, 1)
        return F.avg_pool2d(F.max_pool2d(drawn, BESIDE, 1, BESIDE // 2), SOFT, 1, SOFT // 2)

    @property
    def weight(self) -> Tensor:
        """[B,1,1,1], 0 where nothing is edited, 1 from `LEAST_EDIT` on."""
        largest = torch.cat([self.vectors, self.change], 1).abs().amax((1, 2, 3), keepdim=True)
        return (largest / LEAST_EDIT).clamp(max=1)


@dataclass(frozen=True)
class Answer:
    """What is to be painted on H x W pixels.

    opacity  [B,1,H,W], logits: painted rather than moved
    light    [B,3,1,1], colour of teeth, about -1..1
    dark     [B,3,1,1], colour of the rest
    weight   [B,1,H,W] 0..1, of the opacity
    """

    opacity: Tensor
    light: Tensor
    dark: Tensor
    weight: Tensor

    def over(self, moved: Tensor, scale: float = 1.0, sharpness: float = 1.0) -> Tensor:
        """The painted picture, of the moved one [B,3,H,W].

        scale is how many pixels are one of the painter's.
        """
        opening = torch.sigmoid(sharpness * self.opacity) * self.weight
        lightness = torch.sigmoid(sharpness * teeth(opening, scale))
        colour = self.dark + lightness * (self.light - self.dark)
        return moved + opening * (colour - moved)


class Painter(nn.Module):
    """A U-Net of two levels over a window of a picture.

    size    side S in pixels to which pictures are brought
    window  left, top, right and bottom in those pixels; its sides are multiples of 4 `PLACE`
    widths  channels of the two levels
    """

    def __init__(self, size: int, window: Sequence[int], widths: Sequence[int] = (32, 64)) -> None:
        super().__init__()
        self.size = size
        self.window = tuple(window)
        fine, coarse = widths
        self.enter = nn.Sequential(_convolution(FEATURES, fine), _convolution(fine, fine))
        self.middle = nn.Sequential(
            _convolution(fine, coarse, stride=2),
            _convolution(coarse, coarse),
            _convolution(coarse, coarse, stride=2),
            _convolution(coarse, coarse),
            nn.Upsample(scale_factor=2),
            _convolution(coarse, coarse),
            nn.Upsample(scale_factor=2),
        )
        self.leave = nn.Sequential(
            _convolution(fine + coarse, fine), nn.Conv2d(fine, PLACE**2, 3, padding=1)
        )
        self.colours = nn.Linear(len(QUANTILES) + 1, COLOURS)

    def forward(self, picture: Tensor, change: Tensor, vectors: Tensor) -> Tensor:
        """Edited pictures [B,3,H,H], of pictures in -1..1, and what the latents say of the edit.

        change [B,3,.,.] is added to the picture, then each pixel is fetched from where vectors
        [B,2,.,.] point, in half sides of the picture. Exactly the picture where both are 0.
        """
        scene = Scene.of(picture, change, vectors, self.size)
        side = picture.shape[-1]
        answer = self.answer(scene)
        opacity, weight = (
            resized(self._placed(part), side) for part in (answer.opacity, answer.weight)
        )
        own = in_own_hues(change, scene.source)
        return replace(answer, opacity=opacity, weight=weight).over(
            fetched(picture + resized(own, side), vectors), side / self.size, SHARPNESS
        )

    def answer(self, scene: Scene) -> Answer:
        """What to paint on the window of a scene."""
        source = self.cut(scene.source)
        light, moved = brightness(source), brightness(self.cut(scene.moved))
        known = statistics(light)
        middle, spread = known[:, 2], (known[:, 4] - known[:, 0]).clamp_min(0.05)
        fields = (
            scene.vectors * SEEN_MOVEMENT,
            brightness(scene.change) * SEEN_CHANGE,
            scene.stretch,
            pixel_grid(scene.source).expand(len(source), -1, -1, -1),
        )
        seen = [
            F.pixel_unshuffle((each - _as_picture(middle)) / _as_picture(spread), PLACE)
            for each in (light, moved)
        ]
        seen += [F.avg_pool2d(self.cut(field), PLACE) for field in fields]
        opacity = self._logits(torch.cat(seen, dim=1))
        weight = scene.weight * _fade(source) * self.cut(scene.opening)
        return Answer(opacity, *self._colours(source, known), weight)

    def cut(self, frames: Tensor) -> Tensor:
        """The window of frames [B,C,S,S]."""
        left, top, right, bottom = self.window
        return frames[:, :, top:bottom, left:right]

    def _logits(self, seen: Tensor) -> Tensor:
        """Of the opacity, [B,1,H,W], from features [B,`FEATURES`,H/2,W/2]."""
        fine = self.enter(seen)
        said = self.leave(torch.cat([fine, self.middle(fine)], dim=1))
        return F.pixel_shuffle(said, PLACE)

    def _colours(self, source: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Of what is light and of what is dark, [B,3,1,1] each, the same all over the window."""
        amounts = self.colours(known).unflatten(1, (2, 4))
        hue = torch.einsum("bij,bkj->bki", hues(source), amounts[:, :, 1:])
        colours = known[:, 2, None, None] + amounts[:, :, :1] + hue
        light, dark = colours[..., None, None].unbind(1)
        return light, dark

    def _placed(self, part: Tensor) -> Tensor:
        """A window in its place in a frame [B,C,S,S] of zeros."""
        left, top, right, bottom = self.window
        return F.pad(part, (left, self.size - right, top, self.size - bottom))


def teeth(opening: Tensor, scale: float = 1.0) -> Tensor:
    """Logits [B,1,H,W] of a row of upper teeth in an opening [B,1,H,W] 0..1.

    They end `TOOTH_HEIGHT` below the upper lip and `CORNER` before the corners of the mouth, in
    pixels of the painter, and have gaps, one of them in the middle.
    """
    below, right = torch.cumsum(opening, dim=2) / scale, torch.cumsum(opening, dim=3) / scale
    left = torch.cumsum(opening.flip(3), dim=3).flip(3) / scale
    inside = torch.minimum(TOOTH_HEIGHT - below, torch.minimum(left, right) - CORNER)
    along = (right - left) / (2 * TOOTH_WIDTH)
    gap = TOOTH_WIDTH * (along - along.round())
    return TOOTH_EDGE * inside - GAP_DEPTH * torch.exp(-((gap / GAP_WIDTH) ** 2))


def statistics(light: Tensor) -> Tensor:
    """Quantiles and deviation [B,6] of the brightness [B,1,H,W] of a window."""
    flat = light.flatten(1).float()
    levels = torch.quantile(flat, flat.new_tensor(QUANTILES), dim=1).T
    return torch.cat([levels, flat.std(1, keepdim=True)], dim=1).to(light)


@torch.no_grad()
def hues(picture: Tensor) -> Tensor:
    """The square root [B,3,3] of the second moments of a picture's hues: zero where it is grey.

    A hue is what is left of a colour without its brightness. The picture is [B,3,H,W].
    """
    values, vectors = torch.linalg.eigh(_hue_moments(picture))
    roots = vectors * values.clamp_min(0).sqrt()[:, None]
    return (roots @ vectors.transpose(1, 2)).to(picture)


@torch.no_grad()
def in_own_hues(change: Tensor, picture: Tensor) -> Tensor:
    """A change of colours [B,3,.,.] without the hues that are nowhere in the picture [B,3,.,.]."""
    moments = _hue_moments(picture)
    faint = FAINT_HUE**2 * torch.eye(3, device=picture.device)
    kept = torch.linalg.solve(moments + faint, moments).to(picture)
    light = brightness(change)
    return light + torch.einsum("bij,bjhw->bihw", kept, change - light)


def brightness(picture: Tensor) -> Tensor:
    """Pictures [B,3,H,W] without colours, [B,1,H,W]."""
    return torch.einsum("c,bchw->bhw", picture.new_tensor(LUMA), picture)[:, None]


def resized(frames: Tensor, size: int) -> Tensor:
    """Frames [B,C,.,.] at another size."""
    if frames.shape[-1] == size:
        return frames
    smaller = size < frames.shape[-1]
    return F.interpolate(
        frames, (size, size), mode="bilinear", align_corners=False, antialias=smaller
    )


def _hue_moments(picture: Tensor) -> Tensor:
    """[B,3,3] float32."""
    coarse = F.avg_pool2d(picture, 4)  # the grain of a sensor has hues of its own
    hue = (coarse - brightness(coarse)).flatten(2).float()
    return hue @ hue.transpose(1, 2) / hue.shape[-1]


def _convolution(inputs: int, outputs: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1), nn.GroupNorm(4, outputs), nn.SiLU()
    )


def _as_picture(values: Tensor) -> Tensor:
    """[B] as [B,1,1,1]."""
    return values[:, None, None, None]


def _fade(window: Tensor) -> Tensor:
    """[1,1,H,W] from 0 at the edges of a window to 1 inside."""
    down, across = (
        torch.arange(count, device=window.device, dtype=window.dtype).add(0.5) / count
        for count in window.shape[-2:]
    )
    sides = [(torch.minimum(each, 1 - each) / FADE).clamp(max=1) for each in (down, across)]
    return (sides[0][:, None] * sides[1])[None, None]
