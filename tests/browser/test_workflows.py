"""The templates in the real frontend: they open without a complaint, and one is run.

The server's input folder starts without the sample pictures: opening a template brings them.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from comfyui_server import Server

if TYPE_CHECKING:
    from comfyui_page import ComfyPage

ROOT = Path(__file__).resolve().parents[2]
WORKFLOWS = ROOT / "workflows"
NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
PACK = "ComfyUI-MagicFace"
UPLOAD = "/upload/image"
# The frontend's own stores of what a workflow lacks, behind its Errors panel.
MISSING = """() => {
    const root = document.querySelector('#vue-app') ?? document.querySelector('[data-v-app]');
    const stores = root.__vue_app__.config.globalProperties.$pinia._s;
    const models = stores.get('missingModel').missingModelCandidates ?? [];
    return {
        nodes: stores.get('missingNodesError').missingNodesError?.nodeTypes ?? [],
        models: models.map(({ name, url, directory }) => ({ name, url, directory })),
        media: (stores.get('missingMedia').missingMediaCandidates ?? []).map(({ name }) => name),
    };
}"""
RECTANGLES = """() => app.graph.nodes.map((node) => {
    const element = document.querySelector(`[data-node-id="${node.id}"]`);
    const box = element?.getBoundingClientRect();
    const scale = app.canvas.ds.scale;
    const [width, height] = box ? [box.width / scale, box.height / scale - 30] : node.size;
    return [node.type, node.pos[0], node.pos[1] - 30, node.pos[0] + width, node.pos[1] + height];
})"""
NOTHING: dict[str, list[Any]] = {"nodes": [], "models": [], "media": []}
OFFICIAL = "official/denoising_unet/diffusion_pytorch_model.safetensors"

Json = dict[str, Any]


def template(name: str) -> Json:
    content: Json = json.loads((WORKFLOWS / f"{name}.json").read_text(encoding="utf-8"))
    return content


def twin(name: str) -> Json:
    content: Json = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    return content


def essence(prompt: Json) -> Json:
    return {
        key: {"class_type": entry["class_type"], "inputs": entry["inputs"]}
        for key, entry in prompt.items()
    }


def missing(comfy: ComfyPage) -> dict[str, list[Any]]:
    """What the frontend says the open workflow lacks."""
    comfy.page.wait_for_timeout(700)  # it looks after loading
    found: dict[str, list[Any]] = comfy.page.evaluate(MISSING)
    return found


def see_all(comfy: ComfyPage) -> None:
    """Zoom out, because Nodes 2.0 draws only what can be seen."""
    comfy.page.evaluate(
        "() => { app.canvas.ds.scale = 0.4; app.canvas.ds.offset = [600, 400]; "
        "app.canvas.setDirty(true, true); }"
    )
    comfy.page.wait_for_timeout(600)


@pytest.mark.parametrize("name", NAMES)
def test_opens_without_a_complaint_and_is_sent_as_its_twin(comfy: ComfyPage, name: str) -> None:
    comfy.show(template(name))
    assert missing(comfy) == NOTHING
    assert essence(comfy.prompt()) == essence(twin(name))


@pytest.mark.parametrize("name", NAMES)
def test_survives_saving_and_loading(comfy: ComfyPage, name: str) -> None:
    comfy.show(template(name))
    saved = comfy.workflow()
    comfy.show(saved)
    assert missing(comfy) == NOTHING
    assert essence(comfy.prompt()) == essence(twin(name))
    values = {str(node["id"]): node["widgets_values"] for node in template(name)["nodes"]}
    kept = {str(node["id"]): node.get("widgets_values", []) for node in saved["nodes"]}
    for node in template(name)["nodes"]:
        if node["type"].startswith("MagicFace_"):
            assert kept[str(node["id"])] == values[str(node["id"])], node["type"]


@pytest.mark.parametrize("name", NAMES)
def test_nodes_as_drawn_do_not_overlap(comfy: ComfyPage, name: str) -> None:
    """Nodes 2.0 draws some of them higher than litegraph."""
    comfy.show(template(name))
    see_all(comfy)
    boxes = comfy.page.evaluate(RECTANGLES)
    assert len(boxes) == len(template(name)["nodes"])
    for place, (first, x0, y0, x1, y1) in enumerate(boxes):
        for second, left, top, right, bottom in boxes[:place]:
            apart = x0 >= right or left >= x1 or y0 >= bottom or top >= y1
            assert apart, (first, second)


def test_samples_are_copied_once_and_only_for_templates(opened: ComfyPage, server: Server) -> None:
    """Not by the fixture `comfy`: the picture that is missing first is an error in the console."""
    name = "magicface_smile.jpg"
    copied = server.base / "input" / name
    workflow = template("copy_expression_from_photo")
    opened.show(workflow)
    opened.clear()
    copied.unlink()
    opened.load()
    opened.log.requests.clear()
    foreign = copy.deepcopy(workflow)
    foreign["extra"] = {}
    opened.show(foreign)
    assert missing(opened)["media"] == [name]
    assert not any(UPLOAD in url for url in opened.log.requests)
    opened.show(workflow)
    assert missing(opened) == NOTHING
    assert copied.read_bytes() == (ROOT / "web" / "samples" / name).read_bytes()
    opened.show(workflow)
    assert sum(UPLOAD in url for url in opened.log.requests) == 1


def test_a_template_runs_from_the_browser(comfy: ComfyPage, server: Server) -> None:
    comfy.show(template("edit_one_portrait"))
    comfy.page.wait_for_timeout(500)
    assert comfy.run() == ""
    assert list((server.base / "output" / "magicface").glob("portrait_*.png"))


def test_the_gallery_lists_them_with_their_pictures(comfy: ComfyPage) -> None:
    listed = comfy.page.evaluate("() => fetch('/api/workflow_templates').then((a) => a.json())")
    assert sorted(listed[PACK]) == NAMES
    for name in NAMES:
        for suffix, kind in ((".json", "application/json"), (".jpg", "image/jpeg")):
            address = f"/api/workflow_templates/{PACK}/{name}{suffix}"
            found = comfy.page.evaluate(
                "(url) => fetch(url).then((a) => [a.status, a.headers.get('content-type')])",
                address,
            )
            assert found == [200, kind], address


def test_the_official_weights_are_offered_where_they_are_missing(opened: ComfyPage) -> None:
    """A workflow that names the authors' weights, opened where they are not."""
    opened.clear()
    opened.page.route("https://**", lambda route: route.abort())
    workflow = template("edit_one_portrait")
    (loader,) = [node for node in workflow["nodes"] if node["type"] == "MagicFace_LoadModel"]
    loader["widgets_values"][0] = OFFICIAL
    opened.show(workflow)
    found = missing(opened)
    url = loader["properties"]["models"][0]["url"]
    assert found["models"] == [{"name": OFFICIAL, "url": url, "directory": "magicface"}]
    assert found["nodes"] == []
    opened.clear()
    opened.show(template("edit_one_portrait"))
    assert missing(opened) == NOTHING
