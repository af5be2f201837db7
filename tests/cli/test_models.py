"""`magicface models` against a hub on this machine: one line per fault, nothing half done."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hub_files import contents
from hub_server import Hub, drop_after, serving, status

from magicface_core.cli import models as command
from magicface_core.conversion.layouts import blazeface
from magicface_core.downloads import catalogue, download
from magicface_core.downloads.catalogue import HUB, MODELS, Model, ModelFile

CONFIG, WEIGHTS = b'{"a": 1}', b"weights" * 20_000
PTH = "/people/detector/resolve/main/blazeface.pth"


@pytest.fixture(scope="module")
def pickled(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("pickled") / "blazeface.pth"
    torch.save({name: torch.randn(shape) for name, shape in blazeface().items()}, path)
    return path.read_bytes()


@pytest.fixture
def hub(pickled: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Two models, one for anyone, one not for commercial use, on a mirror without patience."""
    plain = Model(
        "plain",
        "a purpose",
        (
            ModelFile(f"{HUB}/people/plain/resolve/main/config.json", "official/c.json", 100),
            ModelFile(
                f"{HUB}/people/plain/resolve/main/weights.bin",
                "official/weights.bin",
                len(WEIGHTS),
                size=len(WEIGHTS),
                sha256=hashlib.sha256(WEIGHTS).hexdigest(),
            ),
        ),
        "free",
        "https://example.org/free",
        non_commercial=False,
        source="https://example.org",
    )
    research = Model(
        "research",
        "another purpose",
        (
            ModelFile(
                f"{HUB}{PTH}",
                "backends/research/blazeface.pth",
                len(pickled),
                sha256=hashlib.sha256(pickled).hexdigest(),
                converted="backends/research/blazeface.safetensors",
            ),
        ),
        "research only",
        "https://example.org/research",
        non_commercial=True,
        source="https://example.org",
        conversion="pickle",
    )
    for module in (catalogue, command):
        monkeypatch.setattr(module, "MODELS", (plain, research))
    monkeypatch.setattr(download, "Limits", lambda: replace(FAST, timeout=5.0))
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "MAGICFACE_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    files = {
        "/people/plain/resolve/main/config.json": CONFIG,
        "/people/plain/resolve/main/weights.bin": WEIGHTS,
        PTH: pickled,
    }
    with serving(Hub(files)) as running:
        monkeypatch.setenv("MAGICFACE_MIRROR", running.address)
        yield running


