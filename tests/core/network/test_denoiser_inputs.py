"""Rows of a batch and the identities they belong to."""

from __future__ import annotations

import pytest
import torch

from magicface_core.network.denoiser_inputs import for_rows


def test_row_b_has_identity_b_mod_r() -> None:
    identities = torch.arange(2.0).reshape(2, 1, 1)
    assert for_rows(identities, 6).flatten().tolist() == [0, 1, 0, 1, 0, 1]
    assert for_rows(torch.zeros(1, 4, 2, 2), 3).shape == (3, 4, 2, 2)


def test_rows_that_identities_cannot_share() -> None:
    with pytest.raises(ValueError, match="batch of 5 cannot share 2 identities"):
        for_rows(torch.zeros(2, 3), 5)
