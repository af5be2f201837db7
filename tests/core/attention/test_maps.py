"""Attention maps: the numbers, that recording changes nothing, and that nothing stays behind."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from magicface_core import AUDelta, MagicFace, Settings
from magicface_core.attention.maps import (
    AttentionMaps,
    Point,
    face_points,
    record_edit,
    record_render,
)
from magicface_core.attention.recording import (
    LayerMaps,
    attention_shares,
    layer_names,
    listening_denoiser,
    token_at,
)
from magicface_core.editing.identity import ProjectedIdentity, project_identity
from magicface_core.editing.magicface import Prepared
from magicface_core.editing.rendering import (
    EncodedIdentity,
    RenderOptions,
    encode_identities,
    render,
)
from magicface_core.editing.sampling import predict
from magicface_core.errors import MagicFaceError
from magicface_core.network import Checkpoint, load_checkpoint
from magicface_core.network.reference_attention import Reference, transformer_blocks
from magicface_core.network.tiny import write_tiny_checkpoint
from magicface_core.pictures.images import load_image

FACE = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
BACKGROUND = torch.rand(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))
SMILE = AUDelta(AU6=2, AU12=4)
OPTIONS = RenderOptions(steps=2, guidance=2.0, keep_detail=False)
POINTS = (Point("eye", 0.3, 0.4), Point("corner", 1.0, 0.0))
PORTRAIT = Path(__file__).parents[3] / "magicface_core" / "assets" / "portrait.png"


@pytest.fixture(scope="module")
def identity(tiny: Checkpoint) -> EncodedIdentity:
    return encode_identities(tiny, FACE)


@pytest.fixture(scope="module")
def maps(tiny: Checkpoint, identity: EncodedIdentity) -> AttentionMaps:
    return recorded(tiny, identity)


@pytest.fixture(scope="module")
def mini() -> MagicFace:
    return MagicFace.load("mini", device="cpu")


@pytest.fixture(scope="module")
def portrait(mini: MagicFace) -> Prepared:
    return mini.prepare(load_image(PORTRAIT))


def recorded(checkpoint: Checkpoint, identity: EncodedIdentity, **options: Any) -> AttentionMaps:
    options = {"points": POINTS, **options}
    return record_render(checkpoint, identity, BACKGROUND, SMILE, OPTIONS, **options)[1]


def hooks(checkpoint: Checkpoint) -> int:
    modules = list(checkpoint.denoiser.modules())
    return sum(len(m._forward_pre_hooks) + len(m._forward_hooks) for m in modules)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- the numbers ---------------------------------------------------------------------------------


def test_shapes_and_shares(tiny: Checkpoint, maps: AttentionMaps) -> None:
    blocks = list(transformer_blocks(tiny.denoiser))
    assert [layer.index for layer in maps.layers] == list(range(len(blocks)))
    assert (
        maps.timesteps == tuple(sorted(maps.timesteps, reverse=True))
        and len(set(maps.timesteps)) == 2
    )
    for layer in maps.layers:
        side = layer.own.shape[-1]
        assert layer.own.shape == layer.reference.shape == layer.prompt.shape == (2, side, side)
        assert layer.looks.shape == (2, 2, side, side)
        assert layer.own.dtype == torch.float32 and layer.own.device.type == "cpu"
        torch.testing.assert_close(layer.own + layer.reference, torch.ones(2, side, side))
        assert not torch.equal(layer.own[0], layer.own[1])
        assert layer.reference.min() > 0.02 and layer.reference.max() < 0.98
        # The second point is the upper right corner, the first is in row 0.4 and column 0.3.
        for number, (row, column) in enumerate([(int(0.4 * side), int(0.3 * side)), (0, side - 1)]):
            share = layer.reference[:, row, column]
            torch.testing.assert_close(layer.looks[:, number].sum((-2, -1)), share)
    assert {layer.own.shape[-1] for layer in maps.layers} == {4, 8}


def test_a_pass_equals_attention_computed_with_plain_numpy(tiny: Checkpoint) -> None:
    """Every layer's tokens are caught on their way in, and attention is written out by hand."""
    who = project_identity(tiny, encode_identities(tiny, torch.rand(1, 3, 64, 64)))
    caught: dict[int, Any] = {}
    blocks = list(transformer_blocks(tiny.denoiser))
    for index, block in enumerate(blocks):
        listen(caught, index, block)
    try:
        recorder = listening_denoiser(tiny.denoiser, [(0.9, 0.6)])
        one_pass(replace(tiny, denoiser=recorder.denoiser), who)
        recorder.finish_step(7.0)
    finally:
        for entry in caught.values():
            for handle in entry["handles"]:
                handle.remove()
    assert recorder.timesteps == [7.0]
    for layer, block in zip(recorder.layers(), blocks, strict=True):
        weights = attention_by_hand(block.attn1, caught[layer.index]["self"], who, layer.index)
        count = weights.shape[1]
        own, other = weights[..., :count].sum(-1).mean(0), weights[..., count:].sum(-1).mean(0)
        side = layer.own.shape[-1]
        near(layer.own[0], own.reshape(side, side))
        near(layer.reference[0], other.reshape(side, side))
        query = int(0.6 * side) * side + int(0.9 * side)
        near(layer.looks[0, 0], weights[:, query, count:].mean(0).reshape(side, side))
        before, added = caught[layer.index]["residual"], caught[layer.index]["added"]
        ratio = np.linalg.norm(added, axis=-1) / np.linalg.norm(before, axis=-1)
        near(layer.prompt[0], ratio.reshape(side, side))


