"""cluster: k-means on the scores at the chosen k; one segment per customer, and how far to trust it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from segcli.artifacts import Columns, Stage, open_stage, records
from segcli.artifacts.catalogue import (
    CLUSTERING,
    CUSTOMERS,
    ITEMS,
    K_SCORES,
    K_VERDICT,
    MATRIX,
    PCA_MODEL,
    PROJECTED,
    SEGMENTATION,
    SEGMENTS,
)
from segcli.engine import Engine
from segcli.errors import ChoiceError
from segcli.numerics.activity import LARGE_SHARE, activity_share, null_activity_share
from segcli.numerics.assignment import assign
from segcli.numerics.evidence import KEvidenceLevel, evidence_level, require_evidence
from segcli.numerics.kmeans import KMeansFit, check_ks, fit_all, n_distinct, total_inertia
from segcli.numerics.levels import LARGEST_SAMPLE
from segcli.numerics.pca import PCA, score
from segcli.numerics.ranks import Ranks, rank
from segcli.numerics.recipe import Recipe
from segcli.numerics.segmentation import Segmentation
from segcli.numerics.stability import grade, graded, segment_stability
from segcli.numerics.weighting import EVEN_OUT_ACTIVITY, weigh
from segcli.stages.columns import distance_column
from segcli.stages.memory import WAY_OUT, require_memory_for
from segcli.words import counted, in_percent, six_digits

KEPT_PER_CUSTOMER = 30
"""Numbers, beside the scores: ranks, sums, labels, distances, and room to order them."""

KEPT_PER_ITEM_AND_MODEL = 5
"""Numbers, beside the loadings of every half's model: its mean and its weighting, and room."""


@dataclass(frozen=True)
class Clustering:
    """What cluster made. All but the last three fields are `clustering.json`.

    Attributes
    ----------
    k : int
    n_components : int
    weighting, score_norm : str
    because : str or None, the user's reason for the choice
    min_membership : float or None
    n_unassigned : int, customers whose membership is below that
    inertia : float
    inertia_share : float, of the total variance of the scores; 0 to 1
    activity_share : float
        Share of the variance of log activity (number of interactions) that lies between segments, 0
        to 1. Near 1, the segments are light and heavy customers.
    activity_share_null : float or None
        The same on data without segments, from the same recipe.
    evidence : dict or None
        On what stability and membership rest: n_customers, is_sample, n_splits, n_nulls.
    segments : tuple of dict
        Per segment: customers (those unassigned left out), n_unassigned, stability (mean Jaccard
        similarity when halves of the customers are segmented anew) and its grade.
    on_the_table : dict or None
        What explore-k said, of the same components and norms, when the choice was made.
    sizes : tuple of int, customers in each segment before any is unassigned, largest first
    converged : bool
    no_evidence : str or None, why there is none
    wrote : tuple of str, the files written
    """

    k: int
    n_components: int
    weighting: str
    score_norm: str
    because: str | None
    min_membership: float | None
    n_unassigned: int
    inertia: float
    inertia_share: float
    activity_share: float
    activity_share_null: float | None
    evidence: dict[str, Any] | None
    segments: tuple[dict[str, Any], ...]
    on_the_table: dict[str, Any] | None
    sizes: tuple[int, ...]
    converged: bool
    no_evidence: str | None
    wrote: tuple[str, ...]

    def document(self) -> dict[str, Any]:
        """Return what `clustering.json` holds."""
        left_out = {"converged", "no_evidence", "wrote"}
        return {name: value for name, value in vars(self).items() if name not in left_out}

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        n_customers = sum(self.sizes)
        assigned = f"{n_customers - self.n_unassigned:,} of " if self.n_unassigned else ""
        lines = [
            f"{assigned}{n_customers:,} customers in {counted(self.k, 'segment')}, on "
            f"{counted(self.n_components, 'component')} of the {self.weighting} matrix (norms of the "
            f"scores: {self.score_norm}).",
            f"Inertia {six_digits(self.inertia)}, {self.inertia_share:.1%} of the variance of the scores.",
            *self._segment_lines(),
            *self._activity_lines(),
        ]
        if self.n_unassigned:
            are = "is unassigned: its" if self.n_unassigned == 1 else "are unassigned: their"
            lines.append(
                f"{counted(self.n_unassigned, 'customer')} {are} membership is below "
                f"{self.min_membership:g}."
            )
        if not self.converged:
            lines.append("k-means did not converge in the steps allowed.")
        if self.no_evidence:
            lines.append(self.no_evidence)
        return lines

    def _segment_lines(self) -> list[str]:
        total = sum(self.sizes)
        if self.evidence is None:
            return [
                " segment  customers   share",
                *(
                    f"{label:>8}  {size:>9,}  {size / total:>6.1%}"
                    for label, size in enumerate(self.sizes)
                ),
            ]
        sampled = " (a sample)" if self.evidence["is_sample"] else ""
        unassigned = "  unassigned" if self.n_unassigned else ""
        return [
            f" segment  customers   share{unassigned}  stability  grade",
            *(
                f"{row['segment']:>8}  {row['customers']:>9,}  {row['customers'] / total:>6.1%}"
                + (f"  {row['n_unassigned']:>10,}" if unassigned else "")
                + f"  {graded(row['stability']):>9}  {row['grade'] or '–'}"
                for row in self.segments
            ),
            f"Stability: how much of the segment is found again when half of "
            f"{self.evidence['n_customers']:,} customers{sampled} are segmented anew; mean of "
            f"{2 * self.evidence['n_splits']} halves, 1 is best.",
        ]

    def _activity_lines(self) -> list[str]:
        beside = (
            f" ({in_percent(self.activity_share_null)} on data without segments)"
            if self.activity_share_null is not None
            else ""
        )
        share = in_percent(self.activity_share)
        line = f"{share} of the variance of log activity lies between the segments"
        if self.activity_share <= LARGE_SHARE:
            return [f"{line}{beside}."]
        fewer = "Fewer segments, or more components," if self.k > 2 else "More components"
        remedy = (
            f"{fewer} may bring out tastes"
            if self.weighting in EVEN_OUT_ACTIVITY
            else "To segment by taste, weigh activity down: segcli explore-pca with --weighting pearson "
            "or tfidf"
        )
        return [
            f"{line}{beside}: heavy and light customers are mostly in different segments. {remedy}."
        ]


