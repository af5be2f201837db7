"""The native MODEL with ComfyUI's own nodes, on the real server."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from comfyui_client import Client
from comfyui_graphs import Graph, NativeEdit, Node, native_edit, portrait_edit
from numpy.typing import NDArray

Pictures = NDArray[np.int64]


def edited(client: Client, edit: NativeEdit) -> Pictures:
    """What an edit shows, in grey levels [B,H,W,3]."""
    return client.pictures(client.succeed(edit.graph), edit.shown)[..., :3].astype(int)


def patched(graph: Graph, kind: str, checkpoint: str = "tiny", **inputs: Any) -> NativeEdit:
    """An edit whose MODEL goes through another node."""
    model = graph.add("MagicFace_LoadNative", checkpoint=checkpoint)
    return native_edit(graph, checkpoint=checkpoint, model=graph.add(kind, model=model, **inputs))


def plain(client: Client, checkpoint: str = "tiny", **settings: Any) -> Pictures:
    return edited(client, native_edit(client.graph(), checkpoint=checkpoint, **settings))


# --- samplers and schedulers --------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["normal", "karras"])
@pytest.mark.parametrize("sampler", ["euler", "dpmpp_2m", "uni_pc"])
@pytest.mark.parametrize(("checkpoint", "side"), [("tiny", 64), ("mini", 128)])
def test_ksampler(
    client: Client, graph: Graph, checkpoint: str, side: int, sampler: str, scheduler: str
) -> None:
    settings = {"sampler_name": sampler, "scheduler": scheduler, "steps": 4}
    edit = native_edit(graph, checkpoint=checkpoint, **settings)
    run = client.succeed(graph)
    pictures = client.pictures(run, edit.shown)
    assert pictures.shape[:3] == (1, side, side)
    assert pictures.std() > 5
    assert run.progress(edit.sampler)[-1] == (4, 4)


def test_the_same_steps_give_the_edit_of_magicface_sampler(client: Client, graph: Graph) -> None:
    """mini's own solver is DDIM, which ComfyUI calls euler."""
    edit = native_edit(graph, checkpoint="mini")
    own = portrait_edit(graph, edit.image, edit.delta, checkpoint="mini")
    graph.set(own.sampler, seed=7, guidance=1.5)
    shown = [
        graph.show(graph.add("VAEDecode", samples=latent, vae=edit.model[2]))
        for latent in (custom_sampler(edit, seed=7), own.sampler[1])
    ]
    run = client.succeed(graph)
    native, expected = (client.pictures(run, node).astype(int) for node in shown)
    assert np.abs(native - expected).max() <= 1


def custom_sampler(edit: NativeEdit, seed: int) -> Node:
    """The edit's latents by SamplerCustomAdvanced with MagicFace's steps."""
    graph = edit.graph
    guider = graph.add(
        "CFGGuider",
        model=edit.model,
        positive=edit.conditioning,
        negative=edit.conditioning[1],
        cfg=1.5,
    )
    return graph.add(
        "SamplerCustomAdvanced",
        noise=graph.add("RandomNoise", noise_seed=seed),
        guider=guider,
        sampler=graph.add("KSamplerSelect", sampler_name="euler"),
        sigmas=graph.add("MagicFace_Sigmas", model=edit.model),
        latent_image=edit.conditioning[2],
    )


def test_four_deltas_are_four_single_edits(client: Client, graph: Graph) -> None:
    strong = graph.add("MagicFace_AUDeltaBuilder", AU12=8.0)
    played = graph.add("MagicFace_AUKeyframes", target=strong, frames=4, hold=0, and_back=False)
    together = edited(client, native_edit(graph, played, "mini", cfg=1.5))
    assert len(together) == 4
    single = client.graph()
    strong = single.add("MagicFace_AUDeltaBuilder", AU12=8.0)
    alone = edited(client, native_edit(single, strong, "mini", cfg=1.5))
    assert np.abs(together[-1] - alone[0]).max() <= 1
    assert np.abs(together[-1] - together[0]).max() > 10


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float8_e4m3fn"])
def test_every_precision_is_near_the_exact_one(client: Client, dtype: str) -> None:
    exact = plain(client, "mini", dtype="float32")
    assert np.abs(plain(client, "mini", dtype=dtype) - exact).mean() < 4


