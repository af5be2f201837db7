"""Histograms and bars as pictures, drawn with matplotlib: the same bytes on every run."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOUR, FAINT = "#3f6fd1", "#d0d0d0"
PANEL, TITLE, ROW = (3.4, 2.1), 0.9, 0.36  # inches
DOTS_PER_INCH = 100
LEAST = 0.02  # of the highest bar, so that what is rare can still be seen


@dataclass(frozen=True)
class Panel:
    """The histogram of some values between the first and last of `edges`; those beyond are in the
    outermost bins."""

    title: str
    values: np.ndarray
    edges: np.ndarray
    colour: str = COLOUR

    def counts(self) -> np.ndarray:
        """How many values each bin has."""
        inside = np.clip(self.values, self.edges[0], self.edges[-1])
        return np.histogram(inside, self.edges)[0]


def draw_panels(title: str, note: str, panels: Sequence[Panel], columns: int) -> Figure:
    """Histograms side by side, each with its own height; the highest bin has its count above."""
    rows = -(-len(panels) // columns)
    figure = _figure(title, note, (PANEL[0] * columns, TITLE + PANEL[1] * rows))
    for number, panel in enumerate(panels, start=1):
        _draw_panel(figure.add_subplot(rows, columns, number), panel)
    return figure


def draw_bars(title: str, note: str, counts: Mapping[str, int]) -> Figure:
    """One horizontal bar for each name, with its number."""
    rows = max(len(counts), 1)
    figure = _figure(title, note, (PANEL[0] * 3, TITLE + ROW * rows))
    axes = figure.add_subplot()
    bars = axes.barh(range(len(counts)), list(counts.values()), color=COLOUR)
    axes.bar_label(bars, [f"{count:,}" for count in counts.values()], padding=6)
    axes.set_yticks(range(len(counts)), list(counts))
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_xlim(0, max(1.1 * max(counts.values(), default=0), 1))
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if not counts:
        axes.text(0, 0, "none")
    return figure


def as_png(figure: Figure) -> bytes:
    """The figure as a file, without a note of what wrote it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DOTS_PER_INCH, metadata={"Software": None})
    return buffer.getvalue()


def _figure(title: str, note: str, size: tuple[float, float]) -> Figure:
    """Apart from pyplot, which would keep it and might open a window."""
    from matplotlib.figure import Figure

    figure = Figure(size, layout="constrained")
    figure.suptitle(title, fontsize=16)
    figure.supxlabel(note, fontsize=10)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    counts, edges = panel.counts(), panel.edges
    highest, peak = max(int(counts.max()), 1), int(counts.argmax())
    heights = np.where(counts > 0, np.maximum(counts, LEAST * highest), 0)
    bars = axes.bar(edges[:-1], heights, 0.9 * np.diff(edges), align="edge", color=panel.colour)
    labels = [f"{n:,}" if index == peak and n else "" for index, n in enumerate(counts)]
    axes.bar_label(bars, labels, fontsize=8)
    axes.set_title(panel.title, loc="left", fontsize=10)
    low, high = float(edges[0]), float(edges[-1])
    ticks = (low, (low + high) / 2, high)
    axes.set_xticks(ticks, [f"{tick:+g}" if low < 0 and tick else f"{tick:g}" for tick in ticks])
    axes.set_xlim(low, high)
    axes.set_ylim(0, 1.15 * highest)
    axes.set_yticks([])
    axes.spines[["left", "top", "right"]].set_visible(False)
    if low < 0 < high:
        axes.axvline(0, color=FAINT, zorder=0)
