"""Stand-in editors whose result is known, measured on hand-made cases."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from magicface_training.evaluation.editor import EditSource
from magicface_training.evaluation.exact.measure import Case, Clock, measure_case
from magicface_training.evaluation.exact.readings import Reader
from magicface_training.evaluation.exact.sheet import contact_sheet
from magicface_training.evaluation.records import EditJob

from magicface_core.aus import AUDelta, AUVector
from magicface_core.framing.framing import Framing

SIZE = 32
MESH = np.random.default_rng(0).normal(size=(478, 3))
JOBS = (
    EditJob("AU1", "single", AUDelta(AU1=4)),
    EditJob("smile", "combination", AUDelta(AU6=2, AU12=4)),
)


class StandInPerception:
    """One face in every picture, described by its mean colour; none in a black one."""

    read = 0

    def faces(self, image: torch.Tensor, limit: int | None = None) -> list[SimpleNamespace]:
        self.read += 1
        return [SimpleNamespace(mesh=MESH)] if float(image.max()) > 0 else []

    def estimate_aus(self, face: SimpleNamespace, image: torch.Tensor) -> SimpleNamespace:
        return SimpleNamespace(intensities=AUVector(AU12=5 * float(image.mean())))

    def embed(self, image: torch.Tensor, face: SimpleNamespace) -> np.ndarray:
        return image.mean(dim=(0, 2, 3)).numpy()


class Painter:
    """Fills every crop with one brightness; its own coding darkens by a tenth."""

    framing = Framing(resolution=SIZE)

    def __init__(self, value: float) -> None:
        self.value = value

    def edit(self, source: EditSource, deltas: torch.Tensor) -> torch.Tensor:
        return torch.full((len(deltas), 3, SIZE, SIZE), self.value)

    def reconstruct(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures * 0.9

    keeps_detail = False


def make_case(seed: int, brightness: float = 0.2) -> Case:
    """A grey picture; the answers brighten its middle to 0.8, well inside the mask."""
    picture = torch.full((1, 3, SIZE, SIZE), brightness)
    mask = torch.zeros(1, 1, SIZE, SIZE)
    mask[..., 4:-4, 4:-4] = 1
    answers = picture.repeat(len(JOBS), 1, 1, 1)
    answers[..., 14:18, 14:18] = 0.8
    face = "face" if brightness > 0 else None
    source = EditSource(seed, picture, picture * (1 - mask), mask, face)  # type: ignore[arg-type]
    still = torch.zeros(len(JOBS), 1, SIZE, SIZE, dtype=torch.bool)
    still[..., :12, :] = True
    return Case(source, answers, JOBS, still, np.array([[12.0, 12.0], [20.0, 12.0]]))


def measure(editor: Painter, *cases: Case) -> tuple:
    reader = Reader(StandInPerception())  # type: ignore[arg-type]
    results = [measure_case(editor, case, reader) for case in cases]
    return tuple(record for result in results for record in result.records)


@pytest.mark.parametrize(("value", "ratio"), [(0.8, 0.0), (0.2, 1.0), (0.5, 0.5)])
def test_known_editors_get_their_known_ratio(value: float, ratio: float) -> None:
    records = measure(Painter(value), make_case(1))
    assert [record.job for record in records] == ["AU1", "smile"]
    for record in records:
        assert record.edit.ratio == pytest.approx(ratio, abs=1e-5)
        assert record.edit.pixels == 16
        assert record.mask_floor.ratio == pytest.approx(0, abs=1e-5)
        assert record.floor.ratio == pytest.approx(0.08 / 0.6, rel=1e-4)


def test_records_carry_what_the_response_is_measured_by() -> None:
    record = measure(Painter(0.8), make_case(1))[0]
    assert record.requested == JOBS[0].delta.values
    assert (record.kind, record.strength, record.unit) == ("single", 4.0, "AU1")
    assert record.target.tolist() == [4.0] + [0.0] * 11
    assert record.aus is not None
    assert record.aus.source[6] < record.aus.answer[6] < record.aus.edit[6], "brighter and brighter"
    [share] = record.mixture
    assert share > 0.9, "the one single job's change is in its edit"
    [undetected, _] = measure(Painter(0.8), make_case(1, brightness=0.0))
    assert undetected.aus is None


def test_taking_a_unit_away_starts_from_it() -> None:
    job = EditJob("AU12-4", "negative", AUDelta(AU12=-4), AUVector(AU12=4))
    assert (job.strength, job.target) == (-4.0, AUVector())
    case = make_case(1)
    one = replace(case, answers=case.answers[:1], jobs=(job,), still=case.still[:1])
    [record] = measure(Painter(0.8), one)
    assert record.known[6] == 4 and record.target.tolist() == [0.0] * 12
    assert record.mixture == (), "its source has no single edits to take it apart by"


def test_outside_the_mask_the_source_is_kept_exactly() -> None:
    for record in measure(Painter(0.8), make_case(1)):
        assert record.background.largest == 0.0
        assert record.identity is not None and record.identity > 0


def test_still_pixels_are_compared_with_the_answer() -> None:
    """Rows 0 to 11: the source in rows 0 to 3, the painted mask from row 4 on."""
    record = measure(Painter(0.8), make_case(1))[0]
    painted = 8 * (SIZE - 8) / (12 * SIZE)
    assert 0.5 * 0.6 * painted**0.5 < record.still < 1.01 * 0.6 * painted**0.5, "the edge is soft"
    assert measure(Painter(0.2), make_case(1))[0].still == pytest.approx(0.0, abs=1e-6)
    nothing = replace(make_case(1), still=torch.zeros(2, 1, SIZE, SIZE, dtype=torch.bool))
    assert np.isnan(measure(Painter(0.8), nothing)[0].still)


def test_the_same_mesh_is_the_same_pose() -> None:
    record = measure(Painter(0.8), make_case(1))[0]
    assert record.pose == record.pose_floor == 0.0
    assert measure(Painter(0.0), make_case(1, brightness=0.0))[0].pose_floor is None


def test_undetected_sources_are_counted_and_have_no_identity_distance() -> None:
    first, second = make_case(1, brightness=0.0), make_case(2)
    records = measure(Painter(0.8), first, second)
    assert [record.source_detected for record in records] == [False, False, True, True]
    assert all(record.edit_detected for record in records)
    assert [record.identity is None for record in records] == [True, True, False, False]


def test_results_come_with_pictures_and_times() -> None:
    clock, perception = Clock(), StandInPerception()
    reader = Reader(perception)  # type: ignore[arg-type]
    seen = [measure_case(Painter(0.8), make_case(seed), reader, clock) for seed in (1, 2)]
    assert perception.read == 2 + 4, "what is equal was read once: one source, one answer"
    assert seen[0].edits.shape == (2, 3, SIZE, SIZE)
    assert clock.seconds.keys() == {"edit", "measure"}
    sheet = contact_sheet(seen)
    assert sheet.width >= 2 * SIZE and sheet.height >= 6 * SIZE
    assert (204, 204, 204) in {color for _, color in sheet.getcolors(1 << 16)}
