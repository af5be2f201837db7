"""Names and shapes of the tensors in third-party weight files, the only ones that are accepted.

From the published definitions: LibreFace's ResNet-18 with a head for 12 intensities, zllrunning's
BiSeNet with 19 classes, Bulat's 2D-FAN with four hourglasses, Hollemans' BlazeFace (front camera).
Counters of batch normalisation (``num_batches_tracked``) may be absent, as in files of old.
"""

from __future__ import annotations

from collections.abc import Iterator

Shapes = dict[str, tuple[int, ...]]
Layer = Iterator[tuple[str, tuple[int, ...]]]

COUNTER = "num_batches_tracked"


def libreface() -> Shapes:
    """ResNet-18 without its last layer, and the head 512 -> 128 -> 12."""
    head = [
        *_linear("classifier.0", 512, 128),
        *_batch_norm("classifier.2", 128),
        *_linear("classifier.4", 128, 12),
    ]
    stem = [
        *_convolution("encoder.0", 3, 64, 7, bias=False),
        *_batch_norm("encoder.1", 64),
    ]
    return dict([*stem, *_residual_stages("encoder.", ("4", "5", "6", "7")), *head])


def bisenet() -> Shapes:
    """Context path on ResNet-18, feature fusion, three outputs of 19 classes; 191 tensors."""
    stages = ("layer1", "layer2", "layer3", "layer4")
    entries = [
        *_convolution("cp.resnet.conv1", 3, 64, 7, bias=False),
        *_batch_norm("cp.resnet.bn1", 64),
        *_residual_stages("cp.resnet.", stages),
    ]
    for name, channels in (("arm16", 256), ("arm32", 512)):
        entries += _conv_bn(f"cp.{name}.conv", channels, 128, 3)
        entries += _convolution(f"cp.{name}.conv_atten", 128, 128, 1, bias=False)
        entries += _batch_norm(f"cp.{name}.bn_atten", 128)
    for name, channels, side in (
        ("conv_head32", 128, 3),
        ("conv_head16", 128, 3),
        ("conv_avg", 512, 1),
    ):
        entries += _conv_bn(f"cp.{name}", channels, 128, side)
    entries += _conv_bn("ffm.convblk", 256, 256, 1)
    entries += _convolution("ffm.conv1", 256, 64, 1, bias=False)
    entries += _convolution("ffm.conv2", 64, 256, 1, bias=False)
    for name, channels, middle in (("", 256, 256), ("16", 128, 64), ("32", 128, 64)):
        entries += _conv_bn(f"conv_out{name}.conv", channels, middle, 3)
        entries += _convolution(f"conv_out{name}.conv_out", middle, 19, 1, bias=False)
    return dict(entries)


def fan() -> Shapes:
    """Four stacked hourglasses of depth 4 with 256 features, 68 heat maps each."""
    entries = [*_convolution("conv1", 3, 64, 7), *_batch_norm("bn1", 64)]
    for name, channels, features in (("2", 64, 128), ("3", 128, 128), ("4", 128, 256)):
        entries += _split_block(f"conv{name}", channels, features)
    for index in range(4):
        for block in _hourglass_blocks(4):
            entries += _split_block(f"m{index}.{block}", 256, 256)
        entries += _split_block(f"top_m_{index}", 256, 256)
        entries += _convolution(f"conv_last{index}", 256, 256, 1)
        entries += _batch_norm(f"bn_end{index}", 256)
        entries += _convolution(f"l{index}", 256, 68, 1)
        if index < 3:
            entries += _convolution(f"bl{index}", 256, 256, 1)
            entries += _convolution(f"al{index}", 68, 256, 1)
    return dict(entries)


