"""explore-pca: the principal components, what they are about, and how many the data support."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segcli import plots
from segcli.artifacts import Columns, open_stage, records
from segcli.artifacts.catalogue import (
    COMPONENTS,
    COMPONENTS_VERDICT,
    EXPLAINED_VARIANCE,
    EXPLAINED_VARIANCE_PLOT,
    ITEMS,
    MATRIX,
    PCA_MODEL,
)
from segcli.engine import Engine
from segcli.errors import ChoiceError
from segcli.numerics.component_evidence import (
    LEAST_COMPONENTS,
    ComponentEvidence,
    component_evidence_level,
    gather_component_evidence,
)
from segcli.numerics.component_faces import N_TOP, ComponentFace, describe_components
from segcli.numerics.levels import customers_in_words, why_none
from segcli.numerics.pca import (
    PCA,
    check_n_components,
    fit_pca,
    n_columns_held,
    n_components_limit,
)
from segcli.numerics.ranks import rank
from segcli.numerics.score_norm import usual_score_norm
from segcli.numerics.weighting import EVEN_OUT_ACTIVITY, fit_weighting, weigh
from segcli.stages.columns import titles_of
from segcli.stages.memory import WAY_OUT, require_memory_for
from segcli.words import counted, decimal, percent_digits

DEFAULT_MAX_COMPONENTS = 50

KEPT_PER_CUSTOMER = 30
"""Numbers: ranks, sums, and room to order them."""

MOSTLY_ACTIVITY = 0.7
"""A correlation from which on more or less half of a component's variance is activity's."""

N_FACES = 5
_NAME_WIDTH = 36
_ITEMS_WIDTH = 76


@dataclass(frozen=True)
class PCAExploration:
    """What explore-pca found.

    Attributes
    ----------
    weighting : str
    score_norm : str, what later stages make of the norms of customers' scores
    n_components : int, how many were computed
    explained_variance_ratio : tuple of float, each component's share of the total variance
    total_variance : float, of the weighted matrix
    variance : tuple of dict, the rows of explained_variance.csv; None where undefined
    components : tuple of dict
        Of each component: its number, activity_correlation, popularity_correlation (None where
        undefined), and the names of the items at its positive and negative ends.
    evidence : dict or None
        What `components_verdict.json` holds: the suggestions, the recommendation, its reason, and on
        what it rests. None if no evidence was gathered; `no_evidence` says why.
    no_evidence : str or None
    warning : str or None, what is doubtful about the components, and what to try
    wrote : tuple of str, the files written
    """

    weighting: str
    score_norm: str
    n_components: int
    explained_variance_ratio: tuple[float, ...]
    total_variance: float
    variance: tuple[dict[str, Any], ...]
    components: tuple[dict[str, Any], ...]
    evidence: dict[str, Any] | None
    no_evidence: str | None
    warning: str | None
    wrote: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        evidence = self.evidence
        lines = [
            f"{counted(self.n_components, 'component')} of the {self.weighting} matrix (norms of the "
            f"scores, for k-means: {self.score_norm}).",
            *(self._variance_lines() if evidence is None else self._evidence_lines(evidence)),
            *self._face_lines(),
        ]
        if self.warning:
            lines.append(self.warning)
        if self.no_evidence:
            lines.append(self.no_evidence)
        if evidence is None:
            lines.append(
                "Look at explained_variance.png, choose a number of components, then run explore-k."
            )
        else:
            at_most = "at most " if evidence["recommended"] > LEAST_COMPONENTS else ""
            lines += [
                f"Recommended: {at_most}{counted(evidence['recommended'], 'component')}. "
                f"{evidence['reason']}",
                "Look at explained_variance.png, choose, then run explore-k.",
            ]
        return lines

    def _variance_lines(self) -> list[str]:
        one, together = self._digits("explained_variance_ratio", 1), self._digits("cumulative", 1)
        rows = [
            f"{row['component']:>10}  {_percent(row['explained_variance_ratio'], one):>8}"
            f"  {_percent(row['cumulative'], together):>10}"
            for row in self._spread()
        ]
        return [" component     share  cumulative", *rows]

    def _evidence_lines(self, evidence: dict[str, Any]) -> list[str]:
        suggestions = evidence["suggestions"]
        one, together = self._digits("sample_ratio", 2), self._digits("cumulative", 1)
        error = self._digits("prediction_error", 1, beside=1.0)
        rows = [
            f"{row['component']:>10}  {_percent(row['cumulative'], together):>10}"
            f"  {_percent(row['sample_ratio'], one):>8} | {_percent(row['null_limit'], one):<6}"
            f"  {_percent(row['prediction_error'], error):>15}"
            f" | {_percent(row['null_prediction_error'], error):<6}".rstrip()
            for row in self._spread(keep=suggestions.values())
        ]
        n_customers = customers_in_words(evidence["n_customers"], is_sample=evidence["is_sample"])
        cumulative = "; cumulative shares are of all customers" if evidence["is_sample"] else ""
        return [
            " component  cumulative     share | null     held-out error | null",
            *rows,
            "null: data without segments, in which customers and items have as many interactions, and as "
            "large values, as here.",
            "Held-out error: of predicting unseen customers' unseen items from that many components;",
            "100% is no better than predicting the items' means.",
            f"Shares and errors are of {n_customers}, "
            f"from {evidence['n_nulls']} nulls and {evidence['n_folds']} folds{cumulative}.",
            f"Parallel analysis suggests {suggestions['parallel_analysis']} (leading components that "
            "hold more variance than the null's),",
            f"bi-cross-validation {suggestions['bi_cross_validation']} "
            + (
                "(the fewest within one standard error of the least held-out error)."
                if suggestions["bi_cross_validation"]
                else "(no error is clearly below the null's)."
            ),
        ]

    def _digits(self, column: str, least: int, *, beside: float = 0.0) -> int:
        """Return with how many digits a column shows how far it lies from 0, or beside another number."""
        found = (row[column] for row in self.variance)
        return percent_digits((x - beside for x in found if x is not None), least)

    def _face_lines(self) -> list[str]:
        lines = [" component  activity  popularity  items at its two ends"]
        for face in self.components[:N_FACES]:
            ends = [
                f"{sign} {_fit(face[end])}"
                for sign, end in (("+", "positive"), ("-", "negative"))
                if face[end]
            ]
            start = (
                f"{face['component']:>10}  {_correlation(face['activity_correlation']):>8}"
                f"  {_correlation(face['popularity_correlation']):>10}"
            )
            starts = [start, " " * len(start)]
            lines += [f"{a}  {b}" for a, b in zip(starts, ends, strict=False)]
        return [
            *lines,
            "Activity: correlation with the log of a customer's number of interactions; popularity: with "
            "that of an item's.",
        ]

    def _spread(self, keep: Collection[int] = ()) -> list[dict[str, Any]]:
        """Return the rows of a few components, dense at first, and those to keep."""
        shown = {1, 2, 3, 5, 10, 20, 50, 100, 200, *keep}
        return [row for row in self.variance if row["component"] in shown]


def run(
    run_dir: Path,
    *,
    max_components: int | None,
    weighting: str,
    score_norm: str | None,
    evidence: str | None,
    engine: Engine,
    seed: int,
) -> PCAExploration:
    """Read `MATRIX` and `ITEMS`; write the components, their faces and the evidence; return them.

    Raises
    ------
    ChoiceError
        If the matrix has fewer components than asked for; if these data cannot bear the evidence that
        is.
    """
    parameters = {
        "max_components": max_components,
        "weighting": weighting,
        "score_norm": score_norm,
        "evidence": evidence,
    }
    with open_stage(run_dir, "explore-pca", parameters, seed=seed) as stage:
        require_memory_for(
            stage,
            engine,
            per_customer=KEPT_PER_CUSTOMER,
            per_item=n_columns_held(max_components or DEFAULT_MAX_COMPONENTS),
            way_out=f"Ask for fewer --max-components. {WAY_OUT}",
        )
        matrix = stage.load(MATRIX)
        items = stage.load(ITEMS)
        X = engine.blocks(matrix)
        n_components = choose_max_components(max_components, *X.shape)
        level, no_evidence = component_evidence_level(evidence, matrix)
        ranks = rank(X)
        fitted = fit_weighting(X, weighting)
        weighted = weigh(X, fitted)
        pca = fit_pca(
            weighted,
            fitted,
            n_components,
            item_ranks=ranks.items,
            seed=seed,
            score_norm=score_norm or usual_score_norm(weighting),
        )
        _check_rank(pca, max_components)
        gathered = document = None
        if level is not None:
            try:
                gathered = gather_component_evidence(
                    matrix,
                    weighting,
                    engine=engine,
                    ranks=ranks,
                    n_components=pca.n_components,
                    seed=seed,
                    level=level,
                    more=not pca.holds_all,
                )
            except ChoiceError as error:  # a sample may have less than all customers
                no_evidence = why_none(evidence, str(error).rstrip("."))
            else:
                document = verdict_document(gathered)
                stage.save(COMPONENTS_VERDICT, document)
        table = explained_variance_table(pca, gathered)
        plot = plots.draw(
            plots.explained_variance,
            table,
            weighting,
            suggestions=_suggestions(gathered),
        )
        faces = describe_components(weighted, pca, matrix, item_ranks=ranks.items)
        names = titles_of(items)
        stage.save(PCA_MODEL, pca)
        stage.save(EXPLAINED_VARIANCE, table)
        stage.save(COMPONENTS, components_table(faces, names))
        stage.save(EXPLAINED_VARIANCE_PLOT, plot.png())
        return PCAExploration(
            weighting=weighting,
            score_norm=pca.score_norm,
            n_components=pca.n_components,
            explained_variance_ratio=tuple(pca.explained_variance_ratio.tolist()),
            total_variance=pca.total_variance,
            variance=tuple(records(table)),
            components=tuple(_face_document(face, names) for face in faces),
            evidence=document,
            no_evidence=no_evidence,
            warning=_warning(faces[0], weighting),
            wrote=tuple(stage.writes),
        )


def explained_variance_table(pca: PCA, evidence: ComponentEvidence | None) -> dict[str, np.ndarray]:
    """Return one row per component p: its variance, its share of the total, and the running share.

    Shares are 0 to 1, and NaN is what is undefined; each column is of shape (n_components,).

    With evidence also, undefined beyond what the evidence could look at:

    - sample_ratio: the share in the customers that the evidence rests on
    - null_mean, null_limit: the mean and the 95 % quantile of that share in nulls
    - prediction_error: of held-out blocks, predicted from the first p components; 1 is as bad as the
      items' means
    - null_prediction_error: the same of a null
    """
    ratio = pca.explained_variance_ratio
    columns: dict[str, np.ndarray] = {
        "component": np.arange(1, pca.n_components + 1),
        "explained_variance": pca.explained_variance,
        "explained_variance_ratio": ratio,
        "cumulative": np.cumsum(ratio),
    }
    if evidence is not None:
        columns |= {
            "sample_ratio": evidence.ratios if evidence.is_sample else ratio,
            "null_mean": evidence.null_mean,
            "null_limit": evidence.null_limit,
            "prediction_error": evidence.prediction.errors[1:],
            "null_prediction_error": evidence.null_prediction.errors[1:],
        }
    return {name: _of_length(values, pca.n_components) for name, values in columns.items()}


def components_table(faces: Sequence[ComponentFace], names: np.ndarray) -> Columns:
    """Return one row per component: its correlations, and the names of the items at its two ends.

    ``positive_1`` is the item with the largest loading, ``negative_1`` the one with the smallest; empty
    where fewer items load on that side.

    Parameters
    ----------
    faces : of each component
    names : ndarray of shape (n_items,)
    """
    figures = ("component", "activity_correlation", "popularity_correlation")
    columns = {name: [getattr(face, name) for face in faces] for name in figures}
    for end in ("positive", "negative"):
        listed = [[*names[getattr(face, end)], *[""] * N_TOP] for face in faces]
        columns |= {f"{end}_{i + 1}": [items[i] for items in listed] for i in range(N_TOP)}
    return columns


def verdict_document(evidence: ComponentEvidence) -> dict[str, Any]:
    """Return what `components_verdict.json` holds."""
    return {
        "suggestions": _suggestions(evidence),
        "recommended": evidence.recommended,
        "reason": evidence.reason,
        "weighting": evidence.weighting,
        "n_components": evidence.n_components,
        "n_customers": evidence.n_customers,
        "is_sample": evidence.is_sample,
        "n_nulls": evidence.n_nulls,
        "n_folds": evidence.n_folds,
    }


def _suggestions(evidence: ComponentEvidence | None) -> dict[str, int]:
    if evidence is None:
        return {}
    return {
        "parallel_analysis": evidence.n_parallel,
        "bi_cross_validation": evidence.n_predictive,
    }


def _face_document(face: ComponentFace, names: np.ndarray) -> dict[str, Any]:
    return {
        "component": face.component,
        "activity_correlation": _or_none(face.activity_correlation),
        "popularity_correlation": _or_none(face.popularity_correlation),
        "positive": names[face.positive].tolist(),
        "negative": names[face.negative].tolist(),
    }


def _or_none(correlation: float) -> float | None:
    return None if math.isnan(correlation) else correlation


def _warning(first: ComponentFace, weighting: str) -> str | None:
    correlation = first.activity_correlation
    if weighting in EVEN_OUT_ACTIVITY or not abs(correlation) >= MOSTLY_ACTIVITY:
        return None
    return (
        f"Component 1 is mostly activity (correlation {correlation:.2f} with the log of a customer's "
        "number of interactions): segments will tell heavy from light customers before they tell "
        "tastes. Try --weighting tfidf or pearson."
    )


def _of_length(values: np.ndarray, n: int) -> np.ndarray:
    """Return the first n values, undefined where there are fewer."""
    if len(values) >= n:
        return values[:n]
    return np.concatenate([values, np.full(n - len(values), np.nan)])


def _percent(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}%}"


def _correlation(value: float | None) -> str:
    return "" if value is None else decimal(value)


def _fit(names: Sequence[str]) -> str:
    """Return as many of the names as fit on a line, each cut to a sensible length."""
    short = [
        name if len(name) <= _NAME_WIDTH else f"{name[: _NAME_WIDTH - 1].rstrip()}…"
        for name in (" ".join(name.split()) for name in names)
    ]
    while len("; ".join(short)) > _ITEMS_WIDTH:
        short.pop()
    return "; ".join(short)


def choose_max_components(asked: int | None, n_customers: int, n_items: int) -> int:
    """Return how many components to compute.

    Raises
    ------
    ChoiceError
        If more are asked for than a matrix of this shape can have.
    """
    if asked is None:
        return min(DEFAULT_MAX_COMPONENTS, n_components_limit(n_customers, n_items))
    check_n_components(asked, n_customers, n_items, option="--max-components")
    return asked


def _check_rank(pca: PCA, asked: int | None) -> None:
    if asked is not None and pca.n_components < asked:
        msg = (
            f"--max-components {asked} is too large: these data have variance on "
            f"{counted(pca.n_components, 'component')}. Choose {pca.n_components} or fewer."
        )
        raise ChoiceError(msg)
