"""How the pack loads: quickly, silently, completely, and its models are listed from all roots."""

from __future__ import annotations

import re

from comfyui_client import Client
from comfyui_server import Server

PACK = "ComfyUI-MagicFace"
IMPORT_SECONDS = 0.5  # on a machine with nothing else to do
NODES = {
    "LoadModel",
    "FaceCrop",
    "AUEstimate",
    "AUDeltaBuilder",
    "BackgroundPose",
    "IDEncoder",
    "Sampler",
    "Decode",
    "PasteBack",
    "AUSweep",
    "AUKeyframes",
    "ExpressionSheet",
    "ExpressionReport",
    "SaveExpression",
    "LoadExpression",
    "PortraitCheck",
    "LoadNative",
    "Conditioning",
    "Sigmas",
    "AttentionMaps",
}


def start_of(log: str) -> str:
    """The log up to where the server is ready; later lines may be about refused prompts."""
    return log.split("To see the GUI go to")[0]


def test_imports_in_half_a_second(server: Server) -> None:
    assert server.import_seconds()[PACK] < IMPORT_SECONDS * server.slowdown


def test_starts_without_a_line_of_complaint(server: Server) -> None:
    lines = start_of(server.log()).splitlines()
    complaints = re.compile(r"\[(WARNING|ERROR|CRITICAL)\]|Traceback|Warning:|IMPORT FAILED")
    of_the_pack = [line for line in lines if "magicface" in line.lower()]
    assert of_the_pack, "the log does not name the pack at all"
    assert [line for line in of_the_pack if complaints.search(line)] == []


def test_all_nodes_are_there(client: Client) -> None:
    found = {
        name
        for name, schema in client.schemas.items()
        if schema["python_module"] == f"custom_nodes.{PACK}"
    }
    assert found == {f"MagicFace_{name}" for name in NODES}


def test_checkpoints_of_both_roots_are_listed_after_mini(client: Client) -> None:
    _, options = client.schemas["MagicFace_LoadModel"]["input"]["required"]["checkpoint"]
    choices = options["options"]
    assert choices[0] == "mini"
    assert {"tiny", "tiny-single.safetensors", "other", "without-vae"} <= set(choices)
    assert len(choices) == len(set(choices))
    assert not [name for name in choices if name.endswith((".json", "diffusion_pytorch_model"))]


def test_web_files_are_served(client: Client) -> None:
    extensions = client.get_json("/extensions")
    own = [path for path in extensions if f"/{PACK}/" in path]
    assert own
    for path in own:
        assert client.get(path), path
