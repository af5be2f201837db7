"""Reference attention: what is computed how often, sharing, and the locality extension."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch
from torch import Tensor, nn

from magicface_core.editing.identity import encode_identities, project_identity
from magicface_core.editing.sampling import encode_background, sample
from magicface_core.network import Checkpoint
from magicface_core.network.reference_attention import (
    Reference,
    add_distance_penalty,
    attend,
    identity_features,
    join,
    scaled_dot_product,
    slopes_of_heads,
    transformer_blocks,
)
from magicface_core.network.tiny import TINY_UNET
from magicface_core.network.unet import AU_COUNT, build_unet

STEPS = 3


@contextmanager
def recorded(modules: list[nn.Module]) -> Iterator[list[list[tuple[int, ...]]]]:
    """Shapes of the inputs of each module, one list of calls per module."""
    calls: list[list[tuple[int, ...]]] = [[] for _ in modules]
    handles = [
        module.register_forward_pre_hook(
            lambda _, inputs, shapes=shapes: shapes.append(tuple(inputs[0].shape))
        )
        for module, shapes in zip(modules, calls, strict=True)
    ]
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def layers(checkpoint: Checkpoint, name: str) -> list[nn.Module]:
    blocks = transformer_blocks(checkpoint.denoiser)
    return [block.norm1 if name == "norm1" else getattr(block.attn1, name) for block in blocks]


@pytest.mark.parametrize("name", ["norm1", "to_k", "to_v", "to_q"])
def test_reference_is_projected_once_and_never_queries(
    golden_checkpoint: Checkpoint, golden: dict[str, Tensor], name: str
) -> None:
    tokens = [golden[f"reference.{i:02d}"].shape[1:] for i in range(16)]
    modules = layers(golden_checkpoint, name)
    with recorded(modules) as calls:
        encoded = encode_identities(golden_checkpoint, golden["source"])
        identity = project_identity(golden_checkpoint, encoded)
        expected = [] if name == "to_q" else [[(1, *shape)] for shape in tokens]
        assert calls == (expected or [[] for _ in tokens])
    background = encode_background(golden_checkpoint, golden["background"])
    deltas = torch.cat([golden["au"], -golden["au"]])
    with recorded(modules) as calls, recorded([golden_checkpoint.id_encoder.conv_in]) as encoder:
        sample(golden_checkpoint, identity, background, deltas, steps=STEPS, guidance=3.0)
    # Own tokens of both guidance halves of both edits, once a step; nothing twice as long.
    assert calls == [[(4, *shape)] * STEPS for shape in tokens]
    assert encoder == [[]]


def test_id_encoder_ends_before_its_last_block(
    golden_checkpoint: Checkpoint, golden: dict[str, Tensor]
) -> None:
    encoder = golden_checkpoint.id_encoder
    last = list(transformer_blocks(encoder))[-1]
    unused = [encoder.conv_out, encoder.conv_norm_out]
    with recorded([*unused, last]) as calls, torch.no_grad():
        identity_features(encoder, golden["source_latents"], golden["prompt_embeds"])
    assert [len(c) for c in calls] == [0, 0, 1]


def test_one_identity_is_shared_without_a_copy() -> None:
    reference = Reference((torch.randn(1, 4, 6),), (torch.randn(1, 4, 6),))
    key, value = reference.for_batch(0, 6)
    assert key.shape == value.shape == (6, 4, 6)
    assert key.data_ptr() == reference.keys[0].data_ptr()
    assert value.stride(0) == 0


def test_several_identities_take_turns() -> None:
    reference = Reference((torch.randn(2, 4, 6),), (torch.randn(2, 4, 6),))
    key, _ = reference.for_batch(0, 6)
    for row in range(6):
        assert torch.equal(key[row], reference.keys[0][row % 2])
    with pytest.raises(ValueError, match="3 cannot share 2"):
        reference.for_batch(0, 3)
    second = reference.select(slice(1, 2))
    assert torch.equal(second.keys[0], reference.keys[0][1:])


def test_features_belong_to_each_identity(tiny: Checkpoint) -> None:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        both = identity_features(tiny.id_encoder, latents, tiny.prompt_embeds)
        second = identity_features(tiny.id_encoder, latents[1:], tiny.prompt_embeds)
    for pair, single in zip(both, second, strict=True):
        torch.testing.assert_close(pair[1:], single, rtol=1e-4, atol=1e-5)


# --- locality -----------------------------------------------------------------------------------

SIDE, HEADS, WIDTH = 3, 2, 5


def attention_inputs(copies: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(copies)
    tokens = (SIDE**2, copies * SIDE**2, copies * SIDE**2)
    query, key, value = (
        torch.randn(2, n, HEADS * WIDTH, generator=generator, dtype=torch.float64) for n in tokens
    )
    return query.requires_grad_(), key.requires_grad_(), value.requires_grad_()


def dense_attention(query: Tensor, key: Tensor, value: Tensor, slopes: tuple[float, ...]) -> Tensor:
    """Softmax(q k / sqrt(d) - slope * distance^2) v, written out."""
    rows, columns = torch.meshgrid(torch.arange(SIDE), torch.arange(SIDE), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], 1).double()
    key_places = places.repeat(key.shape[1] // len(places), 1)
    distance2 = (places[:, None] - key_places[None]).square().sum(2)
    heads = []
    for head, slope in enumerate(slopes):
        part = slice(head * WIDTH, (head + 1) * WIDTH)
        scores = query[..., part] @ key[..., part].transpose(1, 2) / WIDTH**0.5
        heads.append((scores - slope * distance2).softmax(2) @ value[..., part])
    return torch.cat(heads, 2)


@pytest.mark.parametrize("copies", [1, 2])
@pytest.mark.parametrize("slopes", [(0.7, 0.0), (2.0, 0.1), (0.0, 0.0)])
def test_locality_is_a_penalty_on_squared_distance(copies: int, slopes: tuple[float, ...]) -> None:
    query, key, value = attention_inputs(copies)
    found = scaled_dot_product(*add_distance_penalty(query, key, HEADS, slopes), value, HEADS)
    expected = dense_attention(query, key, value, slopes)
    torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)
    towards = torch.linspace(-1, 1, expected.numel(), dtype=torch.float64).view_as(expected)
    gradients = torch.autograd.grad((found * towards).sum(), (query, key, value))
    wanted = torch.autograd.grad((expected * towards).sum(), (query, key, value))
    for gradient, other in zip(gradients, wanted, strict=True):
        assert float(gradient.abs().max()) > 0
        torch.testing.assert_close(gradient, other, rtol=1e-5, atol=1e-6)


def test_zero_slope_is_plain_attention() -> None:
    query, key, value = attention_inputs(2)
    plain = scaled_dot_product(query, key, value, HEADS)
    zero = scaled_dot_product(*add_distance_penalty(query, key, HEADS, (0.0, 0.0)), value, HEADS)
    torch.testing.assert_close(zero, plain, rtol=1e-9, atol=1e-9)


def test_attention_to_own_and_reference_tokens() -> None:
    """The helpers that every implementation of the denoiser shares."""
    noise = torch.Generator().manual_seed(0)
    own, reference = (torch.randn(2, count, 4, generator=noise) for count in (4, 3))
    tokens = join(own, reference.double())
    assert tokens.dtype == own.dtype
    assert torch.equal(tokens[:, :4], own)
    attended = attend(own, tokens, tokens, 2)
    assert torch.equal(attended, scaled_dot_product(own, tokens, tokens, 2))
    local = join(own, own)
    slopes = slopes_of_heads((5.0, 0.0, 1.0), 2)
    assert slopes == (5.0, 0.0)
    assert slopes_of_heads((), 2) == ()
    query, key = add_distance_penalty(own, local, 2, slopes)
    assert torch.equal(
        attend(own, local, local, 2, slopes), scaled_dot_product(query, key, local, 2)
    )


def test_locality_needs_square_pictures() -> None:
    with pytest.raises(ValueError, match="square pictures, got 6 tokens"):
        add_distance_penalty(torch.zeros(1, 6, 4), torch.zeros(1, 6, 4), 2, (1.0, 0.0))


def test_locality_changes_a_network_and_repeats_over_heads() -> None:
    torch.manual_seed(0)
    shape = {**TINY_UNET, "in_channels": 8, "out_channels": 4, "attention_head_dim": 4}
    plain = build_unet(shape, AU_COUNT)
    local = build_unet(shape, AU_COUNT, locality=(1.0, 0.0))
    local.load_state_dict(plain.state_dict())
    slopes = [block.attn1.processor.locality for block in transformer_blocks(local)]
    assert set(slopes) == {(1.0, 0.0, 1.0, 0.0)}
    inputs = (torch.randn(1, 8, 8, 8), 10, torch.zeros(1, 1, 4))
    with torch.no_grad():
        difference = (
            local(*inputs, torch.zeros(1, 12)).sample - plain(*inputs, torch.zeros(1, 12)).sample
        )
    assert float(difference.abs().max()) > 1e-4
