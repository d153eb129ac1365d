"""Confusion matrices, in-sample and cross-validated, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from segcli.numerics.agreement import Agreement
from segcli.plots.figure import INK, SMALLEST, WIDEST, Margins, labelled_segments, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CELLS_WITH_NUMBERS = 12
_DIGIT, _COMMA = 0.64, 0.32  # how wide they are, as parts of the letters' size

# Inches: what is left around the panels, with the bar of colours on the right.
_MARGINS = Margins(left=0.7, right=1.15, bottom=0.7, top=0.45, columns=0.35)


def confusion_matrix(evaluations: Mapping[str, Agreement]) -> Figure:
    """Draw one panel per evaluation: rows are cluster labels, shaded by the share of the row.

    Of few segments the customers are given in numbers, but where there are none, if the numbers have room.
    """
    n = 2  # in-sample and cross-validated
    side = (WIDEST - _MARGINS.left - (n - 1) * _MARGINS.columns - _MARGINS.right) / n
    width = WIDEST - (n - len(evaluations)) * (side + _MARGINS.columns)
    height = _MARGINS.bottom + side + _MARGINS.top
    figure, axes = new_figure(width, height, len(evaluations), margins=_MARGINS)
    for ax, (name, result) in zip(axes, evaluations.items(), strict=True):
        counts = result.confusion
        k = len(counts)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = ax.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        ax.grid(visible=False)
        ticks = labelled_segments(k, int(side / (_width(k - 1) + 0.04)))
        ax.set_xticks(ticks)
        ax.set_yticks(ticks if ax is axes[0] else [])  # the rows are those of the first
        ax.tick_params(labelsize=SMALLEST)
        ax.set_xlabel("predicted by naive Bayes")
        title = name.replace("_", "-")
        ax.set_title(f"{title}: {result.accuracy:.1%} agree", fontsize=11, color=INK)
        if k <= _MOST_CELLS_WITH_NUMBERS and _width(counts.max()) <= side / k:
            for row, column in np.argwhere(counts):
                dark = shares[row, column] > 0.55
                ax.text(
                    column,
                    row,
                    f"{counts[row, column]:,}",
                    ha="center",
                    va="center",
                    fontsize=SMALLEST,
                    color="white" if dark else INK,
                )
    axes[0].set_ylabel("segment")
    left, bottom = (width - 0.95) / width, (_MARGINS.bottom + 0.4) / height
    bar = figure.add_axes((left, bottom, 0.18 / width, (side - 0.8) / height))
    figure.colorbar(image, cax=bar, label="share of the segment's customers")
    return figure


def _width(number: int) -> float:
    """Return how wide a number is in the smallest letters, in inches."""
    n_digits = len(str(number))
    return (n_digits * _DIGIT + (n_digits - 1) // 3 * _COMMA) * SMALLEST / 72
