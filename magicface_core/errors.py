"""Errors a user can cause and mend; the command line makes each one line and exit code 2."""

from __future__ import annotations


class MagicFaceError(Exception):
    """Base of all errors with a fix on the user's side; messages carry value, limits and fix."""


class ImageError(MagicFaceError):
    """A picture that cannot be read or has a shape, type or range nobody can edit."""


class NoFaceError(MagicFaceError):
    """No face (or no face of that number) in the picture."""


class FaceTooSmallError(MagicFaceError):
    """A face with too few pixels to edit."""


class AUError(MagicFaceError):
    """An unknown action unit, or a value outside its range."""


class CheckpointError(MagicFaceError):
    """A checkpoint that is missing, incomplete, or has the wrong keys or shapes."""


class OutputError(MagicFaceError):
    """A result that cannot be written where it was asked for."""


class ModelError(MagicFaceError):
    """A model file that cannot be fetched or converted, is damaged, or may not be used."""
