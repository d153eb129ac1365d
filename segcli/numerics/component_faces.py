"""What a component is about: who scores high on it, and which items stand at its two ends."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from segcli.numerics.profiles import top

N_TOP = 5
"""Items to list at each end of a component."""


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
        Fewer than asked, or none, where fewer items load on that side.
    positive_loadings, negative_loadings : ndarray, their loadings
    """

    component: int
    activity_correlation: float
    popularity_correlation: float
    positive: np.ndarray
    positive_loadings: np.ndarray
    negative: np.ndarray
    negative_loadings: np.ndarray


def describe_components(
    scores: np.ndarray,
    loadings: np.ndarray,
    X: sp.csr_array,
    *,
    item_ranks: np.ndarray,
    n_top: int = N_TOP,
) -> tuple[ComponentFace, ...]:
    """Return the face of each component.

    Parameters
    ----------
    scores : ndarray of shape (n_customers, n_components)
    loadings : ndarray of shape (n_components, n_items)
    X : csr_array of shape (n_customers, n_items), unweighted
        Customers without items are left out of the correlation, as items without customers are.
    item_ranks : ndarray of shape (n_items,), from `segcli.numerics.ranks`; they break ties
    n_top : items to list at each end
    """
    activity = np.diff(X.indptr)
    popularity = np.bincount(X.indices, minlength=X.shape[1])
    active, known = activity > 0, popularity > 0
    by_activity = correlations(scores[active].T, np.log(activity[active]))
    by_popularity = correlations(loadings[:, known], np.log(popularity[known]))
    faces = []
    for p, loading in enumerate(loadings):
        positive, negative = (_strongest(side, item_ranks, n_top) for side in (loading, -loading))
        faces.append(
            ComponentFace(
                component=p + 1,
                activity_correlation=float(by_activity[p]),
                popularity_correlation=float(by_popularity[p]),
                positive=positive,
                positive_loadings=loading[positive],
                negative=negative,
                negative_loadings=loading[negative],
            )
        )
    return tuple(faces)


def correlations(rows: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of each row with ``x``, -1 to 1; NaN where either is constant.

    Parameters
    ----------
    rows : ndarray of shape (p, n)
    x : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (p,)
    """
    if x.size == 0 or np.ptp(x) == 0:
        return np.full(len(rows), np.nan)
    varies = np.ptp(rows, axis=1) > 0  # rounding would leave something of a constant about its mean
    rows = rows - rows.mean(axis=1, keepdims=True)
    x = x - x.mean()
    lengths = np.linalg.norm(rows, axis=1) * np.linalg.norm(x)
    defined = varies & (lengths > 0)
    result = np.full(len(rows), np.nan)
    result[defined] = np.clip((rows @ x)[defined] / lengths[defined], -1, 1)
    return result


def _strongest(loading: np.ndarray, item_ranks: np.ndarray, n: int) -> np.ndarray:
    """Return the positions of the n largest positive loadings."""
    candidates = np.flatnonzero(loading > 0)
    return np.asarray(candidates[top(loading[candidates], n, item_ranks[candidates])])
