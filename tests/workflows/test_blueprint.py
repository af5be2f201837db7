"""The subgraph blueprint as a file: one node, sound links, values that the nodes accept."""

from __future__ import annotations

import json
import tomllib
from typing import Any

import pytest
from blueprints import PATH, ROOT, blueprint

from magicface_core.aus import ACTION_UNITS

INSIDE, OUTSIDE = -10, -20
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
OPEN_ENDED = ("MagicFace_LoadNative", "checkpoint")

Json = dict[str, Any]

SCHEMAS: Json = json.loads((ROOT / "tests" / "comfyui" / "schemas.json").read_text("utf-8"))


@pytest.fixture
def outer() -> Json:
    (node,) = blueprint()["nodes"]
    return dict(node)


@pytest.fixture
def inner() -> Json:
    (subgraph,) = blueprint()["definitions"]["subgraphs"]
    return dict(subgraph)


def test_it_is_one_node_with_a_name(outer: Json, inner: Json) -> None:
    assert outer["type"] == inner["id"]
    assert outer["title"] == inner["name"] == PATH.stem == "MagicFace Edit"
    assert inner["description"].endswith(".")
    for side in ("inputs", "outputs"):
        assert [s["name"] for s in outer[side]] == [s["name"] for s in inner[side]]
        assert [s["type"] for s in outer[side]] == [s["type"] for s in inner[side]]
    assert [slot["type"] for slot in outer["inputs"]] == ["IMAGE", "VAE", "CLIP"]
    assert [slot["type"] for slot in outer["outputs"]] == ["IMAGE"]


def test_its_sliders_are_those_of_the_nodes_inside(outer: Json, inner: Json) -> None:
    nodes = {str(node["id"]): node for node in inner["nodes"]}
    shown = [(nodes[node], name) for node, name in outer["properties"]["proxyWidgets"]]
    for node, name in shown:
        assert name in {slot["name"] for slot in node["inputs"] if "widget" in slot}
    names = [name for _, name in shown]
    assert [name for name in names if name[:2] == "AU"] == [unit.code for unit in ACTION_UNITS]
    assert {"preset", "cfg", "noise_seed", "checkpoint"} <= set(names)


def test_links_agree_with_the_slots_at_both_ends(inner: Json) -> None:
    nodes = {node["id"]: node for node in inner["nodes"]}
    seen = set()
    for link in inner["links"]:
        start, end = link["origin_id"], link["target_id"]
        source = inner["inputs"] if start == INSIDE else nodes[start]["outputs"]
        target = inner["outputs"] if end == OUTSIDE else nodes[end]["inputs"]
        source, target = source[link["origin_slot"]], target[link["target_slot"]]
        assert link["id"] in source.get("links", source.get("linkIds", []))
        assert link["id"] in target.get("linkIds", [target.get("link")])
        assert source["type"] == target["type"] == link["type"]
        seen.add(link["id"])
    assert len(seen) == len(inner["links"])
    held = {slot["link"] for node in inner["nodes"] for slot in node["inputs"]} - {None}
    assert held == seen - {link for slot in inner["outputs"] for link in slot["linkIds"]}


def test_slots_and_values_are_those_of_the_schemas(inner: Json) -> None:
    own = [node for node in inner["nodes"] if node["type"] in SCHEMAS]
    assert len(own) == 9
    for node in own:
        schema = SCHEMAS[node["type"]]
        inputs = {entry["name"]: entry["type"] for entry in schema["inputs"]}
        assert {slot["name"]: slot["type"] for slot in node["inputs"]} == inputs, node["type"]
        widgets = [entry for entry in schema["inputs"] if entry["type"] in WIDGETS]
        for entry, value in zip(widgets, node["widgets_values"], strict=True):
            where = f"{node['type']}.{entry['name']} = {value!r}"
            if entry["type"] in ("INT", "FLOAT"):
                assert entry["min"] <= value <= entry["max"], where
            elif entry["type"] == "COMBO" and (node["type"], entry["name"]) != OPEN_ENDED:
                assert value in entry["options"], where


def test_nodes_say_where_they_come_from(outer: Json, inner: Json) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for node in (outer, *inner["nodes"]):
        own = node is outer or node["type"] in SCHEMAS
        assert node["properties"]["cnr_id"] == (project["name"] if own else "comfy-core")
        assert not own or node["properties"]["ver"] == project["version"]
