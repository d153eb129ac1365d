"""Confusion matrices, in-sample and cross-validated, side by side."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.figure import Figure

from segcli.numerics.agreement import Agreement
from segcli.plots.figure import INK, new_figure

_MOST_CELLS_WITH_NUMBERS = 12


def confusion_matrix(evaluations: Mapping[str, Agreement]) -> Figure:
    """Draw one panel per evaluation: rows are cluster labels, shaded by the share of the row."""
    figure, axes = new_figure(5.2 * len(evaluations) + 0.8, 5.7, len(evaluations))
    for ax, (name, result) in zip(axes, evaluations.items(), strict=True):
        counts = result.confusion
        k = len(counts)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        image = ax.imshow(shares, vmin=0, vmax=1, cmap="Blues")
        ax.grid(visible=False)
        step = 1 if k <= 30 else 5
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
    figure.colorbar(image, ax=axes, shrink=0.8, label="share of the segment's customers")
    return figure
