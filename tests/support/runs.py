"""What a training run left behind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

WEIGHTS = ("networks.safetensors", "average.safetensors")


def assert_same_state(first: Path, second: Path) -> None:
    """Weights, averages and the optimiser's moments are equal bit by bit."""
    for name in WEIGHTS:
        one, other = load_file(first / name), load_file(second / name)
        assert one.keys() == other.keys()
        for key, tensor in one.items():
            assert torch.equal(tensor, other[key]), f"{name}: {key}"
    assert_same_tree(moments(first), moments(second), "optimizer")
    steps = [json.loads((s / "trainer.json").read_text())["step"] for s in (first, second)]
    assert steps[0] == steps[1]


def moments(state: Path) -> dict[Any, Any]:
    saved = torch.load(state / "optimizer.pt", weights_only=True)
    found: dict[Any, Any] = saved["state"]
    return found


def assert_same_tree(one: Any, other: Any, where: str) -> None:
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same_tree(one[key], other[key], f"{where} {key}")
    elif hasattr(one, "__tensor_flatten__") and type(one) is not torch.Tensor:
        for name in one.__tensor_flatten__()[0]:  # quantised blocks
            assert_same_tree(getattr(one, name), getattr(other, name), f"{where} {name}")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where


def largest_difference(first: Path, second: Path) -> float:
    """Of all weights of two states."""
    one, other = (load_file(state / WEIGHTS[0]) for state in (first, second))
    return max(float((one[key] - other[key]).abs().max()) for key in one)


def log_lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]
