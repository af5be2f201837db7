"""Finds ComfyUI and runs its real server in a folder of its own, with the pack mounted.

with Server(find_installation(), make_base(folder, {"ComfyUI-MagicFace": ROOT})) as server:
    ...  # server.address answers; server.log() is what it printed
"""

from __future__ import annotations

import os
import re
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Self

PORTS = range(8300, 8400)
START_SECONDS = 300
READY = "To see the GUI go to"
FOLDERS = ("custom_nodes", "models", "input", "output", "user", "temp")
COLOURS = re.compile(r"\x1b\[[0-9;]*m")
IMPORT_TIME = re.compile(r"([\d.]+) seconds( \(IMPORT FAILED\))?: (.+)")


class NoComfyUIError(Exception):
    """There is no ComfyUI on this machine; the message says how to name one."""


@dataclass(frozen=True)
class Installation:
    """A checkout of ComfyUI and the Python that has its requirements."""

    folder: Path
    python: Path

    @property
    def version(self) -> str:
        text = (self.folder / "comfyui_version.py").read_text(encoding="utf-8")
        found = re.search(r'__version__ = "(.+?)"', text)
        return found[1] if found else "unknown"


def find_installation() -> Installation:
    """$COMFYUI_PATH, else ~/comfy/ComfyUI; $COMFYUI_PYTHON, else the .venv or venv inside it.

    Raises NoComfyUIError where neither exists, FileNotFoundError where a variable points nowhere.
    """
    named = os.environ.get("COMFYUI_PATH")
    folder = Path(named).expanduser() if named else Path.home() / "comfy" / "ComfyUI"
    if not (folder / "main.py").is_file():
        if named:
            raise FileNotFoundError(f"COMFYUI_PATH={named} has no main.py.")
        raise NoComfyUIError(f"no ComfyUI in {folder}; set COMFYUI_PATH (and COMFYUI_PYTHON)")
    return Installation(folder, _find_python(folder))


@cache
def working_installation() -> Installation:
    """`find_installation`, if ComfyUI starts there by itself, without any pack.

    Raises NoComfyUIError with its last words where it does not: its own requirements are missing.
    """
    found = find_installation()
    with tempfile.TemporaryDirectory() as folder:
        base = ("--base-directory", str(make_base(Path(folder), {})))
        alone = (
            "--cpu",
            "--quick-test-for-ci",
            "--disable-all-custom-nodes",
            "--disable-api-nodes",
        )
        result = subprocess.run(
            [str(found.python), "main.py", *base, *alone],
            cwd=found.folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=START_SECONDS,
            check=False,
        )
    if result.returncode:
        words = (result.stderr or result.stdout).strip().splitlines()
        raise NoComfyUIError(
            f"ComfyUI in {found.folder} does not start by itself ({words[-1] if words else ''}); "
            f"install its requirements into {found.python}"
        )
    return found


def _find_python(folder: Path) -> Path:
    named = os.environ.get("COMFYUI_PYTHON")
    if named:
        if not Path(named).is_file():
            raise FileNotFoundError(f"COMFYUI_PYTHON={named} does not exist.")
        return Path(named)
    binary = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    for environment in (".venv", "venv"):
        if (folder / environment / binary).is_file():
            return folder / environment / binary
    raise NoComfyUIError(f"no .venv or venv in {folder}; set COMFYUI_PYTHON to its Python")


def make_base(folder: Path, packs: Mapping[str, Path]) -> Path:
    """ComfyUI's data folders, empty but for links to the packs (folders or single files)."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name, pack in packs.items():
        (folder / "custom_nodes" / name).symlink_to(pack, target_is_directory=pack.is_dir())
    return folder


def free_port() -> int:
    """A port nobody uses. Two test runs that start together begin to look at different ones."""
    first = os.getpid() % len(PORTS)
    for port in (*PORTS[first:], *PORTS[:first]):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise RuntimeError(f"No free port in {PORTS}.")


class Server:
    """One running ComfyUI; a context manager that always ends its process."""

    def __init__(
        self,
        installation: Installation,
        base: Path,
        arguments: Sequence[str] = ("--cpu", "--preview-method", "latent2rgb"),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.installation = installation
        self.base = base
        self.port = free_port()
        self.log_file = base / f"server-{self.port}.log"
        self._arguments = arguments
        self._environment = environment or {}

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def slowdown(self) -> float:
        """How much slower than alone the start was on a busy machine, at a guess."""
        return max(1.0, self._load / (os.cpu_count() or 1))

    def __enter__(self) -> Self:
        with self.log_file.open("wb") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.installation.folder,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **self._environment},
            )
        try:
            self._wait()
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop()

    def log(self) -> str:
        """Everything printed so far, without colours."""
        return COLOURS.sub("", self.log_file.read_text(encoding="utf-8", errors="replace"))

    def import_seconds(self) -> dict[str, float]:
        """Import time of each pack by folder name; inf where the import failed."""
        found = IMPORT_TIME.findall(self.log())
        return {
            Path(folder.strip()).name: float("inf") if failed else float(seconds)
            for seconds, failed, folder in found
        }

    def _command(self) -> list[str]:
        paths = self.base / "extra_model_paths.yaml"
        return [
            str(self.installation.python),
            "main.py",
            *("--base-directory", str(self.base)),
            *("--listen", "127.0.0.1", "--port", str(self.port)),
            *("--disable-api-nodes", "--disable-auto-launch"),
            *(("--extra-model-paths-config", str(paths)) if paths.is_file() else ()),
            *self._arguments,
        ]

    def _wait(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise RuntimeError(
                    f"ComfyUI ended with {self._process.returncode}:\n{self._tail()}"
                )
            try:
                with urllib.request.urlopen(f"http://{self.address}/system_stats", timeout=5):
                    if READY in self.log():  # else another server has the port
                        self._load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 1.0
                        return
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                pass  # not yet
            time.sleep(0.2)
        raise TimeoutError(f"ComfyUI did not answer in {START_SECONDS} s:\n{self._tail()}")

    def _tail(self) -> str:
        return "\n".join(self.log().splitlines()[-40:])

    def _stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(timeout=15)
