"""The API twins of the templates: made from them, valid, and each runs to its end with mini."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from comfyui_client import Client
from comfyui_graphs import Graph, Node
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
REMAKE = "PYTHONPATH=tests/support python scripts/workflow_media.py --twins-only"
FRAMES = 6  # of the sample clip

Json = dict[str, Any]


def read(path: Path) -> Json:
    content: Json = json.loads(path.read_text(encoding="utf-8"))
    return content


def twin_of(name: str) -> Json:
    return read(WORKFLOWS / "api" / f"{name}.json")


def only(twin: Json, class_type: str) -> Node:
    (node,) = [Node(key) for key, entry in twin.items() if entry["class_type"] == class_type]
    return node


@pytest.fixture(scope="module")
def samples(base: Path) -> None:
    """The pictures that the frontend would put into the input folder."""
    shutil.copytree(ROOT / "web" / "samples", base / "input", dirs_exist_ok=True)


@pytest.mark.parametrize("name", NAMES)
def test_twin_is_up_to_date(client: Client, name: str) -> None:
    converter = pytest.importorskip(
        "comfy_cli.workflow_to_api", reason="no comfy-cli; pip install comfy-cli"
    )
    made = converter.convert_ui_to_api(read(WORKFLOWS / f"{name}.json"), client.schemas)
    assert made == twin_of(name), f"run {REMAKE}"


@pytest.mark.parametrize("name", NAMES)
def test_comfy_cli_finds_nothing_wrong(
    client: Client, samples: None, name: str, tmp_path: Path
) -> None:
    comfy = Path(sys.executable).with_name("comfy")
    if not comfy.is_file():
        pytest.skip("no comfy-cli; pip install comfy-cli")
    schemas = tmp_path / "object_info.json"
    schemas.write_bytes(client.get("/object_info"))
    arguments = ["--skip-prompt", "--json", "workflow", "validate", "--where", "local"]
    arguments += ["--workflow", str(WORKFLOWS / "api" / f"{name}.json"), "--input", str(schemas)]
    done = subprocess.run(
        [comfy, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["ok"], done.stdout
    assert answer["data"]["valid"], done.stdout
    assert answer["data"].get("errors", []) == []


@pytest.mark.parametrize("name", NAMES)
def test_runs_to_its_end_and_leaves_a_picture(client: Client, samples: None, name: str) -> None:
    twin = twin_of(name)
    run = client.succeed(Graph(client.schemas, twin))
    saved = [
        entry
        for node, output in run.outputs.items()
        if twin[node]["class_type"].startswith("Save")
        for entry in output.get("images", [])
    ]
    assert saved
    assert all(entry["type"] == "output" and entry["subfolder"] == "magicface" for entry in saved)
    assert all(client.view(entry) for entry in saved)


def test_the_copied_expression_is_a_smile(client: Client, samples: None) -> None:
    twin = twin_of("copy_expression_from_photo")
    run = client.succeed(Graph(client.schemas, twin))
    copied = run.text(only(twin, "PreviewAny"))
    units = dict(part.split("+") for part in copied.split() if "+" in part)
    assert float(units["AU12"]) > 2


def test_a_saved_expression_can_be_switched_on(client: Client, samples: None, base: Path) -> None:
    """What the template's note describes: save, choose the file, switch Load Expression on."""
    converter = pytest.importorskip(
        "comfy_cli.workflow_to_api", reason="no comfy-cli; pip install comfy-cli"
    )
    twin = twin_of("video_frames_and_report")
    client.succeed(Graph(client.schemas, twin))
    (saved, *_) = sorted((base / "output" / "expressions").glob("smile_*.json"))
    template = read(WORKFLOWS / "video_frames_and_report.json")
    (load,) = [n for n in template["nodes"] if n["type"] == "MagicFace_LoadExpression"]
    load["mode"] = 0
    load["widgets_values"][0] = f"{saved.name} [output]"
    (builder,) = [n for n in template["nodes"] if n["type"] == "MagicFace_AUDeltaBuilder"]
    builder["widgets_values"][2:14] = [0.0] * 12
    changed = converter.convert_ui_to_api(template, client.get_json("/object_info"))
    keep = only(changed, "MagicFace_SaveExpression")
    graph = Graph(client.schemas, {key: changed[key] for key in needed_for(changed, keep)})
    run = client.succeed(graph)
    assert run.text(keep).endswith("AU6+2 AU12+4")


def needed_for(twin: Json, node: Node) -> set[str]:
    """A node and all before it."""
    found, open_ends = set(), [node.id]
    while open_ends:
        key = open_ends.pop()
        found.add(key)
        links = [value for value in twin[key]["inputs"].values() if isinstance(value, list)]
        open_ends += [link[0] for link in links]
    return found


def test_the_clip_is_loaded_as_frames(client: Client, samples: None, base: Path) -> None:
    graph = client.graph()
    loaded = graph.add("LoadImage", image="magicface_frames.webp")
    shown = graph.show(loaded)
    run = client.succeed(graph)
    assert len(client.pictures(run, shown)) == FRAMES
    with Image.open(base / "input" / "magicface_frames.webp") as clip:
        assert getattr(clip, "n_frames", 1) == FRAMES
