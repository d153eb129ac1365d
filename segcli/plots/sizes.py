"""How large the segments are, in customers and in interactions."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from segcli.plots.figure import BLUE, INK, LIGHT, new_figure, percent_axis


def segment_sizes(summary: pd.DataFrame) -> Figure:
    """Draw each segment's share of the customers beside its share of the interactions.

    Parameters
    ----------
    summary : DataFrame with columns segment, share, interactions_share
    """
    figure, (ax,) = new_figure(max(6.0, 0.35 * len(summary) + 2.5), 3.8)
    positions = np.arange(len(summary))
    ax.bar(positions - 0.2, summary["share"], 0.4, color=BLUE, label="customers")
    ax.bar(positions + 0.2, summary["interactions_share"], 0.4, color=LIGHT, label="interactions")
    ax.set_xticks(positions, [str(segment) for segment in summary["segment"]])
    ax.set_xlabel("segment")
    ax.set_ylabel("share")
    percent_axis(ax)
    ax.legend(frameon=False, fontsize=9)
    ax.set_title("Size of the segments", fontsize=12, color=INK)
    return figure
