"""The subgraph blueprint in the real frontend: opens, its sliders reach the nodes inside, runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from blueprints import NODE, workflow_with_blueprint

if TYPE_CHECKING:
    from comfyui_page import ComfyPage

WIDGETS = "() => app.graph.getNodeById(1).widgets.map((widget) => widget.name)"
SET = """([name, value]) => {
    const widget = app.graph.getNodeById(1).widgets.find((found) => found.name === name);
    widget.value = value;
    widget.callback?.(value);
}"""


def values(comfy: ComfyPage, class_type: str) -> dict[str, Any]:
    (entry,) = [e for e in comfy.prompt().values() if e["class_type"] == class_type]
    found: dict[str, Any] = entry["inputs"]
    return found


@pytest.fixture
def edit(comfy: ComfyPage) -> ComfyPage:
    comfy.show(workflow_with_blueprint("portrait.png"))
    comfy.page.wait_for_timeout(500)
    return comfy


def test_one_node_with_sliders_that_reach_inside(edit: ComfyPage) -> None:
    shown = edit.page.evaluate(WIDGETS)
    assert next(name for name in shown if name[:2] == "AU") == "AU1"
    assert {"preset", "AU12", "cfg", "noise_seed", "checkpoint"} <= set(shown)
    assert len(edit.workflow()["nodes"]) == 3
    edit.page.evaluate(SET, ["AU12", 6.5])
    edit.page.evaluate(SET, ["cfg", 2.0])
    assert values(edit, "MagicFace_AUDeltaBuilder")["AU12"] == 6.5
    assert values(edit, "CFGGuider")["cfg"] == 2.0
    edit.show(edit.workflow())
    assert values(edit, "MagicFace_AUDeltaBuilder")["AU12"] == 6.5


def test_it_runs_from_the_browser(edit: ComfyPage) -> None:
    assert edit.run() == ""
    assert any(key.startswith(f"{NODE}:") for key in edit.prompt())
