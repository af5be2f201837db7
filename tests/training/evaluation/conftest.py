"""The head model takes seconds to build: one for all tests of this folder."""

from __future__ import annotations

import pytest
from magicface_training.synthetic import HeadModel


@pytest.fixture(scope="session")
def head_model() -> HeadModel:
    return HeadModel.load()
