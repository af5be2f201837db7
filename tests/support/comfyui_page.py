"""One page of ComfyUI's real frontend, driven as a user's hands would."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from playwright.sync_api import ConsoleMessage, Page, Request, Response

Renderer = Literal["litegraph", "nodes 2.0"]
Point = tuple[float, float]

PACK_ADDRESS = "/extensions/ComfyUI-MagicFace/"
BUILDER = "MagicFace_AUDeltaBuilder"
START_MILLISECONDS = 120_000
READY = f"""() => window.app?.extensionManager && app.isGraphReady !== false && app.graph
    && LiteGraph.registered_node_types['{BUILDER}']"""
SETTINGS = """async (settings) => {
    for (const [name, value] of Object.entries(settings)) {
        await app.extensionManager.setting.set(name, value);
    }
}"""
EMPTY = {"version": 0.4, "last_node_id": 0, "last_link_id": 0, "nodes": [], "links": []}
ADD = """([type, x, y]) => {
    const node = LiteGraph.createNode(type);
    node.pos = [x, y];
    app.graph.add(node);
    app.canvas.ds.scale = 1;
    app.canvas.ds.offset = [80, 60];
    app.canvas.emitBeforeChange();
    app.canvas.emitAfterChange();  // one undo step
    app.canvas.setDirty(true, true);
    return String(node.id);
}"""
# Defines `node` and `face` for the scripts below; ids are text in newer frontends.
NODE = """const node = app.graph.nodes.find((node) => String(node.id) === id);
    const face = node.widgets?.find((widget) => widget.name === 'face_drawing')?.element;"""
RUN = """async () => {
    const ended = new Promise((resolve) => {
        app.api.addEventListener('execution_success', () => resolve(''));
        app.api.addEventListener('execution_error', (event) =>
            resolve(`${event.detail.node_type}: ${event.detail.exception_message}`));
    });
    await app.queuePrompt(0, 1);
    return await ended;
}"""


@dataclass
class Log:
    """What went over the wire and into the console since the page was opened."""

    requests: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class ComfyPage:
    """A page with one renderer; `open` must be called first."""

    def __init__(self, page: Page, address: str, renderer: Renderer) -> None:
        self.page = page
        self.address = f"http://{address}"
        self.renderer = renderer
        self.log = Log()
        page.on("request", self._note_request)
        page.on("response", self._note_response)
        page.on("console", self._note_message)
        page.on("pageerror", lambda error: self.log.errors.append(f"page error: {error}"))

    def open(self, **settings: Any) -> None:
        """Load the frontend, choose renderer and settings, and start again with them."""
        wanted = {
            "Comfy.VueNodes.Enabled": self.renderer == "nodes 2.0",
            "Comfy.TutorialCompleted": True,
            "Comfy.Minimap.Visible": False,
            **settings,
        }
        self.load()
        self.page.evaluate(SETTINGS, wanted)
        self.clear()
        self.load()
        self.clear()
        self.log.__init__()  # the frontend's own start is not ours to judge

    def load(self) -> None:
        """(Re)load the page and wait until the graph answers."""
        self.page.goto(self.address, wait_until="domcontentloaded")
        self.page.wait_for_function(READY, timeout=START_MILLISECONDS)
        self.page.wait_for_timeout(1500)  # restoring the last workflow tells nobody its end

    def clear(self) -> None:
        """Start from an empty graph."""
        self.show(EMPTY)
        self.page.keyboard.press("Escape")

    def show(self, workflow: dict[str, Any]) -> None:
        """Open a saved workflow."""
        self.page.evaluate("(workflow) => app.loadGraphData(workflow)", workflow)
        self.page.wait_for_timeout(500)

    def add(self, node_type: str, x: float = 0, y: float = 0) -> str:
        """Put a node on the graph and look at it; gives its id."""
        node: str = self.page.evaluate(ADD, [node_type, x, y])
        self.page.wait_for_timeout(400)
        return node

    def ask(self, node: str, script: str, argument: Any = None) -> Any:
        """Evaluate a script body that knows `node`, `face` (its element) and `argument`."""
        whole = f"([id, argument]) => {{ {NODE} {script} }}"
        return self.page.evaluate(whole, [node, argument])

    def value(self, node: str, widget: str) -> Any:
        script = "return node.widgets.find((widget) => widget.name === argument).value;"
        return self.ask(node, script, widget)

    def choose(self, node: str, widget: str, value: Any) -> None:
        """Set a widget as its own control does, callback included."""
        script = """const widget = node.widgets.find((widget) => widget.name === argument[0]);
            widget.value = argument[1];
            widget.callback?.(argument[1], app.canvas, node);"""
        self.ask(node, script, [widget, value])

    def drawing(self, node: str) -> str:
        """All paths of the drawn face."""
        paths: str = self.ask(
            node,
            "return [...face.querySelectorAll('[data-part]')]"
            ".map((path) => path.getAttribute('d')).join(' ');",
        )
        return paths

    def readout(self, node: str) -> str:
        """The text below the face, in one line."""
        text: str = self.ask(
            node,
            "return [...face.querySelectorAll('.magicface-readout span')]"
            ".map((part) => part.textContent).join(' ');",
        )
        return text

    def dot(self, node: str, unit: str) -> Point:
        """Where the handle of an AU is on the screen (the right one of two)."""
        return self._centre(
            node,
            "const dots = face.querySelectorAll(`.magicface-handle[data-au=${argument}]"
            " .magicface-dot`); const target = dots[dots.length - 1];",
            unit,
        )

    def button(self, node: str, action: str) -> Point:
        """Where "less", "more" or "reset" is on the screen."""
        return self._centre(
            node, "const target = face.querySelector(`[data-action=${argument}]`);", action
        )

    def focus(self, node: str, unit: str) -> None:
        script = "face.querySelector(`.magicface-handle[data-au=${argument}]`).focus();"
        self.ask(node, script, unit)

    def focused(self) -> dict[str, str]:
        """The attributes of the element with the keyboard."""
        attributes: dict[str, str] = self.page.evaluate(
            "() => Object.fromEntries([...document.activeElement.attributes]"
            ".map(({ name, value }) => [name, value]))"
        )
        return attributes

    def drag(self, start: Point, way: Point) -> None:
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(start[0] + way[0] / 2, start[1] + way[1] / 2, steps=3)
        mouse.move(start[0] + way[0], start[1] + way[1], steps=3)
        mouse.up()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
        self.page.wait_for_timeout(300)

    def workflow(self) -> dict[str, Any]:
        saved: dict[str, Any] = self.page.evaluate(
            "() => JSON.parse(JSON.stringify(app.graph.serialize()))"
        )
        return saved

    def prompt(self) -> dict[str, Any]:
        """The graph as it is sent to the server."""
        output: dict[str, Any] = self.page.evaluate(
            "async () => (await app.graphToPrompt()).output"
        )
        return output

    def run(self) -> str:
        """Queue the graph and wait; the error of a node, or nothing."""
        error: str = self.page.evaluate(RUN)
        return error

    def _centre(self, node: str, find: str, argument: str) -> Point:
        script = f"""{find} const box = target.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];"""
        x, y = self.ask(node, script, argument)
        return x, y

    def _note_request(self, request: Request) -> None:
        self.log.requests.append(request.url)

    def _note_response(self, response: Response) -> None:
        if response.status >= 400:
            self.log.refused.append(f"{response.status} {response.url}")

    def _note_message(self, message: ConsoleMessage) -> None:
        text = f"{message.text} ({message.location.get('url', '')})"
        if message.type in ("error", "warning") and "magicface" in text.lower():
            self.log.errors.append(text)

    def foreign_requests(self) -> list[str]:
        """What left this server; empty for a pack that keeps to itself."""
        own = (self.address, self.address.replace("http", "ws"), "data:", "blob:")
        return [url for url in self.log.requests if not url.startswith(own)]
