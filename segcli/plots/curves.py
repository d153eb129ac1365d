"""The curve that k-means is judged by: inertia by k."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from segcli.plots.figure import (
    BLUE,
    INK,
    ORANGE,
    Margins,
    new_figure,
    percent_axis,
    whole_number_axis,
)
from segcli.words import counted

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure


def inertia(table: Mapping[str, np.ndarray], n_components: int, weighting: str) -> Figure:
    """Draw inertia by k, as a share of the total variance of the same space, in both spaces.

    Parameters
    ----------
    table : ndarrays k, inertia_reduced_share, inertia_full_share
    """
    figure, (ax,) = new_figure(7.5, 4.4, margins=Margins(left=0.9))
    curves = [
        ("inertia_full_share", "full matrix", ORANGE),
        ("inertia_reduced_share", counted(n_components, "component"), BLUE),
    ]
    for column, label, color in curves:
        ax.plot(table["k"], table[column], "o-", color=color, ms=3.5, lw=1.2, label=label)
    ax.set_xlabel("k, number of segments")
    ax.set_ylabel("inertia, share of the total variance\nof the same space")
    whole_number_axis(ax)
    percent_axis(ax)
    ax.set_ylim(0, max(1.0, ax.get_ylim()[1]))
    ax.legend(frameon=False, fontsize=9)
    ax.set_title(f"k-means inertia, weighting {weighting}", fontsize=12, color=INK)
    return figure
