"""Deltas: sliders, presets, copying from another face, and files of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from comfyui_client import Client, RefusedError
from comfyui_graphs import Graph, Node


def text_of(client: Client, graph: Graph, node: Node) -> str:
    shown = graph.show_text(node[1])
    return client.succeed(graph).text(shown)


def estimate(graph: Graph, picture: str) -> Node:
    return graph.add("MagicFace_AUEstimate", image=graph.add("LoadImage", image=picture))


def test_sliders_and_preset_add_up(client: Client, graph: Graph) -> None:
    first = graph.add("MagicFace_AUDeltaBuilder", AU12=1.0)
    second = graph.add("MagicFace_AUDeltaBuilder", AU12=2.5, AU4=-1.0, delta=first)
    text = text_of(client, graph, second)
    assert "AU12" in text
    assert "3.5" in text
    assert "AU4" in text


def test_the_estimator_is_chosen_by_its_name(client: Client, graph: Graph) -> None:
    named = estimate(graph, "astronaut.png")
    graph.set(named, backend="embedded")
    texts = [
        graph.show_text(node[2]) for node in (named, estimate(graph, "astronaut.png"))
    ]  # the second as a workflow that was saved without a backend
    run = client.succeed(graph)
    assert run.text(texts[0]) == run.text(texts[1])
    graph.set(named, backend="libreface")
    with pytest.raises(RefusedError, match="magicface models download libreface"):
        client.run(graph)


def presets(client: Client) -> list[str]:
    _, options = client.schemas["MagicFace_AUDeltaBuilder"]["input"]["required"]["preset"]
    found: list[str] = options["options"]
    return found


def test_every_preset_gives_a_change(client: Client, graph: Graph) -> None:
    named = {"happy", "sad", "surprised", "angry", "afraid", "disgusted", "neutralise"}
    assert named <= set(presets(client))
    source = estimate(graph, "astronaut.png")
    shown = {
        name: graph.show_text(
            graph.add("MagicFace_AUDeltaBuilder", preset=name, source_aus=source)[1]
        )
        for name in presets(client)
    }
    run = client.succeed(graph)
    texts = {name: run.text(node) for name, node in shown.items()}
    assert "AU" not in texts.pop("none")
    assert len(set(texts.values())) == len(texts)
    assert all("AU" in text for text in texts.values())


def test_an_expression_is_copied_from_another_photograph(client: Client, graph: Graph) -> None:
    source, target = estimate(graph, "portrait.png"), estimate(graph, "astronaut.png")
    copied = graph.add("MagicFace_AUDeltaBuilder", source_aus=source, target_aus=target)
    none = graph.add(
        "MagicFace_AUDeltaBuilder",
        source_aus=source,
        target_aus=target,
        brows=0.0,
        eyes=0.0,
        mouth=0.0,
    )
    shown, silent = graph.show_text(copied[1]), graph.show_text(none[1])
    described, chart = graph.show_text(target[2]), graph.show(target[1])
    run = client.succeed(graph)
    assert "AU12" in run.text(shown)  # she smiles
    assert "AU12" not in run.text(silent)
    assert "AU12" in run.text(described)
    assert client.pictures(run, chart).shape[-1] == 3


@pytest.mark.parametrize(
    ("inputs", "message"),
    [({"preset": "neutralise"}, "source"), ({"target_aus": True}, "source")],
)
def test_what_needs_source_aus_says_so(
    client: Client, graph: Graph, inputs: dict[str, object], message: str
) -> None:
    if "target_aus" in inputs:
        inputs = {"target_aus": estimate(graph, "astronaut.png")}
    graph.show_text(graph.add("MagicFace_AUDeltaBuilder", **inputs))
    error = client.fail(graph)
    assert "AUError" in error
    assert message in error


@pytest.mark.parametrize("value", [10.5, -11.0, 1e9])
def test_a_delta_out_of_range_is_refused_at_once(
    client: Client, graph: Graph, value: float
) -> None:
    graph.show_text(graph.add("MagicFace_AUDeltaBuilder", AU12=value)[1])
    with pytest.raises(RefusedError, match=r"(bigger than max|smaller than min).*AU12") as refused:
        client.run(graph)
    assert refused.value.status == 400


def test_a_sweep_adds_to_a_single_delta(client: Client, graph: Graph) -> None:
    frames = graph.add("MagicFace_AUSweep", steps=5)
    graph.add("MagicFace_SaveExpression", delta=graph.add("MagicFace_AUSweep", delta=frames))
    error = client.fail(graph)
    assert "AUError" in error
    assert "5 frames" in error


def test_one_unit_cannot_be_swept_against_itself(client: Client, graph: Graph) -> None:
    unit = "AU12 Lip Corner Puller"
    sweep = graph.add("MagicFace_AUSweep", unit=unit, second_unit=unit)
    graph.add("MagicFace_SaveExpression", delta=sweep)
    assert "AU12 is swept twice" in client.fail(graph)


def test_sums_saturate_instead_of_leaving_the_range(client: Client, graph: Graph) -> None:
    first = graph.add("MagicFace_AUDeltaBuilder", AU12=9.0)
    second = graph.add("MagicFace_AUDeltaBuilder", AU12=9.0, delta=first)
    assert "10" in text_of(client, graph, second)


def test_a_missing_slider_is_named(client: Client, graph: Graph) -> None:
    builder = graph.add("MagicFace_AUDeltaBuilder")
    del graph.prompt[builder.id]["inputs"]["AU12"]
    graph.show_text(builder[1])
    with pytest.raises(RefusedError, match="AU12"):
        client.run(graph)


# --- files ------------------------------------------------------------------------------------


@pytest.fixture
def expressions(base: Path) -> Path:
    folder = base / "input" / "expressions"
    folder.mkdir(exist_ok=True)
    return folder


def load(graph: Graph, name: str, **inputs: object) -> Node:
    """Load Expression for a file that may be newer than the schemas this client asked for."""
    return graph.add("MagicFace_LoadExpression", file=name, **inputs)


def test_an_expression_is_saved_listed_and_loaded(client: Client, graph: Graph, base: Path) -> None:
    smile = graph.add("MagicFace_AUDeltaBuilder", AU12=4.0, AU6=1.5)
    graph.add(
        "MagicFace_SaveExpression", delta=smile, filename_prefix="people/smile", note="as seen"
    )
    client.succeed(graph)
    (path,) = (base / "output" / "expressions" / "people").glob("smile*.json")
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["aus"] == {"AU6": 1.5, "AU12": 4.0}
    assert content["note"] == "as seen"
    name = f"people/{path.name} [output]"
    info = client.get_json("/object_info/MagicFace_LoadExpression")
    _, options = info["MagicFace_LoadExpression"]["input"]["required"]["file"]
    assert name in options["options"]
    again = client.graph()
    text = text_of(client, again, load(again, name, strength=-0.5))
    assert "AU12" in text
    assert "-2" in text


def test_saving_again_never_overwrites(client: Client, graph: Graph, base: Path) -> None:
    for value in (1.0, 2.0):
        smile = graph.add("MagicFace_AUDeltaBuilder", AU12=value)
        graph.add("MagicFace_SaveExpression", delta=smile, filename_prefix="twice")
    client.succeed(graph)
    files = sorted((base / "output" / "expressions").glob("twice*.json"))
    values = {json.loads(path.read_text())["aus"]["AU12"] for path in files}
    assert values == {1.0, 2.0}


def test_an_animation_survives_the_file(client: Client, graph: Graph, base: Path) -> None:
    smile = graph.add("MagicFace_AUDeltaBuilder", AU12=4.0)
    moving = graph.add("MagicFace_AUKeyframes", target=smile, frames=3, hold=0, and_back=False)
    graph.add("MagicFace_SaveExpression", delta=moving, filename_prefix="moving")
    before = text_of(client, graph, graph.add("MagicFace_AUDeltaBuilder", delta=moving))
    (path,) = (base / "output" / "expressions").glob("moving*.json")
    again = client.graph()
    after = text_of(client, again, load(again, f"{path.name} [output]"))
    assert after == before
    assert len(after.splitlines()) >= 3


def test_an_edited_file_is_read_again(client: Client, graph: Graph, expressions: Path) -> None:
    path = expressions / "mine.json"
    content = {"format": "magicface-aus", "version": 1, "kind": "delta", "aus": {"AU1": 2.0}}
    path.write_text(json.dumps(content))
    node = load(graph, "mine.json")
    shown = graph.show_text(node[1])
    assert "AU1" in client.succeed(graph).text(shown)
    path.write_text(json.dumps(content | {"aus": {"AU26": 2.25}}))
    run = client.succeed(graph)
    assert run.executed(node) == [True]
    assert "AU26" in run.text(shown)


DELTA = {"format": "magicface-aus", "version": 1, "kind": "delta"}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{not json", ["JSON"]),
        (json.dumps([1, 2]), []),
        (json.dumps(DELTA | {"aus": {"AU99": 1}}), ["AU99"]),
        (json.dumps(DELTA | {"aus": {"AU12": 77}}), ["AU12", "77"]),
        (json.dumps(DELTA | {"aus": {"AU12": "much"}}), ["AU12"]),
        (json.dumps(DELTA | {"aus": {"AU12": float("nan")}}), []),
        (json.dumps(DELTA | {"version": 99, "aus": {}}), ["99"]),
        ("[" * 5000, []),
        (" " * 2_000_000, []),
    ],
    ids=[
        *("not json", "a list", "unknown unit", "out of range", "a word", "nan", "version"),
        *("nested", "large"),
    ],
)
def test_a_hand_edited_file_is_refused_by_name(
    client: Client, graph: Graph, expressions: Path, content: str, words: list[str]
) -> None:
    (expressions / "edited.json").write_text(content)
    node = load(graph, "edited.json")
    graph.show_text(node[1])
    error = client.fail(graph)
    assert "edited.json" in error
    assert error.split(":")[0].rsplit(".", 1)[-1] in ("AUError", "ExpressionFileError")
    assert all(word in error for word in words), error


@pytest.mark.parametrize(
    "name",
    [
        *("../secret.json", "../../user/secret.json", "/etc/passwd", "a/../../secret.json"),
        *("gone.json", "none yet"),
    ],
)
def test_files_outside_the_folders_cannot_be_named(
    client: Client, graph: Graph, base: Path, name: str
) -> None:
    (base / "input" / "secret.json").write_text(json.dumps(DELTA | {"aus": {"AU1": 1.0}}))
    graph.show_text(load(graph, name)[1])
    with pytest.raises(RefusedError, match="expression file") as refused:
        client.run(graph)
    assert refused.value.status == 400


@pytest.mark.parametrize("prefix", ["../out", "a/../../../out", "/srv/out", ".."])
def test_expressions_are_not_saved_outside(
    client: Client, graph: Graph, base: Path, prefix: str
) -> None:
    smile = graph.add("MagicFace_AUDeltaBuilder", AU12=1.0)
    graph.add("MagicFace_SaveExpression", delta=smile, filename_prefix=prefix)
    error = client.fail(graph)
    assert "OutputError" in error
    assert prefix in error
    assert not list(base.rglob("out*.json"))
