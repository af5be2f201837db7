"""Errors of the training data."""

from __future__ import annotations

from magicface_core.errors import MagicFaceError


class DataError(MagicFaceError):
    """Training data that is missing, damaged or of another layout."""
