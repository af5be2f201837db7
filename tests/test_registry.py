"""What ComfyUI's registry gets: checked by its own tool, without dev files, harmless to install."""

from __future__ import annotations

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import pytest
from comfyui_server import NoComfyUIError, find_installation
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
DEV_FOLDERS = {"tests", "training", "benchmarks", "docs", "scripts", ".ci", ".github"}
PARTS = {"nodes", "magicface_core", "web", "locales", "workflows", "subgraphs"}
# The embedded weights, about 30 MB, are part of the product: mini works without any download.
MOST_BYTES = 50_000_000
NETWORK = {"socket", "ssl", "http", "urllib", "ftplib", "smtplib", "requests", "httpx", "aiohttp"}
PROCESSES = {"subprocess", "multiprocessing", "pty", "ctypes", "code", "codeop"}
DOWNLOADER = {"transport.py", "download.py"}  # of magicface_core/downloads
CALLS = {"eval", "exec", "compile", "__import__"}
OS_CALLS = {"system", "popen", "spawnl", "spawnv", "execv", "execl", "putenv", "startfile"}


def shipped_files() -> list[Path]:
    """All Python that the pack consists of when it is installed."""
    files = [ROOT / "__init__.py"]
    for folder in ("nodes", "magicface_core"):
        files += sorted((ROOT / folder).rglob("*.py"))
    return files


