"""Runs the converted MediaPipe networks: a list of plain operations over tensors, read from a file.

The file (`assets/perception.safetensors`) holds four graphs as JSON in its metadata and their
weights as "network/number" tensors. They were converted from Google's `face_landmarker.task` and
`selfie_segmenter.tflite` (Apache-2.0). Operation names, options and layouts are TensorFlow Lite's:
pictures are [B,H,W,C], convolution weights [out,H,W,in].
"""

from __future__ import annotations

import json
import math
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors import SafetensorError, safe_open

from ..errors import CheckpointError

Options = Mapping[str, Any]
# Arguments are tensors, or whole numbers (axes, shapes, paddings) where the graph has constants.
Operation = Callable[[Sequence[Any], Options], torch.Tensor]

SAME_PADDING = 0
ACTIVATIONS: dict[int, Callable[[torch.Tensor], torch.Tensor]] = {
    0: lambda x: x,
    1: F.relu,
    3: F.relu6,
}


def _channels_first(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 3, 1, 2)


def _channels_last(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1)


def _activated(x: torch.Tensor, options: Options) -> torch.Tensor:
    return ACTIVATIONS[options.get("fusedActivationFunction") or 0](x)


def _pad_same(
    x: torch.Tensor, kernel: Sequence[int], options: Options, value: float = 0.0
) -> torch.Tensor:
    """TensorFlow's SAME padding of [B,C,H,W]: the odd pixel goes right and below."""
    if options["padding"] != SAME_PADDING:
        return x
    sizes = []
    axes = (("H", kernel[0], x.shape[-2]), ("W", kernel[1], x.shape[-1]))
    for axis, extent, length in axes:
        stride, dilation = options[f"stride{axis}"], options.get(f"dilation{axis}Factor", 1)
        covered = (math.ceil(length / stride) - 1) * stride + (extent - 1) * dilation + 1
        sizes.append(max(covered - length, 0))
    top, left = sizes[0] // 2, sizes[1] // 2
    return F.pad(x, (left, sizes[1] - left, top, sizes[0] - top), value=value)


def _convolution(arguments: Sequence[Any], options: Options, depthwise: bool) -> torch.Tensor:
    x, weight, bias = arguments
    weight = weight.permute(3, 0, 1, 2) if depthwise else weight.permute(0, 3, 1, 2)
    x = _pad_same(_channels_first(x), weight.shape[-2:], options)
    stride = (options["strideH"], options["strideW"])
    dilation = (options["dilationHFactor"], options["dilationWFactor"])
    groups = x.shape[1] if depthwise else 1
    return _activated(
        _channels_last(F.conv2d(x, weight, bias, stride, 0, dilation, groups)), options
    )


def _transposed_convolution(arguments: Sequence[Any], options: Options) -> torch.Tensor:
    x, weight, bias = arguments
    out = F.conv_transpose2d(_channels_first(x), weight.permute(3, 0, 1, 2), bias, stride=2)
    return _channels_last(out)


def _max_pool(arguments: Sequence[Any], options: Options) -> torch.Tensor:
    kernel = (options["filterHeight"], options["filterWidth"])
    x = _pad_same(_channels_first(arguments[0]), kernel, options, value=-math.inf)
    return _channels_last(F.max_pool2d(x, kernel, (options["strideH"], options["strideW"])))


def _average_pool(arguments: Sequence[Any], options: Options) -> torch.Tensor:
    kernel = (options["filterHeight"], options["filterWidth"])
    stride = (options["strideH"], options["strideW"])
    return _channels_last(F.avg_pool2d(_channels_first(arguments[0]), kernel, stride))


def _resize(arguments: Sequence[Any], options: Options) -> torch.Tensor:
    x, size = arguments
    return _channels_last(F.interpolate(_channels_first(x), size=tuple(size), mode="bilinear"))


def _reduced(arguments: Sequence[Any], options: Options, mean: bool) -> torch.Tensor:
    x, axes = arguments
    keep = bool(options["keepDims"])
    out: torch.Tensor = x.mean(axes, keepdim=keep) if mean else x.sum(axes, keepdim=keep)
    return out


def _pad(arguments: Sequence[Any], options: Options) -> torch.Tensor:
    x, widths = arguments
    return F.pad(x, [width for pair in reversed(widths) for width in pair])


def _reshape(arguments: Sequence[Any], options: Options) -> torch.Tensor:
    x, shape = arguments[0], options["shape"]
    out: torch.Tensor = x.reshape([x.shape[0], *shape[1:]] if shape[0] == 1 else shape)
    return out


def _concatenate(arguments: Sequence[Any], options: Options) -> torch.Tensor:
    batch = max(len(part) for part in arguments)
    parts = [part.expand(batch, *part.shape[1:]) for part in arguments]
    return torch.cat(parts, options["axis"])


def _slice(arguments: Sequence[Any], options: Options) -> torch.Tensor:
    x, begin, end, step = arguments
    index: list[int | slice] = []
    for axis in range(x.dim()):
        bit = 1 << axis
        if options["shrinkAxisMask"] & bit:
            index.append(begin[axis])
            continue
        first = None if options["beginMask"] & bit else begin[axis]
        last = None if options["endMask"] & bit else end[axis]
        index.append(slice(first, last, step[axis]))
    out: torch.Tensor = x[tuple(index)]
    return out


