"""What a checkpoint says about itself: ``magicface.json``.

A folder without that file is taken for the released checkpoint, whose values are the defaults.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from ..errors import CheckpointError
from .action_unit_inputs import ActionUnitKind
from .attribute_controller import ControllerKind
from .identity_paths import IdentityKind

FORMAT_VERSION = 1
OFFICIAL_FACE_FRACTION = 352 / 1.5 / 512  # detector's box / side of the released 512 px crop


@dataclass(frozen=True)
class CheckpointInfo:
    """Everything about a checkpoint that its tensors do not say.

    name                  for users
    resolution            pixels along one side of the crop the networks see
    identity              see ``identity_paths.py``
    action_units          see ``action_unit_inputs.py``
    attribute_controller  see ``attribute_controller.py``
    locality              distance penalty of the attention heads, see ``reference_attention.py``
    region                what the background picture blacks out: "face" or "person"
    face_fraction         width of the face box / side of the crop
    crop_offset           crop centre from the official one, in sides of the crop (right, down)
    mask_dilation         growth of the mask on every side, in sides of the crop
    chin_extension        growth of the mask beyond the chin, likewise
    steps                 denoising steps
    guidance              AU guidance, alpha in Eq. 4; the released default
    scheduler             a name of ``schedulers.SCHEDULERS``
    identity_skip         the denoiser's clean latents are relative to the identity image's, see
                          ``identity_skip.py``
    keep_detail           paste back detail of the source that the resolution cannot carry
    licence, notice       notice is one line for users, shown by the command line
    training              data seeds, steps, how to reproduce it
    """

    name: str = "magicface"
    format_version: int = FORMAT_VERSION
    resolution: int = 512
    identity: IdentityKind = "reference-attention"
    action_units: ActionUnitKind = "linear"
    attribute_controller: ControllerKind = "concatenation"
    locality: tuple[float, ...] = ()
    region: Literal["face", "person"] = "person"
    face_fraction: float = OFFICIAL_FACE_FRACTION
    crop_offset: tuple[float, float] = (0.0, 0.0)
    mask_dilation: float = 0.0
    chin_extension: float = 0.0
    steps: int = 50
    guidance: float = 1.5
    scheduler: str = "unipc"
    identity_skip: bool = False
    keep_detail: bool = False
    licence: str = "see the checkpoint's source"
    notice: str = ""
    training: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """Pretty-printed JSON."""
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str, where: str = "magicface.json") -> CheckpointInfo:
        """Parse and check; unknown keys and future formats are refused with the fix."""
        try:
            tree = json.loads(text)
        except json.JSONDecodeError as error:
            raise CheckpointError(f"{where} is not valid JSON: {error}") from error
        if not isinstance(tree, dict):
            raise CheckpointError(f"{where} holds {type(tree).__name__}, not an object")
        version = tree.get("format_version", FORMAT_VERSION)
        if version != FORMAT_VERSION:
            raise CheckpointError(
                f"{where} has format_version {version}, this version reads {FORMAT_VERSION}; "
                "update MagicFace"
            )
        return cls._checked(tree, where)

    @classmethod
    def _checked(cls, tree: dict[str, Any], where: str) -> CheckpointInfo:
        known = sorted(f.name for f in dataclasses.fields(cls))
        unknown = sorted(set(tree) - set(known))
        if unknown:
            raise CheckpointError(f"{where} has unknown keys {unknown[:3]}; known: {known}")
        for name, kinds in _KINDS.items():
            if name in tree and tree[name] not in kinds:
                raise CheckpointError(
                    f"{where}: {name} is {tree[name]!r}, which is out of range; "
                    f"allowed: {', '.join(kinds)}"
                )
        for name, value in tree.items():
            if name in _ALLOWED and not _ALLOWED[name](value):
                raise CheckpointError(
                    f"{where}: {name} is {value!r}, which is out of range; "
                    "copy the file from the checkpoint's source"
                )
        values: dict[str, Any] = {
            k: tuple(v) if isinstance(v, list) else v for k, v in tree.items()
        }
        return cls(**values)


def _number(low: float, high: float = math.inf) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, int | float) and not isinstance(value, bool) and low <= value <= high
    )


def _whole(low: int, high: int) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, int) and _number(low, high)(value)


def _numbers(low: float, count: int | None = None) -> Callable[[Any], bool]:
    return lambda value: (
        isinstance(value, list | tuple)
        and all(_number(low)(v) for v in value)
        and count in (None, len(value))
    )


def _kind(kind: type) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, kind)


_KINDS: dict[str, tuple[str, ...]] = {
    "identity": get_args(IdentityKind),
    "action_units": get_args(ActionUnitKind),
    "attribute_controller": get_args(ControllerKind),
    "region": ("face", "person"),
}

_ALLOWED: dict[str, Callable[[Any], bool]] = {
    "name": _kind(str),
    "resolution": _whole(32, 4096),
    "locality": _numbers(0.0),
    "face_fraction": _number(0.1, 1.0),
    "crop_offset": _numbers(-1.0, count=2),
    "mask_dilation": _number(0.0, 1.0),
    "chin_extension": _number(0.0, 1.0),
    "steps": _whole(1, 1000),
    "guidance": _number(0.0, 100.0),
    "scheduler": _kind(str),
    "identity_skip": _kind(bool),
    "keep_detail": _kind(bool),
    "licence": _kind(str),
    "notice": _kind(str),
    "training": _kind(dict),
}


def read_info(folder: Path) -> CheckpointInfo:
    """The folder's ``magicface.json``, or the released checkpoint's values where there is none."""
    path = folder / "magicface.json"
    if not path.is_file():
        return CheckpointInfo(name=folder.name)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path} is not UTF-8 text: {error}") from error
    return CheckpointInfo.from_json(text, str(path))
