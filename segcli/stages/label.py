"""label: the segments of an earlier run, for the customers of this one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from segcli.artifacts import Columns, open_stage, read_artifact
from segcli.artifacts.catalogue import (
    CUSTOMERS,
    ITEMS,
    LABELLING,
    LABELS,
    MATRIX,
    SEGMENT_SUMMARY,
    SEGMENTATION,
    SEGMENTS,
)
from segcli.artifacts.formats import NO_SEGMENT
from segcli.artifacts.manifest import read as read_manifest
from segcli.engine import Engine
from segcli.errors import InputError, RunDirectoryError
from segcli.numerics.labelling import label_customers, places_of
from segcli.numerics.segmentation import Segmentation
from segcli.numerics.weighting import TAKE_NEGATIVES
from segcli.stages.columns import distance_column
from segcli.stages.memory import require_memory_for
from segcli.stages.other_run import given_names, name_of, other_run
from segcli.words import counted, in_percent

KEPT_PER_CUSTOMER = 60
"""Numbers: the id, as text, here and in an earlier run of about as many, the labels, and the distance."""

FAR = 0.95
"""The share of the earlier customers who lie nearer to their segment's center than those far from it."""


@dataclass(frozen=True)
class Labelling:
    """What label found.

    Attributes
    ----------
    segments_from : str, the name of the earlier run's folder
    k : int
    n_customers : int
    segments : tuple of dict
        Per segment: name (what the earlier run's report calls it, "" without one), customers, their share
        of all who are labelled, and share_earlier, the same of the earlier run's customers.
    n_unassigned : int, customers who have none of the items that the segments know
    n_unknown_items : int, items that the segments do not know
    share_unknown : float, the share of all interactions that are with such items; 0 to 1
    median_known : float, the interactions on which a customer's label rests
    median_earlier : float or None, an earlier customer's interactions; None if their matrix is gone
    share_far : float
        Of the customers labelled, those farther from their segment's center than `FAR` of the earlier
        ones: about 0.05 if nothing has changed.
    n_both, n_stayed : int, customers in a segment both times, and of these those in the same
    doubts : tuple of str, what may make the labels wrong
    wrote : tuple of str, the files written
    """

    segments_from: str
    k: int
    n_customers: int
    segments: tuple[dict[str, Any], ...]
    n_unassigned: int
    n_unknown_items: int
    share_unknown: float
    median_known: float
    median_earlier: float | None
    share_far: float
    n_both: int
    n_stayed: int
    doubts: tuple[str, ...]
    wrote: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        assigned = f"{self.n_customers - self.n_unassigned:,} of " if self.n_unassigned else ""
        named = "  name" if any(row["name"] for row in self.segments) else ""
        lines = [
            f"{assigned}{counted(self.n_customers, 'customer')} in the "
            f"{counted(self.k, 'segment')} of {self.segments_from}.",
            f" segment  customers   share  before{named}",
            *(
                f"{row['segment']:>8}  {row['customers']:>9,}  {row['share']:>6.1%}  "
                f"{row['share_earlier']:>6.1%}" + (f"  {row['name']}" if named else "")
                for row in self.segments
            ),
        ]
        if self.n_both:
            stayed = in_percent(self.n_stayed / self.n_both)
            lines.append(
                f"Customers in a segment both times: {self.n_both:,}, of whom {self.n_stayed:,} "
                f"({stayed}) are in the same one."
            )
        if self.n_unassigned:
            are = "has" if self.n_unassigned == 1 else "have"
            lines.append(
                f"{counted(self.n_unassigned, 'customer')} {are} no item that the segments know, and no "
                "segment."
            )
        if self.n_unknown_items:
            are, count = ("is", "counts") if self.n_unknown_items == 1 else ("are", "count")
            lines.append(
                f"{counted(self.n_unknown_items, 'item')}, in {in_percent(self.share_unknown)} of the "
                f"interactions, {are} unknown to the segments and {count} for nothing."
            )
        then = f", {self.median_earlier:g} then" if self.median_earlier is not None else ""
        lines.append(
            f"{in_percent(self.share_far)} of the customers lie farther from their segment's center than "
            f"{FAR:.0%} of those who made it; {1 - FAR:.0%} would be as then. More may mean new tastes, "
            f"fewer interactions (a median of {self.median_known:g} now{then}), or values of another kind."
        )
        lines.extend(self.doubts)
        return lines


