"""Response of edits with exact answers: by pixels, and as the estimator reads both."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from magicface_training.evaluation.exact.response import response_lines, response_summary
from magicface_training.evaluation.metrics import ChangedError, mixture
from magicface_training.evaluation.records import AUReadings, EditRecord

from magicface_core.aus import AU_ORDER, AUDelta, AUVector
from magicface_core.report.background import BackgroundError


def test_a_mixture_is_taken_apart() -> None:
    parts = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(1)) - 0.5
    shares = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.25, -0.1]])
    changes = torch.einsum("nk,kchw->nchw", shares, parts)
    assert mixture(changes, parts) == pytest.approx(shares.numpy(), abs=1e-5)


def test_parts_that_change_nothing_get_no_share() -> None:
    parts = torch.zeros(2, 3, 4, 4)
    parts[0] = 0.5
    assert mixture(parts[:1], parts) == pytest.approx(np.array([[1.0, 0.0]]))


def record(seed: int, index: int, share: float) -> EditRecord:
    """An edit that does a share of its unit, leaks a tenth into the next, read at half gain."""
    delta = AUDelta(**{f"AU{AU_ORDER[index]}": 4})
    answer = np.array(delta.values)
    mix = np.zeros(12)
    mix[index], mix[(index + 1) % 12] = share, 0.1
    none = ChangedError()
    return EditRecord(
        seed, delta.label(), "single", 4.0, none, none, none, BackgroundError(0, 0), 0.2, 0.1,
        True, True, delta.values,
        AUVector().values, AUReadings(np.zeros(12), 0.5 * share * answer, 0.5 * answer),
        tuple(mix.tolist()), regressed=AUReadings(np.zeros(12), 4 * mix, answer),
    )  # fmt: skip


def test_both_ways_find_the_share() -> None:
    records = [record(seed, i, share) for seed, share in ((1, 0.6), (2, 1.0)) for i in range(12)]
    summary = response_summary(records, resamples=100, seed=0)
    pixels = summary["pixels"]["AU12"]
    assert pixels["response"]["value"] == pytest.approx(0.8)
    assert (pixels["leak"]["value"], pixels["into"]) == (pytest.approx(0.1), "AU15")
    assert (pixels["response"]["low"], pixels["response"]["high"]) == pytest.approx((0.6, 1.0))
    estimated = summary["estimated"]["per_au"]["AU12"]
    assert estimated["relative_response"]["value"] == pytest.approx(0.8), "free of the gain"
    assert estimated["edits"]["value"] == pytest.approx(0.4)
    assert estimated["answers"]["value"] == pytest.approx(0.5)
    errors = summary["estimated"]["au_error"]
    assert errors["answer"]["value"] == pytest.approx(2**2 / 12), "the instrument's own"
    regressed = summary["regressed"]["per_au"]["AU12"]
    assert regressed["edits"]["value"] == regressed["relative_response"]["value"]
    assert (regressed["edits"]["low"], regressed["edits"]["high"]) == pytest.approx((0.6, 1.0))
    assert regressed["answers"]["value"] == 1.0
    assert (regressed["leak"]["value"], regressed["into"]) == (pytest.approx(0.1), "AU15")
    assert np.shape(summary["regressed"]["leakage"]["edits"]) == (12, 12)
    assert summary["regressed"]["au_error"]["answer"]["value"] == 0
    lines = "\n".join(response_lines(summary))
    assert "AU MSE to the exact labels (regressor): edits" in lines
    assert "| asked | AU1 |" in lines
    assert "| AU12 | 0.80 (0.60 to 1.00) | 0.10 (0.10 to 0.10) | AU15 |" in lines


def test_negative_edits_are_measured_against_what_they_leave() -> None:
    known = np.eye(12)[6] * 4
    away = AUDelta(AU12=-4)
    one = replace(
        record(1, 6, 1.0), kind="negative", strength=-4.0, requested=away.values,
        known=tuple(known), regressed=AUReadings(known, known * 0.5, known * 0.0),
    )  # fmt: skip
    errors = response_summary([one], resamples=10, seed=0)["regressed"]["au_error"]
    assert errors["edit"]["value"] == pytest.approx(2**2 / 12)
    assert errors["answer"]["value"] == 0


def test_the_regressor_s_own_error_is_printed() -> None:
    held_out = {"mse": 0.123, "leakage": 0.045, "leaks": "AU1 into AU2"}
    records = [record(1, index, 1.0) for index in range(12)]
    summary = response_summary(records, resamples=10, seed=0, held_out=held_out)
    assert summary["regressed"]["held_out"] == held_out
    text = "\n".join(response_lines(summary))
    assert "held out of its training: MSE 0.123, largest leakage 0.045 (AU1 into AU2)." in text


def test_nothing_measured_gives_no_table() -> None:
    summary = response_summary([], resamples=10, seed=0)
    assert response_lines(summary) == []
    assert set(summary) == {"definition"}
