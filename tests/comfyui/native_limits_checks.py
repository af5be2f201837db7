"""What the native MODEL refuses, its version guard, its VAE and its weights.

`test_native.py` runs these checks inside ComfyUI.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import comfy.model_base
import comfy.model_patcher
import comfy.supported_models_base
import torch
from comfy.ldm.modules.diffusionmodules.openaimodel import UNetModel
from comfy.model_patcher import ModelPatcher
from comfyui_native import (
    DELTAS,
    Conditions,
    both,
    faces,
    opened,
    places,
    sampled,
    tiny_layout,
)
from magicface_pack.magicface_core.errors import MagicFaceError
from magicface_pack.magicface_core.network.tiny import write_tiny_checkpoint
from magicface_pack.magicface_core.network.unet import AU_COUNT, build_unet, to_released_keys
from magicface_pack.magicface_core.pictures.images import load_image, to_tensor
from magicface_pack.nodes.native import guard as native_guard
from magicface_pack.nodes.native import layout as native_layout
from magicface_pack.nodes.native import model as native_model
from magicface_pack.nodes.native.loading import NativeModel
from magicface_pack.nodes.native.model import with_groups
from magicface_pack.nodes.native.nodes import Sigmas as SigmasNode

PORTRAIT = Path(__file__).parents[2] / "magicface_core" / "assets" / "portrait.png"


# --- refusals -----------------------------------------------------------------------------------


def refusal(action: Callable[[], Any]) -> str:
    """What an action that must not succeed says."""
    try:
        action()
    except MagicFaceError as error:
        return str(error)
    raise AssertionError("nothing was refused")


def check_other_kinds_of_checkpoints_are_refused(folder: Path) -> None:
    for values in (
        {"attribute_controller": "convolution"},
        {"identity": "image-encoder"},
        {"action_units": "zero-append"},
    ):
        place = write_tiny_checkpoint(folder / next(iter(values)), **values)
        said = refusal(lambda place=place: opened(place))
        assert f"needs {next(iter(values))}" in said, said
        assert "Load MagicFace Model" in said


def check_settings_that_comfyui_lacks_are_named(folder: Path) -> None:
    _, native = both(tiny_layout(folder))
    known = native.id_encoder.checkpoint.denoiser.config
    for name, value in (("freq_shift", 1), ("up_block_types", ["UpBlock2D"] * 2)):
        said = list(native_layout.problems({**known, name: value}))
        assert len(said) == 1, said
    assert not list(native_layout.problems(known))


def stable_diffusion_like(native: NativeModel) -> ModelPatcher:
    """A MODEL of the same widths that is no MagicFace: no AUs, four channels."""
    own = dict(native.model.model.model_config.unet_config)
    groups, epsilon, _ = (own.pop(key) for key in ("norm_groups", "norm_epsilon", "locality"))

    def unet(operations: Any, **settings: Any) -> UNetModel:
        return UNetModel(**settings, operations=with_groups(operations, groups, epsilon))

    config = comfy.supported_models_base.BASE({})
    config.unet_config = own | {"in_channels": 4, "dtype": torch.float32}
    model = comfy.model_base.BaseModel(config, unet_model=unet)
    return comfy.model_patcher.ModelPatcher(model, torch.device("cpu"), torch.device("cpu"))


def check_a_merge_with_stable_diffusion_is_refused(folder: Path) -> None:
    plain, native = both(tiny_layout(folder))
    given = Conditions(plain, native, DELTAS[:1])
    mixed = native.model.clone()
    for key, patch in stable_diffusion_like(native).get_key_patches("diffusion_model.").items():
        mixed.add_patches({key: patch}, 0.5, 0.5)
    sigmas = torch.tensor([10.0, 1.0])
    said = refusal(lambda: sampled(replace(native, model=mixed), given, "euler", sigmas, 2.0))
    assert "Merge MagicFace models only" in said


def check_the_other_way_round_is_noticed_at_the_conditioning(folder: Path) -> None:
    """A MODEL that is no MagicFace ignores its conditions: not without a word."""
    plain, native = both(tiny_layout(folder))
    given = Conditions(plain, native, DELTAS[:1])
    other = replace(native, model=stable_diffusion_like(native))
    said = refusal(lambda: sampled(other, given, "euler", torch.tensor([10.0, 1.0]), 2.0))
    assert "not MagicFace" in said


def check_other_models_have_no_steps_of_magicface(folder: Path) -> None:
    _, native = both(tiny_layout(folder))
    other = stable_diffusion_like(native)
    assert "not MagicFace" in refusal(lambda: SigmasNode.execute(other, 0, "checkpoint"))


def check_a_text_encoder_is_not_saved_along(folder: Path) -> None:
    _, native = both(tiny_layout(folder))
    said = refusal(lambda: native.model.state_dict_for_saving({"some": torch.zeros(1)}))
    assert "use ModelSave" in said


# --- versions -----------------------------------------------------------------------------------


def check_this_version_is_tested_and_complete(folder: Path) -> None:
    assert native_guard.missing_names() == []
    assert native_guard.self_check() < 1e-5


def check_an_unknown_version_is_tried_first(folder: Path) -> None:
    with version("99.0.0"):
        native_guard.require_native()
        with instead(native_guard, "self_check", lambda: 0.5):
            said = refusal(native_guard.require_native)
    assert "off by 0.5" in said
    assert "tested with ComfyUI 0.33.0" in said
    assert "MagicFace Sampler" in said


def check_what_is_gone_is_named(folder: Path) -> None:
    lacking = {"comfy.conds": ("CONDList", "CONDGone"), "comfy.gone": ("Any",)}
    with instead(native_guard, "INTERNALS", lacking):
        said = refusal(native_guard.require_native)
    assert "lacks comfy.conds.CONDGone, comfy.gone." in said


@contextmanager
def instead(owner: Any, name: str, value: Any) -> Iterator[None]:
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def version(text: str) -> AbstractContextManager[None]:
    return instead(native_guard, "__version__", text)


# --- VAE, weights -------------------------------------------------------------------------------


def check_the_own_vae_encodes_and_decodes(folder: Path) -> None:
    for place in places(folder):
        plain, native = both(place)
        picture = faces(plain.info.resolution, 2)
        with torch.inference_mode():
            latents = native.vae.encode(picture.movedim(1, -1))
            torch.testing.assert_close(latents, plain.codec.encode_pictures(picture))
            pictures = native.vae.decode(latents)
            torch.testing.assert_close(
                pictures.movedim(-1, 1), plain.codec.decode_pictures(latents)
            )
            odd = native.vae.encode(faces(plain.info.resolution + 5).movedim(1, -1))
            assert odd.shape[1:] == latents.shape[1:]
            assert torch.equal(native.vae.decode_tiled(latents, tile_x=8, tile_y=8), pictures)
    assert "this VAE decodes" in refusal(lambda: native.vae.decode(torch.zeros(1, 9, 4, 4)))


def check_previews_show_the_colours(folder: Path) -> None:
    """Mean colours of mini's patches, without its decoder."""
    plain, native = both("mini")
    format_ = native.model.model.latent_format
    portrait = to_tensor(load_image(PORTRAIT))[:, :, 64:448, 64:448]
    picture = torch.nn.functional.interpolate(portrait, (128, 128), mode="area")
    latents = plain.codec.encode_pictures(picture) * format_.scale_factor
    factors = torch.tensor(format_.latent_rgb_factors)
    shown = latents.movedim(1, -1) @ factors + torch.tensor(format_.latent_rgb_factors_bias)
    expected = torch.nn.functional.avg_pool2d(picture, 8).movedim(1, -1)
    assert ((shown / 2 + 0.5) - expected).abs().mean() < 0.02


