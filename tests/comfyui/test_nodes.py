"""Every node of the pack runs at least once, in one graph."""

from __future__ import annotations

from comfyui_client import Client
from comfyui_graphs import Graph, Node, native_edit, portrait_edit


def test_every_node_in_one_graph(client: Client, graph: Graph) -> None:
    expression = save_one(client)
    image = graph.add("LoadImage", image="astronaut.png")
    aus = graph.add("MagicFace_AUEstimate", image=image)
    loaded = graph.add("MagicFace_LoadExpression", file=expression, strength=0.5)
    built = graph.add(
        "MagicFace_AUDeltaBuilder", preset="happy", strength=0.5, delta=loaded, source_aus=aus
    )
    swept = graph.add("MagicFace_AUSweep", steps=2, delta=built)
    played = graph.add("MagicFace_AUKeyframes", target=swept, frames=2, hold=0, and_back=False)
    edit = portrait_edit(graph, image, played)
    native = native_edit(graph, played)
    shown = [
        graph.show(graph.add("MagicFace_ExpressionSheet", image=edit.sampler, delta=played)),
        graph.show(
            graph.add(
                "MagicFace_ExpressionReport", original=image, edited=edit.pasted, delta=played
            )
        ),
        graph.show_text(swept[1]),
        graph.show_text(aus[2]),
        graph.show_text(graph.add("MagicFace_Sigmas", model=native.model)),
        graph.show(
            graph.add(
                "MagicFace_AttentionMaps",
                model=edit.model,
                identity=edit.identity,
                background=edit.background,
                delta=played,
            )
        ),
        native.shown,
        graph.show(
            graph.add(
                "MagicFace_Decode",
                samples=native.sampler,
                identity=native.identity,
                model=native.model[1],
            )
        ),
    ]
    graph.add("MagicFace_SaveExpression", delta=played)
    graph.add("MagicFace_PortraitCheck", image=image, crop=edit.crop[1])
    run = client.succeed(graph)
    own = {
        Node(key): entry["class_type"]
        for key, entry in graph.prompt.items()
        if entry["class_type"].startswith("MagicFace_")
    }
    assert set(own.values()) == {name for name in client.schemas if name.startswith("MagicFace_")}
    ran_or_cached = zip(own, run.executed(*own), run.cached(*own), strict=True)
    assert [own[node] for node, ran, cached in ran_or_cached if not (ran or cached)] == []
    assert all(node.id in run.outputs for node in shown)


def save_one(client: Client) -> str:
    """The name of a saved expression, as Load Expression lists it."""
    graph = client.graph()
    smile = graph.add("MagicFace_AUDeltaBuilder", AU12=2.0)
    graph.add("MagicFace_SaveExpression", delta=smile, filename_prefix="every-node")
    client.succeed(graph)
    info = client.get_json("/object_info/MagicFace_LoadExpression")
    _, options = info["MagicFace_LoadExpression"]["input"]["required"]["file"]
    return next(name for name in options["options"] if name.startswith("every-node"))
