"""Weights that are not embedded: what there is, where it lies, how it gets there.

Importing this package touches neither network nor disk. ``transport.py`` and ``download.py``, the
only modules of the library that reach the network, are imported by ``magicface models`` alone.
"""

from __future__ import annotations

from .catalogue import MODELS, Model, ModelFile, find_model
from .store import Store

__all__ = ["MODELS", "Model", "ModelFile", "Store", "find_model"]
