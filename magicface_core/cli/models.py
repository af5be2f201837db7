"""`magicface models`: weights that are not embedded, listed, fetched, checked, converted, removed.

The only command that uses the network, and only for `download`.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..downloads.catalogue import MODELS, Model, ModelFile, find_model
from ..downloads.store import VARIABLE, Store
from ..errors import ModelError
from ..files import check_destination

if TYPE_CHECKING:
    from ..downloads.transport import Access

EVERYTHING = "all"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The actions and their options."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    listing = _action(actions, "list", "names, sizes, licences, places and states")
    listing.add_argument("--json", action="store_true", help="print JSON instead of text")
    fetching = _action(actions, "download", "fetch models, check them, make them loadable", "+")
    fetching.add_argument(
        "--accept-licence",
        action="store_true",
        help="you have read the licences that forbid commercial use, and comply",
    )
    fetching.add_argument("--no-convert", action="store_true", help="leave .pth files as they come")
    _action(actions, "verify", "compare the files with their checksums (default: all)", "*")
    converting = _action(
        actions, "convert", ".pth to safetensors, float16, the prompt's embedding", "+"
    )
    converting.add_argument("--keep", action="store_true", help="keep the originals")
    converting.add_argument(
        "--merge",
        metavar="FILE",
        type=Path,
        help="also write the checkpoint as one .safetensors file, with all that lies in its folder",
    )
    _action(actions, "remove", "delete models, also unfinished downloads", "+")
    _action(actions, "path", "print where the models, or the files of one, are", "?")


def run(args: argparse.Namespace) -> int:
    """Do one action; exit code 2 where a file is missing or damaged."""
    return _ACTIONS[args.action](args, Store.open(args.dir))


def _action(actions: Any, name: str, text: str, names: str | None = None) -> Any:
    parser = actions.add_parser(name, help=text, description=text, allow_abbrev=False)
    parser.add_argument(
        "--dir",
        metavar="FOLDER",
        help=f"model folder, as ComfyUI/models/magicface (default: ${VARIABLE} or a cache folder)",
    )
    if names is not None:
        known = ", ".join(model.name for model in MODELS)
        parser.add_argument("names", nargs=names, metavar="NAME", help=f"{known}, or {EVERYTHING}")
    return parser


# --- list and path --------------------------------------------------------------------------------


def _list(args: argparse.Namespace, store: Store) -> int:
    if args.json:
        print(json.dumps({"folder": str(store.root), "models": _as_dicts(store)}, indent=2))
        return 0
    print(f"model folder: {store.root}")
    for model in MODELS:
        where = sorted({file.target.rpartition("/")[0] for file in model.files})
        print(f"\n{model.name:<18} {_megabytes(model.about):>10}  {store.state(model)}")
        print(f"  {model.purpose}")
        print(f"  licence: {model.licence} ({model.licence_url})")
        print(f"  use:     {_permitted(model)}")
        print(f"  folder:  {', '.join(where)}")
    return 0


def _as_dicts(store: Store) -> list[dict[str, Any]]:
    return [
        {
            "name": model.name,
            "purpose": model.purpose,
            "bytes": model.about,
            "bytes_on_disk": store.size(model),
            "state": store.state(model),
            "licence": model.licence,
            "licence_url": model.licence_url,
            "non_commercial": model.non_commercial,
            "source": model.source,
            "files": [_file_as_dict(store, file) for file in model.files],
        }
        for model in MODELS
    ]


def _file_as_dict(store: Store, file: ModelFile) -> dict[str, Any]:
    return {
        "address": file.address,
        "target": file.target,
        "bytes": file.size or file.about,
        "revision": file.revision,
        "sha256": file.sha256,
        "git_blob": file.git_blob,
        "converted": file.converted,
        "state": store.state_of(file),
    }


def _path(args: argparse.Namespace, store: Store) -> int:
    if args.names is None:
        print(store.root)
        return 0
    for file in find_model(args.names).files:
        ready = store.find(file.converted) if file.converted else None
        print(ready or store.place(file.target))
    return 0


# --- download -------------------------------------------------------------------------------------


def _download(args: argparse.Namespace, store: Store) -> int:
    from ..downloads.transport import Access

    models = _chosen(args.names)
    for model in models:
        _check_licence(model, args.accept_licence)
    access = Access.from_environment()
    for model in models:
        print(f"{model.name}: {model.licence} ({model.licence_url})")
        for file in model.files:
            _fetch(store, file, access)
        if not args.no_convert:
            _make_loadable(store, model)
    return 0


def _check_licence(model: Model, accepted: bool) -> None:
    if model.non_commercial and not accepted:
        raise ModelError(
            f"{model.name} is not for commercial use: {model.licence}. Read {model.licence_url} "
            "and repeat with --accept-licence if you comply."
        )


def _fetch(store: Store, file: ModelFile, access: Access) -> None:
    from ..downloads.download import fetch

    if store.verify(file) in ("ok", "recorded"):
        print(f"  {file.name}: there already")
        return
    store.remove_converted(file)
    with _bytes_bar(file.name, file.size) as bar:

        def report(done: int, total: int | None) -> None:
            bar.total = total or bar.total
            bar.update(done - bar.n)

        record = fetch(store, file, access, report=report)
    print(f"  {file.name}: {_megabytes(record.size)}, sha256 {record.sha256}")
    if record.first_seen:
        print("    no checksum of it was known: this one is recorded and compared from now on")


def _make_loadable(store: Store, model: Model) -> None:
    """The conversions that lose nothing."""
    from ..conversion.convert import convert_model, pending

    if model.conversion == "pickle" and any(pending(store, model)):
        for path in convert_model(store, model):
            print(f"  {path.name}: converted")
    elif model.conversion == "prompt":
        _make_prompt(store, model)
    elif model.conversion == "half" and any(pending(store, model)):
        print(f"  magicface models convert {model.name}: float16, half the disk")


def _make_prompt(store: Store, model: Model) -> None:
    from ..conversion.convert import convert_model
    from ..conversion.prompt import transformers_installed

    if not transformers_installed():
        print(f"  to finish: pip install transformers, then magicface models convert {model.name}")
        return
    for path in convert_model(store, model):
        print(f"  {path.name}: computed; {model.name} may now be removed")


# --- verify, convert, remove ----------------------------------------------------------------------


def _verify(args: argparse.Namespace, store: Store) -> int:
    faults = 0
    for model in _chosen(args.names or [EVERYTHING]):
        if not args.names and store.state(model) == "missing":
            continue
        for file in model.files:
            finding = store.verify(file)
            note = " (no checksum was known: recorded now)" if finding == "recorded" else ""
            print(f"{finding:<9} {file.converted or file.target}{note}")
            faults += finding in ("missing", "corrupt")
    if faults:
        print(f"{faults} to mend: magicface models download NAME", file=sys.stderr)
    return 2 if faults else 0


def _convert(args: argparse.Namespace, store: Store) -> int:
    from ..conversion.convert import convert_model

    models = _chosen(args.names)
    if args.merge is not None:
        _check_merge(models, args.merge)
    for model in models:
        if EVERYTHING in args.names and (
            model.conversion is None or store.state(model) not in ("present", "partial")
        ):
            continue
        if args.merge is not None and store.state(model) == "converted":
            continue
        with _bytes_bar(model.name, None) as bar:
            made = convert_model(store, model, args.keep, bar.update)
        for path in made:
            print(f"{path}: {_megabytes(path.stat().st_size)}")
    if args.merge is not None:
        _merge(store, models[0], args.merge)
    return 0


def _check_merge(models: list[Model], path: Path) -> None:
    """Refuse before the long work what cannot be merged."""
    if len(models) > 1 or models[0].conversion != "half":
        names = ", ".join(model.name for model in models)
        raise ModelError(
            f"--merge makes one file of a checkpoint, not of {names}; run: magicface models "
            f"convert official --merge {path}"
        )
    check_destination(path)


def _merge(store: Store, model: Model, path: Path) -> None:
    from ..network.merged import merge_checkpoint

    folder = store.checkpoint(model.name)
    if folder is None:
        raise ModelError(
            f"{model.name} is {store.state(model)}; run: magicface models download {model.name}"
        )
    merged = merge_checkpoint(folder, path)
    print(f"{merged}: {_megabytes(merged.stat().st_size)}")


def _remove(args: argparse.Namespace, store: Store) -> int:
    for model in _chosen(args.names):
        print(f"{model.name}: {_megabytes(store.remove(model))} freed")
    return 0


_ACTIONS = {
    "list": _list,
    "path": _path,
    "download": _download,
    "verify": _verify,
    "convert": _convert,
    "remove": _remove,
}


def _chosen(names: list[str]) -> list[Model]:
    return list(MODELS) if EVERYTHING in names else [find_model(name) for name in names]


def _permitted(model: Model) -> str:
    return "not commercially" if model.non_commercial else "anyone, within the licence"


def _megabytes(count: int) -> str:
    return f"{count / 1e6:.1f} MB"


@contextmanager
def _bytes_bar(text: str, total: int | None) -> Iterator[Any]:
    """A progress bar on stderr, in bytes."""
    from tqdm import tqdm

    with tqdm(total=total, desc=text, unit="B", unit_scale=True, leave=False) as bar:
        yield bar
