"""Loading needs little more memory than the weights, converted or not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file

LIMIT = 1.3
WIDTHS = (192, 256, 384, 384)  # 76 million parameters each
LOADING = """
import re, sys
from pathlib import Path
import torch
from magicface_core.network import load_checkpoint

def peak():
    [kilobytes] = re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
    return int(kilobytes) * 1024

folder, dtype = sys.argv[1], getattr(torch, sys.argv[2])
load_checkpoint(sys.argv[3], "cpu", dtype)  # imports and warms everything up
Path("/proc/self/clear_refs").write_text("5")  # starts the peak anew
before = peak()
loaded = load_checkpoint(folder, "cpu", dtype, torch.zeros(1, 77, 64))
growth = peak() - before
networks = (loaded.denoiser, loaded.id_encoder, loaded.vae)
size = sum(p.numel() * p.element_size() for n in networks for p in n.parameters())
print(growth, size)
"""


def random_tensors(network: Any, dtype: torch.dtype) -> dict[str, torch.Tensor]:
    return {
        key.replace("class_embedding.", "au_aug_mlp."): torch.zeros(value.shape, dtype=dtype)
        for key, value in network.state_dict().items()
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks in float32 and one in float16, single files; 470 MB."""
    unet = {"block_out_channels": WIDTHS, "cross_attention_dim": 64, "out_channels": 4}
    aus = {
        "class_embed_type": "simple_projection",
        "projection_class_embeddings_input_dim": 12,
    }
    vae = {
        "block_out_channels": (32, 64, 64, 64),
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "layers_per_block": 2,
    }
    folder = tmp_path_factory.mktemp("moderate")
    with torch.device("meta"):
        denoiser = UNet2DConditionModel.from_config({**unet, **aus, "in_channels": 8})
        id_encoder = UNet2DConditionModel.from_config({**unet, "in_channels": 4})
        autoencoder = AutoencoderKL.from_config(vae)
    for name, network, dtype in (
        ("denoiser", denoiser, torch.float32),
        ("id_encoder", id_encoder, torch.float16),
        ("vae", autoencoder, torch.float32),
    ):
        save_file(random_tensors(network, dtype), folder / f"{name}.safetensors")
    return folder


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak can be restarted on Linux only"
)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_peak_of_loading(folder: Path, tiny_checkpoint: Path, dtype: str) -> None:
    root = Path(__file__).parents[3]
    output = subprocess.run(
        [sys.executable, "-c", LOADING, str(folder), dtype, str(tiny_checkpoint)],
        cwd=root,
        capture_output=True,
        text=True,
        check=True,
    )
    growth, size = map(int, output.stdout.split())
    assert size > 250e6
    assert 0.9 * size < growth < LIMIT * size
