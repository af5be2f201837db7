"""Samples become batches in the order that training relies on."""

from __future__ import annotations

from dataclasses import fields

import torch
from magicface_training.data.samples import Batch, CachedLatents, Sample, collate


def sample(position: int, targets: int = 2, pictures: bool = True) -> Sample:
    """Everything in it says its position and target."""
    numbers = torch.arange(targets) + 10.0 * position
    picture = numbers[:, None, None, None].expand(targets, 3, 4, 4)
    latents = picture[:, :1, :2, :2].half()
    return Sample(
        delta=numbers[:, None].expand(targets, 12),
        mask=picture[:, :1],
        same_scene=numbers % 2 == 0,
        identity=picture[0] if pictures else None,
        target=picture if pictures else None,
        condition=picture + 0.5 if pictures else None,
        latents=CachedLatents(latents[0], latents, latents + 1, latents + 2),
        tracks=numbers[:, None, None].expand(targets, 7, 5),
        position=position,
    )


def test_target_b_belongs_to_identity_b_mod_r() -> None:
    batch = collate([sample(3), sample(5), sample(4)])
    assert batch.position.tolist() == [3, 5, 4]
    assert batch.identity is not None
    assert batch.target is not None
    assert batch.latents is not None
    assert batch.identity[:, 0, 0, 0].tolist() == [30, 50, 40]
    assert batch.tracks is not None
    rows = (batch.target, batch.mask, batch.delta, batch.tracks, batch.latents.target_mean)
    for tensor in rows:
        assert tensor.flatten(1)[:, 0].tolist() == [30, 50, 40, 31, 51, 41]
    assert batch.same_scene.tolist() == [True] * 3 + [False] * 3
    assert batch.latents.identity.shape == (3, 1, 2, 2)
    assert torch.equal(batch.latents.condition, batch.latents.target_mean + 2)


def test_pictures_may_be_absent() -> None:
    batch = collate([sample(0, pictures=False), sample(1, pictures=False)])
    assert (batch.identity, batch.target, batch.condition) == (None, None, None)
    assert batch.mask.shape == (4, 1, 4, 4)


def test_every_tensor_moves() -> None:
    moved = collate([sample(0)]).to(torch.device("meta"))
    assert isinstance(moved, Batch)
    tensors = [getattr(moved, f.name) for f in fields(moved) if f.name != "latents"]
    assert moved.latents is not None
    tensors += [getattr(moved.latents, f.name) for f in fields(moved.latents)]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_target_latents_are_mode_or_sample_of_the_posterior() -> None:
    mean, std = torch.full((2, 1, 1, 1), 3.0).half(), torch.full((2, 1, 1, 1), 0.5).half()
    latents = CachedLatents(mean[0], mean, std, mean)
    assert latents.target().dtype == torch.float32
    assert latents.target().tolist() == mean.float().tolist()
    assert latents.target(torch.full_like(mean, 2.0).float()).flatten().tolist() == [4.0, 4.0]
