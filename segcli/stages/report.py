"""report: what each segment is, as text, tables and one page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from segcli import page, plots
from segcli.artifacts import (
    Artifact,
    Columns,
    Stage,
    from_records,
    open_stage,
    records,
    refuse_to_lose_names,
)
from segcli.artifacts.catalogue import (
    CHARACTERISTIC_ITEMS,
    CLUSTERING,
    COMPONENTS_VERDICT,
    CONFUSION_PLOT,
    EXPLAINED_VARIANCE_PLOT,
    INERTIA_PLOT,
    ITEMS,
    K_EVIDENCE_PLOT,
    K_VERDICT,
    MATRIX,
    NAMED_SEGMENTS,
    REPORT_PAGE,
    REPORT_TEXT,
    SEGMENT_MOVES,
    SEGMENT_SIZES_PLOT,
    SEGMENT_SUMMARY,
    SEGMENTATION,
    SEGMENTS,
    TOP_ITEMS,
    TYPICAL_CUSTOMERS,
    VALIDATION,
)
from segcli.engine import Block, Blocks, Engine
from segcli.engine.sparse_views import with_values
from segcli.numerics.description import (
    Contrast,
    Description,
    Echo,
    contrast_segments,
    describe_segments,
    null_echo,
    trouble_with_unseen,
)
from segcli.numerics.levels import choose_level, trouble_with_negatives
from segcli.numerics.means import nan_mean
from segcli.numerics.profiles import Profiles, profile_segments
from segcli.numerics.ranks import Ranks, rank, top
from segcli.numerics.recipe import Recipe
from segcli.numerics.typical import typical_customers
from segcli.stages.earlier import change_since, read_earlier
from segcli.stages.memory import require_memory_for
from segcli.stages.other_run import given_names
from segcli.words import counted, printable

ROUNDS = {"quick": 5, "full": 10}
"""Rounds of hiding interactions, by how much evidence is asked for."""

KEPT_PER_ITEM_AND_SEGMENT = 16
"""Numbers: what `Profiles` and `UnseenProfiles` hold, and what `LogOdds` does of both."""

KEPT_PER_CUSTOMER = 40
"""Numbers: the id, as text, and what else `segments.csv` has; as much again where names are written."""

KEPT_OF_EARLIER = 30
"""Numbers per customer, too, for an earlier run is of about as many: the id, as text, and the segment."""

N_AVOIDED = 5
N_CONTRASTED = 3
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
    n_disliked : int, interactions of a value below 0: who has what is said without them
    echo, echo_null : Echo or None
        How far the items that mark the segments do so on interactions that the making of the segments
        did not see, and the same on data without segments.
    no_evidence : str or None, why nothing is known of that, if it was not ruled out
    since : Since or None, what has become of an earlier run's segments and their names
    wrote : tuple of str, the files written
    """

    k: int
    top: int
    segments: tuple[dict[str, Any], ...]
    n_unassigned: int
    n_disliked: int
    echo: Echo | None
    echo_null: Echo | None
    no_evidence: str | None
    since: page.Since | None
    wrote: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        width = max(len("grade"), *(len(row["grade"] or "-") for row in self.segments))
        title = "name" if page.is_named(self.segments) else "what marks it"
        lines = [f" segment  customers   share  {'grade':<{width}}  {title}"]
        lines.extend(
            f"{row['segment']:>8}  {row['customers']:>9,}  {row['share']:>6.1%}  "
            f"{row['grade'] or '-':<{width}}  "
            f"{row['name'] or '(' + page.nameless_in_words(row['customers']) + ')'}"
            for row in self.segments
        )
        if self.n_unassigned:
            are = "is" if self.n_unassigned == 1 else "are"
            lines.append(f"{counted(self.n_unassigned, 'customer')} {are} unassigned.")
        lines.extend(page.same_names_in_words(self.segments))
        if self.n_disliked:
            lines.append(page.disliked_in_words(self.n_disliked))
        if self.since is not None:
            lines.extend(page.since_in_words(self.since))
        if self.echo is not None:
            lines.append(page.echo_in_words(self.echo, self.echo_null))
        if self.no_evidence is not None:
            lines.append(self.no_evidence)
        lines.append("Open report.html.")
        return lines


