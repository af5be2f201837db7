"""Settings keep their limits and survive JSON."""

from __future__ import annotations

import json

import pytest
from magicface_training.videos import VideoError, VideoSettings


def test_settings_survive_json() -> None:
    settings = VideoSettings(frames_per_second=5, region="person", maximum_frames=7)
    text = settings.to_json()
    assert VideoSettings.from_mapping(json.loads(text)) == settings
    assert text == VideoSettings.from_mapping(json.loads(text)).to_json()
    assert text != VideoSettings().to_json()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("frames_per_second", 0),
        ("frames_per_second", float("nan")),
        ("picture_size", 30),
        ("picture_size", 516),
        ("picture_size", 130),
        ("minimum_face", 0),
        ("maximum_yaw", -1),
        ("maximum_outside", 1.1),
        ("minimum_sharpness", -0.1),
        ("maximum_occlusion", 1.5),
        ("scene_change", 2),
        ("maximum_seconds", -1),
        ("maximum_frames", -1),
        ("region", "hair"),
    ],
)
def test_settings_out_of_range_name_value_and_limit(name: str, value: object) -> None:
    with pytest.raises(VideoError, match=rf"{name} is .*; choose"):
        VideoSettings(**{name: value})  # type: ignore[arg-type]


def test_unknown_setting_is_named() -> None:
    with pytest.raises(VideoError, match=r"fps; there are .*frames_per_second"):
        VideoSettings.from_mapping({"fps": 2})
