"""Writes graphs in ComfyUI's API format, and the one that edits a portrait."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Link = tuple[str, int]


@dataclass(frozen=True)
class Node:
    """A node of a graph; as an input of another it stands for its first output."""

    id: str

    def __getitem__(self, output: int) -> Link:
        return (self.id, output)


@dataclass
class Graph:
    """Nodes so far; inputs that are not given take the defaults of the server's schemas."""

    schemas: Mapping[str, Any]
    prompt: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, class_type: str, /, **inputs: Any) -> Node:
        assert class_type in self.schemas, f"The server has no node {class_type}."
        node = Node(str(len(self.prompt) + 1))
        self.prompt[node.id] = {"class_type": class_type, "inputs": self._defaults(class_type)}
        self.set(node, **inputs)
        return node

    def set(self, node: Node, **inputs: Any) -> None:
        """Change inputs of a node: values, nodes or outputs of nodes."""
        self.prompt[node.id]["inputs"].update(
            {name: _value(value) for name, value in inputs.items()}
        )

    def show(self, image: Node | Link) -> Node:
        """A PreviewImage."""
        return self.add("PreviewImage", images=image)

    def show_mask(self, mask: Node | Link) -> Node:
        """Where a mask is above zero: white, exactly, unlike its rounding to 8 bits."""
        hard = self.add("ThresholdMask", mask=mask, value=0.0)
        return self.show(self.add("MaskToImage", mask=hard))

    def show_text(self, text: Node | Link) -> Node:
        return self.add("PreviewAny", source=text)

    def _defaults(self, class_type: str) -> dict[str, Any]:
        required = self.schemas[class_type]["input"].get("required", {})
        found = {name: _default(*entry) for name, entry in required.items()}
        return {name: value for name, value in found.items() if value is not None}


def _value(value: Any) -> Any:
    if isinstance(value, Node):
        return [value.id, 0]
    return list(value) if isinstance(value, tuple) else value


def _default(kind: Any, options: Mapping[str, Any] | None = None) -> Any:
    """A widget's default as the frontend would fill it in; None for what must be linked."""
    options = options or {}
    if "default" in options:
        return options["default"]
    if isinstance(kind, list):
        return kind[0] if kind else None
    if kind == "COMBO":
        return next(iter(options["options"]), None)
    return {"BOOLEAN": False, "STRING": ""}.get(kind)


@dataclass
class PortraitEdit:
    """The whole edit of a portrait: load, crop, encode, parse, sample, paste back, save."""

    graph: Graph
    model: Node
    image: Node | Link
    crop: Node
    background: Node
    identity: Node
    delta: Node | Link
    sampler: Node
    pasted: Node
    saved: Node

    @property
    def nodes_before_the_delta(self) -> tuple[Node, ...]:
        return (self.model, self.crop, self.background, self.identity)


def portrait_edit(
    graph: Graph,
    image: Node | Link | str = "portrait.png",
    delta: Node | Link | None = None,
    checkpoint: str = "tiny",
    **sliders: float,
) -> PortraitEdit:
    """Add the whole edit to a graph; without a delta, one from an AU Delta Builder's sliders."""
    model = graph.add("MagicFace_LoadModel", checkpoint=checkpoint)
    if isinstance(image, str):
        image = graph.add("LoadImage", image=image)
    if delta is None:
        delta = graph.add("MagicFace_AUDeltaBuilder", **sliders)
    crop = graph.add("MagicFace_FaceCrop", model=model, image=image)
    background = graph.add("MagicFace_BackgroundPose", face_image=crop, crop=crop[1])
    identity = graph.add("MagicFace_IDEncoder", model=model, face_image=crop)
    sampler = graph.add(
        "MagicFace_Sampler", model=model, identity=identity, background=background, delta=delta
    )
    pasted = graph.add(
        "MagicFace_PasteBack", image=image, edited=sampler, crop=crop[1], mask=background[1]
    )
    saved = graph.add("SaveImage", images=pasted)
    return PortraitEdit(
        graph, model, image, crop, background, identity, delta, sampler, pasted, saved
    )


@dataclass
class NativeEdit:
    """The edit of a portrait's face by ComfyUI's own sampler, shown as it was decoded."""

    graph: Graph
    model: Node
    image: Node
    delta: Node | Link
    crop: Node
    background: Node
    identity: Node
    conditioning: Node
    sampler: Node
    decoded: Node
    shown: Node


def native_edit(
    graph: Graph,
    delta: Node | Link | None = None,
    checkpoint: str = "tiny",
    model: Node | Link | None = None,
    dtype: str = "auto",
    masked: bool = False,
    **sampling: Any,
) -> NativeEdit:
    """Add the whole native edit; ``model`` is a patched MODEL, sampling KSampler's settings."""
    loader = graph.add("MagicFace_LoadNative", checkpoint=checkpoint, dtype=dtype)
    image = graph.add("LoadImage", image="portrait.png")
    if delta is None:
        delta = graph.add("MagicFace_AUDeltaBuilder", AU12=5.0, AU6=3.0)
    crop = graph.add("MagicFace_FaceCrop", model=loader[1], image=image)
    background = graph.add("MagicFace_BackgroundPose", face_image=crop, crop=crop[1])
    identity = graph.add("MagicFace_IDEncoder", model=loader[1], face_image=crop)
    conditioning = graph.add(
        "MagicFace_Conditioning",
        positive=loader[3],
        negative=loader[3],
        vae=loader[2],
        identity=identity,
        background=background,
        delta=delta,
        **({"mask": background[1]} if masked else {}),
    )
    settings = {"steps": 3, "cfg": 2.0, "sampler_name": "euler", "scheduler": "normal"}
    sampler = graph.add(
        "KSampler",
        model=model or loader,
        positive=conditioning,
        negative=conditioning[1],
        latent_image=conditioning[2],
        **{**settings, **sampling},
    )
    decoded = graph.add("VAEDecode", samples=sampler, vae=loader[2])
    shown = graph.show(decoded)
    return NativeEdit(
        graph,
        loader,
        image,
        delta,
        crop,
        background,
        identity,
        conditioning,
        sampler,
        decoded,
        shown,
    )