def run(run_dir: Path, *, segments_from: Path, engine: Engine) -> Labelling:
    """Read `MATRIX`, and `SEGMENTATION` of an earlier run; write each customer's segment.

    Parameters
    ----------
    segments_from : the run directory of an earlier time

    Raises
    ------
    InputError
        If no item is known to the segments, or there are negative values that they do not take.
    RunDirectoryError
        If the earlier run is this one, or its segments are missing, altered or stale.
    """
    folder = other_run(segments_from, run_dir)
    segmentation: Segmentation = read_artifact(folder, SEGMENTATION)
    earlier = read_artifact(folder, SEGMENTS)
    parameters = {"segments_from": name_of(folder)}
    with open_stage(run_dir, LABELLING, parameters) as stage:
        matrix = stage.load(MATRIX)  # its entries are still on the disk
        require_memory_for(
            stage, engine, per_customer=segmentation.pca.n_components + KEPT_PER_CUSTOMER
        )
        stage.note_input("segmentation", folder / SEGMENTATION.name)
        stage.note_input("earlier_segments", folder / SEGMENTS.name)
        doubts = _doubts(run_dir, folder)
        titles = names = [""] * segmentation.k
        try:
            summary = read_artifact(folder, SEGMENT_SUMMARY)
            titles = summary["name"].tolist()
            names = given_names(titles, summary["marked_by"].tolist())
            stage.note_input("names", folder / SEGMENT_SUMMARY.name)
        except RunDirectoryError as error:
            doubts.append(f"The segments have no names, for {error}")
        _refuse_negatives(matrix, segmentation)
        items = stage.load(ITEMS)["item"].tolist()
        places = places_of(items, segmentation)
        if (places < 0).all():
            msg = (
                f"no item of {run_dir} is known to the segments of {folder}: here '{items[0]}', there "
                f"'{segmentation.items[0]}'. Ids must be written as they were there."
            )
            raise InputError(msg)
        labels, distances, n_known = label_customers(engine.blocks(matrix), segmentation, places)
        customers = stage.load(CUSTOMERS)["customer"]
        was = _labels_of(customers, earlier)
        stage.save(LABELS, labels_table(customers, labels, distances, n_known, was, names))
        is_labelled = labels >= 0
        in_both = is_labelled & (was >= 0)
        found = Labelling(
            segments_from=name_of(folder),
            k=segmentation.k,
            n_customers=len(labels),
            segments=tuple(_segment_rows(labels, earlier["segment"], titles)),
            n_unassigned=int((~is_labelled).sum()),
            n_unknown_items=int((places < 0).sum()),
            share_unknown=1 - int(n_known.sum()) / matrix.nnz,
            median_known=float(np.median(n_known[is_labelled])),
            median_earlier=_median_interactions(folder),
            share_far=float(
                (distances[is_labelled] > np.quantile(earlier["distance"], FAR)).mean()
            ),
            n_both=int(in_both.sum()),
            n_stayed=int((labels == was)[in_both].sum()),
            doubts=tuple(doubts),
            wrote=(),
        )
    return replace(found, wrote=tuple(stage.writes))


def labels_table(
    customers: np.ndarray,
    labels: np.ndarray,
    distances: np.ndarray,
    n_known: np.ndarray,
    earlier_labels: np.ndarray,
    names: list[str],
) -> Columns:
    """Return one row per customer.

    Segment (-1: none) and its name; distance to its center, to six digits; known_items, on how many
    interactions that rests; earlier_segment, empty for who is new.

    Parameters
    ----------
    customers : ndarray of shape (n_customers,), their ids
    labels, distances, n_known : as `segcli.numerics.labelling.label_customers` returns them
    earlier_labels : ndarray of shape (n_customers,), -1 for who was unassigned, -2 for who is new
    names : of each segment; empty where it has none
    """
    texts = {-1: NO_SEGMENT, _NEW: "", **{label: str(label) for label in range(len(names))}}
    return {
        "customer": customers,
        "segment": labels,
        "name": [names[label] if label >= 0 else "" for label in labels.tolist()],
        "distance": distance_column(distances),
        "known_items": n_known,
        "earlier_segment": [texts[label] for label in earlier_labels.tolist()],
    }


_NEW = -2


def _labels_of(customers: np.ndarray, earlier: Mapping[str, np.ndarray]) -> np.ndarray:
    """Return which segment each customer was in: -1 if unassigned, `_NEW` if not there."""
    was = dict(zip(earlier["customer"].tolist(), earlier["segment"].tolist(), strict=True))
    return np.array([was.get(customer, _NEW) for customer in customers.tolist()])


def _segment_rows(
    labels: np.ndarray, earlier: np.ndarray, names: list[str]
) -> list[dict[str, Any]]:
    now, then = (np.bincount(each[each >= 0], minlength=len(names)) for each in (labels, earlier))
    return [
        {
            "segment": segment,
            "name": name,
            "customers": int(now[segment]),
            "share": float(now[segment] / now.sum()),
            "share_earlier": float(then[segment] / then.sum()),
        }
        for segment, name in enumerate(names)
    ]


def _refuse_negatives(matrix: sp.csr_array, segmentation: Segmentation) -> None:
    weighting = segmentation.pca.weighting.name
    n_negative = int((matrix.data < 0).sum())
    if n_negative and weighting not in TAKE_NEGATIVES:
        msg = (
            f"the matrix has {counted(n_negative, 'negative value')}, which {weighting} cannot weight. "
            "Ingest with --negative reject or net, as for the segments."
        )
        raise InputError(msg)


def _doubts(run_dir: Path, folder: Path) -> list[str]:
    """Return what ingest was told otherwise of these interactions than of the earlier ones."""
    here = read_manifest(run_dir).stages["ingest"]
    there = read_manifest(folder).stages.get("ingest")
    if there is None:  # no more may be left of an earlier run than its model
        return []
    options = [
        (name, here.parameters.get(name), there.parameters.get(name))
        for name in ("duplicates", "negative")
    ]
    return [
        f"Doubtful: ingest was told --{name} {now} of these interactions and {then} of the earlier ones, "
        "so their values may differ in meaning."
        for name, now, then in options
        if now != then
    ]


def _median_interactions(folder: Path) -> float | None:
    """Return how many interactions a customer has; None if the matrix is gone."""
    try:
        return float(np.median(np.diff(read_artifact(folder, MATRIX).indptr)))
    except RunDirectoryError:
        return None
