"""Nodes for tests only, mounted beside the pack: what none of ComfyUI's own can make.

With MAGICFACE_TEST_VRAM=LOW_VRAM or NO_VRAM the CPU is managed like a graphics card that is full:
`--lowvram` and `--novram` cannot be combined with `--cpu`, and need a card to start.
"""

from __future__ import annotations

import json
import os
from typing import Any

import comfy.model_management as mm
import comfy.sd
import torch
from comfy.taesd.taesd import TAESD
from comfy_api.latest import ComfyExtension, io

CATEGORY = "MagicFaceTest"
STATE = os.environ.get("MAGICFACE_TEST_VRAM")
MEBIBYTE = 1024 * 1024

if STATE:
    mm.vram_state = mm.VRAMState[STATE]
    mm.is_device_cpu = lambda device: False
    mm.get_free_memory = lambda device=None, torch_free_too=False: (
        (MEBIBYTE, MEBIBYTE) if torch_free_too else MEBIBYTE
    )


class NotANumber(io.ComfyNode):
    """Puts NaN into one pixel."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFaceTest_NotANumber",
            category=CATEGORY,
            inputs=[io.Image.Input("image")],
            outputs=[io.Image.Output("spoiled")],
        )

    @classmethod
    def execute(cls, image: torch.Tensor) -> io.NodeOutput:
        spoiled = image.clone()
        spoiled[0, 0, 0, 0] = float("nan")
        return io.NodeOutput(spoiled)


class Boxes(io.ComfyNode):
    """A BOUNDING_BOX of any structure, as detectors give them: written as JSON."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFaceTest_Boxes",
            category=CATEGORY,
            inputs=[io.String.Input("text")],
            outputs=[io.BoundingBox.Output("boxes")],
        )

    @classmethod
    def execute(cls, text: str) -> io.NodeOutput:
        return io.NodeOutput(json.loads(text))


class RandomVAE(io.ComfyNode):
    """ComfyUI's VAE with the latents of Stable Diffusion 1.5, small and with random weights."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFaceTest_RandomVAE",
            category=CATEGORY,
            inputs=[],
            outputs=[io.Vae.Output("vae")],
        )

    @classmethod
    def execute(cls) -> io.NodeOutput:
        noise = torch.Generator().manual_seed(0)
        shapes = TAESD(latent_channels=4).state_dict()
        weights = {
            key: 0.05 * torch.randn(value.shape, generator=noise) for key, value in shapes.items()
        }
        weights["vae_shift"] = torch.tensor(0.0)
        weights["vae_scale"] = torch.tensor(0.18215)
        vae = comfy.sd.VAE(sd=weights)
        vae.throw_exception_if_invalid()
        return io.NodeOutput(vae)


class OutOfMemoryOnce(io.ComfyNode):
    """The next sampling with this model runs out of memory; later ones do not."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        model = io.Custom("MAGICFACE_MODEL")
        return io.Schema(
            node_id="MagicFaceTest_OutOfMemoryOnce",
            category=CATEGORY,
            inputs=[model.Input("model")],
            outputs=[model.Output("model_out")],
        )

    @classmethod
    def execute(cls, model: Any) -> io.NodeOutput:
        denoiser = model.load_sampling_networks(1).denoiser

        def fail(module: torch.nn.Module, inputs: tuple[Any, ...]) -> None:
            hook.remove()
            raise mm.OOM_EXCEPTION("Allocation on device")

        hook = denoiser.register_forward_pre_hook(fail)
        return io.NodeOutput(model)


class Memory(io.ComfyNode):
    """The models that ComfyUI holds now, as JSON: name, bytes, bytes on the device."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFaceTest_Memory",
            category=CATEGORY,
            inputs=[io.Image.Input("after", tooltip="Runs after what makes this.")],
            outputs=[io.String.Output("text")],
            not_idempotent=True,
        )

    @classmethod
    def execute(cls, after: torch.Tensor) -> io.NodeOutput:
        held = [
            {
                "name": type(entry.model.model).__name__,
                "bytes": entry.model_memory(),
                "loaded": entry.model_loaded_memory(),
            }
            for entry in mm.current_loaded_models
        ]
        return io.NodeOutput(json.dumps({"state": mm.vram_state.name, "models": held}))


class MagicFaceTestExtension(ComfyExtension):
    """All nodes of the test pack."""

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return [NotANumber, Boxes, RandomVAE, OutOfMemoryOnce, Memory]


async def comfy_entrypoint() -> MagicFaceTestExtension:
    return MagicFaceTestExtension()
