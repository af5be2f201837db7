"""The executor of converted networks: each operation against plain torch, and broken files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from magicface_core.errors import CheckpointError
from magicface_core.perception.graph import (
    OPERATIONS,
    Graph,
    Step,
    load_graphs,
    one_thread,
    parse_graph,
)

STRIDES = {"strideH": 2, "strideW": 2, "padding": 0}


def random(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def test_same_padding_puts_the_odd_pixel_right_and_below() -> None:
    x, weight, bias = random(1, 7, 6, 2), random(4, 3, 3, 2), random(4)
    options = {**STRIDES, "dilationHFactor": 1, "dilationWFactor": 1, "fusedActivationFunction": 1}
    out = OPERATIONS["CONV_2D"]([x, weight, bias], options)
    padded = F.pad(x.permute(0, 3, 1, 2), (0, 1, 1, 1))
    wanted = F.relu(F.conv2d(padded, weight.permute(0, 3, 1, 2), bias, stride=2))
    torch.testing.assert_close(out.permute(0, 3, 1, 2), wanted)


def test_depthwise_convolution_keeps_channels_apart() -> None:
    x, weight = torch.zeros(1, 5, 5, 3), random(1, 3, 3, 3)
    x[..., 1] = random(5, 5)
    options = {"strideH": 1, "strideW": 1, "padding": 0, "dilationHFactor": 1, "dilationWFactor": 1}
    out = OPERATIONS["DEPTHWISE_CONV_2D"]([x, weight, torch.zeros(3)], options)
    assert not out[..., [0, 2]].any()
    assert out[..., 1].any()


def test_pools_and_paddings() -> None:
    x = -1 - random(1, 4, 4, 1).abs()
    options = {"filterHeight": 3, "filterWidth": 3, **STRIDES}
    assert OPERATIONS["MAX_POOL_2D"]([x], options).max() < 0  # padding is not a value
    padded = OPERATIONS["PAD"]([x, [[0, 0], [0, 0], [1, 0], [0, 2]]], {})
    assert padded.shape == (1, 4, 5, 3)
    mean = OPERATIONS["MEAN"]([x, [1, 2]], {"keepDims": 1})
    torch.testing.assert_close(mean.flatten(), x.mean().view(1))


def test_slices_follow_their_masks() -> None:
    x = torch.arange(24.0).view(2, 3, 4)
    masks = {"beginMask": 1, "endMask": 1, "shrinkAxisMask": 2}
    out = OPERATIONS["STRIDED_SLICE"]([x, [0, 1, 0], [0, 2, 4], [1, 1, 2]], masks)
    assert torch.equal(out, x[:, 1, 0:4:2])


def test_reshape_keeps_the_batch() -> None:
    assert OPERATIONS["RESHAPE"]([random(3, 4, 2)], {"shape": [1, 8]}).shape == (3, 8)


def layout(operation: str = "NEG", inputs: tuple[int, ...] = (0,)) -> dict[str, Any]:
    steps = [[operation, list(inputs), [1], {}]]
    return {"ops": steps, "inputs": [0], "outputs": [1], "iconst": {}, "shapes": {}}


def test_a_small_graph_runs() -> None:
    graph = parse_graph("small", layout("SUB", (0, 5)), {5: torch.ones(1).half()})
    (out,) = graph(torch.full((2,), 3.0))
    assert out.tolist() == [2, 2]
    assert graph.to("cpu").constants[5].dtype == torch.float32


def test_unknown_operations_are_named() -> None:
    with pytest.raises(CheckpointError, match=r"'odd'.*FFT_2D"):
        parse_graph("odd", layout("FFT_2D"), {})


def test_missing_tensors_activations_and_outputs_are_named() -> None:
    with pytest.raises(CheckpointError, match="tensor 9"):
        parse_graph("gap", layout("ADD", (0, 9)), {})
    with pytest.raises(CheckpointError, match="activation 4"):
        Graph("act", (Step("ADD", (0, 0), 1, {"fusedActivationFunction": 4}),), (0,), (1,), {})
    with pytest.raises(CheckpointError, match="outputs"):
        Graph("out", (Step("NEG", (0,), 1, {}),), (0,), (7,), {})
    with pytest.raises(CheckpointError, match="no readable layout"):
        parse_graph("bad", {"ops": 3}, {})


def test_files_that_are_not_networks(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"absent\.safetensors"):
        load_graphs(tmp_path / "absent.safetensors")
    text = tmp_path / "text.safetensors"
    text.write_bytes(b"not tensors at all")
    with pytest.raises(CheckpointError, match="Reinstall"):
        load_graphs(text)
    bare = tmp_path / "bare.safetensors"
    save_file({"net/3": torch.zeros(1)}, bare)
    with pytest.raises(CheckpointError, match="graphs"):
        load_graphs(bare)


def test_a_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    graphs = {"net": layout("MUL", (0, 3))}
    save_file({"net/3": torch.full((1,), 4.0)}, path, metadata={"graphs": json.dumps(graphs)})
    (out,) = load_graphs(path)["net"](torch.ones(2))
    assert out.tolist() == [4, 4]


def test_thread_count_is_restored() -> None:
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before

    def fail() -> None:
        with one_thread():
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail()
    assert torch.get_num_threads() == before
