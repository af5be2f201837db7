"""Does the person stay the person? Identity distances of single-AU edits of photographs.

Every action unit is asked for alone by +4, on the public-domain photographs in tests/photographs,
on scikit-image's (an astronaut, public domain) and on your own (``--photo FILE``). The distance is
that of dlib's embedding between photograph and pasted edit: 0 the same picture, above 0.6 other
people.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from magicface_training.evaluation.provenance import machine, versions
from PIL import Image

from magicface_core import AUDelta, MagicFace
from magicface_core.aus import AU_ORDER
from magicface_core.pictures.images import load_image, to_tensor

PHOTOGRAPHS = Path(__file__).parents[1] / "tests" / "photographs"
STRENGTH = 4.0


def main(argv: Sequence[str] | None = None) -> int:
    """Command line; prints a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", help="a name, a folder or a file")
    parser.add_argument("--photo", type=Path, action="append", default=[], help="more of them")
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args(argv)
    if args.threads:
        torch.set_num_threads(args.threads)
    model = MagicFace.load(args.model, device="cpu")
    found = {name: distances(model, photo) for name, photo in photographs(args.photo)}
    print("| photograph | median | largest |\n|---|--:|--:|")
    for name, values in found.items():
        worst = max(values, key=values.__getitem__)
        median = statistics.median(values.values())
        print(f"| {name} | {median:.2f} | {values[worst]:.2f} ({worst}) |")
    print(json.dumps({"distances": found, "machine": machine("cpu"), "versions": versions()}))
    return 0


def photographs(more: Sequence[Path]) -> Iterator[tuple[str, Image.Image]]:
    """Names and pictures."""
    from skimage import data

    for path in (*sorted(PHOTOGRAPHS.glob("*.jpg")), *more):
        yield path.stem, load_image(path)
    yield "astronaut", Image.fromarray(data.astronaut())


def distances(model: MagicFace, photo: Image.Image) -> dict[str, float]:
    """Identity distance of every unit's edit, by the unit's name."""
    names = [f"AU{unit}" for unit in AU_ORDER]
    edits = model.edit_many(photo, [AUDelta(**{name: STRENGTH}) for name in names])
    perception = model.perception
    pictures = [to_tensor(each) for each in (photo, *(edit.image for edit in edits))]
    source, *edited = (perception.embed(each, perception.faces(each)[0]) for each in pictures)
    return {
        name: perception.identity_distance(source, embedding)
        for name, embedding in zip(names, edited, strict=True)
    }


if __name__ == "__main__":
    raise SystemExit(main())
