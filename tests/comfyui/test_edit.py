"""The whole edit of a portrait, from Load Image to Save Image."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from comfyui_client import Client
from comfyui_graphs import Graph, portrait_edit
from PIL import Image

Pictures = dict[str, np.ndarray]


def test_a_smile_changes_the_face_and_nothing_else(
    client: Client, graph: Graph, source_pictures: Pictures
) -> None:
    edit = portrait_edit(graph, checkpoint="mini", AU12=4.0, AU6=2.0)
    mask = graph.show_mask(edit.pasted[1])
    run = client.succeed(graph)
    edited = client.pictures(run, edit.saved)[0]
    inside = client.pictures(run, mask)[0, ..., 0] > 0
    original = source_pictures["portrait"]
    assert edited.shape == original.shape
    assert np.array_equal(edited[~inside], original[~inside])
    assert 0.02 < inside.mean() < 0.6
    change = np.abs(edited.astype(int) - original)[inside]
    assert change.mean() > 1
    assert change.max() > 30


def test_an_open_mouth_is_measured_as_one(client: Client, graph: Graph) -> None:
    """Expression Report's JSON: the jaw dropped, and it is still the same person."""
    edit = portrait_edit(graph, checkpoint="mini", AU26=4.0)
    report = graph.add(
        "MagicFace_ExpressionReport",
        original=edit.image,
        edited=edit.pasted,
        delta=edit.delta,
        mask=edit.pasted[1],
    )
    text = graph.show_text(report[1])
    chart = graph.show(report)
    run = client.succeed(graph)
    (frame,) = json.loads(run.text(text))["frames"]
    jaw = next(entry for entry in frame["aus"] if entry["au"] == "AU26")
    assert jaw["requested"] == 4.0
    assert jaw["achieved"] > 1
    assert frame["same_person"]
    assert frame["background_rmse"] == 0
    assert client.pictures(run, chart).std() > 5


@pytest.mark.parametrize("picture", ["portrait", "odd", "two"])
@pytest.mark.parametrize("checkpoint", ["mini", "tiny"])
def test_no_change_asked_returns_the_picture_bit_for_bit(
    client: Client, graph: Graph, source_pictures: Pictures, picture: str, checkpoint: str
) -> None:
    edit = portrait_edit(graph, f"{picture}.png", checkpoint=checkpoint)
    run = client.succeed(graph)
    assert np.array_equal(client.pictures(run, edit.saved)[0], source_pictures[picture])
    assert run.progress(edit.sampler) == []


def test_render_zero_draws_the_face_anew(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph)
    graph.set(edit.sampler, render_zero=True)
    face, drawn = graph.show(edit.crop), graph.show(edit.sampler)
    run = client.succeed(graph)
    assert run.progress(edit.sampler)
    assert not np.array_equal(client.pictures(run, face), client.pictures(run, drawn))


def test_same_seed_same_picture_other_seed_another(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, AU12=3.0)
    shown = graph.show(edit.sampler)
    pictures = []
    for seed in (1, 2, 1):
        graph.set(edit.sampler, seed=seed)
        client.post("/free", {"free_memory": True, "unload_models": True})
        pictures.append(client.pictures(client.succeed(graph), shown))
    assert np.array_equal(pictures[0], pictures[2])
    assert not np.array_equal(pictures[0], pictures[1])


def test_saved_picture_opens_again_as_a_workflow(client: Client, graph: Graph) -> None:
    """SaveImage writes the graph into the file: ours must survive that."""
    edit = portrait_edit(graph, AU12=1.5)
    run = client.succeed(graph)
    picture = Image.open(io.BytesIO(client.view(run.outputs[edit.saved.id]["images"][0])))
    assert '"AU12": 1.5' in picture.info["prompt"]


def test_face_crop_previews_numbered_faces(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, "two.png", AU12=2.0)
    run = client.succeed(graph)
    overview = client.pictures(run, edit.crop)[0]
    assert max(overview.shape[:2]) <= 768
    assert overview.shape[1] / overview.shape[0] == pytest.approx(1100 / 640, rel=0.02)
