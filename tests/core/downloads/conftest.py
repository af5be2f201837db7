"""A hub that serves one file, a model folder, and patience measured in milliseconds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_files import CONTENT, FAST, PATH, PINNED
from hub_server import Hub, serving

from magicface_core.downloads.catalogue import ModelFile
from magicface_core.downloads.download import Limits, fetch
from magicface_core.downloads.records import Record
from magicface_core.downloads.store import Store
from magicface_core.downloads.transport import Access


@pytest.fixture(autouse=True)
def _no_surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither proxies nor settings of the user."""
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name in ("MAGICFACE_MODELS", "MAGICFACE_MIRROR", "MAGICFACE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hub() -> Iterator[Hub]:
    """Serves CONTENT under PATH."""
    with serving(Hub({PATH: CONTENT})) as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A model folder that does not exist yet."""
    return Store(tmp_path / "models")


@pytest.fixture
def download(store: Store, hub: Hub) -> Callable[..., Record]:
    """Fetch a file (default: PINNED) from the hub."""

    def run(file: ModelFile = PINNED, limits: Limits = FAST) -> Record:
        return fetch(store, file, Access(mirror=hub.address), limits, sleep=lambda _: None)

    return run
