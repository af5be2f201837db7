"""Templates of 0.3.0 open as they were: the same nodes, values and graph sent to the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from comfyui_page import ComfyPage

OLD = Path(__file__).resolve().parents[1] / "golden" / "workflows-0.3.0"
NAMES = sorted(path.stem for path in OLD.glob("*.json"))

Json = dict[str, Any]


def read(path: Path) -> Json:
    content: Json = json.loads(path.read_text(encoding="utf-8"))
    return content


@pytest.mark.parametrize("name", NAMES)
def test_keeps_its_values(comfy: ComfyPage, name: str) -> None:
    workflow, sent = read(OLD / f"{name}.json"), read(OLD / "api" / f"{name}.json")
    comfy.show(workflow)
    prompt = comfy.prompt()
    assert set(prompt) == set(sent)
    for key, before in sent.items():
        now = prompt[key]
        assert now["class_type"] == before["class_type"]
        kept = {field: now["inputs"].get(field) for field in before["inputs"]}
        assert kept == before["inputs"], before["class_type"]


def test_a_value_at_the_limit_stays(comfy: ComfyPage) -> None:
    """0.3.0's sliders reached -10 and 10."""
    workflow = read(OLD / "edit_one_portrait.json")
    (builder,) = [n for n in workflow["nodes"] if n["type"] == "MagicFace_AUDeltaBuilder"]
    builder["widgets_values"][2:14] = [10.0, -10.0, 7.5, *[0.0] * 9]
    comfy.show(workflow)
    comfy.page.wait_for_timeout(500)
    inputs = comfy.prompt()[str(builder["id"])]["inputs"]
    assert [inputs[code] for code in ("AU1", "AU2", "AU4", "AU5")] == [10, -10, 7.5, 0]
