"""explore-pca: how much of the variance the components hold, to choose their number."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from segcli import plots
from segcli.artifacts import open_stage
from segcli.artifacts.catalogue import (
    EXPLAINED_VARIANCE,
    EXPLAINED_VARIANCE_PLOT,
    MATRIX,
    PCA_MODEL,
)
from segcli.engine import Engine
from segcli.errors import ChoiceError
from segcli.numerics.pca import PCA, fit_pca, n_components_limit
from segcli.numerics.ranks import rank
from segcli.numerics.weighting import fit_weighting, weigh

DEFAULT_MAX_COMPONENTS = 50


@dataclass(frozen=True)
class PCAExploration:
    """What explore-pca found.

    Attributes
    ----------
    weighting : str
    n_components : int, how many were computed
    explained_variance_ratio : tuple of float, each component's share of the total variance
    total_variance : float, of the weighted matrix
    wrote : tuple of str, the files written
    """

    weighting: str
    n_components: int
    explained_variance_ratio: tuple[float, ...]
    total_variance: float
    wrote: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        ratios = self.explained_variance_ratio
        cumulative = np.cumsum(ratios)
        shown = [p for p in (1, 2, 3, 5, 10, 20, 50, 100, 200) if p <= self.n_components]
        rows = [f"{p:>10}  {ratios[p - 1]:>8.1%}  {cumulative[p - 1]:>10.1%}" for p in shown]
        return [
            f"{self.n_components} components of the {self.weighting} matrix.",
            " component     share  cumulative",
            *rows,
            "Look at explained_variance.png, choose a number of components, then run explore-k.",
        ]


def run(
    run_dir: Path,
    *,
    max_components: int | None,
    weighting: str,
    engine: Engine,
    seed: int,
) -> PCAExploration:
    """Read `MATRIX`; write `PCA_MODEL`, `EXPLAINED_VARIANCE` and its plot; return what was found."""
    parameters = {"max_components": max_components, "weighting": weighting}
    with open_stage(run_dir, "explore-pca", parameters, seed=seed) as stage:
        X = engine.blocks(stage.load(MATRIX))
        n_components = _n_components(max_components, *X.shape)
        fitted = fit_weighting(X, weighting)
        pca = fit_pca(weigh(X, fitted), fitted, n_components, item_ranks=rank(X).items, seed=seed)
        _check_rank(pca, max_components)
        table = explained_variance_table(pca)
        stage.save(PCA_MODEL, pca)
        stage.save(EXPLAINED_VARIANCE, table)
        stage.save(EXPLAINED_VARIANCE_PLOT, plots.explained_variance(table, weighting))
        return PCAExploration(
            weighting=weighting,
            n_components=pca.n_components,
            explained_variance_ratio=tuple(pca.explained_variance_ratio.tolist()),
            total_variance=pca.total_variance,
            wrote=tuple(stage.writes),
        )


def explained_variance_table(pca: PCA) -> pd.DataFrame:
    """Return one row per component: its variance, its share of the total, and the running share."""
    ratio = pca.explained_variance_ratio
    return pd.DataFrame(
        {
            "component": np.arange(1, pca.n_components + 1),
            "explained_variance": pca.explained_variance,
            "explained_variance_ratio": ratio,
            "cumulative": np.cumsum(ratio),
        }
    )


def _n_components(asked: int | None, n_customers: int, n_items: int) -> int:
    limit = n_components_limit(n_customers, n_items)
    if asked is None:
        return min(DEFAULT_MAX_COMPONENTS, limit)
    if asked > limit:
        msg = (
            f"--max-components {asked} is too large: {n_customers} customers and {n_items} items "
            f"have at most {limit} components. Choose {limit} or fewer."
        )
        raise ChoiceError(msg)
    return asked


def _check_rank(pca: PCA, asked: int | None) -> None:
    if asked is not None and pca.n_components < asked:
        msg = (
            f"--max-components {asked} is too large: only {pca.n_components} components have any "
            f"variance. Choose {pca.n_components} or fewer."
        )
        raise ChoiceError(msg)
