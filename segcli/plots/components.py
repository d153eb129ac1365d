"""The curves from which a person chooses the number of components."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from segcli.plots.figure import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LIGHT,
    WIDEST,
    Margins,
    log_percent_axis,
    new_figure,
    percent_axis,
    percent_labels,
    whole_number_axis,
)
from segcli.words import percent_digits

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike


_MARGINS = Margins(top=0.75)


def explained_variance(
    table: Mapping[str, np.ndarray], weighting: str, *, suggestions: Mapping[str, int] | None = None
) -> Figure:
    """Draw each component's share of the variance, the running share, and the evidence if any.

    With evidence, the shares stand on a logarithmic scale above the null's; beside them are the
    errors of predicting held-out blocks, and below, the running share. Green lines mark what each
    suggests.

    Parameters
    ----------
    table : ndarrays component, explained_variance_ratio, cumulative and, with evidence,
        sample_ratio, null_mean, null_limit, prediction_error, null_prediction_error
    suggestions : number of components by ``parallel_analysis`` and ``bi_cross_validation``
    """
    if suggestions:
        figure, (left, right, below, corner) = new_figure(WIDEST, 7.2, 2, 2, margins=_MARGINS)
        corner.remove()
        start, end = below.get_position(), corner.get_position()
        below.set_position((start.x0, start.y0, end.x1 - start.x0, start.height))
        _shares_beside_null(left, table, suggestions["parallel_analysis"])
        _held_out_errors(right, table, suggestions["bi_cross_validation"])
    else:
        figure, (left, below) = new_figure(WIDEST, 4.0, 2, margins=_MARGINS)
        _curve(left, table["component"], table["explained_variance_ratio"])
        percent_axis(left)
    _running_shares(below, table)
    scale = ", log scale" if suggestions else ""
    left.set_title(f"Share of variance, by component{scale}", fontsize=11, color=INK)
    left.set_xlabel("component")
    below.set_xlabel("component")
    for ax in figure.axes:
        whole_number_axis(ax)
    figure.suptitle(f"Principal components, weighting {weighting}", fontsize=12, color=INK)
    return figure


def _shares_beside_null(ax: Axes, table: Mapping[str, np.ndarray], suggested: int) -> None:
    component, limit = table["component"], table["null_limit"]
    positive = [table[name][table[name] > 0] for name in ("sample_ratio", "null_mean")]
    bottom = min((float(shares.min()) for shares in positive if len(shares)), default=1e-4) / 1.5
    ax.fill_between(component, bottom, limit, color=LIGHT, lw=0, label="null: no segments")
    ax.plot(component, table["null_mean"], color=GREY, lw=1)
    _curve(ax, component, table["sample_ratio"], "these data")
    log_percent_axis(ax, bottom)
    _mark(ax, suggested, "parallel analysis")
    _legend(ax, "upper right")


def _running_shares(ax: Axes, table: Mapping[str, np.ndarray]) -> None:
    _curve(ax, table["component"], table["cumulative"])
    digits = percent_digits([float(table["cumulative"].max())], 0)
    ax.set_title("Cumulative share", fontsize=11, color=INK)
    for p in (10, 20, 50, 100):
        if p <= len(table["component"]):
            share = float(table["cumulative"][p - 1])
            ax.annotate(
                f"{p}: {share:.{digits}%}",
                (p, share),
                textcoords="offset points",
                xytext=(-3, 4),
                ha="right",
                fontsize=9,
                color=INK,
            )
    percent_axis(ax)


def _held_out_errors(ax: Axes, table: Mapping[str, np.ndarray], suggested: int) -> None:
    components = [0, *table["component"]]
    null, real = ([1.0, *table[name]] for name in ("null_prediction_error", "prediction_error"))
    _curve(ax, components, null, "null: no segments", GREY)
    _curve(ax, components, real, "these data")
    percent_labels(ax)
    ax.set_title("Error of predicting held-out blocks", fontsize=11, color=INK)
    ax.set_xlabel("components used (none: the items' means)")
    _mark(ax, suggested, "bi-cross-validation")
    _legend(ax, "best")


def _curve(
    ax: Axes, x: ArrayLike, y: ArrayLike, label: str | None = None, color: str = BLUE
) -> None:
    ax.plot(x, y, "o-", color=color, ms=3.5, lw=1.2, label=label)


def _mark(ax: Axes, suggested: int, by: str) -> None:
    ax.axvline(suggested, color=GREEN, lw=1.2, ls="--", label=f"{by}: {suggested}")


def _legend(ax: Axes, where: Literal["upper right", "best"]) -> None:
    """Show the legend on white: a mark may run behind it."""
    ax.legend(fontsize=9, loc=where, facecolor="white", edgecolor="none", framealpha=0.9)
