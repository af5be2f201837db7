"""MagicFace's networks on stock diffusers.

UNets, reference attention, Attribute Controller, autoencoders, checkpoint files.
"""

from __future__ import annotations

from .checkpoint import Checkpoint, load_checkpoint
from .info import CheckpointInfo
from .merged import merge_checkpoint
from .saving import save_checkpoint

__all__ = ["Checkpoint", "CheckpointInfo", "load_checkpoint", "merge_checkpoint", "save_checkpoint"]
