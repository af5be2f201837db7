"""`magicface doctor` and the checksums of what is embedded."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import pytest

from magicface_core import __version__
from magicface_core.cli import doctor
from magicface_core.cli.embedded import REQUIRED, AssetState, embedded_assets, write_checksums

ASSETS = Path(str(resources.files("magicface_core").joinpath("assets")))


def test_text_names_versions_device_assets_and_what_is_missing(magicface: Callable) -> None:
    outcome = magicface("doctor")
    assert outcome.code == 0, outcome.out
    for fragment in (__version__, "torch ", "cpu", "perception.safetensors", "huggingface.co"):
        assert fragment in outcome.out
    assert "FAULT" not in outcome.out


def test_json(magicface: Callable) -> None:
    report = json.loads(magicface("doctor", "--json").out)
    assert report["magicface"] == __version__
    assert report["packages"]["torch"]
    assert "cpu" in report["devices"]
    assert report["threads"] >= 1
    assert {asset["file"] for asset in report["embedded"]} >= set(REQUIRED)
    assert report["faults"] == []


def test_backends_and_how_to_get_them(magicface: Callable) -> None:
    report = json.loads(magicface("doctor", "--json").out)
    states = {(entry["part"], entry["name"]): entry for entry in report["backends"]}
    assert states["face parser", "embedded"]["automatic"]
    assert "download bisenet" in states["face parser", "bisenet"]["obstacle"]
    lines = magicface("doctor").out.splitlines()
    (line,) = (line for line in lines if " bisenet " in line and line.startswith("  - "))
    assert "to use it: magicface models download bisenet" in line


def test_every_embedded_file_matches_its_checksum() -> None:
    states = {asset.file: asset.state for asset in embedded_assets(ASSETS)}
    assert {name: state for name, state in states.items() if state != "ok"} == {}


@pytest.fixture
def assets(tmp_path: Path) -> Path:
    for name in REQUIRED:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    write_checksums(tmp_path)
    return tmp_path


def state_of(assets: Path, name: str) -> AssetState:
    return next(asset for asset in embedded_assets(assets) if asset.file == name)


def test_checksums_round_trip(assets: Path) -> None:
    assert {asset.state for asset in embedded_assets(assets)} == {"ok"}


def test_damage_absence_and_additions_show(assets: Path) -> None:
    (assets / "portrait.png").write_text("other")
    (assets / "identity.safetensors").unlink()
    (assets / "new.bin").write_text("new")
    assert state_of(assets, "portrait.png").state == "changed"
    assert state_of(assets, "identity.safetensors").state == "missing"
    assert state_of(assets, "new.bin").state == "unlisted"


def test_faults_lead_to_exit_code_2(magicface: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    lost = AssetState("mini/magicface.json", 0, "", "missing")
    monkeypatch.setattr(doctor, "embedded_assets", lambda: [lost])
    monkeypatch.setattr(doctor, "REQUIRED", (*doctor.REQUIRED, "no-such-package"))
    outcome = magicface("doctor")
    assert outcome.code == 2
    assert "FAULT: embedded file mini/magicface.json is missing: reinstall" in outcome.out
    assert "FAULT: no-such-package is not installed: pip install no-such-package" in outcome.out


def test_a_package_that_cannot_be_imported_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise OSError("libcudart.so.11.0: cannot open shared object file")

    monkeypatch.setattr(doctor, "import_module", refuse)
    faults = doctor.collect()["faults"]
    assert any("diffusers" in fault and "libcudart" in fault for fault in faults)


PORTRAIT = ASSETS / "portrait.png"


def test_a_good_photo_leaves_with_0(magicface: Callable) -> None:
    outcome = magicface("doctor", PORTRAIT)
    assert outcome.code == 0, outcome.out
    assert "512 x 512 pixels, face 0 of 1: nothing to complain about" in outcome.out
    assert "packages" not in outcome.out  # the installation is not asked for


def test_warnings_leave_with_0(magicface: Callable, astronaut: Path) -> None:
    outcome = magicface("doctor", astronaut)
    assert outcome.code == 0
    assert "warning face width: 91 pixels (allowed: at least 115)" in outcome.out
    assert "-> Use a larger version" in outcome.out


def test_problems_leave_with_1(magicface: Callable, faceless: Path, tiny_face: Path) -> None:
    assert magicface("doctor", faceless).code == 1
    outcome = magicface("doctor", tiny_face)
    assert outcome.code == 1, outcome.out
    assert "problem face width" in outcome.out
    assert magicface("doctor", PORTRAIT, "--face", 3).code == 1


@pytest.mark.parametrize("content", [None, b"", b"no picture"])
def test_what_is_no_photo_leaves_with_2(
    magicface: Callable, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "photo.png"
    if content is not None:
        path.write_bytes(content)
    outcome = magicface("doctor", path)
    assert outcome.code == 2
    assert "photo.png" in outcome.error_line


def test_a_photo_as_json(magicface: Callable) -> None:
    report = json.loads(magicface("doctor", PORTRAIT, "--json").out)
    assert report["photo"] == str(PORTRAIT)
    assert report["ok"] is True
    assert {check["level"] for check in report["checks"]} == {"ok"}


def test_the_framing_is_that_of_the_model(magicface: Callable, tiny_checkpoint: Path) -> None:
    """mini wants less room around the face than the published framing."""

    def most(*options: object) -> float:
        checks = json.loads(magicface("doctor", PORTRAIT, "--json", *options).out)["checks"]
        share = next(check for check in checks if check["name"] == "face share")
        return float(share["allowed"][1])

    assert most() > most("--model", tiny_checkpoint) == pytest.approx(55)
    refused = magicface("doctor", PORTRAIT, "--model", "nowhere")
    assert refused.code == 2
    assert "nowhere" in refused.error_line


def test_a_parser_that_is_not_there(magicface: Callable) -> None:
    refused = magicface("doctor", PORTRAIT, "--parser", "bisenet")
    assert refused.code == 2
    assert "download bisenet" in refused.error_line