def listen(caught: dict[int, Any], index: int, block: Any) -> None:
    entry = caught[index] = {}

    def keep(key: str, tensor: Tensor) -> None:
        entry[key] = tensor[-1].detach().double().numpy()

    entry["handles"] = [
        block.attn1.register_forward_pre_hook(lambda _, args: keep("self", args[0])),
        block.norm2.register_forward_pre_hook(lambda _, args: keep("residual", args[0])),
        block.attn2.register_forward_hook(lambda _, args, out: keep("added", out)),
    ]


def one_pass(checkpoint: Checkpoint, who: ProjectedIdentity) -> None:
    with torch.no_grad():
        deltas = torch.stack([torch.zeros(12), SMILE.to_tensor()])
        predict(checkpoint, who, random(2, 4, 8, 8), random(2, 4, 8, 8, seed=1), deltas, 7)


def attention_by_hand(
    attn: Any, tokens: np.ndarray, who: ProjectedIdentity, index: int
) -> np.ndarray:
    """Softmax of scaled dot products [heads, N, N + M] in float64."""
    assert isinstance(who.reference, Reference)
    to_q, to_k = (layer.weight.detach().double().numpy() for layer in (attn.to_q, attn.to_k))
    reference = who.reference.keys[index][0].detach().double().numpy()
    query, key = tokens @ to_q.T, np.concatenate([tokens @ to_k.T, reference])
    width = query.shape[1] // attn.heads
    weights = []
    for head in range(attn.heads):
        part = slice(head * width, (head + 1) * width)
        scores = np.exp(query[:, part] @ key[:, part].T / np.sqrt(width))
        weights.append(scores / scores.sum(1, keepdims=True))
    return np.stack(weights)


def near(found: Tensor, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-4, atol=1e-6)


def test_the_last_row_is_the_one_that_sees_the_aus(
    tiny: Checkpoint, identity: EncodedIdentity, maps: AttentionMaps
) -> None:
    other = record_render(
        tiny, identity, BACKGROUND, AUDelta(AU4=9, AU26=9), OPTIONS, points=POINTS
    )[1]
    first = [layer.own[0] for layer in maps.layers], [layer.own[0] for layer in other.layers]
    assert not all(torch.equal(a, b) for a, b in zip(*first, strict=True))


@pytest.mark.parametrize("locality", [(), (0.5, 0.1)])
@pytest.mark.parametrize("most_scores", [1, 2 * 128 * 5, 10**9])
def test_chunks_make_no_difference(locality: tuple[float, ...], most_scores: int) -> None:
    query, key = random(1, 64, 16), random(1, 128, 16, seed=1)
    whole = attention_shares(query, key, 2, locality, [3, 63], 64 * 2 * 128)
    found = attention_shares(query, key, 2, locality, [3, 63], most_scores)
    for one, other in zip(found, whole, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-6)


def test_never_more_scores_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    plain = Tensor.softmax
    monkeypatch.setattr(
        Tensor, "softmax", lambda self, dim: sizes.append(self.numel()) or plain(self, dim)
    )
    attention_shares(random(1, 64, 16), random(1, 128, 16), 2, (), [], most_scores=2560)
    assert sum(sizes) == 2 * 64 * 128
    assert max(sizes) <= 2560


def test_distance_penalty_keeps_looks_near() -> None:
    query, key = random(1, 64, 16), random(1, 128, 16, seed=1)
    looks = attention_shares(query, key, 2, (3.0, 3.0), [27])[2].reshape(8, 8)
    assert looks[3, 3] == looks.max()
    assert looks[3, 3] > 10 * looks[0].max()


def test_half_precision_is_recorded_as_float32(tiny: Checkpoint) -> None:
    query, key = random(1, 64, 16).bfloat16(), random(1, 128, 16, seed=1).bfloat16()
    own, other, _ = attention_shares(query, key, 2)
    assert own.dtype == torch.float32
    torch.testing.assert_close(own + other, torch.ones(64), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("point", "token"), [((0, 0), 0), ((1, 0), 7), ((0, 1), 56), ((0.13, 0.26), 17)]
)
def test_tokens_of_points(point: tuple[float, float], token: int) -> None:
    assert token_at(point, 64) == token