def run(
    run_dir: Path,
    *,
    n_top: int,
    segment_names: Path | None = None,
    segment_names_from: Path | None = None,
    evidence: str | None,
    engine: Engine,
) -> Report:
    """Read all that earlier stages found; write the report as page, text and tables.

    Parameters
    ----------
    n_top : items to list for each segment
    segment_names : a table of the names that a person gives segments, as `read_segment_names` takes it
    segment_names_from : the run directory of an earlier time, whose names go over to the segments that
        are the same, unless ``segment_names`` has others for them

    Raises
    ------
    ChoiceError
        If these data cannot bear the evidence that is asked for.
    InputError
        If the names are not those of these segments.
    RunDirectoryError
        If the earlier run has no names, or none of these customers; as `refuse_to_lose_names`.
    """
    earlier = read_earlier(segment_names_from, run_dir) if segment_names_from else None
    own = {
        "top": n_top,
        "segment_names": segment_names.name if segment_names is not None else None,
        "segment_names_from": earlier.run if earlier is not None else None,
        "evidence": evidence,
    }
    with open_stage(run_dir, "report", own) as stage:
        refuse_to_lose_names(run_dir)
        matrix = stage.load(MATRIX)  # its entries are still on the disk
        segmentation = stage.load(SEGMENTATION)
        require_memory_for(
            stage,
            engine,
            per_customer=KEPT_PER_CUSTOMER + (KEPT_OF_EARLIER if earlier is not None else 0),
            per_item=KEPT_PER_ITEM_AND_SEGMENT * segmentation.k,
        )
        items = stage.load(ITEMS)
        segments = stage.load(SEGMENTS)
        validation = _load_if_there(stage, VALIDATION)
        clustering = _load_if_there(stage, CLUSTERING)
        k, labels = segmentation.k, segments["segment"]
        given = _names_given(stage, segment_names, labels, k)
        change = None
        if earlier is not None:
            change = change_since(earlier, segments, k)
            stage.note_input("earlier_segments", earlier.folder / SEGMENTS.name)
            stage.note_input("earlier_names", earlier.folder / SEGMENT_SUMMARY.name)
        rated = engine.blocks(matrix)
        ranks = rank(rated)
        recipe = Recipe.of(segmentation.pca)
        seed = stage.records.stages["cluster"].seed or 0
        trouble = trouble_with_negatives(matrix)
        X = rated if trouble is None else engine.blocks(liked_of(matrix))
        trouble = trouble_with_unseen(matrix.shape[0], k) or trouble
        level, no_evidence = choose_level(evidence, ROUNDS, trouble)
        n_rounds = level or 0
        profiles = profile_segments(X, labels, k)
        total_values = profiles.totals.sum(axis=1)
        if X is not rated:  # what is disliked counts there, too
            total_values = profile_segments(rated, labels, k).totals.sum(axis=1)
        activity = np.diff(matrix.indptr)
        sizes_plot = plots.draw(
            plots.segment_sizes,
            profiles.sizes / len(labels),
            interactions_by_segment(activity, labels, k) / activity.sum(),
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

        names = np.where(items["name"] != "", items["name"], items["item"])
        top_items = top_items_table(profiles, items["item"], names, n_top, ranks.items)
        contrasts = contrast_segments(
            profiles, segmentation.centers, ranks=ranks, n_items=N_CONTRASTED
        )
        characteristic = characteristic_items_table(described, contrasts, items["item"], names)
        marks = _marks(described.characteristic, matrix.shape[1])
        (n_marks,) = X.map_rows(_count_own_marks, marks, labels)
        typical = typical_customers_table(segments, k, matrix, n_marks, ranks)
        marked_by = _marked_by(characteristic, k)
        if change is not None:
            own_names = given_names(given, marked_by)
            given = [name or was for name, was in zip(own_names, change.names(), strict=True)]
        summary = segment_summary_table(
            profiles,
            activity,
            segments,
            having=_having_any(X, marks, labels),
            total_values=total_values,
            value_shares=_value_shares(matrix, total_values),
            given=given,
            marked_by=marked_by,
            nearest=[contrast.nearest if contrast else None for contrast in contrasts],
            grades=_grades(validation, clustering, k),
        )
        stage.save(TOP_ITEMS, top_items)
        stage.save(CHARACTERISTIC_ITEMS, characteristic)
        stage.save(TYPICAL_CUSTOMERS, typical)
        stage.save(SEGMENT_SUMMARY, summary)
        if page.is_named(records(summary)):
            stage.save(NAMED_SEGMENTS, named_segments_table(segments, list(summary["name"])))
        if change is not None:
            stage.save(SEGMENT_MOVES, change.table())
        stage.save(REPORT_TEXT, prototype_text(profiles, top_items))
        stage.save(SEGMENT_SIZES_PLOT, sizes_plot.png())
        found = Report(
            k=k,
            top=n_top,
            segments=tuple(records(summary)),
            n_unassigned=int((labels < 0).sum()),
            n_disliked=int((matrix.data < 0).sum()),
            echo=echo,
            echo_null=echo_null,
            no_evidence=no_evidence,
            since=change.since(given) if change is not None else None,
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
                    n_disliked=found.n_disliked,
                    median_interactions=float(np.median(activity)),
                ),
                tables=page.Tables(
                    summary=found.segments,
                    characteristic=_by_segment(characteristic, "characteristic"),
                    avoided=_by_segment(characteristic, "avoided"),
                    more=_by_segment(characteristic, "more_than_nearest"),
                    less=_by_segment(characteristic, "less_than_nearest"),
                    top_items=_by_segment(top_items),
                    typical=_by_segment(typical),
                    moves=records(change.table()) if change is not None else [],
                ),
                since=found.since,
                unseen=described.unseen,
                echo=echo,
                echo_null=echo_null,
                validation=validation,
                clustering=clustering,
                components_said=_load_if_there(stage, COMPONENTS_VERDICT),
                k_said=_load_if_there(stage, K_VERDICT),
                recipe=recipe,
                parameters=_parameters(stage, own),
                pictures=_pictures(stage, sizes_plot.png()),
            ),
        )
    return replace(found, wrote=tuple(stage.writes))


