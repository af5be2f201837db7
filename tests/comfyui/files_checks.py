"""Checks of nodes/files.py that `test_files.py` runs inside ComfyUI."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import folder_paths
from magicface_pack.magicface_core.errors import AUError, CheckpointError, OutputError
from magicface_pack.nodes import files

OUTSIDE = ["../a/face", "..\\a\\face", "a/../../face", "/etc/passwd", "C:\\face", "", ".", "a/"]


def refused(error: type[Exception], call: Callable[..., Any], *arguments: Any) -> str:
    """The text of the error that a call must raise."""
    try:
        result = call(*arguments)
    except error as refusal:
        return str(refusal)
    raise AssertionError(f"{arguments} gave {result}")


def touch(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def write_checkpoint(folder: Path) -> Path:
    for part in files.NETWORK_FOLDERS:
        touch(folder / part / files.WEIGHTS)
        touch(folder / part / "config.json")
    touch(folder / "vae" / files.WEIGHTS)
    return folder


def use_roots(*roots: Path) -> None:
    """Model folders as extra_model_paths.yaml would name them; listings start anew."""
    folder_paths.folder_names_and_paths[files.FOLDER] = ([str(root) for root in roots], set())
    folder_paths.folder_names_and_paths[files.FOLDER][1].add(".safetensors")
    folder_paths.filename_list_cache.clear()


def use_directories(folder: Path) -> tuple[Path, Path]:
    """input/ and output/ of this check alone."""
    folder_paths.set_input_directory(str(folder / "input"))
    folder_paths.set_output_directory(str(folder / "output"))
    return folder / "input" / "expressions", folder / "output" / "expressions"


# --- checkpoints ------------------------------------------------------------------------------


def check_registering_keeps_the_users_folders(folder: Path) -> None:
    folder_paths.folder_names_and_paths[files.FOLDER] = ([str(folder / "users")], set())
    files.register_model_folder()
    files.register_model_folder()
    roots, endings = folder_paths.folder_names_and_paths[files.FOLDER]
    default = os.path.join(folder_paths.models_dir, "magicface")
    assert roots == [str(folder / "users"), default]
    assert endings == {".safetensors"}


def check_only_mini_without_any_folder(folder: Path) -> None:
    use_roots(folder / "absent")
    assert files.checkpoint_choices() == ["mini"]
    assert files.checkpoint_path("mini") == "mini"
    assert files.missing_checkpoint("mini") is None


def check_parts_of_unfinished_downloads_are_not_listed(folder: Path) -> None:
    use_roots(folder)
    touch(folder / "official" / "vae" / files.WEIGHTS)
    touch(folder / "official" / "ID_enc" / files.WEIGHTS)
    touch(folder / "official" / files.PROMPT_FILE)
    touch(folder / "backends" / "libreface" / "resnet.safetensors")
    assert files.checkpoint_choices() == ["mini"]
    assert str(folder / "official") in str(files.missing_checkpoint("official"))
    touch(folder / "official" / "denoising_unet" / files.WEIGHTS)
    folder_paths.filename_list_cache.clear()
    assert files.checkpoint_choices() == ["mini", "official"]


def check_folders_and_files_of_both_roots_are_listed(folder: Path) -> None:
    first, second = folder / "first", folder / "second"
    write_checkpoint(first / "official")
    write_checkpoint(first / "mine" / "run 2")
    touch(first / "single.safetensors")
    touch(first / "notes.txt")
    write_checkpoint(second / "official")
    touch(second / "deep" / "other.safetensors")
    use_roots(first, second)
    assert files.checkpoint_choices() == [
        "mini",
        "deep/other.safetensors",
        "mine/run 2",
        "official",
        "single.safetensors",
    ]
    assert files.checkpoint_path("official") == first / "official"
    assert files.checkpoint_path("mine\\run 2") == first / "mine" / "run 2"
    assert files.checkpoint_path("deep/other.safetensors") == second / "deep" / "other.safetensors"


def check_a_repository_copied_straight_into_the_folder(folder: Path) -> None:
    use_roots(write_checkpoint(folder / "root"))
    assert files.checkpoint_choices() == ["mini", "magicface"]
    assert files.checkpoint_path("magicface") == folder / "root"


def check_a_new_checkpoint_appears_without_a_restart(folder: Path) -> None:
    use_roots(folder)
    assert files.checkpoint_choices() == ["mini"]
    write_checkpoint(folder / "later")
    assert files.checkpoint_choices() == ["mini", "later"]


def check_names_that_are_not_listed_are_refused(folder: Path) -> None:
    write_checkpoint(folder / "outside")
    write_checkpoint(folder / "root" / "inside")
    use_roots(folder / "root")
    names = ["../outside", "inside/../../outside", str(folder / "outside"), "inside/denoising_unet"]
    for name in [*OUTSIDE, *names]:
        text = refused(CheckpointError, files.checkpoint_path, name)
        assert text == files.missing_checkpoint(name)
        for part in (f'"{name}"', files.SOURCE, files.WEIGHTS, str(folder / "root"), "inside"):
            assert part in text, (part, text)
        assert files.checkpoint_fingerprint(name) == name
    # The API hands over whatever JSON held.
    assert '"3"' in str(files.missing_checkpoint(3))  # type: ignore[arg-type]
    assert files.missing_expression(3)  # type: ignore[arg-type]


def check_fingerprints_follow_the_files(folder: Path) -> None:
    write_checkpoint(folder / "a")
    single = touch(folder / "b.safetensors")
    use_roots(folder)
    before = [files.checkpoint_fingerprint(name) for name in ("a", "b.safetensors", "mini")]
    again = [files.checkpoint_fingerprint(name) for name in ("a", "b.safetensors", "mini")]
    assert before == again
    touch(folder / "a" / "ID_enc" / "config.json", "{}")
    os.utime(single, (1, 1))
    after = [files.checkpoint_fingerprint(name) for name in ("a", "b.safetensors", "mini")]
    assert after[0] != before[0]
    assert after[1] != before[1]
    assert after[2] == before[2]


# --- expressions ------------------------------------------------------------------------------


def check_no_expressions_yet(folder: Path) -> None:
    given, _ = use_directories(folder)
    assert files.expression_choices() == [files.NO_EXPRESSION]
    text = files.missing_expression(files.NO_EXPRESSION)
    assert text is not None
    assert "Save Expression" in text
    assert str(given) in text


def check_expressions_of_input_and_output_are_listed(folder: Path) -> None:
    given, saved = use_directories(folder)
    smile = touch(given / "smile.json")
    touch(given / "set" / "wink.json")
    touch(given / "readme.txt")
    other = touch(saved / "smile.json")
    names = ["set/wink.json", "smile.json", "smile.json [output]"]
    assert files.expression_choices() == names
    assert files.expression_path("smile.json") == smile
    assert files.expression_path("smile.json [output]") == other
    assert files.expression_path("set\\wink.json") == given / "set" / "wink.json"
    assert [files.missing_expression(name) for name in names] == [None] * 3


def check_expressions_elsewhere_are_refused(folder: Path) -> None:
    given, _ = use_directories(folder)
    touch(given / "smile.json")
    secret = touch(folder / "secret.json")
    (given / "link.json").symlink_to(secret)
    names = ["../../secret.json", str(secret), "link.json", "smile.json [temp]", "x [output]"]
    for name in [*OUTSIDE, *names]:
        text = refused(AUError, files.expression_path, name)
        assert f'"{name}"' in text
        assert files.expression_fingerprint(name) == name


def check_expression_fingerprints_follow_the_file(folder: Path) -> None:
    given, _ = use_directories(folder)
    smile = touch(given / "smile.json", "{}")
    before = files.expression_fingerprint("smile.json")
    assert before == files.expression_fingerprint("smile.json")
    os.utime(smile, (1, 1))
    assert before != files.expression_fingerprint("smile.json")


def check_new_expressions_are_numbered(folder: Path) -> None:
    _, saved = use_directories(folder)
    first = files.new_expression_path("smile")
    assert first == saved / "smile_00001_.json"
    touch(first)
    assert files.new_expression_path("smile") == saved / "smile_00002_.json"
    assert files.new_expression_path("set/a.b") == saved / "set" / "a.b_00001_.json"
    assert files.new_expression_path("%year%").name.startswith("20")


def check_prefixes_that_lead_out_are_refused(folder: Path) -> None:
    use_directories(folder)
    inside_on_this_system = {"C:\\face", "..\\a\\face", "a/"} if os.name != "nt" else {"a/"}
    for prefix in {*OUTSIDE, "a\0b", "  "} - inside_on_this_system:
        text = refused(OutputError, files.new_expression_path, prefix)
        assert "filename_prefix" in text