OPERATIONS: dict[str, Operation] = {
    "ADD": lambda a, o: _activated(a[0] + a[1], o),
    "AVERAGE_POOL_2D": _average_pool,
    "CONCATENATION": _concatenate,
    "CONV_2D": lambda a, o: _convolution(a, o, depthwise=False),
    "Convolution2DTransposeBias": _transposed_convolution,
    "DEPTHWISE_CONV_2D": lambda a, o: _convolution(a, o, depthwise=True),
    "DIV": lambda a, o: _activated(a[0] / a[1], o),
    "HARD_SWISH": lambda a, o: F.hardswish(a[0]),
    "LOGISTIC": lambda a, o: torch.sigmoid(a[0]),
    "MAX_POOL_2D": _max_pool,
    "MEAN": lambda a, o: _reduced(a, o, mean=True),
    "MUL": lambda a, o: _activated(a[0] * a[1], o),
    "NEG": lambda a, o: -a[0],
    "PAD": _pad,
    "PRELU": lambda a, o: torch.where(a[0] >= 0, a[0], a[0] * a[1]),
    "RELU": lambda a, o: F.relu(a[0]),
    "RESHAPE": _reshape,
    "RESIZE_BILINEAR": _resize,
    "RSQRT": lambda a, o: torch.rsqrt(a[0]),
    "SQRT": lambda a, o: torch.sqrt(a[0]),
    "SQUARED_DIFFERENCE": lambda a, o: (a[0] - a[1]) ** 2,
    "STRIDED_SLICE": _slice,
    "SUB": lambda a, o: _activated(a[0] - a[1], o),
    "SUM": lambda a, o: _reduced(a, o, mean=False),
    "TRANSPOSE": lambda a, o: a[0].permute(a[1]),
}


@dataclass(frozen=True)
class Step:
    """One operation of a graph; tensors are known by number."""

    operation: str
    inputs: tuple[int, ...]
    output: int
    options: Options


@dataclass(frozen=True)
class Graph:
    """A network as a list of operations.

    Attributes:
        name: for messages.
        steps: in order of execution.
        inputs, outputs: numbers of the tensors that go in and come out.
        constants: weights (float32 tensors) and whole numbers by number.
    """

    name: str
    steps: tuple[Step, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    constants: Mapping[int, Any]

    def __post_init__(self) -> None:
        unknown = sorted({step.operation for step in self.steps} - OPERATIONS.keys())
        if unknown:
            raise CheckpointError(
                f"Network {self.name!r} uses operations this version does not know: "
                f"{', '.join(unknown)}. Reinstall the package, its weights and code must match."
            )
        known = set(self.constants) | set(self.inputs)
        for step in self.steps:
            missing = set(step.inputs) - known
            activation = step.options.get("fusedActivationFunction") or 0
            if missing or activation not in ACTIVATIONS:
                what = f"tensor {min(missing)}" if missing else f"activation {activation}"
                raise CheckpointError(f"Network {self.name!r}: {step.operation} lacks {what}.")
            known.add(step.output)
        if not set(self.outputs) <= known:
            raise CheckpointError(f"Network {self.name!r} never computes its outputs.")

    def to(self, device: torch.device | str) -> Graph:
        """The same network with its weights on `device`."""
        moved = {
            number: value.to(device) if isinstance(value, torch.Tensor) else value
            for number, value in self.constants.items()
        }
        return replace(self, constants=moved)

    @torch.no_grad()
    def __call__(self, *inputs: torch.Tensor) -> list[torch.Tensor]:
        """Runs the network on its inputs ([B,H,W,C] pictures or [B,N,2] points)."""
        values = dict(zip(self.inputs, inputs, strict=True))
        last_use = {number: at for at, step in enumerate(self.steps) for number in step.inputs}
        for at, step in enumerate(self.steps):
            arguments = [values[n] if n in values else self.constants[n] for n in step.inputs]
            values[step.output] = OPERATIONS[step.operation](arguments, step.options)
            for number in step.inputs:
                if last_use[number] == at and number not in self.outputs:
                    values.pop(number, None)
        return [values[number] for number in self.outputs]


def parse_graph(name: str, layout: Any, weights: Mapping[int, torch.Tensor]) -> Graph:
    """A graph from its JSON layout and weights; CheckpointError when the layout is not one."""
    try:
        shapes = layout["shapes"]
        constants: dict[int, Any] = {int(key): value for key, value in layout["iconst"].items()}
        constants |= {number: weight.float() for number, weight in weights.items()}
        steps = []
        for operation, inputs, outputs, options in layout["ops"]:
            (output,) = outputs
            if operation == "RESHAPE":
                options = {**options, "shape": shapes[str(output)]}
            steps.append(Step(operation, tuple(inputs), output, options))
        return Graph(
            name, tuple(steps), tuple(layout["inputs"]), tuple(layout["outputs"]), constants
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(f"Network {name!r} has no readable layout ({error!r}).") from error


def load_graphs(path: Path) -> dict[str, Graph]:
    """All networks of a converted file, by name, in float32 on the CPU."""
    try:
        with safe_open(path, "pt") as file:
            layouts = json.loads((file.metadata() or {})["graphs"])
            weights: dict[str, dict[int, torch.Tensor]] = {name: {} for name in layouts}
            for key in file.keys():  # noqa: SIM118 (not a mapping)
                name, number = key.split("/")
                weights[name][int(number)] = file.get_tensor(key)
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"{path} is not a file of converted networks ({error!r}). Reinstall the package."
        ) from error
    return {name: parse_graph(name, layout, weights[name]) for name, layout in layouts.items()}


@contextmanager
def one_thread() -> Iterator[None]:
    """One CPU thread inside, the caller's number again outside.

    The networks consist of hundreds of tiny operations; on a busy machine threads that wait for
    each other made them twenty times slower.
    """
    _thread_limit.enter()
    try:
        yield
    finally:
        _thread_limit.leave()


class _ThreadLimit:
    """Torch's number of threads is the whole process's: the last to leave restores it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before = 0

    def enter(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = torch.get_num_threads()
                torch.set_num_threads(1)
            self._inside += 1

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                torch.set_num_threads(self._before)


_thread_limit = _ThreadLimit()
