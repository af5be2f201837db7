"""Pictures shown on a node itself."""

from __future__ import annotations

import torch
from comfy_api.latest import io, ui

MOST_SHOWN = 16


def preview(pictures: torch.Tensor, cls: type[io.ComfyNode]) -> ui.PreviewImage:
    """The first pictures [B,H,W,3] of a batch: each one is a file, and a video has hundreds."""
    return ui.PreviewImage(pictures[:MOST_SHOWN], cls=cls)
