"""From what was downloaded to what is loaded: safe, smaller, or computed once.

"pickle"  third-party ``.pth`` -> safetensors, after the checks of ``pickles.py``
"half"    the official networks in float16, half the disk
"prompt"  the fixed prompt's embedding out of Stable Diffusion 1.5's text encoder
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ..downloads.catalogue import PROMPT_FILE, Model, ModelFile
from ..downloads.records import Record, record_path, write_record
from ..downloads.store import Store
from ..errors import ModelError
from ..files import check_destination, file_sha256

Report = Callable[[int], object]


def convert_model(
    store: Store, model: Model, keep: bool = False, report: Report | None = None
) -> list[Path]:
    """Convert what is there and not yet converted; returns the new files.

    Args:
        keep: leave the originals, which otherwise go once the new file is complete.
        report: told the bytes of each piece that was read.

    Raises:
        ModelError: nothing to convert, or the content is damaged or unexpected.
        CheckpointError, OutputError: unreadable source, no room.
    """
    if model.conversion is None:
        raise ModelError(f"{model.name} is used as it comes; there is nothing to convert.")
    if model.conversion == "prompt":
        return [_convert_prompt(store, model)]
    made = []
    for file in model.files:
        target = None if file.converted is None else store.place(file.converted)
        source = store.place(file.target)
        if target is None or (target.exists() and not source.exists()):
            continue
        _require_whole(store, model, file)
        _CONVERSIONS[model.conversion](source, target, file, report)
        _record(source, target, file)
        if not keep:
            _drop(source)
        made.append(target)
    if not made:
        raise ModelError(f"{model.name} is converted already.")
    return made


def _convert_pickle(source: Path, target: Path, file: ModelFile, _: Report | None) -> None:
    from ..network.streaming import write_tensors
    from .layouts import LAYOUTS
    from .pickles import read_pickled_tensors

    check_destination(target)
    tensors = read_pickled_tensors(source, LAYOUTS[file.name](), file.limit)
    write_tensors(target, tensors)


def _convert_half(source: Path, target: Path, _: ModelFile, report: Report | None) -> None:
    from ..network.info import CheckpointInfo
    from ..network.parts import FolderPart
    from ..network.planning import plan_denoiser, plan_id_encoder
    from .half import halve

    plan = plan_denoiser if source.parent.name == "denoising_unet" else plan_id_encoder
    plan(FolderPart(source.parent), CheckpointInfo())  # compares keys and shapes
    halve(source, target, report)


_CONVERSIONS = {"pickle": _convert_pickle, "half": _convert_half}


def _convert_prompt(store: Store, model: Model) -> Path:
    from .prompt import ENCODER, write_prompt_embedding

    for file in model.files:
        _require_whole(store, model, file)
    encoder = next(file for file in model.files if file.target.split("/")[-2] == ENCODER)
    folder = store.place(encoder.target).parent.parent
    target = store.place(PROMPT_FILE)
    target.parent.mkdir(parents=True, exist_ok=True)
    return write_prompt_embedding(folder, target)


def pending(store: Store, model: Model) -> Iterator[ModelFile]:
    """Files that are there and wait for conversion."""
    for file in model.files:
        if file.converted is not None and store.state_of(file) == "present":
            yield file


def _require_whole(store: Store, model: Model, file: ModelFile) -> None:
    """Raise ModelError unless the content is what the catalogue or the record says."""
    path = store.place(file.target)
    finding = store.verify_original(file)
    if finding in ("missing", "corrupt"):
        raise ModelError(f'"{path}" is {finding}; run: magicface models download {model.name}')


def _record(source: Path, target: Path, file: ModelFile) -> None:
    made_of = file_sha256(source)
    record = Record(file.address, target.stat().st_size, file_sha256(target), derived_from=made_of)
    write_record(target, record)


def _drop(source: Path) -> None:
    source.unlink()
    record_path(source).unlink(missing_ok=True)
