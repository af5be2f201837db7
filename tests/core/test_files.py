"""Files are written whole or not at all, and refused before the work where they cannot be."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from magicface_core.errors import OutputError
from magicface_core.files import check_destination, write_file


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
