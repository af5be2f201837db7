"""The info button of every node opens its help page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfyui_page import ComfyPage

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = ROOT / "tests" / "comfyui" / "schemas.json"
INFO = "[data-testid=info-button]"
NODES = "() => Object.keys(LiteGraph.registered_node_types).filter((id) => /^MagicFace_/.test(id))"


def test_the_info_button_opens_the_page_of_the_node(comfy: ComfyPage) -> None:
    nodes = comfy.page.evaluate(NODES)
    assert set(nodes) == set(json.loads(SCHEMAS.read_text(encoding="utf-8")))
    for name in nodes:
        comfy.clear()
        comfy.log.requests.clear()
        node = comfy.add(name, 100, 200)
        comfy.ask(node, "app.canvas.deselectAll(); app.canvas.selectNode(node);")
        comfy.page.locator(INFO).first.click(timeout=10_000)
        page = ROOT / "web" / "docs" / name / "en.md"
        assert page.is_file()
        title = next(
            line.lstrip("# ") for line in page.read_text(encoding="utf-8").splitlines() if line
        )
        comfy.page.get_by_role("heading", name=title, exact=True).first.wait_for(timeout=10_000)
        asked = [url for url in comfy.log.requests if "/docs/" in url and url.endswith(".md")]
        assert asked == [f"{comfy.address}/extensions/ComfyUI-MagicFace/docs/{name}/en.md"]
    assert [line for line in comfy.log.refused if "ComfyUI-MagicFace" in line] == []
