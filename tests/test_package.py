"""The package as a whole: what importing it does, what it asks for, what its texts promise."""

from __future__ import annotations

import importlib.util
import json
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import magicface_core
from magicface_core.aus import ACTION_UNITS
from magicface_core.cli import build_parser

ROOT = Path(__file__).resolve().parent.parent
TEXT_SUFFIXES = {".py", ".md", ".toml", ".txt", ".json", ".yaml", ".yml", ".sh", ".js", ".cfg", ""}
PAGES = [
    path.relative_to(ROOT).as_posix() for path in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"))
]
GENERATED = {"build", "dist", "node_modules", "runs", "data", "venv"}

# Runs in a new process: audit hooks cannot be removed, and modules must be unloaded.
IMPORT_PROBE = """
import importlib.util, json, os, sys
def refuse(event, args):
    if event.startswith(("socket.connect", "socket.getaddrinfo", "subprocess.", "os.system")):
        raise SystemExit(f"forbidden at import: {event} {args}")
    if event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR):
        raise SystemExit(f"file written at import: {args[0]}")
    if event in ("os.mkdir", "os.rename", "os.remove"):
        raise SystemExit(f"files changed at import: {event} {args}")
sys.addaudithook(refuse)
spec = importlib.util.spec_from_file_location("pack", sys.argv[1])
spec.loader.exec_module(importlib.util.module_from_spec(spec))
after_door = [name for name in sys.modules if name.startswith("magicface")]
import magicface_core, magicface_core.aus, magicface_core.errors, magicface_core.expressions.presets
magicface_core.expressions.presets.load_presets()
print(json.dumps([after_door, sorted(sys.modules)]))
"""


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read_yaml(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def shell_lines() -> list[str]:
    """The commands of the README's shell blocks, without comments."""
    blocks = re.findall(r"```sh\n(.*?)```", readme(), flags=re.DOTALL)
    lines = [line.split("   #")[0].strip() for block in blocks for line in block.splitlines()]
    return [command.strip() for line in lines for command in line.split("&&") if command.strip()]


def text_files() -> list[Path]:
    files = []
    for path in ROOT.rglob("*"):
        parts = path.relative_to(ROOT).parts
        folders = parts[:-1]
        hidden = any(part.startswith(".") and part != ".ci" for part in folders)
        generated = parts[0] in GENERATED or any("egg-info" in part for part in folders)
        if path.is_file() and not hidden and not generated and path.suffix in TEXT_SUFFIXES:
            files.append(path)
    return files


# --- importing --------------------------------------------------------------------------------


def test_import_is_light_and_has_no_effects() -> None:
    result = subprocess.run(
        [sys.executable, "-B", "-c", IMPORT_PROBE, str(ROOT / "__init__.py")],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    after_door, modules = json.loads(result.stdout)
    assert after_door == []
    heavy = {"torch", "diffusers", "numpy", "PIL", "numba", "accelerate", "transformers", "comfy"}
    assert heavy.isdisjoint(modules)


def test_root_door_imports_without_comfyui() -> None:
    spec = importlib.util.spec_from_file_location("pack_door", ROOT / "__init__.py")
    assert spec is not None
    assert spec.loader is not None
    door = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(door)
    assert door.__doc__
    assert not hasattr(door, "NODE_CLASS_MAPPINGS")


def test_library_never_names_comfyui_modules_or_the_network() -> None:
    forbidden = re.compile(
        r"^\s*(?:from|import)\s+(?:comfy|folder_paths|nodes|pickle|requests|urllib|socket)\b",
        re.MULTILINE,
    )
    transport = ROOT / "magicface_core" / "downloads" / "transport.py"
    for path in (ROOT / "magicface_core").rglob("*.py"):
        found = forbidden.search(path.read_text(encoding="utf-8"))
        assert found is None or path == transport, f"{path.name}: {found}"


def test_library_does_not_import_training() -> None:
    for path in (ROOT / "magicface_core").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?:from|import)\s+(?:magicface_training|training)\b", text), path


# --- packaging --------------------------------------------------------------------------------


def test_requirements_are_the_base_six_without_upper_bounds() -> None:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    names = {re.split(r"[<>=!~ ]", line)[0].lower() for line in lines}
    assert names == {"torch", "numpy", "pillow", "safetensors", "diffusers", "tqdm"}
    assert not [line for line in lines if re.search(r"<|==|~=|!=", line)]
    assert project()["tool"]["setuptools"]["dynamic"]["dependencies"] == {
        "file": ["requirements.txt"]
    }


def test_version_is_the_same_everywhere() -> None:
    version = project()["project"]["version"]
    assert magicface_core.__version__ == version
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (\S+)", changelog, flags=re.MULTILINE)[0] == version
    assert read_yaml("CITATION.cff")["version"] == version


def test_every_package_folder_is_installed_and_nodes_is_not() -> None:
    folders = {
        path.parent.relative_to(ROOT).as_posix()
        for name in ("magicface_core", "training")
        for path in (ROOT / name).rglob("__init__.py")
    }
    expected = {
        re.sub("^training", "magicface_training", folder).replace("/", ".") for folder in folders
    }
    packages = project()["tool"]["setuptools"]["packages"]
    assert set(packages) == expected
    assert not any(re.match(r"nodes\b|training\b|tests\b", name) for name in packages)


def test_commands_point_at_functions() -> None:
    scripts = project()["project"]["scripts"]
    assert scripts == {
        "magicface": "magicface_core.cli:main",
        "magicface-data": "magicface_training.data_cli:main",
        "magicface-export": "magicface_training.export:main",
        "magicface-train": "magicface_training.train:main",
    }
    assert "def main(" in (ROOT / "training" / "train.py").read_text(encoding="utf-8")
    assert callable(magicface_core.cli.main)


def test_public_names_resolve() -> None:
    for name in magicface_core.__all__:
        assert getattr(magicface_core, name) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = magicface_core.nonsense


@pytest.mark.parametrize(
    "name",
    [
        "LICENSE",
        "NOTICE",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "CITATION.cff",
        ".comfyignore",
        ".ci/run",
    ],
)
def test_house_files_exist(name: str) -> None:
    assert (ROOT / name).stat().st_size > 50


def test_workflows_have_few_rights_and_run_the_declared_pythons() -> None:
    tests, publish = (read_yaml(f".github/workflows/{name}.yml") for name in ("tests", "publish"))
    assert tests["permissions"] == publish["permissions"] == {"contents": "read"}
    matrix = tests["jobs"]["test"]["strategy"]["matrix"]
    declared = re.findall(r"Python :: (3\.\d+)", "\n".join(project()["project"]["classifiers"]))
    assert matrix["python"] == declared
    assert project()["project"]["requires-python"] == f">={declared[0]}"
    assert {name.split("-")[0] for name in matrix["os"]} == {"ubuntu", "macos", "windows"}
    steps = [
        step for flow in (tests, publish) for job in flow["jobs"].values() for step in job["steps"]
    ]
    actions = [step["uses"] for step in steps if "uses" in step]
    assert [action for action in actions if not re.fullmatch(r"[\w./-]+@v\d+", action)] == []


def test_forms_and_hooks_are_read() -> None:
    bug, feature = (read_yaml(f".github/ISSUE_TEMPLATE/{name}.yml") for name in ("bug", "feature"))
    assert "magicface doctor" in json.dumps(bug["body"])
    assert feature["body"]
    request = (ROOT / ".github" / "pull_request_template.md").read_text(encoding="utf-8")
    assert "magicface doctor" in request
    hooks = [
        hook["id"]
        for repo in read_yaml(".pre-commit-config.yaml")["repos"]
        for hook in repo["hooks"]
    ]
    assert hooks == ["ruff-check", "ruff-format"]
    paper = read_yaml("CITATION.cff")["preferred-citation"]
    assert "2501.02260" in json.dumps(paper)


def test_the_placeholder_of_the_address_stands_in_one_file() -> None:
    word = "github.com/" + "OWNER"
    hidden = [path for path in (ROOT / ".github").rglob("*") if path.is_file()]
    files = [*text_files(), *hidden, ROOT / "CITATION.cff"]
    found = {path.name for path in files if word in path.read_text(encoding="utf-8")}
    assert found <= {"pyproject.toml"}


def test_notice_covers_every_shipped_weight() -> None:
    notice = (ROOT / "NOTICE").read_text(encoding="utf-8")
    for path in (ROOT / "magicface_core" / "assets").iterdir():
        if path.suffix in {".safetensors", ".npz"}:
            assert path.name in notice
    for name in ("MediaPipe", "Davis E. King", "MakeHuman", "Suominen", "NAVER", "mini"):
        assert name in notice


# --- texts ------------------------------------------------------------------------------------


def test_readme_carries_the_two_commands() -> None:
    assert "python -m pip install -e . && magicface demo\n" in readme()
    assert 'python -m pip install -e ".[test]" && python -m pytest\n' in readme()
    ci = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert '\npython -m pip install -e ".[test]" && python -m pytest\n' in ci
    installs = [line for line in ci.splitlines() if "install" in line]
    assert all('install -e ".[' in line for line in installs)


def test_readme_commands_are_understood() -> None:
    commands = [shlex.split(line) for line in shell_lines()]
    ours = [words[1:] for words in commands if words[0] == "magicface"]
    assert {words[0] for words in ours} >= {"demo", "edit", "estimate", "evaluate", "doctor"}
    for words in ours:
        assert build_parser(words).parse_args(words).run
    known = {"magicface", "magicface-data", "magicface-export", "magicface-train", "python"}
    assert {words[0] for words in commands} <= known


@pytest.mark.parametrize("page", PAGES)
def test_pages_name_only_files_that_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", text):
        assert ((ROOT / page).parent / link).is_file(), link


def test_readme_has_links_and_names_configurations_that_exist() -> None:
    assert re.findall(r"\]\((?!https?:)", readme())
    configs = re.findall(r"--config (\S+)", readme())
    assert configs
    for name in configs:
        assert (ROOT / name).is_file(), name


def test_the_map_names_only_places_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    places = re.findall(
        r"`((?:magicface_core|nodes|training|tests|web|locales|scripts)/[\w/.]*)`", text
    )
    assert len(places) > 10
    for place in places:
        assert (ROOT / place).exists(), place


def test_every_promise_of_safety_names_a_test_that_exists() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    promises = re.findall(r"`(tests/\S+\.py)::(test_\w+)`", text)
    assert len(promises) > 5
    for file, test in promises:
        assert f"def {test}(" in (ROOT / file).read_text(encoding="utf-8"), test


def test_action_units_are_listed_as_the_library_has_them() -> None:
    text = (ROOT / "docs" / "action-units.md").read_text(encoding="utf-8")
    for unit in ACTION_UNITS:
        assert f"| {unit.code} | {unit.name} | {unit.plain} | {unit.muscle} |" in text


def test_readme_has_its_numbers() -> None:
    assert re.findall(r"@@\w+@@", readme()) == []


def test_no_file_names_the_machine_it_was_written_on() -> None:
    places = "|".join(("wor" + "k/", "tm" + "p/", "roo" + "t/", "hom" + "e/", "User" + "s/"))
    pattern = re.compile(rf"(?<![\w.~<])/(?:{places})")
    found = {
        path.relative_to(ROOT).as_posix()
        for path in text_files()
        if pattern.search(path.read_text(encoding="utf-8"))
    }
    assert found == set()


def test_nothing_is_left_to_do() -> None:
    pattern = re.compile("TO" + "DO|FIX" + "ME|NotImplemented" + "Error")
    found = [
        path.name
        for path in text_files()
        if path.suffix == ".py" and pattern.search(path.read_text(encoding="utf-8"))
    ]
    assert found == []