def blazeface() -> Shapes:
    """Two backbones of depthwise blocks, scores and boxes at 16 x 16 and 8 x 8."""
    entries = [*_convolution("backbone1.0", 3, 24, 5)]
    widths = (24, 24, 28, 32, 36, 42, 48, 56, 64, 72, 80, 88)
    for index in range(len(widths) - 1):
        entries += _depthwise(f"backbone1.{index + 2}.convs", widths[index], widths[index + 1])
    for index, channels in enumerate((88, 96, 96, 96, 96)):
        entries += _depthwise(f"backbone2.{index}.convs", channels, 96)
    for name, channels, outputs in (
        ("classifier_8", 88, 2),
        ("classifier_16", 96, 6),
        ("regressor_8", 88, 32),
        ("regressor_16", 96, 96),
    ):
        entries += _convolution(name, channels, outputs, 1)
    return dict(entries)


LAYOUTS = {
    "resnet.pt": libreface,
    "79999_iter.pth": bisenet,
    "2DFAN4-11f355bf06.pth.tar": fan,
    "blazeface.pth": blazeface,
}
"""The layout of each file by its name."""


def _convolution(name: str, inputs: int, outputs: int, side: int, bias: bool = True) -> Layer:
    yield f"{name}.weight", (outputs, inputs, side, side)
    if bias:
        yield f"{name}.bias", (outputs,)


def _linear(name: str, inputs: int, outputs: int) -> Layer:
    yield f"{name}.weight", (outputs, inputs)
    yield f"{name}.bias", (outputs,)


def _batch_norm(name: str, channels: int) -> Layer:
    for key in ("weight", "bias", "running_mean", "running_var"):
        yield f"{name}.{key}", (channels,)
    yield f"{name}.{COUNTER}", ()


def _conv_bn(name: str, inputs: int, outputs: int, side: int) -> Layer:
    yield from _convolution(f"{name}.conv", inputs, outputs, side, bias=False)
    yield from _batch_norm(f"{name}.bn", outputs)


def _residual_stages(prefix: str, names: tuple[str, ...]) -> Layer:
    """The four stages of ResNet-18: two blocks each, the first of stages 2 to 4 with a shortcut."""
    widths = (64, 64, 128, 256, 512)
    for stage, name in enumerate(names):
        inputs, outputs = widths[stage], widths[stage + 1]
        for block in (0, 1):
            place = f"{prefix}{name}.{block}"
            yield from _convolution(f"{place}.conv1", inputs, outputs, 3, bias=False)
            yield from _batch_norm(f"{place}.bn1", outputs)
            yield from _convolution(f"{place}.conv2", outputs, outputs, 3, bias=False)
            yield from _batch_norm(f"{place}.bn2", outputs)
            if inputs != outputs:
                yield from _convolution(f"{place}.downsample.0", inputs, outputs, 1, bias=False)
                yield from _batch_norm(f"{place}.downsample.1", outputs)
            inputs = outputs


def _split_block(name: str, inputs: int, outputs: int) -> Layer:
    """FAN's block: three convolutions whose outputs, 1/2 + 1/4 + 1/4 of the width, are joined."""
    steps = ((inputs, outputs // 2), (outputs // 2, outputs // 4), (outputs // 4, outputs // 4))
    for index, (before, after) in enumerate(steps, 1):
        yield from _batch_norm(f"{name}.bn{index}", before)
        yield from _convolution(f"{name}.conv{index}", before, after, 3, bias=False)
    if inputs != outputs:
        yield from _batch_norm(f"{name}.downsample.0", inputs)
        yield from _convolution(f"{name}.downsample.2", inputs, outputs, 1, bias=False)


def _hourglass_blocks(depth: int) -> Iterator[str]:
    for level in range(depth, 0, -1):
        yield from (f"b1_{level}", f"b2_{level}", f"b3_{level}")
    yield "b2_plus_1"


def _depthwise(name: str, inputs: int, outputs: int) -> Layer:
    yield from _convolution(f"{name}.0", 1, inputs, 3)
    yield from _convolution(f"{name}.1", inputs, outputs, 1)
