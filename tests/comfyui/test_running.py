"""A good citizen while it runs: the cache, progress, previews, interrupt, memory."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from comfyui_client import Client, Message
from comfyui_graphs import Graph, PortraitEdit, portrait_edit
from comfyui_server import Server
from PIL import Image

STEPS = 5


@pytest.fixture
def edit(graph: Graph) -> PortraitEdit:
    return portrait_edit(graph, AU12=2.0)


def test_moving_a_slider_runs_only_the_sampler_again(client: Client, edit: PortraitEdit) -> None:
    client.succeed(edit.graph)
    before = (*edit.nodes_before_the_delta, edit.image)
    after = (edit.delta, edit.sampler, edit.pasted, edit.saved)
    for value in (3.1, 4.2):
        edit.graph.set(edit.delta, AU12=value)
        run = client.succeed(edit.graph)
        assert run.cached(*before) == [True] * len(before)
        assert run.executed(*before) == [False] * len(before)
        assert run.executed(*after) == [True] * len(after)


def test_nothing_changed_nothing_runs(client: Client, edit: PortraitEdit) -> None:
    edit.graph.set(edit.delta, AU12=2.3)
    client.succeed(edit.graph)
    run = client.succeed(edit.graph)
    assert (
        run.executed(edit.model, edit.crop, edit.identity, edit.sampler, edit.saved) == [False] * 5
    )


def test_progress_events_count_the_steps(client: Client, edit: PortraitEdit) -> None:
    edit.graph.set(edit.sampler, steps=STEPS, seed=11)
    run = client.succeed(edit.graph)
    assert run.progress(edit.sampler) == [(step, STEPS) for step in range(STEPS + 1)]


def test_detail_that_is_carried_needs_no_unedited_rendering(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, checkpoint="mini", AU12=2.5)
    graph.set(edit.sampler, steps=STEPS)
    progress = client.succeed(graph).progress(edit.sampler)
    assert progress[-1] == (STEPS, STEPS)
    values = [value for value, _ in progress]
    assert values == sorted(values)


@pytest.mark.parametrize("checkpoint", ["mini", "tiny"])
def test_preview_frames_arrive_while_sampling(
    client: Client, graph: Graph, checkpoint: str
) -> None:
    edit = portrait_edit(graph, checkpoint=checkpoint, AU12=2.7)
    graph.set(edit.sampler, steps=STEPS)
    run = client.succeed(graph)
    assert STEPS <= len(run.previews) <= 2 * STEPS
    for frame in run.previews:
        picture = Image.open(io.BytesIO(frame))
        assert picture.format in ("JPEG", "PNG")
        assert min(picture.size) >= 8


def test_previews_of_a_connected_vae_are_made_from_its_latents(
    client: Client, graph: Graph
) -> None:
    edit = portrait_edit(graph, checkpoint="without-vae", AU12=2.7)
    graph.set(edit.model, vae=graph.add("MagicFaceTest_RandomVAE"))
    graph.set(edit.sampler, steps=STEPS)
    assert len(client.succeed(graph).previews) == STEPS


def test_interrupt_stops_within_one_step_and_the_server_goes_on(
    client: Client, graph: Graph
) -> None:
    """Many frames make steps slow enough to see that none follows the interrupt."""
    steps = 200
    sweep = graph.add("MagicFace_AUSweep", start=1.0, steps=8)
    edit = portrait_edit(graph, checkpoint="mini", delta=sweep)
    graph.set(edit.sampler, steps=steps, batch_size=8)
    stopped_at: list[int] = []

    def stop(message: Message) -> None:
        kind, data = message
        if kind == "progress" and data["node"] == edit.sampler.id and data["value"] >= 3:
            if not stopped_at:
                client.interrupt(data["prompt_id"])
            stopped_at.append(data["value"])

    run = client.run(graph, stop)
    assert run.ending[0] == "execution_interrupted"
    assert stopped_at[-1] - stopped_at[0] <= 1
    assert edit.saved.id not in run.outputs
    graph.set(edit.sampler, steps=1)
    assert client.succeed(graph).outputs[edit.saved.id]["images"]


def test_out_of_memory_reaches_comfyui_and_the_next_run_works(
    client: Client, server: Server, graph: Graph
) -> None:
    edit = portrait_edit(graph, AU12=2.9)
    graph.set(edit.sampler, model=graph.add("MagicFaceTest_OutOfMemoryOnce", model=edit.model))
    assert "OutOfMemoryError" in client.fail(graph)
    assert "Got an OOM, unloading all loaded models." in server.log()
    graph.set(edit.sampler, model=edit.model)
    client.succeed(graph)


def test_two_checkpoints_take_turns(client: Client, graph: Graph) -> None:
    """ComfyUI's manager holds both, and gives the same pictures after it let go of them."""
    edits = [portrait_edit(graph, checkpoint=name, AU12=3.3) for name in ("tiny", "other")]
    shown = [graph.show(edit.sampler) for edit in edits]
    memory = graph.show_text(graph.add("MagicFaceTest_Memory", after=edits[1].sampler))
    first = client.succeed(graph)
    held = json.loads(first.text(memory))["models"]
    assert len(held) >= 2, "the checkpoints are not under ComfyUI's memory manager"
    pictures = [client.pictures(first, node) for node in shown]
    assert not np.array_equal(*pictures)
    client.post("/free", {"free_memory": True, "unload_models": True})
    second = client.succeed(graph)
    assert all(second.executed(*(edit.sampler for edit in edits)))
    for before, node in zip(pictures, shown, strict=True):
        assert np.array_equal(before, client.pictures(second, node))


def test_unloaded_models_come_back_without_running_the_loader(
    client: Client, edit: PortraitEdit
) -> None:
    edit.graph.set(edit.delta, AU12=1.2)
    client.succeed(edit.graph)
    client.post("/free", {"unload_models": True})
    edit.graph.set(edit.delta, AU12=1.3)
    run = client.succeed(edit.graph)
    assert run.executed(edit.model, edit.identity, edit.sampler) == [False, False, True]
