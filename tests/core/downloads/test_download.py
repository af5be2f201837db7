"""Downloads from a server that misbehaves: the file comes whole, or not at all."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import namedtuple
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hub_files import CONTENT, FAST, PATH, PINNED, UNPINNED, contents
from hub_server import Hub, body, drop_after, hang, redirect, status, without_ranges

from magicface_core.downloads import download as module
from magicface_core.downloads.catalogue import ModelFile
from magicface_core.downloads.download import Limits, fetch
from magicface_core.downloads.records import read_record
from magicface_core.downloads.store import Store
from magicface_core.downloads.transport import Access
from magicface_core.errors import ModelError, OutputError

TARGET = PINNED.target
PART = f"{TARGET}.part"
NOTE = f"{TARGET}.part.json"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
BLOB = hashlib.sha1(b"blob %d\0" % len(CONTENT) + CONTENT).hexdigest()


def refusal(download: Callable, *args: object, **options: object) -> str:
    with pytest.raises(ModelError) as caught:
        download(*args, **options)
    return str(caught.value)


def leave_part(download: Callable, hub: Hub, file: ModelFile = PINNED) -> None:
    """A part of 100,000 bytes from a run that lost the server."""
    hub.tricks[PATH] = [drop_after(100_000), *[status(503)] * FAST.attempts]
    assert "100000 bytes are kept" in refusal(download, file)
    hub.requests.clear()


# --- good servers ---------------------------------------------------------------------------------


def test_a_whole_file(download: Callable, store: Store, hub: Hub) -> None:
    record = download()
    assert set(contents(store.root)) == {TARGET, f"{TARGET}.record.json"}
    assert (store.root / TARGET).read_bytes() == CONTENT
    assert (record.size, record.sha256, record.revision) == (len(CONTENT), SHA256, "abc")
    assert not record.first_seen
    assert read_record(store.root / TARGET) == record
    assert record.address == f"{hub.address}{PATH}"


def test_progress_counts_bytes(store: Store, hub: Hub) -> None:
    told: list[tuple[int, int | None]] = []
    fetch(
        store,
        PINNED,
        Access(mirror=hub.address),
        FAST,
        report=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_an_unknown_checksum_is_recorded_and_said(download: Callable, hub: Hub) -> None:
    hub.headers["X-Repo-Commit"] = "c0ffee"
    record = download(
        replace(UNPINNED, revision=None, url=UNPINNED.url.replace("{revision}", "abc"))
    )
    assert record.first_seen
    assert (record.sha256, record.revision) == (SHA256, "c0ffee")


def test_a_git_object_id(download: Callable, hub: Hub) -> None:
    file = replace(UNPINNED, git_blob=BLOB)
    assert not download(file).first_seen
    hub.files[PATH] = CONTENT[:-1] + b"?"
    assert "git object id" in refusal(download, file)


def test_a_length_that_is_not_announced(download: Callable, hub: Hub, store: Store) -> None:
    hub.tricks[PATH] = [body(CONTENT, length=None)]
    assert download(UNPINNED).size == len(CONTENT)


def test_an_older_file_is_replaced_only_by_a_whole_one(
    download: Callable, hub: Hub, store: Store
) -> None:
    path = store.root / TARGET
    path.parent.mkdir(parents=True)
    path.write_bytes(b"old")
    hub.tricks[PATH] = [body(b"x" * len(CONTENT))]
    refusal(download)
    assert contents(store.root) == {TARGET: b"old"}
    download()
    assert path.read_bytes() == CONTENT


# --- interruptions --------------------------------------------------------------------------------


def test_a_dropped_connection_is_resumed(download: Callable, hub: Hub) -> None:
    hub.tricks[PATH] = [drop_after(50_000), drop_after(70_000)]
    assert download().sha256 == SHA256
    assert hub.ranges() == [None, "bytes=50000-", "bytes=120000-"]
    assert [headers.get("If-Range") for _, headers in hub.requests] == [None, '"first"', '"first"']


def test_a_later_run_goes_on(download: Callable, hub: Hub, store: Store) -> None:
    leave_part(download, hub)
    assert set(contents(store.root)) == {PART, NOTE}
    assert download().sha256 == SHA256
    assert hub.ranges() == ["bytes=100000-"]
    assert set(contents(store.root)) == {TARGET, f"{TARGET}.record.json"}


@pytest.mark.parametrize("file", [PINNED, UNPINNED], ids=["pinned", "unpinned"])
def test_a_file_that_changed_meanwhile_starts_again(
    download: Callable, hub: Hub, file: ModelFile
) -> None:
    leave_part(download, hub, file)
    hub.etag = '"second"'
    assert download(file).sha256 == SHA256
    assert hub.ranges() == ["bytes=100000-"]  # answered by the whole file


def test_a_server_that_ignores_if_range(download: Callable, hub: Hub) -> None:
    """The rest of another file must not be glued on."""
    leave_part(download, hub, UNPINNED)
    old = hub.files[PATH]
    hub.files[PATH] = bytes(reversed(old))
    hub.etag = '"second"'
    whole = len(old)

    def rest_of_the_new(request: object) -> None:
        span = {"Content-Range": f"bytes 100000-{whole - 1}/{whole}"}
        request.send(206, hub.files[PATH][100_000:], span)  # type: ignore[attr-defined]

    hub.tricks[PATH] = [rest_of_the_new]
    assert download(UNPINNED).sha256 == hashlib.sha256(hub.files[PATH]).hexdigest()


def test_no_ranges_means_from_the_start(download: Callable, hub: Hub) -> None:
    leave_part(download, hub)
    hub.tricks[PATH] = [without_ranges]
    assert download().sha256 == SHA256


@pytest.mark.parametrize("span", ["bytes 5-9/10", "bytes 100000-299998/300000", "nonsense", ""])
def test_a_range_that_does_not_continue(download: Callable, hub: Hub, span: str) -> None:
    leave_part(download, hub)
    hub.tricks[PATH] = [
        lambda request: request.send(206, request.content[100_000:], {"Content-Range": span})
    ]
    assert download().sha256 == SHA256


def test_range_not_satisfiable(download: Callable, hub: Hub) -> None:
    leave_part(download, hub)
    hub.tricks[PATH] = [status(416)]
    assert download().sha256 == SHA256


def test_a_weak_tag_resumes_only_what_a_checksum_guards(download: Callable, hub: Hub) -> None:
    hub.etag = 'W/"weak"'
    leave_part(download, hub, UNPINNED)
    download(UNPINNED)
    assert hub.ranges() == [None]
    leave_part(download, hub)
    download()
    assert hub.ranges() == ["bytes=100000-"]


def test_a_damaged_part_is_fetched_again(download: Callable, hub: Hub, store: Store) -> None:
    leave_part(download, hub)
    part = store.root / PART
    part.write_bytes(b"?" + part.read_bytes()[1:])
    assert download().sha256 == SHA256
    assert hub.ranges() == ["bytes=100000-", None]


@pytest.mark.parametrize("note", ["", "[]", "{}", '{"address": "elsewhere"}', "{" * 9000])
def test_a_part_of_unknown_origin_is_not_used(
    download: Callable, hub: Hub, store: Store, note: str
) -> None:
    leave_part(download, hub)
    (store.root / NOTE).write_text(note)
    assert download().sha256 == SHA256
    assert hub.ranges() == [None]


def test_a_part_that_is_complete(download: Callable, hub: Hub, store: Store) -> None:
    leave_part(download, hub)
    (store.root / PART).write_bytes(CONTENT)
    assert download().sha256 == SHA256
    assert hub.requests == []


def test_ctrl_c_keeps_the_part(store: Store, hub: Hub, download: Callable) -> None:
    def stop(done: int, _: int | None) -> None:
        if done >= 100_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(store, PINNED, Access(mirror=hub.address), FAST, report=stop)
    kept = len(contents(store.root)[PART])
    assert kept >= 100_000
    hub.requests.clear()
    download()
    assert hub.ranges() == [f"bytes={kept}-"]


def test_server_errors_then_success(download: Callable, hub: Hub) -> None:
    hub.tricks[PATH] = [status(500), status(503)]
    assert download().sha256 == SHA256


def test_waiting_grows_and_obeys_the_server(store: Store, hub: Hub) -> None:
    hub.tricks[PATH] = [status(500), status(500), status(429, {"Retry-After": "7"}), status(500)]
    waited: list[float] = []
    limits = Limits(attempts=9, pause=1.0, longest_pause=6.0)
    fetch(store, PINNED, Access(mirror=hub.address), limits, sleep=waited.append)
    assert waited == [1.0, 2.0, 6.0, 6.0]


def test_attempts_are_bounded_even_with_progress(download: Callable, hub: Hub) -> None:
    hub.tricks[PATH] = [drop_after(10)] * 100
    assert "could not be fetched" in refusal(download)
    assert len(hub.requests) == FAST.all_attempts


def test_a_server_that_falls_silent(download: Callable, hub: Hub, store: Store) -> None:
    hub.tricks[PATH] = [hang]
    assert download(limits=replace(FAST, timeout=0.3)).sha256 == SHA256


def test_a_connection_that_trickles(download: Callable, hub: Hub) -> None:
    limits = replace(FAST, stall=-1.0, stall_bytes=1_000_000)
    assert "too slow" in refusal(download, limits=limits)


# --- what must not be kept ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("trick", "text"),
    [
        (status(404), "404"),
        (status(403), "403"),
        (status(400), "400"),
        (status(204), "204"),
        (body(CONTENT[:-1]), "should have 300000 bytes, the server sends 299999"),
        (body(b"x" * len(CONTENT)), "expected"),
        (body(CONTENT, headers={"Content-Encoding": "gzip"}), "compressed"),
        (body(b"<html>", headers={"Content-Type": "text/html"}), "web page"),
        (redirect("http://127.0.0.2:9/weights.bin"), "not an https address"),
        (redirect("file:///etc/hostname"), "redirects to where nothing is fetched"),
        (redirect("ftp://127.0.0.1/weights.bin"), "not an https address"),
        (body(CONTENT + b"more", length=None), "longer than"),
        (body(b"", length=None), "ended after 0 of 300000 bytes"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refused_and_nothing_left(
    download: Callable, hub: Hub, store: Store, trick: object, text: str
) -> None:
    hub.tricks[PATH] = [trick] * 20  # type: ignore[list-item]
    message = refusal(download)
    assert text in message
    assert "\n" not in message
    assert not store.root.exists()


def test_a_refusal_keeps_an_earlier_part(download: Callable, hub: Hub, store: Store) -> None:
    leave_part(download, hub)
    before = contents(store.root)
    hub.tricks[PATH] = [status(404)]
    refusal(download)
    assert contents(store.root) == before


def test_wrong_bytes_name_both_checksums(download: Callable, hub: Hub) -> None:
    hub.files[PATH] = bytes(len(CONTENT))
    message = refusal(download)
    assert SHA256 in message
    assert hashlib.sha256(bytes(len(CONTENT))).hexdigest() in message


def test_the_hubs_own_checksum_counts_where_ours_is_unknown(
    download: Callable, hub: Hub, store: Store
) -> None:
    hub.headers["X-Linked-ETag"] = f'"{"0" * 64}"'
    assert f"expected {'0' * 64}" in refusal(download, UNPINNED)
    assert not store.root.exists()
    hub.headers["X-Linked-ETag"] = f'"{SHA256}"'
    assert download(UNPINNED).first_seen


def test_endless_redirections(download: Callable, hub: Hub, store: Store) -> None:
    hub.tricks[PATH] = [redirect(f"{hub.address}{PATH}")] * 50
    assert "redirects" in refusal(download)
    assert len(hub.requests) < 10
    assert not store.root.exists()


def test_a_redirection_within_the_mirror(download: Callable, hub: Hub) -> None:
    hub.files["/store/1?signature=x"] = CONTENT
    hub.tricks[PATH] = [redirect(f"{hub.address}/store/1?signature=x")]
    assert download().sha256 == SHA256


def test_more_than_a_file_may_have(download: Callable, hub: Hub, store: Store) -> None:
    assert "at most" in refusal(download, replace(UNPINNED, about=1000))
    hub.tricks[PATH] = [body(CONTENT, length=None)]
    assert "longer than" in refusal(download, replace(UNPINNED, about=1000))
    assert not store.root.exists()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", b"not json"),
        ("config.json", b"[1]"),
        ("config.json", b"[" * 100_000),
        ("model.safetensors", b"\0" * 100),
        ("model.safetensors", (2**62).to_bytes(8, "little") + b"{}"),
        ("model.safetensors", b"short"),
        ("anchors.npy", b"<?xml"),
    ],
)
def test_unknown_content_must_be_what_its_name_says(
    download: Callable, hub: Hub, store: Store, name: str, content: bytes
) -> None:
    path = PATH.replace("weights.bin", name)
    hub.files[path] = content
    url = UNPINNED.url.replace("weights.bin", name)
    message = refusal(download, replace(UNPINNED, url=url, target=f"model/{name}"))
    assert "sent something else" in message
    assert not store.root.exists()


def test_a_truncated_safetensors_file_is_not_recorded(
    download: Callable, hub: Hub, store: Store
) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}}).encode()
    whole = len(header).to_bytes(8, "little") + header + bytes(16)
    path = PATH.replace("weights.bin", "a.safetensors")
    url = UNPINNED.url.replace("weights.bin", "a.safetensors")
    file = replace(UNPINNED, url=url, target="model/a.safetensors")
    hub.files[path] = whole[:-1]
    assert "no whole safetensors file" in refusal(download, file)
    hub.files[path] = whole
    assert download(file).size == len(whole)


# --- the surroundings -----------------------------------------------------------------------------


def test_offline(store: Store, hub: Hub) -> None:
    with pytest.raises(ModelError, match="MAGICFACE_OFFLINE is set"):
        fetch(store, PINNED, Access(offline=True, mirror=hub.address), FAST)
    assert hub.requests == []
    assert not store.root.exists()


def test_no_network(store: Store) -> None:
    nowhere = Access(mirror="http://127.0.0.1:1")
    with pytest.raises(
        ModelError, match=r"no connection to 127\.0\.0\.1:1 .*HTTPS_PROXY"
    ) as caught:
        fetch(store, PINNED, nowhere, FAST, sleep=lambda _: None)
    assert "\n" not in str(caught.value)
    assert not store.root.exists()


def test_no_space_is_noticed_before_the_first_byte(
    download: Callable, hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 100))
    with pytest.raises(OutputError, match="are free"):
        download()
    assert not store.root.exists()


def test_a_disk_that_fills_up_keeps_the_part(
    download: Callable, hub: Hub, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    append = module.Unfinished.append

    def full(self: module.Unfinished, block: bytes) -> None:
        if self.done >= 100_000:
            raise OSError(28, "No space left on device")
        append(self, block)

    with monkeypatch.context() as patched:
        patched.setattr(module.Unfinished, "append", full)
        with pytest.raises(OutputError, match="No space left on device"):
            download()
    assert set(contents(store.root)) == {PART, NOTE}
    assert download().sha256 == SHA256


def test_a_folder_that_cannot_be_made(hub: Hub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OutputError, match="cannot be written"):
        fetch(Store(tmp_path / "file"), PINNED, Access(mirror=hub.address), FAST)


@pytest.mark.parametrize("name", [PART, NOTE])
def test_links_in_the_way_are_not_written_through(
    download: Callable, store: Store, tmp_path: Path, name: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    link = store.root / name
    link.parent.mkdir(parents=True)
    link.symlink_to(victim)
    assert "link" in refusal(download)
    assert victim.read_bytes() == b"precious"
