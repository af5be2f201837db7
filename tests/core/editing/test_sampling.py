"""Sampling: guidance, batches, randomness, callbacks, errors. Recorded values: network/."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from magicface_core.editing.identity import EncodedIdentity, encode_identities, project_identity
from magicface_core.editing.sampling import (
    Progress,
    decode,
    encode_background,
    guided_prediction,
    predict,
    reconstruct,
    sample,
)
from magicface_core.editing.schedulers import SCHEDULERS
from magicface_core.errors import MagicFaceError
from magicface_core.network import Checkpoint


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


PICTURES = random(2, 3, 64, 64)
DELTAS = (random(3, 12, seed=1) * 10 - 5).round()
NOISE = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def identity(tiny: Checkpoint) -> EncodedIdentity:
    return encode_identities(tiny, PICTURES[:1])


@pytest.fixture(scope="module")
def background(tiny: Checkpoint) -> Tensor:
    return encode_background(tiny, PICTURES[1:])


def close(found: Tensor, expected: Tensor) -> bool:
    return torch.allclose(found, expected, rtol=1e-4, atol=1e-4)


class Passes:
    """Batch sizes of the denoiser's passes."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self.sizes: list[int] = []
        self.labels: list[Tensor] = []
        self.handle = checkpoint.denoiser.register_forward_pre_hook(self._record, with_kwargs=True)

    def _record(self, _module: object, inputs: tuple[Tensor, ...], options: dict[str, Any]) -> None:
        self.sizes.append(len(inputs[0]))
        self.labels.append(options["class_labels"])

    def __enter__(self) -> Passes:
        return self

    def __exit__(self, *_: object) -> None:
        self.handle.remove()


# --- guidance -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("guidance", "rows"), [(1.0, 3), (0.0, 6), (0.5, 6), (3.0, 6)])
def test_alpha_one_skips_the_null_pass(
    tiny: Checkpoint, identity: EncodedIdentity, background: Tensor, guidance: float, rows: int
) -> None:
    with Passes(tiny) as passes:
        sample(tiny, identity, background, DELTAS, steps=3, guidance=guidance, noise=NOISE)
    assert passes.sizes == [rows] * 3
    for labels in passes.labels:
        assert torch.equal(labels[-3:], DELTAS)
        assert rows == 3 or not labels[:3].any()


@pytest.mark.parametrize("guidance", [0.0, 0.5, 1.0, 1.5, 3.0, 7.5])
def test_equation_4(
    tiny: Checkpoint, identity: EncodedIdentity, background: Tensor, guidance: float
) -> None:
    latents = NOISE.expand(3, -1, -1, -1)
    background = background.expand(3, -1, -1, -1)
    with torch.no_grad():
        who = project_identity(tiny, identity)
        edited = predict(tiny, who, latents, background, DELTAS, 300)
        null = predict(tiny, who, latents, background, torch.zeros(3, 12), 300)
        found = guided_prediction(tiny, who, latents, background, DELTAS, 300, guidance)
    assert float((edited - null).abs().max()) > 1e-3
    assert close(found, null + guidance * (edited - null))


def test_alpha_zero_is_no_edit(
    tiny: Checkpoint, identity: EncodedIdentity, background: Tensor
) -> None:
    off = sample(tiny, identity, background, DELTAS[:1], guidance=0.0, noise=NOISE)
    zero = sample(tiny, identity, background, torch.zeros(1, 12), guidance=1.0, noise=NOISE)
    edited = sample(tiny, identity, background, DELTAS[:1], guidance=1.0, noise=NOISE)
    assert close(off, zero)
    assert not close(edited, zero)


# --- batches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_batch_of_deltas_equals_single_runs(
    tiny: Checkpoint, identity: EncodedIdentity, background: Tensor, guidance: float
) -> None:
    together = sample(tiny, identity, background, DELTAS, guidance=guidance, noise=NOISE)
    assert together.shape == (3, 4, 8, 8)
    for row, delta in enumerate(DELTAS):
        alone = sample(tiny, identity, background, delta[None], guidance=guidance, noise=NOISE)
        assert close(together[row : row + 1], alone)


@pytest.mark.parametrize("guidance", [1.0, 2.0])
def test_row_b_has_identity_b_mod_r(tiny: Checkpoint, guidance: float) -> None:
    identities = encode_identities(tiny, PICTURES)
    backgrounds = encode_background(tiny, random(4, 3, 64, 64, seed=3))
    deltas, noise = DELTAS[[0, 1, 2, 0]], torch.randn(4, 4, 8, 8)
    together = sample(tiny, identities, backgrounds, deltas, guidance=guidance, noise=noise)
    for row in range(4):
        own, other = (encode_identities(tiny, PICTURES[(row + i) % 2][None]) for i in range(2))
        only = slice(row, row + 1)
        inputs = (backgrounds[only], deltas[only])
        alone = sample(tiny, own, *inputs, guidance=guidance, noise=noise[only])
        swapped = sample(tiny, other, *inputs, guidance=guidance, noise=noise[only])
        assert close(together[only], alone)
        assert not close(together[only], swapped)


@pytest.mark.parametrize("count", [1, 3])
def test_identities_that_do_not_divide_the_batch(
    tiny: Checkpoint, background: Tensor, count: int
) -> None:
    """One delta for two identities would give the null half the first and the other the second."""
    identities = encode_identities(tiny, PICTURES)
    with pytest.raises(MagicFaceError, match=f"{count} deltas cannot be shared evenly by 2"):
        sample(tiny, identities, background, DELTAS[:count], guidance=3.0)