def check_the_full_size_layout_has_a_place_for_every_tensor(folder: Path) -> None:
    """Stable Diffusion 1.5's own widths, without storage: all 688 tensors, one name each."""
    with torch.device("meta"):
        denoiser = build_unet({"in_channels": 8, "cross_attention_dim": 768}, AU_COUNT)
    _, native = both(tiny_layout(folder))
    checkpoint = replace(native.id_encoder.checkpoint, denoiser=denoiser)
    config = native_model.NativeConfig(checkpoint)
    config.set_inference_dtype(torch.float16, None)
    released = to_released_keys(denoiser.state_dict())
    assert "au_aug_mlp.weight" in released
    model = native_model.MagicFaceNative(config, checkpoint)
    expected = {key: value.shape for key, value in model.diffusion_model.state_dict().items()}
    mapped = native_layout.to_native(released, config.unet_config)
    assert {key: value.shape for key, value in mapped.items()} == expected
    back = native_layout.from_native(mapped, config.unet_config)
    assert {k: v.shape for k, v in back.items()} == {k: v.shape for k, v in released.items()}
    assert len(list(model.diffusion_model.named_blocks())) == 16


def check_weights_that_stay_elsewhere_are_fetched(folder: Path) -> None:
    """As with little memory: a part of the weights is not where the computation is."""
    for place in places(folder):
        plain, native = both(place)
        given = Conditions(plain, native, DELTAS)
        sigmas = torch.tensor([14.0, 2.0, 0.1])
        with torch.inference_mode():
            expected = sampled(native, given, "euler", sigmas, 2.0)
            native.model.detach()
            native.model.partially_load(native.model.load_device, 1000)
            assert native.model.loaded_size() < native.model.model_size()
            assert torch.equal(sampled(native, given, "euler", sigmas, 2.0), expected)
