"""What can go wrong with shards, and the packages they need."""

from __future__ import annotations

import errno
import importlib.util

from magicface_core.errors import MagicFaceError

FULL_OR_CLOSED = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES, errno.EPERM}
)
"""Faults of a disk that trying again does not mend."""


class ShardError(MagicFaceError):
    """Shards, or what they are made from, that are missing, damaged or cannot be made."""


def require(module: str, extra: str) -> None:
    """Raise ShardError with the pip line where an optional package is not installed."""
    if importlib.util.find_spec(module) is None:
        raise ShardError(
            f"This needs {module}, which is not installed: "
            f'python -m pip install "comfyui-magicface[{extra}]"'
        )
