"""ComfyUI's view of MagicFace: thin nodes over `magicface_core`."""

from __future__ import annotations

from comfy_api.latest import ComfyExtension, io

from .action_units import AUDeltaBuilder, AUEstimateNode
from .animation import AUKeyframes, AUSweep
from .attention import AttentionMapsNode
from .expression import LoadExpression, SaveExpression
from .face import BackgroundPose, FaceCrop, PasteBack
from .files import register_model_folder
from .model import LoadModel
from .native.nodes import Decode, LoadNative, MagicFaceConditioning, Sigmas
from .preflight import PortraitCheck
from .report import ExpressionReport, ExpressionSheet
from .sampling import IDEncoder, Sampler

NODES: list[type[io.ComfyNode]] = [
    LoadModel,
    FaceCrop,
    AUEstimateNode,
    AUDeltaBuilder,
    BackgroundPose,
    IDEncoder,
    Sampler,
    PasteBack,
    AUSweep,
    AUKeyframes,
    ExpressionSheet,
    ExpressionReport,
    SaveExpression,
    LoadExpression,
    PortraitCheck,
    LoadNative,
    MagicFaceConditioning,
    Sigmas,
    Decode,
    AttentionMapsNode,
]


class MagicFaceExtension(ComfyExtension):
    """All nodes of the pack."""

    async def on_load(self) -> None:
        """Make the folder of checkpoints known before any node lists it."""
        register_model_folder()

    async def get_node_list(self) -> list[type[io.ComfyNode]]:
        return NODES
