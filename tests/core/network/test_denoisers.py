"""Every way of identity and AUs: built, written, read back and sampled."""

from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path
from typing import get_args

import pytest
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from magicface_core import AUDelta
from magicface_core.editing.identity import project_identity
from magicface_core.editing.rendering import RenderOptions, encode_identities, render
from magicface_core.editing.sampling import encode_background, predict, sample
from magicface_core.errors import CheckpointError
from magicface_core.network import Checkpoint, load_checkpoint, merge_checkpoint
from magicface_core.network.action_unit_inputs import ActionUnitKind, LinearInput
from magicface_core.network.denoisers import (
    ConditionedUNet,
    ControlledUNet,
    build_denoiser,
    input_channels,
    start_controlnet,
)
from magicface_core.network.identity_paths import IDENTITY_PATHS, IdentityKind
from magicface_core.network.reference_attention import install_processors
from magicface_core.network.tiny import TINY_UNET, write_tiny_checkpoint
from magicface_core.network.unet import build_unet

FACES = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
SMILE, FROWN = AUDelta(AU6=2, AU12=4), AUDelta(AU1=2, AU4=3, AU15=3)
IDENTITIES, ACTION_UNITS = get_args(IdentityKind), get_args(ActionUnitKind)
VARIANTS = list(product(IDENTITIES, ACTION_UNITS))
NOISE = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str], Path]:
    """A tiny checkpoint of each kind; the latents have four by four places."""
    pytest.importorskip("transformers")
    place = tmp_path_factory.mktemp("kinds")
    return {
        (identity, units): write_tiny_checkpoint(
            place / f"{identity} {units}", identity=identity, action_units=units
        )
        for identity, units in VARIANTS
    }


def edited(checkpoint: Checkpoint, face: Tensor, delta: AUDelta, background: Tensor) -> Tensor:
    identity = encode_identities(checkpoint, face)
    return render(
        checkpoint, identity, background, [delta], RenderOptions(guidance=1.5, steps=2)
    ).latents


# --- all kinds ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("identity", "units"), VARIANTS)
def test_identity_delta_and_background_change_the_result(
    folders: dict[tuple[str, str], Path], identity: str, units: str
) -> None:
    checkpoint = load_checkpoint(folders[identity, units], "cpu")
    assert (checkpoint.info.identity, checkpoint.info.action_units) == (identity, units)
    plain = edited(checkpoint, FACES[:1], SMILE, FACES[:1])
    assert torch.equal(edited(checkpoint, FACES[:1], SMILE, FACES[:1]), plain)
    for other in (
        edited(checkpoint, FACES[1:], SMILE, FACES[:1]),
        edited(checkpoint, FACES[:1], FROWN, FACES[:1]),
        edited(checkpoint, FACES[:1], SMILE, FACES[1:]),
    ):
        assert float((other - plain).abs().max()) > 1e-4


@pytest.mark.parametrize("identity", IDENTITIES)
def test_a_zero_delta_is_the_face_itself(
    folders: dict[tuple[str, str], Path], identity: str
) -> None:
    checkpoint = load_checkpoint(folders[identity, "linear"], "cpu")
    encoded = encode_identities(checkpoint, FACES[:1])
    found = render(checkpoint, encoded, FACES[:1], [AUDelta()])
    assert torch.equal(found.latents, encoded.latents)


@pytest.mark.parametrize("identity", IDENTITIES)
def test_rows_share_identities_in_turn(folders: dict[tuple[str, str], Path], identity: str) -> None:
    """Row b belongs to identity b mod R, with and without the null half of guidance."""
    checkpoint = load_checkpoint(folders[identity, "linear"], "cpu")
    deltas = torch.stack([d.to_tensor() for d in (SMILE, FROWN, FROWN, SMILE)])
    background = encode_background(checkpoint, FACES[:1])
    together = sample(
        checkpoint,
        encode_identities(checkpoint, FACES),
        background,
        deltas,
        guidance=2,
        noise=NOISE,
    )
    for row in range(4):
        own = encode_identities(checkpoint, FACES[[row % 2]])
        alone = sample(checkpoint, own, background, deltas[[row]], guidance=2, noise=NOISE)
        torch.testing.assert_close(together[[row]], alone, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("identity", "units"), [*((kind, "linear") for kind in IDENTITIES[1:]), VARIANTS[2]]
)
def test_a_merged_file_is_the_folder(
    folders: dict[tuple[str, str], Path], identity: str, units: str, tmp_path: Path
) -> None:
    folder = folders[identity, units]
    merged = load_checkpoint(merge_checkpoint(folder, tmp_path / "one.safetensors"), "cpu")
    plain = load_checkpoint(folder, "cpu")
    assert merged.fingerprint == plain.fingerprint
    results = (edited(checkpoint, FACES[:1], SMILE, FACES[1:]) for checkpoint in (merged, plain))
    assert torch.equal(*results)


@pytest.mark.parametrize(("identity", "units"), [VARIANTS[-1], VARIANTS[5]])
def test_the_attribute_controller_is_another_choice(
    identity: IdentityKind, units: ActionUnitKind, tmp_path: Path
) -> None:
    folder = write_tiny_checkpoint(
        tmp_path / "tiny",
        identity=identity,
        action_units=units,
        attribute_controller="convolution",
    )
    checkpoint = load_checkpoint(folder, "cpu")
    one, other = (edited(checkpoint, FACES[:1], SMILE, FACES[[i]]) for i in (0, 1))
    assert float((one - other).abs().max()) > 1e-5


