"""Seconds per edit after loading, and peak memory, as ``magicface edit`` needs them."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch

import magicface_core
from magicface_core import AUDelta, MagicFace
from magicface_core.pictures.images import load_image

TARGET_SECONDS, TARGET_BYTES = 10.0, 1.5e9
PORTRAIT = Path(magicface_core.__file__).parent / "assets" / "portrait.png"
EDITS = (
    AUDelta(AU12=4, AU6=2),
    AUDelta(AU4=4),
    AUDelta(AU1=3, AU2=3, AU5=3, AU26=3),
    AUDelta(AU9=4),
)


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photo", type=Path, default=PORTRAIT, help="default: the package's own")
    parser.add_argument("--checkpoint", default="mini", help='"mini" or a folder')
    parser.add_argument("--threads", type=int, default=0, help="torch's threads (default: its own)")
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    result = measure(args.photo, args.checkpoint)
    print(f"loading      {result['load_seconds']:8.2f} s")
    print(f"first edit   {result['first_seconds']:8.2f} s")
    print(f"median edit  {result['median_seconds']:8.2f} s   (target {TARGET_SECONDS:.0f} s)")
    if result["peak_bytes"]:
        peak, target = (value / 1e9 for value in (result["peak_bytes"], TARGET_BYTES))
        print(f"peak memory  {peak:8.2f} GB  (target {target} GB)")
    print(json.dumps(result))
    return 0


def measure(photo: Path, checkpoint: str) -> dict[str, float]:
    """Whole edits: finding the face, parsing, encoding, sampling, pasting back."""
    start = time.perf_counter()
    model = MagicFace.load(checkpoint)
    picture = load_image(photo)
    loaded = time.perf_counter() - start
    seconds = []
    for delta in EDITS:
        start = time.perf_counter()
        model.edit(picture, delta)
        seconds.append(time.perf_counter() - start)
    return {
        "load_seconds": loaded,
        "first_seconds": seconds[0],  # loads perception on the way
        "median_seconds": statistics.median(seconds[1:]),
        "peak_bytes": peak_bytes(),
        "threads": torch.get_num_threads(),
    }


def peak_bytes() -> int:
    """Largest resident memory of this process so far; 0 where the system does not tell."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    raise SystemExit(main())
