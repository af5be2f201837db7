"""Reading third-party ``.pth`` files without running anything in them.

Three gates, each enough alone: the archive must be plain and small, its instructions may name
nothing but tensors (``check_names``), and torch reads it with ``weights_only=True``. What comes out
must have exactly the names, shapes and types of a known network before any of it is copied.
"""

from __future__ import annotations

import pickletools
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import torch
from torch import Tensor

from ..errors import ModelError
from .layouts import COUNTER, Shapes

MAX_ENTRIES = 10_000
MAX_INSTRUCTION_BYTES = 16 * 1024**2
_LEGACY_STREAMS = 5  # magic number, protocol, system, the object, names of the storages
_ARCHIVE = b"PK\x03\x04"
_TORCH_AT_LEAST = (2, 10)  # earlier ones can be made to run code in spite of weights_only
_WRAPPERS = ("model", "state_dict", "model_state_dict")
_PARALLEL = "module."

_ALLOWED = {"collections OrderedDict", "torch Size"} | {
    f"torch._utils {name}"
    for name in ("_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter")
}
_STORAGES = {f"torch {kind}Storage" for kind in ("Float", "Half", "BFloat16", "Double", "Long")}
_NAMES = ("GLOBAL", "INST")
_TEXTS = ("SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE")
_MARKS = ("MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT")

_UNREADABLE = (
    RuntimeError,
    EOFError,
    OSError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    AssertionError,
    MemoryError,
    OverflowError,
    struct.error,
    zipfile.BadZipFile,
)


def read_pickled_tensors(
    path: Path, shapes: Shapes, limit: int, spare: Shapes | None = None
) -> dict[str, Tensor]:
    """The tensors of a ``.pth`` or ``.pt`` file.

    Args:
        shapes: names and shapes that must be there, and no others; counters may be absent.
        limit: bytes of the file, and of its unpacked content, at most.
        spare: names and shapes that may be there besides, one by one.

    Raises:
        ModelError: too large, damaged, holding instructions other than tensors', or another
            network than expected; nothing in the file has been run.
    """
    _check_torch()
    size = path.stat().st_size
    if size > limit:
        raise ModelError(f"{path} has {size} bytes, at most {limit} are accepted; fetch it again.")
    try:
        check_names(path, limit)
        tree = torch.load(path, map_location="cpu", weights_only=True, mmap=False)
    except _UNREADABLE as error:
        raise _damaged(path, error) from error
    except Exception as error:
        # torch reports refused content by an exception of the module that must not be imported.
        if type(error).__name__ != "UnpicklingError":
            raise
        raise _damaged(path, error) from error
    tensors = _tensors_of(tree, path)
    extra = {name: shape for name, shape in (spare or {}).items() if name in tensors}
    _check(tensors, {**shapes, **extra}, path)
    return {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}


def check_names(path: Path, limit: int) -> None:
    """Raise ModelError where the file's instructions name anything but tensors and containers."""
    with path.open("rb") as stream:
        archived = stream.read(len(_ARCHIVE)) == _ARCHIVE
    if archived:
        with zipfile.ZipFile(path) as archive:
            _check_archive(archive, path, limit)
            for entry in archive.infolist():
                if entry.filename.endswith("data.pkl"):
                    with archive.open(entry) as stream:
                        _check_stream(stream, path)
        return
    with path.open("rb") as stream:
        for _ in range(_LEGACY_STREAMS):
            _check_stream(stream, path)


def _check_archive(archive: zipfile.ZipFile, path: Path, limit: int) -> None:
    """torch writes archives without compression; anything else may unpack to any size."""
    entries = archive.infolist()
    if len(entries) > MAX_ENTRIES or any(e.compress_type != zipfile.ZIP_STORED for e in entries):
        raise ModelError(f"{path} is a compressed or overfull archive, as torch never writes them.")
    if sum(entry.file_size for entry in entries) > limit:
        raise ModelError(f"{path} unpacks to more than {limit} bytes; fetch it again.")
    instructions = [entry for entry in entries if entry.filename.endswith("data.pkl")]
    if len(instructions) != 1 or instructions[0].file_size > MAX_INSTRUCTION_BYTES:
        raise ModelError(f"{path} is no file of tensors that torch wrote; fetch it again.")


def _check_stream(stream: IO[bytes], path: Path) -> None:
    for name in _names_in(stream):
        if name not in _ALLOWED and name not in _STORAGES:
            raise ModelError(
                f'{path} asks to run "{name}"; it is not a file of tensors alone and was not '
                "opened. Delete it and fetch the right one."
            )


def _names_in(stream: IO[bytes]) -> Iterator[str]:
    """What a stream of instructions refers to, as "module name"; "?" where it is computed."""
    texts: list[str] = []
    for operation, argument, _ in pickletools.genops(stream):
        if operation.name in _NAMES:
            yield str(argument)
        elif operation.name == "STACK_GLOBAL":
            yield " ".join(texts[-2:]) if len(texts) >= 2 else "?"
        elif operation.name.startswith("EXT"):
            yield "?"
        if operation.name in _TEXTS:
            texts.append(str(argument))
        elif operation.name not in _MARKS:
            texts.clear()


def _tensors_of(tree: Any, path: Path) -> dict[str, Tensor]:
    """The table of tensors, out of the wrappers that training scripts put around it."""
    for key in _WRAPPERS:
        if isinstance(tree, Mapping) and isinstance(tree.get(key), Mapping):
            tree = tree[key]
    if not isinstance(tree, Mapping) or not tree:
        raise ModelError(f"{path} holds no table of tensors; fetch the right file.")
    for name, value in tree.items():
        plain = type(value) in (Tensor, torch.nn.Parameter) and value.layout == torch.strided
        if not isinstance(name, str) or not plain or value.device.type != "cpu":
            raise ModelError(f"{path}: {str(name)[:100]} is no plain tensor; fetch the right file.")
    return {name.removeprefix(_PARALLEL): value for name, value in tree.items()}


def _check(tensors: Mapping[str, Tensor], shapes: Shapes, path: Path) -> None:
    """Names, shapes and types; nothing has been copied yet."""
    wrong = [f"{k} missing" for k in shapes if k not in tensors and not k.endswith(COUNTER)]
    for name, tensor in tensors.items():
        shape, counts = tuple(tensor.shape), name.endswith(COUNTER)
        if name not in shapes:
            wrong.append(f"{name[:100]} unexpected")
        elif shape != shapes[name]:
            wrong.append(f"{name} has shape {list(shape)}, expected {list(shapes[name])}")
        elif tensor.is_floating_point() == counts:
            wrong.append(f"{name} has the type {tensor.dtype}")
    if wrong:
        more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise ModelError(
            f"{path} holds another network than its name says: {'; '.join(wrong[:3])}{more}."
        )


def _check_torch() -> None:
    numbers = tuple(int(part) for part in torch.__version__.split(".")[:2] if part.isdecimal())
    if numbers < _TORCH_AT_LEAST:
        wanted = ".".join(str(number) for number in _TORCH_AT_LEAST)
        raise ModelError(
            f"torch {torch.__version__} can be made to run code that hides in .pth files; update "
            f"it to {wanted} or later, or convert the file on another computer."
        )


def _damaged(path: Path, error: BaseException) -> ModelError:
    text = " ".join(str(error).split())[:200] or type(error).__name__
    return ModelError(f"{path} is damaged or no file of tensors ({text}); fetch it again.")
