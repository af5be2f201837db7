"""Every recorded tensor of the published networks, and mistakes that these tests must notice."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from magicface_core.editing.identity import ProjectedIdentity, encode_identities
from magicface_core.editing.sampling import (
    Progress,
    decode,
    encode_background,
    predict,
    sample,
)
from magicface_core.network import Checkpoint
from magicface_core.network.denoiser_inputs import IdentityInput
from magicface_core.network.reference_attention import (
    Reference,
    identity_features,
    project_reference,
)

MANIFEST = Path(__file__).parents[2] / "golden" / "network" / "manifest.json"
TOLERANCE = 1e-5
TIMESTEPS = (1, 500, 981)
RUNS = ((4, 3.0), (10, 1.5), (10, 3.0))
CHECKED = {
    *("prompt_embeds", "source", "background", "au", "noise"),  # inputs
    *("source_latents", "background_latents"),
    *(f"reference.{index:02d}" for index in range(16)),
    *(f"denoise.{kind}.t{t}" for kind in ("au", "null") for t in TIMESTEPS),
    *(f"pipeline.s{s}.g{g}.{part}" for s, g in RUNS for part in ("timesteps", "latents", "image")),
}


def error(found: Tensor, expected: Tensor) -> float:
    assert found.shape == expected.shape
    return float((found - expected).abs().max())


def wrong_by(
    checkpoint: Checkpoint,
    golden: dict[str, Tensor],
    identity: Tensor | None = None,
    background: Tensor | None = None,
    delta: Tensor | None = None,
    reorder: Callable[[list[Tensor]], list[Tensor]] = list,
) -> float:
    """Error of the noise prediction at t = 500 with some of the inputs replaced."""
    latents = golden["source_latents"] if identity is None else identity
    with torch.no_grad():
        features = identity_features(checkpoint.id_encoder, latents, checkpoint.prompt_embeds)
        reference = project_reference(checkpoint.denoiser, reorder(features))
        prediction = predict(
            checkpoint,
            ProjectedIdentity(reference, latents),
            golden["noise"],
            golden["background_latents"] if background is None else background,
            golden["au"] if delta is None else delta,
            500,
        )
    return error(prediction, golden["denoise.au.t500"])


def reference_of(checkpoint: Checkpoint, latents: Tensor) -> IdentityInput:
    """Keys and values that the denoiser makes of the ID encoder's features."""
    features = checkpoint.identity_path.features(
        checkpoint.id_encoder, latents, checkpoint.prompt()
    )
    return checkpoint.identity_path.project(checkpoint.denoiser, features)


def test_nothing_recorded_is_left_out(golden: dict[str, Tensor]) -> None:
    recorded = json.loads(MANIFEST.read_text(encoding="utf-8"))["tensors"]
    assert set(recorded) == set(golden) == CHECKED
    assert {name: list(tensor.shape) for name, tensor in golden.items()} == recorded


def test_latents_are_posterior_modes_without_scaling(
    golden_checkpoint: Checkpoint, golden: dict[str, Tensor]
) -> None:
    identity = encode_identities(golden_checkpoint, golden["source"])
    background = encode_background(golden_checkpoint, golden["background"])
    assert error(identity.latents, golden["source_latents"]) < TOLERANCE
    assert error(background, golden["background_latents"]) < TOLERANCE


def test_sixteen_reference_features_in_order(
    golden_checkpoint: Checkpoint, golden: dict[str, Tensor]
) -> None:
    with torch.no_grad():
        features = identity_features(
            golden_checkpoint.id_encoder, golden["source_latents"], golden["prompt_embeds"]
        )
    assert len(features) == 16
    for index, feature in enumerate(features):
        assert error(feature, golden[f"reference.{index:02d}"]) < TOLERANCE, index