def run(
    run_dir: Path,
    *,
    n_components: int,
    n_clusters: int,
    min_membership: float | None,
    because: str | None,
    evidence: str | None,
    engine: Engine,
    seed: int,
) -> Clustering:
    """Read `MATRIX` and `PCA_MODEL`; write the segments, the model, and how far to trust them.

    Raises
    ------
    ChoiceError
        If there are fewer components, or distinct customers, than asked for; if ``min_membership``
        asks for memberships that these data cannot have.
    """
    because = because or None  # an empty variable of a script is no reason
    parameters = {
        "n_components": n_components,
        "n_clusters": n_clusters,
        "min_membership": min_membership,
        "because": because,
        "evidence": evidence,
    }
    with open_stage(run_dir, "cluster", parameters, seed=seed) as stage:
        matrix = stage.load(MATRIX)  # its entries are still on the disk
        check_ks([n_clusters], matrix.shape[0])
        if min_membership is None:
            level, no_evidence = evidence_level(evidence, matrix, [n_clusters])
        else:
            option = f"--min-membership {min_membership:g}"
            level, no_evidence = require_evidence(option, evidence, matrix, [n_clusters]), None
        pca = stage.load(PCA_MODEL).first(n_components)
        n_models = 2 * level.n_membership_splits if level is not None else 0
        require_memory_for(
            stage,
            engine,
            per_customer=n_components + KEPT_PER_CUSTOMER,
            per_item=n_models * (n_components + KEPT_PER_ITEM_AND_MODEL),
            way_out=f"Ask for less --evidence. {WAY_OUT}" if n_models else WAY_OUT,
        )
        X = engine.blocks(matrix)
        ranks = rank(X)
        scores = score(weigh(X, pca.weighting), pca)
        check_ks([n_clusters], n_distinct(scores, n_clusters), "distinct customer")
        compared = engine.blocks(scores)
        (fit,) = fit_all(compared, [n_clusters], customer_ranks=ranks.customers, seed=seed)
        _, distances = assign(scores, fit.centers)
        trust = None
        if level is not None:
            trust = _trust(engine, matrix, fit, pca, ranks, level, seed)
        segment = _assigned(fit.labels, trust, min_membership)
        items = tuple(stage.load(ITEMS)["item"])
        found = Clustering(
            k=n_clusters,
            n_components=n_components,
            weighting=pca.weighting.name,
            score_norm=pca.score_norm,
            because=because,
            min_membership=min_membership,
            n_unassigned=int((segment < 0).sum()),
            inertia=fit.inertia,
            inertia_share=fit.inertia / total_inertia(compared),
            activity_share=activity_share(matrix, fit.labels),
            activity_share_null=trust.activity_share_null if trust is not None else None,
            evidence=trust.rests_on if trust is not None else None,
            segments=tuple(_segment_rows(fit, segment, trust)),
            on_the_table=_on_the_table(stage, pca, n_clusters),
            sizes=tuple(fit.sizes.tolist()),
            converged=fit.converged,
            no_evidence=no_evidence,
            wrote=(),
        )
        stage.save(SEGMENTATION, Segmentation(items, pca, fit.centers))
        stage.save(PROJECTED, {"scores": scores})
        stage.save(
            SEGMENTS,
            segments_table(
                stage.load(CUSTOMERS)["customer"],
                segment,
                distances,
                trust.membership if trust is not None else None,
            ),
        )
        stage.save(CLUSTERING, found.document())
    return replace(found, wrote=tuple(stage.writes))


