"""What the command line says beside its results: logs, warnings, progress, standing notes."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..editing.rendering import RenderCallback
    from ..editing.sampling import Progress
    from ..network import CheckpointInfo

RELEASED_WEIGHTS = "https://huggingface.co/mengtingwei/magicface"

MINI_NOTE = (
    "note: the embedded checkpoint mini was trained on synthetic faces only; for full quality take "
    f"{RELEASED_WEIGHTS}: magicface models download official, then --model official"
)


def set_up_logging(verbose: int) -> None:
    """Send logs to stderr: warnings, with -v also information, with -vv also debugging."""
    logging.basicConfig(format="%(levelname)s %(name)s: %(message)s")
    levels = (logging.WARNING, logging.INFO, logging.DEBUG)
    logging.getLogger("magicface_core").setLevel(levels[min(verbose, 2)])


@contextmanager
def quiet_third_parties(verbose: int) -> Iterator[None]:
    """Hide what other libraries tell their own developers; with -v everything is shown."""
    with warnings.catch_warnings():
        if not verbose:
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", module=r"(torch|diffusers|huggingface_hub)(\.|$)")
        yield


@contextmanager
def step_progress(text: str) -> Iterator[RenderCallback]:
    """A progress bar on stderr, and the callback of an edit that moves it."""
    from tqdm import tqdm

    with tqdm(desc=text, unit="step", leave=False) as bar:

        def advance(done: int, total: int, _: Progress | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        yield advance


def note_on_weights(info: CheckpointInfo) -> None:
    """One line on what to expect of a checkpoint, where it is the embedded one or says so."""
    if info.name == "mini":
        print(MINI_NOTE)
    elif info.notice:
        print(f"note: {info.notice}")
