"""The data that travels between MagicFace nodes, as ComfyUI types.

MAGICFACE_MODEL   `memory.LoadedModel`, a checkpoint under ComfyUI's memory manager
MAGICFACE_CROP    `magicface_core.framing.crops.FaceCrops`, one crop (or None) for each frame
MAGICFACE_AUS     tuple of `magicface_core.perception.AUEstimate`, one for each frame
MAGICFACE_DELTA   tuple of `magicface_core.aus.AUDelta`, one for each frame
MAGICFACE_ID      `magicface_core.editing.rendering.EncodedIdentity`
BOUNDING_BOX      ComfyUI's own: a dict, a list of them, or a list of lists for frames
"""

from __future__ import annotations

from comfy_api.latest import io

Model = io.Custom("MAGICFACE_MODEL")
Crop = io.Custom("MAGICFACE_CROP")
ActionUnits = io.Custom("MAGICFACE_AUS")
Delta = io.Custom("MAGICFACE_DELTA")
Identity = io.Custom("MAGICFACE_ID")
BoundingBox = io.Custom("BOUNDING_BOX")
