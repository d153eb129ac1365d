"""report: what each segment is, as text, tables and one page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from segcli import page, plots
from segcli.artifacts import Artifact, Columns, Stage, open_stage, records, refuse_to_lose_names
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
from segcli.engine import Engine
from segcli.numerics import unseen
from segcli.numerics.activity import interactions_by_segment
from segcli.numerics.description import Echo, trouble_with_unseen
from segcli.numerics.levels import choose_level, trouble_with_negatives
from segcli.numerics.marks import marks_of
from segcli.stages.columns import titles_of
from segcli.stages.earlier import Change, Earlier, change_since, read_earlier
from segcli.stages.memory import require_memory_for
from segcli.stages.other_run import given_names
from segcli.stages.profiled_segments import ProfiledSegments, profile
from segcli.stages.segment_tables import (
    by_segment,
    characteristic_items_table,
    grades_table,
    marked_by,
    named_segments_table,
    prototype_text,
    top_items_table,
)
from segcli.words import counted

KEPT_PER_ITEM_AND_SEGMENT = 16
"""Numbers: what `Profiles` and `UnseenProfiles` hold, and what `LogOdds` does of both."""

KEPT_PER_CUSTOMER = 40
"""Numbers: the id, as text, and what else `segments.csv` has; as much again where names are written."""

KEPT_OF_EARLIER = 30
"""Numbers per customer, too, for an earlier run is of about as many: the id, as text, and the segment."""


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
        k = segmentation.k
        require_memory_for(
            stage,
            engine,
            per_customer=KEPT_PER_CUSTOMER + (KEPT_OF_EARLIER if earlier is not None else 0),
            per_item=KEPT_PER_ITEM_AND_SEGMENT * k,
        )
        items = stage.load(ITEMS)
        segments = stage.load(SEGMENTS)
        validation = _load_if_there(stage, VALIDATION)
        clustering = _load_if_there(stage, CLUSTERING)
        given = _names_given(stage, segment_names, segments["segment"], k)
        change = _change_since(stage, earlier, segments, k) if earlier is not None else None
        trouble = trouble_with_unseen(matrix.shape[0], k) or trouble_with_negatives(matrix)
        levels = {"quick": unseen.quick_level(matrix), "full": unseen.FULL}
        level, no_evidence = choose_level(evidence, levels, trouble)

        profiled = profile(matrix, segmentation, segments, engine)
        sizes_plot = _draw_sizes(profiled)
        seed = stage.records.stages["cluster"].seed or 0
        described, echo_null = profiled.describe(n_top, level, seed=seed)
        contrasts = profiled.contrasts()
        marks = marks_of(described.characteristic, matrix.shape[1])

        ids, titles = items["item"], titles_of(items)
        top_items = top_items_table(profiled.profiles, ids, titles, n_top, profiled.ranks.items)
        characteristic = characteristic_items_table(described, contrasts, ids, titles)
        typical = profiled.typical_customers(marks)
        marking = marked_by(characteristic, k)
        names = _names_now(given, marking, change)
        grades = grades_table(clustering or validation, k)
        summary = profiled.summary(marks, contrasts, names, marking, grades)
        moves = change.table() if change is not None else None

        stage.save(TOP_ITEMS, top_items)
        stage.save(CHARACTERISTIC_ITEMS, characteristic)
        stage.save(TYPICAL_CUSTOMERS, typical)
        stage.save(SEGMENT_SUMMARY, summary)
        if page.is_named(records(summary)):
            stage.save(NAMED_SEGMENTS, named_segments_table(segments, list(summary["name"])))
        if moves is not None:
            stage.save(SEGMENT_MOVES, moves)
        stage.save(REPORT_TEXT, prototype_text(profiled.profiles, top_items))
        stage.save(SEGMENT_SIZES_PLOT, sizes_plot.png())
        extent = _extent(profiled)
        found = Report(
            k=k,
            top=n_top,
            segments=tuple(records(summary)),
            n_unassigned=extent.n_unassigned,
            n_disliked=extent.n_disliked,
            echo=described.echo,
            echo_null=echo_null,
            no_evidence=no_evidence,
            since=change.since(names) if change is not None else None,
            wrote=(),
        )
        html = page.render(
            extent=extent,
            tables=_page_tables(found, characteristic, top_items, typical, moves),
            since=found.since,
            unseen=described.unseen,
            echo=found.echo,
            echo_null=found.echo_null,
            validation=validation,
            clustering=clustering,
            components_said=_load_if_there(stage, COMPONENTS_VERDICT),
            k_said=_load_if_there(stage, K_VERDICT),
            recipe=profiled.recipe,
            parameters=_parameters(stage, own),
            pictures=_pictures(stage, sizes_plot.png()),
        )
        stage.save(REPORT_PAGE, html)
    return replace(found, wrote=tuple(stage.writes))


def _extent(profiled: ProfiledSegments) -> page.Extent:
    """Return how large the data are."""
    n_customers, n_items = profiled.matrix.shape
    return page.Extent(
        n_customers=n_customers,
        n_items=n_items,
        n_interactions=int(profiled.matrix.nnz),
        n_unassigned=int((profiled.labels < 0).sum()),
        n_disliked=int((profiled.matrix.data < 0).sum()),
        median_interactions=float(np.median(profiled.activity)),
    )


def _draw_sizes(profiled: ProfiledSegments) -> plots.Drawing:
    """Begin to draw the segments' shares of customers and of interactions."""
    sizes, labels, activity = profiled.profiles.sizes, profiled.labels, profiled.activity
    interactions = interactions_by_segment(activity, labels, len(sizes))
    return plots.draw(plots.segment_sizes, sizes / len(labels), interactions / activity.sum())


def _change_since(
    stage: Stage, earlier: Earlier, segments: Mapping[str, np.ndarray], k: int
) -> Change:
    """Return what has become of the segments of an earlier run, on which the stage then rests."""
    change = change_since(earlier, segments, k)
    stage.note_input("earlier_segments", earlier.folder / SEGMENTS.name)
    stage.note_input("earlier_names", earlier.folder / SEGMENT_SUMMARY.name)
    return change


def _names_given(stage: Stage, path: Path | None, labels: np.ndarray, k: int) -> list[str]:
    """Return the names that a table gives to segments; empty where it gives none, or there is none."""
    if path is None:
        return [""] * k
    from segcli.inputs.segment_names import read_segment_names  # noqa: PLC0415 (seldom)

    names = read_segment_names(path, np.bincount(labels[labels >= 0], minlength=k).tolist())
    stage.note_input("segment_names", path)
    return names


def _names_now(given: list[str], marking: Sequence[str], change: Change | None) -> list[str]:
    """Return the name that a person gave each segment, here or in the earlier run; empty for none."""
    if change is None:
        return given
    own = given_names(given, marking)
    return [name or was for name, was in zip(own, change.names(), strict=True)]


def _load_if_there(stage: Stage, artifact: Artifact[Any, Any]) -> Any:
    return stage.load(artifact) if stage.has(artifact) else None


def _page_tables(
    found: Report,
    characteristic: Columns,
    top_items: Columns,
    typical: Columns,
    moves: Columns | None,
) -> page.Tables:
    return page.Tables(
        summary=found.segments,
        characteristic=by_segment(characteristic, "characteristic"),
        avoided=by_segment(characteristic, "avoided"),
        more=by_segment(characteristic, "more_than_nearest"),
        less=by_segment(characteristic, "less_than_nearest"),
        top_items=by_segment(top_items),
        typical=by_segment(typical),
        moves=records(moves) if moves is not None else [],
    )


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
