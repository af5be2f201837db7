"""Clean latents that are relative to the identity image's.

An extension that only checkpoints asking for it use (``magicface.json``, key ``identity_skip``; the
released ones do not): the denoiser predicts what changes, and the identity image's own latents are
added to its output. A small model then starts as an exact copy of the portrait, and all it learns
is the edit. Guidance (Eq. 4) is unaffected, since the same latents are added to both halves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from ..errors import CheckpointError
from .denoiser_inputs import for_rows


def add_identity(prediction: Tensor, identity: Tensor, scaling_factor: float = 1.0) -> Tensor:
    """Clean latents [B,C,h,w] of a predicted change and identity latents [R,C,h,w].

    Row b has identity b mod R. The prediction is scaled; identity latents are not, unless
    ``scaling_factor`` is left at 1.
    """
    return prediction + scaling_factor * for_rows(identity.to(prediction), len(prediction))


def check_identity_skip(skip: bool, identity: str, scheduler_config: Mapping[str, Any]) -> None:
    """Raise CheckpointError where a skip makes no sense.

    It is a sum of clean latents, so the denoiser must predict these, of an identity that it sees as
    latents.
    """
    kind = scheduler_config.get("prediction_type", "epsilon")
    if skip and (kind != "sample" or identity == "image-encoder"):
        raise CheckpointError(
            f"identity_skip goes with prediction_type 'sample' and an identity seen as latents, "
            f"not with {kind!r} and {identity!r}: set identity_skip to false"
        )
