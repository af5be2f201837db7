"""ComfyUI's nodes, and everything they can import, never reach the network."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
NETWORK = {"urllib", "http", "socket", "ssl", "requests", "httpx", "aiohttp", "huggingface_hub"}
ONLINE = {"magicface_core.downloads.transport", "magicface_core.downloads.download"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Absolute names of everything a file imports, also inside functions and for type checkers."""
    package = list(path.relative_to(ROOT).parent.parts)
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *(node.module or "").split(".")]).strip(".")
            yield start
            yield from (f"{start}.{alias.name}".strip(".") for alias in node.names)


def reachable() -> set[str]:
    """Modules of this repository that the nodes lead to, through whatever function."""
    files = {
        module_name(path): path
        for folder in ("magicface_core", "nodes")
        for path in (ROOT / folder).rglob("*.py")
    }
    waiting = [name for name in files if name.split(".")[0] == "nodes"]
    seen: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name in seen or name not in files:
            continue
        seen.add(name)
        waiting += imports(files[name])
        waiting.append(name.rpartition(".")[0])
    return seen


def test_nodes_lead_to_the_library() -> None:
    assert {"magicface_core.editing.magicface", "magicface_core.network.checkpoint"} & reachable()


def test_nodes_lead_to_no_network() -> None:
    for name in reachable():
        path = ROOT.joinpath(*name.split("."))
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        found = {item.split(".")[0] for item in imports(path)}
        assert not found & NETWORK, name
    assert not reachable() & ONLINE


def test_only_the_transport_opens_connections() -> None:
    users = {
        module_name(path)
        for path in (ROOT / "magicface_core").rglob("*.py")
        if {item.split(".")[0] for item in imports(path)} & NETWORK
    }
    assert users == {"magicface_core.downloads.transport"}
    callers = {
        module_name(path)
        for path in (ROOT / "magicface_core").rglob("*.py")
        if ONLINE & set(imports(path))
    }
    assert callers == {"magicface_core.cli.models", "magicface_core.downloads.download"}


def test_importing_the_package_loads_no_network_module() -> None:
    script = (
        "import sys; before = set(sys.modules); import magicface_core.downloads; "
        "import magicface_core.cli.models; "
        "new = {m for m in set(sys.modules) - before}; "
        "print(sorted(new & {'urllib.request', 'http.client', 'socket', 'ssl', 'torch'}))"
    )
    words = [sys.executable, "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"
