"""The paper's ablations: each configuration trains, exports, loads and edits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args, get_type_hints

import numpy as np
import pytest
import torch
from magicface_training.config import ModelConfig, TrainConfig, load_config
from magicface_training.initialise import initialise
from magicface_training.objective import needs_pictures
from magicface_training.train import train
from tiny_start import write_clip, write_stable_diffusion

import magicface_core
from magicface_core import AUDelta, MagicFace, Settings
from magicface_core.editing.rendering import RenderOptions, encode_identities, render
from magicface_core.framing.framing import Framing
from magicface_core.framing.preparation import Prepared, prepare
from magicface_core.network import load_checkpoint
from magicface_core.network.action_unit_inputs import ActionUnitKind
from magicface_core.network.attribute_controller import ControllerKind
from magicface_core.network.denoisers import ControlledUNet
from magicface_core.network.identity_paths import IdentityKind
from magicface_core.network.info import CheckpointInfo
from magicface_core.perception import Perception
from magicface_core.pictures.images import load_image

pytestmark = pytest.mark.slow

pytest.importorskip("transformers")
CONFIGS = Path(__file__).parents[2] / "training" / "configs"
ABLATIONS = sorted((CONFIGS / "ablations").glob("*.yaml"))
PORTRAIT = Path(magicface_core.__file__).parent / "assets" / "portrait.png"
SMILE, FROWN = AUDelta(AU6=2, AU12=4), AUDelta(AU1=2, AU4=3, AU15=3)
EXPECTED = {
    "identity-convolution": ("convolution", "linear", "concatenation", 0.1),
    "identity-image-encoder": ("image-encoder", "linear", "concatenation", 0.1),
    "controlnet-frozen": ("controlnet", "linear", "concatenation", 0.1),
    "controlnet-trained": ("controlnet", "linear", "concatenation", 0.1),
    "au-zero-append": ("reference-attention", "zero-append", "concatenation", 0.1),
    "au-convolution": ("reference-attention", "convolution", "concatenation", 0.1),
    "attribute-convolution": ("reference-attention", "linear", "convolution", 0.1),
    "no-au-dropout": ("reference-attention", "linear", "concatenation", 0.0),
}
by_name = pytest.mark.parametrize("name", EXPECTED)


@pytest.fixture(scope="module")
def starts(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Where the shipped configurations would find Stable Diffusion and CLIP."""
    folder = tmp_path_factory.mktemp("starts")
    return [
        f"model.start_folder={write_stable_diffusion(folder / 'sd')}",
        f"model.image_encoder={write_clip(folder / 'clip')}",
        'model.autoencoder=""',
    ]


@pytest.fixture
def ablation(overrides: list[str], starts: list[str]) -> Callable[[str], TrainConfig]:
    """A shipped configuration with tiny networks, two steps and a rate that shows."""
    sizes = ["optim.learning_rate=0.02", "optim.ema_decay=0.1", "info.region=face", "info.steps=2"]
    return lambda name: load_config(
        CONFIGS / "ablations" / f"{name}.yaml",
        [*overrides, *starts, *sizes, "run.threads=1", "data.workers=0"],
    )


@pytest.fixture(scope="module")
def portrait() -> Prepared:
    """The packaged portrait, cropped and parsed for 32 pixels."""
    framing = Framing.of(CheckpointInfo(resolution=32, region="face"))
    return prepare(load_image(PORTRAIT), Perception.load(), framing, 0)


# --- configurations -----------------------------------------------------------------------------


def test_every_ablation_is_there() -> None:
    assert {path.stem for path in ABLATIONS} == set(EXPECTED)


@pytest.mark.parametrize("path", ABLATIONS, ids=lambda path: path.stem)
def test_each_is_the_papers_training_with_one_thing_changed(path: Path) -> None:
    paper, config = load_config(CONFIGS / "paper.yaml"), load_config(path)
    model = config.model
    kinds = (model.identity, model.action_units, model.attribute_controller)
    assert (*kinds, config.objective.au_dropout) == EXPECTED[path.stem]
    assert model.freeze_denoiser == (path.stem == "controlnet-frozen")
    assert (config.data, config.optim) == (paper.data, paper.optim)
    assert config.info["name"] == f"magicface-{path.stem}"
    assert config.run.output.endswith(path.stem)
    assert load_config(f"{path.stem}.yaml") == config  # found by name, too


def test_the_kinds_are_those_of_checkpoints() -> None:
    hints = get_type_hints(ModelConfig)
    for name, kinds in (
        ("identity", IdentityKind),
        ("action_units", ActionUnitKind),
        ("attribute_controller", ControllerKind),
    ):
        assert get_args(hints[name]) == get_args(kinds)