def _names_given(stage: Stage, path: Path | None, labels: np.ndarray, k: int) -> list[str]:
    """Return the names that a table gives to segments; empty where it gives none, or there is none."""
    if path is None:
        return [""] * k
    from segcli.inputs.segment_names import read_segment_names  # noqa: PLC0415 (seldom)

    names = read_segment_names(path, np.bincount(labels[labels >= 0], minlength=k).tolist())
    stage.note_input("segment_names", path)
    return names


def liked_of(matrix: sp.csr_array) -> sp.csr_array:
    """Return what customers have without what they dislike, which has a value below 0."""
    liked = with_values(matrix, np.maximum(matrix.data, 0)).copy()
    liked.eliminate_zeros()
    return liked


def top_items_table(
    profiles: Profiles, items: np.ndarray, names: np.ndarray, n_top: int, item_ranks: np.ndarray
) -> Columns:
    """Return the items of greatest mean tf-idf in each segment, with how many customers have them.

    Fewer than ``n_top`` where the segment's customers have fewer.
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
                    "share": float(seen.share[cell]),
                    "share_outside": float(seen.share_outside[cell]),
                    "share_nearest": None if beside is None else float(seen.share[beside, column]),
                    "popularity_rank": int(seen.popularity_rank[column]),
                    "unseen_customers": int(unseen.found[cell]) if unseen is not None else None,
                    "unseen_share": float(told.share[cell]) if told else None,
                    "unseen_share_outside": float(told.share_outside[cell]) if told else None,
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
    k: int,
    matrix: sp.csr_array,
    n_marks: np.ndarray,
    ranks: Ranks,
) -> Columns:
    """Return each segment's most typical customers.

    ``interactions`` are the customer's items, ``listed`` those of them that are listed as the
    segment's characteristic ones, ``n_marks`` of all customers.
    """
    found = typical_customers(
        segments["segment"],
        segments["distance"],
        k,
        n_marks=n_marks,
        customer_ranks=ranks.customers,
        n=N_TYPICAL,
    )
    rows = []
    for segment, customers in enumerate(found):
        for position, row in enumerate(customers):
            rows.append(
                {
                    "segment": segment,
                    "rank": position + 1,
                    "customer": segments["customer"][row],
                    "distance": float(segments["distance"][row]),
                    "membership": float(segments["membership"][row]),
                    "interactions": int(matrix.indptr[row + 1] - matrix.indptr[row]),
                    "listed": int(n_marks[row]),
                }
            )
    return from_records(rows, _TYPICAL_COLUMNS)


_TYPICAL_COLUMNS = [
    *("segment", "rank", "customer", "distance", "membership", "interactions", "listed"),
]


def interactions_by_segment(activity: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Return how many distinct items each segment's customers have, added up, shape (k,)."""
    assigned = labels >= 0
    return np.bincount(labels[assigned], activity[assigned], minlength=k).astype(np.int64)


def _value_shares(matrix: sp.csr_array, total_values: np.ndarray) -> list[float | None]:
    """Return each segment's part of the sum of all values; None where values below 0 take from it."""
    if trouble_with_negatives(matrix) is not None:
        return [None] * len(total_values)
    return list(total_values / matrix.data.sum())


