"""The tables of the report: one row per segment, or per item or customer that tells what it is.

Figures and names come from the numerics; here is which column has them, and what stands where there are
none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any

import numpy as np

from segcli.artifacts import Columns, from_records, records
from segcli.numerics.activity import interactions_by_segment
from segcli.numerics.description import Contrast, Description
from segcli.numerics.means import nan_mean
from segcli.numerics.profiles import Profiles
from segcli.numerics.ranks import top
from segcli.words import printable

N_IN_NAME = 3


def top_items_table(
    profiles: Profiles, items: np.ndarray, names: np.ndarray, n_top: int, item_ranks: np.ndarray
) -> Columns:
    """Return the items of greatest mean tf-idf in each segment, with how many customers have them.

    ``score`` is that mean, ``share`` the share of the segment's customers who have the item; both 0 to 1.

    Parameters
    ----------
    profiles : of the k segments
    items, names : ndarrays of shape (n_items,), ids and what a person calls them
    n_top : items to list per segment; fewer come back where its customers have fewer
    item_ranks : ndarray of shape (n_items,), from `segcli.numerics.ranks`: who comes first of equals
    """
    rows, shares = [], profiles.shares
    for segment, scores in enumerate(profiles.tfidf):
        had = np.flatnonzero(profiles.customers[segment])
        for position, column in enumerate(had[top(scores[had], n_top, item_ranks[had])]):
            rows.append(
                {
                    "segment": segment,
                    "rank": position + 1,
                    "item": items[column],
                    "name": names[column],
                    "score": float(scores[column]),
                    "customers": int(profiles.customers[segment, column]),
                    "share": float(shares[segment, column]),
                }
            )
    return from_records(rows, _TOP_COLUMNS)


_TOP_COLUMNS = ["segment", "rank", "item", "name", "score", "customers", "share"]


def characteristic_items_table(
    described: Description,
    contrasts: Sequence[Contrast | None],
    items: np.ndarray,
    names: np.ndarray,
) -> Columns:
    """Return the items that mark each segment (characteristic), and those it avoids (avoided).

    After these the items that tell it from the nearest segment: what its customers have more of
    (more_than_nearest), and what less (less_than_nearest). ``share_nearest`` is the share of the nearest
    segment's customers who have the item; all other figures compare with all others, here too.

    The columns from ``unseen_customers`` on are from interactions that a making of the segments did
    not see (`segcli.numerics.unseen`); missing where there are too few to tell. ``times``: how many times
    as large a part of all that customers have the item is in the segment as elsewhere
    (`segcli.numerics.log_odds.LogOdds.times`); ``log_odds`` and ``z`` are what ranks it.

    Parameters
    ----------
    described : which items are listed, and their figures
    contrasts : for each segment how it differs from the nearest; None where there is none
    items, names : ndarrays of shape (n_items,), ids and what a person calls them
    """
    seen, unseen, hidden = described.log_odds, described.unseen, described.unseen_log_odds
    told_apart = [
        (segment, contrast) for segment, contrast in enumerate(contrasts) if contrast is not None
    ]
    nearest = {segment: contrast.nearest for segment, contrast in told_apart}
    lists = [
        *(("characteristic", *pair) for pair in enumerate(described.characteristic)),
        *(("avoided", *pair) for pair in enumerate(described.avoided)),
        *(("more_than_nearest", segment, contrast.more) for segment, contrast in told_apart),
        *(("less_than_nearest", segment, contrast.less) for segment, contrast in told_apart),
    ]
    rows = []
    for kind, segment, listed in lists:
        for position, column in enumerate(listed):
            cell = segment, column
            told = hidden if unseen is not None and unseen.is_enough[column] else None
            beside = nearest.get(segment)
            rows.append(
                {
                    "segment": segment,
                    "kind": kind,
                    "rank": position + 1,
                    "item": items[column],
                    "name": names[column],
                    "times": float(seen.times(*cell)),
                    "log_odds": float(seen.log_odds[cell]),
                    "z": float(seen.z[cell]),
                    "customers": int(seen.customers[cell]),
                    "share": float(seen.share(*cell)),
                    "share_outside": float(seen.share_outside(*cell)),
                    "share_nearest": None if beside is None else float(seen.share(beside, column)),
                    "popularity_rank": int(seen.popularity_rank[column]),
                    "unseen_customers": int(unseen.found[cell]) if unseen is not None else None,
                    "unseen_share": float(told.share(*cell)) if told else None,
                    "unseen_share_outside": float(told.share_outside(*cell)) if told else None,
                    "unseen_times": float(told.times(*cell)) if told else None,
                    "unseen_log_odds": float(told.log_odds[cell]) if told else None,
                }
            )
    return from_records(sorted(rows, key=itemgetter("segment")), _CHARACTERISTIC_COLUMNS)


_CHARACTERISTIC_COLUMNS = [
    *("segment", "kind", "rank", "item", "name", "times", "log_odds", "z", "customers", "share"),
    *("share_outside", "share_nearest", "popularity_rank", "unseen_customers", "unseen_share"),
    *("unseen_share_outside", "unseen_times", "unseen_log_odds"),
]


def typical_customers_table(
    segments: Mapping[str, np.ndarray],
    typical: Sequence[np.ndarray],
    activity: np.ndarray,
    n_marks: np.ndarray,
) -> Columns:
    """Return each segment's most typical customers, the most typical first.

    Parameters
    ----------
    segments : the columns of `segments.csv`
    typical : for each segment, the positions of these customers
    activity : ndarray of shape (n_customers,), distinct items of each customer; column interactions
    n_marks : ndarray of shape (n_customers,)
        Those of them that are listed as the own segment's characteristic ones; column listed.
    """
    rows = []
    for segment, customers in enumerate(typical):
        for position, row in enumerate(customers):
            rows.append(
                {
                    "segment": segment,
                    "rank": position + 1,
                    "customer": segments["customer"][row],
                    "distance": float(segments["distance"][row]),
                    "membership": float(segments["membership"][row]),
                    "interactions": int(activity[row]),
                    "listed": int(n_marks[row]),
                }
            )
    return from_records(rows, _TYPICAL_COLUMNS)


_TYPICAL_COLUMNS = [
    *("segment", "rank", "customer", "distance", "membership", "interactions", "listed"),
]


def named_segments_table(segments: Mapping[str, np.ndarray], names: Sequence[str]) -> Columns:
    """Return each customer's segment and its name; of the unassigned, in segment -1, it is empty.

    Parameters
    ----------
    segments : the columns of `segments.csv`
    names : of each segment
    """
    of_segment = np.array([*names, ""], dtype=object)
    return {
        "customer": segments["customer"],
        "segment": segments["segment"],
        "name": of_segment[segments["segment"]],
    }


def segment_summary_table(
    profiles: Profiles,
    activity: np.ndarray,
    segments: Mapping[str, np.ndarray],
    *,
    having: np.ndarray,
    total_values: np.ndarray,
    sum_of_values: float | None,
    given: Sequence[str],
    marked_by: Sequence[str],
    nearest: Sequence[int | None],
    grades: Columns,
) -> Columns:
    """Return one row per segment: size, activity, tightness, grade and name.

    Shares are from 0 to 1; None stands for what is not known, as the middle of no customers.

    Parameters
    ----------
    profiles : of the k segments
    activity : ndarray of shape (n_customers,), distinct items of each customer
    segments : the columns of `segments.csv`
    having : ndarray of shape (k, 2), customers who have one or more of the items that mark a segment:
        of the segment's, and of all
    total_values : ndarray of shape (k,), the sum of the values of each segment's customers
    sum_of_values : of all customers; None where values below 0 take from it, so that it has no parts
    given : for each segment the name that a person gave it; empty if none did
    marked_by : for each segment what marks it, which is its name otherwise; empty if nothing does
    nearest : for each segment the one that is most like it; None where there is nothing to choose from
    grades : a row per segment with columns stability, grade
    """
    k = len(profiles.sizes)
    labels = segments["segment"]
    interactions = interactions_by_segment(activity, labels, k)
    # A segment may be left without customers: they have no middle.
    members = [np.flatnonzero(labels == segment) for segment in range(k)]

    def middles(middle: Callable[[np.ndarray], Any], values: np.ndarray) -> list[float | None]:
        return [float(middle(values[rows])) if len(rows) else None for rows in members]

    return {
        "segment": np.arange(k),
        "customers": profiles.sizes,
        "share": profiles.sizes / len(labels),
        "interactions": interactions,
        "interactions_share": interactions / activity.sum(),
        "median_interactions": middles(np.median, activity),
        "total_value": total_values,
        "value_share": total_values / sum_of_values if sum_of_values is not None else [None] * k,
        "mean_distance": middles(np.mean, segments["distance"]),
        "mean_membership": middles(nan_mean, segments["membership"]),
        "listed_share": having[:, 0] / np.maximum(profiles.sizes, 1),
        "listed_share_outside": (having[:, 1] - having[:, 0])
        / np.maximum(len(labels) - profiles.sizes, 1),
        "nearest": nearest,
        "stability": grades["stability"],
        "grade": grades["grade"],
        "name": [name or marks for name, marks in zip(given, marked_by, strict=True)],
        "marked_by": marked_by,
    }


def prototype_text(profiles: Profiles, top_items: Columns) -> str:
    """Return the report in the form of 2015: ``22 (33, 1682)``, then item and score by line.

    The first line has the segment, and of how many customers and items the scores are.

    Parameters
    ----------
    profiles : of the k segments
    top_items : as `top_items_table` returns it
    """
    n_items = profiles.tfidf.shape[1]
    lines = []
    rows = by_segment(top_items)
    for segment, size in enumerate(profiles.sizes):
        lines.append(f"{segment} ({size}, {n_items})")
        lines.extend(
            f"{printable(row['name'])} {row['score']:.6f}" for row in rows.get(segment, ())
        )
        lines.append("")
    return "\n".join(lines)


def grades_table(document: Mapping[str, Any] | None, k: int) -> Columns:
    """Return stability and grade of each segment; None and "" where nobody has found them.

    Parameters
    ----------
    document : what `clustering.json` holds, or `validation.json`, which has them from there
    k : int
    """
    found = {row["segment"]: row for row in (document or {}).get("segments", ())}
    rows = [found.get(segment, {}) for segment in range(k)]
    return {
        "stability": [row.get("stability") for row in rows],
        "grade": [row.get("grade") or "" for row in rows],
    }


def marked_by(characteristic: Columns, k: int) -> list[str]:
    """Return the first items that mark each segment, in one text; empty where none does.

    Parameters
    ----------
    characteristic : as `characteristic_items_table` returns it
    k : int
    """
    rows = by_segment(characteristic, "characteristic")
    return ["; ".join(row["name"] for row in rows.get(s, [])[:N_IN_NAME]) for s in range(k)]


def by_segment(table: Columns, kind: str | None = None) -> dict[int, list[dict[str, Any]]]:
    """Return the rows of a table by their segment, in order; only those of a kind if one is named.

    A segment without any has no list.
    """
    found: dict[int, list[dict[str, Any]]] = {}
    for row in records(table):
        if kind is None or row["kind"] == kind:
            found.setdefault(row["segment"], []).append(row)
    return found
