"""Drives a ComfyUI server over HTTP and its websocket, as the frontend does."""

from __future__ import annotations

import io
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import websocket
from comfyui_graphs import Graph, Node
from numpy.typing import NDArray
from PIL import Image

RUN_SECONDS = 180
ENDINGS = ("execution_success", "execution_error", "execution_interrupted")
PREVIEW_IMAGE = 1  # kind of a binary message; then four bytes of file type, then the file

Message = tuple[str, dict[str, Any]]


class RefusedError(Exception):
    """POST /prompt was answered with an error; the text holds the reasons of all nodes."""

    def __init__(self, status: int, answer: dict[str, Any]) -> None:
        self.status = status
        errors = [
            f"{node['class_type']}: {error['message']}: {error['details']}"
            for node in answer.get("node_errors", {}).values()
            for error in node["errors"]
        ]
        super().__init__("\n".join(errors) or json.dumps(answer))


@dataclass
class Run:
    """What a prompt did, from the messages that came while it ran and from /history."""

    prompt_id: str
    messages: list[Message] = field(default_factory=list)
    previews: list[bytes] = field(default_factory=list)
    outputs: dict[str, Any] = field(default_factory=dict)

    @property
    def ending(self) -> Message:
        return self.messages[-1]

    @property
    def error(self) -> str:
        """Type and text of the error that ended it, or nothing."""
        kind, data = self.ending
        if kind != "execution_error":
            return ""
        return f"{data['exception_type']}: {data['exception_message']}"

    def executed(self, *nodes: Node) -> list[bool]:
        """Which of the nodes ran, and were not taken from the cache."""
        ran = {data["node"] for kind, data in self.messages if kind == "executing"}
        return [node.id in ran for node in nodes]

    def cached(self, *nodes: Node) -> list[bool]:
        """Which of the nodes were announced as taken from the cache."""
        announced: set[str] = set()
        for kind, data in self.messages:
            if kind == "execution_cached":
                announced |= set(data["nodes"])
        return [node.id in announced for node in nodes]

    def progress(self, node: Node) -> list[tuple[int, int]]:
        """(value, maximum) of the progress messages of a node."""
        return [
            (data["value"], data["max"])
            for kind, data in self.messages
            if kind == "progress" and data["node"] == node.id
        ]

    def text(self, node: Node) -> str:
        """What a PreviewAny node, or another that shows text, shows."""
        return "\n".join(self.outputs[node.id]["text"])


class Client:
    """One browser tab, so to speak."""

    def __init__(self, address: str) -> None:
        self.address = address

    def get(self, path: str, **query: str) -> bytes:
        url = f"http://{self.address}{path}"
        with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}", timeout=60) as answer:
            content: bytes = answer.read()
            return content

    def get_json(self, path: str) -> Any:
        return json.loads(self.get(path))

    def post(self, path: str, payload: Mapping[str, Any]) -> Any:
        """The answer, read as JSON where there is one. Raises RefusedError for a 4xx."""
        request = urllib.request.Request(
            f"http://{self.address}{path}",
            json.dumps(payload).encode(),
            {"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise RefusedError(error.code, json.loads(error.read())) from None

    def graph(self) -> Graph:
        """An empty graph that knows the defaults of this server's nodes."""
        return Graph(self.schemas)

    @property
    def schemas(self) -> dict[str, Any]:
        """GET /object_info, asked once: combos list what was there the first time."""
        if not hasattr(self, "_schemas"):
            self._schemas: dict[str, Any] = self.get_json("/object_info")
        return self._schemas

    def run(self, graph: Graph, on_message: Callable[[Message], None] | None = None) -> Run:
        """Run a graph to its end, whichever. Raises RefusedError if it is not valid."""
        client_id = uuid.uuid4().hex
        socket = websocket.create_connection(
            f"ws://{self.address}/ws?clientId={client_id}", timeout=RUN_SECONDS
        )
        try:
            answer = self.post("/prompt", {"prompt": graph.prompt, "client_id": client_id})
            run = Run(answer["prompt_id"])
            if answer["node_errors"]:
                raise RefusedError(200, answer)
            self._follow(socket, run, on_message or (lambda message: None))
        finally:
            socket.close()
        run.outputs = self._history(run.prompt_id)["outputs"]
        return run

    def succeed(self, graph: Graph) -> Run:
        """Run a graph that must not fail."""
        run = self.run(graph)
        kind, data = run.ending
        assert kind == "execution_success", f"{run.error}\n{''.join(data.get('traceback', []))}"
        return run

    def fail(self, graph: Graph) -> str:
        """Run a graph that must fail while it runs; its error."""
        run = self.run(graph)
        assert run.ending[0] == "execution_error", run.ending
        return run.error

    def interrupt(self, run_or_id: Run | str) -> None:
        prompt_id = run_or_id if isinstance(run_or_id, str) else run_or_id.prompt_id
        self.post("/interrupt", {"prompt_id": prompt_id})

    def pictures(self, run: Run, node: Node) -> NDArray[np.uint8]:
        """[B, H, W, channels] of a node that saved or previewed pictures, by /view."""
        files = run.outputs[node.id]["images"]
        return np.stack([np.asarray(Image.open(io.BytesIO(self.view(entry)))) for entry in files])

    def view(self, entry: Mapping[str, str]) -> bytes:
        keys = ("filename", "subfolder", "type")
        return self.get("/view", **{key: entry[key] for key in keys})

    def _follow(
        self, socket: websocket.WebSocket, run: Run, on_message: Callable[[Message], None]
    ) -> None:
        deadline = time.monotonic() + RUN_SECONDS
        while time.monotonic() < deadline:
            content = socket.recv()
            if isinstance(content, bytes):
                if int.from_bytes(content[:4], "big") == PREVIEW_IMAGE:
                    run.previews.append(content[8:])
                continue
            parsed = json.loads(content)
            kind, data = parsed["type"], parsed["data"]
            if data.get("prompt_id") != run.prompt_id or data.get("node", "") is None:
                continue
            run.messages.append((kind, data))
            on_message((kind, data))
            if kind in ENDINGS:
                return
        raise TimeoutError(f"The prompt did not end in {RUN_SECONDS} s.")

    def _history(self, prompt_id: str) -> dict[str, Any]:
        """The history's entry, written a moment after the last message."""
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            history = self.get_json(f"/history/{prompt_id}")
            if prompt_id in history:
                entry: dict[str, Any] = history[prompt_id]
                return entry
            time.sleep(0.05)
        raise TimeoutError(f"/history never listed {prompt_id}.")
