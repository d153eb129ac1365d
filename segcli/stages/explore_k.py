"""explore-k: for each number of segments, the inertia of k-means and the evidence."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from segcli import plots
from segcli.artifacts import open_stage, records
from segcli.artifacts.catalogue import (
    INERTIA_PLOT,
    K_EVIDENCE_PLOT,
    K_SCORES,
    K_VERDICT,
    MATRIX,
    PCA_MODEL,
)
from segcli.engine import Blocks, Engine
from segcli.errors import ChoiceError, FewDistinctError
from segcli.numerics import silhouette
from segcli.numerics.evidence import KEvidence, evidence_level, gather_evidence
from segcli.numerics.kmeans import (
    CURVE_PROGRESS,
    KMeansFit,
    fit_all,
    measure_inertias,
    n_distinct,
    refine,
    refit,
    total_inertia,
)
from segcli.numerics.levels import customers_in_words
from segcli.numerics.pca import PCA, score
from segcli.numerics.ranks import Ranks, rank
from segcli.numerics.recipe import Recipe
from segcli.numerics.score_norm import KEPT, usual_score_norm
from segcli.numerics.verdict import LEAST_STABILITY, LEAST_TRANSFER, KVerdict, verdict
from segcli.numerics.weighting import weigh
from segcli.stages.memory import require_memory_for
from segcli.words import counted, decimal, recipe_options, six_digits

DEFAULT_K_MAX = 50
FULL_ITERATIONS = 20
"""Lloyd steps on the full matrix, from the partition of all the components held."""

KEPT_PER_CUSTOMER = 30
"""Numbers: ranks, and room to step, beside scores on all components and on those chosen, and labels."""

KEPT_PER_ITEM = 5
"""Numbers: ranks, mean and weighting, and room, beside loadings on all components and on those chosen."""

FULL_WORK, FULL_ROOM = 2 * 10**8, 1 << 23
"""Interactions times centers, and items times centers, up to which those steps are taken."""

_MOST_LINES = 14
"""Of more k than this, some are printed."""


@dataclass(frozen=True)
class KExploration:
    """What explore-k found.

    Attributes
    ----------
    n_components : int, of the reduced data
    weighting, score_norm : str
    scores : tuple of dict, the rows of k_scores.csv
    not_converged : tuple of int, the k whose centers still moved at the last step
    evidence : dict or None
        What `k_verdict.json` holds: the supported k, the recommended one, the reason, and on what it
        rests. None if no evidence was gathered; `no_evidence` says why.
    no_evidence : str or None
    wrote : tuple of str, the files written
    """

    n_components: int
    weighting: str
    score_norm: str
    scores: tuple[dict[str, Any], ...]
    not_converged: tuple[int, ...]
    evidence: dict[str, Any] | None
    no_evidence: str | None
    wrote: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        evidence = self.evidence
        lines = [
            f"k-means of the {self.weighting} matrix, on {counted(self.n_components, 'component')} "
            f"(reduced; norms of the scores: {self.score_norm}) and in full.",
            *(self._inertia_lines() if evidence is None else self._evidence_lines(evidence)),
        ]
        if len(self._shown()) < len(self.scores):
            lines.append(f"Some of {len(self.scores)} k are shown; {K_SCORES.name} has them all.")
        if self.not_converged:
            ks = ", ".join(map(str, self.not_converged))
            lines.append(f"k-means did not converge in the steps allowed for k = {ks}.")
        if self.no_evidence:
            lines.append(self.no_evidence)
        if self._may_do_better():
            is_usual = self.score_norm == usual_score_norm(self.weighting)
            options = recipe_options(self.weighting, None if is_usual else self.score_norm)
            lines.append(
                f"explore-pca --compare-components {options} looks for a better number of components."
            )
        return lines

    def _may_do_better(self) -> bool:
        """Return whether no k is supported, but one might be on other components."""
        is_known = any(row.get("held_out_gain") is not None for row in self.scores)
        return is_known and (self.evidence or {}).get("recommended") is None

    def _shown(self) -> list[dict[str, Any]]:
        evidence = self.evidence or {}
        keep = {*evidence.get("supported", ()), evidence.get("gain_peak")}
        return _spread(self.scores, keep=keep)

    def _inertia_lines(self) -> list[str]:
        rows = [
            f"{row['k']:>5}"
            f"  {six_digits(row['inertia_reduced']):>14}  {row['inertia_reduced_share']:>6.1%}"
            f"  {six_digits(row['inertia_full']):>14}  {row['inertia_full_share']:>6.1%}"
            for row in self._shown()
        ]
        return [
            "    k        reduced   share            full   share",
            *rows,
            "Shares are of the total variance of the same space. Inertia falls with k in any data, so "
            "a fall alone is no evidence.",
        ]

    def _evidence_lines(self, evidence: dict[str, Any]) -> list[str]:
        supported = set(evidence["supported"])
        rows = [
            f"{row['k']:>5}   {row['inertia_reduced_share']:>7.1%}  {row['inertia_full_share']:>5.1%}"
            f"{_pair(row, 'prediction_strength'):>13}{_pair(row, 'transfer_ari'):>14}"
            f"{_pair(row, 'held_out_gain'):>14}{_pair(row, 'jaccard_min'):>14}"
            f"{_pair(row, 'activity_share'):>13}{'   *' if row['k'] in supported else ''}".rstrip()
            for row in self._shown()
        ]
        n_customers = customers_in_words(evidence["n_customers"], is_sample=evidence["is_sample"])
        return [
            "        inertia share   prediction      transfer    held-out gain  least stable   activity",
            "    k  reduced   full   strength           ARI          bits         Jaccard       share",
            *rows,
            f"Each pair: these data | data without segments. From {n_customers}, "
            f"{counted(evidence['n_splits'], 'split')}, {counted(evidence['n_nulls'], 'null')}. "
            "* supported.",
            evidence["reason"],
        ]


def run(
    run_dir: Path,
    *,
    n_components: int,
    k_min: int,
    k_max: int | None,
    k_step: int,
    evidence: str | None,
    engine: Engine,
    seed: int,
) -> KExploration:
    """Read `MATRIX` and `PCA_MODEL`; write inertia and evidence for each k, with plots; return them.

    Raises
    ------
    ChoiceError
        If there are fewer components, or distinct customers, than asked for; if these data cannot bear
        the evidence that is.
    """
    parameters = {
        "n_components": n_components,
        "k_min": k_min,
        "k_max": k_max,
        "k_step": k_step,
        "evidence": evidence,
    }
    with open_stage(run_dir, "explore-k", parameters, seed=seed) as stage:
        matrix = stage.load(MATRIX)  # its entries are still on the disk
        pca = stage.load(PCA_MODEL)
        reduced = pca.first(n_components)  # its error first, if it holds fewer
        possible = choose_ks(k_min, k_max, k_step, n_customers=matrix.shape[0])  # likewise
        require_memory_for(
            stage,
            engine,
            per_customer=pca.n_components + n_components + len(possible) + KEPT_PER_CUSTOMER,
            per_item=pca.n_components + n_components + KEPT_PER_ITEM,
        )
        X = engine.blocks(matrix)
        ranks = rank(X)
        weighted = weigh(X, pca.weighting)
        # Not the first columns of all scores: products of another width may round otherwise, and
        # cluster shall meet the very same customers.
        scores = score(weighted, reduced)
        most = n_distinct(scores, max(k_min, k_max or DEFAULT_K_MAX))
        ks = choose_ks(k_min, k_max, k_step, n_customers=X.shape[0], n_distinct=most)
        sweep = _Sweep(matrix, weighted, pca, reduced, scores, ranks, seed, engine)
        while True:
            try:
                (fits_reduced, table, picture), gathered, no_evidence = sweep.explore(ks, evidence)
                break
            except FewDistinctError as error:  # some differ by less than k-means tells apart
                ks = [k for k in ks if k <= error.n_found]
                if k_max is not None or not ks:
                    raise
        document = None
        if gathered is not None:
            found = verdict(gathered)
            document = verdict_document(gathered, found)
            table = table | _evidence_columns(gathered, ks)
            stage.save(K_VERDICT, document)
            plot = plots.draw(
                plots.k_evidence,
                table,
                thresholds={"jaccard_mean": LEAST_STABILITY, "transfer_ari": LEAST_TRANSFER},
                supported=found.supported,
                recommended=found.recommended,
                n_silhouette=document["n_silhouette"],
            )
            stage.save(K_EVIDENCE_PLOT, plot.png())
        stage.save(K_SCORES, table)
        stage.save(INERTIA_PLOT, picture.png())
        return KExploration(
            n_components=n_components,
            weighting=pca.weighting.name,
            score_norm=pca.score_norm,
            scores=tuple(records(table)),
            not_converged=tuple(fit.k for fit in fits_reduced if not fit.converged),
            evidence=document,
            no_evidence=no_evidence,
            wrote=tuple(stage.writes),
        )


_Curve = tuple[list[KMeansFit], dict[str, np.ndarray], plots.Drawing]


@dataclass(frozen=True)
class _Sweep:
    """What is swept over k, whichever are tried.

    Attributes
    ----------
    matrix : unweighted
    weighted : its blocks, weighted
    pca, reduced : all the components held, and those chosen
    scores : ndarray of shape (n_customers, n_components), on those chosen
    """

    matrix: sp.csr_array
    weighted: Blocks
    pca: PCA
    reduced: PCA
    scores: np.ndarray
    ranks: Ranks
    seed: int
    engine: Engine

    def explore(
        self, ks: Sequence[int], evidence: str | None
    ) -> tuple[_Curve, KEvidence | None, str | None]:
        """Return the curve, the evidence gathered meanwhile, and why there is none.

        Raises
        ------
        ChoiceError
            If these data cannot bear the evidence that is asked for.
        FewDistinctError
            If fewer customers can be told apart than the largest k.
        """
        curve = cache(partial(self.curve, ks))
        level, no_evidence = evidence_level(evidence, self.matrix, ks)
        gathered = None
        if level is not None:
            (gathered,) = gather_evidence(
                self.matrix,
                [Recipe.of(self.reduced)],
                [k for k in ks if k > 1],
                ranks=self.ranks,
                seed=self.seed,
                level=level,
                engine=self.engine,
                meanwhile=curve,
            )
        return curve(), gathered, no_evidence

    def curve(self, ks: Sequence[int]) -> _Curve:
        """Return the partitions on the components chosen, the inertia for each k, and its picture.

        The full matrix is as it is weighted, whatever becomes of the norms of scores.
        """
        compared = self.engine.blocks(self.scores)
        choice: dict[str, Any] = {"customer_ranks": self.ranks.customers, "seed": self.seed}
        fits_reduced = fit_all(compared, ks, **choice, for_curve=True)
        fits_held = refit(
            self.engine.blocks(score(self.weighted, replace(self.pca, score_norm=KEPT))),
            fits_reduced,
            **choice,
            for_curve=True,
        )
        inertia_full = _inertias_in_full(self.weighted, fits_held, self.matrix.nnz)
        table = k_scores_table(self.pca, fits_reduced, total_inertia(compared), inertia_full)
        reduced = self.reduced
        picture = plots.draw(plots.inertia, table, reduced.n_components, reduced.weighting.name)
        return fits_reduced, table, picture


def _evidence_columns(gathered: KEvidence, ks: Sequence[int]) -> dict[str, np.ndarray]:
    """Return the evidence for each k as columns of `K_SCORES`; there is none for k = 1."""
    is_there = np.isin(ks, gathered.table["k"])
    found = {}
    for name, column in gathered.table.items():
        if name in ("k", "inertia_share"):  # which have columns already
            continue
        values = np.full(len(ks), np.nan)
        values[is_there] = column
        found[name.replace("inertia_share", "inertia_reduced_share")] = values
    return found


def verdict_document(gathered: KEvidence, found: KVerdict) -> dict[str, Any]:
    """Return what `k_verdict.json` holds."""
    return {
        "supported": list(found.supported),
        "recommended": found.recommended,
        "gain_peak": found.gain_peak,
        "reason": found.reason,
        "plain": found.plain,
        "near_limit": list(found.near_limit),
        "weighting": gathered.recipe.weighting,
        "n_components": gathered.recipe.n_components,
        "score_norm": gathered.recipe.score_norm,
        "n_customers": gathered.n_customers,
        "is_sample": gathered.is_sample,
        "n_silhouette": min(gathered.n_customers, silhouette.SAMPLE_SIZE),
        "n_splits": gathered.n_splits,
        "n_nulls": gathered.n_nulls,
    }


def choose_ks(
    k_min: int,
    k_max: int | None,
    k_step: int,
    *,
    n_customers: int,
    n_distinct: int | None = None,
) -> list[int]:
    """Return the numbers of segments to try, increasing.

    Parameters
    ----------
    k_min, k_max, k_step : as asked for; without a largest, up to `DEFAULT_K_MAX` or as many as can be
    n_customers : how many there are
    n_distinct : how many of them differ, or as many as matter; None if that is not known yet

    Raises
    ------
    ChoiceError
        If the largest asked for exceeds the number of customers, or of those who differ.
    """
    most = n_customers if n_distinct is None else n_distinct
    largest = min(DEFAULT_K_MAX, n_customers - 1, most) if k_max is None else k_max
    if max(k_min, largest) > most:
        option = "--k-max" if largest > most else "--k-min"
        distinct = " distinct" if most < n_customers else ""
        msg = (
            f"k = {max(k_min, largest)} is too large: there are {most:,}{distinct} customers. "
            f"Choose {option} {most} or less."
        )
        raise ChoiceError(msg)
    return list(range(k_min, max(largest, k_min) + 1, k_step))


def _inertias_in_full(
    weighted: Blocks, held: Sequence[KMeansFit], n_interactions: int
) -> np.ndarray:
    """Return the inertia on the full matrix for each k, by the partitions of all components held.

    Where that is quick they are improved on the full matrix; elsewhere they are measured there. More
    segments can only do better: cut one of the partition before.
    """
    n_centers = sum(fit.k for fit in held)
    n_items = weighted.shape[1]
    if n_interactions * n_centers <= FULL_WORK and n_items * n_centers <= FULL_ROOM:
        runs = refine(weighted, held, max_iterations=FULL_ITERATIONS, least_progress=CURVE_PROGRESS)
        inertias = np.array([run.inertia for run in runs])
    else:
        inertias = measure_inertias(weighted, held)
    return np.minimum.accumulate(inertias)


def k_scores_table(
    pca: PCA, reduced: Sequence[KMeansFit], total_reduced: float, inertia_full: np.ndarray
) -> dict[str, np.ndarray]:
    """Return one row per k: each inertia, and its share of the total, for k = 1, of its space.

    Shares are 0 to 1, 0 where every customer is at a center; each column is of shape (n_ks,).

    Parameters
    ----------
    pca : all the components held, which know the variance of the full matrix
    reduced : for each k, the partition on the components chosen
    total_reduced : the inertia of one segment on these
    inertia_full : ndarray of shape (n_ks,), on the full matrix
    """
    total_full = pca.total_variance * (pca.n_customers - 1)
    inertia_reduced = np.array([fit.inertia for fit in reduced])
    return {
        "k": np.array([fit.k for fit in reduced]),
        "inertia_reduced": inertia_reduced,
        "inertia_full": inertia_full,
        "inertia_reduced_share": inertia_reduced / total_reduced,
        "inertia_full_share": inertia_full / total_full,
    }


def _pair(row: dict[str, Any], measure: str) -> str:
    """Return a measure beside its null's; nothing where there is no evidence, as for one segment."""
    real, null = row[measure], row[f"{measure}_null"]
    return "" if real is None and null is None else f"{decimal(real)} | {decimal(null)}"


def _spread(rows: Sequence[dict[str, Any]], keep: Collection[int] = ()) -> list[dict[str, Any]]:
    """Return some of the rows: all of few, else small k and those to keep, then ever fewer."""
    if len(rows) <= _MOST_LINES:
        return list(rows)
    spread = np.geomspace(1, len(rows), _MOST_LINES).round().astype(int) - 1
    picks = set(spread) | set(range(_MOST_LINES // 2))
    return [row for i, row in enumerate(rows) if i in picks or row["k"] in keep]
