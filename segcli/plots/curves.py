"""The curves from which a person chooses: explained variance by component, inertia by k."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure

from segcli.plots.figure import BLUE, INK, ORANGE, new_figure, percent_axis, whole_number_axis


def explained_variance(table: pd.DataFrame, weighting: str) -> Figure:
    """Draw each component's share of the variance (left) and the running share (right).

    Parameters
    ----------
    table : DataFrame with columns component, explained_variance_ratio, cumulative
    """
    figure, (left, right) = new_figure(10, 4.2, 2)
    component = table["component"]
    left.plot(component, table["explained_variance_ratio"], "o-", color=BLUE, ms=4, lw=1.2)
    left.set_title("Share of variance, by component", fontsize=11, color=INK)
    right.plot(component, table["cumulative"], "o-", color=BLUE, ms=4, lw=1.2)
    right.set_title("Cumulative share", fontsize=11, color=INK)
    for p in (10, 20, 50, 100):
        if p <= len(table):
            share = float(table["cumulative"].iloc[p - 1])
            right.annotate(
                f"{p}: {share:.0%}",
                (p, share),
                textcoords="offset points",
                xytext=(2, -14),
                ha="right" if p == len(table) else "left",
                fontsize=9,
                color=INK,
            )
    for ax in (left, right):
        ax.set_xlabel("component")
        whole_number_axis(ax)
        percent_axis(ax)
    figure.suptitle(f"Principal components, weighting {weighting}", fontsize=12, color=INK)
    return figure


def inertia(table: pd.DataFrame, n_components: int, weighting: str) -> Figure:
    """Draw inertia by k, as a share of the total variance of the same space, in both spaces.

    Parameters
    ----------
    table : DataFrame with columns k, inertia_reduced_share, inertia_full_share
    """
    figure, (ax,) = new_figure(7.5, 4.4)
    curves = [
        ("inertia_full_share", "full matrix", ORANGE),
        ("inertia_reduced_share", f"{n_components} components", BLUE),
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
