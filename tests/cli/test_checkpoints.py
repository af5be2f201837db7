"""Checkpoint folders that cannot be used: one line on stderr, exit code 2, nothing written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

WEIGHTS = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


@pytest.fixture
def refusal(magicface: Callable, astronaut: Path, tmp_path: Path) -> Callable[[Path], str]:
    """The error line of an edit with a folder, after the usual checks."""

    def run(model: Path) -> str:
        output = tmp_path / "out.png"
        outcome = magicface("edit", astronaut, "--au", "AU12=4", "-o", output, "--model", model)
        assert outcome.code == 2
        assert not output.exists()
        return outcome.error_line

    return run


def test_absent_folder(refusal: Callable, tmp_path: Path) -> None:
    assert "absent" in refusal(tmp_path / "absent")


@pytest.mark.parametrize(
    "part",
    [
        "denoising_unet",
        "ID_enc",
        "vae",
        "prompt_embeds.safetensors",
        f"denoising_unet/{WEIGHTS}",
        "ID_enc/config.json",
        f"vae/{WEIGHTS}",
    ],
)
def test_a_missing_part_is_named(refusal: Callable, folder: Path, part: str) -> None:
    path = folder / part
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    assert part.rpartition("/")[2] in refusal(folder)


def test_a_merged_file_edits_too(
    magicface: Callable, tiny_checkpoint: Path, astronaut: Path, tmp_path: Path
) -> None:
    from magicface_core.network import merge_checkpoint

    path = merge_checkpoint(tiny_checkpoint, tmp_path / "one.safetensors")
    output = tmp_path / "out.png"
    outcome = magicface("edit", astronaut, "--au", "AU12=4", "-o", output, "--model", path)
    assert outcome.code == 0
    assert output.exists()


def test_the_vae_can_be_given(
    magicface: Callable, folder: Path, astronaut: Path, tmp_path: Path, refusal: Callable
) -> None:
    vae = Path(shutil.move(folder / "vae", tmp_path / "elsewhere"))
    assert "download sd15-vae" in refusal(folder)
    output = tmp_path / "out.png"
    words = ("edit", astronaut, "--au", "AU12=4", "-o", output, "--model", folder, "--vae")
    assert magicface(*words, vae).code == 0
    output.unlink()
    for wrong in (tmp_path / "absent", astronaut):
        outcome = magicface(*words, wrong)
        assert outcome.code == 2
        assert f"no VAE {wrong}" in outcome.error_line
    assert not output.exists()


def test_official_is_named_where_it_is_absent(refusal: Callable) -> None:
    assert "magicface models download official" in refusal(Path("official"))


def test_wrong_shapes_name_three_keys(refusal: Callable, folder: Path) -> None:
    path = folder / "denoising_unet" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({**config, "cross_attention_dim": 12}))
    line = refusal(folder)
    assert line.count("has shape") == 3
    assert "attn2.to_k.weight" in line


def test_a_header_of_two_gigabytes(refusal: Callable, folder: Path) -> None:
    path = folder / "ID_enc" / WEIGHTS
    path.write_bytes((2 * 1024**3).to_bytes(8, "little") + path.read_bytes()[8:])
    assert "2147483648" in refusal(folder)


@pytest.mark.parametrize("name", [f"denoising_unet/{WEIGHTS}", "prompt_embeds.safetensors"])
def test_a_truncated_file(refusal: Callable, folder: Path, name: str) -> None:
    path = folder / name
    path.write_bytes(path.read_bytes()[:-40])
    assert path.name in refusal(folder)


@pytest.mark.parametrize("name", ["magicface.json", "scheduler_config.json", "vae/config.json"])
def test_unreadable_json(refusal: Callable, folder: Path, name: str) -> None:
    (folder / name).write_text("{ not json")
    assert "not valid JSON" in refusal(folder)
