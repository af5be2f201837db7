"""The sample pictures of the workflow templates are what the script draws."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from magicface_training.data.workflow_samples import (
    SMILE,
    SMILING_IDENTITY,
    TURNING_IDENTITY,
    YAWS,
    draw,
    shipped_portrait,
)
from magicface_training.synthetic import HeadModel
from PIL import Image

SAMPLES = Path(__file__).resolve().parents[3] / "web" / "samples"
SIDE = 64


def difference(first: Image.Image, second: Image.Image) -> float:
    """Mean absolute difference of two pictures at a small size, in units of 0..255."""
    small = [
        np.asarray(picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX), np.float32)
        for picture in (first, second)
    ]
    return float(np.abs(small[0] - small[1]).mean())


def test_the_smile_is_drawn_by_the_script() -> None:
    model = HeadModel.load()
    drawn = draw(model, SMILING_IDENTITY, SMILE, yaw=5.0, size=128, backdrop=19)
    neutral = draw(model, SMILING_IDENTITY, {}, yaw=5.0, size=128, backdrop=19)
    with Image.open(SAMPLES / "magicface_smile.jpg") as shipped:
        assert difference(drawn, shipped) < 3
        assert difference(drawn, shipped) < difference(neutral, shipped)


def test_the_clip_turns_the_head() -> None:
    drawn = draw(HeadModel.load(), TURNING_IDENTITY, {}, YAWS[0], size=128, backdrop=9)
    with Image.open(SAMPLES / "magicface_frames.webp") as clip:
        assert clip.n_frames == len(YAWS)
        assert difference(drawn, clip) < 3
        first = clip.convert("RGB")
        clip.seek(len(YAWS) - 1)
        assert difference(first, clip) > 1


def test_the_portrait_is_the_packaged_one() -> None:
    with Image.open(SAMPLES / "magicface_portrait.jpg") as shipped:
        assert shipped.size == (512, 512)
        assert difference(shipped_portrait(), shipped) < 0.5
