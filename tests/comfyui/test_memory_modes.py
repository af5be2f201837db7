"""`--lowvram` and `--novram`: weights stay off the device and are cast layer by layer.

With a graphics card the real options start. Without one ComfyUI refuses them (they exclude
`--cpu`), and the test pack lets the memory manager treat the CPU as a card that is full.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from comfyui_client import Client
from comfyui_graphs import native_edit, portrait_edit
from comfyui_server import Installation, Server

MODES = {"--lowvram": "LOW_VRAM", "--novram": "NO_VRAM"}
FIND_CARD = "import torch; raise SystemExit(0 if torch.cuda.is_available() else 1)"


@dataclass(frozen=True)
class Frugal:
    """A server with little memory for models, the state it must report, and whether it is real."""

    client: Client
    state: str
    with_card: bool


@pytest.fixture(params=MODES, scope="module")
def frugal(
    request: pytest.FixtureRequest, installation: Installation, base: Path
) -> Iterator[Frugal]:
    state = MODES[request.param]
    found = subprocess.run([installation.python, "-c", FIND_CARD], check=False, timeout=120)
    with_card = found.returncode == 0
    arguments = [request.param] if with_card else ["--cpu"]
    environment = {} if with_card else {"MAGICFACE_TEST_VRAM": state}
    with Server(installation, base, arguments, environment) as server:
        yield Frugal(Client(server.address), state, with_card)


@pytest.mark.parametrize("checkpoint", ["tiny", "mini"])
def test_edits_are_those_of_the_plain_server(
    frugal: Frugal, client: Client, checkpoint: str
) -> None:
    graph = client.graph()
    edit = portrait_edit(graph, checkpoint=checkpoint, AU12=3.0)
    shown = graph.show(edit.sampler)
    expected = client.pictures(client.succeed(graph), shown).astype(int)
    memory = graph.show_text(graph.add("MagicFaceTest_Memory", after=edit.sampler))
    run = frugal.client.succeed(graph)
    assert np.abs(frugal.client.pictures(run, shown) - expected).mean() < 0.5
    report = json.loads(run.text(memory))
    assert report["state"] == frugal.state
    assert report["models"], "the checkpoint is not under ComfyUI's memory manager"
    if not frugal.with_card:
        assert any(model["loaded"] < model["bytes"] for model in report["models"])


@pytest.mark.parametrize("checkpoint", ["tiny", "mini"])
def test_native_edits_are_those_of_the_plain_server(
    frugal: Frugal, client: Client, checkpoint: str
) -> None:
    graph = client.graph()
    edit = native_edit(graph, checkpoint=checkpoint)
    expected = client.pictures(client.succeed(graph), edit.shown).astype(int)
    memory = graph.show_text(graph.add("MagicFaceTest_Memory", after=edit.decoded))
    run = frugal.client.succeed(graph)
    assert np.abs(frugal.client.pictures(run, edit.shown) - expected).mean() < 0.5
    held = {model["name"]: model for model in json.loads(run.text(memory))["models"]}
    native = held["MagicFaceNative"]
    if not frugal.with_card:
        assert native["loaded"] < native["bytes"]
