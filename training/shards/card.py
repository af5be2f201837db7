"""The data card: what the shards hold, as pictures and a page, from the shards alone."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from magicface_core.aus import ACTION_UNITS, AUDelta
from magicface_core.drawing.sheets import Tile, labelled_sheet
from magicface_core.drawing.text import REGION_COLOURS
from magicface_core.expressions.building import region_of
from magicface_core.files import write_file

from .balancing import CHANGE_EDGES
from .errors import require
from .histograms import Panel, as_png, draw_bars, draw_panels
from .manifest import Manifest
from .schema import as_arrays, open_file, read_columns
from .splitting import TRAIN

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER, PAGE = "card", "card.md"
ADVICE = "prepare the shards again"
COLUMNS = (
    "identity_id", "aus_source", "aus_target", "pose_source", "pose_target", "identity_distance",
    "quality",
)  # fmt: skip
EXAMPLES = 6
TILE = 220
NAMED = 3  # changes under an example, the strongest
LEAST_NAMED = 0.25


@dataclass(frozen=True)
class PairColumns:
    """All pairs without pictures: [N] or [N,12] or [N,3] arrays."""

    identity_id: np.ndarray
    aus_source: np.ndarray
    aus_target: np.ndarray
    pose_source: np.ndarray
    pose_target: np.ndarray
    identity_distance: np.ndarray
    quality: np.ndarray

    @property
    def delta(self) -> np.ndarray:
        """Target minus source: [N,12]."""
        return self.aus_target - self.aus_source


def write_card(folder: Path, manifest: Manifest, rejected: Mapping[str, int]) -> Path:
    """Draw the card of a folder of shards into ``card/``; returns the page.

    Raises ShardError for shards that cannot be read or without matplotlib, OutputError for a disk
    that is full.
    """
    require("matplotlib", "data")
    card = folder / FOLDER
    card.mkdir(exist_ok=True)
    pairs = _load(folder, manifest)
    pictures = {
        "deltas": as_png(_deltas(pairs)),
        "expressions": as_png(_expressions(pairs)),
        "poses": as_png(_poses_and_people(pairs)),
        "rejected": as_png(
            draw_bars("Rejected", "frames and whole videos without a record, by reason", rejected)
        ),
        "examples": _png(_examples(folder, manifest)),
    }
    for name, picture in pictures.items():
        write_file(card / f"{name}.png", picture)
    return write_file(card / PAGE, _page(manifest, pairs, rejected))


def _load(folder: Path, manifest: Manifest) -> PairColumns:
    tables = [
        read_columns(path, list(COLUMNS), ADVICE)
        for split in manifest.splits
        for path in manifest.paths(folder, split)
    ]
    read = [as_arrays(table) for table in tables]
    return PairColumns(**{name: np.concatenate([r[name] for r in read]) for name in COLUMNS})


# --- pictures -------------------------------------------------------------------------------------


def _deltas(pairs: PairColumns) -> Figure:
    return draw_panels(
        "Changes of expression",
        "target minus source, pairs with a change of at least 0.25, all splits",
        _unit_panels(pairs.delta, np.linspace(-5, 5, 21), least=0.25),
        columns=4,
    )


def _expressions(pairs: PairColumns) -> Figure:
    return draw_panels(
        "Expressions",
        "intensities of the targets of at least 0.25, all splits",
        _unit_panels(pairs.aus_target, np.linspace(0, 5, 21), least=0.25),
        columns=4,
    )


def _unit_panels(values: np.ndarray, edges: np.ndarray, least: float) -> list[Panel]:
    """A histogram for each AU; the many values near zero would hide all others."""
    panels = []
    for number, unit in enumerate(ACTION_UNITS):
        column = values[:, number]
        kept = column[np.abs(column) >= least]
        title = f"{unit.code}  {unit.plain}"
        panels.append(Panel(title, kept, edges, REGION_COLOURS[region_of(unit)]))
    return panels


def _poses_and_people(pairs: PairColumns) -> Figure:
    turn = np.abs(pairs.pose_target - pairs.pose_source).max(axis=1)
    per_identity = np.array(list(Counter(pairs.identity_id.tolist()).values()))
    most = max(int(per_identity.max()), 10)
    yaw, pitch, roll = pairs.pose_target.T
    panels = [
        Panel("yaw, degrees", yaw, np.linspace(-60, 60, 25)),
        Panel("pitch, degrees", pitch, np.linspace(-60, 60, 25)),
        Panel("roll, degrees", roll, np.linspace(-60, 60, 25)),
        Panel("turn between source and target, degrees", turn, np.linspace(0, 60, 25)),
        Panel("identity distance", pairs.identity_distance, np.linspace(0, 1, 21)),
        Panel("confidence of the action units", pairs.quality, np.linspace(0, 1, 21)),
        Panel("identities by their number of pairs", per_identity, np.linspace(0, most, 21)),
    ]
    return draw_panels("Poses and people", "of the targets, all splits", panels, columns=3)


def _examples(folder: Path, manifest: Manifest) -> Image.Image:
    """Source, target, and background + pose picture of the first pairs that training sees."""
    rows = [
        [
            Tile(_picture(row["source"]), "source", row["identity_id"]),
            Tile(_picture(row["target"]), "target", _change(row)),
            Tile(_picture(row["background"]), "background + pose", "of the target"),
        ]
        for row in _first_rows(folder, manifest)
    ]
    return labelled_sheet(rows, "Pairs", TILE)


def _first_rows(folder: Path, manifest: Manifest) -> Iterator[dict[str, Any]]:
    left = EXAMPLES
    columns = ["identity_id", "source", "target", "background", "aus_source", "aus_target"]
    for split in sorted(manifest.splits, key=lambda name: name != TRAIN):
        for path in manifest.paths(folder, split):
            with open_file(path, ADVICE) as file:
                rows = file.read_row_group(0, columns=columns).slice(0, left).to_pylist()
            yield from rows
            left -= len(rows)
            if not left:
                return


def _change(row: Mapping[str, Any]) -> str:
    """The strongest changes in words; of intensities, which differ by at most 5."""
    changes = np.subtract(row["aus_target"], row["aus_source"]).round(1)
    least = max(np.sort(np.abs(changes))[-NAMED], LEAST_NAMED)
    return AUDelta.from_values(np.where(np.abs(changes) >= least, changes, 0)).label()


def _picture(png: bytes) -> Image.Image:
    with Image.open(io.BytesIO(png)) as picture:
        return picture.convert("RGB")


def _png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


# --- page -----------------------------------------------------------------------------------------


def _page(manifest: Manifest, pairs: PairColumns, rejected: Mapping[str, int]) -> str:
    return "\n".join(
        [
            "# Data card",
            "",
            f"Licence of the videos: {', '.join(manifest.licences)}.",
            "",
            f"Consent of the people shown: {manifest.consent}.",
            "",
            f"Data `{manifest.sha256}`, pictures of {manifest.picture_size} x "
            f"{manifest.picture_size} pixels.",
            "",
            *_split_table(manifest),
            "",
            *_count_lines(manifest),
            "",
            "![Pairs](examples.png)",
            "",
            "## Changes of expression",
            "",
            "![Changes of expression](deltas.png)",
            "",
            *_unit_table(pairs),
            "",
            "![Expressions](expressions.png)",
            "",
            "## Poses and people",
            "",
            "![Poses and people](poses.png)",
            "",
            *_enlargement_lines(manifest),
            "## Rejected",
            "",
            "![Rejected](rejected.png)",
            "",
            *_table(("reason", "frames or videos"), rejected.items()),
            "",
            "## Made with",
            "",
            *_table(("what", "version"), manifest.versions.items()),
            "",
        ]
    )


def _split_table(manifest: Manifest) -> list[str]:
    rows = [
        (split, manifest.counts["identities"][split], manifest.counts["pairs"][split], len(shards))
        for split, shards in manifest.splits.items()
    ]
    return _table(("split", "identities", "pairs", "shards"), rows)


def _count_lines(manifest: Manifest) -> list[str]:
    counts = manifest.counts
    return [
        f"{counts['videos']:,} videos, {counts['videos_with_frames']:,} with usable frames; "
        f"{counts['frames']:,} frames; {counts['candidates']:,} candidate pairs."
    ]


def _enlargement_lines(manifest: Manifest) -> list[str]:
    """How far small faces were enlarged; none for shards that do not tell."""
    counts = manifest.counts.get("enlarged")
    if not counts:
        return []
    return [
        "## Size of the faces",
        "",
        "The published crop is 512 pixels wide; smaller faces are enlarged to it, and drawn less "
        "often. Frames in pairs by how many times they were enlarged:",
        "",
        *_table(("times", "frames"), counts.items()),
        "",
    ]


def _unit_table(pairs: PairColumns) -> list[str]:
    """How many pairs weaken and strengthen each AU, in the bins that balancing uses."""
    names = ("-3 and below", "-3 to -1", "-1 to 1", "1 to 3", "3 and above")
    bins = np.digitize(pairs.delta, CHANGE_EDGES)
    rows = [
        (unit.code, unit.name, *np.bincount(bins[:, number], minlength=len(names)).tolist())
        for number, unit in enumerate(ACTION_UNITS)
    ]
    return _table(("AU", "name", *names), rows)


def _table(head: tuple[str, ...], rows: Any) -> list[str]:
    cells = [[f"{c:,}" if isinstance(c, int) else str(c) for c in row] for row in rows]
    lines = [list(head), ["---"] * len(head), *cells]
    return ["| " + " | ".join(line) + " |" for line in lines]
