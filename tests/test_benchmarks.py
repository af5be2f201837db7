"""The benchmarks run, and compare what they say they compare."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch

from magicface_core.network.reference_attention import project_reference, transformer_blocks
from magicface_core.network.unet import AU_COUNT, build_unet

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALLEST = {
    "sample_size": 8,
    "block_out_channels": (8, 8, 8, 8),
    "cross_attention_dim": 4,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def step_time() -> ModuleType:
    return load("step_time")


def test_both_ways_of_a_step_agree(step_time: ModuleType) -> None:
    result = step_time.measure(SMALLEST, repeats=1)
    assert result["difference"] < 1e-4
    assert result["ratio"] == result["cached_seconds"] / result["published_seconds"]


def test_published_way_attends_to_the_reference_with_its_queries(step_time: ModuleType) -> None:
    torch.manual_seed(0)
    unet = build_unet({**SMALLEST, "in_channels": 8, "out_channels": 4}, AU_COUNT).eval()
    queries: list[tuple[int, ...]] = []
    with torch.no_grad():
        inputs = step_time.guided_inputs(SMALLEST)
        shapes = step_time.token_shapes(unet, inputs)
        assert len(shapes) == 16
        predictions = []
        for seed in (0, 1):
            generator = torch.Generator().manual_seed(seed)
            features = [torch.randn(2, *shape, generator=generator) for shape in shapes]
            with step_time.published_blocks(unet, features):
                first = next(transformer_blocks(unet)).attn1.to_q
                hook = first.register_forward_pre_hook(lambda _, x: queries.append(x[0].shape))
                predictions.append(step_time.step(unet, inputs))
                hook.remove()
        reference = project_reference(unet, features)
        cached = step_time.step(
            unet, {**inputs, "cross_attention_kwargs": {"reference": reference}}
        )
    assert queries == [(2, 2 * shapes[0][0], shapes[0][1])] * 2
    assert not torch.allclose(predictions[0], predictions[1], atol=1e-4)
    torch.testing.assert_close(cached, predictions[1], rtol=1e-4, atol=1e-5)


def test_full_size_agrees_and_notices_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    full_size = load("full_size")
    with torch.no_grad():
        full_size.write(tmp_path, True, "float16")
        assert full_size.load(tmp_path, "float16")["weight_bytes"] > 10**7
        full_size.one_step(tmp_path)
        full_size.plain(tmp_path)
    errors = full_size.compare(tmp_path)
    mistakes = {name for name in errors if name.startswith("mistake")}
    assert len(mistakes) == 5
    assert min(errors[name] for name in mistakes) > full_size.NOTICED
    assert max(errors[name] for name in set(errors) - mistakes) < full_size.AGREEMENT
    assert len(set(errors) - mistakes) == 22


def test_edit_time_reports_memory() -> None:
    peak = load("edit_time").peak_bytes()
    assert peak == 0 or 10**7 < peak < 10**12
