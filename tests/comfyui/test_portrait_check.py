"""Portrait Check on the real server: it reports, shows, decides, and never stops a graph."""

from __future__ import annotations

import pytest
from comfyui_client import Client
from comfyui_graphs import Graph, Node


def check(graph: Graph, picture: str, **inputs: object) -> Node:
    image = graph.add("LoadImage", image=f"{picture}.png")
    return graph.add("MagicFace_PortraitCheck", image=image, **inputs)


def test_it_runs_without_anything_after_it_and_shows_picture_and_text(
    client: Client, graph: Graph
) -> None:
    node = check(graph, "portrait")
    shown = client.succeed(graph).outputs[node.id]
    assert len(shown["images"]) == 1
    assert "nothing to complain about" in shown["text"][0]


@pytest.mark.parametrize("picture", ["faceless", "black", "pixel"])
def test_a_picture_nobody_can_edit_is_reported(client: Client, graph: Graph, picture: str) -> None:
    node = check(graph, picture)
    text, good = graph.show_text(node[1]), graph.show_text(node[2])
    run = client.succeed(graph)
    assert "No face was found" in run.text(text)
    assert run.text(good) == "False"


def test_warnings_do_not_count(client: Client, graph: Graph) -> None:
    node = check(graph, "astronaut")  # a face 91 pixels wide
    text, good = graph.show_text(node[1]), graph.show_text(node[2])
    run = client.succeed(graph)
    assert "warning face width: 91 pixels" in run.text(text)
    assert run.text(good) == "True"


def test_several_faces_by_number_and_order(client: Client, graph: Graph) -> None:
    texts = {
        number: graph.show_text(check(graph, "two", face=number, order="left to right")[1])
        for number in (0, 1, 2)
    }
    run = client.succeed(graph)
    assert "face 0 of 2: nothing to complain about" in run.text(texts[0])  # four times as large
    assert "face 1 of 2" in run.text(texts[1])
    assert "several faces: 2 faces" in run.text(texts[1])
    assert "problem face: 2 faces (allowed: at least 3)" in run.text(texts[2])


def test_a_batch_is_checked_frame_by_frame(client: Client, graph: Graph) -> None:
    portrait = graph.add("LoadImage", image="portrait.png")
    black = graph.add("EmptyImage", width=512, height=512, batch_size=1, color=0)
    frames = graph.add("ImageBatch", image1=portrait, image2=black)
    node = graph.add("MagicFace_PortraitCheck", image=frames)
    picture, text = graph.show(node), graph.show_text(node[1])
    good = graph.show_text(node[2])
    run = client.succeed(graph)
    assert "frame 0: 512 x 512 pixels, face 0 of 1: nothing" in run.text(text)
    assert "frame 1: 512 x 512 pixels: 1 problem" in run.text(text)
    assert run.text(good) == "False"
    assert len(client.pictures(run, picture)) == 2


def test_the_crop_says_which_face_and_which_framing(client: Client, graph: Graph) -> None:
    image = graph.add("LoadImage", image="two.png")
    model = graph.add("MagicFace_LoadModel", checkpoint="mini")
    crop = graph.add("MagicFace_FaceCrop", model=model, image=image, face=0, order="right to left")
    node = graph.add("MagicFace_PortraitCheck", image=image, crop=crop[1])
    text = graph.show_text(node[1])
    assert "face 1 of 2" in client.succeed(graph).text(text)
    graph.set(node, image=crop)
    error = client.fail(graph)
    assert "ImageError" in error
    assert "connect the picture that Face Crop got" in error


def test_ok_decides_what_is_passed_on(client: Client, graph: Graph) -> None:
    """Core's switch sends a bad photograph another way."""
    image = graph.add("LoadImage", image="faceless.png")
    node = graph.add("MagicFace_PortraitCheck", image=image)
    spare = graph.add("EmptyImage", width=64, height=64, batch_size=1, color=0)
    chosen = graph.add("ComfySwitchNode", switch=node[2], on_true=image, on_false=spare)
    shown = graph.show(chosen)
    run = client.succeed(graph)
    assert client.pictures(run, shown).shape[1:3] == (64, 64)
