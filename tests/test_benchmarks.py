"""The benchmarks run, and compare what they say they compare."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from face_videos import write_face_video

from magicface_core.framing.crops import FaceCrop, FaceCrops
from magicface_core.framing.framing import Framing
from magicface_core.network.reference_attention import project_reference, transformer_blocks
from magicface_core.network.unet import AU_COUNT, build_unet
from magicface_core.pictures.crop import Crop

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SMALLEST = {
    "sample_size": 8,
    "block_out_channels": (8, 8, 8, 8),
    "cross_attention_dim": 4,
    "attention_head_dim": 2,
    "norm_num_groups": 4,
}


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def step_time() -> ModuleType:
    return load("step_time")


def test_both_ways_of_a_step_agree(step_time: ModuleType) -> None:
    result = step_time.measure(SMALLEST, repeats=1)
    assert result["difference"] < 1e-4
    assert result["ratio"] == result["cached_seconds"] / result["published_seconds"]


def test_published_way_attends_to_the_reference_with_its_queries(step_time: ModuleType) -> None:
    torch.manual_seed(0)
    unet = build_unet({**SMALLEST, "in_channels": 8, "out_channels": 4}, AU_COUNT).eval()
    queries: list[tuple[int, ...]] = []
    with torch.no_grad():
        inputs = step_time.guided_inputs(SMALLEST)
        shapes = step_time.token_shapes(unet, inputs)
        assert len(shapes) == 16
        predictions = []
        for seed in (0, 1):
            generator = torch.Generator().manual_seed(seed)
            features = [torch.randn(2, *shape, generator=generator) for shape in shapes]
            with step_time.published_blocks(unet, features):
                first = next(transformer_blocks(unet)).attn1.to_q
                hook = first.register_forward_pre_hook(lambda _, x: queries.append(x[0].shape))
                predictions.append(step_time.step(unet, inputs))
                hook.remove()
        reference = project_reference(unet, features)
        cached = step_time.step(
            unet, {**inputs, "cross_attention_kwargs": {"reference": reference}}
        )
    assert queries == [(2, 2 * shapes[0][0], shapes[0][1])] * 2
    assert not torch.allclose(predictions[0], predictions[1], atol=1e-4)
    torch.testing.assert_close(cached, predictions[1], rtol=1e-4, atol=1e-5)


def test_full_size_agrees_and_notices_mistakes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    full_size = load("full_size")
    with torch.no_grad():
        full_size.write(tmp_path, True, "float16")
        assert full_size.load(tmp_path, "float16")["weight_bytes"] > 10**7
        full_size.one_step(tmp_path)
        full_size.plain(tmp_path)
    errors = full_size.compare(tmp_path)
    mistakes = {name for name in errors if name.startswith("mistake")}
    assert len(mistakes) == 5
    assert min(errors[name] for name in mistakes) > full_size.NOTICED
    assert max(errors[name] for name in set(errors) - mistakes) < full_size.AGREEMENT
    assert len(set(errors) - mistakes) == 22


def test_edit_time_reports_memory() -> None:
    peak = load("edit_time").peak_bytes()
    assert peak == 0 or 10**7 < peak < 10**12


def test_preparation_speed_counts_the_frames_of_all_processes(tmp_path: Path) -> None:
    write_face_video(tmp_path / "video.mp4", seconds=1.0)
    command = [sys.executable, str(BENCHMARKS / "preparation_speed.py"), "--videos", "1"]
    limits = ["--video", str(tmp_path / "video.mp4"), "--minimum-face", "48", "--processes", "2"]
    done = subprocess.run(
        [*command, *limits],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        text=True,
    )
    result = json.loads(done.stdout.splitlines()[-1])
    assert (result["size"], result["looked_at"], result["kept"]) == ([192, 192], 2, 2)
    (row,) = result["growth"]
    assert row["processes"] == 2
    assert row["per_process"] == pytest.approx(row["frames_per_second"] / 2)
    assert 0 < row["per_process"] <= 1.1 * row["per_busy_second"]
    each = 0.875 / result["looked_at"]  # seconds of the video for a frame
    assert row["video_seconds_per_second"] == pytest.approx(each * row["frames_per_second"])
    assert {"seed", "processor", "cores", "versions"} <= set(result)


def test_seam_error_sees_seams_and_their_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seam_error = load("seam_error")
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(1, 3, 9, 12, generator=generator)
    picture = 0.2 + 0.6 * torch.nn.functional.interpolate(noise, (200, 301), mode="bilinear")
    crop = Crop((150.0, 110.0), 130.0, (301, 200), 0.6)
    face, steps = crop.extract(picture, 512), torch.linspace(-1, 1, 512)
    mask = ((steps[:, None] ** 2 + steps**2) < 0.4).float()[None, None]
    crops = FaceCrops((FaceCrop(crop, None),), (301, 200), Framing())
    edit = torch.lerp(face, 0.7 * face + 0.3, mask)
    case = seam_error.Case("disc", "made", picture, crops, face, mask, edit)
    monkeypatch.setattr(seam_error, "rendered", lambda *_: [("disc", "made", picture)])
    monkeypatch.setattr(seam_error, "photographs", lambda _: [])
    monkeypatch.setattr(seam_error, "edited", lambda *_: case)
    monkeypatch.setattr(seam_error.MagicFace, "load", lambda *_, **__: None)
    assert seam_error.main([]) == 0
    *lines, last = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| disc | 130 | 34 |")
    assert lines[-1].startswith("| **mean of 1: made** |")
    result = json.loads(last)
    assert {"seed", "machine", "versions"} <= set(result)
    (row,) = result["rows"]
    hard, soft, matched = (row["ways"][way] for way in ("hard", "soft", "soft, matched"))
    assert hard["jump"] > 5 > 1 > abs(soft["jump"])
    assert hard["step"] > 2 * soft["step"]
    assert soft["colour"] > 3 > 1 > matched["colour"]
    assert seam_error.broken([{"ways": {"hard": {**hard, "outside": 0.1}}}])


def test_seam_error_finds_its_pictures() -> None:
    seam_error = load("seam_error")
    names = [name for name, _, _ in seam_error.photographs([])]
    assert names == ["astronaut", "hopper"]
    readme = (seam_error.PHOTOGRAPHS / "README.md").read_text(encoding="utf-8")
    assert all(f"`{path.name}`" in readme for path in seam_error.PHOTOGRAPHS.glob("*.jpg"))
    ((name, kind, picture),) = seam_error.rendered(0, 1)
    assert (name, kind, picture.shape) == ("rendered-0", "rendered", (1, 3, 384, 384))


def test_preflight_rates_tell_good_pictures_from_spoiled_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    rates = load("preflight_rates")
    spoilings = [entry for entry in rates.SPOILINGS if entry.name.startswith(("black", "blur 2"))]
    monkeypatch.setattr(rates, "SPOILINGS", spoilings)
    monkeypatch.setattr(rates, "TURNED", {"turned 65 degrees aside": ("yaw", (65, 0, 0))})
    with torch.no_grad():
        rows = rates.measure(faces=1, with_glasses=0, under_hair=0)
    warned = {(row["check"], row["pictures"]): row["warned"] for row in rows}
    assert {name for (_, name), count in warned.items() if count} == {
        "turned 65 degrees aside",
        *(entry.name for entry in spoilings),
    }
    assert [row["check"] for row in rows if row["pictures"] == "nothing wrong"]


def test_identity_distances_of_photographs(capsys: pytest.CaptureFixture[str]) -> None:
    """Every unit of every photograph is measured, and the packaged checkpoint keeps the person."""
    module = load("photograph_identity")
    assert module.main(["--threads", "1"]) == 0
    found = json.loads(capsys.readouterr().out.splitlines()[-1])["distances"]
    assert {"hopper", "astronaut"} <= set(found)
    for values in found.values():
        assert len(values) == AU_COUNT
        assert min(values.values()) > 0.01
        assert max(values.values()) < 0.45
