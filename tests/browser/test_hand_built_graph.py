"""A graph put together in the frontend, from Load Image to Save Image, runs and edits a portrait.

How well the embedded checkpoint smiles is the business of the evaluation, not of this test.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from comfyui_page import ComfyPage
    from comfyui_server import Server
    from numpy.typing import NDArray

# Nodes by a short name, with their place; then links as (from, output, to, input).
NODES = {
    "image": ("LoadImage", 0, 0),
    "model": ("MagicFace_LoadModel", 0, 450),
    "crop": ("MagicFace_FaceCrop", 450, 0),
    "delta": ("MagicFace_AUDeltaBuilder", 0, 700),
    "background": ("MagicFace_BackgroundPose", 900, 0),
    "identity": ("MagicFace_IDEncoder", 900, 400),
    "sampler": ("MagicFace_Sampler", 1350, 0),
    "paste": ("MagicFace_PasteBack", 1800, 0),
    "save": ("SaveImage", 2250, 0),
}
LINKS = [
    ("model", 0, "crop", "model"),
    ("image", 0, "crop", "image"),
    ("crop", 0, "background", "face_image"),
    ("crop", 1, "background", "crop"),
    ("model", 0, "identity", "model"),
    ("crop", 0, "identity", "face_image"),
    ("model", 0, "sampler", "model"),
    ("identity", 0, "sampler", "identity"),
    ("background", 0, "sampler", "background"),
    ("delta", 0, "sampler", "delta"),
    ("image", 0, "paste", "image"),
    ("sampler", 0, "paste", "edited"),
    ("crop", 1, "paste", "crop"),
    ("background", 1, "paste", "mask"),
    ("paste", 0, "save", "images"),
]
CONNECT = """const [output, target, name] = argument;
    const other = app.graph.nodes.find((found) => String(found.id) === target);
    const slot = other.inputs.findIndex((input) => input.name === name);
    return Boolean(node.connect(output, other, slot));"""


def build(comfy: ComfyPage) -> dict[str, str]:
    ids = {name: comfy.add(*place) for name, place in NODES.items()}
    for source, output, target, name in LINKS:
        assert comfy.ask(ids[source], CONNECT, [output, ids[target], name]), (source, target)
    comfy.choose(ids["image"], "image", "portrait.png")
    return ids


def test_a_graph_built_by_hand_changes_the_mouth_and_nothing_else(
    comfy: ComfyPage, server: Server
) -> None:
    ids = build(comfy)
    comfy.ask(ids["delta"], "app.canvas.ds.offset = [60, -640]; app.canvas.setDirty(true, true);")
    comfy.page.wait_for_timeout(500)
    comfy.drag(comfy.dot(ids["delta"], "AU12"), (9.6, -12.8))
    assert 3 < comfy.value(ids["delta"], "AU12") < 5
    name = comfy.renderer.replace(" ", "-")  # a file of its own, whatever the server has cached
    comfy.choose(ids["save"], "filename_prefix", name)
    assert comfy.run() == ""
    [made] = (server.base / "output").glob(f"{name}*.png")
    before, after = pixels(server.base / "input" / "portrait.png"), pixels(made)
    change = np.abs(after - before).mean(axis=2)  # 512 x 512, 0..255
    assert change[280:370, 180:330].mean() > 5  # the mouth
    assert change[:, :60].max() == 0  # background
    assert change[440:].max() == 0  # clothes, below the soft edge on the neck


def pixels(path: Path) -> NDArray[np.float64]:
    return np.asarray(Image.open(path).convert("RGB"), dtype=np.float64)
