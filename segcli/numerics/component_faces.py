"""What a component is about: who scores high on it, and which items stand at its two ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from segcli.engine import Block, Blocks
from segcli.numerics.pca import PCA
from segcli.numerics.ranks import top

N_TOP = 5
"""Items to list at each end of a component."""

_CONSTANT = 1e-12
"""Of scores' squares: a share about the mean that may be rounding."""


@dataclass(frozen=True)
class ComponentFace:
    """One component, as a person can grasp it. Its sign is a convention: the ends may be swapped.

    Attributes
    ----------
    component : int, 1 for the first
    activity_correlation : float, -1 to 1
        Of customers' scores with the log of their number of interactions. Near ±1 the component
        tells heavy from light customers. NaN where all are equally active.
    popularity_correlation : float, -1 to 1
        Of items' loadings with the log of their number of customers. Near ±1 it tells bestsellers
        from rare items. NaN where all are equally popular.
    positive, negative : ndarray of int, items' positions, the strongest loading first
        `N_TOP` at each end; fewer, or none, where fewer items load on that side.
    """

    component: int
    activity_correlation: float
    popularity_correlation: float
    positive: np.ndarray
    negative: np.ndarray


def describe_components(
    weighted: Blocks,
    pca: PCA,
    X: sp.csr_array,
    *,
    item_ranks: np.ndarray,
) -> tuple[ComponentFace, ...]:
    """Return the face of each component, after one pass that holds nobody's scores.

    Parameters
    ----------
    weighted : sparse blocks of shape (n_customers, n_items), of which the components are
    pca : the components
    X : csr_array of shape (n_customers, n_items), unweighted
        Customers without items are left out of the correlation, as items without customers are.
    item_ranks : ndarray of shape (n_items,), from `segcli.numerics.ranks`; they break ties
    """
    by_activity = _activity_correlations(weighted, pca, np.diff(X.indptr))
    popularity = np.bincount(X.indices, minlength=X.shape[1])
    known = popularity > 0
    log_popularity = np.log(popularity[known])
    faces = []
    for p, loading in enumerate(pca.loadings):
        positive, negative = (_strongest(side, item_ranks) for side in (loading, -loading))
        faces.append(
            ComponentFace(
                component=p + 1,
                activity_correlation=float(by_activity[p]),
                popularity_correlation=correlation(loading[known], log_popularity),
                positive=positive,
                negative=negative,
            )
        )
    return tuple(faces)


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Return Pearson's correlation, -1 to 1; NaN where either is constant."""
    if x.size == 0 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return float("nan")
    x, y = x - x.mean(), y - y.mean()
    length = np.linalg.norm(x) * np.linalg.norm(y)
    return float(np.clip(x @ y / length, -1, 1)) if length > 0 else float("nan")


def _activity_correlations(weighted: Blocks, pca: PCA, activity: np.ndarray) -> np.ndarray:
    """Return, for each component, the correlation of the scores with the log of the activity.

    Of those with any; NaN where either is constant.
    """
    is_active = activity > 0
    undefined = np.full(pca.n_components, np.nan)
    if not is_active.any() or np.ptp(activity[is_active]) == 0:
        return undefined
    deviations = np.zeros(len(activity))
    deviations[is_active] = np.log(activity[is_active])
    deviations[is_active] -= deviations[is_active].mean()
    sums, squares, products = weighted.map_sum(_score_sums, pca, is_active, deviations)
    about_mean = squares - sums**2 / np.count_nonzero(is_active)
    lengths = np.sqrt(np.maximum(about_mean, 0)) * np.linalg.norm(deviations)
    varies = about_mean > _CONSTANT * squares
    found = np.divide(products, lengths, out=undefined, where=varies)
    return np.asarray(np.clip(found, -1, 1))


def _score_sums(
    block: Block, pca: PCA, is_active: np.ndarray, deviations: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the active customers' sums of scores, of their squares, and of their products."""
    scores = pca.project_weighted(block.matrix)
    active = is_active[block.rows].astype(np.float64)
    return active @ scores, active @ scores**2, deviations[block.rows] @ scores


def _strongest(loading: np.ndarray, item_ranks: np.ndarray) -> np.ndarray:
    """Return the positions of the largest positive loadings."""
    candidates = np.flatnonzero(loading > 0)
    return np.asarray(candidates[top(loading[candidates], N_TOP, item_ranks[candidates])])
