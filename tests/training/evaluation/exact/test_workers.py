"""Identities measured in this process and in others: the same rows, and a run that goes on."""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path

import pytest
from magicface_training.evaluation import cli
from magicface_training.evaluation.exact import command as synthetic_command
from magicface_training.evaluation.exact.jobs import synthetic_jobs
from magicface_training.evaluation.exact.workers import ArgumentsLoader, Task, measured_identities
from magicface_training.evaluation.records import record_as_dict
from magicface_training.synthetic import HeadModel

from magicface_core.network.tiny import write_tiny_checkpoint

JOBS = tuple(job for job in synthetic_jobs() if job.name in ("AU12+4", "AU12-4"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_checkpoint(tmp_path_factory.mktemp("checkpoints") / "tiny", resolution=64)


def arguments(folder: Path, *words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args([str(folder), "--device", "cpu", "--steps", "1", *words])


def test_worker_processes_give_the_same_rows(
    folder: Path, head_model: HeadModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeadModel, "load", lambda: head_model)
    loader = ArgumentsLoader.of(cli._load_editor, arguments(folder))
    tasks = [Task(11, JOBS[:1], pictures=True), Task(11, JOBS[1:])]
    rows = []
    for workers in (0, 1):
        first, second = measured_identities(loader.load(), tasks, loader, workers)
        assert first.seed == second.seed == 11
        assert len(first.results) == 1 and second.results == ()
        assert {"render", "edit", "measure"} == first.seconds.keys()
        rows.append([record_as_dict(one) for one in (*first.records, *second.records)])
    assert rows[0] == rows[1]
    assert [row["kind"] for row in rows[0]] == ["single", "negative"]
    assert all(row["regressed"] and row["still"] < 0.05 for row in rows[0])


def test_loaders_are_equal_where_their_arguments_are(folder: Path) -> None:
    args = arguments(folder)
    args.extra = ["a", "b"]
    loader = ArgumentsLoader.of(cli._load_editor, args)
    again = pickle.loads(pickle.dumps(loader))  # noqa: S301 (what a process pool does)
    assert again == loader and hash(again) == hash(loader)
    assert loader != ArgumentsLoader.of(cli._load_editor, arguments(folder, "--seed", "5"))


def test_a_run_goes_on_where_it_stopped(
    folder: Path, head_model: HeadModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HeadModel, "load", lambda: head_model)
    monkeypatch.setattr(synthetic_command, "synthetic_jobs", lambda: JOBS)
    out = tmp_path / "run"
    words = ("--out", str(out), "--seed-start", "11", "--identities")
    assert cli.run(arguments(folder, *words, "1")) == 0
    first = (out / "rows" / "seed-00011.json").read_bytes()
    seen: list[int] = []
    measured = synthetic_command.measured_identities

    def spying(editor: object, tasks: list[Task], *others: object) -> object:
        seen.extend(task.seed for task in tasks)
        return measured(editor, tasks, *others)  # type: ignore[arg-type]

    monkeypatch.setattr(synthetic_command, "measured_identities", spying)
    assert cli.run(arguments(folder, *words, "2")) == 0
    assert seen == [12]
    assert (out / "rows" / "seed-00011.json").read_bytes() == first
    report = json.loads((out / "report.json").read_text())
    assert report["counts"]["identities"] == 2
    assert "| **single +4** |" in (out / "report.md").read_text()
