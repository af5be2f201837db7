"""The workflow templates as files: readable layout, sound links, values that the nodes accept."""

from __future__ import annotations

import json
import tomllib
from itertools import combinations, pairwise
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / "workflows"
SAMPLES = ROOT / "web" / "samples"
NAMES = [
    "attention_maps",
    "au_sweep_grid",
    "copy_expression_from_photo",
    "edit_one_portrait",
    "edit_paste_upscale",
    "native_edit",
    "native_lora_upscale",
    "smile_animation_keyframes",
    "video_frames_and_report",
]
PREFIX = "MagicFace_"
TITLE = 30  # height of a node's title, above its position
ROOM = 20  # between nodes, for what a renderer adds
MUTED, BYPASSED = 2, 4
LOADERS = ("MagicFace_LoadModel", "MagicFace_LoadNative")
WIDGETS = {"INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"}
OPEN_ENDED = {
    ("MagicFace_LoadModel", "checkpoint"),
    ("MagicFace_LoadNative", "checkpoint"),
    ("MagicFace_LoadExpression", "file"),
}
HOST = "https://huggingface.co/mengtingwei/magicface/resolve/main/"
MOST_BYTES = 60_000

Json = dict[str, Any]
Box = tuple[float, float, float, float]

SCHEMAS: Json = json.loads((ROOT / "tests" / "comfyui" / "schemas.json").read_text("utf-8"))
TEMPLATES: dict[str, Json] = {
    name: json.loads((WORKFLOWS / f"{name}.json").read_text("utf-8")) for name in NAMES
}


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def template(name: str) -> Json:
    return TEMPLATES[name]


def ours(template: Json) -> list[Json]:
    return [node for node in template["nodes"] if node["type"].startswith(PREFIX)]


def box(node: Json) -> Box:
    """Left, top, right, bottom of a node with its title."""
    (x, y), (width, height) = node["pos"], node["size"]
    return x, y - TITLE, x + width, y + height


def overlap(first: Box, second: Box, room: float = 0) -> bool:
    return (
        first[0] < second[2] + room
        and second[0] < first[2] + room
        and first[1] < second[3] + room
        and second[1] < first[3] + room
    )


# --- files ------------------------------------------------------------------------------------


def test_the_folder_holds_these_templates_and_their_pictures() -> None:
    assert sorted(path.stem for path in WORKFLOWS.glob("*.json")) == NAMES
    assert {template["version"] for template in TEMPLATES.values()} == {0.4}
    assert sorted(path.stem for path in WORKFLOWS.glob("*.jpg")) == NAMES
    assert sorted(path.stem for path in (WORKFLOWS / "api").iterdir()) == NAMES


def test_no_other_folder_is_taken_for_templates() -> None:
    for other in ("example_workflows", "example", "examples", "workflow"):
        assert not (ROOT / other).exists()


def test_thumbnail_is_a_small_square_jpeg(name: str) -> None:
    path = WORKFLOWS / f"{name}.jpg"
    assert path.stat().st_size <= MOST_BYTES
    with Image.open(path) as picture:
        assert picture.format == "JPEG"
        assert picture.width == picture.height >= 400
        colours = picture.convert("RGB").getcolors(1 << 24)
        assert colours is not None
        assert len(colours) > 1000, "an empty picture"


# --- nodes and links --------------------------------------------------------------------------


def test_every_node_of_the_pack_is_used() -> None:
    used = {node["type"] for template in TEMPLATES.values() for node in ours(template)}
    assert used == set(SCHEMAS)


def test_ids_are_unique_and_counted(template: Json) -> None:
    nodes = [node["id"] for node in template["nodes"]]
    links = [link[0] for link in template["links"]]
    assert len(set(nodes)) == len(nodes)
    assert len(set(links)) == len(links)
    assert template["last_node_id"] >= max(nodes)
    assert template["last_link_id"] >= max(links)
    assert len({template["id"] for template in TEMPLATES.values()}) == len(NAMES)


