"""Attention maps of frames: the sampler's pictures, one sheet each, points found or given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from magicface_core import AUDelta
from magicface_core.attention import frames as attention_frames
from magicface_core.attention.maps import Point, record_render
from magicface_core.attention.sheet import attention_sheet
from magicface_core.drawing.text import as_tensor
from magicface_core.editing.rendering import RenderOptions, encode_identities, render
from magicface_core.errors import ImageError, MagicFaceError
from magicface_core.network import Checkpoint
from magicface_core.perception import Perception
from magicface_core.pictures.images import load_image, to_tensor

NOISE = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
DELTAS = (AUDelta(), AUDelta(AU12=4))
OPTIONS = RenderOptions(steps=1, keep_detail=False, render_zero=True, batch_size=1)
PORTRAIT = Path(__file__).parents[3] / "magicface_core" / "assets" / "portrait.png"


def maps_of(checkpoint: Checkpoint, perception: Perception, faces: torch.Tensor, **options: object):
    identity = encode_identities(checkpoint, faces)
    return attention_frames.attention_frames(
        checkpoint, identity, faces, DELTAS, perception, OPTIONS, **{"tile": 64, **options}
    )


def test_frames_are_those_of_render(tiny: Checkpoint, perception: Perception) -> None:
    heard: list[tuple[int, int]] = []
    found = maps_of(
        tiny,
        perception,
        NOISE,
        points="10,10",
        callback=lambda done, total, _: heard.append((done, total)),
    )
    plain = render(tiny, encode_identities(tiny, NOISE), NOISE, DELTAS, OPTIONS)
    assert torch.equal(found.edited, plain.pictures)
    assert found.reference.shape == (2, 1, 512, 512)
    assert found.reference.min() > 0 and found.reference.max() < 1
    assert heard == [(0, 2), (1, 2), (1, 2), (2, 2)]


def test_a_sheet_is_that_of_its_frame(tiny: Checkpoint, perception: Perception) -> None:
    faces = NOISE[:1]
    found = maps_of(tiny, perception, faces, points="128,384", layer=2)
    identity = encode_identities(tiny, faces)
    rendered, maps = record_render(
        tiny,
        identity,
        faces,
        DELTAS[1],
        OPTIONS,
        points=[Point("128, 384", 0.25, 0.75)],
        layers=[2],
    )
    name = maps.layers[0].name
    expected = attention_sheet(
        maps,
        rendered.pictures,
        faces,
        heading=f"Attention maps, AU12+4, layer 2: {name}",
        tile=64,
    )
    assert torch.equal(found.sheets[1:], as_tensor(expected))


def test_faces_are_looked_for_once_per_identity_and_may_be_absent(
    tiny: Checkpoint, perception: Perception, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    plain = Perception.faces
    monkeypatch.setattr(Perception, "faces", lambda *a, **k: asked.append(1) or plain(*a, **k))
    portrait = to_tensor(load_image(PORTRAIT).resize((96, 96)))
    maps_of(tiny, perception, portrait, points="10,10")
    assert asked == []
    found = maps_of(tiny, perception, portrait)
    assert len(asked) == 1
    mixed = maps_of(tiny, perception, torch.cat([portrait, NOISE[:1]]))
    assert len(asked) == 3
    assert mixed.sheets.shape[2:] == found.sheets.shape[2:]
    with_points, without = np.asarray(mixed.sheets)
    rows = 4 * 64  # eyes and mouth corners
    assert (without[:, -rows:] == 1).all()
    assert not (with_points[:, -rows:] == 1).all()


def test_what_does_not_fit(tiny: Checkpoint, perception: Perception) -> None:
    with pytest.raises(ImageError, match="3 backgrounds"):
        attention_frames.attention_frames(
            tiny, encode_identities(tiny, NOISE), NOISE[[0, 1, 0]], DELTAS, perception
        )
    with pytest.raises(MagicFaceError, match=r"within 0\.\.1"):
        maps_of(tiny, perception, NOISE, points="600,10")
