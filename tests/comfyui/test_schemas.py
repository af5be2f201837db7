"""The nodes' schemas: a snapshot that guards saved workflows, and texts for everything.

Saved workflows hold widget values by position and links by name, and graphs sent to the API name
every required input. So optional inputs and outputs may be added at the end; nothing may be
removed, renamed or moved. After a change that keeps to this:

    MAGICFACE_REWRITE_SCHEMAS=1 python -m pytest tests/comfyui/test_schemas.py
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from comfyui_client import Client

SNAPSHOT = Path(__file__).parent / "schemas.json"
REWRITE = "MAGICFACE_REWRITE_SCHEMAS"
PREFIX = "MagicFace_"
KEPT = ("default", "min", "max", "step", "round", "advanced", "multiline", "display")
FILES = {
    ("MagicFace_LoadModel", "checkpoint"),
    ("MagicFace_LoadNative", "checkpoint"),
    ("MagicFace_LoadExpression", "file"),
}
CORE_TYPES = {
    *("IMAGE", "MASK", "LATENT", "VAE", "CLIP", "BOUNDING_BOX", "MODEL", "CONDITIONING", "SIGMAS"),
    *("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO"),
}
SECTIONS = {
    *("MagicFace/model", "MagicFace/face", "MagicFace/action units"),
    *("MagicFace/sampling", "MagicFace/expression"),
}

Schema = dict[str, Any]


def inputs_of(schema: Schema) -> list[tuple[str, str, Schema, bool]]:
    """(name, type, options, optional) of every input, in order."""
    found = []
    for section in ("required", "optional"):
        for name in schema["input_order"].get(section, []):
            kind, *rest = schema["input"][section][name]
            found.append((name, kind, rest[0] if rest else {}, section == "optional"))
    return found


def summary(name: str, schema: Schema) -> Schema:
    """What saved workflows depend on."""
    inputs = []
    for field, kind, options, optional in inputs_of(schema):
        entry: Schema = {"name": field, "type": kind, "optional": optional}
        entry |= {key: options[key] for key in KEPT if key in options}
        if kind == "COMBO" and (name, field) not in FILES:
            entry["options"] = options["options"]
        inputs.append(entry)
    outputs = [
        {"name": output, "type": kind}
        for output, kind in zip(schema["output_name"], schema["output"], strict=True)
    ]
    return {"inputs": inputs, "outputs": outputs, "output_node": schema["output_node"]}


@pytest.fixture(scope="module")
def schemas(client: Client) -> dict[str, Schema]:
    return {name: schema for name, schema in client.schemas.items() if name.startswith(PREFIX)}


@pytest.fixture(scope="module")
def current(schemas: dict[str, Schema]) -> dict[str, Schema]:
    return {name: summary(name, schema) for name, schema in sorted(schemas.items())}


@pytest.fixture(scope="module")
def snapshot(current: dict[str, Schema]) -> dict[str, Schema]:
    if os.environ.get(REWRITE):
        SNAPSHOT.write_text(json.dumps(current, indent=1) + "\n", encoding="utf-8")
    stored: dict[str, Schema] = json.loads(SNAPSHOT.read_text(encoding="utf-8"))
    return stored


def names(entries: list[Schema]) -> list[tuple[str, str]]:
    return [(entry["name"], entry["type"]) for entry in entries]


def test_nothing_saved_workflows_need_is_gone(
    snapshot: dict[str, Schema], current: dict[str, Schema]
) -> None:
    for node, before in snapshot.items():
        assert node in current, f"{node} is gone; keep it, or register a replacement"
        now = current[node]
        for side in ("inputs", "outputs"):
            old, new = names(before[side]), names(now[side])
            assert new[: len(old)] == old, f"{node}: {side} were removed, renamed or moved"
        added = now["inputs"][len(before["inputs"]) :]
        assert all(entry["optional"] for entry in added), f"{node}: new inputs must be optional"
        for entry in before["inputs"]:
            options = next(e for e in now["inputs"] if e["name"] == entry["name"]).get("options")
            assert set(entry.get("options", ())) <= set(options or ()), f"{node}: {entry['name']}"


def test_snapshot_is_up_to_date(snapshot: dict[str, Schema], current: dict[str, Schema]) -> None:
    assert current == snapshot, f"if this is meant, run with {REWRITE}=1 and commit schemas.json"


def test_everything_has_a_tooltip(schemas: dict[str, Schema]) -> None:
    silent = [
        f"{node}.{field}"
        for node, schema in schemas.items()
        for field, _, options, _ in inputs_of(schema)
        if len(options.get("tooltip") or "") < len("no less")
    ]
    silent += [
        f"{node} output {place}"
        for node, schema in schemas.items()
        for place, _ in enumerate(schema["output"])
        if not (schema.get("output_tooltips") or {place: ""})[place]
    ]
    assert silent == []


def test_descriptions_names_categories_and_aliases(schemas: dict[str, Schema]) -> None:
    for node, schema in schemas.items():
        assert schema["description"].endswith("."), node
        assert schema["display_name"] != node
        assert schema["category"] in SECTIONS, node
        assert schema["search_aliases"], node
        assert not schema.get("deprecated"), node
        assert not schema.get("experimental"), node


def test_types_are_core_or_carry_the_prefix(schemas: dict[str, Schema]) -> None:
    for node, schema in schemas.items():
        kinds = {kind for _, kind, _, _ in inputs_of(schema)} | set(schema["output"])
        foreign = {kind for kind in kinds - CORE_TYPES if not kind.startswith("MAGICFACE_")}
        assert foreign == set(), node


def test_expert_inputs_are_advanced(schemas: dict[str, Schema]) -> None:
    """What is shown at once is what most people need: at most eight widgets besides sliders."""
    for node, schema in schemas.items():
        widgets = [
            (field, bool(options.get("advanced")))
            for field, kind, options, _ in inputs_of(schema)
            if kind in ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO") and field[:2] != "AU"
        ]
        assert sum(not advanced for _, advanced in widgets) <= 8, node
    advanced = {
        f"{node.removeprefix(PREFIX)}.{field}"
        for node, schema in schemas.items()
        for field, _, options, _ in inputs_of(schema)
        if options.get("advanced")
    }
    assert {"LoadModel.dtype", "Sampler.scheduler", "Sampler.batch_size"} <= advanced
    assert {"Sampler.steps", "Sampler.guidance", "FaceCrop.face"}.isdisjoint(advanced)


def test_sliders_carry_the_words_of_people(schemas: dict[str, Schema]) -> None:
    sliders = [
        (field, options)
        for field, kind, options, _ in inputs_of(schemas["MagicFace_AUDeltaBuilder"])
        if field[:2] == "AU"
    ]
    numbers = [int(field[2:]) for field, _ in sliders]
    assert numbers == [1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26]
    for field, options in sliders:
        assert (options["min"], options["default"], options["max"]) == (-10.0, 0.0, 10.0)
        assert options["display"] == "gradientslider"
        code, *words = options["display_name"].split()
        assert code == field
        assert 1 <= len(words) <= 2
    assert dict(sliders)["AU12"]["display_name"] == "AU12 smile"
