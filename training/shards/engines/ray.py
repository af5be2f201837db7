"""Tasks on Ray: a cluster of its own on this machine, or one that is already there.

The cluster of its own listens on the loopback interface only, asks for a secret of its own, sends
no usage statistics and has no dashboard; it ends with the run. A cluster of several machines is
started and secured by whoever runs it; its machines must see the videos and the shards under the
same paths.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any

from ..errors import ShardError, require
from ..tasks import Attempts, TaskFunction, TaskOutcome, VideoTask, attempted, broken, lost

THIS_MACHINE = "local"
QUEUED_PER_WORKER = 3  # tasks submitted ahead, so that none waits for the main program
LAST_WAIT = 60  # seconds for workers to leave what they are doing
STORE_BYTES = 128 << 20  # of results; pictures go through files


@dataclass(frozen=True)
class RayEngine:
    """Ray tasks, one CPU each, in processes that load their networks once.

    workers   CPUs of a cluster of its own
    address   "local" for a cluster of its own, "auto" or HOST:PORT for another
    """

    workers: int = 1
    address: str = THIS_MACHINE
    attempts: Attempts = field(default_factory=Attempts)

    def run(self, function: TaskFunction, tasks: Sequence[VideoTask]) -> Iterator[TaskOutcome]:
        """One outcome for each task, in the order in which they end."""
        with self.cluster():
            import ray

            remote = ray.remote(attempted).options(num_cpus=1, max_retries=self.attempts.most - 1)
            ahead = QUEUED_PER_WORKER * max(int(ray.cluster_resources().get("CPU", 1)), 1)
            coming = iter(tasks)
            busy: dict[Any, VideoTask] = {}
            try:
                while True:
                    for task in islice(coming, ahead - len(busy)):
                        busy[remote.remote(function, task, self.attempts)] = task
                    if not busy:
                        return
                    ended, _ = ray.wait(list(busy), num_returns=1)
                    for reference in ended:
                        yield self._outcome(reference, busy.pop(reference))
            finally:
                _dismiss(list(busy))

    @contextmanager
    def cluster(self) -> Iterator[None]:
        """A running Ray; one that runs already is used, and left running."""
        require("ray", "ray")
        own = self.address == THIS_MACHINE
        with _environment(_variables(self.attempts) if own else {}):
            import ray  # reads some of the variables when it is imported

            found_running = ray.is_initialized()
            if not found_running:
                self._start()
        try:
            yield
        finally:
            if not found_running:
                ray.shutdown()

    def _start(self) -> None:
        import ray

        try:
            ray.init(**self._arguments())
        except (ConnectionError, ValueError) as error:
            raise ShardError(
                f'Ray cannot be reached at "{self.address}": {error}. Start it there with '
                '`ray start`, or use "local" for a cluster of its own.'
            ) from error

    def _arguments(self) -> dict[str, Any]:
        shared = {"address": self.address, "log_to_driver": False, "configure_logging": False}
        if self.address != THIS_MACHINE:
            return shared
        return {
            **shared,
            "num_cpus": self.workers,
            "num_gpus": 0,
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
        }

    def _outcome(self, reference: Any, task: VideoTask) -> TaskOutcome:
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            return ray.get(reference)
        except RayTaskError as error:
            return broken(task, error.cause or error)
        except RayError:
            return lost(task, self.attempts.most)


def _dismiss(busy: list[Any]) -> None:
    """Call off what a run that stops early had submitted, and wait until no worker writes."""
    import ray

    for reference in busy:
        ray.cancel(reference)
    if busy:
        ray.wait(busy, num_returns=len(busy), timeout=LAST_WAIT)


def _variables(attempts: Attempts) -> dict[str, str]:
    """What a cluster of its own reads from the environment."""
    return {
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # on every system: the loopback interface only
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": _secret(),
        "RAY_worker_niceness": "0",  # as the local engine's workers
        "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # leaves the visible GPUs as they are
        # Else a video that never fits into memory is tried for ever.
        "RAY_task_oom_retries": str(attempts.most - 1),
    }


@lru_cache(maxsize=1)
def _secret() -> str:
    """One for each process, because Ray keeps the first it reads."""
    return secrets.token_hex(32)


@contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Variables that processes started inside inherit."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
