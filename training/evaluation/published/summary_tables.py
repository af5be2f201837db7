"""The tables of a run: scores with floors, action units, leakage; heads name the instruments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from magicface_core.aus import ACTION_UNITS

from ..intervals import Estimate
from ..tables import Cell, Table
from . import edit_table, response
from .edit_table import SCORES
from .instruments import InstrumentChoice
from .summary import Summary

AU_NAMES = {"libreface": "LibreFace", "libreface package": "LibreFace", "embedded": "embedded"}
IDENTITY_NAMES = {"dlib": "dlib", "embedded": "embedded copy of dlib's"}
PARSER_NAMES = {"bisenet": "BiSeNet", "embedded": "embedded parser"}
SCORE_DECIMALS = (3, 3, 3, 3, 2)
PUBLISHED: dict[str, float] = {"au": 0.261, "identity": 0.473, "background": 0.044}
"""The paper's Table I for MagicFace; its head pose comes from FLAME and has no counterpart here."""
LIBREFACE_ONLY = (
    "These numbers are not to be set beside the paper's: it measures with LibreFace and dlib, on "
    "identities and combinations that are not public."
)
AS_PUBLISHED = (
    "The published row was measured on other identities and combinations, which are not public; "
    "its head pose comes from FLAME and is left out."
)


def column_heads(choice: InstrumentChoice) -> dict[str, str]:
    """The head of each score's column, with its instrument."""
    return {
        "au": f"AU MSE ({AU_NAMES.get(choice.au_estimator, choice.au_estimator)})",
        "identity": f"identity L2 ({IDENTITY_NAMES.get(choice.identity, choice.identity)})",
        "background": f"background RMSE ({PARSER_NAMES.get(choice.parser, choice.parser)})",
        "pose": "head pose RMSE, degrees (mesh)",
    }


def score_table(summary: Summary) -> Table:
    """All edits in both variants, groups of edits, and floors."""
    heads = column_heads(summary.choice)
    rows: list[list[Cell]] = [
        [name, *(scores[key] for key in SCORES)] for name, scores in summary.scores.items()
    ]
    rows += [
        [f"floor: {name}", *(scores[key] for key in SCORES)]
        for name, scores in summary.floors.items()
    ]
    notes = [about(summary), failures_note(summary)]
    if summary.choice.as_in_paper:
        published = [PUBLISHED.get(key) for key in SCORES]
        rows.append(["MagicFace, as published", *published])
        notes.append(AS_PUBLISHED)
    else:
        notes.append(LIBREFACE_ONLY)
    head = ["", *(heads[key] for key in SCORES)]
    title = f"{name_of(summary.settings)}: scores"
    return Table(title, head, rows, notes, SCORE_DECIMALS, edit_table.DEFINITIONS)


def unit_table(summary: Summary) -> Table:
    """One row per AU: response slope, linearity, largest leakage, squared error."""
    instrument = AU_NAMES.get(summary.choice.au_estimator, summary.choice.au_estimator)
    rows: list[list[Cell]] = []
    for index, unit in enumerate(ACTION_UNITS):
        rows.append(
            [
                unit.code,
                summary.response.slope(index),
                summary.response.linearity[index],
                *_largest_leak(summary, index),
                summary.au_error[index],
            ]
        )
    head = [
        "AU",
        f"response slope ({instrument})",
        "linearity (r squared)",
        "largest leakage per unit",
        "into",
        "squared error, all edits",
    ]
    title = f"{name_of(summary.settings)}: action units"
    return Table(title, head, rows, definitions=response.DEFINITIONS)


def leakage_table(summary: Summary) -> Table:
    """Rows: the AU asked for; columns: the change of each AU per unit asked."""
    codes = [unit.code for unit in ACTION_UNITS]
    rows: list[list[Cell]] = [
        [code, *map(float, row)] for code, row in zip(codes, summary.response.slopes, strict=True)
    ]
    title = f"{name_of(summary.settings)}: leakage"
    definitions = {"leakage": response.DEFINITIONS["leakage"]}
    return Table(title, ["asked", *codes], rows, (), (2,), definitions)


def about(summary: Summary) -> str:
    """What was measured, in one paragraph: pictures, edits, sampling, what is compared."""
    settings = summary.settings
    sampling, people = settings["sampling"], settings["people"]
    done = summary.people
    planned = len(settings["identities"])
    part = "" if done == planned else f" (unfinished: {done} of {planned} identities)"
    picture = {
        "crop": "the model's own picture against the crop it was shown",
        "pasted": "the pasted result against the same part of the photograph",
    }[settings["measured"]]
    return (
        f"Protocol {settings['protocol']['name']} on {people}{part}; identities {done}, edits "
        f"{summary.edits}: {settings['protocol']['about']}. "
        f"Guidance {sampling['guidance']:g}, {sampling['steps']} steps of {sampling['scheduler']}, "
        f"seed {sampling['seed']}, {sampling['dtype']}. Compared: {picture}."
    )


def failures_note(summary: Summary) -> str:
    """How many faces were not found."""
    failures = summary.failures
    share = failures.share
    text = f"Edits without a detected face: {failures.edits} ({100 * share.value:.1f} %)."
    if failures.sources:
        names = ", ".join(failures.sources)
        text += f" Sources without one, left out of every score: {names}."
    return text


def name_of(settings: Mapping[str, Any]) -> str:
    """The checkpoint's name."""
    return str(settings["checkpoint"]["name"])


def _largest_leak(summary: Summary, index: int) -> tuple[Cell, Cell]:
    row = summary.response.leakage[index]
    if not np.isfinite(row).any():
        return None, "-"
    other = int(np.nanargmax(row))
    place = (index, other)
    value = Estimate(
        float(summary.response.slopes[place]),
        float(summary.response.low[place]),
        float(summary.response.high[place]),
    )
    return value, ACTION_UNITS[other].code
