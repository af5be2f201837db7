"""A model folder that does not exist yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from magicface_core.downloads.store import Store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "models")
