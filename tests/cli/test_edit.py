"""`magicface edit` with a tiny checkpoint: results, faces, faults, interruption."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from magicface_core.pictures.images import load_image


@pytest.fixture
def edit(magicface: Callable, tiny_checkpoint: Path, tmp_path: Path) -> Callable:
    """Run `magicface edit PHOTO WORDS` on the tiny checkpoint, into out.png unless told."""

    def run(photo: Path, *words: object, output: Path = tmp_path / "out.png") -> tuple:
        common = ("-o", output, "--model", tiny_checkpoint, "--device", "cpu")
        return magicface("edit", photo, *words, *common)

    return run


def changed(before: Path, after: Path) -> np.ndarray:
    """Where two picture files differ, [H,W] bool."""
    return (np.asarray(load_image(before)) != np.asarray(load_image(after))).any(axis=2)


def test_edit_writes_the_picture_at_its_size(
    edit: Callable, astronaut: Path, tmp_path: Path
) -> None:
    outcome = edit(astronaut, "--au", "AU12=4", "--au", "AU6=2,AU25=1")
    assert outcome.code == 0, outcome.err
    assert "out.png: face 0, AU6+2 AU12+4 AU25+1" in outcome.out
    assert "editing" in outcome.err, "a progress bar"
    share = changed(astronaut, tmp_path / "out.png").mean()
    assert 0.01 < share < 0.3


def test_options_reach_the_model(edit: Callable, astronaut: Path, tmp_path: Path) -> None:
    seen = []
    for number, words in enumerate(
        [(), ("--seed", 1), ("--steps", 4), ("--guidance", 5), ("--scheduler", "ddim")]
    ):
        output = tmp_path / f"{number}.png"
        assert edit(astronaut, "--au", "AU12=4", *words, output=output).code == 0
        seen.append(np.asarray(load_image(output)).tobytes())
    assert len(set(seen)) == len(seen)


def test_person_region_reaches_further(edit: Callable, astronaut: Path, tmp_path: Path) -> None:
    shares = []
    for region in ("face", "person"):
        output = tmp_path / f"{region}.png"
        edit(astronaut, "--au", "AU12=4", "--region", region, output=output)
        shares.append(changed(astronaut, output).mean())
    assert shares[0] < shares[1]


def test_face_only_reaches_less_far(edit: Callable, astronaut: Path, tmp_path: Path) -> None:
    shares = []
    for words in (("--region", "person", "--face-only"), ("--region", "person")):
        output = tmp_path / f"{len(words)}.png"
        assert edit(astronaut, "--au", "AU12=4", *words, output=output).code == 0
        shares.append(changed(astronaut, output).mean())
    assert 0 < shares[0] < 0.6 * shares[1]


def test_zero_delta_returns_the_photograph(edit: Callable, astronaut: Path, tmp_path: Path) -> None:
    assert edit(astronaut, "--au", "AU12=0").code == 0
    assert not changed(astronaut, tmp_path / "out.png").any()


def test_either_face_of_a_large_photograph(edit: Callable, two_faces: Path, tmp_path: Path) -> None:
    columns = []
    for face in (0, 1):
        output = tmp_path / f"{face}.png"
        outcome = edit(two_faces, "--au", "AU12=4", "--face", face, output=output)
        assert outcome.code == 0, outcome.err
        assert Image.open(output).size == (4000, 2000)
        columns.append(np.flatnonzero(changed(two_faces, output).any(axis=0)))
    assert columns[0].max() < 1900 < 2600 < columns[1].min()
    missing = edit(two_faces, "--au", "AU12=4", "--face", 2)
    assert missing.code == 2
    assert "2 found, numbered 0 to 1" in missing.error_line


def test_the_colour_profile_is_kept(edit: Callable, astronaut: Path, tmp_path: Path) -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    photo = tmp_path / "photo.png"
    Image.open(astronaut).save(photo, icc_profile=profile)
    assert edit(photo, "--au", "AU12=4").code == 0
    assert Image.open(tmp_path / "out.png").info["icc_profile"] == profile


@pytest.mark.parametrize(
    ("units", "fragment"),
    [
        ("AU3=1", "AU3"),
        ("AU12=11", "-10"),
        ("AU12=-10.5", "-10"),
        ("AU12=nan", "finite"),
        ("AU12=inf", "finite"),
        ("AU12", "AU12=4"),
        ("smile=4", "SMILE"),
        ("AU12=1,AU12=2", "twice"),
    ],
)
def test_bad_action_units(
    edit: Callable, astronaut: Path, tmp_path: Path, units: str, fragment: str
) -> None:
    outcome = edit(astronaut, "--au", units)
    assert outcome.code == 2
    assert fragment in outcome.error_line
    assert list(tmp_path.iterdir()) == []


def test_faces_that_cannot_be_edited(
    edit: Callable, faceless: Path, tiny_face: Path, tmp_path: Path
) -> None:
    for photo, fragment in ((faceless, "No face found"), (tiny_face, "at least 64 are needed")):
        outcome = edit(photo, "--au", "AU12=4")
        assert outcome.code == 2
        assert fragment in outcome.error_line
    assert list(tmp_path.iterdir()) == []


def test_unknown_scheduler(edit: Callable, astronaut: Path, tmp_path: Path) -> None:
    outcome = edit(astronaut, "--au", "AU12=4", "--scheduler", "magic")
    assert outcome.code == 2
    assert "unipc" in outcome.error_line
    assert list(tmp_path.iterdir()) == []


def test_absent_device(magicface: Callable, astronaut: Path, tmp_path: Path) -> None:
    words = ("--au", "AU12=4", "-o", tmp_path / "out.png", "--device", "abacus")
    outcome = magicface("edit", astronaut, *words)
    assert outcome.code == 2
    assert 'Device "abacus"' in outcome.error_line
    assert "cpu" in outcome.error_line


def test_output_is_checked_before_the_work(
    edit: Callable,
    astronaut: Path,
    tmp_path: Path,
    read_only: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from magicface_core.cli import options

    monkeypatch.setattr(options, "load_model", lambda args: pytest.fail("loaded too early"))
    places = {
        tmp_path / "absent" / "out.png": "does not exist",
        read_only / "out.png": "read-only",
        read_only: "picture",
        tmp_path / "out.gif": ".png",
    }
    for output, fragment in places.items():
        outcome = edit(astronaut, "--au", "AU12=4", output=output)
        assert outcome.code == 2
        assert fragment in outcome.error_line
    assert list(read_only.iterdir()) == []


def test_interruption_leaves_nothing_behind(
    astronaut: Path, tiny_checkpoint: Path, tmp_path: Path
) -> None:
    words = [
        *(sys.executable, "-m", "magicface_core.cli", "edit", astronaut, "--au", "AU12=4"),
        *("-o", tmp_path / "out.png", "--model", tiny_checkpoint, "--device", "cpu"),
        *("--steps", "1000"),
    ]
    # A shell that runs the tests in the background has children ignore Ctrl-C; this one may not.
    process = subprocess.Popen(
        words,
        stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    seen = b""
    while not re.search(rb"[1-9]\d*/1000", seen) and (block := process.stderr.read1()):
        seen += block
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(timeout=60) == 130, seen + rest
    assert rest.endswith(b"magicface: interrupted\n")
    assert b"Traceback" not in seen + rest
    assert list(tmp_path.iterdir()) == []
