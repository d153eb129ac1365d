"""report: what each segment is, as text, tables and one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from segcli import page, plots
from segcli.artifacts import Artifact, Stage, open_stage, records
from segcli.artifacts.catalogue import (
    CHARACTERISTIC_ITEMS,
    CLUSTERING,
    CONFUSION_PLOT,
    EXPLAINED_VARIANCE_PLOT,
    INERTIA_PLOT,
    ITEMS,
    K_EVIDENCE_PLOT,
    MATRIX,
    REPORT_PAGE,
    REPORT_TEXT,
    SEGMENT_SIZES_PLOT,
    SEGMENT_SUMMARY,
    SEGMENTATION,
    SEGMENTS,
    TOP_ITEMS,
    TYPICAL_CUSTOMERS,
    VALIDATION,
)
from segcli.engine import Block, Blocks, Engine
from segcli.numerics.description import Description, Echo, describe_segments, null_echo
from segcli.numerics.levels import choose_level
from segcli.numerics.profiles import Profiles, profile_segments, top
from segcli.numerics.ranks import Ranks, rank
from segcli.numerics.recipe import Recipe
from segcli.numerics.typical import typical_customers
from segcli.stages.memory import require_memory_for

ROUNDS = {"quick": 5, "full": 10}
"""Rounds of hiding interactions, by how much evidence is asked for."""

N_AVOIDED = 5
N_TYPICAL = 5
N_IN_NAME = 3


@dataclass(frozen=True)
class Report:
    """What report wrote.

    Attributes
    ----------
    k : int
    top : int, items listed per segment
    segments : tuple of dict, the rows of segment_summary.csv; None for what is not known
    n_unassigned : int, customers in no segment
    echo, echo_null : Echo or None
        How far the items that mark the segments do so on interactions that the making of the segments
        did not see, and the same on data without segments.
    wrote : tuple of str, the files written
    """

    k: int
    top: int
    segments: tuple[dict[str, Any], ...]
    n_unassigned: int
    echo: Echo | None
    echo_null: Echo | None
    wrote: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        width = max(len("grade"), *(len(row["grade"] or "-") for row in self.segments))
        lines = [f" segment  customers   share  {'grade':<{width}}  what marks it"]
        lines.extend(
            f"{row['segment']:>8}  {row['customers']:>9,}  {row['share']:>6.1%}  "
            f"{row['grade'] or '-':<{width}}  {row['name'] or '(no item stands out)'}"
            for row in self.segments
        )
        if self.n_unassigned:
            lines.append(f"{self.n_unassigned:,} customers are unassigned.")
        if self.echo is not None:
            lines.append(page.echo_in_words(self.echo, self.echo_null))
        lines.append("Open report.html.")
        return lines


def run(run_dir: Path, *, n_top: int, evidence: str | None, engine: Engine) -> Report:
    """Read all that earlier stages found; write the report as page, text and tables."""
    with open_stage(run_dir, "report", {"top": n_top, "evidence": evidence}) as stage:
        require_memory_for(stage, engine)
        matrix = stage.load(MATRIX)
        items = stage.load(ITEMS)
        segments = stage.load(SEGMENTS)
        segmentation = stage.load(SEGMENTATION)
        validation = _load_if_there(stage, VALIDATION)
        clustering = _load_if_there(stage, CLUSTERING)
        k, labels = segmentation.k, segments["segment"].to_numpy()
        X = engine.blocks(matrix)
        ranks = rank(X)
        recipe = Recipe(segmentation.pca.weighting.name, segmentation.pca.n_components)
        seed = stage.record_of("cluster").seed or 0
        n_rounds = choose_level(evidence, ROUNDS, None)[0] or 0
        profiles = profile_segments(X, labels, k)
        activity = np.diff(matrix.indptr)
        sizes_plot = plots.draw(
            plots.segment_sizes,
            profiles.sizes / len(labels),
            interactions_by_segment(activity, labels, k) / max(activity.sum(), 1),
        )
        described = describe_segments(
            matrix,
            profiles,
            labels,
            recipe,
            ranks=ranks,
            seed=seed,
            n_items=n_top,
            n_avoided=N_AVOIDED,
            n_rounds=n_rounds,
            engine=engine,
        )
        echo, echo_null = described.echo, None
        if echo is not None:
            echo_null = null_echo(
                matrix,
                k,
                recipe,
                ranks=ranks,
                seed=seed,
                n_items=n_top,
                n_rounds=n_rounds,
                engine=engine,
            )

        names = items["name"].where(items["name"] != "", items["item"])
        top_items = top_items_table(profiles, items["item"], names, n_top, ranks.items)
        characteristic = characteristic_items_table(described, items["item"], names)
        typical = typical_customers_table(segments, k, matrix, described, ranks)
        summary = segment_summary_table(
            profiles,
            activity,
            segments,
            listed=_having_any(X, described.characteristic, labels),
            names=_names(characteristic, k),
            grades=_grades(validation, clustering, k),
        )
        stage.save(TOP_ITEMS, top_items)
        stage.save(CHARACTERISTIC_ITEMS, characteristic)
        stage.save(TYPICAL_CUSTOMERS, typical)
        stage.save(SEGMENT_SUMMARY, summary)
        stage.save(REPORT_TEXT, prototype_text(profiles, top_items))
        stage.save(SEGMENT_SIZES_PLOT, sizes_plot.png())
        found = Report(
            k=k,
            top=n_top,
            segments=tuple(records(summary)),
            n_unassigned=int((labels < 0).sum()),
            echo=echo,
            echo_null=echo_null,
            wrote=(),
        )
        stage.save(
            REPORT_PAGE,
            page.render(
                extent=page.Extent(
                    n_customers=matrix.shape[0],
                    n_items=matrix.shape[1],
                    n_interactions=int(matrix.nnz),
                    n_unassigned=found.n_unassigned,
                    median_interactions=float(np.median(activity)),
                ),
                tables=page.Tables(
                    summary=found.segments,
                    characteristic=_by_segment(characteristic, "characteristic"),
                    avoided=_by_segment(characteristic, "avoided"),
                    top_items=_by_segment(top_items),
                    typical=_by_segment(typical),
                ),
                unseen=described.unseen,
                echo=echo,
                echo_null=echo_null,
                validation=validation,
                clustering=clustering,
                weighting=recipe.weighting,
                n_components=recipe.n_components,
                parameters=_parameters(stage),
                pictures=_pictures(stage, sizes_plot.png()),
            ),
        )
    return Report(**{**vars(found), "wrote": tuple(stage.writes)})


def top_items_table(
    profiles: Profiles, items: pd.Series, names: pd.Series, n_top: int, item_ranks: np.ndarray
) -> pd.DataFrame:
    """Return the items of greatest mean tf-idf in each segment, with how many customers have them."""
    rows = []
    for segment, scores in enumerate(profiles.tfidf):
        for position, column in enumerate(top(scores, min(n_top, len(items)), item_ranks)):
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


def characteristic_items_table(
    described: Description, items: pd.Series, names: pd.Series
) -> pd.DataFrame:
    """Return the items that mark each segment (characteristic) and those it avoids (avoided).

    The columns from ``unseen_customers`` on are from interactions that a making of the segments did
    not see (`segcli.numerics.unseen`); NaN where there are too few to tell.
    """
    seen, unseen, hidden = described.log_odds, described.unseen, described.unseen_log_odds
    rows = []
    for kind in ("characteristic", "avoided"):
        for segment, listed in enumerate(getattr(described, kind)):
            for position, column in enumerate(listed):
                cell = segment, column
                told = unseen is not None and bool(unseen.is_enough[cell])
                rows.append(
                    {
                        "segment": segment,
                        "kind": kind,
                        "rank": position + 1,
                        "item": items[column],
                        "name": names[column],
                        "log_odds": seen.log_odds[cell],
                        "z": seen.z[cell],
                        "customers": int(seen.customers[cell]),
                        "share": seen.share[cell],
                        "share_outside": seen.share_outside[cell],
                        "popularity_rank": int(seen.popularity_rank[column]),
                        "unseen_customers": int(unseen.found[cell]) if unseen is not None else None,
                        "unseen_share": hidden.share[cell] if told and hidden else np.nan,
                        "unseen_share_outside": hidden.share_outside[cell]
                        if told and hidden
                        else np.nan,
                        "unseen_log_odds": hidden.log_odds[cell] if told and hidden else np.nan,
                    }
                )
    table = pd.DataFrame(rows, columns=_CHARACTERISTIC_COLUMNS)
    table["unseen_customers"] = table["unseen_customers"].astype("Int64")
    return table.sort_values(["segment"], kind="stable", ignore_index=True)


_CHARACTERISTIC_COLUMNS = [
    *("segment", "kind", "rank", "item", "name", "log_odds", "z", "customers", "share"),
    *("share_outside", "popularity_rank", "unseen_customers", "unseen_share"),
    *("unseen_share_outside", "unseen_log_odds"),
]


def typical_customers_table(
    segments: pd.DataFrame, k: int, matrix: sp.csr_array, described: Description, ranks: Ranks
) -> pd.DataFrame:
    """Return each segment's customers nearest to its center.

    ``interactions`` are the customer's items, ``listed`` those of them that are listed as the
    segment's characteristic ones.
    """
    membership = segments["membership"].to_numpy() if "membership" in segments else None
    rows = []
    for found in typical_customers(
        segments["segment"].to_numpy(),
        segments["distance"].to_numpy(),
        k,
        customer_ranks=ranks.customers,
        n=N_TYPICAL,
        membership=membership,
    ):
        listed = described.characteristic[found.segment]
        for position, row in enumerate(found.customers):
            own = matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]]
            rows.append(
                {
                    "segment": found.segment,
                    "rank": position + 1,
                    "customer": segments["customer"][row],
                    "distance": found.distances[position],
                    "membership": np.nan
                    if found.membership is None
                    else found.membership[position],
                    "interactions": len(own),
                    "listed": int(np.isin(listed, own).sum()),
                }
            )
    columns = ["segment", "rank", "customer", "distance", "membership", "interactions", "listed"]
    return pd.DataFrame(rows, columns=columns)


def interactions_by_segment(activity: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Return how many distinct items each segment's customers have, added up, shape (k,)."""
    assigned = labels >= 0
    return np.bincount(labels[assigned], activity[assigned], minlength=k).astype(np.int64)