def test_links_agree_with_the_slots_at_both_ends(template: Json) -> None:
    nodes = {node["id"]: node for node in template["nodes"]}
    ends = set()
    for link, start, output, end, socket, kind in template["links"]:
        source, target = nodes[start]["outputs"][output], nodes[end]["inputs"][socket]
        assert link in source["links"]
        assert target["link"] == link
        assert source["type"] == kind
        assert target["type"] in (kind, "*")
        ends |= {("out", start, output, link), ("in", end, socket, link)}
    slots = {
        ("out", node["id"], place, link)
        for node in template["nodes"]
        for place, slot in enumerate(node["outputs"])
        for link in slot["links"]
    } | {
        ("in", node["id"], place, slot["link"])
        for node in template["nodes"]
        for place, slot in enumerate(node["inputs"])
        if slot["link"] is not None
    }
    assert slots == ends


def test_slots_are_those_of_the_schemas(template: Json) -> None:
    for node in ours(template):
        schema = SCHEMAS[node["type"]]
        inputs = {entry["name"]: entry["type"] for entry in schema["inputs"]}
        assert {slot["name"]: slot["type"] for slot in node["inputs"]} == inputs, node["type"]
        outputs = [(entry["name"], entry["type"]) for entry in schema["outputs"]]
        assert [(slot["name"], slot["type"]) for slot in node["outputs"]] == outputs


def test_required_sockets_are_linked(template: Json) -> None:
    for node in ours(template):
        linked = {slot["name"] for slot in node["inputs"] if slot["link"] is not None}
        required = {
            entry["name"]
            for entry in SCHEMAS[node["type"]]["inputs"]
            if not entry["optional"] and entry["type"] not in WIDGETS
        }
        assert required <= linked, node["type"]


def test_values_are_those_that_the_nodes_accept(template: Json) -> None:
    for node in ours(template):
        values = list(node["widgets_values"])
        for entry in SCHEMAS[node["type"]]["inputs"]:
            if entry["type"] not in WIDGETS:
                continue
            value = values.pop(0)
            where = f"{node['type']}.{entry['name']} = {value!r}"
            if entry["name"] == "seed":
                assert values.pop(0) == "fixed", "a template gives everybody the same picture"
            if entry["type"] in ("INT", "FLOAT"):
                assert entry["min"] <= value <= entry["max"], where
            elif entry["type"] == "COMBO" and (node["type"], entry["name"]) not in OPEN_ENDED:
                assert value in entry["options"], where
        assert values == [], node["type"]


def test_nodes_say_where_they_come_from(template: Json) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    for node in template["nodes"]:
        if node["type"] == "MarkdownNote":  # part of the frontend
            continue
        properties = node["properties"]
        assert properties["Node name for S&R"] == node["type"]
        own = node["type"].startswith(PREFIX)
        assert properties["cnr_id"] == (project["name"] if own else "comfy-core")
        assert properties["ver"]
        if own:
            assert properties["ver"] == project["version"]


def test_only_a_node_that_needs_a_saved_file_is_off(template: Json) -> None:
    off = {(node["type"], node["mode"]) for node in template["nodes"] if node["mode"] != 0}
    assert off <= {("MagicFace_LoadExpression", MUTED), ("LoraLoaderModelOnly", BYPASSED)}


# --- models and pictures ----------------------------------------------------------------------


def test_the_loader_links_to_the_official_weights(template: Json) -> None:
    (loader,) = [node for node in ours(template) if node["type"] in LOADERS]
    models = loader["properties"]["models"]
    assert [model["name"] for model in models] == [
        f"official/{part}/diffusion_pytorch_model.safetensors"
        for part in ("denoising_unet", "ID_enc")
    ]
    for model in models:
        assert model["directory"] == "magicface"
        assert model["url"] == HOST + model["name"].removeprefix("official/")
    assert loader["widgets_values"] == ["mini", "auto"], "nothing may be missing at first"


def test_pictures_are_samples_of_the_pack(template: Json) -> None:
    wanted = [
        node["widgets_values"][0] for node in template["nodes"] if node["type"] == "LoadImage"
    ]
    assert sorted(template["extra"]["magicface_samples"]) == sorted(wanted)
    assert all((SAMPLES / sample).is_file() for sample in wanted)


