"""Deltas put together from sliders, presets and other faces, and their texts."""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import fields

import pytest

from magicface_core.aus import ACTION_UNITS, AUDelta, AUVector
from magicface_core.errors import AUError
from magicface_core.expressions.building import (
    PRESET_NAMES,
    Gains,
    build_deltas,
    describe,
    intensity_table,
    label_frames,
    region_of,
)
from magicface_core.expressions.presets import load_presets
from magicface_core.perception import AUEstimate

SURE, NO_FACE = (0.8,) * 12, (0.0,) * 12


def seen(confidence: tuple[float, ...] = SURE, **units: float) -> AUEstimate:
    return AUEstimate(AUVector(**units), confidence, "test")


def test_menu_of_presets() -> None:
    assert PRESET_NAMES == (
        "none", "happy", "sad", "surprised", "angry", "afraid", "disgusted", "neutralise",
    )  # fmt: skip
    assert set(load_presets()) == set(PRESET_NAMES) - {"none", "neutralise"}


def test_menus_are_built_without_heavy_imports() -> None:
    code = (
        "import sys, magicface_core.expressions.building, magicface_core.expressions.animation\n"
        "import magicface_core.expressions.files\n"
        "print({'torch', 'numpy', 'PIL', 'diffusers'} & set(sys.modules))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert result.stdout.strip() == "set()"


# --- gains ------------------------------------------------------------------------------------


def test_every_unit_has_one_region() -> None:
    units = Gains.units()
    assert list(units) == [field.name for field in fields(Gains)] == ["brows", "eyes", "mouth"]
    assert units["brows"] == "AU1, AU2, AU4"
    assert units["eyes"] == "AU5, AU6"
    listed = ", ".join(units.values()).split(", ")
    assert listed == [unit.code for unit in ACTION_UNITS]
    assert {region_of(unit) for unit in ACTION_UNITS} == set(units)


def test_gains_scale_their_region_and_saturate() -> None:
    delta = AUDelta(AU1=2, AU5=-3, AU12=6)
    assert Gains().apply(delta) == delta
    assert Gains(brows=0, eyes=0.5, mouth=2).apply(delta) == AUDelta(AU5=-1.5, AU12=10)


def test_gains_are_finite() -> None:
    with pytest.raises(AUError, match="gain for eyes is nan"):
        Gains(eyes=math.nan)


# --- building ---------------------------------------------------------------------------------


def test_sliders_alone() -> None:
    assert build_deltas(AUDelta(AU12=3)) == (AUDelta(AU12=3),)


def test_preset_times_strength_is_added_to_the_sliders() -> None:
    (built,) = build_deltas(AUDelta(AU6=1, AU4=-1), preset="happy", strength=0.5)
    assert built == AUDelta(AU4=-1, AU6=3, AU12=2.5)


def test_incoming_frames_are_kept() -> None:
    incoming = [AUDelta(AU12=value) for value in (0, 2, 4)]
    built = build_deltas(AUDelta(AU12=1), incoming=incoming)
    assert built == tuple(AUDelta(AU12=value) for value in (1, 3, 5))


def test_difference_of_two_faces_with_gains() -> None:
    source, target = seen(AU4=2, AU6=1), seen(AU6=3, AU12=4)
    (built,) = build_deltas(
        AUDelta(), source=[source], target=[target], gains=Gains(brows=0, mouth=0.5)
    )
    assert built == AUDelta(AU6=2, AU12=2)


def test_neutralise_takes_back_the_source() -> None:
    source = [seen(AU12=4), seen(AU4=1, AU12=2)]
    built = build_deltas(AUDelta(), preset="neutralise", strength=0.5, source=source)
    assert built == (AUDelta(AU12=-2), AUDelta(AU4=-0.5, AU12=-1))


def test_source_alone_changes_nothing() -> None:
    assert build_deltas(AUDelta(), source=[seen(AU12=4)]) == (AUDelta(),)


@pytest.mark.parametrize("side", ["source", "target"])
def test_a_frame_without_a_face_is_no_difference(side: str) -> None:
    faces = {"source": seen(AU12=4), "target": seen(AU4=4)} | {side: seen(NO_FACE)}
    built = build_deltas(AUDelta(AU1=1), source=[faces["source"]], target=[faces["target"]])
    assert built == (AUDelta(AU1=1),)


def test_one_face_for_many_frames() -> None:
    target = [seen(AU12=value) for value in (1, 2, 3)]
    built = build_deltas(AUDelta(), source=[seen(AU12=1)], target=target)
    assert built == tuple(AUDelta(AU12=value) for value in (0, 1, 2))


def test_sums_saturate_once_everything_is_added() -> None:
    (built,) = build_deltas(
        AUDelta(AU12=10), incoming=[AUDelta(AU12=10)], source=[seen(AU12=5)], target=[seen()]
    )
    assert built == AUDelta(AU12=10)
    (less,) = build_deltas(
        AUDelta(AU12=8), incoming=[AUDelta(AU12=5)], source=[seen(AU12=5)], target=[seen()]
    )
    assert less == AUDelta(AU12=8)


def test_sums_that_cancel_are_no_change() -> None:
    (built,) = build_deltas(AUDelta(AU12=0.1), incoming=[AUDelta(AU12=-0.3)], preset="none")
    (back,) = build_deltas(AUDelta(AU12=0.2), incoming=[built])
    assert back.is_zero


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"preset": "smug"}, "smug.*choose one of none, happy.*neutralise"),
        ({"preset": "neutralise"}, "needs source AUs: connect an AU Estimate"),
        ({"target": [seen()]}, "Target AUs need source AUs.*connect"),
        ({"strength": math.nan, "preset": "sad"}, "not a finite number"),
        ({"incoming": []}, "no frames in delta"),
        (
            {"incoming": [AUDelta()] * 3, "source": [seen()] * 2},
            "3 in delta, 2 in source AUs.*the same number",
        ),
    ],
)
def test_what_cannot_be_built_says_how_it_can(words: dict[str, object], message: str) -> None:
    with pytest.raises(AUError, match=message):
        build_deltas(AUDelta(), **words)  # type: ignore[arg-type]


# --- texts ------------------------------------------------------------------------------------


def test_labels_are_numbered_where_there_are_several() -> None:
    assert label_frames([AUDelta(AU6=2, AU12=4)]) == "AU6+2 AU12+4"
    assert label_frames([AUDelta(AU12=0.12345), AUDelta()]) == "0: AU12+0.12\n1: no change"


def test_table_of_a_face() -> None:
    lines = intensity_table(seen(AU12=5, AU6=2.5)).splitlines()
    assert len(lines) == 13
    assert lines[0].split() == ["AU", "name", "plain", "words", "0-5", "confidence"]
    assert lines[7].startswith("AU12 Lip Corner Puller     smile")
    assert lines[7].endswith(f"5.0  {'#' * 20}  0.80")
    assert lines[5].count("#") == 10
    assert len({len(line) for line in lines[1:]}) == 1


def test_description_of_frames() -> None:
    assert describe([seen(AU12=5)]) == intensity_table(seen(AU12=5))
    text = describe([seen(AU12=5), seen(NO_FACE)])
    assert text.startswith("frame 0\nAU ")
    assert text.endswith("\n\nframe 1\nno face")
