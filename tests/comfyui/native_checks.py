"""The native MODEL's numbers, which `test_native.py` has computed inside ComfyUI.

Each check compares ComfyUI's UNet and samplers with the library on diffusers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import comfy.samplers
import torch
from comfyui_native import (
    DELTAS,
    Conditions,
    both,
    golden,
    moving_layout,
    places,
    released_layout,
    sampled,
    tiny_layout,
)
from magicface_pack.magicface_core.aus import AUDelta
from magicface_pack.magicface_core.editing.identity import ProjectedIdentity, project_identity
from magicface_pack.magicface_core.editing.rendering import RenderOptions, render
from magicface_pack.magicface_core.editing.sampling import (
    encode_background,
    guided_prediction,
    scheduled,
)
from magicface_pack.magicface_core.editing.schedulers import noise_levels
from magicface_pack.magicface_core.network.checkpoint import Checkpoint
from magicface_pack.magicface_core.pictures.images import to_tensor
from magicface_pack.magicface_core.pictures.resampling import sized
from magicface_pack.nodes.native.loading import NativeModel
from magicface_pack.nodes.native.nodes import Decode
from magicface_pack.nodes.native.nodes import Sigmas as SigmasNode

TOLERANCE = 1e-5
LEVELS = (14.0, 0.5)


def predictions(
    plain: Checkpoint,
    native: NativeModel,
    deltas: tuple[AUDelta, ...],
    guidance: float,
    split: bool,
) -> float:
    """Largest difference of clean latents predicted at several noise levels."""
    given = Conditions(plain, native, deltas)
    seen: ProjectedIdentity = project_identity(plain, given.identity)
    background = encode_background(plain, given.background).expand(len(deltas), -1, -1, -1)
    matrix = torch.stack([delta.to_tensor() for delta in deltas])
    noise = torch.randn(given.latent["samples"].shape, generator=torch.Generator().manual_seed(2))
    sampling = native.model.model.model_sampling
    worst = 0.0
    for level in LEVELS:
        sigma = sampling.sigma(sampling.timestep(torch.tensor([level])))
        noisy = noise * (1 + sigma**2).sqrt()
        scaled = sampling.calculate_input(sigma, noisy)  # the same rounding for both
        predicted = guided_prediction(
            plain, seen, scaled, background, matrix, sampling.timestep(sigma), guidance
        )
        expected = sampling.calculate_denoised(sigma, predicted, noisy)
        found = denoised(native, given, noisy, sigma, guidance, split)
        # Of what the network itself said: noise, or clean latents, which are larger.
        says_noise = plain.scheduler_config.get("prediction_type", "epsilon") == "epsilon"
        scale = float(sigma) if says_noise else float(expected.abs().max())
        worst = max(worst, float((found - expected).abs().max()) / scale)
    return worst


def denoised(
    native: NativeModel,
    given: Conditions,
    noisy: torch.Tensor,
    sigma: torch.Tensor,
    guidance: float,
    split: bool,
) -> torch.Tensor:
    """ComfyUI's guided prediction, with both halves of guidance in one call or in two."""
    calls: list[int] = []

    def remember(apply: Any, values: dict[str, Any]) -> torch.Tensor:
        calls.append(len(values["cond_or_uncond"]))
        result: torch.Tensor = apply(values["input"], values["timestep"], **values["c"])
        return result

    options = {"model_function_wrapper": remember}
    guider = comfy.samplers.CFGGuider(native.model)
    guider.set_conds(given.positive, given.negative)
    guider.set_cfg(guidance)
    found: list[torch.Tensor] = []
    original = comfy.samplers.can_concat_cond
    comfy.samplers.can_concat_cond = (lambda one, other: one is other) if split else original

    class Once:
        """A sampler that asks for one prediction."""

        def max_denoise(self, *_: Any) -> bool:
            return True

        def sample(
            self, model: Any, sigmas: Any, extra: dict[str, Any], *_: Any, **__: Any
        ) -> torch.Tensor:
            merged = {**extra["model_options"], **options}
            levels = sigma.expand(len(noisy))
            found.append(model(noisy, levels, model_options=merged, seed=0))
            return noisy

    try:
        empty = torch.zeros_like(noisy)
        guider.sample(noisy, empty, Once(), torch.tensor([float(sigma), 0.0]), disable_pbar=True)
    finally:
        comfy.samplers.can_concat_cond = original
    assert calls == ([1] if guidance == 1 else [1, 1] if split else [2]), calls
    return found[0]


def check_identity_features_are_those_of_the_library(folder: Path) -> None:
    for place in places(folder):
        plain, native = both(place)
        given = Conditions(plain, native, DELTAS[:1])
        pairs = zip(given.identity.features, given.own.features, strict=True)
        assert max(float((a - b).abs().max()) for a, b in pairs) <= TOLERANCE


def check_predictions_are_those_of_the_library(folder: Path) -> None:
    for place in places(folder):
        plain, native = both(place)
        for deltas in (DELTAS[:1], DELTAS):
            for guidance, split in ((1.0, False), (2.5, False), (2.5, True)):
                worst = predictions(plain, native, deltas, guidance, split)
                assert worst <= TOLERANCE * (guidance + abs(guidance - 1)), (
                    place,
                    guidance,
                    split,
                    worst,
                )


