"""Functions in processes of their own, which may be killed; forked, so that they start at once."""

from __future__ import annotations

import multiprocessing
import os
import socket
from collections.abc import Callable
from typing import Any

from accelerate.state import AcceleratorState

Process = multiprocessing.process.BaseProcess


def start(function: Callable[..., Any], *arguments: Any, **environment: str) -> Process:
    """A child process with these environment variables."""
    process = multiprocessing.get_context("fork").Process(
        target=_run, args=(function, arguments, environment)
    )
    process.start()
    return process


def wait(process: Process, seconds: float = 120) -> int | None:
    """The exit code; a negative one is the signal that ended it. None when time is up."""
    process.join(seconds)
    if process.is_alive():
        process.kill()
        return None
    return process.exitcode


def run(function: Callable[..., Any], *arguments: Any, **environment: str) -> int | None:
    """``start`` and ``wait``."""
    return wait(start(function, *arguments, **environment))


def together(count: int, function: Callable[..., Any], *arguments: Any) -> list[int | None]:
    """``count`` processes of one run, as torchrun would start them; their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    common = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    processes = [
        start(function, *arguments, RANK=str(rank), LOCAL_RANK=str(rank), **common)
        for rank in range(count)
    ]
    return [wait(process) for process in processes]


def _run(
    function: Callable[..., Any], arguments: tuple[Any, ...], environment: dict[str, str]
) -> None:
    os.environ.update(environment)
    AcceleratorState._reset_state(reset_partial_state=True)  # the parent's
    function(*arguments)
