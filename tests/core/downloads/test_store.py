"""The model folder: where it is, what state its files are in, that nothing leaves it."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hub_files import CONTENT, PINNED, UNPINNED, contents

from magicface_core.downloads.catalogue import OFFICIAL, Model
from magicface_core.downloads.records import Record, read_record, record_path, write_record
from magicface_core.downloads.store import Store, default_root
from magicface_core.errors import ModelError

MODEL = Model("tiny", "tests", (PINNED,), "none", "https://example.org", False, "none")


def put(store: Store, name: str, content: bytes) -> Path:
    path = store.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


# --- where ----------------------------------------------------------------------------------------


def test_the_folder_given_comes_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MAGICFACE_MODELS", str(tmp_path / "environment"))
    assert Store.open(tmp_path / "given").root == tmp_path / "given"
    assert Store.open().root == tmp_path / "environment"


@pytest.mark.parametrize(
    ("platform", "variable", "value", "expected"),
    [
        ("linux", "XDG_CACHE_HOME", "cache", "cache/magicface"),
        ("linux", "XDG_CACHE_HOME", "", "user/.cache/magicface"),
        ("darwin", "XDG_CACHE_HOME", "cache", "user/Library/Caches/magicface"),
        ("win32", "LOCALAPPDATA", "local", "local/magicface"),
        ("win32", "LOCALAPPDATA", "", "user/AppData/Local/magicface"),
    ],
)
def test_the_platforms_cache(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    platform: str,
    variable: str,
    value: str,
    expected: str,
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setenv("HOME", str(tmp_path / "user"))
    monkeypatch.setenv(variable, str(tmp_path / value) if value else "")
    assert default_root() == tmp_path / expected


def test_looking_makes_no_folder(store: Store) -> None:
    assert store.state(OFFICIAL) == "missing"
    assert store.checkpoint("official") is None
    assert store.find(PINNED.target) is None
    assert store.size(OFFICIAL) == store.remove(OFFICIAL) == 0
    assert not store.root.exists()


def test_a_link_that_leads_out_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    store.root.mkdir()
    (store.root / "model").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ModelError, match="leads out of the model folder"):
        store.place(PINNED.target)
    with pytest.raises(ModelError, match="leads out"):
        store.remove(MODEL)


def test_the_root_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "models").symlink_to(tmp_path / "disk")
    place = Store(tmp_path / "models").place(PINNED.target)
    assert place == (tmp_path / "disk" / PINNED.target).resolve()


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_what_is_no_plain_file_is_refused(store: Store, tmp_path: Path, kind: str) -> None:
    path = store.root / PINNED.target
    path.parent.mkdir(parents=True)
    path.mkdir() if kind == "folder" else path.symlink_to(tmp_path / "anything")
    with pytest.raises(ModelError, match="not a plain file"):
        store.place(PINNED.target)


# --- states ---------------------------------------------------------------------------------------


def test_states_by_size(store: Store) -> None:
    assert store.state(MODEL) == "missing"
    put(store, f"{PINNED.target}.part", b"some")
    assert store.state(MODEL) == "partial"
    put(store, PINNED.target, CONTENT[:-1])
    assert store.state(MODEL) == "corrupt"
    path = put(store, PINNED.target, CONTENT)
    assert store.state(MODEL) == "present"
    assert store.state_of(UNPINNED) == "present"
    write_record(path, Record("a", 7, "0" * 64))
    assert store.state_of(UNPINNED) == "corrupt"


def test_some_files_of_a_model(store: Store) -> None:
    other = replace(UNPINNED, target="model/config.json")
    model = replace(MODEL, files=(PINNED, other))
    put(store, PINNED.target, CONTENT)
    assert store.state(model) == "partial"
    put(store, other.target, b"{}")
    assert store.state(model) == "present"


def test_the_converted_form_counts(store: Store) -> None:
    file = replace(PINNED, converted="model/weights.safetensors")
    model = replace(MODEL, files=(file, replace(UNPINNED, target="model/config.json")))
    path = put(store, "model/weights.safetensors", b"whole")
    put(store, "model/config.json", b"{}")
    assert store.state(model) == "converted"
    write_record(path, Record("a", 3, "0" * 64))
    assert store.state(model) == "corrupt"


def test_a_complete_checkpoint_is_found(store: Store) -> None:
    for file in OFFICIAL.files:
        put(store, file.target, b"{}")
    assert store.checkpoint("official") == store.root.resolve() / "official"


# --- contents -------------------------------------------------------------------------------------


def test_a_file_copied_by_hand_is_compared(store: Store) -> None:
    assert store.verify(PINNED) == "missing"
    path = put(store, PINNED.target, CONTENT)
    assert store.verify(PINNED) == "ok"
    assert not record_path(path).exists()
    path.write_bytes(bytes(len(CONTENT)))
    assert store.verify(PINNED) == "corrupt"


def test_an_unknown_content_is_recorded_once(store: Store) -> None:
    path = put(store, UNPINNED.target, CONTENT)
    assert store.verify(UNPINNED) == "recorded"
    record = read_record(path)
    assert record is not None
    assert record.first_seen
    assert record.sha256 == hashlib.sha256(CONTENT).hexdigest()
    assert store.verify(UNPINNED) == "ok"
    path.write_bytes(bytes(len(CONTENT)))
    assert store.verify(UNPINNED) == "corrupt"


def test_the_git_object_id_is_compared(store: Store) -> None:
    blob = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()
    put(store, UNPINNED.target, CONTENT)
    assert store.verify(replace(UNPINNED, git_blob=blob)) == "ok"
    assert store.verify(replace(UNPINNED, git_blob="0" * 40)) == "corrupt"


def test_a_changed_conversion_is_noticed(store: Store) -> None:
    file = replace(PINNED, converted="model/weights.safetensors")
    path = put(store, "model/weights.safetensors", b"whole")
    assert store.verify(file) == "recorded"
    assert store.verify(file) == "ok"
    path.write_bytes(b"whale")
    assert store.verify(file) == "corrupt"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", '{"format": "other"}', "[" * 5000, "x" * 20_000, '{"size": -1}'],
)
def test_damaged_records_are_as_good_as_none(store: Store, text: str) -> None:
    path = put(store, PINNED.target, CONTENT)
    record_path(path).write_text(text)
    assert read_record(path) is None
    assert store.verify(PINNED) == "ok"


def test_records_survive_the_disk(store: Store) -> None:
    path = put(store, PINNED.target, CONTENT)
    record = Record("https://example.org/x", 3, "a" * 64, "commit", True, "b" * 64)
    write_record(path, record)
    assert read_record(path) == record


# --- removing -------------------------------------------------------------------------------------


def test_remove_takes_only_its_own(store: Store) -> None:
    put(store, PINNED.target, CONTENT)
    put(store, f"{PINNED.target}.record.json", b"{}")
    put(store, f"{PINNED.target}.part", b"x")
    put(store, "model/part/mine.txt", b"keep")
    assert store.remove(MODEL) == len(CONTENT) + 3
    assert contents(store.root) == {"model/part/mine.txt": b"keep"}
    (store.root / "model/part/mine.txt").unlink()
    store.remove(MODEL)
    assert store.root.exists()
    assert list(store.root.iterdir()) == []


def test_remove_takes_the_conversion_and_the_products(store: Store) -> None:
    model = replace(
        MODEL, files=(replace(PINNED, converted="model/w.safetensors"),), products=("model/p.bin",)
    )
    for name in ("model/w.safetensors", "model/p.bin"):
        put(store, name, b"x")
    assert store.size(model) == store.remove(model) == 2
    assert contents(store.root) == {}


def test_remove_after_a_download(store: Store, download: Callable) -> None:
    download()
    store.remove(MODEL)
    assert list(store.root.iterdir()) == []
