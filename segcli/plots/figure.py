"""One look for every picture.

matplotlib is loaded when something is drawn, not before: it takes long, and another process may draw.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE = "#1f5fa8"
ORANGE = "#d9702b"
GREEN = "#3c9a5f"
GREY = "#8a8f98"
LIGHT = "#d5d9e0"
SOFT = "#5c6370"  # for letters: on white, grey ones are too faint to read
INK = "#2b2f36"

DOTS_PER_INCH = 110

WIDEST = 8.6
"""Inches: the page is printed 7.1 inches wide on A4, where letters of 8.5 points then have 7."""

SMALLEST = 8.5
"""Points, of letters in the widest pictures."""

_STEPS = tuple(digit * 10**power for power in range(10) for digit in (1, 5))


@dataclass(frozen=True)
class Margins:
    """What is left around and between axes for what is written there, in inches."""

    left: float = 0.7
    right: float = 0.15
    bottom: float = 0.55
    top: float = 0.4
    columns: float = 0.7
    rows: float = 1.0


def new_figure(
    width: float,
    height: float,
    n_columns: int = 1,
    n_rows: int = 1,
    *,
    margins: Margins = Margins(),
) -> tuple[Figure, list[Axes]]:
    """Return an empty figure, size in inches, and its axes row by row, from left to right.

    The margins are given, not found out: to measure all that is written takes longer than to draw it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, facecolor="white")
    placed = {
        "left": margins.left / width,
        "right": 1 - margins.right / width,
        "bottom": margins.bottom / height,
        "top": 1 - margins.top / height,
        "wspace": margins.columns
        * n_columns
        / (width - margins.left - margins.right - (n_columns - 1) * margins.columns),
        "hspace": margins.rows
        * n_rows
        / (height - margins.bottom - margins.top - (n_rows - 1) * margins.rows),
    }
    grid = figure.subplots(n_rows, n_columns, squeeze=False, gridspec_kw=placed)
    axes = [ax for row in grid for ax in row]
    for ax in axes:
        ax.spines[["top", "right"]].set_visible(False)
        ax.spines[["left", "bottom"]].set_color(GREY)
        ax.tick_params(colors=INK, labelsize=9)
        ax.grid(axis="y", color=LIGHT, linewidth=0.6)
        ax.set_axisbelow(True)
    return figure, axes


def percent_axis(ax: Axes) -> None:
    """Show the vertical axis, from 0, in per cent."""
    percent_labels(ax)
    ax.set_ylim(bottom=0)


def percent_labels(ax: Axes) -> None:
    """Show the vertical axis in per cent, with the decimals that its ticks need."""
    from matplotlib.ticker import FuncFormatter

    ax.yaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{100 * share:g}%"))


def log_percent_axis(ax: Axes, bottom: float) -> None:
    """Show the vertical axis in per cent on a logarithmic scale, from ``bottom``."""
    from matplotlib.ticker import LogLocator, NullLocator

    ax.set_yscale("log")
    ax.set_ylim(bottom=bottom)
    ax.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    percent_labels(ax)
    ax.yaxis.set_minor_locator(NullLocator())


def whole_number_axis(ax: Axes) -> None:
    """Put ticks of the horizontal axis on whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def labelled_segments(k: int, most: int) -> Sequence[int]:
    """Return which of k segments to label on an axis: at most so many, at round numbers."""
    return range(0, k, next(step for step in _STEPS if k <= most * step))


def png(figure: Figure) -> bytes:
    """Return the picture as PNG bytes, the same for the same data."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    canvas = FigureCanvasAgg(figure)
    # `Figure.savefig` would draw twice; "Software" would put the library's version into the bytes.
    canvas.print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()
