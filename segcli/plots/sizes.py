"""How large the segments are, in customers and in interactions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from segcli.plots.figure import (
    BLUE,
    GREY,
    INK,
    WIDEST,
    Margins,
    labelled_segments,
    new_figure,
    percent_axis,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure


_MOST_TICKS = 27


def segment_sizes(customers: np.ndarray, interactions: np.ndarray) -> Figure:
    """Draw each segment's share of the customers beside its share of the interactions.

    Parameters
    ----------
    customers, interactions : ndarray of shape (k,), shares, 0 to 1
    """
    k = len(customers)
    width = min(max(6.0, 0.35 * k + 2.5), WIDEST)
    figure, (ax,) = new_figure(width, 3.8, margins=Margins(left=0.8))
    positions = np.arange(k)
    ax.bar(positions - 0.2, customers, 0.4, color=BLUE, label="customers")
    ax.bar(positions + 0.2, interactions, 0.4, color=GREY, label="interactions")
    ax.set_xticks(labelled_segments(k, _MOST_TICKS))
    ax.set_xlabel("segment")
    ax.set_ylabel("share")
    percent_axis(ax)
    ax.margins(x=0.01)
    # Above the bars: among many there is no room for it.
    ax.legend(
        frameon=False, fontsize=9, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderpad=0
    )
    ax.set_title("Size of the segments", fontsize=12, color=INK, loc="left")
    return figure