@by_name
def test_cached_latents_do_where_no_picture_is_read(
    ablation: Callable[[str], TrainConfig], name: str
) -> None:
    config = ablation(name)
    needed = needs_pictures(config.objective, initialise(config).networks)
    assert needed == (name in ("identity-image-encoder", "attribute-convolution"))


# --- two steps and an edit ----------------------------------------------------------------------


@by_name
def test_it_trains_exports_loads_and_edits(
    ablation: Callable[[str], TrainConfig], portrait: Prepared, name: str
) -> None:
    folder = train(ablation(name))
    model = MagicFace.load(folder, device="cpu")
    info = model.checkpoint.info
    assert (info.identity, info.action_units, info.attribute_controller) == EXPECTED[name][:3]
    results = model.edit_prepared(portrait, [AUDelta(), SMILE], Settings(guidance=1.5))
    zero, smile = (np.asarray(result.image) for result in results)
    assert np.array_equal(zero, np.asarray(load_image(PORTRAIT)))
    assert not np.array_equal(smile, zero)
    identities = encode_identities(
        model.checkpoint, torch.cat([portrait.model_input, portrait.model_input.flip(1)])
    )
    options = RenderOptions(guidance=1.5)
    background, asked = portrait.condition, [SMILE, FROWN]

    def latents(person: int) -> torch.Tensor:
        rows = identities.rows([person])
        return render(model.checkpoint, rows, background, asked, options).latents

    one, other = latents(0), latents(1)
    assert float((one[0] - one[1]).abs().max()) > 1e-4, "the delta changes nothing"
    assert float((one - other).abs().max()) > 1e-4, "the identity changes nothing"


# --- what is trained ----------------------------------------------------------------------------


@by_name
def test_all_that_is_trained_gets_a_gradient(
    ablation: Callable[[str], TrainConfig], name: str
) -> None:
    """Others would stall DistributedDataParallel."""
    start = initialise(ablation(name))
    networks = start.networks
    controlled = isinstance(networks.denoiser, ControlledUNet)
    names = {n for n, p in networks.named_parameters() if p.requires_grad}
    picture = networks.reads_pictures
    inputs = (
        torch.randn(2, 4, 4, 4),
        torch.randn(2, 3, 32, 32) if networks.controller is not None else torch.randn(2, 4, 4, 4),
        torch.randn(1, 3, 32, 32).tanh() if picture else torch.randn(1, 4, 4, 4),
        torch.randn(2, 12),
    )
    networks(*inputs, torch.tensor([10, 500]), start.prompt_embeds).square().mean().backward()
    found = {n for n, p in networks.named_parameters() if p.grad is not None}
    assert found == names
    assert any(n.startswith("denoiser.") for n in names)
    if name == "controlnet-frozen":
        assert all(n.startswith("denoiser.controlnet.") for n in names)
    elif controlled:
        assert {n.split(".")[1] == "controlnet" for n in names} == {True, False}
    if name == "identity-image-encoder":
        own = {n for n in names if n.startswith("id_encoder.")}
        assert own and all(n.startswith("id_encoder.projection.") for n in own)


@by_name
def test_it_starts_as_stable_diffusion(ablation: Callable[[str], TrainConfig], name: str) -> None:
    """Neither background nor AUs, nor any identity that has layers of its own, changes it yet."""
    start = initialise(ablation(name))
    again = initialise(ablation(name)).networks.state_dict()
    for key, tensor in start.networks.state_dict().items():
        assert torch.equal(again[key], tensor), key
    networks = start.networks
    noisy, prompt = torch.randn(2, 4, 4, 4), start.prompt_embeds
    shape = (2, 3, 32, 32) if networks.controller is not None else (2, 4, 4, 4)
    who = torch.randn(1, 3, 32, 32) if networks.reads_pictures else torch.randn(1, 4, 4, 4)
    with torch.no_grad():
        one, other = (
            networks(noisy, condition, who, delta, torch.tensor([10, 500]), prompt)
            for condition, delta in (
                (torch.zeros(shape), torch.zeros(2, 12)),
                (torch.randn(shape), torch.randn(2, 12)),
            )
        )
    if name == "au-zero-append":  # nothing is learnt there that could start at zero
        assert not torch.equal(one, other)
    else:
        assert torch.allclose(one, other, atol=1e-6)


def test_a_frozen_denoiser_stays_as_it_was(ablation: Callable[[str], TrainConfig]) -> None:
    config = ablation("controlnet-frozen")
    before = initialise(config).networks.denoiser.state_dict()
    after = load_checkpoint(train(config), "cpu", torch.float32).denoiser.state_dict()
    for key, tensor in before.items():
        same = torch.equal(tensor.half().float(), after[key])
        assert same or key.startswith("controlnet."), key
    assert not torch.equal(after["controlnet.conv_in.weight"], before["conv_in.weight"])
