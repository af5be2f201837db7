"""Made-up folders of each layout, with real video files."""

from __future__ import annotations

import json
import shutil
import unicodedata
from collections.abc import Callable
from pathlib import Path

import pytest
from face_videos import write_scenery
from magicface_training.videos import VideoError
from magicface_training.videos.decode import open_video
from magicface_training.videos.layouts import LAYOUTS, index_videos

Fill = Callable[..., Path]


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    write_scenery(path, seconds=0.25)
    return path


@pytest.fixture
def fill(clip: Path, tmp_path: Path) -> Fill:
    def copies(*names: str) -> Path:
        for name in names:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(clip, tmp_path / name)
        return tmp_path

    return copies


def identities(root: Path, layout: str) -> dict[str, str]:
    """Identity by relative path; checks that the files can be opened."""
    videos = index_videos(root, layout)
    for video in videos:
        with open_video(video.path) as opened:
            assert next(opened.frames()).number == 0
    return {video.path.relative_to(root).as_posix(): video.identity_id for video in videos}


def test_folder_takes_the_first_sub_folder_as_identity(fill: Fill) -> None:
    root = fill("anna/one.mp4", "anna/holiday/two.MP4", "bert/one.mkv", "alone.mov", "other.mov")
    found = identities(root, "folder")
    assert found["anna/one.mp4"] == found["anna/holiday/two.MP4"] == "anna"
    assert found["bert/one.mkv"] == "bert"
    assert found["alone.mov"] != found["other.mov"]
    assert found["alone.mov"] == next(
        video.video_id for video in index_videos(root) if video.path.name == "alone.mov"
    )


def test_aff_wild2_takes_each_video_as_its_own_identity(fill: Fill) -> None:
    root = fill("batch1/1-30-1280x720.mp4", "batch2/video59.mp4", "video60.avi")
    assert identities(root, "aff-wild2") == {
        "batch1/1-30-1280x720.mp4": "1-30-1280x720",
        "batch2/video59.mp4": "video59",
        "video60.avi": "video60",
    }


def test_celebv_hq_takes_the_youtube_video_as_identity(fill: Fill) -> None:
    folder = "downloaded_celebvhq"
    root = fill(
        f"{folder}/processed/M2Ohb0FAaJU_1.mp4",
        f"{folder}/processed/M2Ohb0FAaJU_12.mp4",
        f"{folder}/processed/-a_b-0_3.mp4",
        f"{folder}/raw/M2Ohb0FAaJU.mp4",
        f"{folder}/raw/x_1.mp4",
    )
    found = identities(root, "celebv-hq")
    assert sorted(found.values()) == ["-a_b-0", "M2Ohb0FAaJU", "M2Ohb0FAaJU"]
    assert not any("raw" in name for name in found)
    clips = {"-a_b-0_3": {"ytb_id": "-a_b-0_3", "bbox": {}}}
    (root / "celebvhq_info.json").write_text(json.dumps({"clips": clips}))
    assert "-a_b-0_3" in identities(root, "celebv-hq").values()
    (root / "celebvhq_info.json").write_text('{"clips": ["M2Ohb0FAaJU_1"]}')
    with pytest.raises(VideoError, match=r"celebvhq_info\.json.*download it again"):
        index_videos(root, "celebv-hq")


def test_mead_takes_the_actor_as_identity(fill: Fill) -> None:
    root = fill(
        "M003/video/front/angry/level_1/001.mp4",
        "M003/video/left_30/happy/level_3/001.mp4",
        "W009/video/down/neutral/level_1/040.mp4",
        "README/video.mp4",
    )
    found = identities(root, "mead")
    assert sorted(found.values()) == ["M003", "M003", "W009"]
    of_one = identities(root / "W009", "mead")
    assert list(of_one.values()) == ["W009"]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_ids_are_unique_sorted_safe_and_do_not_depend_on_the_place(
    layout: str, fill: Fill, tmp_path: Path
) -> None:
    names = [f"{actor}/video/{take}/{x}_1.mp4" for actor in ("M001", "W001") for take in "ab"
             for x in ("clip", "Zoë & co", "clip.v2", "x" * 90)]  # fmt: skip
    root = fill(*(f"here/{name}" for name in names)) / "here"
    videos = index_videos(root, layout)
    ids = [video.video_id for video in videos]
    assert len(set(ids)) == len(names)
    assert ids == sorted(ids)
    assert all(name.isascii() and not set(name) & set("/\\ &:") for name in ids)
    assert max(map(len, ids)) < 90
    identities = {video.identity_id for video in videos}
    assert all(name.isascii() and not set(name) & set("/\\ &:") for name in identities)
    (tmp_path / "there").mkdir()
    moved = root.rename(tmp_path / "there" / "elsewhere")
    assert [video.video_id for video in index_videos(moved, layout)] == ids


def test_accents_composed_in_another_way_are_the_same_name(fill: Fill, tmp_path: Path) -> None:
    composed, decomposed = (unicodedata.normalize(form, "Zoë") for form in ("NFC", "NFD"))
    first = index_videos(fill(f"a/{composed}/1.mp4") / "a")[0]
    second = index_videos(fill(f"b/{decomposed}/1.mp4") / "b")[0]
    assert (first.video_id, first.identity_id) == (second.video_id, second.identity_id)


def test_hidden_and_other_files_are_left_out_and_empty_ones_kept(fill: Fill) -> None:
    root = fill("anna/one.mp4", ".trash/two.mp4", "anna/._one.mp4")
    (root / "notes.txt").write_text("no video")
    (root / "anna" / "empty.mp4").touch()
    assert {(v.path.name, v.size > 0) for v in index_videos(root)} == {
        ("one.mp4", True),
        ("empty.mp4", False),
    }


def test_folders_that_cannot_be_used_are_named_with_what_to_do(fill: Fill, tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r'no layout "mad"; choose one of folder, aff-wild2'):
        index_videos(tmp_path, "mad")
    with pytest.raises(VideoError, match="is not a folder"):
        index_videos(tmp_path / "nowhere")
    with pytest.raises(VideoError, match="holds no videos"):
        index_videos(tmp_path)
    with pytest.raises(VideoError, match="choose another layout"):
        index_videos(fill("anna/one.mp4"), "mead")
