"""Pictures nobody can edit: a message that says what to do, and never half a result."""

from __future__ import annotations

import time

import numpy as np
import pytest
from comfyui_client import Client, RefusedError
from comfyui_graphs import Graph, Link, Node, portrait_edit

FAST = 120  # seconds in which even the largest picture is answered


def refuse(client: Client, graph: Graph, image: Node | Link | str) -> str:
    """The error of editing a picture; nothing may be saved."""
    edit = portrait_edit(graph, image, AU12=3.0)
    run = client.run(graph)
    assert run.ending[0] == "execution_error"
    assert edit.saved.id not in run.outputs
    return run.error


@pytest.mark.parametrize("picture", ["faceless", "black", "pixel"])
def test_a_picture_without_a_face(client: Client, graph: Graph, picture: str) -> None:
    error = refuse(client, graph, f"{picture}.png")
    assert "NoFaceError" in error
    assert "No face found" in error


def test_an_estimate_without_a_face(client: Client, graph: Graph) -> None:
    image = graph.add("LoadImage", image="faceless.png")
    node = graph.add("MagicFace_AUEstimate", image=image)
    shown = graph.show_text(node[2])
    assert "NoFaceError" in client.fail(graph)
    graph.set(node, on_no_face="pass through")
    assert client.succeed(graph).text(shown)


def test_a_face_number_too_high_says_how_many_there_are(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, "two.png", AU12=3.0)
    graph.set(edit.crop, face=2)
    error = client.fail(graph)
    assert "NoFaceError" in error
    assert "2 found, numbered 0 to 1" in error


def test_several_faces_are_chosen_by_number_and_order(client: Client, graph: Graph) -> None:
    image = graph.add("LoadImage", image="two.png")
    model = graph.add("MagicFace_LoadModel", checkpoint="tiny")
    crops = {
        (order, number): graph.add(
            "MagicFace_FaceCrop", model=model, image=image, face=number, order=order
        )
        for order, number in (
            ("largest first", 0),
            ("left to right", 1),
            ("right to left", 0),
            ("right to left", 1),
        )
    }
    shown = {key: graph.show(node) for key, node in crops.items()}
    run = client.succeed(graph)
    faces = {key: client.pictures(run, node).tobytes() for key, node in shown.items()}
    assert len(set(faces.values())) == 2
    assert faces["largest first", 0] == faces["right to left", 1]
    assert faces["left to right", 1] == faces["right to left", 0]


def test_a_face_of_a_few_pixels(client: Client, graph: Graph) -> None:
    small = graph.add(
        "ImageScale",
        image=graph.add("LoadImage", image="astronaut.png"),
        upscale_method="area",
        width=128,
        height=128,
        crop="disabled",
    )
    error = refuse(client, graph, small)
    assert "FaceTooSmallError" in error or "NoFaceError" in error


def test_pixels_that_are_not_numbers(client: Client, graph: Graph) -> None:
    image = graph.add("LoadImage", image="portrait.png")
    error = refuse(client, graph, graph.add("MagicFaceTest_NotANumber", image=image))
    assert "ImageError" in error
    assert "NaN" in error


def test_the_largest_pictures_without_a_face(client: Client, graph: Graph) -> None:
    started = time.monotonic()
    error = refuse(client, graph, graph.add("EmptyImage", width=8192, height=8192, color=0x806040))
    assert "NoFaceError" in error
    assert time.monotonic() - started < FAST


def test_the_largest_pictures_with_a_face(client: Client, graph: Graph) -> None:
    """The photo somewhere in 8192 x 8192 pixels is found and cut out."""
    photo = graph.add("LoadImage", image="astronaut.png")
    large = graph.add(
        "ImageCompositeMasked",
        destination=graph.add("EmptyImage", width=8192, height=8192, color=0x806040),
        source=graph.add(
            "ImageScale",
            image=photo,
            upscale_method="bilinear",
            width=2048,
            height=2048,
            crop="disabled",
        ),
        x=5000,
        y=3000,
        resize_source=False,
    )
    model = graph.add("MagicFace_LoadModel", checkpoint="tiny")
    shown = [
        graph.show(graph.add("MagicFace_FaceCrop", model=model, image=image))
        for image in (photo, large)
    ]
    started = time.monotonic()
    run = client.succeed(graph)
    small, found = (client.pictures(run, node).astype(int) for node in shown)
    assert np.abs(found - small).mean() < 8
    assert time.monotonic() - started < FAST


