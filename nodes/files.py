"""Where checkpoints and expression files lie in a ComfyUI installation.

Names that users pick are looked up in what is listed, never joined to a path, so that no name
leads out of these folders.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import folder_paths

from ..magicface_core.errors import AUError, CheckpointError, OutputError

FOLDER = "magicface"
EMBEDDED = "mini"
SOURCE = "https://huggingface.co/mengtingwei/magicface"
OFFICIAL = "official"  # the folder's name in the templates and in `magicface models`
NETWORK_FOLDERS = ("denoising_unet", "ID_enc")
# Folders and files of a checkpoint, or of `magicface models`, that are none by themselves.
PARTS = (*NETWORK_FOLDERS, "vae", "text_encoder", "attribute_controller", "backends")
PROMPT_FILE = "prompt_embeds.safetensors"
WEIGHTS = "diffusion_pytorch_model.safetensors"

EXPRESSIONS = "expressions"
NO_EXPRESSION = "none yet"
IN_OUTPUT = " [output]"  # ComfyUI's own way to say that a file lies in the output folder


def register_model_folder() -> None:
    """Make models/magicface known to ComfyUI, besides what extra_model_paths.yaml names."""
    default = os.path.join(folder_paths.models_dir, FOLDER)
    folder_paths.add_model_folder_path(FOLDER, default)
    folder_paths.folder_names_and_paths[FOLDER][1].add(".safetensors")


def checkpoint_choices() -> list[str]:
    """The embedded checkpoint, then folders and single files of all model folders."""
    return [EMBEDDED, *_checkpoints()]


def checkpoint_path(name: str) -> str | Path:
    """What `load_checkpoint` needs for a listed name. Raises CheckpointError for any other."""
    if name == EMBEDDED:
        return EMBEDDED
    found = _checkpoints().get(_portable(name))
    if found is None:
        raise CheckpointError(missing_checkpoint(name))
    return found


def missing_checkpoint(name: str) -> str | None:
    """What to do about a checkpoint that is not there; None for one that is."""
    found = _checkpoints()
    if name == EMBEDDED or _portable(name) in found:
        return None
    folders = folder_paths.get_folder_paths(FOLDER)
    place = Path(folders[0] if folders else folder_paths.models_dir) / OFFICIAL
    wanted = " and ".join(f"{part}/{WEIGHTS} with its config.json" for part in NETWORK_FOLDERS)
    return (
        f'There is no checkpoint "{name}". For the authors\' checkpoint copy {wanted} from '
        f"{SOURCE} into {place}. Present now: {', '.join([EMBEDDED, *found])}."
    )


def checkpoint_fingerprint(name: str) -> str:
    """Changes whenever a file of the checkpoint does."""
    place = _checkpoints().get(_portable(name))
    if place is None:
        return name
    files = [place] if place.is_file() else sorted(place.rglob("*"))
    return "\n".join(_stamp(path) for path in files if path.is_file())


def _checkpoints() -> dict[str, Path]:
    """Checkpoints by name, first model folder first.

    X/denoising_unet/*.safetensors makes the folder X one; any other file is one by itself.
    """
    relative = [Path(name) for name in folder_paths.get_filename_list(FOLDER)]
    folders = {path.parents[1] for path in relative if path.parent.name == NETWORK_FOLDERS[0]}
    found = {}
    for path in relative:
        owner = next((parent for parent in path.parents if parent in folders), None)
        full = folder_paths.get_full_path(FOLDER, str(path))
        if full is None or (owner is None and _is_part(path)):
            continue
        if owner is None:
            found[path.as_posix()] = Path(full)
        elif path.parts[len(owner.parts)] == NETWORK_FOLDERS[0]:
            # A repository copied straight into the model folder has no name of its own.
            name = FOLDER if owner == Path() else owner.as_posix()
            found[name] = Path(full).parents[1]
    return dict(sorted(found.items()))


def _is_part(path: Path) -> bool:
    """Whether a weights file is only part of something whose denoiser is not there (yet)."""
    return path.name == PROMPT_FILE or not set(PARTS).isdisjoint(path.parts[:-1])


def _portable(name: str) -> str:
    """Names as listed, whatever system wrote the workflow."""
    return str(name).replace("\\", "/")  # the API lets any JSON value through to here


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{path} {status.st_size} {status.st_mtime_ns}"


# --- expressions ------------------------------------------------------------------------------


def expression_choices() -> list[str]:
    """JSON files in input/expressions, then those in output/expressions."""
    return list(_expressions()) or [NO_EXPRESSION]


def missing_expression(name: str) -> str | None:
    """What to do about an expression file that is not there; None for one that is."""
    found = _expressions()
    if _portable(name) in found:
        return None
    place = Path(folder_paths.get_input_directory()) / EXPRESSIONS
    advice = f"save one with Save Expression, or copy a JSON file into {place}"
    if not found:
        return f"There are no expression files yet: {advice}."
    return f'There is no expression file "{name}": choose one of the list, {advice}.'


def expression_path(name: str) -> Path:
    """The file of a listed name. Raises AUError for any other."""
    message = missing_expression(name)
    if message is not None:
        raise AUError(message)
    return _expressions()[_portable(name)]


def expression_fingerprint(name: str) -> str:
    """Changes whenever the file does."""
    path = _expressions().get(_portable(name))
    return name if path is None else _stamp(path)


def new_expression_path(prefix: str) -> Path:
    """A file in output/expressions that does not exist yet: prefix, number, .json.

    The prefix may name subfolders and ComfyUI's %date% words. Raises OutputError for one that
    leads elsewhere.
    """
    if not prefix.strip() or "\0" in prefix:
        raise OutputError('filename_prefix is empty or unreadable; give a name such as "smile".')
    root = os.path.join(folder_paths.get_output_directory(), EXPRESSIONS)
    folder = os.path.join(root, os.path.dirname(os.path.normpath(prefix)))
    if not _inside(root, folder) or not os.path.basename(os.path.normpath(prefix)).strip("."):
        raise OutputError(
            f'filename_prefix "{prefix}" leads out of {root}; give a name without ".." and '
            "without a drive or leading slash."
        )
    place, stem, number, _, _ = folder_paths.get_save_image_path(prefix, root)
    os.makedirs(place, exist_ok=True)
    return Path(place) / f"{stem}_{number:05}_.json"


def _expressions() -> dict[str, Path]:
    """Expression files by the name in the list."""
    found = {}
    for directory, suffix in (
        (folder_paths.get_input_directory(), ""),
        (folder_paths.get_output_directory(), IN_OUTPUT),
    ):
        root = Path(directory) / EXPRESSIONS
        for path in _json_files(root):
            found[path.relative_to(root).as_posix() + suffix] = path
    return found


def _json_files(root: Path) -> Iterator[Path]:
    """JSON files under a folder in order of their names; links that lead out are left out."""
    for path in sorted(root.rglob("*.json")):
        if path.is_file() and _inside(root, path):
            yield path


def _inside(root: str | Path, path: str | Path) -> bool:
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(root))
