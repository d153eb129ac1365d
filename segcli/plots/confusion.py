"""Confusion matrices, in-sample and cross-validated, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from segcli.numerics.agreement import Agreement
from segcli.plots.figure import INK, Margins, labelled_segments, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CELLS_WITH_NUMBERS = 12
_MOST_TICKS = 30

# Inches: the side of a panel, and what is left around it, with the bar of colours on the right.
_SIDE = 4.45
_MARGINS = Margins(left=0.75, right=1.25, bottom=0.7, top=0.45, columns=0.4)


def confusion_matrix(evaluations: Mapping[str, Agreement]) -> Figure:
    """Draw one panel per evaluation: rows are cluster labels, shaded by the share of the row.

    Of few segments the customers are given in numbers, but where there are none.
    """
    n = len(evaluations)
    width = _MARGINS.left + n * _SIDE + (n - 1) * _MARGINS.columns + _MARGINS.right
    height = _MARGINS.bottom + _SIDE + _MARGINS.top
    figure, axes = new_figure(width, height, n, margins=_MARGINS)
    for ax, (name, result) in zip(axes, evaluations.items(), strict=True):
        counts = result.confusion
        k = len(counts)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = ax.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        ax.grid(visible=False)
        ticks = labelled_segments(k, _MOST_TICKS)
        ax.set_xticks(ticks)
        ax.set_yticks(ticks if ax is axes[0] else [])  # the rows are those of the first
        ax.tick_params(labelsize=8 if k <= 15 else 6)
        ax.set_xlabel("predicted by naive Bayes")
        title = name.replace("_", "-")
        ax.set_title(f"{title}: {result.accuracy:.1%} agree", fontsize=11, color=INK)
        if k <= _MOST_CELLS_WITH_NUMBERS:
            for row, column in np.argwhere(counts):
                dark = shares[row, column] > 0.55
                ax.text(
                    column,
                    row,
                    f"{counts[row, column]:,}",
                    ha="center",
                    va="center",
                    fontsize=7,
                    color="white" if dark else INK,
                )
    axes[0].set_ylabel("segment")
    left, bottom = (width - 0.95) / width, (_MARGINS.bottom + 0.4) / height
    bar = figure.add_axes((left, bottom, 0.18 / width, (_SIDE - 0.8) / height))
    figure.colorbar(image, cax=bar, label="share of the segment's customers")
    return figure
