"""Bar charts of action units: bars where the numbers are, in the colours of their regions."""

from __future__ import annotations

import pytest
import torch
from PIL import ImageColor

from magicface_core.aus import ACTION_UNITS, AUVector
from magicface_core.drawing.charts import BARS_X, WIDTH, frame_names, intensity_charts, paint
from magicface_core.perception import AUEstimate

SMILE = ACTION_UNITS[6]


def estimate(confidence: float = 1.0, **units: float) -> AUEstimate:
    return AUEstimate(AUVector(**units), (confidence,) * 12, "test")


def painted(chart: torch.Tensor, color: str) -> torch.Tensor:
    """[H,W], where a chart [3,H,W] has exactly this colour right of the words."""
    wanted = torch.tensor(ImageColor.getrgb(color)).view(3, 1, 1)
    found = ((chart * 255).round() == wanted).all(0)
    found[:, :BARS_X] = False
    return found


def test_one_chart_for_each_frame() -> None:
    charts = intensity_charts([estimate(AU12=4), estimate(AU12=2), estimate()])
    assert charts.shape[:2] == (3, 3)
    assert charts.shape[3] == WIDTH
    assert charts.dtype == torch.float32
    assert 0 <= float(charts.min()) < float(charts.max()) == 1


def test_bars_grow_with_intensity() -> None:
    charts = intensity_charts([estimate(AU12=value) for value in (0, 1, 2, 4)])
    lengths = [int(painted(chart, paint(SMILE, 1)).any(0).sum()) for chart in charts]
    assert lengths[0] == 0
    assert lengths[3] == pytest.approx(2 * lengths[2], abs=2)
    assert lengths[2] == pytest.approx(2 * lengths[1], abs=2)


def test_bars_have_their_own_rows_and_region_colours() -> None:
    chart = intensity_charts([estimate(AU1=5, AU12=5, AU26=5)])[0]
    brows, mouth = painted(chart, paint(ACTION_UNITS[0], 1)), painted(chart, paint(SMILE, 1))
    assert brows.any() and mouth.any()
    assert int(brows.any(1).nonzero().max()) < int(mouth.any(1).nonzero().min())
    assert paint(ACTION_UNITS[11], 1) == paint(SMILE, 1) != paint(ACTION_UNITS[0], 1)


def test_doubtful_bars_are_paler() -> None:
    def lightness(confidence: float) -> int:
        return sum(ImageColor.getrgb(paint(SMILE, confidence)))

    assert lightness(1) < lightness(0.5) < lightness(0) < 3 * 255
    chart = intensity_charts([estimate(0.5, AU12=5)])[0]
    assert painted(chart, paint(SMILE, 0.5)).any()
    assert not painted(chart, paint(SMILE, 1)).any()


def test_a_frame_without_a_face_has_no_bars_and_the_same_size() -> None:
    empty, face = intensity_charts([estimate(0.0), estimate(AU12=3)])
    assert empty.shape == face.shape
    spread = empty.amax(0) - empty.amin(0)
    assert float(spread.max()) < 0.1, "nothing is coloured"


def test_frames_are_named_only_among_several() -> None:
    assert frame_names(1) == [""]
    assert frame_names(3) == ["frame 0 (of 0 to 2)", "frame 1 (of 0 to 2)", "frame 2 (of 0 to 2)"]
