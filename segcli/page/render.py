"""Fill the page's template."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from segcli.numerics import log_odds, moves, score_norm
from segcli.numerics.description import Echo
from segcli.numerics.recipe import Recipe
from segcli.numerics.stability import GRADES, NOT_TRUSTED, graded
from segcli.numerics.unseen import LEAST_CUSTOMERS, UnseenProfiles
from segcli.numerics.validation import no_evidence_in_words, unassigned_in_words
from segcli.numerics.verdict import LEAST_STABILITY, LEAST_TRANSFER
from segcli.numerics.weighting import DEFAULT, DESCRIPTIONS
from segcli.page import alternatives, words
from segcli.words import amount, counted, decimal, in_percent, printable

Rows = Sequence[Mapping[str, Any]]

LEAST_TOGETHER = 0.5
"""Below this, what the rounds say of a segment is said of another one."""

PAGE_WIDTH = 84
"""Of how many characters figures have room beside names, one between two of them."""


@dataclass(frozen=True)
class Extent:
    """How large the data are.

    Attributes
    ----------
    n_customers, n_items, n_interactions : int
    n_unassigned : int, customers in no segment
    n_disliked : int, interactions of a value below 0
    median_interactions : float, the median customer's
    """

    n_customers: int
    n_items: int
    n_interactions: int
    n_unassigned: int
    n_disliked: int
    median_interactions: float


@dataclass(frozen=True)
class Tables:
    """The report's tables as rows.

    Attributes
    ----------
    summary : the rows of `segment_summary.csv`
    characteristic, avoided, more, less : the rows of `characteristic_items.csv`, by kind and segment; the
        last two of what tells a segment from the nearest
    top_items : the rows of `top_items.csv`, by segment
    typical : the rows of `typical_customers.csv`, by segment
    moves : the rows of `segment_moves.csv`; none without an earlier run
    """

    summary: Rows
    characteristic: Mapping[int, Rows]
    avoided: Mapping[int, Rows]
    more: Mapping[int, Rows]
    less: Mapping[int, Rows]
    top_items: Mapping[int, Rows]
    typical: Mapping[int, Rows]
    moves: Rows


@dataclass(frozen=True)
class Parameter:
    """A parameter of a stage, as the manifest has it."""

    stage: str
    name: str
    value: Any


def render(
    *,
    extent: Extent,
    tables: Tables,
    since: words.Since | None,
    unseen: UnseenProfiles | None,
    echo: Echo | None,
    echo_null: Echo | None,
    validation: Mapping[str, Any] | None,
    clustering: Mapping[str, Any] | None,
    components_said: Mapping[str, Any] | None,
    k_said: Mapping[str, Any] | None,
    recipe: Recipe,
    parameters: Sequence[Parameter],
    pictures: Mapping[str, bytes],
) -> str:
    """Return the page as HTML.

    Parameters
    ----------
    since : what has become of an earlier run's segments; None without one
    unseen : on what the figures on unseen interactions rest; None if there are none
    echo, echo_null : how far the items that mark the segments do so on unseen interactions
    validation : the document of `validation.json`, or None if the segments were not validated
    clustering : the document of `clustering.json`, or None
    components_said, k_said : the documents of `components_verdict.json`, `k_verdict.json`, or None
    recipe : of the segmentation
    parameters : of all stages
    pictures : PNG bytes by artifact name; those of stages that have not run are left out
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("segcli.page"),
        autoescape=True,
        finalize=_printable,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        amount=amount,
        counted=counted,
        data_uri=_data_uri,
        decimal=decimal,
        disliked_in_words=words.disliked_in_words,
        graded=graded,
        percent=in_percent,
        times=_times,
    )
    validation, clustering = validation or {}, clustering or {}
    k, n_components = len(tables.summary), recipe.n_components
    explored = (p.value for p in parameters if (p.stage, p.name) == ("explore-k", "n_components"))
    explored_with = next(explored, n_components)
    is_of_these = k_said is not None and recipe.is_of(k_said)
    measures = validation.get("measures", ())
    return environment.get_template("report.html.j2").render(
        extent=extent,
        tables=tables,
        since=since,
        since_in_words=words.since_in_words,
        places_in_parts=_places_in_parts(tables.moves),
        least_similarity=moves.LEAST_SIMILARITY,
        least_in_both=moves.LEAST_CUSTOMERS,
        unseen=unseen,
        together=[] if unseen is None else unseen.together.tolist(),
        least_together=LEAST_TOGETHER,
        another_in_words=words.another_in_words,
        entrance_in_words=words.entrance_in_words,
        is_named=words.is_named(tables.summary),
        nameless_in_words=words.nameless_in_words,
        values_differ=_values_differ(tables.summary),
        least_customers=LEAST_CUSTOMERS,
        least_support=log_odds.LEAST_CUSTOMERS,
        verdict=words.verdict(validation, clustering, k, k_said=k_said if is_of_these else None),
        findings=words.findings(clustering, echo, echo_null),
        echo=None if echo is None else words.echo_in_words(echo, echo_null),
        stabilities=words.stabilities_in_words(tables.summary, validation, clustering),
        measures=measures,
        no_evidence=no_evidence_in_words(measures),
        flattered=unassigned_in_words(
            validation.get("n_unassigned", 0),
            beside_nulls=validation.get("evidence") is not None,
        ),
        least_stability=LEAST_STABILITY,
        least_transfer=LEAST_TRANSFER,
        validation=validation,
        validated={row["segment"]: row for row in validation.get("segments", ())},
        clustering=clustering,
        components_said=components_said,
        grades=[*((word, least) for least, word in GRADES), (NOT_TRUSTED, None)],
        weighting=recipe.weighting,
        defaults=_defaults(recipe),
        weighting_in_words=DESCRIPTIONS[recipe.weighting],
        score_norm=recipe.score_norm,
        score_norm_in_words=score_norm.DESCRIPTIONS[str(recipe.score_norm)],
        n_components=n_components,
        explored_with=explored_with,
        without_unseen=Parameter("report", "evidence", "none") in parameters,
        parameters=parameters,
        pictures=pictures,
        alternatives={
            "segment_sizes.png": alternatives.segment_sizes(tables.summary),
            "explained_variance.png": alternatives.explained_variance(components_said),
            "k_evidence.png": alternatives.k_evidence(k_said),
            "inertia.png": alternatives.inertia(
                clustering.get("on_the_table") if explored_with == n_components else None,
                n_components,
            ),
            "confusion_matrix.png": alternatives.confusion_matrix(validation),
        },
    )


