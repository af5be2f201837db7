"""An output folder belongs to one run at a time."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock
from magicface_training.claim import FolderInUseError, claim_folder

from magicface_core.errors import OutputError

HOLD = """
import sys, time
from pathlib import Path
from magicface_training.claim import claim_folder
with claim_folder(Path(sys.argv[1])):
    print("holding", flush=True)
    time.sleep(60)
"""


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_second_run_is_refused_and_leaves_everything(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    with claim_folder(folder):
        (folder / "partial-1").mkdir()
        with (
            pytest.raises(FolderInUseError, match=rf"\(process {os.getpid()} on .*out") as caught,
            claim_folder(folder, ["partial-*"]),
        ):
            pytest.fail("both hold it")
        assert str(folder) in str(caught.value)
        assert (folder / "partial-1").is_dir()
        with claim_folder(tmp_path / "other"):
            pass
    with claim_folder(folder):
        pass
    assert contents(folder) == ["partial-1"]


def test_a_fault_gives_the_folder_back(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), claim_folder(tmp_path):
        raise ZeroDivisionError
    assert contents(tmp_path) == []
    with claim_folder(tmp_path):
        pass


def test_lock_ends_with_a_killed_run_whose_leftovers_go(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holding\n"
        with (
            pytest.raises(FolderInUseError, match=f"process {holder.pid} on"),
            claim_folder(tmp_path),
        ):
            pytest.fail("both hold it")
        holder.kill()
    if os.name == "posix":
        assert holder.returncode == -signal.SIGKILL
    (tmp_path / "partial-7").mkdir()
    (tmp_path / "partial-7" / "half").touch()
    (tmp_path / ".half.part").touch()
    (tmp_path / "state-7").mkdir()
    with claim_folder(tmp_path, ["partial-*", ".*.part"]):
        assert {"state-7"} == {name for name in contents(tmp_path) if not name.startswith(".run")}
    assert contents(tmp_path) == ["state-7"]


def test_folder_that_cannot_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(OutputError, match=r"file.* cannot be written"),
        claim_folder(tmp_path / "file"),
    ):
        pytest.fail("a file is no folder")


def test_disk_full_at_the_start_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OutputError, match="No space left"), claim_folder(tmp_path):
            pytest.fail("a full disk is no place for a run")
    with FileLock(tmp_path / ".run.lock", timeout=0):
        pass