@pytest.mark.parametrize("timestep", TIMESTEPS)
@pytest.mark.parametrize("kind", ["au", "null"])
def test_noise_predictions(
    golden_checkpoint: Checkpoint, golden: dict[str, Tensor], kind: str, timestep: int
) -> None:
    latents = golden["source_latents"]
    identity = ProjectedIdentity(reference_of(golden_checkpoint, latents), latents)
    delta = golden["au"] if kind == "au" else torch.zeros_like(golden["au"])
    with torch.no_grad():
        prediction = predict(
            golden_checkpoint,
            identity,
            golden["noise"],
            golden["background_latents"],
            delta,
            timestep,
        )
    assert error(prediction, golden[f"denoise.{kind}.t{timestep}"]) < TOLERANCE


@pytest.mark.parametrize(("steps", "guidance"), RUNS)
def test_whole_runs_step_by_step(
    golden_checkpoint: Checkpoint, golden: dict[str, Tensor], steps: int, guidance: float
) -> None:
    run = f"pipeline.s{steps}.g{guidance}"
    progress: list[Progress] = []
    latents = sample(
        golden_checkpoint,
        encode_identities(golden_checkpoint, golden["source"]),
        encode_background(golden_checkpoint, golden["background"]),
        golden["au"],
        steps=steps,
        guidance=guidance,
        noise=golden["noise"],
        callback=progress.append,
    )
    recorded = golden[f"{run}.latents"]
    assert [p.timestep for p in progress] == golden[f"{run}.timesteps"].tolist()
    found = torch.stack([p.latents for p in progress])
    assert error(found, recorded) < TOLERANCE * float(recorded.abs().max())
    assert torch.equal(latents, progress[-1].latents)
    assert error(decode(golden_checkpoint, latents), golden[f"{run}.image"]) < TOLERANCE


# --- mistakes -----------------------------------------------------------------------------------


def test_untouched_inputs_agree(golden_checkpoint: Checkpoint, golden: dict[str, Tensor]) -> None:
    assert wrong_by(golden_checkpoint, golden) < TOLERANCE


def test_scaled_latents_are_noticed(
    golden_checkpoint: Checkpoint, golden: dict[str, Tensor]
) -> None:
    identity, background = (golden[k] * 0.18215 for k in ("source_latents", "background_latents"))
    assert wrong_by(golden_checkpoint, golden, identity=identity) > 100 * TOLERANCE
    assert wrong_by(golden_checkpoint, golden, background=background) > 100 * TOLERANCE


def test_flipped_delta_is_noticed(golden_checkpoint: Checkpoint, golden: dict[str, Tensor]) -> None:
    assert wrong_by(golden_checkpoint, golden, delta=-golden["au"]) > 100 * TOLERANCE


@pytest.mark.parametrize(("first", "second"), [(0, 1), (2, 3), (4, 8), (10, 12), (13, 15), (0, 15)])
def test_exchanged_reference_features_are_noticed(
    golden_checkpoint: Checkpoint, golden: dict[str, Tensor], first: int, second: int
) -> None:
    def exchange(features: list[Tensor]) -> list[Tensor]:
        order = list(range(len(features)))
        order[first], order[second] = second, first
        return [features[i] for i in order]

    assert wrong_by(golden_checkpoint, golden, reorder=exchange) > 100 * TOLERANCE


def test_reversed_reference_features_do_not_even_fit(
    golden_checkpoint: Checkpoint, golden: dict[str, Tensor]
) -> None:
    with pytest.raises(RuntimeError, match="shape"):
        wrong_by(golden_checkpoint, golden, reorder=lambda features: features[::-1])


def test_features_without_the_identity_are_noticed(
    golden_checkpoint: Checkpoint, golden: dict[str, Tensor]
) -> None:
    latents = golden["source_latents"]
    reference = reference_of(golden_checkpoint, latents)
    empty = Reference(
        tuple(k[:, :0] for k in reference.keys), tuple(v[:, :0] for v in reference.values)
    )
    with torch.no_grad():
        prediction = predict(
            golden_checkpoint,
            ProjectedIdentity(empty, latents),
            golden["noise"],
            golden["background_latents"],
            golden["au"],
            500,
        )
    assert error(prediction, golden["denoise.au.t500"]) > 100 * TOLERANCE