# --- the registry's own tool ------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what git knows or would add, as a repository of its own: packing writes files."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("no git checkout")
    folder = tmp_path_factory.mktemp("registry")
    listed = git(ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    return folder


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout


def comfy(folder: Path, home: Path, *arguments: str) -> str:
    """Run comfy-cli without letting it ask or report anything; what it printed."""
    command = Path(sys.executable).with_name("comfy")
    if not command.is_file():
        pytest.skip("no comfy-cli; pip install comfy-cli")
    environment = {**os.environ, "HOME": str(home), "USERPROFILE": str(home)}
    for words in (("tracking", "disable"), arguments):
        done = subprocess.run(
            [command, "--skip-prompt", *words],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_comfy_node_validate_is_clean(checkout: Path, tmp_path: Path) -> None:
    said = comfy(checkout, tmp_path, "node", "validate")
    assert "All validation checks passed" in said
    assert "warning" not in said.lower()
    assert not re.search(r"\bS(102|307)\b|E702", said)


@pytest.fixture(scope="module")
def packed(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    comfy(checkout, tmp_path_factory.mktemp("home"), "node", "pack")
    with zipfile.ZipFile(checkout / "node.zip") as archive:
        yield archive


def test_the_zip_holds_the_pack_and_nothing_else(packed: zipfile.ZipFile) -> None:
    names = [PurePosixPath(name) for name in packed.namelist()]
    folders = {name.parts[0] for name in names if len(name.parts) > 1}
    assert folders == PARTS
    assert not folders & DEV_FOLDERS
    files = {name.name for name in names if len(name.parts) == 1}
    assert {"__init__.py", "pyproject.toml", "requirements.txt", "LICENSE", "NOTICE"} <= files
    assert not [name for name in names if name.suffix in {".pyc", ".log", ".ckpt", ".pt"}]
    assert sum(entry.file_size for entry in packed.infolist()) < MOST_BYTES


def test_the_zip_holds_all_that_the_pack_needs(packed: zipfile.ZipFile) -> None:
    names = set(packed.namelist())
    for part in sorted(PARTS):
        for path in (ROOT / part).rglob("*"):
            ignored = "__pycache__" in path.parts or path.suffix == ".pyc"
            if path.is_file() and not ignored:
                assert path.relative_to(ROOT).as_posix() in names


def test_the_registry_is_told_what_it_asks_for() -> None:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    tool, about = content["tool"]["comfy"], content["project"]
    assert tool["PublisherId"]
    assert tool["DisplayName"] == "MagicFace"
    assert re.fullmatch(r">=\d+\.\d+\.\d+", tool["requires-comfyui"])
    assert re.fullmatch(r"[a-z][a-z0-9-]{0,99}", about["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", about["version"])
    assert about["license"] == "Apache-2.0"
    assert "Operating System :: OS Independent" in about["classifiers"]
    with Image.open(ROOT / "docs" / "icon.png") as icon:  # `Icon` is its address, once published
        assert icon.width == icon.height <= 400
    assert "web" not in tool, "WEB_DIRECTORY serves it already; both would load it twice"


# --- code that is harmless --------------------------------------------------------------------


def modules_of(tree: ast.AST) -> set[str]:
    """First parts of all absolute imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.add(node.module.split(".")[0])
    return found


def only_tensors(call: ast.Call) -> bool:
    """Whether torch.load is told to refuse everything that could run."""
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in call.keywords}
    return given.get("weights_only") == "True"


def suspicious(tree: ast.AST) -> list[str]:
    """Calls that run text or programs, and writes to `sys.path` or the environment."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in CALLS:
                found.append(called.id)
            if isinstance(called, ast.Attribute) and isinstance(called.value, ast.Name):
                if called.value.id == "os" and called.attr in OS_CALLS:
                    found.append(f"os.{called.attr}")
                if ast.unparse(called) == "torch.load" and not only_tensors(node):
                    found.append("torch.load")
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sys.path":
            found.append("sys.path")
        written = node.targets if isinstance(node, (ast.Assign, ast.Delete)) else []
        found += [
            ast.unparse(target)
            for target in written
            if ast.unparse(target).startswith("os.environ")
        ]
    return found


@pytest.mark.parametrize(
    "path", shipped_files(), ids=lambda path: path.relative_to(ROOT).as_posix()
)
def test_shipped_code_runs_no_text_no_program_and_no_network(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert suspicious(tree) == []
    modules = modules_of(tree)
    assert not modules & PROCESSES
    explicit_download = path.parent.name == "downloads" and path.name in DOWNLOADER
    if not explicit_download:
        network = modules & NETWORK
        text = path.read_text(encoding="utf-8")
        if network == {"urllib"}:  # to take addresses apart, nothing more
            assert set(re.findall(r"urllib\.(\w+)", text)) == {"parse"}
        else:
            assert network == set()


def test_the_scan_finds_what_it_looks_for() -> None:
    bad = "import subprocess\nimport os, sys\neval('1')\nos.system('x')\nsys.path.append('y')\n"
    bad += "os.environ['A'] = 'b'\n"
    tree = ast.parse(bad)
    assert sorted(suspicious(tree)) == ["eval", "os.environ['A']", "os.system", "sys.path"]
    assert "subprocess" in modules_of(tree)


def test_nodes_never_reach_the_downloader() -> None:
    """Only the command line downloads, and only when told to."""
    users = [
        path.relative_to(ROOT).as_posix()
        for path in shipped_files()
        if path.parent.name != "downloads"
        and re.search(r"downloads(\.| import )(transport|download)\b", path.read_text("utf-8"))
    ]
    assert [user for user in users if not user.startswith("magicface_core/cli/")] == []


# --- requirements -----------------------------------------------------------------------------


def comfyui_pip(*arguments: str) -> subprocess.CompletedProcess[str]:
    try:
        python = find_installation().python
    except NoComfyUIError as reason:
        pytest.skip(str(reason))
    # A constraint on the tests' own packages is none on ComfyUI's.
    environment = {name: value for name, value in os.environ.items() if name != "PIP_CONSTRAINT"}
    return subprocess.run(
        [python, "-m", "pip", "--disable-pip-version-check", *arguments],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=environment,
    )


def frozen() -> dict[str, str]:
    """Versions by normalised name in ComfyUI's environment."""
    done = comfyui_pip("list", "--format", "json")
    assert done.returncode == 0, done.stderr
    return {normal(entry["name"]): entry["version"] for entry in json.loads(done.stdout)}


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_requirements_change_no_package_of_a_comfyui_environment(tmp_path: Path) -> None:
    before = frozen()
    report = tmp_path / "report.json"
    done = comfyui_pip(
        *("install", "--dry-run", "--quiet", "--report", str(report)),
        *("-r", str(ROOT / "requirements.txt")),
    )
    if done.returncode != 0 and re.search(r"connection|resolve|timed out", done.stderr, re.I):
        pytest.skip(f"offline: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    planned = {
        normal(entry["metadata"]["name"]): entry["metadata"]["version"]
        for entry in json.loads(report.read_text(encoding="utf-8"))["install"]
    }
    changed = {name: (before[name], planned[name]) for name in planned if name in before}
    assert changed == {}
    assert frozen() == before


def test_our_packages_quarrel_with_none_of_comfyuis() -> None:
    """Where the requirements are installed, `pip check` has no complaint about them."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    ours = {normal(re.split(r"[<>=!~]", line)[0]) for line in lines}
    complaints = [
        line
        for line in comfyui_pip("check").stdout.splitlines()
        if any(normal(word) in ours for word in re.findall(r"[\w.-]+", line))
        and "has requirement" in line
    ]
    assert complaints == []