def compare(place: Path | str, sampler: str, scheduler: str, steps: int) -> float:
    """Standard deviation of the difference after all steps, relative to that of the latents."""
    plain, native = both(place)
    given = Conditions(plain, native, DELTAS)
    (sigmas,) = SigmasNode.execute(native.model, steps, scheduler).args
    options = RenderOptions(seed=3, steps=steps, guidance=1.5, scheduler=scheduler)
    expected = render(plain, given.identity, given.background, given.deltas, options).latents
    found = sampled(native, given, sampler, sigmas, 1.5)
    # ComfyUI keeps the latents over the signal that is left at the last level.
    found = found / (1 + float(sigmas[-1]) ** 2) ** 0.5
    return float((found - expected).std() / expected.std())


def check_predictions_are_those_of_the_published_networks(folder: Path) -> None:
    """Without the library in between: recorded tensors of the released code."""
    _, native = both(released_layout(folder))
    known = golden()
    features = [known[f"reference.{index:02d}"] for index in range(16)]
    for kind, delta in (("au", known["au"]), ("null", torch.zeros_like(known["au"]))):
        for timestep in (1, 500, 981):
            with torch.inference_mode():
                found = native.model.model.diffusion_model(
                    torch.cat([known["noise"], known["background_latents"]], 1),
                    torch.tensor([float(timestep)]),
                    known["prompt_embeds"],
                    delta,
                    reference=features,
                )
            expected = known[f"denoise.{kind}.t{timestep}"]
            assert float((found - expected).abs().max()) <= TOLERANCE, (kind, timestep)


def check_euler_is_ddim(folder: Path) -> None:
    """The solver of mini in other words, where its number of steps divides that of the training.

    Otherwise diffusers removes noise down to the step beside the one that comes next.
    """
    with torch.inference_mode():
        for place in places(folder):
            worst = compare(place, "euler", "ddim", 5)
            assert worst < 5e-5, (place, worst)


def check_decoded_pictures_are_those_of_magicface_sampler(folder: Path) -> None:
    """Also where the edit is applied to the face itself, which VAE Decode cannot do."""
    options = RenderOptions(seed=3, steps=5, guidance=1.5, scheduler="ddim")
    for place, carries in ((moving_layout(folder), True), (tiny_layout(folder), False)):
        plain, native = both(place)
        given = Conditions(plain, native, DELTAS)
        (sigmas,) = SigmasNode.execute(native.model, options.steps, options.scheduler).args
        with torch.inference_mode():
            expected = render(plain, given.identity, given.background, given.deltas, options)
            found = sampled(native, given, "euler", sigmas, options.guidance)
            (edited,) = Decode.execute({"samples": found}, given.own, native.id_encoder).args
            soft = sized(to_tensor(native.vae.decode(found)), 512)
        assert edited.shape == (2, 512, 512, 3)
        edited = to_tensor(edited)
        assert float((edited - expected.pictures).abs().max()) <= 1 / 255, place
        assert (float((edited - soft).abs().max()) > 0.1) == carries, place


def check_unipc_agrees(folder: Path) -> None:
    """The released solver, which predicts noise; ComfyUI's takes its first steps otherwise."""
    with torch.inference_mode():
        for place in (released_layout(folder), tiny_layout(folder)):
            worst = compare(place, "uni_pc_bh2", "unipc", 20)
            assert worst < 0.01, (place, worst)


def check_sigmas_are_the_released_schedule(folder: Path) -> None:
    _, native = both(released_layout(folder))
    plain = native.id_encoder.checkpoint
    (sigmas,) = SigmasNode.execute(native.model, 0, "checkpoint").args
    assert len(sigmas) == 51 if plain.info.steps == 50 else plain.info.steps + 1
    (released,) = SigmasNode.execute(native.model, 50, "unipc").args
    sampling = native.model.model.model_sampling
    steps = sampling.timestep(released)
    assert steps[:3].tolist() == [999, 979, 959]
    assert steps[-3:].tolist() == [40, 20, 0]
    assert torch.equal(released, noise_levels(scheduled(plain, 50, "unipc")))
    for name in ("ddim", "dpmpp_2m", "euler", "heun"):
        (levels,) = SigmasNode.execute(native.model, 5, name).args
        assert len(levels) == 6, name
        assert (levels.diff() < 0).all(), name


def check_a_mask_keeps_the_latents_around_it(folder: Path) -> None:
    for place in places(folder):
        plain, native = both(place)
        mask = torch.zeros(1, 64, 64)
        mask[:, 16:48, 16:48] = 1
        given = Conditions(plain, native, DELTAS, mask=mask)
        start = given.latent["samples"]
        assert start.shape == (2, *given.own.latents.shape[1:])
        with torch.inference_mode():
            found = sampled(native, given, "euler", torch.tensor([14.6146, 5.0, 1.0, 0.0]), 2.0)
        quarter = start.shape[-1] // 4
        change = (found - given.own.latents).abs().amax(1)
        inside = torch.zeros_like(change, dtype=torch.bool)
        inside[:, quarter : 3 * quarter, quarter : 3 * quarter] = True
        assert change[~inside].max() < 1e-5
        assert change[inside].min() > 1e-3
