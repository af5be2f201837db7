"""Worker processes that outlive a signal to the whole job.

Ctrl-C, a scheduler's SIGTERM and the like often reach every process of a job. The trainer then
saves its state, and torch would interrupt that with an error as soon as a worker dies. So workers
are started with these signals blocked, and end when the trainer itself asks them to.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker

SUPPORTED = hasattr(signal, "pthread_sigmask") and hasattr(signal, "sigwaitinfo")


@contextmanager
def sheltered() -> Iterator[None]:
    """Processes started inside have SIGINT and SIGTERM blocked; here they arrive afterwards."""
    if not SUPPORTED:
        yield
        return
    resource_tracker.ensure_running()  # starting it would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def obey_the_trainer(worker: int) -> None:
    """In a worker: end at the SIGTERM of the parent process, and of no other."""
    if SUPPORTED:
        threading.Thread(target=_await_the_trainer, args=(os.getppid(),), daemon=True).start()


def _await_the_trainer(trainer: int) -> None:
    while signal.sigwaitinfo({signal.SIGTERM}).si_pid != trainer:
        pass
    os._exit(0)
