"""Training of the painter, on shards of a few drawn mouths."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from magicface_training.data.edit_sets import DataError
from magicface_training.data.painted_edits import LIGHT, PaintedEdits, PaintedSets, mark_light, otsu
from magicface_training.data.painted_sets import COLUMNS, ROWS, sample_expressions, sample_pairs
from magicface_training.painter import (
    PainterConfig,
    fit_colours,
    give,
    load_painter_config,
    main,
    train,
)
from magicface_training.settings import ConfigError
from magicface_training.synthetic.head.regions import FaceClass

from magicface_core.network import load_checkpoint
from magicface_core.network.autoencoder import PatchAutoencoder
from magicface_core.network.painter import Painter, brightness, statistics

CONFIG = PainterConfig(widths=(8, 8), steps=4, batch=2, fit_edits=4, save_every=2, threads=1)
FRAMES = 3


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two people whose mouths open: light above, dark below."""
    place = tmp_path_factory.mktemp("painted")
    people = [drawn_person(np.random.default_rng(seed)) for seed in range(2)]
    shard = {key: np.stack([person[key] for person in people]) for key in people[0]}
    np.savez(place / "shard_00024000.npz", **shard)
    return place


def drawn_person(rng: np.random.Generator) -> dict[str, np.ndarray]:
    height, width = ROWS.stop - ROWS.start, COLUMNS.stop - COLUMNS.start
    image = np.full((FRAMES, height, width, 3), (190, 140, 110), np.uint8)
    image += rng.integers(0, 8, image.shape, dtype=np.uint8)
    classes = np.full((FRAMES, height, width), FaceClass.SKIN, np.uint8)
    for frame in range(1, FRAMES):
        classes[frame, 180:210, 70:120] = FaceClass.MOUTH
        image[frame, 180:195, 70:120], image[frame, 195:210, 70:120] = (230, 225, 215), (50, 20, 20)
    au = np.zeros((FRAMES, 12), np.float32)
    au[1:, 10] = 4
    pairs = np.array([(0, 1), (0, 2), (1, 0)], np.int16)
    vectors = np.zeros((len(pairs), 2, 32, 32), np.float16)
    vectors[:2, 1, 20:23] = -0.1
    change = np.full((len(pairs), 3, 128, 128), 0.05, np.float16)
    return {
        "image": image,
        "classes": classes,
        "au": au,
        "pairs": pairs,
        "vectors": vectors,
        "change": change,
        "seed": np.array(24_000),
    }


@pytest.fixture
def batch(folder: Path) -> PaintedEdits:
    return PaintedSets(folder).batch(np.arange(3))


def test_light_and_dark_of_a_mouth_are_told_apart(batch: PaintedEdits) -> None:
    inside = batch.classes[0, 0]
    assert (inside == FaceClass.MOUTH + LIGHT).sum() > 100
    assert (inside == FaceClass.MOUTH).sum() > 100
    assert not (batch.before[0] >= LIGHT).any()
    assert otsu(np.array([0.0, 1.0, 2.0, 80.0, 81.0])) < 80
    classes = np.full((1, 4, 4), FaceClass.SKIN, np.uint8)
    mark_light(np.zeros((1, 4, 4, 3), np.uint8), classes)
    assert (classes == FaceClass.SKIN).all()


def test_mirrored_edits_move_the_other_way(batch: PaintedEdits) -> None:
    vectors = torch.randn_like(batch.vectors)
    turned = replace(batch, vectors=vectors).mirrored(torch.tensor([True, False, True]))
    assert torch.equal(turned.source[0], batch.source[0].flip(-1))
    assert torch.equal(turned.source[1], batch.source[1])
    assert torch.equal(turned.vectors[0, 0], -vectors[0, 0].flip(-1))
    assert torch.equal(turned.vectors[0, 1], vectors[0, 1].flip(-1))


def test_recolouring_goes_with_the_change(batch: PaintedEdits) -> None:
    """Adding the change before or after is the same."""
    mixes = torch.rand(3, 3, 3)
    changed = replace(batch, source=batch.source + 0.1).recoloured(mixes)
    plain = batch.recoloured(mixes)
    shift = torch.einsum("bij,bjhw->bihw", mixes, torch.full_like(batch.source, 0.1))
    torch.testing.assert_close(changed.source, plain.source + shift)


def test_colours_are_fitted_to_the_mouths(folder: Path, batch: PaintedEdits) -> None:
    painter = Painter(160, CONFIG.window, (8, 8))
    fit_colours(painter, PaintedSets(folder), replace(CONFIG, fit_edits=64))
    source = painter.cut(batch.source)[:1]

    light, dark = painter._colours(source, statistics(brightness(source)))
    assert light.mean() > source.mean() + 0.1
    assert dark.mean() < source.mean() - 0.3


def test_a_run_goes_on_where_it_ended(folder: Path, tmp_path: Path) -> None:
    data = PaintedSets(folder)
    whole = train(data, CONFIG, tmp_path / "whole.safetensors")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("magicface_training.painter.tqdm", lambda steps, **_: list(steps)[:2])
        train(data, CONFIG, tmp_path / "part.safetensors")
    resumed = train(data, CONFIG, tmp_path / "part.safetensors")
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_a_checkpoint_gets_its_painter(folder: Path, tmp_path: Path) -> None:
    painter = train(PaintedSets(folder), CONFIG, tmp_path / "state.safetensors")
    out = tmp_path / "checkpoint"
    give(painter, load_mini(), out)
    vae = load_checkpoint(out, device="cpu").vae
    assert isinstance(vae, PatchAutoencoder)
    assert vae.painter is not None
    assert torch.equal(vae.painter.leave[-1].weight, painter.leave[-1].weight)


def load_mini() -> Path:
    from magicface_core.network.checkpoint import resolve_checkpoint

    return resolve_checkpoint("mini")


def test_shipped_settings_are_read_and_wrong_ones_refused() -> None:
    from magicface_training.painter import CONFIG as SHIPPED

    config = load_painter_config(SHIPPED, ["steps=7"])
    assert config == replace(PainterConfig(), steps=7)
    for wrong in ("steps=-1", "widths=[8]", "stride=2", "steps"):
        with pytest.raises(ConfigError):
            load_painter_config(SHIPPED, [wrong])


def test_no_shards_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(DataError, match="painted_sets"):
        PaintedSets(tmp_path)
    arguments = ["--checkpoint", "mini", "--data", str(tmp_path), "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert "holds no shards" in capsys.readouterr().err


def test_expressions_and_pairs_of_a_scene() -> None:
    rng = np.random.default_rng(0)
    expressions = np.stack(sample_expressions(rng))
    assert expressions.shape == (8, 12)
    assert 0 <= expressions.min() <= expressions.max() <= 5
    pairs = sample_pairs(rng)
    assert (pairs[:, 0] != pairs[:, 1]).all()
    assert pairs.min() == 0
    assert pairs.max() == 7