def test_all_samples_are_used_and_small() -> None:
    listed = {s for template in TEMPLATES.values() for s in template["extra"]["magicface_samples"]}
    assert {path.name for path in SAMPLES.iterdir()} == listed
    assert sum(path.stat().st_size for path in SAMPLES.iterdir()) < 300_000


# --- layout -----------------------------------------------------------------------------------


def test_nodes_do_not_overlap(template: Json) -> None:
    for first, second in combinations(template["nodes"], 2):
        assert not overlap(box(first), box(second), ROOM), (first["type"], second["type"])


def test_groups_hold_their_nodes_whole_and_do_not_overlap(template: Json) -> None:
    groups = [(x, y, x + w, y + h) for x, y, w, h in (g["bounding"] for g in template["groups"])]
    for first, second in combinations(groups, 2):
        assert not overlap(first, second)
    for node in template["nodes"]:
        left, top, right, bottom = box(node)
        around = [g for g in groups if overlap(g, box(node))]
        if node["type"] == "MarkdownNote":
            assert around == []
            continue
        ((x0, y0, x1, y1),) = around
        assert x0 < left
        assert y0 < top
        assert right < x1
        assert bottom < y1


def test_links_run_from_left_to_right(template: Json) -> None:
    nodes = {node["id"]: node for node in template["nodes"]}
    for _, start, _, end, _, _ in template["links"]:
        assert nodes[start]["pos"][0] <= nodes[end]["pos"][0]


def test_groups_are_numbered_from_left_to_right(template: Json) -> None:
    numbered = [g for g in template["groups"] if g["title"][0].isdigit()]
    assert [int(g["title"].split(".")[0]) for g in numbered] == list(range(1, len(numbered) + 1))
    for before, after in pairwise(numbered):
        assert before["bounding"][0] <= after["bounding"][0]


def test_a_note_on_the_left_says_how_to_start(template: Json) -> None:
    notes = [node for node in template["nodes"] if node["type"] == "MarkdownNote"]
    first = min(notes, key=lambda node: (node["pos"][0], node["pos"][1]))
    text = first["widgets_values"][0]
    assert first["title"] == "Start here"
    assert first["pos"][0] < min(node["pos"][0] for node in ours(template))
    assert text.startswith("# ") and "**Run**" in text
    assert len(text) < 1000
    assert "`" not in text, "inline code is unreadable on a coloured note in Nodes 2.0"


# --- API twins --------------------------------------------------------------------------------


def before_bypassed(template: Json, start: int, output: int) -> tuple[str, int]:
    """Where a link begins, past a bypassed node, which hands on its input of the same type."""
    nodes = {node["id"]: node for node in template["nodes"]}
    node = nodes[start]
    if node["mode"] != BYPASSED:
        return str(start), output
    kind = node["outputs"][output]["type"]
    (wanted,) = [slot["link"] for slot in node["inputs"] if slot["type"] == kind]
    (link,) = [link for link in template["links"] if link[0] == wanted]
    return before_bypassed(template, link[1], link[2])


def test_the_twin_has_the_same_nodes_and_links(name: str, template: Json) -> None:
    """Whether values agree too is checked where ComfyUI's schemas are at hand."""
    twin = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text("utf-8"))
    runs = {
        str(node["id"]): node["type"]
        for node in template["nodes"]
        if node["mode"] == 0 and node["type"] != "MarkdownNote"
    }
    assert {node: entry["class_type"] for node, entry in twin.items()} == runs
    nodes = {node["id"]: node for node in template["nodes"]}
    links = {
        (str(end), nodes[end]["inputs"][socket]["name"], *before_bypassed(template, start, output))
        for _, start, output, end, socket, _ in template["links"]
        if nodes[start]["mode"] != MUTED and nodes[end]["mode"] == 0
    }
    twin_links = {
        (node, field, *value)
        for node, entry in twin.items()
        for field, value in entry["inputs"].items()
        if isinstance(value, list)
    }
    assert twin_links == links
