"""The painter inside a decoder: what it may and may not do, whatever its weights are."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from magicface_core.network.autoencoder import PatchAutoencoder
from magicface_core.network.checkpoint import load_autoencoder
from magicface_core.network.painter import Painter, Scene, hues, in_own_hues, teeth

SIZE = 64
WINDOW = [16, 32, 48, 64]
SETTINGS = {"size": SIZE, "window": WINDOW, "widths": [8, 8]}


@pytest.fixture(scope="module")
def painter() -> Painter:
    """A painter that paints wherever it may."""
    torch.manual_seed(0)
    painter = Painter(SIZE, WINDOW, (8, 8))
    torch.nn.init.constant_(painter.leave[-1].bias, 4.0)
    return painter.eval().requires_grad_(False)


def edit(size: int = 2 * SIZE, count: int = 1) -> tuple[Tensor, Tensor, Tensor]:
    """A picture in -1..1, a change of colours, and vectors that draw out what lies at 3/4 height.

    There every pixel comes from the same line; all below is moved down.
    """
    torch.manual_seed(1)
    coarse = torch.rand(count, 3, size // 8, size // 8) * 2 - 1
    picture = F.interpolate(coarse, (size, size), mode="bilinear")
    height = torch.linspace(-1, 1, 32)[:, None].expand(32, 32)
    down = -(height - 0.4).clamp(0, 0.25)
    vectors = torch.stack([torch.zeros(32, 32), down]).expand(count, -1, -1, -1)
    return picture, torch.randn(count, 3, 32, 32) * 0.2, vectors


def test_no_edit_is_the_picture_bit_for_bit(painter: Painter) -> None:
    picture, change, vectors = edit()
    torch.testing.assert_close(
        painter(picture, change * 0, vectors * 0), picture, rtol=0, atol=1e-6
    )


def test_an_edit_fades_out_towards_none(painter: Painter) -> None:
    picture, change, vectors = edit()
    differences = [
        float((painter(picture, change * share, vectors * share) - picture).abs().max())
        for share in (1e-4, 1e-3, 1.0)
    ]
    assert differences[0] < differences[1] < differences[2]
    assert differences[0] < 0.1


def test_it_paints_only_where_the_picture_is_drawn_out(painter: Painter) -> None:
    picture, change, vectors = edit(SIZE)
    moved = Scene.of(picture, change, vectors, SIZE).moved
    painted = (painter(picture, change, vectors) - moved).abs().amax((0, 1)) > 1e-3
    assert painted[46:50, 24:40].all()
    assert not painted[:36].any()
    assert not painted[60:].any()
    assert not painted[:, :16].any()
    assert not painted[:, 48:].any()


def test_a_picture_that_is_pressed_together_is_not_painted(painter: Painter) -> None:
    """Lips that close: nothing appears."""
    picture, change, vectors = edit(SIZE)
    moved = Scene.of(picture, change, -vectors, SIZE).moved
    torch.testing.assert_close(painter(picture, change, -vectors), moved, rtol=0, atol=1e-5)


def test_teeth_lie_below_the_upper_lip_and_not_in_the_corners() -> None:
    opening = torch.zeros(1, 1, 32, 64)
    opening[..., 8:28, 12:52] = 1
    light = (teeth(opening) > 0)[0, 0]
    assert light[9, 20:44].float().mean() > 0.6
    assert not light[20:].any()
    assert not light[:, 12:14].any()
    assert not light[:, 50:].any()


def test_teeth_have_gaps_at_any_size() -> None:
    counts = []
    for scale in (2, 4):
        opening = torch.zeros(1, 1, 16 * scale, 64 * scale)
        opening[..., 12 * scale : 52 * scale] = 1
        row = teeth(opening, scale)[0, 0, scale]
        lows = (row[1:-1] < row[:-2]) & (row[1:-1] <= row[2:])
        counts.append(int(lows[14 * scale : 50 * scale].sum()))
    assert min(counts) > 4
    assert abs(counts[0] - counts[1]) <= 1


def test_a_grey_picture_stays_grey_whatever_the_latents_say(painter: Painter) -> None:
    picture, change, vectors = edit()
    grey = picture[:, :1].expand(-1, 3, -1, -1)
    edited = painter(grey, change, vectors)
    assert float((edited - grey).abs().max()) > 0.1
    assert float((edited.amax(1) - edited.amin(1)).max()) < 1e-4


def test_a_toned_picture_keeps_its_tone(painter: Painter) -> None:
    """Every colour of a sepia print is a grey plus some amount of one hue."""
    picture, change, vectors = edit()
    tone = torch.tensor([0.5, 0.05, -0.4])
    tone = (tone - tone @ torch.tensor([0.299, 0.587, 0.114]))[None, :, None, None]
    toned = picture[:, :1] + picture[:, 1:2] * tone
    edited = painter(toned, change, vectors)
    hue = edited - torch.einsum("c,bchw->bhw", torch.tensor([0.299, 0.587, 0.114]), edited)[:, None]
    along = (hue * tone).sum(1, keepdim=True) / tone.square().sum() * tone
    assert float((hue - along).abs().max()) < 0.02 * float(hue.abs().max())


def test_hues_of_a_colourful_picture_are_kept() -> None:
    picture, change, _ = edit()
    kept = in_own_hues(change, picture)
    assert float((kept - change).abs().max()) < 0.1 * float(change.abs().max())
    assert hues(picture).diagonal(dim1=1, dim2=2).gt(0.05).all()


def test_rows_do_not_see_each_other(painter: Painter) -> None:
    picture, change, vectors = edit(count=2)
    together = painter(picture, change, vectors)
    alone = painter(picture[1:], change[1:], vectors[1:])
    torch.testing.assert_close(together[1:], alone, rtol=0, atol=1e-5)


def test_it_is_part_of_the_autoencoders_folder(tmp_path: Path) -> None:
    torch.manual_seed(2)
    vae = PatchAutoencoder(8, 20, width=0, motion=2, painter_settings=SETTINGS).eval()
    vae.save_pretrained(tmp_path)
    read = load_autoencoder(tmp_path, torch.float32, torch.device("cpu"))
    assert isinstance(read, PatchAutoencoder)
    picture = torch.rand(1, 3, SIZE, SIZE) * 2 - 1
    unedited = vae.encode(picture).latent_dist.mode()
    wanted = unedited + 0.3 * torch.randn_like(unedited)
    carried = vae.carry(picture, wanted, unedited)
    assert torch.equal(read.carry(picture, wanted, unedited), carried)
    torch.testing.assert_close(vae.carry(picture, unedited, unedited), picture, rtol=0, atol=1e-6)
