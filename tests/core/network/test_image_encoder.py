"""CLIP's image encoder as an ID encoder: agreement with transformers, files, mistakes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_start import write_clip

from magicface_core.errors import CheckpointError
from magicface_core.network import load_checkpoint
from magicface_core.network.image_encoder import ImageEncoder
from magicface_core.network.tiny import TINY_IMAGE_ENCODER, write_tiny_checkpoint

transformers = pytest.importorskip("transformers")
PICTURES = torch.rand(2, 3, 40, 40, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip")


def test_tokens_are_those_of_transformers(clip: Path) -> None:
    vision = transformers.CLIPVisionModel.from_pretrained(clip).eval()
    size = {"height": 16, "width": 16}  # of the pictures, so that resizing changes nothing
    processor = transformers.CLIPImageProcessor(size=size, do_center_crop=False)
    levels = (PICTURES[..., :16, :16] * 127.5 + 127.5).byte()
    pixels = processor(list(levels.numpy()), return_tensors="pt").pixel_values
    square = levels / 127.5 - 1
    encoder = ImageEncoder.from_folder(clip, width=4).eval()
    with torch.no_grad():
        expected = vision(pixel_values=pixels).last_hidden_state
        found = encoder(square)
        assert torch.allclose(found, encoder.projection(expected), atol=1e-5)
    assert found.shape == (2, 5, 4)  # the class token and four patches


def test_any_size_of_picture(clip: Path) -> None:
    encoder = ImageEncoder.from_folder(clip, width=4)
    with torch.no_grad():
        one, other = encoder(PICTURES)
    assert float((one - other).abs().max()) > 1e-3


def test_configuration_builds_the_same_shape(clip: Path) -> None:
    encoder = ImageEncoder.from_folder(clip, width=4)
    config = json.loads(json.dumps(encoder.config))
    again = ImageEncoder.from_config(config)
    again.load_state_dict(encoder.state_dict())
    with torch.no_grad():
        assert torch.equal(again(PICTURES), encoder(PICTURES))


def test_built_without_storage_it_still_counts_its_positions(clip: Path) -> None:
    encoder = ImageEncoder.from_folder(clip, width=4)
    with torch.device("meta"):
        empty = ImageEncoder.from_config(encoder.config)
    empty.load_state_dict(encoder.state_dict(), assign=True)
    assert not any(tensor.is_meta for tensor in (*empty.parameters(), *empty.buffers()))
    with torch.no_grad():
        assert torch.equal(empty(PICTURES), encoder(PICTURES))


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_hidden_layers", 10**9), ("hidden_act", "magic"), ("hidden_size", "wide"), ("width", -1)],
)
def test_checkpoints_with_hostile_shapes(tmp_path: Path, key: str, value: Any) -> None:
    folder = write_tiny_checkpoint(tmp_path / "tiny", identity="image-encoder")
    path = folder / "ID_enc" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), key: value}), encoding="utf-8")
    with pytest.raises(CheckpointError, match=r"ID_enc"):
        load_checkpoint(folder, "cpu")


def test_folder_without_an_encoder(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no CLIP image encoder .* copy config\.json"):
        ImageEncoder.from_folder(tmp_path, 4)


def test_weights_of_something_else(clip: Path) -> None:
    """transformers would go on with random weights."""
    path = clip / "model.safetensors"
    save_file({k: v for k, v in load_file(path).items() if "text" in k}, path)
    with pytest.raises(CheckpointError, match=r"lacks .* of a CLIP image encoder; copy config"):
        ImageEncoder.from_folder(clip, 4)


def test_transformers_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(CheckpointError, match="needs transformers: pip install"):
        ImageEncoder.from_config(TINY_IMAGE_ENCODER)
