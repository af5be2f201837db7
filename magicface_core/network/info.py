"""What a checkpoint says about itself: ``magicface.json``, and the defaults of the released checkpoint without one."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from .attribute_controller import ControllerKind

FORMAT_VERSION = 1
OFFICIAL_FACE_FRACTION = 352 / 1.5 / 512  # width of the detector's box in the released 512 px crop


@dataclass(frozen=True)
class CheckpointInfo:
    """Everything about a checkpoint that its tensors do not say. Defaults describe the released one."""

    name: str = "magicface"
    format_version: int = FORMAT_VERSION
    resolution: int = 512  # pixels along one side of the crop the networks see
    attribute_controller: ControllerKind = "concatenation"
    locality: tuple[float, ...] = ()  # distance penalty of the attention heads, see reference_attention
    region: str = "person"  # what the background picture blacks out: "face" or "person"
    face_fraction: float = OFFICIAL_FACE_FRACTION  # width of the face box / side of the crop
    crop_offset: tuple[float, float] = (0.0, 0.0)  # crop centre from the official one, in sides (right, down)
    mask_dilation: float = 0.0  # growth of the mask on every side, as a fraction of the crop's side
    chin_extension: float = 0.0  # growth of the mask beyond the chin, likewise
    steps: int = 50  # denoising steps
    guidance: float = 1.5  # AU guidance (alpha in Eq. 4); the released default
    scheduler: str = "unipc"
    keep_detail: bool = False  # paste back the source's detail that the networks' resolution cannot carry
    licence: str = "see the checkpoint's source"
    notice: str = ""  # one line for users, shown by the command line
    training: dict[str, Any] = field(default_factory=dict)  # data seeds, steps, how to reproduce it

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
                f"{where} has format_version {version}, this version reads {FORMAT_VERSION}; update MagicFace"
            )
        return cls._checked(tree, where)

    @classmethod
    def _checked(cls, tree: dict[str, Any], where: str) -> CheckpointInfo:
        known = {f.name: f for f in dataclasses.fields(cls)}
        unknown = sorted(set(tree) - set(known))
        if unknown:
            raise CheckpointError(f"{where} has unknown keys {unknown[:3]}; known: {sorted(known)}")
        values = dict(tree)
        for name in ("locality", "crop_offset"):
            if name in values:
                values[name] = tuple(values[name])
        info = cls(**values)
        allowed = {
            "resolution": isinstance(info.resolution, int) and 32 <= info.resolution <= 4096,
            "region": info.region in ("face", "person"),
            "attribute_controller": info.attribute_controller in ("concatenation", "convolution"),
            "face_fraction": isinstance(info.face_fraction, float) and 0.1 <= info.face_fraction <= 1.0,
            "guidance": isinstance(info.guidance, (int, float)) and info.guidance >= 0,
            "steps": isinstance(info.steps, int) and info.steps >= 1,
        }
        for name, ok in allowed.items():
            if not ok:
                raise CheckpointError(f"{where}: {name} is {getattr(info, name)!r}, which is out of range")
        return info


def read_info(folder: Path) -> CheckpointInfo:
    """The folder's ``magicface.json``, or the released checkpoint's values where there is none."""
    path = folder / "magicface.json"
    if not path.is_file():
        return CheckpointInfo(name=folder.name)
    return CheckpointInfo.from_json(path.read_text(encoding="utf-8"), str(path))
