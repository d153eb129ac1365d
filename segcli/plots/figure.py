"""One look for every picture.

matplotlib is loaded when something is drawn, not before: it takes long, and another process may draw.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE = "#1f5fa8"
ORANGE = "#d9702b"
GREEN = "#3c9a5f"
GREY = "#8a8f98"
LIGHT = "#d5d9e0"
INK = "#2b2f36"

DOTS_PER_INCH = 110


def new_figure(
    width: float,
    height: float,
    n_columns: int = 1,
    n_rows: int = 1,
    *,
    placed: dict[str, float] | None = None,
) -> tuple[Figure, list[Axes]]:
    """Return an empty figure, size in inches, and its axes row by row, from left to right.

    Where the axes stand follows from what is written around them, unless ``placed`` says it in the words
    of matplotlib's GridSpec: to measure many labels takes longer than to draw them.
    """
    from matplotlib.figure import Figure

    figure = Figure(
        figsize=(width, height),
        dpi=DOTS_PER_INCH,
        layout=None if placed else "constrained",
        facecolor="white",
    )
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
    from matplotlib.ticker import PercentFormatter

    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=None))
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


def png(figure: Figure) -> bytes:
    """Return the picture as PNG bytes, the same for the same data."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    buffer = io.BytesIO()
    canvas = FigureCanvasAgg(figure)
    # `Figure.savefig` would draw twice; "Software" would put the library's version into the bytes.
    canvas.print_png(buffer, metadata={"Software": None})  # type: ignore[no-untyped-call]
    return buffer.getvalue()
