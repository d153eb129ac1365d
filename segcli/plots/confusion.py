"""Confusion matrices, in-sample and cross-validated, side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from segcli.numerics.agreement import Agreement
from segcli.plots.figure import INK, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST_CELLS_WITH_NUMBERS = 12
_MOST_TICKS = 30
_STEPS = (1, 5, 10, 50, 100, 500, 1000, 5000, 10000)

# Inches: the side of a panel, and what is left, below, above, between and right of panels.
_SIDE, _LEFT, _BOTTOM, _TOP, _BETWEEN, _RIGHT = 4.45, 0.75, 0.7, 0.45, 0.4, 1.25


def confusion_matrix(evaluations: Mapping[str, Agreement]) -> Figure:
    """Draw one panel per evaluation: rows are cluster labels, shaded by the share of the row."""
    n = len(evaluations)
    width = _LEFT + n * _SIDE + (n - 1) * _BETWEEN + _RIGHT
    height = _BOTTOM + _SIDE + _TOP
    placed = {
        "left": _LEFT / width,
        "right": 1 - _RIGHT / width,
        "bottom": _BOTTOM / height,
        "top": 1 - _TOP / height,
        "wspace": _BETWEEN / _SIDE,
    }
    figure, axes = new_figure(width, height, n, placed=placed)
    for ax, (name, result) in zip(axes, evaluations.items(), strict=True):
        counts = result.confusion
        k = len(counts)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = ax.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        ax.grid(visible=False)
        step = next(step for step in _STEPS if k <= _MOST_TICKS * step)
        ax.set_xticks(range(0, k, step))
        ax.set_yticks(range(0, k, step))
        ax.tick_params(labelsize=8 if k <= 15 else 6)
        ax.set_xlabel("predicted by naive Bayes")
        title = name.replace("_", "-")
        ax.set_title(f"{title}: {result.accuracy:.1%} agree", fontsize=11, color=INK)
        if k <= _MOST_CELLS_WITH_NUMBERS:
            for row in range(k):
                for column in range(k):
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
    for ax in axes[1:]:  # the rows are those of the first
        ax.tick_params(labelleft=False)
    bar = figure.add_axes(
        ((width - 0.95) / width, (_BOTTOM + 0.4) / height, 0.18 / width, (_SIDE - 0.8) / height)
    )
    figure.colorbar(image, cax=bar, label="share of the segment's customers")
    return figure
