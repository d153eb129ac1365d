"""report: what each segment is, as text, tables and one page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segcli import page, plots
from segcli.artifacts import Stage, open_stage, records
from segcli.artifacts.catalogue import (
    CONFUSION_PLOT,
    EXPLAINED_VARIANCE_PLOT,
    INERTIA_PLOT,
    ITEMS,
    MATRIX,
    REPORT_PAGE,
    REPORT_TEXT,
    SEGMENT_SIZES_PLOT,
    SEGMENT_SUMMARY,
    SEGMENTATION,
    SEGMENTS,
    TOP_ITEMS,
    VALIDATION,
)
from segcli.engine import Engine
from segcli.numerics.profiles import Profiles, profile_segments, top


@dataclass(frozen=True)
class Report:
    """What report wrote.

    Attributes
    ----------
    k : int
    top : int, items listed per segment
    segments : tuple of dict, the rows of segment_summary.csv
    names : tuple of str, each segment's first items, as a person would call them
    wrote : tuple of str, the files written
    """

    k: int
    top: int
    segments: tuple[dict[str, Any], ...]
    names: tuple[str, ...]
    wrote: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        return [
            " segment  customers   share  top items",
            *(
                f"{row['segment']:>8}  {row['customers']:>9,}  {row['share']:>6.1%}  {names}"
                for row, names in zip(self.segments, self.names, strict=True)
            ),
            "Open report.html.",
        ]


def run(run_dir: Path, *, n_top: int, engine: Engine) -> Report:
    """Read all that earlier stages found; write the report as page, text and tables."""
    with open_stage(run_dir, "report", {"top": n_top}) as stage:
        matrix = stage.load(MATRIX)
        items = stage.load(ITEMS)
        segments = stage.load(SEGMENTS)
        k = stage.load(SEGMENTATION).k
        labels = segments["segment"].to_numpy()
        profiles = profile_segments(engine.blocks(matrix), labels, k)
        names = items["name"].where(items["name"] != "", items["item"])
        top_items = top_items_table(profiles, items["item"], names, n_top)
        activity = np.diff(matrix.indptr)
        summary = segment_summary_table(profiles, activity, segments)
        stage.save(TOP_ITEMS, top_items)
        stage.save(SEGMENT_SUMMARY, summary)
        stage.save(REPORT_TEXT, prototype_text(profiles, top_items))
        sizes_plot = plots.segment_sizes(summary)
        stage.save(SEGMENT_SIZES_PLOT, sizes_plot)
        stage.save(REPORT_PAGE, _page(stage, summary, top_items, matrix.shape, activity.sum()))
        return Report(
            k=k,
            top=n_top,
            segments=tuple(records(summary)),
            names=tuple(_names(top_items, k)),
            wrote=tuple(stage.writes),
        )


def top_items_table(
    profiles: Profiles, items: pd.Series, names: pd.Series, n_top: int
) -> pd.DataFrame:
    """Return the items of greatest mean tf-idf in each segment, with how many customers have them."""
    rows = []
    for segment, scores in enumerate(profiles.tfidf):
        for position, column in enumerate(top(scores, min(n_top, len(items)))):
            rows.append(
                {
                    "segment": segment,
                    "rank": position + 1,
                    "item": items[column],
                    "name": names[column],
                    "score": scores[column],
                    "customers": int(profiles.customers[segment, column]),
                    "share": profiles.shares[segment, column],
                }
            )
    return pd.DataFrame(rows)


def segment_summary_table(
    profiles: Profiles, activity: np.ndarray, segments: pd.DataFrame
) -> pd.DataFrame:
    """Return one row per segment: size, activity and tightness.

    Parameters
    ----------
    activity : ndarray of shape (n_customers,), distinct items of each customer
    """
    frame = segments.assign(activity=activity)
    grouped = frame.groupby("segment", sort=True)
    interactions = grouped["activity"].sum()
    return pd.DataFrame(
        {
            "segment": np.arange(len(profiles.sizes)),
            "customers": profiles.sizes,
            "share": profiles.sizes / profiles.sizes.sum(),
            "interactions": interactions.to_numpy(),
            "interactions_share": (interactions / interactions.sum()).to_numpy(),
            "median_interactions": grouped["activity"].median().to_numpy(),
            "total_value": profiles.totals.sum(axis=1),
            "mean_distance": grouped["distance"].mean().to_numpy(),
        }
    )


def prototype_text(profiles: Profiles, top_items: pd.DataFrame) -> str:
    """Return the report in the form of 2015: ``22 (33, 1682)``, then item and score by line."""
    n_items = profiles.tfidf.shape[1]
    lines = []
    for segment, rows in top_items.groupby("segment", sort=True):
        lines.append(f"{segment} ({profiles.sizes[int(str(segment))]}, {n_items})")
        lines.extend(
            f"{name} {score:.6f}" for name, score in zip(rows["name"], rows["score"], strict=True)
        )
        lines.append("")
    return "\n".join(lines)


def _page(
    stage: Stage,
    summary: pd.DataFrame,
    top_items: pd.DataFrame,
    shape: tuple[int, int],
    n_interactions: int,
) -> str:
    pictures = {
        artifact.name: stage.load(artifact)
        for artifact in (EXPLAINED_VARIANCE_PLOT, INERTIA_PLOT, CONFUSION_PLOT)
        if stage.has(artifact)
    }
    return page.render(
        choices=_choices(stage),
        n_customers=shape[0],
        n_items=shape[1],
        n_interactions=int(n_interactions),
        validation=stage.load(VALIDATION) if stage.has(VALIDATION) else None,
        pictures=pictures,
        sizes_plot=plots.png(plots.segment_sizes(summary)),
        summary=records(summary),
        top_items={
            int(str(segment)): records(rows)
            for segment, rows in top_items.groupby("segment", sort=True)
        },
    )


def _choices(stage: Stage) -> list[tuple[str, str, str]]:
    """Return (stage, choice, value) for each choice that the artifacts rest on."""
    rows = []
    for name, record in stage.records.stages.items():
        if name == "report":
            continue
        for parameter, value in record.parameters.items():
            if value is not None and value is not False:
                rows.append((name, parameter.replace("_", " "), str(value)))
        if record.seed is not None:
            rows.append((name, "seed", str(record.seed)))
    return rows


def _names(top_items: pd.DataFrame, k: int, n: int = 3) -> list[str]:
    first = top_items[top_items["rank"] <= n]
    return [", ".join(first.loc[first["segment"] == s, "name"]) for s in range(k)]