# --- the paper's own ----------------------------------------------------------------------------


def test_the_papers_denoiser_is_stock_diffusers() -> None:
    shape = {**TINY_UNET, "in_channels": 8, "out_channels": 4}
    assert type(build_denoiser(shape)) is UNet2DConditionModel
    assert input_channels("reference-attention", "linear", 4, 4) == {"in_channels": 8}


def test_the_same_weights_give_the_same_bits(folders: dict[tuple[str, str], Path]) -> None:
    """A ConditionedUNet whose inputs are the paper's is the paper's denoiser."""
    checkpoint = load_checkpoint(folders["reference-attention", "linear"], "cpu")
    stock = checkpoint.denoiser
    shape = {k: v for k, v in stock.config.items() if not k.startswith("_")}
    other = ConditionedUNet.from_config(shape).eval()
    install_processors(other)
    other.identity_path, other.au_input = IDENTITY_PATHS["reference-attention"], LinearInput()
    other.load_state_dict(stock.state_dict())
    identity = encode_identities(checkpoint, FACES[:1])
    background = encode_background(checkpoint, FACES[1:])
    expected = predict(
        checkpoint,
        project_identity(checkpoint, identity),
        NOISE,
        background,
        SMILE.to_tensor()[None],
        100,
    )
    checkpoint.denoiser = other
    found = predict(
        checkpoint,
        project_identity(checkpoint, identity),
        NOISE,
        background,
        SMILE.to_tensor()[None],
        100,
    )
    assert torch.equal(found, expected)


# --- ControlNet ---------------------------------------------------------------------------------


@pytest.mark.parametrize("units", ACTION_UNITS)
def test_a_new_controlnet_changes_nothing(units: ActionUnitKind) -> None:
    torch.manual_seed(0)
    channels = input_channels("controlnet", units, latent=4, condition=4)
    shape = {**TINY_UNET, **channels, "out_channels": 4}
    unet = build_denoiser(shape, "controlnet", units).eval()
    assert isinstance(unet, ControlledUNet)
    start_controlnet(unet)
    for name in ("conv_in", "time_embedding", "down_blocks", "mid_block"):
        copied = getattr(unet.controlnet, name).state_dict()
        for key, tensor in getattr(unet, name).state_dict().items():
            assert torch.equal(copied[key], tensor), key
    plain = build_unet({**shape, "control_channels": None}, None).eval()
    plain.load_state_dict({k: v for k, v in unet.state_dict().items() if k in plain.state_dict()})
    tokens = torch.ones(2, 3, 4)
    with torch.no_grad():
        found = unet(
            torch.rand(2, 8, 4, 4, generator=torch.Generator().manual_seed(0)),
            100,
            encoder_hidden_states=tokens,
            class_labels=torch.ones(2, 12),
            cross_attention_kwargs={"reference": torch.ones(1, 4, 4, 4)},
        ).sample
        noisy = torch.rand(2, 8, 4, 4, generator=torch.Generator().manual_seed(0))[:, :4]
        expected = plain(noisy, 100, encoder_hidden_states=tokens).sample
    assert torch.allclose(found, expected, atol=1e-6)


# --- mistakes -----------------------------------------------------------------------------------


def rewrite(folder: Path, name: str, key: str, value: object) -> None:
    path = folder / name
    tree = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**tree, key: value}), encoding="utf-8")


@pytest.mark.parametrize(
    ("identity", "key", "value", "message"),
    [
        ("convolution", "identity", "reference-attention", "ID_enc"),
        ("convolution", "identity", "controlnet", "control_channels"),
        ("reference-attention", "identity", "convolution", "does not fit"),
        ("reference-attention", "action_units", "zero-append", "does not fit"),
        ("reference-attention", "action_units", "convolution", "does not fit"),
    ],
)
def test_a_description_of_other_networks(
    identity: IdentityKind, key: str, value: str, message: str, tmp_path: Path
) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", identity=identity)
    rewrite(folder, "magicface.json", key, value)
    with pytest.raises(CheckpointError, match=message):
        load_checkpoint(folder, "cpu")


def test_a_convolution_without_room_for_the_identity(tmp_path: Path) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", identity="controlnet")
    rewrite(folder, "denoising_unet/config.json", "control_channels", 7)
    with pytest.raises(CheckpointError, match="controlnet_cond_embedding"):
        load_checkpoint(folder, "cpu")
    whole = write_tiny_checkpoint(tmp_path / "concatenation")
    other = write_tiny_checkpoint(tmp_path / "other", identity="convolution")
    shutil.copytree(whole / "denoising_unet", other / "denoising_unet", dirs_exist_ok=True)
    with pytest.raises(CheckpointError, match=r"in_channels is 8, but .* asks for 12"):
        load_checkpoint(other, "cpu")


def test_an_image_encoder_of_another_width(tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    folder = write_tiny_checkpoint(tmp_path / "tiny", identity="image-encoder")
    rewrite(folder, "ID_enc/config.json", "width", 5)
    with pytest.raises(CheckpointError, match=r"projection\.0\.weight has shape"):
        load_checkpoint(folder, "cpu")
