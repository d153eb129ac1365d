"""The evidence for k at a glance: each measure on the data against the same measure on nulls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from segcli.plots.figure import (
    BLUE,
    GREEN,
    GREY,
    INK,
    SMALLEST,
    SOFT,
    WIDEST,
    Margins,
    new_figure,
    whole_number_axis,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_PANELS = (
    (
        "prediction_strength",
        "Prediction strength",
        "would other customers lead to the same segments?",
    ),
    ("transfer_ari", "Transfer ARI", "do items tell the segment? (needed: {transfer_ari:g})"),
    ("held_out_gain", "Held-out gain, bits", "do segments predict hidden interactions?"),
    (
        "jaccard_mean",
        "Jaccard stability",
        "mean (solid), least stable (dotted; needed: {jaccard_mean:g})",
    ),
    ("silhouette", "Silhouette", "how well separated? ({n:,} customers)"),
    ("activity_share", "Activity share", "how much do segments sort by activity alone?"),
)


_HEIGHT = 9.0
_MARGINS = Margins(top=1.25, rows=1.05, columns=0.6)


def k_evidence(
    table: Mapping[str, np.ndarray],
    *,
    thresholds: dict[str, float],
    supported: Sequence[int],
    recommended: int | None,
    n_silhouette: int,
) -> Figure:
    """Draw one panel per measure: blue is the data, grey the nulls, green bands the supported k.

    Parameters
    ----------
    table : ndarrays: ``k`` and, for each measure, ``<measure>``, ``<measure>_null`` and
        perhaps ``<measure>_se``
    thresholds : what ``transfer_ari`` and ``jaccard_mean`` must reach, a dashed line each
    n_silhouette : customers that the silhouette compares with one another
    """
    figure, axes = new_figure(WIDEST, _HEIGHT, 2, 3, margins=_MARGINS)
    for ax, (measure, title, question) in zip(axes, _PANELS, strict=True):
        _curve(ax, table, measure)
        for k in supported:
            label = "supported" if k == supported[0] else None
            ax.axvspan(k - 0.5, k + 0.5, color=GREEN, alpha=0.15, lw=0, zorder=0, label=label)
        if measure in thresholds:
            ax.axhline(thresholds[measure], color=INK, lw=0.8, ls="--")
        ax.set_title(f"{title}\n", fontsize=11, color=INK)
        ax.text(
            0.5,
            1.03,
            question.format(n=n_silhouette, **thresholds),
            transform=ax.transAxes,
            ha="center",
            va="bottom",
            fontsize=SMALLEST,
            color=SOFT,
        )
        ax.set_xlabel("k")
        whole_number_axis(ax)
    verdict = "no supported k" if recommended is None else f"largest supported k: {recommended}"
    figure.suptitle(
        f"Evidence for the number of segments: {verdict}", x=0.06, ha="left", fontsize=13, color=INK
    )
    # Below the title: in any of the panels it may cover curves.
    handles, labels = axes[0].get_legend_handles_labels()
    below = (0.06, 1 - 0.42 / _HEIGHT)
    figure.legend(
        handles,
        labels,
        loc="upper left",
        bbox_to_anchor=below,
        ncols=3,
        frameon=False,
        fontsize=9,
        borderaxespad=0,
        borderpad=0,
    )
    return figure


def _curve(ax: Axes, table: Mapping[str, np.ndarray], measure: str) -> None:
    k, real, null = table["k"], table[measure], table[f"{measure}_null"]
    if f"{measure}_se" in table:
        error = table[f"{measure}_se"]
        ax.fill_between(k, real - error, real + error, color=BLUE, alpha=0.2, lw=0)
    # Not clipped: a perfect score lies on the edge.
    ax.plot(k, null, "o-", color=GREY, ms=3, lw=1, clip_on=False, label="null: no segments")
    ax.plot(k, real, "o-", color=BLUE, ms=3.5, lw=1.3, clip_on=False, label="these data")
    if measure == "jaccard_mean":
        ax.plot(k, table["jaccard_min"], ":", color=BLUE, lw=1.2, clip_on=False)
        ax.plot(k, table["jaccard_min_null"], ":", color=GREY, lw=1, clip_on=False)
    defined = np.concatenate([real, null])
    defined = defined[~np.isnan(defined)]
    ax.set_ylim(bottom=min(0.0, defined.min(initial=0.0)))
    if measure != "held_out_gain":
        # All that is possible: a small share looks small, and a threshold stays in sight.
        ax.set_ylim(top=1.0)
