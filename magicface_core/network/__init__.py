"""MagicFace's networks on stock diffusers: UNets, reference attention, Attribute Controller, autoencoders, files."""

from __future__ import annotations

from .checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from .info import CheckpointInfo

__all__ = ["Checkpoint", "CheckpointInfo", "load_checkpoint", "save_checkpoint"]
