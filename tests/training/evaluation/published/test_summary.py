"""From hand-made rows to tables, files, pictures, comparisons and the guidance curve."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from evaluation_rows import JOBS, floor_rows, lost_row, make_run, make_settings, person_rows
from magicface_training.evaluation.intervals import Estimate
from magicface_training.evaluation.published.comparison import compare
from magicface_training.evaluation.published.guidance_sweep import open_sweep, run_path, sweep_paths
from magicface_training.evaluation.published.instruments import InstrumentChoice
from magicface_training.evaluation.published.panels import ticks
from magicface_training.evaluation.published.plots import (
    guidance_chart,
    leakage_chart,
    run_charts,
    slope_chart,
)
from magicface_training.evaluation.published.rows import EditRow
from magicface_training.evaluation.published.run_reports import (
    report_comparison,
    report_run,
    report_sweep,
)
from magicface_training.evaluation.published.summary import FOUND, WORST, Summary, summarise_rows
from magicface_training.evaluation.published.summary_tables import (
    leakage_table,
    score_table,
    unit_table,
)
from magicface_training.evaluation.records import EvaluationError
from magicface_training.evaluation.tables import Table, shown
from PIL import Image

from magicface_core.drawing.text import PAPER, REGION_COLOURS

SHARES = {"a": 0.5, "b": 1.0, "c": 0.8}


def all_rows() -> list[EditRow]:
    """Three people; the first edit of the first loses its face."""
    rows = [row for person, share in SHARES.items() for row in person_rows(person, share)]
    rows[3] = lost_row("a", JOBS[0])
    return rows


@pytest.fixture(scope="module")
def summary() -> Summary:
    return summarise_rows(all_rows(), make_settings(list(SHARES)), resamples=200)


def test_scores_in_both_variants(summary: Summary) -> None:
    assert (summary.people, summary.edits) == (3, 3 * len(JOBS))
    found, worst = summary.scores[FOUND], summary.scores[WORST]
    assert found["au"].count == summary.edits - 1
    assert worst["au"].count == summary.edits
    assert worst["au"].value > found["au"].value
    assert worst["identity"].value > found["identity"].value == pytest.approx(0.25)
    assert found["background"] == worst["background"], "needs no face in the edit"
    assert found["au"].low < found["au"].value < found["au"].high


def test_floors_bound_the_scores(summary: Summary) -> None:
    copy = summary.floors["copy of the input"]
    assert copy["identity"].value == 0
    assert copy["au"].value > summary.scores[FOUND]["au"].value, "doing nothing misses more"
    assert copy["au"].count == summary.edits


def test_failures_are_counted(summary: Summary) -> None:
    assert summary.failures.edits == 1
    assert summary.failures.share.value == pytest.approx(1 / summary.edits)
    assert summary.failures.sources == ()


def test_sources_without_a_face_are_named() -> None:
    blind = [
        EditRow(**{**vars(row), "source_face": False, "edit_face": False, "source_aus": None})
        for row in [*floor_rows("z"), *(lost_row("z", job) for job in JOBS)]
    ]
    rows = [*all_rows(), *blind]
    found = summarise_rows(rows, make_settings([*SHARES, "z"]), resamples=50)
    assert found.failures.sources == ("z",)
    assert found.failures.share.value == pytest.approx(1 / (3 * len(JOBS)))
    assert "left out of every score: z." in score_table(found).markdown()


def test_groups_are_those_of_the_edits(summary: Summary) -> None:
    assert list(summary.scores)[2:] == ["single AUs", "pairs", "triples"]


def test_heads_name_the_instruments_and_nothing_published_stands_beside(summary: Summary) -> None:
    text = score_table(summary).markdown()
    assert "AU MSE (embedded)" in text and "identity L2 (embedded copy of dlib's)" in text
    assert "as published" not in text and "0.261" not in text
    assert "not to be set beside the paper's" in text
    assert "target = clip(source + delta, 0, 5)" in text
    assert "| floor: JPEG 95 |" in text


def test_the_paper_s_instruments_earn_the_published_row() -> None:
    rows = [
        EditRow(**{**vars(row), "au_estimator": "libreface", "identity_embedding": "dlib"})
        for row in all_rows()
    ]
    found = summarise_rows(rows, make_settings(list(SHARES)), resamples=50)
    text = score_table(found).markdown()
    assert "AU MSE (LibreFace)" in text and "identity L2 (dlib)" in text
    assert "| MagicFace, as published | 0.261 | 0.473 | 0.044 | - |" in text
    assert "other identities and combinations" in text
    assert found.choice == InstrumentChoice("libreface", "dlib", "embedded")


def test_unit_table_and_leakage(summary: Summary) -> None:
    table = unit_table(summary)
    assert [row[0] for row in table.rows][:3] == ["AU1", "AU2", "AU4"]
    slope = table.rows[1][1]
    assert isinstance(slope, Estimate) and slope.value == pytest.approx(2.3 / 3, abs=0.01)
    assert leakage_table(summary).rows[6][7] == pytest.approx(2.3 / 3, abs=0.01)


def test_tables_in_three_formats() -> None:
    rows = [["a_b & c", Estimate(0.25, 0.2, 0.3)], ["none", Estimate(math.nan)]]
    table = Table("50 % of it", ["x|y", "z"], rows, ["A note."], definitions={"z": "what z is"})
    markdown = table.markdown()
    assert "| x/y | z |" in markdown and "| a_b & c | 0.250 (0.200 to 0.300) |" in markdown
    assert "- z: what z is" in markdown
    latex = table.latex()
    assert r"a\_b \& c & 0.250 (0.200 to 0.300) \\" in latex
    assert r"\caption{50 \% of it. A note. z: what z is.}" in latex
    read = list(csv.reader(io.StringIO(table.csv())))
    assert read[0] == ["x|y", "z", "z, low", "z, high"]
    assert read[1] == ["a_b & c", "0.25", "0.2", "0.3"]
    assert read[2] == ["none", "", "", ""]


@pytest.mark.parametrize(
    ("cell", "text"), [(-0.0001, "0.000"), (None, "-"), (math.nan, "-"), ("AU1", "AU1")]
)
def test_cells_for_people(cell: float | str | None, text: str) -> None:
    assert shown(cell) == text


def test_report_files_are_complete_and_plain(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", SHARES)
    text = report_run(run)
    assert "### tiny: scores" in text and "### tiny: action units" in text
    report = json.loads((run.path / "report.json").read_text())
    assert report["counts"] == {"identities": 3, "edits": 3 * len(JOBS)}
    assert report["as_in_paper"] is False
    assert report["leakage"]["slopes"][0][0] == pytest.approx(2.3 / 3, abs=0.01)
    assert report["per_au"]["AU12"]["curve"][0][0] == 1.0
    assert "python" in report["versions"]
    markdown = (run.path / "report.md").read_text()
    assert "### tiny: leakage" in markdown and "(curves.png)" in markdown
    assert (run.path / "report.tex").read_text().count(r"\begin{table}") == 3
    rows = list(csv.reader(io.StringIO((run.path / "leakage.csv").read_text())))
    assert len(rows) == 13


def test_charts_show_the_slopes(summary: Summary) -> None:
    chart = slope_chart(summary)
    colours = {colour for _, colour in chart.getcolors(1 << 20) or []}
    assert len(colours) > 5
    leakage = np.asarray(leakage_chart(summary))
    middle = leakage[118 + 26 + 15, 92 + 10]
    assert middle[0] > middle[2] + 30, "the diagonal is red"
    off = Image.fromarray(leakage[118 + 52 + 5 : 118 + 52 + 8, 92 + 5 : 92 + 8])
    assert (off.getpixel((0, 0)) == tuple(bytes.fromhex(PAPER[1:]))) is True
    assert set(run_charts(summary)) == {"slopes.png", "leakage.png", "curves.png"}


def test_ticks_are_round_and_inside() -> None:
    assert ticks(0, 5) == [0, 2, 4]
    assert ticks(0.2, 0.44) == pytest.approx([0.2, 0.3, 0.4])
    assert ticks(-1, 5) == [0, 2, 4]


def test_runs_are_compared_edit_by_edit(tmp_path: Path) -> None:
    """The second run does 0.1 more for everyone, which single intervals would hide."""
    first = make_run(tmp_path / "one", SHARES)
    better = {person: share + 0.1 for person, share in SHARES.items() if person != "b"}
    second = make_run(tmp_path / "two", better)
    found = compare(first, second, resamples=200)
    assert (found.people, found.edits) == (2, 2 * len(JOBS)), "what both have"
    slope = found.slopes[0]
    assert slope.difference.value == pytest.approx(0.1)
    assert (slope.difference.low, slope.difference.high) == pytest.approx((0.1, 0.1))
    assert slope.second.value - slope.first.value == pytest.approx(0.1)
    au = found.scores[0]
    assert au.difference.value < 0 and au.difference.high < 0
    text = report_comparison(second, first)
    assert f"| {first.path} | {second.path} | difference |" in text
    assert (second.path / "comparison-one.json").is_file()
    plain = json.loads((second.path / "comparison-one.json").read_text())
    assert plain["slopes"]["AU1"]["difference"]["value"] == pytest.approx(0.1)


def test_runs_that_cannot_be_compared(tmp_path: Path) -> None:
    first = make_run(tmp_path / "one", {"a": 1.0})
    with pytest.raises(EvaluationError, match="no edit in common"):
        compare(first, make_run(tmp_path / "two", {"b": 1.0}))
    other = {"au_estimator": "libreface", "identity": "embedded", "parser": "embedded"}
    with pytest.raises(EvaluationError, match="instruments differ"):
        compare(first, make_run(tmp_path / "three", {"a": 1.0}, instruments=other))


def test_a_sweep_becomes_a_table_and_a_curve(tmp_path: Path) -> None:
    sampling = {"steps": 2, "scheduler": "ddim", "seed": 0, "dtype": "float32"}
    for guidance, share in ((10.5, 0.6), (0.5, 0.5), (3.0, 1.0)):
        people = dict.fromkeys("ab", share)
        settings = {"sampling": {**sampling, "guidance": guidance}}
        make_run(run_path(tmp_path, guidance), people, **settings)
    assert list(sweep_paths(tmp_path)) == [0.5, 3.0, 10.5]
    text = report_sweep(tmp_path)
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 0.5", "| 3", "| 10.5"]
    assert "Guidance as listed, 2 steps" in text
    sweep = open_sweep(tmp_path, [0.5, 3.0])
    errors = [one.scores[FOUND]["au"].value for one in sweep.summaries.values()]
    assert errors[0] > errors[1]
    colours = {colour for _, colour in guidance_chart(sweep).getcolors(1 << 20) or []}
    assert tuple(bytes.fromhex(REGION_COLOURS["brows"][1:])) in colours
    with pytest.raises(EvaluationError, match="no runs"):
        open_sweep(tmp_path, [7.0])
