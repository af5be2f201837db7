"""The identities of a synthetic run, measured in this process or spread over several.

Rows do not depend on how many processes there are: an identity is one task, and on the CPU every
process computes with one thread, since sums over more threads round differently.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from magicface_core.perception import Perception
from magicface_core.perception.graph import one_thread

from ...synthetic import HeadModel
from ..editor import Editor
from ..published.run_command import worker_processes
from ..records import EditJob, EditRecord
from .au_regressor import load_regressor
from .measure import Case, CaseResult, Clock, measure_case
from .protocol import synthetic_cases
from .readings import Reader


class EditorLoader(Hashable, Protocol):
    """Brings an editor into a process; survives pickling, and equal ones bring equal editors."""

    def load(self) -> Editor:
        """The editor."""


@dataclass(frozen=True)
class ArgumentsLoader:
    """Loads an editor as a command line describes it."""

    editor_of: Callable[[argparse.Namespace], Editor]
    arguments: tuple[tuple[str, Hashable], ...]

    @classmethod
    def of(
        cls, editor_of: Callable[[argparse.Namespace], Editor], args: argparse.Namespace
    ) -> ArgumentsLoader:
        """The loader of parsed arguments; lists among them count as tuples."""
        values = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in vars(args).items()
        }
        return cls(editor_of, tuple(sorted(values.items())))

    def load(self) -> Editor:
        return self.editor_of(argparse.Namespace(**dict(self.arguments)))


@dataclass(frozen=True)
class Task:
    """One identity and what is asked of it; its pictures come back where they are wanted."""

    seed: int
    jobs: tuple[EditJob, ...]
    pictures: bool = False


@dataclass(frozen=True)
class Measured:
    """Rows of one identity, its pictures where they were asked for, seconds of each part."""

    seed: int
    records: tuple[EditRecord, ...]
    results: tuple[CaseResult, ...]
    seconds: dict[str, float]


class Bench:
    """An editor and everything that measures it."""

    def __init__(self, editor: Editor) -> None:
        self.editor = editor
        self.perception = Perception.load(models=())  # embedded backends, wherever it is measured
        self.reader = Reader(self.perception, load_regressor())
        self.head_model = HeadModel.load()

    def cases(self, task: Task, clock: Clock | None = None) -> Iterator[Case]:
        """The sources of one identity with their exact answers."""
        return synthetic_cases(
            [task.seed],
            task.jobs,
            framing=self.editor.framing,
            head_model=self.head_model,
            perception=self.perception,
            clock=clock,
        )

    def measure(self, task: Task) -> Measured:
        """All edits of one identity."""
        clock = Clock()
        with one_thread():
            cases = self.cases(task, clock)
            results = [measure_case(self.editor, case, self.reader, clock) for case in cases]
        records = tuple(record for result in results for record in result.records)
        kept = tuple(results) if task.pictures else ()
        return Measured(task.seed, records, kept, clock.seconds)


def measured_identities(
    editor: Editor, tasks: Sequence[Task], loader: EditorLoader, workers: int = 0
) -> Iterator[Measured]:
    """The identities in the order of the tasks.

    Without ``workers`` the editor itself is measured; so many processes each load their own.
    """
    if not tasks:
        return
    with worker_processes(workers) as executor:
        if executor is None:
            yield from map(Bench(editor).measure, tasks)
        else:
            yield from executor.map(_measure, [loader] * len(tasks), tasks)


def _measure(loader: EditorLoader, task: Task) -> Measured:
    return bench_of(loader).measure(task)


@lru_cache(maxsize=1)
def bench_of(loader: EditorLoader) -> Bench:
    """Loaded once per process."""
    return Bench(loader.load())
