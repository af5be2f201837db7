"""Optimisers by name, precision, and where both really run."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from magicface_training.optimisers import learning_rate, make_optimizer
from magicface_training.run_settings import OptimConfig
from magicface_training.settings import ConfigError
from magicface_training.train import train
from runs import assert_same_state, log_lines, moments
from safetensors.torch import load_file

# As quantised blocks need tensors of at least 4096 numbers.
WIDER = "model.unet={sample_size: 4, block_out_channels: [16, 32], layers_per_block: 1, \
down_block_types: [CrossAttnDownBlock2D, DownBlock2D], \
up_block_types: [UpBlock2D, CrossAttnUpBlock2D], cross_attention_dim: 4, attention_head_dim: 2, \
norm_num_groups: 4}"


@pytest.fixture
def other_precision() -> Iterator[None]:
    """accelerate keeps the precision of a process's first run."""
    AcceleratorState._reset_state(reset_partial_state=True)
    yield
    AcceleratorState._reset_state(reset_partial_state=True)


@pytest.fixture
def uncompiled() -> Iterator[None]:
    """torchao's update as written: compiling it would take a minute."""
    torch.compiler.set_stance("force_eager")
    yield
    torch.compiler.set_stance("default")


def train_and_resume(configure, *settings: str) -> tuple[Path, Path]:
    """States after two steps at once, and after one and one."""
    states = []
    for name, counts in (("straight", [2]), ("resumed", [1, 2])):
        for count in counts:
            config = configure(*settings, f"optim.steps={count}", f"info.name={name}")
            output = Path(config.run.output).with_name(name)
            train(configure(*settings, f"optim.steps={count}", f"run.output={output}"), True)
        states.append(output / "state-00000002")
    return states[0], states[1]


def test_learning_rate_curve() -> None:
    config = OptimConfig(steps=100, learning_rate=1.0, warmup_steps=10, decay_steps=20)
    rates = [learning_rate(step, config) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[:10] == sorted(rates[:10])
    assert set(rates[9:81]) == {1.0}
    assert rates[90] == pytest.approx(0.55)
    assert rates[100] == pytest.approx(0.1)
    assert rates[80:] == sorted(rates[80:], reverse=True)
    constant = OptimConfig(steps=100, learning_rate=1e-5)
    assert {learning_rate(step, constant) for step in range(101)} == {1e-5}


def test_settings_reach_the_optimiser() -> None:
    config = OptimConfig(learning_rate=0.5, betas=(0.1, 0.2), weight_decay=0.3)
    made = make_optimizer(torch.nn.Linear(2, 2).parameters(), config)
    assert isinstance(made, torch.optim.AdamW)
    (group,) = made.param_groups
    assert (group["lr"], group["betas"], group["weight_decay"]) == (0.5, (0.1, 0.2), 0.3)


def test_adafactor_trains(configure) -> None:
    config = configure("optim.optimizer=adafactor", "optim.steps=1")
    train(config)
    state = moments(Path(config.run.output) / "state-00000001")
    assert any("row_var" in each for each in state.values())


@pytest.mark.parametrize(
    ("name", "package"), [("adamw-8bit", "bitsandbytes"), ("adamw-8bit-torchao", "torchao")]
)
def test_missing_package(monkeypatch: pytest.MonkeyPatch, name: str, package: str) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.optim", None)
    config = OptimConfig(optimizer=name)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=rf"needs {package} .*comfyui-magicface\[8bit\]"):
        make_optimizer(torch.nn.Linear(2, 2).parameters(), config)


def test_eight_bits_by_bitsandbytes(configure) -> None:
    pytest.importorskip("bitsandbytes")
    one, other = train_and_resume(configure, WIDER, "optim.optimizer=adamw-8bit")
    assert_same_state(one, other)
    kept = [each["__bnb_optimizer_quant_state__"] for each in moments(one).values()]
    types = {state["state1"].dtype for state in kept}
    assert types == {torch.uint8, torch.float32}  # small tensors stay in float32


@pytest.mark.usefixtures("uncompiled")
def test_eight_bits_by_torchao_on_bfloat16(configure) -> None:
    """The weights are rounded at random, the same after a resume."""
    pytest.importorskip("torchao")
    settings = ("optim.optimizer=adamw-8bit-torchao", "optim.weights=bfloat16")
    one, other = train_and_resume(configure, WIDER, *settings, "optim.learning_rate=1e-5")
    assert_same_state(one, other)
    assert any(hasattr(each["exp_avg"], "codes") for each in moments(one).values())
    saved = load_file(one / "networks.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.bfloat16}
    average = load_file(one / "average.safetensors")
    assert {tensor.dtype for tensor in average.values()} == {torch.float32}


def test_bfloat16_weights_need_stochastic_rounding() -> None:
    with pytest.raises(
        ConfigError, match=r"rounded away; set optim\.optimizer to 'adamw-8bit-torchao"
    ):
        OptimConfig(weights="bfloat16")


@pytest.mark.usefixtures("other_precision")
def test_bf16_computes_in_bfloat16_and_keeps_float32(configure, straight: Path) -> None:
    config = configure("optim.mixed_precision=bf16", "optim.steps=4")
    train(config)
    output = Path(config.run.output)
    saved = load_file(output / "state-00000004" / "networks.safetensors")
    full = load_file(straight / "networks.safetensors")
    assert {tensor.dtype for tensor in saved.values()} == {torch.float32}
    for state in moments(output / "state-00000004").values():
        assert state["exp_avg"].dtype == torch.float32
    losses = [line["loss"] for line in log_lines(output)]
    exact = [line["loss"] for line in log_lines(straight.parent)]
    assert losses != exact
    assert losses == pytest.approx(exact, rel=0.05)
    assert any(not torch.equal(saved[key], full[key]) for key in saved)
