"""Files are written whole or not at all, and refused before the work where they cannot be."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from magicface_core.errors import OutputError
from magicface_core.files import UNFINISHED, check_destination, whole_file, write_file
from magicface_core.network.streaming import write_tensors
from magicface_core.pictures.images import save_image

posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners of POSIX")


def test_bytes_and_text_are_written(tmp_path: Path) -> None:
    write_file(tmp_path / "a.bin", b"\x00\xff")
    write_file(tmp_path / "a.txt", "é\n")
    assert (tmp_path / "a.bin").read_bytes() == b"\x00\xff"
    assert (tmp_path / "a.txt").read_bytes() == b"\xc3\xa9\n"
    assert sorted(os.listdir(tmp_path)) == ["a.bin", "a.txt"]


def test_older_file_is_replaced_and_link_followed(tmp_path: Path) -> None:
    target, link = tmp_path / "a.txt", tmp_path / "link.txt"
    target.write_text("old")
    link.symlink_to(target)
    assert write_file(link, "new") == target.resolve()
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_absent_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="does not exist"):
        write_file(tmp_path / "absent" / "a.txt", "new")
    assert os.listdir(tmp_path) == []


def test_folder_as_file_and_file_as_folder(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="is a folder"):
        check_destination(tmp_path)
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OutputError, match="does not exist"):
        check_destination(tmp_path / "a.txt" / "b.txt")


def test_read_only_folder(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    folder.chmod(0o555)
    try:
        with pytest.raises(OutputError, match="read-only"):
            write_file(folder / "a.txt", "new")
        assert os.listdir(folder) == []
    finally:
        folder.chmod(0o755)


def test_read_only_file_keeps_its_content(tmp_path: Path) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")
    target.chmod(0o444)
    with pytest.raises(OutputError, match="cannot be replaced"):
        write_file(target, "new")
    assert target.read_text() == "old"


@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_interrupted_write_leaves_the_old_file_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: BaseException
) -> None:
    target = tmp_path / "a.txt"
    target.write_text("old")

    def fail(*_: object) -> None:
        raise failure

    monkeypatch.setattr(os, "fsync", fail)
    expected = OutputError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected):
        write_file(target, "new")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_name_too_long_for_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        write_file(tmp_path / ("a" * 300), "new")
    assert os.listdir(tmp_path) == []


# --- what a replaced file passes on ---------------------------------------------------------------


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o755])
def test_mode_is_kept_and_never_wider_on_the_way(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(mode)
    with whole_file(path) as unfinished:
        assert stat.S_IMODE(unfinished.stat().st_mode) & ~mode == 0
        unfinished.write_text("new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == mode


@posix
def test_a_new_file_has_the_mode_of_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_file(tmp_path / "new", "new")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_owner_and_group_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    os.chown(path, 12345, 23456)
    path.chmod(0o640)
    write_file(path, "new")
    found = path.stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (12345, 23456, 0o640)


@posix
def test_an_owner_that_cannot_be_kept_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o640)
    monkeypatch.setattr(os, "chown", refuse)
    write_file(path, "new")
    assert (path.read_text(), stat.S_IMODE(path.stat().st_mode)) == ("new", 0o640)


@posix
def test_links_stay_links(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there" / "new.txt")  # to nothing yet
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "there" / "new.txt").read_text() == "new"
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    with pytest.raises(OutputError, match="cannot be replaced"):
        write_file(tmp_path / "circle", "new")
    assert (tmp_path / "circle").is_symlink()


# --- disks that are full, runs that are killed ----------------------------------------------------


def fill_with_zeros(path: Path) -> None:
    write_file(path, bytes(2_000_000))


def fill_by_stream(path: Path) -> None:
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        for _ in range(100):
            file.write(bytes(20_000))


def fill_with_arrays(path: Path) -> None:
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.savez(file, noise=np.zeros(2_000_000, np.uint8))


def fill_with_tensors(path: Path) -> None:
    write_tensors(path, {"zeros": torch.zeros(500_000)})


def fill_with_picture(path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (800, 800, 3), np.uint8)
    save_image(noise, path)


WRITERS = [fill_with_zeros, fill_by_stream, fill_with_arrays, fill_with_tensors, fill_with_picture]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 300 kB."""
    folder = tmp_path / "small"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(words, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_leaves_what_was_there(
    small_disk: Path, writer: Callable[[Path], None]
) -> None:
    path = small_disk / "a.png"
    path.write_bytes(b"old")
    with pytest.raises(OutputError, match="make room"):
        writer(path)
    assert os.listdir(small_disk) == ["a.png"]
    assert path.read_bytes() == b"old"
    write_file(path, bytes(200_000))  # and the room is there again
    assert path.stat().st_size == 200_000


def write_until_full(path: Path, writes: int) -> None:
    with whole_file(path) as unfinished, unfinished.open("wb", buffering=0) as file:
        for _ in range(writes):
            file.write(bytes(1000))
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize("writes", [0, 1, 5])
def test_a_fault_after_any_write_leaves_nothing(tmp_path: Path, writes: int) -> None:
    with pytest.raises(OutputError, match="No space left on device"):
        write_until_full(tmp_path / "a.bin", writes)
    assert os.listdir(tmp_path) == []


KILLED = """
import os, signal, sys
from magicface_core.files import write_file
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_file(sys.argv[1], "new")
"""


@posix
def test_killed_between_write_and_rename(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    (left,) = tmp_path.glob(UNFINISHED)  # which commands with a folder of their own remove
    assert left.read_text() == "new"


@posix
def test_a_working_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    with pytest.raises(OutputError, match=r'"a\.txt" begins at the working folder, which is gone'):
        write_file("a.txt", "new")
    write_file(tmp_path / "a.txt", "new")
