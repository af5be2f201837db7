"""`magicface doctor`: what this installation has, and what it lacks; or whether a photo is fit."""

from __future__ import annotations

import argparse
import json
import os
import platform
from dataclasses import asdict
from importlib import import_module, metadata
from typing import Any

from .. import __version__
from . import options
from .embedded import AssetState, embedded_assets
from .messages import RELEASED_WEIGHTS
from .options import available_devices

REQUIRED = ("torch", "diffusers", "numpy", "Pillow", "safetensors", "tqdm")
MODULES = {"Pillow": "PIL"}
OPTIONAL = {"numba": "faster synthetic faces", "accelerate": "training"}

PROBLEM = 1

FULL_QUALITY = (
    f"1. magicface models download official sd15-vae sd15-text-encoder   ({RELEASED_WEIGHTS})",
    "2. magicface edit PHOTO --au AU12=4 -o OUT.png --model official",
    "without a network: magicface models list --json names the files, magicface models path "
    "where they go",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """PHOTO with --face, --model and --parser; --json."""
    parser.add_argument(
        "photo",
        metavar="PHOTO",
        nargs="?",
        help="a photograph to check for an edit, instead of the installation; exit code 1 where it "
        "has a problem",
    )
    options.add_face_number(parser)
    parser.add_argument(
        "--model",
        default="mini",
        metavar="NAME|PATH",
        help='the checkpoint whose framing is meant: "mini" (default), "official", folder or file',
    )
    options.add_backends(parser, "parser")
    parser.add_argument("--json", action="store_true", help="print JSON instead of text")


def run(args: argparse.Namespace) -> int:
    """Collect and print; exit code 2 where a required or embedded part is missing or damaged.

    With a photograph: exit code 1 where an edit of it will fail or look wrong.
    """
    if args.photo is not None:
        return _check_photo(args)
    report = collect()
    print(json.dumps(report, indent=2) if args.json else as_text(report))
    return 2 if report["faults"] else 0


def _check_photo(args: argparse.Namespace) -> int:
    from ..framing.framing import Framing, single_picture
    from ..network.finding import resolve_checkpoint
    from ..network.merged import open_parts
    from ..pictures.images import load_image
    from ..preflight.checks import preflight

    picture = single_picture(load_image(args.photo))
    framing = Framing.of(open_parts(resolve_checkpoint(args.model)).info())
    report = preflight(picture, options.load_perception(args), face=args.face, framing=framing)
    if args.json:
        print(json.dumps({"photo": args.photo, **report.to_json()}, indent=2))
    else:
        print(f"{args.photo}: {report.to_text()}")
    return 0 if report.ok else PROBLEM


def collect() -> dict[str, Any]:
    """Everything the command reports, as JSON types."""
    packages = {name: _version(name) for name in REQUIRED}
    assets = embedded_assets()
    faults = [fault for name in REQUIRED if (fault := _package_fault(name, packages[name]))]
    faults += [_asset_fault(asset) for asset in assets if asset.state in ("missing", "changed")]
    return {
        "magicface": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": packages,
        "optional": {name: _version(name) for name in OPTIONAL},
        **_devices(),
        "embedded": [asset.as_dict() for asset in assets],
        "backends": _backends(),
        "full_quality_weights": list(FULL_QUALITY),
        "faults": faults,
    }


def as_text(report: dict[str, Any]) -> str:
    """The report for people."""
    lines = [
        f"magicface {report['magicface']}, Python {report['python']}, {report['platform']}",
        "device    " + ", ".join(_device_lines(report)),
        "packages  " + ", ".join(f"{k} {v or 'MISSING'}" for k, v in report["packages"].items()),
    ]
    for name, version in report["optional"].items():
        state = version or f"not installed ({OPTIONAL[name]}): pip install {name}"
        lines.append(f"optional  {name} {state}")
    lines += ["embedded"]
    for asset in report["embedded"]:
        size = f"{asset['bytes'] / 1e6:8.2f} MB"
        lines.append(f"  {size}  sha256 {asset['state']:<8} {asset['file']}")
    lines += ["perception (* is what auto takes)", *map(_backend_line, report["backends"])]
    lines += ["not embedded: the full-quality weights (7 GB)"]
    lines += [f"  {line}" for line in report["full_quality_weights"]]
    return "\n".join([*lines, *(f"FAULT: {fault}" for fault in report["faults"])])


def _device_lines(report: dict[str, Any]) -> list[str]:
    threads = f"{report['threads']} torch threads on {report['cores']} cores"
    return [*report["devices"], threads]


def _devices() -> dict[str, Any]:
    if _version("torch") is None:
        return {"devices": [], "threads": 0, "cores": os.cpu_count()}
    import torch

    return {
        "devices": list(available_devices()),
        "threads": torch.get_num_threads(),
        "cores": os.cpu_count(),
    }


def _backends() -> list[dict[str, Any]]:
    if _version("torch") is None:
        return []
    from ..perception.backends import TITLES, backend_states

    return [{**asdict(state), "part": TITLES[state.part]} for state in backend_states()]


def _backend_line(backend: dict[str, Any]) -> str:
    mark = "*" if backend["automatic"] else "-" if backend["obstacle"] else " "
    wanted = f"; to use it: {backend['obstacle']}" if backend["obstacle"] else ""
    return f"  {mark} {backend['part']:<13} {backend['name']:<17} {backend['about']}{wanted}"


def _package_fault(name: str, version: str | None) -> str | None:
    if version is None:
        return f"{name} is not installed: pip install {name}"
    try:
        import_module(MODULES.get(name, name))
    except (ImportError, OSError, RuntimeError) as error:
        return f"{name} {version} is installed but cannot be imported: {error}"
    return None


def _asset_fault(asset: AssetState) -> str:
    return f"embedded file {asset.file} is {asset.state}: reinstall the package"


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
