"""Save and load expressions as small JSON files that people can read and share."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io, ui

from ..magicface_core.aus import AUDelta
from ..magicface_core.expressions.building import label_frames
from ..magicface_core.expressions.files import read_expression, write_expression
from . import types
from .files import (
    expression_choices,
    expression_fingerprint,
    expression_path,
    missing_expression,
    new_expression_path,
)


class SaveExpression(io.ComfyNode):
    """Writes a delta, or an animation, to ComfyUI's output folder."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_SaveExpression",
            display_name="Save Expression",
            category="MagicFace/expression",
            description="Saves a change of expression, or an animation, as a readable JSON file "
            "in output/expressions.",
            search_aliases=["export expression", "save preset"],
            is_output_node=True,
            inputs=[
                types.Delta.Input("delta", tooltip="What to save."),
                io.String.Input(
                    "filename_prefix",
                    default="expression",
                    tooltip="Beginning of the file's name; a number is added.",
                ),
                io.String.Input(
                    "note",
                    default="",
                    multiline=True,
                    tooltip="Words for people, kept in the file.",
                    advanced=True,
                ),
            ],
            outputs=[],
        )

    @classmethod
    def execute(cls, delta: tuple[AUDelta, ...], filename_prefix: str, note: str) -> io.NodeOutput:
        path = new_expression_path(filename_prefix)
        write_expression(path, delta, note=note)
        return io.NodeOutput(ui=ui.PreviewText(f"{path.name}: {label_frames(delta)}"))


class LoadExpression(io.ComfyNode):
    """Reads a saved expression."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return io.Schema(
            node_id="MagicFace_LoadExpression",
            display_name="Load Expression",
            category="MagicFace/expression",
            description="Loads a change of expression, or an animation, from input/expressions or "
            "output/expressions.",
            search_aliases=["import expression", "load preset"],
            inputs=[
                io.Combo.Input(
                    "file",
                    options=expression_choices(),
                    tooltip="A JSON file in input/expressions, or in output/expressions.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=-2.0,
                    max=2.0,
                    step=0.05,
                    round=0.01,
                    tooltip="Multiplies the change; negative turns it round.",
                ),
            ],
            outputs=[
                types.Delta.Output("delta", display_name="delta", tooltip="The change."),
                io.String.Output("text", display_name="text", tooltip="The change in words."),
            ],
        )

    @classmethod
    def validate_inputs(cls, file: str | None = None) -> bool | str:
        return True if file is None else missing_expression(file) or True

    @classmethod
    def fingerprint_inputs(cls, file: str | None, **_: Any) -> str:
        return "" if file is None else expression_fingerprint(file)

    @classmethod
    def execute(cls, file: str, strength: float) -> io.NodeOutput:
        loaded = read_expression(expression_path(file))
        delta = tuple(frame * strength for frame in loaded)
        return io.NodeOutput(delta, label_frames(delta))
