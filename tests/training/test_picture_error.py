"""Errors of decoded pictures and of movements, and states made of own predictions."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from diffusers import DDPMScheduler
from magicface_training.objective import Draw, Latents, draw, edit_loss, own_rows
from magicface_training.picture_error import Pictures, decoded
from magicface_training.run_settings import ObjectiveConfig
from magicface_training.settings import ConfigError
from torch import Tensor, nn

from magicface_core.network.autoencoder import PatchAutoencoder, encode_mode
from magicface_core.network.checkpoint import STABLE_DIFFUSION_SCHEDULER
from tests.training.test_objective import rows

SCHEDULER = DDPMScheduler.from_config({**STABLE_DIFFUSION_SCHEDULER, "prediction_type": "sample"})
SIDE, PATCHES = 64, 8
PLACES = torch.tensor([[-0.5, -0.5], [0.25, 0.0], [0.0, 0.5]])


@pytest.fixture(scope="module")
def vae() -> PatchAutoencoder:
    """Vectors are in half patches, one a patch."""
    torch.manual_seed(0)
    vae = PatchAutoencoder(patch_size=8, latent_channels=26, width=0, motion=1)
    vae.fit_patches(torch.rand(8, 3, SIDE, SIDE) * 2 - 1)
    return vae.requires_grad_(False)


def pictures(vae: PatchAutoencoder, target: Tensor | None = None, back: float = 0.0) -> Pictures:
    """One identity; its skin comes from ``back`` half sides to the right in the target."""
    identity = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)) * 2 - 1
    way = torch.tensor([back, 0.0]).expand(3, 2)
    tracks = torch.cat([PLACES, way, torch.ones(3, 1)], dim=1)[None]
    mask = torch.ones(1, 1, SIDE, SIDE)
    exact = torch.ones(1, dtype=torch.bool)
    return Pictures(vae, identity, identity if target is None else target, mask, tracks, exact)


def known(vae: PatchAutoencoder, shown: Pictures) -> Tensor:
    return encode_mode(vae, shown.identity / 2 + 0.5)


def moved(latents: Tensor, patches: float) -> Tensor:
    found = latents.clone()
    found[:, -2] = 2 * patches
    return found


def loss(shown: Pictures, latents: Tensor, identity: Tensor, **settings: float) -> float:
    weight = torch.ones(1, 1, SIDE, SIDE)
    config = replace(ObjectiveConfig(), **settings)  # type: ignore[arg-type]
    return float(shown.loss(latents, identity, weight, config))


def test_a_copy_costs_nothing(vae: PatchAutoencoder) -> None:
    shown = pictures(vae)
    latents = known(vae, shown)
    settings = {"edge_weight": 1.0, "motion_weight": 1.0}
    assert loss(shown, latents, latents, **settings) == pytest.approx(0.0, abs=1e-9)


def test_moved_skin_is_as_good_as_painted_skin(vae: PatchAutoencoder) -> None:
    still = pictures(vae)
    latents = known(vae, still)
    wanted = decoded(vae, moved(latents, 0.5), still.identity, latents)
    shown = pictures(vae, wanted)
    assert loss(shown, moved(latents, 0.5), latents) == pytest.approx(0.0, abs=1e-9)
    assert loss(shown, latents, latents) > 0.05


def test_edges_count_where_asked(vae: PatchAutoencoder) -> None:
    still = pictures(vae)
    latents = known(vae, still)
    shown = pictures(vae, still.identity + 0.2)  # another brightness, the same edges
    plain = loss(shown, latents, latents)
    assert plain == pytest.approx(0.04, rel=1e-3)
    assert loss(shown, latents, latents, edge_weight=1.0) == pytest.approx(plain, rel=1e-3)
    noisy = pictures(vae, still.identity + 0.2 * torch.randn_like(still.identity))
    assert loss(noisy, latents, latents, edge_weight=1.0) > 2 * loss(noisy, latents, latents)


def test_error_of_movements_is_in_patches(vae: PatchAutoencoder) -> None:
    """A way back of 0.25 half sides is one of the eight patches."""
    shown = pictures(vae, back=0.25)
    latents = known(vae, shown)
    assert float(shown.motion_error(latents)) == pytest.approx(1.0, abs=0.06)
    assert float(shown.motion_error(moved(latents, 1.0))) == pytest.approx(0.0, abs=1e-4)
    assert float(shown.motion_error(moved(latents, -1.0))) == pytest.approx(2.0, abs=0.06)


def test_points_that_are_hidden_or_outside_the_mask_do_not_count(vae: PatchAutoencoder) -> None:
    shown = pictures(vae, back=0.25)
    assert shown.tracks is not None
    tracks = shown.tracks.clone()
    tracks[:, :2, 4] = 0
    left = shown.mask.clone()
    left[..., SIDE // 2 + 8 :, :] = 0  # the third point lies below
    latents = known(vae, shown)
    hidden = replace(shown, tracks=tracks, mask=left)
    assert float(hidden.motion_error(latents)) == 0.0


def test_movements_need_points_and_an_autoencoder_that_holds_them(vae: PatchAutoencoder) -> None:
    shown = replace(pictures(vae), tracks=None)
    latents = known(vae, shown)
    with pytest.raises(ConfigError, match="motion_weight needs an autoencoder"):
        loss(shown, latents, latents, motion_weight=1.0)
    still = PatchAutoencoder(patch_size=8, latent_channels=24, width=0)
    with pytest.raises(ConfigError, match="motion_weight needs an autoencoder"):
        loss(pictures(still), latents[:, :24], latents[:, :24], motion_weight=1.0)


# --- states ---------------------------------------------------------------------------------------


class Recorder(nn.Module):
    """Answers with ones and remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Tensor, Tensor]] = []

    def forward(self, noisy: Tensor, *inputs: Tensor) -> Tensor:
        self.asked.append((noisy, inputs[3]))
        return torch.ones_like(noisy)


