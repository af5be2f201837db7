"""Frames and deltas in every number that goes together, and what is said of those that do not."""

from __future__ import annotations

import numpy as np
import pytest
from comfyui_client import Client
from comfyui_graphs import Graph, Node, portrait_edit

Pictures = dict[str, np.ndarray]


def two_portraits(graph: Graph) -> Node:
    first = graph.add("LoadImage", image="portrait.png")
    second = graph.add("LoadImage", image="astronaut.png")
    return graph.add("ImageBatch", image1=first, image2=second)


def sweep(graph: Graph, steps: int) -> Node:
    return graph.add("MagicFace_AUSweep", unit="AU12 Lip Corner Puller", start=1.0, steps=steps)


def test_two_portraits_one_delta(client: Client, graph: Graph, source_pictures: Pictures) -> None:
    edit = portrait_edit(graph, two_portraits(graph), AU12=3.0)
    mask = graph.show_mask(edit.pasted[1])
    run = client.succeed(graph)
    pictures, masks = client.pictures(run, edit.saved), client.pictures(run, mask)[..., 0]
    assert len(pictures) == len(masks) == 2
    for picture, inside, name in zip(pictures, masks > 0, ("portrait", "astronaut"), strict=True):
        assert np.array_equal(picture[~inside], source_pictures[name][~inside])
        assert not np.array_equal(picture[inside], source_pictures[name][inside])


def test_two_portraits_two_deltas(client: Client, graph: Graph) -> None:
    """The first delta is zero: only the second portrait changes."""
    deltas = graph.add("MagicFace_AUSweep", start=0.0, end=4.0, steps=2)
    edit = portrait_edit(graph, two_portraits(graph), deltas)
    faces, drawn = graph.show(edit.crop), graph.show(edit.sampler)
    run = client.succeed(graph)
    same = [
        np.array_equal(face, picture)
        for face, picture in zip(
            client.pictures(run, faces), client.pictures(run, drawn), strict=True
        )
    ]
    assert same == [True, False]


def test_one_portrait_three_deltas_cost_one_identity(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, delta=sweep(graph, 3))
    run = client.succeed(graph)
    pictures = client.pictures(run, edit.saved)
    assert len(pictures) == 3
    assert len({picture.tobytes() for picture in pictures}) == 3


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_batch_size_changes_nothing_but_memory(
    client: Client, graph: Graph, batch_size: int
) -> None:
    edit = portrait_edit(graph, delta=sweep(graph, 3))
    shown = graph.show(edit.sampler)
    expected = client.pictures(client.succeed(graph), shown).astype(int)
    graph.set(edit.sampler, batch_size=batch_size)
    pictures = client.pictures(client.succeed(graph), shown)
    assert np.abs(pictures - expected).max() <= 1  # sums in another order


def test_a_grid_of_two_units_on_a_sheet(client: Client, graph: Graph) -> None:
    grid = graph.add(
        "MagicFace_AUSweep",
        start=-1.0,
        end=3.0,
        steps=3,
        second_unit="AU1 Inner Brow Raiser",
        second_steps=2,
    )
    edit = portrait_edit(graph, delta=grid)
    sheet = graph.add(
        "MagicFace_ExpressionSheet",
        image=edit.sampler,
        delta=grid,
        columns=grid[1],
        tile=96,
        title="smile against brows",
    )
    shown = graph.show(sheet)
    run = client.succeed(graph)
    assert len(client.pictures(run, edit.saved)) == 6
    (picture,) = client.pictures(run, shown)
    assert picture.shape[1] >= 3 * 96
    assert picture.shape[0] >= 2 * 96


def test_portraits_and_deltas_that_do_not_go_together(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, two_portraits(graph), sweep(graph, 3))
    error = client.fail(graph)
    assert error.startswith(("ImageError", "magicface_core")) or "ImageError" in error
    assert "2" in error
    assert "3" in error
    assert edit.saved.id not in client.run(graph).outputs


def test_paste_back_of_counts_that_do_not_go_together(client: Client, graph: Graph) -> None:
    edit = portrait_edit(graph, two_portraits(graph), AU12=2.0)
    three = graph.add(
        "RepeatImageBatch", image=graph.add("LoadImage", image="portrait.png"), amount=3
    )
    graph.set(edit.pasted, image=three)
    error = client.fail(graph)
    assert "3 pictures, 2 edited faces" in error


def test_sheet_of_counts_that_do_not_go_together(client: Client, graph: Graph) -> None:
    image = two_portraits(graph)
    graph.show(graph.add("MagicFace_ExpressionSheet", image=image, delta=sweep(graph, 3)))
    error = client.fail(graph)
    assert "2" in error
    assert "3" in error


def test_a_frame_without_a_face_stops_or_passes_through(
    client: Client, graph: Graph, source_pictures: Pictures
) -> None:
    empty = graph.add("EmptyImage", width=512, height=512, color=0x406080)
    frames = graph.add(
        "ImageBatch", image1=graph.add("LoadImage", image="portrait.png"), image2=empty
    )
    edit = portrait_edit(graph, frames, AU12=3.0)
    error = client.fail(graph)
    assert "NoFaceError" in error
    assert "frame 1" in error.lower()
    assert "pass through" in error
    graph.set(edit.crop, on_no_face="pass through")
    first, second = client.pictures(client.succeed(graph), edit.saved)
    assert not np.array_equal(first, source_pictures["portrait"])
    assert (second == (0x40, 0x60, 0x80)).all()


def test_all_frames_without_a_face_pass_through(
    client: Client, graph: Graph, source_pictures: Pictures
) -> None:
    edit = portrait_edit(graph, "faceless.png", AU12=3.0)
    graph.set(edit.crop, on_no_face="pass through")
    run = client.succeed(graph)
    assert np.array_equal(client.pictures(run, edit.saved)[0], source_pictures["faceless"])


def test_smoothed_crops_of_frames(client: Client, graph: Graph) -> None:
    """Two places of the face: smoothed, the crops cut out something else."""
    portrait = graph.add("LoadImage", image="astronaut.png")
    wide = graph.add("ImagePadForOutpaint", image=portrait, left=0, top=0, right=64, bottom=0)
    moved = graph.add("ImagePadForOutpaint", image=portrait, left=64, top=0, right=0, bottom=0)
    frames = graph.add("ImageBatch", image1=wide, image2=moved)
    model = graph.add("MagicFace_LoadModel", checkpoint="tiny")
    crop = graph.add("MagicFace_FaceCrop", model=model, image=frames)
    shown = graph.show(crop)
    alone = client.pictures(client.succeed(graph), shown)
    graph.set(crop, smoothing=1)
    smoothed = client.pictures(client.succeed(graph), shown)
    middle = np.s_[128:384, 128:384]
    assert np.abs(alone[0][middle].astype(int) - alone[1][middle]).mean() < 3
    assert np.abs(smoothed[0][middle].astype(int) - smoothed[1][middle]).mean() > 5
