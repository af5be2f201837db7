"""Tasks in processes of this machine."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from multiprocessing import get_context, parent_process

from ..tasks import Attempts, TaskFunction, TaskOutcome, VideoTask, attempted, broken, lost


@dataclass(frozen=True)
class LocalEngine:
    """As many processes as `workers`, started afresh (not forked), one task each at a time.

    Every worker is a pool of its own: when one dies, it is clear which task it took with it.
    """

    workers: int = 1
    attempts: Attempts = field(default_factory=Attempts)

    def run(self, function: TaskFunction, tasks: Sequence[VideoTask]) -> Iterator[TaskOutcome]:
        """One outcome for each task, in the order in which they end."""
        crew = _Crew(function, self.attempts, min(self.workers, len(tasks)))
        try:
            yield from crew.work(deque(tasks))
        finally:
            crew.dismiss()


class _Crew:
    """The workers of a run and what each is doing."""

    def __init__(self, function: TaskFunction, attempts: Attempts, workers: int) -> None:
        self._function, self._attempts = function, attempts
        self._idle = [_new_worker() for _ in range(workers)]
        self._busy: dict[Future[TaskOutcome], tuple[VideoTask, ProcessPoolExecutor]] = {}
        self._deaths: Counter[str] = Counter()

    def work(self, waiting: deque[VideoTask]) -> Iterator[TaskOutcome]:
        while waiting or self._busy:
            while waiting and self._idle:
                self._begin(waiting.popleft())
            ended, _ = wait(self._busy, return_when=FIRST_COMPLETED)
            for future in ended:
                task, worker = self._busy.pop(future)
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    worker.shutdown()
                    self._idle.append(_new_worker())
                    yield from self._bury(task, waiting)
                else:
                    self._idle.append(worker)
                    yield broken(task, error) if error else future.result()

    def dismiss(self) -> None:
        """Let the workers finish what they are doing, and end."""
        for worker in [*self._idle, *(worker for _, worker in self._busy.values())]:
            worker.shutdown(wait=True, cancel_futures=True)

    def _begin(self, task: VideoTask) -> None:
        worker = self._idle.pop()
        try:
            future = worker.submit(attempted, self._function, task, self._attempts)
        except BrokenProcessPool:  # it died while it had nothing to do
            worker.shutdown()
            worker = _new_worker()
            future = worker.submit(attempted, self._function, task, self._attempts)
        self._busy[future] = (task, worker)

    def _bury(self, task: VideoTask, waiting: deque[VideoTask]) -> Iterator[TaskOutcome]:
        """Put a task back whose worker died, unless that has happened too often."""
        self._deaths[task.video.video_id] += 1
        if self._deaths[task.video.video_id] < self._attempts.most:
            waiting.append(task)
        else:
            yield lost(task, self._attempts.most)


def _new_worker() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=get_context("spawn"), initializer=_set_up)


def _set_up() -> None:
    """Leave Ctrl-C to the main program, which lets videos under way be finished; but do not outlive
    it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
