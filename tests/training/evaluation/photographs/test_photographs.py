"""Protocols smiles and wild, on rendered people: no photograph is needed."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from magicface_training.evaluation import cli
from magicface_training.evaluation.editor import CheckpointEditor, EditSource
from magicface_training.evaluation.exact import command as exact_command
from magicface_training.evaluation.photographs import command
from magicface_training.evaluation.photographs.face_areas import (
    INNER_LIPS,
    OUTER_LIPS,
    largest_colour,
    mouth_energy,
    shows_teeth,
    strange_colours,
)
from magicface_training.evaluation.photographs.smiles import SmileRow, smile_pairs, summarise_smiles
from magicface_training.evaluation.photographs.wild import (
    WildRow,
    achieved,
    summarise_wild,
    wild_jobs,
)

from magicface_core.aus import AUDelta
from magicface_core.errors import MagicFaceError
from magicface_core.framing.framing import Framing
from magicface_core.network import load_checkpoint
from magicface_core.pictures.images import save_image

SIZE = 128


class CopyEditor:
    """Returns its input at full size."""

    framing = Framing()
    steps, guidance, scheduler, seed = 1, 1.0, "ddim", 0

    def __init__(self) -> None:
        self.checkpoint = load_checkpoint("mini", device="cpu")

    def edit(self, source: EditSource, deltas: torch.Tensor) -> torch.Tensor:
        return source.finest.repeat(len(deltas), 1, 1, 1)

    def reconstruct(self, pictures: torch.Tensor) -> torch.Tensor:
        return pictures

    keeps_detail = True


def arguments(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    cli.add_arguments(parser)
    return parser.parse_args(["mini", *words])


def opened_mouth(light: bool, parted: bool = True) -> tuple[torch.Tensor, np.ndarray]:
    """A picture of a mouth whose inside is light or dark, and a mesh with its lips."""
    mesh = np.zeros((478, 3))
    mesh[33, :2], mesh[263, :2] = (34, 30), (94, 30)

    def ring(points: tuple[int, ...], width: float, height: float) -> None:
        turn = np.linspace(np.pi, 3 * np.pi, len(points), endpoint=False)
        mesh[list(points), :2] = 64 + np.stack([width * np.cos(turn), height * np.sin(turn)], 1)

    ring(OUTER_LIPS, 24, 14)
    ring(INNER_LIPS, 18, 8 if parted else 0.5)
    rows, columns = np.mgrid[:SIZE, :SIZE] - 64
    inside = (columns / 18) ** 2 + (rows / 8) ** 2 < 1
    colours = np.full((SIZE, SIZE, 3), (0.7, 0.45, 0.4))
    colours[inside] = (0.85, 0.83, 0.8) if light else (0.15, 0.05, 0.05)
    return torch.from_numpy(colours).permute(2, 0, 1)[None].float(), mesh


def test_a_light_row_between_parted_lips_is_teeth() -> None:
    assert shows_teeth(*opened_mouth(light=True))
    assert not shows_teeth(*opened_mouth(light=False))
    assert not shows_teeth(*opened_mouth(light=True, parted=False))


def test_a_mauve_mouth_is_strange_and_a_dark_one_is_not() -> None:
    picture, mesh = opened_mouth(light=False)
    mesh[[10, 152, 234, 454], :2] = (64, 4), (64, 124), (4, 64), (124, 64)
    assert strange_colours(picture, picture, mesh) == 0
    mauve = picture.clone()
    mauve[:, 2] += 0.4 * (mauve[:, 0] < 0.3)
    assert strange_colours(mauve, picture, mesh) > 0.9
    closed = opened_mouth(light=False, parted=False)
    assert math.isnan(strange_colours(closed[0], closed[0], closed[1]))


def test_energy_and_colour() -> None:
    picture, _ = opened_mouth(light=True)
    everywhere = np.ones((SIZE, SIZE), bool)
    assert mouth_energy(picture, everywhere) > 2 * mouth_energy(picture * 0.5, everywhere) > 0
    assert largest_colour(picture.mean(1, keepdim=True).expand(-1, 3, -1, -1)) == 0
    assert largest_colour(picture) == pytest.approx(0.3, abs=1e-6)


def test_pairs_are_found_by_name(tmp_path: Path) -> None:
    for name in ("a_neutral", "a_smiling", "b_neutral", "c_neutral", "c_smiling", "other"):
        save_image(np.zeros((8, 8, 3), np.uint8), tmp_path / f"{name}.png")
    assert list(smile_pairs(tmp_path)) == ["a", "c"]
    assert list(smile_pairs(tmp_path, 1)) == ["a"]
    with pytest.raises(MagicFaceError, match="holds 2 pairs"):
        smile_pairs(tmp_path, 3)


def test_teeth_count_only_where_the_real_face_shows_them() -> None:
    rows = [
        SmileRow("a", "smile", points=0.5, teeth=True, real_teeth=True),
        SmileRow("b", "smile", points=0.7, teeth=False, real_teeth=True),
        SmileRow("c", "smile", points=0.9, teeth=True, real_teeth=False),
        SmileRow("d", "smile"),
    ]
    found = summarise_smiles(rows)["smile"]
    assert (found["teeth"].value, found["teeth"].count) == (0.5, 2)
    assert (found["points"].value, found["points"].count) == (0.7, 3)
    assert math.isnan(summarise_smiles(rows)["back"]["points"].value)


def test_achieved_is_the_share_of_what_was_asked() -> None:
    asked = AUDelta(AU12=4.0, AU25=2.0)
    assert achieved(asked, asked) == pytest.approx(1.0)
    assert achieved(asked, AUDelta(AU4=3.0)) == 0.0
    rows = [WildRow("a", "AU1", identity=0.1), replace(WildRow("b", "AU1"), identity=0.3)]
    assert summarise_wild(rows)["AU1"]["identity"].value == pytest.approx(0.2)


def test_every_unit_opened_mouths_and_expressions_are_asked() -> None:
    names = [job.name for job in wild_jobs()]
    assert names[:12] == [f"AU{n}" for n in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)]
    assert {"AU25+26", "AU25-26 away", "happy", "sad"} <= set(names)


def test_doing_nothing_reads_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "_load_editor", lambda _: CopyEditor())
    monkeypatch.setattr(exact_command, "file_hashes", lambda _: {})
    path = tmp_path / "smiles.json"
    args = arguments("--protocol", "smiles", "--identities", "1", "--json", str(path))
    assert cli.run(args) == 0
    report = json.loads(path.read_text())
    assert report["people"] == 1
    for row in report["rows"]:
        assert row["points"] == pytest.approx(1.0, abs=0.1)
        assert row["lower"] == pytest.approx(1.0, abs=0.05)
        assert row["identity"] < 0.05
        assert row["grey"] == 0


def test_mini_smiles_better_than_nothing(tmp_path: Path) -> None:
    path, sheet = tmp_path / "smiles.json", tmp_path / "sheet.png"
    args = arguments("--protocol", "smiles", "--identities", "1", "--json", str(path))
    assert cli.run(args) == 0
    smile = json.loads(path.read_text())["medians"]["smile"]
    assert smile["points"]["value"] < 0.9
    assert smile["grey"]["value"] < 0.02
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(command, "wild_jobs", lambda: wild_jobs()[:2])
        path = tmp_path / "wild.json"
        words = ("--identities", "1", "--json", str(path), "--sheet", str(sheet))
        assert cli.run(arguments("--protocol", "wild", *words)) == 0
    assert sheet.is_file()
    wild = json.loads(path.read_text())["medians"]
    assert list(wild) == ["AU1", "AU2"]
    assert 0 < wild["AU1"]["identity"]["value"] < 0.5


@pytest.mark.parametrize(
    "words",
    [
        ("--protocol", "smiles"),
        ("--protocol", "wild", "--json", "x.json", "--check"),
        ("--protocol", "smiles", "--json", "x.json", "--sheet", "x.png"),
        ("--protocol", "smiles", "--json", "x.json", "--pictures", "nowhere"),
    ],
)
def test_what_cannot_be_is_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(MagicFaceError):
        cli.run(arguments(*words))


def test_the_editor_is_a_checkpoint() -> None:
    assert CheckpointEditor(load_checkpoint("mini", device="cpu")).framing.resolution == 128