FAST = download.Limits(attempts=2, pause=0.0, longest_pause=0.0)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The model folder by the environment."""
    monkeypatch.setenv("MAGICFACE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


# --- the real table -------------------------------------------------------------------------------


def test_list_shows_names_sizes_licences_states(magicface: Callable, folder: Path) -> None:
    outcome = magicface("models", "list")
    assert outcome.code == 0
    assert f"model folder: {folder}" in outcome.out
    for model in MODELS:
        assert f"\n{model.name} " in outcome.out
        assert model.licence in outcome.out
        assert model.licence_url in outcome.out
    assert outcome.out.count("missing") == len(MODELS)
    assert outcome.out.count("not commercially") == 3
    assert not folder.exists()


def test_list_as_json(magicface: Callable, folder: Path) -> None:
    tree = json.loads(magicface("models", "list", "--json").out)
    assert tree["folder"] == str(folder)
    assert [model["name"] for model in tree["models"]] == [model.name for model in MODELS]
    file = tree["models"][4]["files"][0]
    assert file["address"].startswith("https://huggingface.co/")
    assert file["sha256"].startswith("468e13ca")
    assert file["state"] == "missing"


def test_path(magicface: Callable, folder: Path, tmp_path: Path) -> None:
    assert magicface("models", "path").out == f"{folder}\n"
    assert magicface("models", "path", "--dir", tmp_path).out == f"{tmp_path}\n"
    lines = magicface("models", "path", "bisenet").out.splitlines()
    assert lines == [str(folder / "backends" / "bisenet" / "79999_iter.pth")]


def test_an_unknown_name(magicface: Callable, folder: Path) -> None:
    for action in ("download", "verify", "convert", "remove", "path"):
        outcome = magicface("models", action, "offical")
        assert outcome.code == 2
        assert "choose one of official" in outcome.error_line


def test_offline(magicface: Callable, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAGICFACE_OFFLINE", "1")
    outcome = magicface("models", "download", "sd15-vae")
    assert outcome.code == 2
    assert "MAGICFACE_OFFLINE is set" in outcome.error_line
    assert not folder.exists()


@pytest.mark.parametrize("name", ["libreface", "bisenet", "face-alignment", "all"])
def test_non_commercial_licences_are_accepted_first(
    magicface: Callable, folder: Path, name: str
) -> None:
    outcome = magicface("models", "download", name)
    assert outcome.code == 2
    assert "not for commercial use" in outcome.error_line
    assert "--accept-licence" in outcome.error_line
    assert not folder.exists()


# --- a life ---------------------------------------------------------------------------------------


def test_download_says_licence_checksum_and_what_was_unknown(
    magicface: Callable, hub: Hub, folder: Path
) -> None:
    outcome = magicface("models", "download", "plain")
    assert outcome.code == 0
    assert "plain: free (https://example.org/free)" in outcome.out
    assert hashlib.sha256(WEIGHTS).hexdigest() in outcome.out
    assert outcome.out.count("is recorded and compared from now on") == 1
    assert (folder / "official" / "weights.bin").read_bytes() == WEIGHTS
    requests = len(hub.requests)
    again = magicface("models", "download", "plain")
    assert again.out.count("there already") == 2
    assert len(hub.requests) == requests


def test_a_pickle_is_made_loadable_at_once(magicface: Callable, hub: Hub, folder: Path) -> None:
    outcome = magicface("models", "download", "research", "--accept-licence")
    assert outcome.code == 0
    assert "blazeface.safetensors: converted" in outcome.out
    found = folder / "backends" / "research"
    assert (found / "blazeface.safetensors").is_file()
    assert not (found / "blazeface.pth").exists()
    path = magicface("models", "path", "research").out.strip()
    assert path == str(found / "blazeface.safetensors")
    assert "there already" in magicface("models", "download", "research", "--accept-licence").out


def test_conversion_can_wait(magicface: Callable, hub: Hub, folder: Path) -> None:
    magicface("models", "download", "research", "--accept-licence", "--no-convert")
    assert (folder / "backends" / "research" / "blazeface.pth").is_file()
    outcome = magicface("models", "convert", "research", "--keep")
    assert outcome.code == 0
    assert "blazeface.safetensors" in outcome.out
    assert (folder / "backends" / "research" / "blazeface.pth").is_file()


def test_verify_finds_damage_and_download_mends_it(
    magicface: Callable, hub: Hub, folder: Path
) -> None:
    magicface("models", "download", "all", "--accept-licence")
    outcome = magicface("models", "verify")
    assert (outcome.code, outcome.out.count("ok ")) == (0, 3)
    for name in ("official/weights.bin", "backends/research/blazeface.safetensors"):
        path = folder / name
        content = path.read_bytes()
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    outcome = magicface("models", "verify")
    assert outcome.code == 2
    assert outcome.out.count("corrupt") == 2
    assert "2 to mend" in outcome.err
    assert magicface("models", "download", "all", "--accept-licence").code == 0
    assert magicface("models", "verify").code == 0


def test_verify_counts_what_is_missing_only_when_asked(
    magicface: Callable, hub: Hub, folder: Path
) -> None:
    assert magicface("models", "verify").code == 0
    outcome = magicface("models", "verify", "plain")
    assert (outcome.code, outcome.out.count("missing")) == (2, 2)


def test_remove(magicface: Callable, hub: Hub, folder: Path) -> None:
    magicface("models", "download", "all", "--accept-licence")
    (folder / "official" / "mine.txt").write_text("mine")
    outcome = magicface("models", "remove", "all")
    assert outcome.code == 0
    assert "plain: 0.1 MB freed" in outcome.out
    assert contents(folder) == {"official/mine.txt": b"mine"}


# --- faults ---------------------------------------------------------------------------------------


def test_the_server_goes_away(magicface: Callable, hub: Hub, folder: Path) -> None:
    path = "/people/plain/resolve/main/weights.bin"
    hub.tricks[path] = [drop_after(50_000), *[status(503)] * 5]
    outcome = magicface("models", "download", "plain")
    assert outcome.code == 2
    assert "50000 bytes are kept and the same command goes on" in outcome.error_line
    assert "partial" in magicface("models", "list").out
    hub.tricks.clear()
    assert magicface("models", "download", "plain").code == 0
    assert hub.ranges()[-1] == "bytes=50000-"


def test_wrong_bytes(magicface: Callable, hub: Hub, folder: Path) -> None:
    hub.files["/people/plain/resolve/main/weights.bin"] = bytes(len(WEIGHTS))
    outcome = magicface("models", "download", "plain")
    assert outcome.code == 2
    assert "is not kept" in outcome.error_line
    assert set(contents(folder)) == {"official/c.json", "official/c.json.record.json"}


def test_ctrl_c(
    magicface: Callable, hub: Hub, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "fetch", stop)
    outcome = magicface("models", "download", "plain")
    assert (outcome.code, outcome.error_line) == (130, "magicface: interrupted")


def test_a_useless_mirror(
    magicface: Callable, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MAGICFACE_MIRROR", "hub.local")
    outcome = magicface("models", "download", "sd15-vae")
    assert outcome.code == 2
    assert "MAGICFACE_MIRROR" in outcome.error_line


def test_nothing_to_convert(magicface: Callable, hub: Hub, folder: Path) -> None:
    outcome = magicface("models", "convert", "plain")
    assert outcome.code == 2
    assert "nothing to convert" in outcome.error_line
    assert magicface("models", "convert", "all").code == 0


def test_help_of_every_action(magicface: Callable) -> None:
    for action in ("list", "download", "verify", "convert", "remove", "path"):
        outcome = magicface("models", action, "--help")
        assert outcome.code == 0
        assert "--dir" in outcome.out


def test_an_action_is_needed(magicface: Callable) -> None:
    assert "ACTION" in magicface("models").error_line


# --- used by the other commands -------------------------------------------------------------------


def test_edit_uses_the_official_checkpoint_of_the_model_folder(
    magicface: Callable, folder: Path, tiny_checkpoint: Path, astronaut: Path, tmp_path: Path
) -> None:
    """A tiny checkpoint stands in; halved on disk it serves as well."""
    output = tmp_path / "out.png"
    words = ("edit", astronaut, "--au", "AU12=4", "-o", output, "--model", "official")
    outcome = magicface(*words)
    assert outcome.code == 2
    assert "magicface models download official sd15-vae" in outcome.error_line
    shutil.copytree(tiny_checkpoint, folder / "official")
    assert magicface(*words).code == 0
    output.unlink()
    assert magicface("models", "convert", "official").code == 0
    assert magicface(*words).code == 0
    assert output.is_file()


def test_the_official_checkpoint_as_one_file(
    magicface: Callable, folder: Path, tiny_checkpoint: Path, astronaut: Path, tmp_path: Path
) -> None:
    """Converted first, if it is not; edits with the file are those with the folder."""
    merge = ("models", "convert", "official", "--merge", tmp_path / "one.safetensors")
    assert "magicface models download official" in magicface(*merge).error_line
    shutil.copytree(tiny_checkpoint, folder / "official")
    assert magicface(*merge).code == 0
    assert magicface(*merge).code == 0  # the second time there is nothing left to convert
    edit = ("edit", astronaut, "--au", "AU12=4", "-o")
    assert magicface(*edit, tmp_path / "a.png", "--model", "official").code == 0
    assert magicface(*edit, tmp_path / "b.png", "--model", merge[-1]).code == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("names", [["plain"], ["all"]])
def test_only_a_checkpoint_can_be_merged(
    magicface: Callable, hub: Hub, folder: Path, tmp_path: Path, names: list[str]
) -> None:
    outcome = magicface("models", "convert", *names, "--merge", tmp_path / "one.safetensors")
    assert outcome.code == 2
    assert "convert official --merge" in outcome.error_line
    assert not any(tmp_path.glob("*.safetensors"))
