"""ComfyUI's door to MagicFace.

It opens onto no nodes in this version: everything lives in `magicface_core`, which works without
ComfyUI. This file imports nothing, so that tests and tools can pass it.
"""