def segment_summary_table(
    profiles: Profiles,
    activity: np.ndarray,
    segments: pd.DataFrame,
    *,
    listed: np.ndarray,
    names: Sequence[str],
    grades: pd.DataFrame,
) -> pd.DataFrame:
    """Return one row per segment: size, activity, tightness, name and grade.

    Parameters
    ----------
    activity : ndarray of shape (n_customers,), distinct items of each customer
    listed : ndarray of shape (k,), customers who have one or more of the segment's listed items
    names : for each segment a name made of what marks it; empty if nothing does
    grades : a row per segment with columns stability, grade
    """
    k = len(profiles.sizes)
    frame = segments.assign(activity=activity)
    grouped = frame[frame["segment"] >= 0].groupby("segment", sort=True)
    everyone = range(k)  # a segment may be left without customers
    interactions = interactions_by_segment(activity, segments["segment"].to_numpy(), k)
    membership = (
        grouped["membership"].mean().reindex(everyone).to_numpy()
        if "membership" in frame
        else np.full(k, np.nan)
    )
    return pd.DataFrame(
        {
            "segment": np.arange(k),
            "customers": profiles.sizes,
            "share": profiles.sizes / len(segments),
            "interactions": interactions,
            "interactions_share": interactions / max(activity.sum(), 1),
            "median_interactions": grouped["activity"].median().reindex(everyone).to_numpy(),
            "total_value": profiles.totals.sum(axis=1),
            "mean_distance": grouped["distance"].mean().reindex(everyone).to_numpy(),
            "mean_membership": membership,
            "listed_share": listed / np.maximum(profiles.sizes, 1),
            "stability": grades["stability"].to_numpy(),
            "grade": grades["grade"].to_numpy(),
            "name": list(names),
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


def _load_if_there(stage: Stage, artifact: Artifact[Any, Any]) -> Any:
    return stage.load(artifact) if stage.has(artifact) else None


def _grades(
    validation: Mapping[str, Any] | None, clustering: Mapping[str, Any] | None, k: int
) -> pd.DataFrame:
    """Return stability and grade of each segment; NaN and "" where nobody has found them."""
    found: dict[int, Mapping[str, Any]] = {}
    for document in (clustering, validation):
        for row in (document or {}).get("segments", ()):
            if row.get("grade"):
                found[row["segment"]] = row
    rows = [found.get(segment, {}) for segment in range(k)]
    return pd.DataFrame(
        {
            "stability": pd.Series([row.get("stability") for row in rows], dtype=np.float64),
            "grade": [row.get("grade") or "" for row in rows],
        }
    )


def _having_any(X: Blocks, characteristic: Sequence[np.ndarray], labels: np.ndarray) -> np.ndarray:
    """Return how many of each segment's customers have any of the items that mark it."""
    marks = np.zeros((len(characteristic) + 1, X.shape[1]), dtype=bool)
    for segment, items in enumerate(characteristic):
        marks[segment, items] = True
    (counts,) = X.map_sum(_count_having_any, marks, labels)
    return counts


def _count_having_any(block: Block, marks: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray]:
    own, matrix = labels[block.rows], block.matrix
    rows = np.repeat(np.arange(len(own)), np.diff(matrix.indptr))
    hits = np.unique(rows[marks[own[rows], matrix.indices]])  # -1 is the last row: no marks
    return (np.bincount(own[hits], minlength=len(marks) - 1),)


def _names(characteristic: pd.DataFrame, k: int) -> list[str]:
    """Return a name for each segment: the first items that mark it."""
    table = characteristic[characteristic["kind"] == "characteristic"]
    first = table[table["rank"] <= N_IN_NAME]
    return ["; ".join(first.loc[first["segment"] == s, "name"]) for s in range(k)]


def _pictures(stage: Stage, sizes_plot: bytes) -> dict[str, bytes]:
    pictures = {
        artifact.name: stage.load(artifact)
        for artifact in (K_EVIDENCE_PLOT, EXPLAINED_VARIANCE_PLOT, INERTIA_PLOT, CONFUSION_PLOT)
        if stage.has(artifact)
    }
    return {**pictures, SEGMENT_SIZES_PLOT.name: sizes_plot}


def _parameters(stage: Stage) -> list[page.Parameter]:
    """Return each parameter that the artifacts rest on."""
    rows = []
    for name, record in stage.records.stages.items():
        if name == "report":
            continue
        for parameter, value in record.parameters.items():
            if value is not None and value is not False:
                rows.append(page.Parameter(name, parameter, value))
        if record.seed is not None:
            rows.append(page.Parameter(name, "seed", record.seed))
    return rows


def _by_segment(table: pd.DataFrame, kind: str | None = None) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in records(table if kind is None else table[table["kind"] == kind]):
        found.setdefault(row["segment"], []).append(row)
    return found
