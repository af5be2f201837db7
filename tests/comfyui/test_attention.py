"""MagicFace Attention Maps on the real server: the sampler's edit, a sheet for each frame."""

from __future__ import annotations

import numpy as np
import pytest
from comfyui_client import Client
from comfyui_graphs import Graph, Node, PortraitEdit, portrait_edit

STEPS, TILE = 2, 96


def maps_of(graph: Graph, edit: PortraitEdit, **inputs: object) -> Node:
    """The maps of an edit, wired like its sampler."""
    wired = {
        name: graph.prompt[edit.sampler.id]["inputs"][name]
        for name in ("model", "identity", "background", "delta", "seed", "steps", "guidance")
    }
    return graph.add("MagicFace_AttentionMaps", **{**wired, **inputs})


@pytest.mark.parametrize("checkpoint", ["mini", "tiny"])
def test_the_edit_is_the_samplers_and_the_sheet_is_shown(
    client: Client, graph: Graph, checkpoint: str
) -> None:
    edit = portrait_edit(graph, checkpoint=checkpoint, AU12=3.5)
    graph.set(edit.sampler, steps=STEPS, seed=5)
    node = maps_of(graph, edit, tile=TILE)
    sampled, edited, sheet = (graph.show(image) for image in (edit.sampler, node[1], node))
    run = client.succeed(graph)
    assert np.array_equal(client.pictures(run, edited), client.pictures(run, sampled))
    [picture] = client.pictures(run, sheet)
    columns, rows = 1 + STEPS + 1, 3 + 4  # and the mean; eyes and mouth corners
    assert picture.shape[1] > columns * TILE
    assert picture.shape[0] > rows * TILE
    assert len(run.outputs[node.id]["images"]) == 1
    assert run.progress(node)[-1][0] == run.progress(node)[-1][1]


def test_frames_points_and_layers(client: Client, graph: Graph) -> None:
    sweep = graph.add("MagicFace_AUSweep", start=0.0, steps=3)
    edit = portrait_edit(graph, delta=sweep)
    graph.set(edit.sampler, steps=STEPS)
    node = maps_of(graph, edit, points="200,300", layer=0, tile=TILE)
    sheet, share = graph.show(node), graph.show(graph.add("MaskToImage", mask=node[2]))
    run = client.succeed(graph)
    sheets, shares = client.pictures(run, sheet), client.pictures(run, share)
    assert len(sheets) == len(shares) == 3
    assert not np.array_equal(sheets[1], sheets[2])
    assert shares.shape[1:3] == (512, 512)
    assert 0 < shares.min() < shares.max() < 255
    values = [value for value, _ in run.progress(node)]
    assert values == sorted(values) and values[-1] == 3 * STEPS


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"layer": 40}, "There is no layer 40; this denoiser has 0 down_blocks"),
        ({"points": "12"}, "12" + '" is not a point; write x and y'),
        ({"points": "200,700"}, "within 0..1"),
    ],
)
def test_what_cannot_be_shown_is_explained(
    client: Client, graph: Graph, inputs: dict[str, object], message: str
) -> None:
    edit = portrait_edit(graph, AU12=1.0)
    graph.show(maps_of(graph, edit, **inputs))
    assert message in client.fail(graph).replace('\\"', '"')