# --- LoRAs, ControlNets, masks ------------------------------------------------------------------


@pytest.fixture(scope="module")
def lora(client: Client) -> str:
    """The name of a LoRA that fits tiny."""
    graph = client.graph()
    model = graph.add("MagicFace_LoadNative", checkpoint="tiny")
    made = graph.add("MagicFaceTest_RandomLoRA", model=model, name="test.safetensors")
    assert int(client.succeed(graph).text(made)) >= 9
    return "test.safetensors"


@pytest.mark.parametrize("strength", [0.0, 1.0])
def test_lora(client: Client, graph: Graph, lora: str, strength: float) -> None:
    edit = patched(graph, "LoraLoaderModelOnly", lora_name=lora, strength_model=strength)
    changed = np.abs(edited(client, edit) - plain(client)).max()
    assert (changed > 5) == (strength > 0), changed


@pytest.mark.parametrize("strength", [0.0, 1.0])
@pytest.mark.parametrize("kind", ["ControlNetApply", "ControlNetApplyAdvanced"])
def test_control_net(client: Client, graph: Graph, kind: str, strength: float) -> None:
    edit = native_edit(graph)
    network = graph.add("MagicFaceTest_RandomControlNet", model=edit.model)
    inputs = {"control_net": network, "image": edit.crop, "strength": strength}
    if kind == "ControlNetApply":
        controlled = graph.add(kind, conditioning=edit.conditioning, **inputs)
        graph.set(edit.sampler, positive=controlled)
    else:
        both = {"positive": edit.conditioning, "negative": edit.conditioning[1]}
        controlled = graph.add(kind, **both, **inputs)
        graph.set(edit.sampler, positive=controlled, negative=controlled[1])
    changed = np.abs(edited(client, edit) - plain(client)).max()
    assert (changed > 5) == (strength > 0), changed


@pytest.mark.parametrize("differential", [False, True])
def test_only_the_masked_part_changes(client: Client, graph: Graph, differential: bool) -> None:
    edit = native_edit(graph, checkpoint="mini", masked=True)
    if differential:
        graph.set(edit.sampler, model=graph.add("DifferentialDiffusion", model=edit.model))
    small = graph.add(
        "ImageScale", image=edit.crop, upscale_method="area", width=128, height=128, crop="disabled"
    )
    encoded = graph.add("VAEEncode", pixels=small, vae=edit.model[2])
    face = graph.show(graph.add("VAEDecode", samples=encoded, vae=edit.model[2]))
    mask = graph.show_mask(edit.background[1])
    run = client.succeed(graph)
    after, before = (client.pictures(run, node).astype(int) for node in (edit.shown, face))
    inside = client.pictures(run, mask)[0, ::4, ::4, 0] > 0
    change = np.abs(after - before).mean(axis=(0, 3))
    # The decoder looks beyond the mask; that latents are equal there is checked elsewhere.
    assert change[inside].mean() > 3 * change[~inside].mean()


# --- other nodes that patch the self-attention ----------------------------------------------------


def test_perturbed_attention_guidance_works(client: Client) -> None:
    for checkpoint in ("tiny", "mini"):
        kind = "PerturbedAttentionGuidance"
        none = edited(client, patched(client.graph(), kind, checkpoint, scale=0.0))
        some = edited(client, patched(client.graph(), kind, checkpoint, scale=3.0))
        assert np.abs(none - plain(client, checkpoint)).max() == 0
        assert np.abs(some - none).max() > 2


def test_token_merging_works_unless_attention_goes_by_places(client: Client, graph: Graph) -> None:
    for ratio, changes in ((0.0, False), (0.5, True)):
        merged = edited(client, patched(client.graph(), "TomePatchModel", ratio=ratio))
        assert (np.abs(merged - plain(client)).max() > 0) == changes
    error = client.fail(patched(graph, "TomePatchModel", "mini", ratio=0.5).graph)
    assert "MagicFaceError" in error
    assert "Token Merging" in error