@dataclass(frozen=True)
class _Trust:
    """How far to trust a segmentation.

    Attributes
    ----------
    stability : ndarray of shape (k,)
    membership : ndarray of shape (n_customers,)
    activity_share_null : float or None, if no null has as many segments
    rests_on : dict, n_customers, is_sample, n_splits, n_nulls
    """

    stability: np.ndarray
    membership: np.ndarray
    activity_share_null: float | None
    rests_on: dict[str, Any]


def _trust(
    engine: Engine,
    matrix: sp.csr_array,
    fit: KMeansFit,
    pca: PCA,
    ranks: Ranks,
    level: KEvidenceLevel,
    seed: int,
) -> _Trust:
    recipe = Recipe.of(pca)
    found = segment_stability(
        matrix,
        fit.labels,
        fit.k,
        recipe,
        ranks=ranks,
        seed=seed,
        n_splits=level.n_membership_splits,
        sample_size=LARGEST_SAMPLE,
        engine=engine,
    )
    null_share = null_activity_share(
        matrix,
        fit.k,
        recipe,
        ranks=ranks,
        seed=seed,
        n_nulls=level.n_nulls,
        sample_size=level.n_customers,
        engine=engine,
    )
    n_customers = len(fit.labels)
    return _Trust(
        stability=found.jaccard,
        membership=found.membership(engine.blocks(matrix), fit.labels),
        activity_share_null=None if np.isnan(null_share) else null_share,
        rests_on={
            "n_customers": min(n_customers, LARGEST_SAMPLE),
            "is_sample": n_customers > LARGEST_SAMPLE,
            "n_splits": level.n_membership_splits,
            "n_nulls": level.n_nulls,
        },
    )


def segments_table(
    customers: np.ndarray,
    segment: np.ndarray,
    distances: np.ndarray,
    membership: np.ndarray | None,
) -> Columns:
    """Return one row per customer.

    Segment (-1: unassigned); distance to the center, to six digits, of scores as k-means compares
    them; membership: how often the customer lands in this segment when halves of the customers make
    the segments, 0 to 1, to four digits; empty if unknown.

    Parameters
    ----------
    customers, segment, distances : ndarrays of shape (n_customers,)
    membership : ndarray of shape (n_customers,); None if nobody's is known
    """
    unknown = np.full(len(segment), np.nan)
    return {
        "customer": customers,
        "segment": segment,
        "distance": distance_column(distances),
        "membership": unknown if membership is None else np.round(membership, 4),
    }


def _assigned(labels: np.ndarray, trust: _Trust | None, least: float | None) -> np.ndarray:
    """Return each customer's segment, -1 where the membership is too small."""
    if least is None:
        return labels
    if trust is None or np.isnan(trust.membership).all():
        msg = (
            f"--min-membership {least:g} needs memberships, and no half of the customers could be "
            f"segmented. Leave it out, or choose fewer segments."
        )
        raise ChoiceError(msg)
    assigned = np.where(trust.membership >= least, labels, -1)
    if (assigned < 0).all():
        msg = (
            f"--min-membership {least:g} leaves no customer in a segment: the largest membership is "
            f"{trust.membership.max():.2f}. Choose a smaller one, or fewer segments."
        )
        raise ChoiceError(msg)
    return assigned


def _segment_rows(
    fit: KMeansFit, segment: np.ndarray, trust: _Trust | None
) -> list[dict[str, Any]]:
    kept = np.bincount(segment[segment >= 0], minlength=fit.k)
    rows = []
    for label, size in enumerate(fit.sizes):
        stability = float(trust.stability[label]) if trust is not None else None
        rows.append(
            {
                "segment": label,
                "customers": int(kept[label]),
                "n_unassigned": int(size - kept[label]),
                "stability": stability,
                "grade": grade(stability) if stability is not None else None,
            }
        )
    return rows


def _on_the_table(stage: Stage, pca: PCA, k: int) -> dict[str, Any] | None:
    """Return what explore-k said of this k, if it looked at the same components and norms."""
    verdict, scores = stage.peek(K_VERDICT), stage.peek(K_SCORES)
    if verdict is None or scores is None or not Recipe.of(pca).is_of(verdict):
        return None
    names = ("supported", "recommended", "gain_peak", "reason", "plain", "near_limit")
    said = {name: verdict[name] for name in names if name in verdict}  # not all in older files
    return {**said, "k_scores": next((row for row in records(scores) if row["k"] == k), None)}
