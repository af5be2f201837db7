"""Nodes for tests only, mounted beside the pack: what none of ComfyUI's own can make.

With MAGICFACE_TEST_VRAM=LOW_VRAM or NO_VRAM the CPU is managed like a graphics card that is full:
`--lowvram` and `--novram` cannot be combined with `--cpu`, and need a card to start.
"""

from __future__ import annotations

import inspect
import json
import os
from typing import Any

import comfy.controlnet
import comfy.lora
import comfy.model_management as mm
import comfy.ops
import comfy.sd
import comfy.utils
import folder_paths
import torch
from comfy.cldm.cldm import ControlNet
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


class RandomControlNet(io.ComfyNode):
    """A ControlNet of random weights that fits a MODEL with Stable Diffusion's kind of UNet."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFaceTest_RandomControlNet",
            category=CATEGORY,
            inputs=[io.Model.Input("model")],
            outputs=[io.ControlNet.Output("control_net")],
        )

    @classmethod
    def execute(cls, model: Any) -> io.NodeOutput:
        config = model.model.model_config.unet_config
        kept = set(inspect.signature(ControlNet.__init__).parameters) & set(config)
        groups = next(m for m in model.model.modules() if isinstance(m, torch.nn.GroupNorm))

        def group_norm(num_groups: int, num_channels: int, **settings: Any) -> torch.nn.Module:
            return layers.GroupNorm(groups.num_groups, num_channels, **settings)

        layers = comfy.ops.manual_cast
        own = type("Layers", (layers,), {"GroupNorm": staticmethod(group_norm)})
        arguments = {key: config[key] for key in kept} | {
            "in_channels": config["out_channels"],
            "hint_channels": 3,
            "dtype": torch.float32,
            "operations": own,
        }
        network = ControlNet(**arguments)
        noise = torch.Generator().manual_seed(0)
        for parameter in network.parameters():
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=noise)
        return io.NodeOutput(
            comfy.controlnet.ControlNet(network, load_device=mm.get_torch_device())
        )


class RandomLoRA(io.ComfyNode):
    """Writes a LoRA of random numbers for a MODEL's self-attention to models/loras."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFaceTest_RandomLoRA",
            category=CATEGORY,
            inputs=[io.Model.Input("model"), io.String.Input("name")],
            outputs=[io.String.Output("text")],
            is_output_node=True,
        )

    @classmethod
    def execute(cls, model: Any, name: str) -> io.NodeOutput:
        noise = torch.Generator().manual_seed(0)
        found = comfy.lora.model_lora_keys_unet(model.model, {})
        weights = model.model.state_dict()
        tensors = {}
        for key, target in found.items():
            if key.startswith("lora_unet_down") and "attn1_to" in key:
                outputs, inputs = weights[target].shape
                tensors[f"{key}.lora_up.weight"] = torch.randn(outputs, 2, generator=noise)
                tensors[f"{key}.lora_down.weight"] = torch.randn(2, inputs, generator=noise)
                tensors[f"{key}.alpha"] = torch.tensor(2.0)
        folder = folder_paths.get_folder_paths("loras")[0]
        os.makedirs(folder, exist_ok=True)
        comfy.utils.save_torch_file(tensors, os.path.join(folder, name))
        return io.NodeOutput(str(len(tensors)), ui={"text": [str(len(tensors))]})


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
        return [
            NotANumber,
            Boxes,
            RandomVAE,
            OutOfMemoryOnce,
            Memory,
            RandomControlNet,
            RandomLoRA,
        ]


async def comfy_entrypoint() -> MagicFaceTestExtension:
    return MagicFaceTestExtension()
