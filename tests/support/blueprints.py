"""The subgraph blueprint of the pack, alone and in a workflow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PATH = ROOT / "subgraphs" / "MagicFace Edit.json"
NODE, PICTURE, RESULT = "1", "2", "3"

Json = dict[str, Any]


def blueprint() -> Json:
    """The file, which is a workflow of one node."""
    content: Json = json.loads(PATH.read_text(encoding="utf-8"))
    return content


def workflow_with_blueprint(picture: str) -> Json:
    """The one node between a picture and a preview."""
    workflow = blueprint()
    (node,) = workflow["nodes"]
    node["inputs"][0]["link"], node["outputs"][0]["links"] = 1, [2]
    workflow["nodes"] += [
        _node(int(PICTURE), "LoadImage", -400, [("IMAGE", [1])], [], [picture, "image"]),
        _node(int(RESULT), "PreviewImage", 500, [], [("images", 2)], []),
    ]
    workflow["links"] = [[1, 2, 0, 1, 0, "IMAGE"], [2, 1, 0, 3, 0, "IMAGE"]]
    return workflow | {"last_node_id": 3, "last_link_id": 2}


def _node(
    number: int,
    kind: str,
    left: float,
    outputs: list[tuple[str, list[int]]],
    inputs: list[tuple[str, int]],
    values: list[Any],
) -> Json:
    return {
        "id": number,
        "type": kind,
        "pos": [left, 0],
        "size": [300, 360],
        "flags": {},
        "order": number,
        "mode": 0,
        "inputs": [{"name": name, "type": "IMAGE", "link": link} for name, link in inputs],
        "outputs": [{"name": name, "type": "IMAGE", "links": links} for name, links in outputs],
        "properties": {"Node name for S&R": kind},
        "widgets_values": values,
    }
