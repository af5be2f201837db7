"""Jobs, seeds, and one rendered identity of the synthetic protocol."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from magicface_training.evaluation.exact.measure import Case
from magicface_training.evaluation.exact.protocol import identity_cases
from magicface_training.evaluation.identities import ProtocolError, check_seeds
from magicface_training.evaluation.records import EditJob
from magicface_training.synthetic import HeadModel

from magicface_core.aus import AUDelta, AUVector
from magicface_core.framing.framing import Framing
from magicface_core.perception import Perception

SIZE = 64
SMILE = EditJob("AU12", "single", AUDelta(AU12=4))
JAW = EditJob("AU26", "single", AUDelta(AU26=4))
UNSMILE = EditJob("AU12-4", "negative", AUDelta(AU12=-4), AUVector(AU12=4))


def test_test_seeds_pass_silently(caplog: pytest.LogCaptureFixture) -> None:
    assert list(check_seeds(9_998, 2)) == [9_998, 9_999]
    assert not caplog.records


def test_validation_seeds_draw_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert len(check_seeds(9_999, 2)) == 2
    assert "not all test seeds" in caplog.text


@pytest.mark.parametrize("start", [19_999, 20_000, 1_000_000])
def test_training_seeds_are_refused_unless_allowed(start: int) -> None:
    with pytest.raises(ProtocolError, match="--allow-train"):
        check_seeds(start, 2)
    assert len(check_seeds(start, 2, allow_train=True)) == 2


@pytest.mark.parametrize(("start", "identities"), [(-1, 5), (0, 0)])
def test_senseless_seed_ranges_are_refused(start: int, identities: int) -> None:
    with pytest.raises(ProtocolError, match="at least 1"):
        check_seeds(start, identities)


@pytest.fixture(scope="module")
def perception() -> Perception:
    return Perception.load()


def render(seed: int, jobs: list[EditJob], model: HeadModel, perception: Perception) -> Case:
    framing = Framing(region="face", resolution=SIZE)
    return identity_cases(seed, jobs, framing, model, perception)[0]


@pytest.fixture(scope="module")
def case(head_model: HeadModel, perception: Perception) -> Case:
    return render(7, [SMILE, JAW], head_model, perception)


def test_case_has_source_condition_and_answers(case: Case) -> None:
    source = case.source
    assert source.picture.shape == source.background.shape == (1, 3, SIZE, SIZE)
    assert source.mask.shape == (1, 1, SIZE, SIZE)
    assert case.answers.shape == (2, 3, SIZE, SIZE)
    assert 0.05 < float(source.mask.mean()) < 0.7
    outside = (source.mask == 0).expand_as(source.picture)
    assert (source.background - source.picture)[outside].abs().median() < 0.02


def test_answers_differ_from_the_source_by_the_expression_only(case: Case) -> None:
    difference = (case.answers - case.source.picture).abs().mean(1)
    assert (difference.amax(dim=(1, 2)) > 0.1).all()
    corners = difference[:, [0, 0], [0, -1]]
    assert (corners == 0).all(), "backdrop and sensor noise of the source are kept"


def test_cases_are_deterministic_and_do_not_depend_on_the_other_jobs(
    case: Case, head_model: HeadModel, perception: Perception
) -> None:
    again = render(7, [JAW], head_model, perception)
    assert torch.equal(again.source.picture, case.source.picture)
    assert torch.equal(again.source.background, case.source.background)
    assert torch.equal(again.answers[0], case.answers[1])


def test_a_unit_taken_away_goes_from_its_answer_to_the_neutral_source(
    case: Case, head_model: HeadModel, perception: Perception
) -> None:
    framing = Framing(region="face", resolution=SIZE)
    neutral, smiling = identity_cases(7, [SMILE, UNSMILE], framing, head_model, perception)
    assert (neutral.jobs, smiling.jobs) == ((SMILE,), (UNSMILE,))
    assert torch.equal(smiling.source.picture, neutral.answers[:1])
    assert torch.equal(smiling.answers, neutral.source.picture)
    assert torch.equal(neutral.answers[0], case.answers[0])


class Blind(Perception):
    """Finds no face."""

    def __init__(self) -> None:
        """Nothing to load."""

    def faces(self, image: torch.Tensor, limit: int | None = None) -> list:
        return []


def test_exact_labels_stand_in_where_no_face_is_found(head_model: HeadModel, case: Case) -> None:
    blind = render(7, [SMILE], head_model, Blind())
    assert blind.source.face is None
    assert torch.equal(blind.source.picture, case.source.picture)
    exact, detected = blind.source.mask > 0.5, case.source.mask > 0.5
    overlap = (exact & detected).sum() / (exact | detected).sum()
    assert overlap > 0.5, "the detected mask covers about the same region"
    assert np.isclose(float(blind.source.background.max()), 1.0, atol=0.1)
