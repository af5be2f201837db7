"""Conditions of an edit must meet the MODEL that reads them.

Any other MODEL would ignore them and draw what it likes. ComfyUI shows the MODEL to each control of
a conditioning before sampling begins, so one that controls nothing can look.
"""

from __future__ import annotations

from typing import Any

import comfy.controlnet
from torch import Tensor

from ...magicface_core.errors import MagicFaceError
from .conditions import Conditioning
from .model import MagicFaceNative

CONTROL, SHARED = "control", "control_apply_to_uncond"


class RightModel(comfy.controlnet.ControlBase):  # type: ignore[misc, unused-ignore]
    """A control that only looks at the MODEL."""

    def pre_run(self, model: Any, percent_to_timestep_function: Any) -> None:
        """Raise MagicFaceError for a MODEL that is no MagicFace."""
        if not isinstance(model, MagicFaceNative):
            raise MagicFaceError(
                f"The sampler's MODEL is a {type(model).__name__}, not MagicFace, and would ignore "
                "identity and action units: connect the MODEL of Load MagicFace (native)."
            )
        super().pre_run(model, percent_to_timestep_function)

    def get_control(self, x_noisy: Tensor, *others: Any) -> Any:
        """What an earlier ControlNet says; nothing of its own."""
        before = self.previous_controlnet
        return None if before is None else before.get_control(x_noisy, *others)

    def copy(self) -> RightModel:
        """The same for another conditioning."""
        other = RightModel()
        self.copy_to(other)
        return other

    def deepclone_multigpu(self, load_device: Any, autoregister: bool = False) -> RightModel:
        """The same for another GPU; there is nothing to move."""
        other = self.copy()
        if autoregister:
            self.multigpu_clones[load_device] = other
        return other


def watched(positive: Conditioning) -> Conditioning:
    """The positive conditioning with a look at the MODEL.

    As ControlNets of the positive side alone, it is shared with the negative by ComfyUI, so that
    both halves of guidance still go through the network together.
    """
    seen: dict[Any, RightModel] = {}
    found = []
    for prompt, values in positive:
        before = values.get(CONTROL)
        if before not in seen:
            seen[before] = RightModel().set_previous_controlnet(before)
        shared = values.get(SHARED, True) if before is not None else True
        found.append([prompt, {**values, CONTROL: seen[before], SHARED: shared}])
    return found
