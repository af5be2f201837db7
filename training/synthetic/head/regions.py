"""Names for the parts of the portrait mesh and for the classes of the parse map."""

from __future__ import annotations

from enum import IntEnum


class Part(IntEnum):
    """What a triangle or vertex belongs to; 0 to 6 are stored in the head pack. Left: subject's."""

    BODY = 0
    EYE_LEFT = 1
    EYE_RIGHT = 2
    LASHES = 3
    TEETH_LOWER = 4
    TEETH_UPPER = 5
    TONGUE = 6
    HAIR_SHELL = 7
    GARMENT = 8
    HAIR_BODY = 9
    GLASSES = 10


class FaceClass(IntEnum):
    """Classes of the parse map, one per pixel."""

    BACKGROUND = 0
    SKIN = 1
    BROW = 2
    EYE = 3
    LIP = 4
    MOUTH = 5
    HAIR = 6
    EAR = 7
    NECK = 8
    CLOTH = 9
    GLASSES = 10
    LASH = 11


FACE_CLASSES = (
    FaceClass.SKIN,
    FaceClass.BROW,
    FaceClass.EYE,
    FaceClass.LIP,
    FaceClass.MOUTH,
    FaceClass.LASH,
)
"""The classes that make up the face mask: no ears, neck, hair, clothes or glasses."""

TWO_SIDED_PARTS = (
    Part.TEETH_LOWER,
    Part.TEETH_UPPER,
    Part.TONGUE,
    Part.HAIR_BODY,
    Part.GLASSES,
)
"""Parts drawn from both sides; all others are culled when they face away."""