def _places_in_parts(rows: Rows) -> list[list[str]]:
    """Return where customers are now, as many places to a table as a sheet of paper is wide."""
    if not rows:
        return []
    places = list(rows[0])[4:]  # the segments first; before them, what is told of the earlier one
    digits = max(len(f"{row[place]:,}") for row in rows for place in places)
    most = PAGE_WIDTH // (max(digits, 2) + 1)
    return [places[first : first + most] for first in range(0, len(places), most)]


def _values_differ(summary: Rows) -> bool:
    """Return whether a segment's part of all values is another one than its part of all interactions."""
    return any(
        row["value_share"] is not None
        and abs(row["value_share"] - row["interactions_share"]) > 1e-9
        for row in summary
    )


def _defaults(recipe: Recipe) -> list[str]:
    """Return which of the choices are those of a person who makes none."""
    usual = {
        "weighting": recipe.weighting == DEFAULT,
        "norms of the scores": recipe.score_norm == score_norm.usual_score_norm(recipe.weighting),
    }
    return [choice for choice, is_usual in usual.items() if is_usual]


def _printable(value: Any) -> Any:
    """Return text of the user's without line breaks and control characters, and all else as it is."""
    return printable(value) if type(value) is str else value  # Markup is the template's own


def _data_uri(picture: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(picture).decode("ascii")


def _times(ratio: float) -> str:
    """Return a ratio in two digits, or all before the point."""
    return (
        f"×{ratio:,.0f}" if ratio >= 9.95 else f"×{ratio:.1f}" if ratio >= 0.95 else f"×{ratio:.2f}"
    )