# --- pictures of several layers ------------------------------------------------------------------


def test_pictures_are_means_of_resized_layers() -> None:
    flat = [torch.full((1, side, side), value) for side, value in ((2, 0.2), (4, 0.6))]
    looks = [torch.zeros(1, 1, side, side) for side in (2, 4)]
    looks[0][..., 0, 0] = 0.8
    looks[1][..., 0, 0] = 0.4
    layers = tuple(
        LayerMaps(n, f"layer {n}", one, 1 - one, 0.1 * one, look)
        for n, (one, look) in enumerate(zip(flat, looks, strict=True))
    )
    maps = AttentionMaps((5.0,), (Point("p", 0, 0),), layers)
    assert maps.picture("self", 8).shape == (1, 8, 8)
    torch.testing.assert_close(maps.picture("self", 8), torch.full((1, 8, 8), 0.4))
    torch.testing.assert_close(maps.picture("reference", 8), torch.full((1, 8, 8), 0.6))
    torch.testing.assert_close(maps.picture("cross", 8, layer=1), torch.full((1, 8, 8), 0.06))
    torch.testing.assert_close(maps.shares(), torch.tensor([[0.6]]))
    density = maps.looks(8)
    assert density[0, 0, 0, 0] == pytest.approx((0.8 * 4 + 0.4 * 16) / 2)
    assert density.mean() == pytest.approx(0.6, rel=0.01)
    none = AttentionMaps((5.0,), (), layers[:1])
    assert none.picture("self", 8).shape == (1, 8, 8)
    with pytest.raises(MagicFaceError, match="Layer 2 was not recorded; choose one of 0, 1"):
        maps.picture("self", 8, layer=2)


def test_chosen_layers(tiny: Checkpoint, identity: EncodedIdentity, maps: AttentionMaps) -> None:
    some = recorded(tiny, identity, layers=[2, 0, 2])
    assert [layer.index for layer in some.layers] == [0, 2]
    for layer in some.layers:
        assert torch.equal(layer.own, maps.layers[layer.index].own)
        assert layer.name == layer_names(tiny.denoiser)[layer.index]
    with pytest.raises(MagicFaceError, match=r"no layer 9; this denoiser has 0 down_blocks\.0"):
        recorded(tiny, identity, layers=[9])
    with pytest.raises(MagicFaceError, match="at least one"):
        recorded(tiny, identity, layers=[])
    with pytest.raises(MagicFaceError, match=r"at 1\.50, 0\.00 of the face"):
        recorded(tiny, identity, points=[Point("off", 1.5, 0)])


def test_released_layout(golden_checkpoint: Checkpoint) -> None:
    """As Stable Diffusion's: sixteen blocks of several sizes."""
    names = layer_names(golden_checkpoint.denoiser)
    assert len(names) == len(list(transformer_blocks(golden_checkpoint.denoiser)))
    size = 8 * golden_checkpoint.codec.reduction
    who = project_identity(
        golden_checkpoint, encode_identities(golden_checkpoint, torch.rand(1, 3, size, size))
    )
    recorder = listening_denoiser(golden_checkpoint.denoiser)
    one_pass(replace(golden_checkpoint, denoiser=recorder.denoiser), who)
    recorder.finish_step(1.0)
    for layer in recorder.layers():
        torch.testing.assert_close(layer.own + layer.reference, torch.ones_like(layer.own))
        assert (layer.prompt > 0).all()


@pytest.mark.parametrize("kind", ["convolution", "image-encoder", "controlnet"])
def test_without_reference_all_attention_is_self_attention(tmp_path: Path, kind: Any) -> None:
    units = "zero-append" if kind == "controlnet" else "linear"
    folder = write_tiny_checkpoint(tmp_path / kind, identity=kind, action_units=units)
    checkpoint = load_checkpoint(folder, "cpu")
    maps = recorded(checkpoint, encode_identities(checkpoint, FACE))
    assert not maps.has_reference
    assert not maps.looks(8).any()
    torch.testing.assert_close(maps.picture("self", 8), torch.ones(2, 8, 8))
    assert (maps.picture("reference", 8) == 0).all()
    assert (maps.picture("cross", 8) > 0).all()


# --- the edit stays what it was ------------------------------------------------------------------


def test_recording_changes_no_bit_of_a_rendering(
    tiny: Checkpoint, identity: EncodedIdentity
) -> None:
    plain = render(tiny, identity, BACKGROUND, [SMILE], OPTIONS)
    found, _ = record_render(tiny, identity, BACKGROUND, SMILE, OPTIONS, points=POINTS)
    assert torch.equal(found.pictures, plain.pictures)
    assert torch.equal(found.latents, plain.latents)
    assert torch.equal(render(tiny, identity, BACKGROUND, [SMILE], OPTIONS).latents, plain.latents)


