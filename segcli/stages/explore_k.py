"""explore-k: the inertia of k-means for each k, on the reduced data and on the full matrix."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from segcli import plots
from segcli.artifacts import open_stage, records
from segcli.artifacts.catalogue import INERTIA_PLOT, K_SCORES, MATRIX, PCA_MODEL
from segcli.engine import Engine
from segcli.errors import ChoiceError
from segcli.numerics.kmeans import KMeansFit, fit_all, refine
from segcli.numerics.pca import PCA, score
from segcli.numerics.ranks import rank
from segcli.numerics.weighting import weigh

DEFAULT_K_MAX = 50
FULL_ITERATIONS = 20
"""Lloyd steps on the full matrix, from the partition found on all the components held."""


@dataclass(frozen=True)
class KExploration:
    """What explore-k found.

    Attributes
    ----------
    n_components : int, of the reduced data
    weighting : str
    scores : tuple of dict, the rows of k_scores.csv
    not_converged : tuple of int, the k whose centers still moved at the last step
    wrote : tuple of str, the files written
    """

    n_components: int
    weighting: str
    scores: tuple[dict[str, Any], ...]
    not_converged: tuple[int, ...]
    wrote: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        rows = [
            f"{row['k']:>5}  {row['inertia_reduced']:>14,.6g}  {row['inertia_reduced_share']:>6.1%}"
            f"  {row['inertia_full']:>14,.6g}  {row['inertia_full_share']:>6.1%}"
            for row in _spread(self.scores)
        ]
        lines = [
            f"k-means of the {self.weighting} matrix, on {self.n_components} components and in full.",
            "    k        reduced   share            full   share",
            *rows,
        ]
        if self.not_converged:
            ks = ", ".join(map(str, self.not_converged))
            lines.append(f"Not converged after the last step allowed, k = {ks}.")
        lines.append(
            "Shares are of the total variance of the same space; inertia falls with k in any data, "
            "so a fall alone is no evidence. Look at inertia.png, choose k, then run cluster."
        )
        return lines


def run(
    run_dir: Path,
    *,
    n_components: int,
    k_min: int,
    k_max: int | None,
    k_step: int,
    engine: Engine,
    seed: int,
) -> KExploration:
    """Read `MATRIX` and `PCA_MODEL`; write `K_SCORES` and `INERTIA_PLOT`; return the scores."""
    parameters = {"n_components": n_components, "k_min": k_min, "k_max": k_max, "k_step": k_step}
    with open_stage(run_dir, "explore-k", parameters, seed=seed) as stage:
        X = engine.blocks(stage.load(MATRIX))
        pca = stage.load(PCA_MODEL)
        reduced = pca.first(n_components)
        ks = choose_ks(k_min, k_max, k_step, n_customers=X.shape[0])
        ranks = rank(X).customers
        weighted = weigh(X, pca.weighting)
        scores = score(weighted, pca)
        on_reduced = engine.blocks(np.ascontiguousarray(scores[:, :n_components]))
        fits_reduced = fit_all(on_reduced, ks, customer_ranks=ranks, seed=seed)
        fits_held = fit_all(engine.blocks(scores), ks, customer_ranks=ranks, seed=seed)
        fits_full = refine(
            weighted, fits_held, customer_ranks=ranks, max_iterations=FULL_ITERATIONS
        )
        table = k_scores_table(reduced, fits_reduced, fits_full)
        stage.save(K_SCORES, table)
        stage.save(INERTIA_PLOT, plots.inertia(table, n_components, pca.weighting.name))
        return KExploration(
            n_components=n_components,
            weighting=pca.weighting.name,
            scores=tuple(records(table)),
            not_converged=tuple(fit.k for fit in fits_reduced if not fit.converged),
            wrote=tuple(stage.writes),
        )


def choose_ks(k_min: int, k_max: int | None, k_step: int, *, n_customers: int) -> list[int]:
    """Return the numbers of segments to try.

    Raises
    ------
    ChoiceError
        If the largest asked for exceeds the number of customers.
    """
    largest = min(DEFAULT_K_MAX, n_customers - 1) if k_max is None else k_max
    if max(k_min, largest) > n_customers:
        msg = (
            f"k = {max(k_min, largest)} is too large: there are {n_customers} customers. "
            f"Choose --k-max {n_customers} or less."
        )
        raise ChoiceError(msg)
    return list(range(k_min, max(largest, k_min) + 1, k_step))


def k_scores_table(
    pca: PCA, reduced: Sequence[KMeansFit], full: Sequence[KMeansFit]
) -> pd.DataFrame:
    """Return one row per k: each inertia, and its share of the total variance of its space."""
    degrees = pca.n_customers - 1
    inertia_reduced = np.array([fit.inertia for fit in reduced])
    inertia_full = np.array([fit.inertia for fit in full])
    return pd.DataFrame(
        {
            "k": [fit.k for fit in reduced],
            "inertia_reduced": inertia_reduced,
            "inertia_full": inertia_full,
            "inertia_reduced_share": inertia_reduced / (pca.explained_variance.sum() * degrees),
            "inertia_full_share": inertia_full / (pca.total_variance * degrees),
        }
    )


def _spread(rows: Sequence[dict[str, Any]], n: int = 12) -> list[dict[str, Any]]:
    """Return at most n of the rows, evenly spread, both ends included."""
    picks = np.unique(np.linspace(0, len(rows) - 1, min(n, len(rows))).round().astype(int))
    return [rows[pick] for pick in picks]