# --- randomness ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["unipc", "euler_ancestral"])
def test_generator_decides(
    tiny: Checkpoint, identity: EncodedIdentity, background: Tensor, scheduler: str
) -> None:
    first, again, other = (
        sample(
            tiny,
            identity,
            background,
            DELTAS[:2],
            scheduler=scheduler,
            generator=torch.Generator().manual_seed(seed),
        )
        for seed in (4, 4, 5)
    )
    assert torch.equal(first, again)
    assert not close(first, other)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_given_noise_decides(
    tiny: Checkpoint, identity: EncodedIdentity, background: Tensor, scheduler: str
) -> None:
    before = torch.get_rng_state()
    options = {"scheduler": scheduler, "steps": 4, "guidance": 1.5}
    first, again, other = (
        sample(tiny, identity, background, DELTAS[:1], noise=noise, **options)
        for noise in (NOISE, NOISE, -NOISE)
    )
    assert torch.equal(first, again)
    assert not close(first, other)
    assert torch.isfinite(first).all()
    assert torch.equal(before, torch.get_rng_state())


def test_checkpoint_defaults_are_used(
    tiny: Checkpoint, identity: EncodedIdentity, background: Tensor
) -> None:
    by_default = sample(tiny, identity, background, DELTAS[:1], noise=NOISE)
    explicit = sample(
        tiny,
        identity,
        background,
        DELTAS[:1],
        noise=NOISE,
        steps=tiny.info.steps,
        guidance=tiny.info.guidance,
        scheduler=tiny.info.scheduler,
    )
    assert torch.equal(by_default, explicit)


# --- progress -----------------------------------------------------------------------------------


def test_callback_sees_the_clean_latents_come_closer(
    golden_checkpoint: Checkpoint, golden: dict[str, Tensor]
) -> None:
    progress: list[Progress] = []
    latents = sample(
        golden_checkpoint,
        encode_identities(golden_checkpoint, golden["source"]),
        golden["background_latents"],
        golden["au"],
        steps=6,
        guidance=1.5,
        scheduler="ddim",
        noise=golden["noise"],
        callback=progress.append,
    )
    assert [p.step for p in progress] == list(range(6))
    assert {p.steps for p in progress} == {6}
    assert torch.equal(progress[-1].latents, latents)
    distances = [float((p.clean - latents).square().mean().sqrt()) for p in progress]
    assert distances == sorted(distances, reverse=True)
    # The last step of DDIM ends at the clean latents, up to the noise of the first timestep.
    assert distances[-1] < 0.05 * float(latents.square().mean().sqrt())


def test_callback_may_stop_a_run(
    tiny: Checkpoint, identity: EncodedIdentity, background: Tensor
) -> None:
    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with Passes(tiny) as passes, pytest.raises(KeyboardInterrupt):
        sample(tiny, identity, background, DELTAS, steps=5, noise=NOISE, callback=stop)
    assert len(passes.sizes) == 1


# --- pictures and types -------------------------------------------------------------------------


def test_pictures_come_back_in_range(tiny: Checkpoint) -> None:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    for pictures in (decode(tiny, latents), reconstruct(tiny, PICTURES)):
        assert pictures.shape == (2, 3, 64, 64)
        assert 0 <= float(pictures.min()) <= float(pictures.max()) <= 1
        assert not pictures.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_low_precision_networks_keep_latents_in_float32(
    tiny_checkpoint: Any, dtype: torch.dtype
) -> None:
    from magicface_core.network import load_checkpoint

    checkpoint = load_checkpoint(tiny_checkpoint, "cpu", dtype)
    identity = encode_identities(checkpoint, PICTURES[:1])
    background = encode_background(checkpoint, PICTURES[1:])
    progress: list[Progress] = []
    latents = sample(
        checkpoint, identity, background, DELTAS, noise=NOISE, callback=progress.append
    )
    assert latents.dtype == progress[0].clean.dtype == torch.float32
    assert torch.isfinite(latents).all()
    pictures = decode(checkpoint, latents)
    assert pictures.dtype == torch.float32


# --- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scheduler": "plms"}, "unknown scheduler 'plms'"),
        ({"guidance": -0.5}, "guidance is -0.5; it must be 0 or more"),
        ({"guidance": float("nan")}, "guidance is nan"),
        ({"guidance": float("inf")}, "guidance is inf"),
        ({"steps": 0}, r"steps is 0; choose 1\.\.1000"),
        ({"steps": 1001}, "steps is 1001"),
        ({"deltas": torch.full((1, 12), float("nan"))}, "NaN"),
        ({"deltas": torch.full((1, 12), float("inf"))}, "infinity"),
        ({"deltas": torch.zeros(12)}, r"shape \[12\]; expected \[batch, 12\]"),
        ({"deltas": torch.zeros(0, 12)}, r"shape \[0, 12\]"),
        ({"noise": torch.zeros(2, 4, 8, 8)}, r"noise has shape \[2, 4, 8, 8\]; expected \[1, 4"),
        ({"noise": torch.zeros(1, 3, 8, 8)}, r"noise has shape \[1, 3, 8, 8\]"),
        ({"background_latents": torch.zeros(2, 4, 8, 8)}, r"background_latents has shape \[2, 4"),
    ],
)
def test_wrong_inputs_are_named(
    tiny: Checkpoint, identity: EncodedIdentity, background: Tensor, change: Any, message: str
) -> None:
    inputs = {"background_latents": background, "deltas": DELTAS[:1], **change}
    with pytest.raises(MagicFaceError, match=message):
        sample(tiny, identity, **inputs)


def test_several_generators_need_given_noise(
    tiny: Checkpoint, identity: EncodedIdentity, background: Tensor
) -> None:
    generators = [torch.Generator().manual_seed(0) for _ in DELTAS]
    with pytest.raises(MagicFaceError, match="need given noise"):
        sample(tiny, identity, background, DELTAS, generator=generators)