def test_recording_changes_no_bit_of_an_edit_with_mini(mini: MagicFace, portrait: Prepared) -> None:
    """Mini also renders the unedited face, whose passes do not count."""
    settings = Settings(seed=3, steps=2)
    [plain] = mini.edit_prepared(portrait, [SMILE], settings)
    result, maps = record_edit(mini, portrait, SMILE, settings)
    assert result.image.tobytes() == plain.image.tobytes()
    assert result.mask.tobytes() == plain.mask.tobytes()
    assert len(maps.timesteps) == 2
    assert [point.name for point in maps.points] == [p.name for p in face_points(portrait.face)]
    assert len(maps.points) == 4 and all(0.2 < p.x < 0.8 and 0.2 < p.y < 0.8 for p in maps.points)
    # The identity's eye is where the edit's eye is, and mini has learned that.
    eye, looks = maps.points[0], maps.looks(128).mean(0)[0]
    row, column = divmod(int(looks.argmax()), 128)
    assert abs(column / 128 - eye.x) < 0.1 and abs(row / 128 - eye.y) < 0.1


def test_passes_for_the_unedited_face_do_not_count(mini: MagicFace, portrait: Prepared) -> None:
    info = replace(mini.checkpoint.info, keep_detail=False)
    without = MagicFace(replace(mini.checkpoint, info=info))
    settings = Settings(steps=2)
    both = [record_edit(model, portrait, SMILE, settings)[1] for model in (mini, without)]
    for one, other in zip(*(maps.layers for maps in both), strict=True):
        assert torch.equal(one.own, other.own)
        assert torch.equal(one.prompt, other.prompt)


def test_callbacks_still_hear_of_every_step(
    tiny: Checkpoint, identity: EncodedIdentity, mini: MagicFace, portrait: Prepared
) -> None:
    heard: list[int] = []

    def hear(done: int, total: int, progress: object) -> None:
        heard.append(done)

    recorded(tiny, identity, callback=hear)
    assert heard == [0, 1, 2]
    record_edit(mini, portrait, SMILE, Settings(steps=1), callback=hear)
    assert heard == [0, 1, 2, 0, 1]


def test_a_zero_delta(tiny: Checkpoint, identity: EncodedIdentity, portrait: Prepared) -> None:
    _, maps = record_render(tiny, identity, BACKGROUND, AUDelta(), OPTIONS)
    assert len(maps.timesteps) == 2
    assert maps.looks(8).shape == (2, 0, 8, 8)  # no points were given
    with pytest.raises(MagicFaceError, match="without sampling"):
        record_edit(MagicFace(tiny), portrait, AUDelta())


def test_nothing_stays_behind(tiny: Checkpoint, identity: EncodedIdentity) -> None:
    processors = tiny.denoiser.attn_processors
    before = {name: id(processor) for name, processor in processors.items()}
    before_hooks = hooks(tiny)
    recorded(tiny, identity)
    assert hooks(tiny) == before_hooks
    assert {name: id(p) for name, p in tiny.denoiser.attn_processors.items()} == before


def test_nothing_stays_behind_after_an_error(tiny: Checkpoint, identity: EncodedIdentity) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    before_hooks = hooks(tiny)
    plain = render(tiny, identity, BACKGROUND, [SMILE], OPTIONS)
    with pytest.raises(KeyboardInterrupt):
        recorded(tiny, identity, callback=fail)
    with pytest.raises(MagicFaceError):
        recorded(tiny, identity, layers=[99])
    assert hooks(tiny) == before_hooks
    assert torch.equal(render(tiny, identity, BACKGROUND, [SMILE], OPTIONS).latents, plain.latents)


def test_two_recordings_do_not_disturb_each_other(
    tiny: Checkpoint, identity: EncodedIdentity, maps: AttentionMaps
) -> None:
    outer = listening_denoiser(tiny.denoiser, layers=[0])
    inner = recorded(replace(tiny, denoiser=outer.denoiser), identity)
    outer.finish_step(0.0)
    assert torch.equal(outer.layers()[0].own[0], maps.layers[0].own[1])
    assert all(
        torch.equal(a.looks, b.looks) for a, b in zip(inner.layers, maps.layers, strict=True)
    )


def test_steps_without_a_pass(tiny: Checkpoint) -> None:
    recorder = listening_denoiser(tiny.denoiser)
    with pytest.raises(ValueError, match="no step"):
        recorder.layers()
    with pytest.raises(ValueError, match="after a pass"):
        recorder.finish_step(0.0)
