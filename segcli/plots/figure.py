"""One look for every picture."""

from __future__ import annotations

import io

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

BLUE = "#1f5fa8"
ORANGE = "#d9702b"
GREEN = "#3c9a5f"
GREY = "#8a8f98"
LIGHT = "#d5d9e0"
INK = "#2b2f36"

DOTS_PER_INCH = 110


def new_figure(
    width: float, height: float, n_columns: int = 1, n_rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """Return an empty figure, size in inches, and its axes row by row, from left to right."""
    figure = Figure(
        figsize=(width, height), dpi=DOTS_PER_INCH, layout="constrained", facecolor="white"
    )
    grid = figure.subplots(n_rows, n_columns, squeeze=False)
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
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
    ax.set_ylim(bottom=0)


def whole_number_axis(ax: Axes) -> None:
    """Put ticks of the horizontal axis on whole numbers only."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))


def png(figure: Figure) -> bytes:
    """Return the picture as PNG bytes, the same for the same data."""
    buffer = io.BytesIO()
    canvas = FigureCanvasAgg(figure)
    # `Figure.savefig` would draw twice; "Software" would put the library's version into the bytes.
    canvas.print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()