def named_segments_table(segments: Mapping[str, np.ndarray], names: Sequence[str]) -> Columns:
    """Return each customer's segment and its name; of the unassigned there is none."""
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
    value_shares: Sequence[float | None],
    given: Sequence[str],
    marked_by: Sequence[str],
    nearest: Sequence[int | None],
    grades: Columns,
) -> Columns:
    """Return one row per segment: size, activity, tightness, grade and name.

    Parameters
    ----------
    activity : ndarray of shape (n_customers,), distinct items of each customer
    having : ndarray of shape (k, 2), customers who have one or more of the items that mark a segment:
        of the segment's, and of all
    total_values : ndarray of shape (k,), the sum of the values of each segment's customers
    value_shares : of each segment, its part of the sum of all values, 0 to 1; None where there is none
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
        "value_share": value_shares,
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
    """Return the report in the form of 2015: ``22 (33, 1682)``, then item and score by line."""
    n_items = profiles.tfidf.shape[1]
    lines = []
    rows = _by_segment(top_items)
    for segment, size in enumerate(profiles.sizes):
        lines.append(f"{segment} ({size}, {n_items})")
        lines.extend(
            f"{printable(row['name'])} {row['score']:.6f}" for row in rows.get(segment, ())
        )
        lines.append("")
    return "\n".join(lines)


def _load_if_there(stage: Stage, artifact: Artifact[Any, Any]) -> Any:
    return stage.load(artifact) if stage.has(artifact) else None


def _grades(
    validation: Mapping[str, Any] | None, clustering: Mapping[str, Any] | None, k: int
) -> Columns:
    """Return stability and grade of each segment; None and "" where nobody has found them."""
    document = clustering or validation or {}  # the second has them from the first
    found = {row["segment"]: row for row in document.get("segments", ())}
    rows = [found.get(segment, {}) for segment in range(k)]
    return {
        "stability": [row.get("stability") for row in rows],
        "grade": [row.get("grade") or "" for row in rows],
    }


def _marks(characteristic: Sequence[np.ndarray], n_items: int) -> sp.csr_array:
    """Return 1 where an item marks a segment, of shape (n_items, k)."""
    items = np.concatenate([np.zeros(0, dtype=np.int64), *characteristic])
    ends = np.cumsum([0, *map(len, characteristic)])
    shape = (n_items, len(characteristic))
    return sp.csr_array(sp.csc_array((np.ones(len(items)), items, ends), shape))


def _having_any(X: Blocks, marks: sp.csr_array, labels: np.ndarray) -> np.ndarray:
    """Return how many customers have any of the items that mark a segment.

    Of shape (k, 2): of the segment's customers, and of all customers.
    """
    (counts,) = X.map_sum(_count_having_any, marks, labels)
    return counts


def _count_having_any(block: Block, marks: sp.csr_array, labels: np.ndarray) -> tuple[np.ndarray]:
    has_any = _count_marks(block, marks) > 0
    inside = labels[block.rows][:, None] == np.arange(marks.shape[1])
    return (np.stack([(has_any & inside).sum(axis=0), has_any.sum(axis=0)], axis=1),)


def _count_own_marks(block: Block, marks: sp.csr_array, labels: np.ndarray) -> tuple[np.ndarray]:
    """Return how many of the items that mark the own segment each customer has.

    Of the unassigned it says nothing.
    """
    own, counts = labels[block.rows], _count_marks(block, marks)
    return (counts[np.arange(len(own)), own],)


def _count_marks(block: Block, marks: sp.csr_array) -> np.ndarray:
    """Return how many of the items that mark each segment a customer has, of shape (n, k)."""
    matrix = block.matrix
    counts = with_values(matrix, np.ones(matrix.nnz)) @ marks
    return np.asarray(counts.toarray().astype(np.int32))


def _marked_by(characteristic: Columns, k: int) -> list[str]:
    """Return the first items that mark each segment, in one text."""
    rows = _by_segment(characteristic, "characteristic")
    return ["; ".join(row["name"] for row in rows.get(s, [])[:N_IN_NAME]) for s in range(k)]


def _pictures(stage: Stage, sizes_plot: bytes) -> dict[str, bytes]:
    pictures = {
        artifact.name: stage.load(artifact)
        for artifact in (K_EVIDENCE_PLOT, EXPLAINED_VARIANCE_PLOT, INERTIA_PLOT, CONFUSION_PLOT)
        if stage.has(artifact)
    }
    return {**pictures, SEGMENT_SIZES_PLOT.name: sizes_plot}


def _parameters(stage: Stage, own: Mapping[str, Any]) -> list[page.Parameter]:
    """Return each parameter that the artifacts rest on, this stage's own last."""
    rows: list[page.Parameter] = []
    for name, record in stage.records.stages.items():
        # As this stage ran before, or as one did on which nothing here rests.
        if name == stage.name or stage.records.outdated(name) is not None:
            continue
        rows.extend(page.Parameter(name, *pair) for pair in _given(record.parameters))
        if record.seed is not None:
            rows.append(page.Parameter(name, "seed", record.seed))
    return rows + [page.Parameter(stage.name, *pair) for pair in _given(own)]


def _given(parameters: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return [(name, value) for name, value in parameters.items() if value is not None]


def _by_segment(table: Columns, kind: str | None = None) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for row in records(table):
        if kind is None or row["kind"] == kind:
            found.setdefault(row["segment"], []).append(row)
    return found
