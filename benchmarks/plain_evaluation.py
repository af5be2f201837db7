"""MagicFace by stock diffusers layers, as the paper and the release describe it, nothing cached.

For comparison only; shares no code with the package. Conventions: pictures are encoded as the
posterior's mode without the scaling factor; the ID encoder runs at timestep 0, and what enters its
transformer blocks, in the order of their execution, is joined to the denoiser's tokens before
``norm1``; the AUs go through one linear layer and are added to the time embedding; the background's
latents are concatenated to the noisy latents.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel, UniPCMultistepScheduler
from diffusers.models.attention import BasicTransformerBlock
from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS = "diffusion_pytorch_model.safetensors"
SCHEDULE = {
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
    "final_sigmas_type": "sigma_min",  # the default when MagicFace was released
}


@torch.no_grad()
def evaluate(
    vae_folder: Path,
    id_folder: Path,
    denoiser_folder: Path,
    given: dict[str, Tensor],
    timestep: int,
    guidance: float,
) -> dict[str, Tensor]:
    """A prediction at ``timestep``, and one guided step from pure noise to a picture, in float32.

    given: source and background [1,3,H,W] in 0..1, noise [1,4,h,w], prompt [1,77,C], delta [1,12].
    """
    vae = read(AutoencoderKL, vae_folder)
    latents, background = (
        vae.encode(given[name] * 2 - 1).latent_dist.mode() for name in ("source", "background")
    )
    features = reference_features(id_folder, latents, given["prompt"])
    unet = denoiser(denoiser_folder, features)

    def predicted(sample: Tensor, delta: Tensor, at: int | Tensor) -> Tensor:
        unet.delta, unet.blocks_done = delta, 0
        joined = torch.cat([sample, background], dim=1)
        output: Tensor = unet(joined, at, encoder_hidden_states=given["prompt"]).sample
        return output

    solver = UniPCMultistepScheduler.from_config(SCHEDULE)
    solver.set_timesteps(1)
    [first] = solver.timesteps
    delta, noise = given["delta"], given["noise"]
    null = predicted(noise, torch.zeros_like(delta), first)
    guided = null + guidance * (predicted(noise, delta, first) - null)
    step = solver.step(guided, first, noise).prev_sample
    picture = vae.decode(step / vae.config.scaling_factor).sample
    return {
        "identity latents": latents,
        "background latents": background,
        **{f"reference {index:02d}": feature for index, feature in enumerate(features)},
        "prediction": predicted(noise, delta, timestep),
        "one guided step": step,
        "picture": ((picture + 1) / 2).clamp(0, 1),
    }


def read(kind: Any, folder: Path) -> Any:
    """A stock network with the folder's weights."""
    with torch.device("meta"):
        network = kind.from_config(json.loads((folder / "config.json").read_text()))
    tensors = {key: value.float() for key, value in load_file(folder / WEIGHTS).items()}
    network.load_state_dict(
        {key: value for key, value in tensors.items() if not key.startswith("au_aug_mlp.")},
        assign=True,
    )
    return network.eval()


def reference_features(folder: Path, latents: Tensor, prompt: Tensor) -> list[Tensor]:
    """What enters the ID encoder's transformer blocks, in the order of their execution."""
    unet = read(UNet2DConditionModel, folder)
    features: list[Tensor] = []
    for block in transformer_blocks(unet):
        block.register_forward_pre_hook(lambda _, entering: features.append(entering[0]))
    unet(latents, 0, encoder_hidden_states=prompt)
    return features


def denoiser(folder: Path, features: list[Tensor]) -> Any:
    """The denoising UNet; set ``delta``, and ``blocks_done`` to 0, before each call."""
    unet = read(UNet2DConditionModel, folder)
    weights = load_file(folder / WEIGHTS)
    au_layer = nn.Linear(12, len(weights["au_aug_mlp.bias"]))
    au_layer.weight.copy_(weights["au_aug_mlp.weight"])
    au_layer.bias.copy_(weights["au_aug_mlp.bias"])
    unet.time_embedding.register_forward_hook(
        lambda _, __, embedding: embedding + au_layer(unet.delta)
    )
    for block in transformer_blocks(unet):
        block.forward = functools.partial(joined_forward, block, unet, features)
    return unet


def joined_forward(
    block: BasicTransformerBlock,
    unet: Any,
    features: list[Tensor],
    hidden_states: Tensor,
    encoder_hidden_states: Tensor | None = None,
    **_unused: Any,
) -> Tensor:
    """A transformer block over own and reference tokens, of which the own ones go on."""
    feature = features[unet.blocks_done]
    unet.blocks_done += 1
    own = hidden_states.shape[1]
    joined = block.norm1(torch.cat([hidden_states, feature], dim=1))
    hidden_states = hidden_states + block.attn1(joined)[:, :own]
    prompted = block.attn2(block.norm2(hidden_states), encoder_hidden_states=encoder_hidden_states)
    hidden_states = hidden_states + prompted
    forwarded: Tensor = hidden_states + block.ff(block.norm3(hidden_states))
    return forwarded


def transformer_blocks(unet: Any) -> Iterator[BasicTransformerBlock]:
    """All of them, in no particular order."""
    yield from (m for m in unet.modules() if isinstance(m, BasicTransformerBlock))