@pytest.mark.parametrize("checkpoint", ["tiny", "mini"])
@pytest.mark.parametrize(
    ("kind", "inputs", "said"),
    [
        ("SelfAttentionGuidance", {}, "Self-Attention Guidance reads"),
        ("HyperTile", {"tile_size": 32}, "HyperTile"),
    ],
)
def test_what_cannot_work_says_so(
    client: Client, graph: Graph, checkpoint: str, kind: str, inputs: dict[str, Any], said: str
) -> None:
    error = client.fail(patched(graph, kind, checkpoint, **inputs).graph)
    assert said in error
    assert "Remove that node" in error


# --- saving and merging -------------------------------------------------------------------------


def test_a_saved_model_is_a_checkpoint_with_its_lora(
    client: Client, graph: Graph, base: Path, lora: str
) -> None:
    with_lora = patched(graph, "LoraLoaderModelOnly", lora_name=lora, strength_model=1.0)
    model = Node(graph.prompt[with_lora.sampler.id]["inputs"]["model"][0])
    graph.add("ModelSave", model=model, filename_prefix="diffusion_models/baked")
    expected = edited(client, with_lora)
    (saved,) = (base / "output" / "diffusion_models").glob("baked*.safetensors")
    shutil.move(saved, base / "models" / "magicface" / "baked.safetensors")
    again = plain(client, "baked.safetensors")
    assert np.abs(again - expected).max() <= 1
    other = portrait_edit(client.graph(), checkpoint="baked.safetensors", AU12=3.0)
    client.succeed(other.graph)  # it is no worse for MagicFace Sampler


def test_a_merge_of_two_checkpoints_lies_between(client: Client) -> None:
    def merged(ratio: float) -> Pictures:
        graph = client.graph()
        models = {
            f"model{place}": graph.add("MagicFace_LoadNative", checkpoint=name)
            for place, name in ((1, "tiny"), (2, "other"))
        }
        mix = graph.add("ModelMergeSimple", ratio=ratio, **models)
        return edited(client, native_edit(graph, model=mix))

    first, middle, second = (merged(ratio) for ratio in (1.0, 0.5, 0.0))
    assert np.abs(first - plain(client)).max() == 0
    assert np.abs(middle - first).max() > 2
    assert np.abs(middle - second).max() > 2


def test_a_merge_with_another_size_is_refused(client: Client, graph: Graph) -> None:
    models = [graph.add("MagicFace_LoadNative", checkpoint=name) for name in ("tiny", "mini")]
    mix = graph.add("ModelMergeSimple", model1=models[0], model2=models[1], ratio=0.5)
    native_edit(graph, model=mix)
    assert "Merge MagicFace models only" in client.fail(graph)


# --- mistakes -----------------------------------------------------------------------------------


def test_a_prompt_alone_is_not_enough(client: Client, graph: Graph) -> None:
    edit = native_edit(graph)
    graph.set(edit.sampler, positive=edit.model[3])
    assert "connect its positive and negative outputs" in client.fail(graph)


def test_an_identity_of_another_checkpoint_is_refused(client: Client, graph: Graph) -> None:
    edit = native_edit(graph)
    graph.set(edit.sampler, model=graph.add("MagicFace_LoadNative", checkpoint="other"))
    assert "encoded by another checkpoint" in client.fail(graph)


def test_another_number_of_latents_is_refused(client: Client, graph: Graph) -> None:
    swept = graph.add("MagicFace_AUSweep", steps=3)
    edit = native_edit(graph, swept)
    latent = graph.add("LatentFromBatch", samples=edit.conditioning[2], batch_index=0, length=2)
    graph.set(edit.sampler, latent_image=latent)
    assert "but the batch has 2 latents" in client.fail(graph)


def test_the_id_encoder_has_no_denoiser_for_magicface_sampler(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph)
    model = graph.add("MagicFace_LoadNative", checkpoint="tiny")
    graph.set(edit.sampler, model=model[1])
    assert "Load MagicFace Model for MagicFace Sampler" in client.fail(graph)
