"""Scores of hand-made rows, the worst case, floors, and the response of known editors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from evaluation_rows import JOBS, floor_rows, lost_row, make_row, person_rows
from magicface_training.evaluation.intervals import weights
from magicface_training.evaluation.published.edit_table import (
    SCORES,
    WORST_POSE,
    EditTable,
    floor_tables,
)
from magicface_training.evaluation.published.response import mean_responses, response
from magicface_training.evaluation.records import EditJob, EvaluationError

from magicface_core.aus import AUDelta

SMILE = EditJob("AU12+9", "single", AUDelta(AU12=9))


def test_target_is_the_sum_cut_to_the_scale() -> None:
    source = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    table = EditTable.of([make_row("a", SMILE, source_aus=source)])
    assert table.targets[0].tolist() == [0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0]
    lowered = EditJob("AU12-4", "single", AUDelta(AU12=-4))
    assert EditTable.of([make_row("a", lowered, source_aus=source)]).targets[0].max() == 0


def test_scores_of_one_edit() -> None:
    """Half of +9 reaches 4.5 of 5; roll goes from 179 to -179 degrees, which are two apart."""
    scores = dict(zip(SCORES, EditTable.of([make_row("a", SMILE, 0.5)]).scores()[0], strict=True))
    assert scores["au"] == pytest.approx(0.5**2 / 12)
    assert scores["identity"] == 0.25
    assert scores["background"] == 0.02
    assert scores["pose"] == pytest.approx(np.sqrt((3**2 + 2**2) / 3))


def test_a_lost_face_is_left_out_or_counts_as_the_worst() -> None:
    table = EditTable.of([lost_row("a", SMILE)])
    assert np.isnan(table.scores()[0, [0, 1, 3]]).all()
    worst = dict(zip(SCORES, table.scores(worst=True)[0], strict=True))
    assert worst["au"] == pytest.approx(25.0), "5 away from every target, be it 0 or 5"
    assert worst["identity"] == 1.0
    assert worst["pose"] == WORST_POSE
    assert worst["background"] == 0.02, "needs no face"


def test_no_editor_is_blamed_for_a_source_without_a_face() -> None:
    blind = replace(
        lost_row("a", SMILE), source_aus=None, source_pose=None, source_face=False,
        source_embedded=False, background_rmse=None,
    )  # fmt: skip
    assert np.isnan(EditTable.of([blind]).scores(worst=True)).all()


def test_floors_are_scored_against_every_target() -> None:
    """Copying the input misses +1 by 1 and +3 by 3."""
    jobs = [job for job in JOBS if job.name in ("AU1+1", "AU1+3")]
    edits = EditTable.of([make_row(person, job) for person in "ab" for job in jobs])
    floors = floor_tables(edits, [*floor_rows("b"), *floor_rows("a")])
    copy = floors["copy of the input"]
    assert copy.scores()[:, 0] == pytest.approx([1 / 12, 9 / 12] * 2)
    assert (copy.identity == 0).all()
    with pytest.raises(EvaluationError, match="not there for every identity"):
        floor_tables(edits, floor_rows("a"))


def test_response_of_editors_that_do_a_known_share() -> None:
    rows = [*person_rows("a", 0.5), *person_rows("b", 1.0)]
    table = EditTable.of(row for row in rows if row.kind != "floor")
    found = response(table, weights(2, 200))
    assert np.diag(found.slopes) == pytest.approx(0.75)
    assert found.slopes[~np.eye(12, dtype=bool)] == pytest.approx(0.0)
    assert [one.value for one in found.linearity] == pytest.approx([1.0] * 12)
    first = found.slope(0)
    assert (first.low, first.high) == pytest.approx((0.5, 1.0))
    assert first.count == 4
    assert mean_responses(table)[0] == [(1.0, 1.0, 0.75), (3.0, 3.0, 2.25)]


def test_leakage_lands_in_its_column() -> None:
    """Every smile of x also raises the cheeks by 0.4 x."""
    rows = []
    for job in JOBS:
        delta = np.array(job.delta.values)
        leaked = np.clip(delta, 0, 5)
        leaked[4] += 0.4 * leaked[6]
        rows.append(make_row("a", job, edit_aus=tuple(leaked.tolist())))
    found = response(EditTable.of(rows), weights(1, 10))
    assert found.slopes[6, 4] == pytest.approx(0.4)
    assert found.leakage[6, 4] == pytest.approx(0.4)
    assert np.isnan(found.leakage[6, 6])
    assert found.slopes[4, 6] == pytest.approx(0.0)


def test_edits_without_room_on_the_scale_show_no_response() -> None:
    smiling = (0.0,) * 6 + (4.9,) + (0.0,) * 5
    table = EditTable.of([make_row("a", SMILE, source_aus=smiling)])
    found = response(table, weights(1, 10))
    assert np.isnan(found.slopes[6, 6])
    assert found.edits.sum() == 0


def test_an_editor_that_ignores_the_strength_is_not_linear() -> None:
    jobs = [EditJob(f"AU12+{x}", "single", AUDelta(AU12=x)) for x in (1, 3, 5)]
    always = (0.0,) * 6 + (3.0,) + (0.0,) * 5
    table = EditTable.of([make_row("a", job, edit_aus=always) for job in jobs])
    assert response(table, weights(1, 10)).linearity[6].value < 0.7
    nothing = EditTable.of([make_row("a", job, 0.0) for job in jobs])
    assert response(nothing, weights(1, 10)).linearity[6].value == 0.0
