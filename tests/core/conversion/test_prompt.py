"""The fixed prompt's embedding out of a text encoder folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hub_files import contents
from safetensors.torch import load_file, save_file

from magicface_core.conversion.convert import convert_model
from magicface_core.conversion.prompt import transformers_installed, write_prompt_embedding
from magicface_core.downloads.catalogue import PROMPT_FILE, SD15_TEXT_ENCODER
from magicface_core.downloads.store import Store
from magicface_core.errors import MagicFaceError, ModelError
from magicface_core.network.parts import PROMPT

WIDTH, TOKENS = 8, 77


class Encoder:
    """Stands in for transformers: hidden states that name the tokens they come from."""

    config = SimpleNamespace(max_position_embeddings=TOKENS)
    width, value = WIDTH, 1.0
    asked: list[Any]

    @classmethod
    def from_pretrained(cls, folder: Path, **options: Any) -> Encoder:
        assert options == {"use_safetensors": True, "local_files_only": True}
        assert (folder / "config.json").is_file()
        return cls()

    def float(self) -> Encoder:
        return self

    def eval(self) -> Encoder:
        return self

    def __call__(self, tokens: torch.Tensor) -> Any:
        states = tokens[..., None].float().expand(-1, -1, self.width) * self.value
        return SimpleNamespace(last_hidden_state=states.half())


class Tokenizer:
    @classmethod
    def from_pretrained(cls, folder: Path, **options: Any) -> Tokenizer:
        assert options == {"local_files_only": True}
        assert (folder / "vocab.json").is_file()
        return cls()

    def __call__(self, text: str, **options: Any) -> Any:
        assert options["padding"] == "max_length"
        assert options["max_length"] == TOKENS
        tokens = [len(text)] * 7 + [0] * (TOKENS - 7)
        return SimpleNamespace(input_ids=torch.tensor([tokens]))


@pytest.fixture
def folder(store: Store) -> Path:
    """text_encoder/ and tokenizer/ where the catalogue puts them."""
    place = store.root / "official"
    for name in ("text_encoder", "tokenizer"):
        (place / name).mkdir(parents=True)
    (place / "text_encoder" / "config.json").write_text(json.dumps({"hidden_size": WIDTH}))
    save_file({"x": torch.zeros(1)}, place / "text_encoder" / "model.safetensors")
    for name in ("vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"):
        (place / "tokenizer" / name).write_text("{}")
    return place


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> type[Encoder]:
    encoder = type("Fresh", (Encoder,), {})
    module = SimpleNamespace(CLIPTokenizer=Tokenizer, CLIPTextModel=encoder)
    monkeypatch.setitem(sys.modules, "transformers", module)
    return encoder


def refusal(folder: Path) -> str:
    with pytest.raises(MagicFaceError) as caught:
        write_prompt_embedding(folder, folder / "prompt_embeds.safetensors")
    assert not (folder / "prompt_embeds.safetensors").exists()
    return str(caught.value)


@pytest.mark.usefixtures("stand_in")
def test_the_embedding_is_that_of_the_fixed_prompt(folder: Path) -> None:
    path = write_prompt_embedding(folder, folder / "prompt_embeds.safetensors")
    embedding = load_file(path)["prompt_embeds"]
    assert embedding.dtype == torch.float32
    assert embedding.shape == (1, TOKENS, WIDTH)
    assert embedding[0, :7].unique().tolist() == [len(PROMPT)]
    assert embedding[0, 7:].unique().tolist() == [0]


def test_without_transformers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert not transformers_installed()
    assert "pip install transformers" in refusal(folder)


def test_another_encoder(folder: Path, stand_in: type[Encoder]) -> None:
    stand_in.width = 5
    assert "shape [1, 77, 5], expected [1, tokens, 8]" in refusal(folder)


def test_values_that_are_not_finite(folder: Path, stand_in: type[Encoder]) -> None:
    stand_in.value = float("nan")
    assert "not finite" in refusal(folder)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("width", [None, "8", 0, -1, 10**9, 1.5])
def test_a_configuration_that_lies(folder: Path, width: object) -> None:
    (folder / "text_encoder" / "config.json").write_text(json.dumps({"hidden_size": width}))
    assert "hidden_size" in refusal(folder)


@pytest.mark.usefixtures("stand_in")
def test_damaged_weights(folder: Path) -> None:
    (folder / "text_encoder" / "model.safetensors").write_bytes(b"x" * 50)
    assert "damaged" in refusal(folder)


@pytest.mark.usefixtures("stand_in")
def test_an_encoder_that_transformers_refuses(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("no file\nnamed pytorch_model")

    monkeypatch.setattr(Tokenizer, "from_pretrained", refuse)
    assert "(no file named pytorch_model)" in refusal(folder)


@pytest.mark.usefixtures("stand_in")
def test_convert_checks_the_files_first(folder: Path, store: Store) -> None:
    with pytest.raises(ModelError, match=r"model\.safetensors. is corrupt"):
        convert_model(store, SD15_TEXT_ENCODER)
    assert PROMPT_FILE not in contents(store.root)


def test_real_transformers(tmp_path: Path) -> None:
    """A small CLIP text model with a small vocabulary, saved and read as the real one."""
    transformers = pytest.importorskip("transformers")
    letters = sorted(set("a close up of a person.".replace(" ", "")))
    words = [*letters, *(f"{letter}</w>" for letter in letters)]
    words += ["<|startoftext|>", "<|endoftext|>"]
    vocabulary = {word: index for index, word in enumerate(words)}
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "vocab.json").write_text(json.dumps(vocabulary))
    (tmp_path / "tokenizer" / "merges.txt").write_text("#version: 0.2\n")
    (tmp_path / "tokenizer" / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "CLIPTokenizer", "model_max_length": 77})
    )
    config = transformers.CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        bos_token_id=len(words) - 2,
        eos_token_id=len(words) - 1,
    )
    transformers.CLIPTextModel(config).save_pretrained(tmp_path / "text_encoder")
    path = write_prompt_embedding(tmp_path, tmp_path / "prompt_embeds.safetensors")
    embedding = load_file(path)["prompt_embeds"]
    assert embedding.shape == (1, 77, 16)
    assert not torch.equal(embedding[0, 1], embedding[0, 2])