def step(share: float, identities: int = 2, targets: int = 4) -> tuple[Recorder, Draw, Tensor]:
    config = ObjectiveConfig(prediction="sample", own_states=share)
    batch = rows(torch.ones(identities * targets, 12))
    batch = replace(batch, position=torch.arange(identities))
    shape = (identities * targets, 3, 2, 2)
    drawn = draw(batch, shape, config, 1000, seed=0)
    clean = torch.full(shape, 5.0)
    latents = Latents(clean, torch.zeros(shape), clean[:identities], clean)
    networks = Recorder()
    weight = torch.ones(shape[0], 1, 2, 2)
    prompt = torch.zeros(1, 1, 4)
    edit_loss(networks, latents, weight, drawn, prompt, SCHEDULER, config)  # type: ignore[arg-type]
    return networks, drawn, clean


def test_the_papers_states_are_noised_targets() -> None:
    networks, drawn, clean = step(0.0)
    (noisy, timestep), *others = networks.asked
    assert not others
    assert torch.equal(timestep, drawn.timestep)
    assert torch.equal(noisy, SCHEDULER.add_noise(clean, drawn.noise, drawn.timestep))


def test_own_states_come_from_pure_noise_and_from_predictions() -> None:
    networks, drawn, _ = step(0.25)
    (first, start), (noisy, timestep) = networks.asked
    assert torch.equal(first, drawn.noise[6:])  # a quarter of four targets of two identities
    assert start.tolist() == [999, 999]
    assert timestep[:6].tolist() == [999] * 6
    assert torch.equal(noisy[:6], drawn.noise[:6])
    own = SCHEDULER.add_noise(torch.ones_like(first), drawn.noise[6:], timestep[6:])
    assert torch.equal(noisy[6:], own)
    assert (timestep[6:] < 999).any()


@pytest.mark.parametrize(("share", "first"), [(0.0, 8), (0.1, 8), (0.25, 6), (0.5, 4), (1.0, 0)])
def test_whole_targets_of_every_identity_are_own(share: float, first: int) -> None:
    assert own_rows(8, 2, share) == slice(first, 8)
