"""cluster: k-means on the scores at the chosen k; one segment per customer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from segcli.artifacts import open_stage
from segcli.artifacts.catalogue import (
    CUSTOMERS,
    ITEMS,
    MATRIX,
    PCA_MODEL,
    PROJECTED,
    SEGMENTATION,
    SEGMENTS,
)
from segcli.engine import Engine
from segcli.numerics.agreement import variance_explained
from segcli.numerics.kmeans import assign, fit_kmeans
from segcli.numerics.pca import score
from segcli.numerics.ranks import rank
from segcli.numerics.segmentation import Segmentation
from segcli.numerics.weighting import weigh


@dataclass(frozen=True)
class Clustering:
    """What cluster made.

    Attributes
    ----------
    k : int
    n_components : int
    weighting : str
    sizes : tuple of int, customers in each segment, largest first
    inertia : float
    inertia_share : float, of the total variance of the scores; 0 to 1
    converged : bool
    activity_share : float
        Share of the variance of log activity (number of interactions) that lies between segments, 0
        to 1. Near 1, the segments are light and heavy customers.
    wrote : tuple of str, the files written
    """

    k: int
    n_components: int
    weighting: str
    sizes: tuple[int, ...]
    inertia: float
    inertia_share: float
    converged: bool
    activity_share: float
    wrote: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return the summary for a person."""
        total = sum(self.sizes)
        largest, smallest = self.sizes[0] / total, self.sizes[-1] / total
        lines = [
            f"{total:,} customers in {self.k} segments, on {self.n_components} components of the "
            f"{self.weighting} matrix.",
            f"Sizes from {self.sizes[0]:,} ({largest:.1%}) to {self.sizes[-1]:,} ({smallest:.1%}): "
            + ", ".join(f"{size:,}" for size in self.sizes[:12])
            + (" …" if self.k > 12 else ""),
            f"Inertia {self.inertia:,.6g}, {self.inertia_share:.1%} of the variance of the scores.",
            f"{self.activity_share:.0%} of the variance of log activity lies between the segments"
            + (
                ": they mostly sort customers by how much they do."
                if self.activity_share > 0.5
                else "."
            ),
        ]
        if not self.converged:
            lines.append("k-means had not converged at the last step allowed.")
        return lines


def run(
    run_dir: Path, *, n_components: int, n_clusters: int, engine: Engine, seed: int
) -> Clustering:
    """Read `MATRIX` and `PCA_MODEL`; write `SEGMENTATION`, `PROJECTED` and `SEGMENTS`."""
    parameters = {"n_components": n_components, "n_clusters": n_clusters}
    with open_stage(run_dir, "cluster", parameters, seed=seed) as stage:
        matrix = stage.load(MATRIX)
        X = engine.blocks(matrix)
        pca = stage.load(PCA_MODEL).first(n_components)
        scores = score(weigh(X, pca.weighting), pca)
        fit = fit_kmeans(
            engine.blocks(scores), n_clusters, customer_ranks=rank(X).customers, seed=seed
        )
        _, distances = assign(scores, fit.centers)
        items = tuple(stage.load(ITEMS)["item"])
        stage.save(SEGMENTATION, Segmentation(items, pca, fit.centers))
        stage.save(PROJECTED, {"scores": scores})
        stage.save(
            SEGMENTS, segments_table(stage.load(CUSTOMERS)["customer"], fit.labels, distances)
        )
        activity = np.log1p(np.diff(matrix.indptr))
        variance = float(pca.explained_variance.sum()) * (pca.n_customers - 1)
        return Clustering(
            k=n_clusters,
            n_components=n_components,
            weighting=pca.weighting.name,
            sizes=tuple(fit.sizes.tolist()),
            inertia=fit.inertia,
            inertia_share=fit.inertia / variance,
            converged=fit.converged,
            activity_share=variance_explained(activity, fit.labels),
            wrote=tuple(stage.writes),
        )


def segments_table(customers: pd.Series, labels: np.ndarray, distances: np.ndarray) -> pd.DataFrame:
    """Return one row per customer: segment, and distance to its center to six digits."""
    rounded = [float(f"{distance:.6g}") for distance in distances]
    return pd.DataFrame({"customer": customers, "segment": labels, "distance": rounded})
