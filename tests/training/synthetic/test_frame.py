from __future__ import annotations

import numpy as np
import pytest
from magicface_training.synthetic import Frame, exact_edit

from magicface_core.errors import AUError


def test_exact_edit_changes_nothing_but_the_intensities(frontal: Frame) -> None:
    au = np.linspace(0, 5, 12)
    edited = exact_edit(frontal, au)
    assert edited.au.dtype == np.float32
    assert np.allclose(edited.au, au)
    for name in ("pose", "light", "noise_seed", "backdrop_seed", "asymmetry", "gaze", "zoom"):
        assert getattr(edited, name) is getattr(frontal, name)
    assert not frontal.au.any()


@pytest.mark.parametrize(
    ("au", "message"),
    [(np.zeros(11), "shape"), (np.full(12, 5.1), "0..5"), (np.full(12, np.nan), "0..5")],
)
def test_impossible_intensities_are_refused(frontal: Frame, au: np.ndarray, message: str) -> None:
    with pytest.raises(AUError, match=message):
        exact_edit(frontal, au)
