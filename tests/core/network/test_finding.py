"""Names of checkpoints, and pieces that lie in the model folder."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from magicface_core.errors import CheckpointError, MagicFaceError
from magicface_core.network import load_checkpoint
from magicface_core.network.finding import EMBEDDED, resolve_checkpoint
from magicface_core.network.weights import WEIGHTS_NAMES


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty model folder, and nothing in the working folder."""
    monkeypatch.setenv("MAGICFACE_MODELS", str(tmp_path / "models"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return tmp_path / "models"


def refusal(name: str | Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(name, "cpu")
    return str(caught.value)


def test_mini_is_embedded() -> None:
    assert resolve_checkpoint("mini") == EMBEDDED
    assert (EMBEDDED / "magicface.json").is_file()


def test_official_has_to_be_downloaded(store: Path) -> None:
    message = refusal("official")
    assert f"is missing in {store / 'official'}" in message
    assert "magicface models download official" in message
    assert not store.exists()


def test_official_in_part(store: Path, tiny_checkpoint: Path) -> None:
    shutil.copytree(tiny_checkpoint / "ID_enc", store / "official" / "ID_enc")
    assert "is partial in" in refusal("official")


@pytest.mark.parametrize("name", WEIGHTS_NAMES)
def test_official_as_downloaded_or_halved(store: Path, tiny_checkpoint: Path, name: str) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint, store / "official"))
    for part in ("denoising_unet", "ID_enc"):
        (folder / part / WEIGHTS_NAMES[0]).rename(folder / part / name)
    assert resolve_checkpoint("official") == folder
    assert load_checkpoint("official", "cpu").info.name == "tiny"


def test_official_filled_by_hand(store: Path, two_files: Path, ldm_file: Path) -> None:
    shutil.copytree(two_files, store / "official")
    loaded = load_checkpoint("official", "cpu", vae=ldm_file)
    assert loaded.info.name == "official"


def test_a_folder_of_that_name_right_here_comes_first(store: Path, tiny_checkpoint: Path) -> None:
    shutil.copytree(tiny_checkpoint, "official")
    assert resolve_checkpoint("official") == Path("official")


def test_a_link_out_of_the_model_folder(store: Path, tiny_checkpoint: Path) -> None:
    store.mkdir()
    (store / "official").symlink_to(tiny_checkpoint)
    with pytest.raises(MagicFaceError, match="leads out of the model folder"):
        load_checkpoint("official", "cpu")


@pytest.mark.parametrize("name", ["../official", "official/../../etc", "/etc", "~nobody/x"])
def test_other_names_are_only_paths(store: Path, name: str) -> None:
    assert "magicface models" not in refusal(name)


# --- missing pieces -------------------------------------------------------------------------------


def fill(store: Path, released: Any, width: int) -> None:
    folder = store / "official" / "vae"
    folder.mkdir(parents=True)
    released.vae.save_config(folder)
    save_file(released.vae.state_dict(), folder / WEIGHTS_NAMES[0])
    prompt = {"prompt_embeds": torch.full((1, 3, width), 2.0)}
    save_file(prompt, store / "official" / "prompt_embeds.safetensors")


def test_pieces_come_from_the_model_folder(
    store: Path, two_files: Path, released: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (two_files / "prompt_embeds.safetensors").unlink()
    assert "no vae/" in refusal(two_files)
    fill(store, released, 16)
    monkeypatch.setattr(
        "magicface_core.downloads.store.Store._whole",
        lambda *_: True,  # the real one's size is known
    )
    loaded = load_checkpoint(two_files, "cpu")
    assert float(loaded.prompt_embeds.mean()) == 2
    expected = released.vae.state_dict()
    assert all(torch.equal(v, expected[k]) for k, v in loaded.vae.state_dict().items())


def test_a_prompt_of_other_width_is_not_taken(
    store: Path, two_files: Path, ldm_file: Path, released: Any
) -> None:
    (two_files / "prompt_embeds.safetensors").unlink()
    fill(store, released, 768)
    with pytest.raises(CheckpointError, match=r"lacks prompt_embeds\.safetensors"):
        load_checkpoint(two_files, "cpu", vae=ldm_file)


def test_own_pieces_come_first(store: Path, tiny_checkpoint: Path, released: Any) -> None:
    fill(store, released, 4)
    loaded = load_checkpoint(tiny_checkpoint, "cpu")
    assert type(loaded.vae).__name__ == "PatchAutoencoder"
    assert float(loaded.prompt_embeds.mean()) != 2