def test_a_background_that_is_not_square(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, AU12=3.0)
    wide = graph.add(
        "ImageScale",
        image=edit.crop,
        upscale_method="bilinear",
        width=512,
        height=300,
        crop="disabled",
    )
    for node, name in ((edit.identity, "face_image"), (edit.background, "face_image")):
        graph.set(node, **{name: wide})
        error = client.fail(graph)
        assert "ImageError" in error
        assert "512 x 300" in error
        assert "take the square that the face was cut out in" in error
        graph.set(node, **{name: edit.crop})
    graph.set(edit.pasted, edited=wide)
    assert "not square" in client.fail(graph)


def test_another_picture_than_the_one_that_was_cropped(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, AU12=3.0)
    graph.set(edit.pasted, image=graph.add("LoadImage", image="two.png"))
    error = client.fail(graph)
    assert "ImageError" in error
    assert "Face Crop" in error


def test_an_empty_mask(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, AU12=3.0)
    graph.set(edit.background, mask=graph.add("SolidMask", value=0.0, width=64, height=64))
    error = client.fail(graph)
    assert "ImageError" in error
    assert "mask" in error


@pytest.mark.parametrize("node", ["background", "pasted"])
@pytest.mark.parametrize(
    ("width", "height", "count", "message"),
    [(100, 50, 1, "must be square"), (64, 64, 3, "3 masks for 1")],
)
def test_masks_that_do_not_fit(
    client: Client, graph: Graph, node: str, width: int, height: int, count: int, message: str
) -> None:
    edit = portrait_edit(graph, AU12=3.0)
    image = graph.add("EmptyImage", width=width, height=height, batch_size=count, color=0xFFFFFF)
    mask = graph.add("ImageToMask", image=image, channel="red")
    graph.set(getattr(edit, node), mask=mask)
    error = client.fail(graph)
    assert "ImageError" in error
    assert message in error


def test_an_identity_of_another_checkpoint(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, checkpoint="mini", AU12=3.0)
    other = graph.add("MagicFace_LoadModel", checkpoint="tiny")
    graph.set(edit.identity, model=other)
    error = client.fail(graph)
    assert "another checkpoint" in error
    assert "encode it with the same model" in error


@pytest.mark.parametrize(
    ("node", "name"),
    [("delta", "AU12"), ("sampler", "guidance"), ("pasted", "feather"), ("pasted", "colour_match")],
)
def test_numbers_that_are_none(client: Client, graph: Graph, node: str, name: str) -> None:
    """JSON's NaN passes ComfyUI's own check of the range."""
    edit = portrait_edit(graph, AU12=3.0)
    graph.set(getattr(edit, node), **{name: float("nan")})
    error = client.fail(graph)
    assert "magicface_core.errors" in error
    assert "nan" in error


@pytest.mark.parametrize(
    ("node", "inputs"),
    [
        ("MagicFace_Sampler", {"steps": -1}),
        ("MagicFace_Sampler", {"guidance": 99.0}),
        ("MagicFace_Sampler", {"batch_size": 0}),
        ("MagicFace_Sampler", {"scheduler": "magic"}),
        ("MagicFace_PasteBack", {"feather": 0.9}),
        ("MagicFace_FaceCrop", {"face": -1}),
        ("MagicFace_FaceCrop", {"order": "prettiest first"}),
        ("MagicFace_LoadModel", {"dtype": "float8"}),
    ],
)
def test_widgets_out_of_range_are_refused_at_once(
    client: Client, graph: Graph, node: str, inputs: dict[str, object]
) -> None:
    portrait_edit(graph, AU12=3.0)
    identifier = next(key for key, entry in graph.prompt.items() if entry["class_type"] == node)
    graph.set(Node(identifier), **inputs)
    with pytest.raises(RefusedError, match=next(iter(inputs))) as refused:
        client.run(graph)
    assert refused.value.status == 400
