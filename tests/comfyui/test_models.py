"""Checkpoints: both roots, folders and single files, ComfyUI's VAE, and what is missing."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from comfyui_client import Client, RefusedError
from comfyui_graphs import Graph, portrait_edit

LINK = "https://huggingface.co/mengtingwei/magicface"


@pytest.mark.parametrize("checkpoint", ["tiny-single.safetensors", "other"])
def test_every_kind_of_checkpoint_edits(client: Client, graph: Graph, checkpoint: str) -> None:
    edit = portrait_edit(graph, checkpoint=checkpoint, AU12=3.0)
    run = client.succeed(graph)
    assert client.pictures(run, edit.saved).shape == (1, 512, 512, 3)


def test_single_file_gives_the_folders_pictures(client: Client, graph: Graph) -> None:
    shown = [
        graph.show(portrait_edit(graph, checkpoint=name, AU12=3.0).sampler)
        for name in ("tiny", "tiny-single.safetensors")
    ]
    run = client.succeed(graph)
    folder, single = (client.pictures(run, node).astype(int) for node in shown)
    assert np.abs(folder - single).max() <= 1  # tensors lie elsewhere in memory


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_every_precision_runs(client: Client, graph: Graph, dtype: str) -> None:
    edit = portrait_edit(graph, AU12=3.0)
    shown = graph.show(edit.sampler)
    exact = client.pictures(client.succeed(graph), shown).astype(int)
    graph.set(edit.model, dtype=dtype)
    rounded = client.pictures(client.succeed(graph), shown)
    assert np.abs(rounded - exact).mean() < 4


def test_any_vae_of_stable_diffusion_can_be_connected(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, AU12=3.0)
    shown = graph.show(edit.sampler)
    own = client.pictures(client.succeed(graph), shown)
    graph.set(edit.model, vae=graph.add("MagicFaceTest_RandomVAE"))
    other = client.pictures(client.succeed(graph), shown)
    assert own.shape == other.shape == (1, 512, 512, 3)
    assert not np.array_equal(own, other)


def test_a_checkpoint_without_a_vae_asks_for_one(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, checkpoint="without-vae", AU12=3.0)
    error = client.fail(graph)
    assert "CheckpointError" in error
    assert "VAE" in error
    graph.set(edit.model, vae=graph.add("MagicFaceTest_RandomVAE"))
    client.succeed(graph)


def test_a_vae_that_does_not_fit_is_refused(client: Client, graph: Graph) -> None:
    """mini's latents have other channels than Stable Diffusion's."""
    edit = portrait_edit(graph, checkpoint="mini", AU12=3.0)
    graph.set(edit.model, vae=graph.add("MagicFaceTest_RandomVAE"))
    error = client.fail(graph)
    assert "CheckpointError" in error
    assert "channels" in error


def test_a_missing_checkpoint_names_file_link_and_folder(
    client: Client, graph: Graph, base: Path
) -> None:
    portrait_edit(graph, checkpoint="magicface", AU12=3.0)
    with pytest.raises(RefusedError) as refused:
        client.run(graph)
    text = str(refused.value)
    assert refused.value.status == 400
    assert "diffusion_pytorch_model.safetensors" in text
    assert LINK in text
    assert any(str(root) in text for root in (base / "models" / "magicface", base / "second_root"))


@pytest.mark.parametrize(
    "name", ["../second_root/other", "../../secret", "/etc", "tiny/../tiny", "tiny/denoising_unet"]
)
def test_checkpoints_outside_the_list_cannot_be_named(
    client: Client, graph: Graph, name: str
) -> None:
    portrait_edit(graph, checkpoint=name)
    with pytest.raises(RefusedError, match="There is no checkpoint"):
        client.run(graph)


def test_a_broken_checkpoint_is_refused_by_name(client: Client, graph: Graph, base: Path) -> None:
    broken = base / "models" / "magicface" / "broken"
    shutil.copytree(base / "models" / "magicface" / "tiny", broken)
    weights = next((broken / "denoising_unet").glob("*.safetensors"))
    weights.write_bytes(weights.read_bytes()[:1000])
    try:
        client.get_json("/object_info/MagicFace_LoadModel")
        portrait_edit(graph, checkpoint="broken")
        error = client.fail(graph)
    finally:
        shutil.rmtree(broken)
    assert "CheckpointError" in error
    assert "broken" in error


def test_a_replaced_checkpoint_is_loaded_again(client: Client, graph: Graph, base: Path) -> None:
    root = base / "models" / "magicface"
    shutil.copytree(root / "tiny", root / "changing")
    edit = portrait_edit(graph, checkpoint="changing", AU12=3.0)
    shown = graph.show(edit.sampler)
    before = client.pictures(client.succeed(graph), shown)
    shutil.rmtree(root / "changing")
    shutil.copytree(base / "second_root" / "other", root / "changing")
    run = client.succeed(graph)
    shutil.rmtree(root / "changing")
    assert run.executed(edit.model) == [True]
    assert not np.array_equal(before, client.pictures(run, shown))
