"""The subgraph blueprint on the real server: found, and run as one node."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from blueprints import NODE, RESULT, blueprint, workflow_with_blueprint
from comfyui_client import Client
from comfyui_graphs import Graph, Node


def entry_of(client: Client) -> tuple[str, dict[str, Any]]:
    listed: dict[str, dict[str, Any]] = client.get_json("/global_subgraphs")
    (found,) = [item for item in listed.items() if item[1]["name"] == "MagicFace Edit"]
    return found


def test_the_server_offers_it(client: Client) -> None:
    key, entry = entry_of(client)
    assert entry["source"] == "custom_node"
    whole = client.get_json(f"/global_subgraphs/{key}")
    assert json.loads(whole["data"]) == blueprint()


def test_one_node_edits_a_picture(client: Client, source_pictures: dict[str, np.ndarray]) -> None:
    converter = pytest.importorskip(
        "comfy_cli.workflow_to_api", reason="no comfy-cli; pip install comfy-cli"
    )
    prompt = converter.convert_ui_to_api(workflow_with_blueprint("portrait.png"), client.schemas)
    assert {key.split(":")[0] for key in prompt} == {NODE, "2", RESULT}
    run = client.succeed(Graph(client.schemas, prompt))
    after = client.pictures(run, Node(RESULT))[0].astype(int)
    change = np.abs(after - source_pictures["portrait"]).max(axis=2)
    assert (change > 0).mean() > 0.02, "the face did not change"
    assert (change == 0).mean() > 0.3, "the rest changed"
