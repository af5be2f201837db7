"""The command line of the training data. What it prepares is tested in test_end_to_end.py."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from magicface_training import data_cli
from magicface_training.data_cli import build_parser, main
from magicface_training.shards.engines.local import LocalEngine
from magicface_training.shards.engines.ray import RayEngine
from magicface_training.shards.prepare import PrepareSettings
from pair_shards import write_pair_shards

LICENCE = ["--licence", "CC BY 4.0"]


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What would be prepared."""
    seen: list[Any] = []

    def prepare(*arguments: Any, **_: Any) -> Any:
        seen.extend(arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr("magicface_training.shards.prepare.prepare", prepare)
    monkeypatch.setattr("magicface_training.videos.layouts.index_videos", lambda *_: ["a video"])
    return seen


def test_options_become_settings(calls: list[Any], tmp_path: Path) -> None:
    words = ["--frames-per-second", "4", "--picture-size", "128", "--per-identity", "20"]
    words += ["--validation", "0.2", "--consent", "asked", "--seed", "3", "--shard-megabytes", "64"]
    words += ["--region", "person", "--workers", "3"]
    arguments = ["prepare", str(tmp_path), "--out", str(tmp_path / "out"), *LICENCE, *words]
    assert main(arguments) == 130  # interrupted, as Ctrl-C is
    videos, out, settings, engine = calls
    assert (videos, out) == (["a video"], tmp_path / "out")
    assert (settings.licence, settings.consent, settings.seed) == ("CC BY 4.0", "asked", 3)
    assert settings.video.frames_per_second == 4.0
    assert (settings.video.picture_size, settings.video.region) == (128, "person")
    assert (settings.pairs.per_identity, settings.split.validation) == (20, 0.2)
    assert settings.shard_megabytes == 64
    assert engine == LocalEngine(3)


def test_defaults_are_those_of_the_settings(calls: list[Any], tmp_path: Path) -> None:
    words = ["--engine", "ray", "--workers", "2"]
    main(["prepare", str(tmp_path), "--out", str(tmp_path), *LICENCE, *words])
    assert calls[2] == PrepareSettings(licence="CC BY 4.0")
    assert calls[3] == RayEngine(2)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare", "videos", "--out", "out"], "--licence"),
        (["prepare", "videos", "--out", "out", *LICENCE, "--workers", "0"], "1 or more"),
        (["prepare", "videos", "--out", "out", *LICENCE, "--engine", "spark"], "local"),
        ([], "COMMAND"),
    ],
)
def test_wrong_usage(capsys: pytest.CaptureFixture[str], words: list[str], message: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(words)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare", "{}/none", "--out", "{}/out", *LICENCE], "is not a folder"),
        (["prepare", "{}", "--out", "{}/out", "--licence", " "], "licence of the videos is empty"),
        (["prepare", "{}", "--out", "{}/o", *LICENCE, "--picture-size", "65"], "picture_size"),
        (["verify", "{}"], "There is no manifest.json"),
        (["card", "{}"], "There is no manifest.json"),
        (["cache", "{}", "--autoencoder", "{}"], "autoencoder|manifest.json|config.json"),
    ],
)
def test_faults_of_the_user_are_one_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, words: list[str], message: str
) -> None:
    assert main([word.format(tmp_path) for word in words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("magicface-data: ")
    assert re.search(message, line)


def test_verify_says_what_it_looked_at(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    write_pair_shards(tmp_path, size=16)
    assert main(["verify", str(tmp_path), "--deep"]) == 0
    assert capsys.readouterr().out == "12 pairs in 3 shards are as the manifest says\n"


def test_help_explains_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        build_parser().parse_args(["prepare", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--maximum-yaw X degrees to either side (default: 60.0)" in text
    assert "--seconds-apart X least time between two frames of one scene (default: 2.0)" in text
    for settings in data_cli.SETTINGS.values():
        for field in fields(settings):
            assert f"--{field.name.replace('_', '-')} " in text
            assert data_cli._explanations(settings)[field.name] != field.name.replace("_", " ")
