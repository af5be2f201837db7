"""magicface.json: defaults of the release, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from magicface_core.errors import CheckpointError
from magicface_core.network.info import CheckpointInfo, read_info


def test_defaults_are_the_release() -> None:
    info = CheckpointInfo()
    assert (info.resolution, info.steps, info.guidance, info.scheduler) == (512, 50, 1.5, "unipc")
    assert (info.region, info.attribute_controller) == ("person", "concatenation")
    assert (info.identity, info.action_units) == ("reference-attention", "linear")
    assert info.face_fraction == pytest.approx(0.4583, abs=1e-4)
    assert (info.locality, info.mask_dilation, info.chin_extension) == ((), 0.0, 0.0)


def test_round_trip() -> None:
    info = CheckpointInfo(
        name="mini",
        resolution=128,
        locality=(2.0, 0.0),
        crop_offset=(0.0, 0.1),
        region="face",
        face_fraction=1,
        training={"seeds": [20000, 22100]},
    )
    assert CheckpointInfo.from_json(info.to_json()) == info


def test_folder_without_a_file(tmp_path: Path) -> None:
    assert read_info(tmp_path) == CheckpointInfo(name=tmp_path.name)


@pytest.mark.parametrize("text", ["{", "[]", "3"])
def test_text_that_is_no_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "magicface.json").write_text(text, encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"magicface\.json"):
        read_info(tmp_path)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "magicface.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CheckpointError, match="not UTF-8"):
        read_info(tmp_path)


def test_unknown_keys_and_future_formats() -> None:
    with pytest.raises(CheckpointError, match=r"unknown keys \['colour'\]; known: \['action_un"):
        CheckpointInfo.from_json('{"colour": 1}')
    with pytest.raises(CheckpointError, match="format_version 2, this version reads 1; update"):
        CheckpointInfo.from_json('{"format_version": 2, "colour": 1}')


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("identity", "reference-attention, convolution, image-encoder, controlnet"),
        ("action_units", "linear, zero-append, convolution"),
        ("attribute_controller", "concatenation, convolution"),
        ("region", "face, person"),
    ],
)
@pytest.mark.parametrize("value", ["magic", 3, ["linear"], None])
def test_unknown_kinds_are_told_what_is_allowed(name: str, allowed: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=f"{name} is .* out of range; allowed: {allowed}$"):
        CheckpointInfo.from_json(json.dumps({name: value}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("resolution", 16),
        ("resolution", 128.0),
        ("region", "hair"),
        ("attribute_controller", "magic"),
        ("face_fraction", 0.0),
        ("face_fraction", "wide"),
        ("guidance", -1),
        ("guidance", float("nan")),
        ("steps", 0),
        ("steps", True),
        ("locality", 3.0),
        ("locality", [-1.0]),
        ("crop_offset", [0.0]),
        ("mask_dilation", -0.1),
        ("chin_extension", 2),
        ("keep_detail", "yes"),
        ("training", []),
        ("notice", None),
    ],
)
def test_values_out_of_range_are_named(name: str, value: Any) -> None:
    with pytest.raises(CheckpointError, match=f"{name} is .* out of range"):
        CheckpointInfo.from_json(json.dumps({name: value}))
