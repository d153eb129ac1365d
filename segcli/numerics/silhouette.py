"""How well separated are the segments? Silhouettes on a sample of customers.

References
----------
Rousseeuw (1987), "Silhouettes: a graphical aid to the interpretation and validation of cluster
analysis", J. Comput. Appl. Math. 20, 53-65, doi:10.1016/0377-0427(87)90125-7.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

SAMPLE_SIZE = 2000
"""Customers, at most: all pairs of them are compared."""


def mean_silhouettes(
    scores: np.ndarray,
    labellings: Sequence[np.ndarray],
    *,
    rng: np.random.Generator,
    sample_size: int = SAMPLE_SIZE,
) -> list[float]:
    """Return the mean silhouette of each of several segmentations, on a sample of the customers.

    -1 to 1, 1 is best: how much nearer a customer is to the own segment than to the next. About 0,
    segments touch; negative, the customer is nearer to another segment; NaN if all of the sample are
    of one segment. It is high for any split of data that differ in activity alone: read it beside its
    null. The distances are computed once, and serve all.

    Parameters
    ----------
    scores : ndarray of shape (n_customers, n_components), in rank order
    labellings : ndarrays of shape (n_customers,)
    rng : draws the sample
    sample_size : customers in it, at most
    """
    if not labellings:
        return []
    from scipy.spatial.distance import cdist  # takes a while to load, and not all need it

    rows = np.sort(rng.permutation(len(scores))[:sample_size])
    distances = cdist(scores[rows], scores[rows])
    return [float(silhouette_values(distances, labels[rows]).mean()) for labels in labellings]


def silhouette_values(distances: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return each customer's silhouette, as scikit-learn's ``silhouette_samples`` does.

    One sparse product per segmentation instead of a pass in Python over the customers: a sweep over
    k needs dozens.

    Parameters
    ----------
    distances : ndarray of shape (n, n), symmetric
    labels : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (n,), 0 for a segment's only customer; NaN if there is one segment only
    """
    present, own = np.unique(labels, return_inverse=True)
    n, k = len(labels), len(present)
    if k < 2:
        return np.full(n, np.nan)
    sizes = np.bincount(own)
    members = sp.csc_array((np.ones(n), own, np.arange(n + 1)), shape=(k, n))
    sums = members @ distances  # symmetric: of segments with customers
    customers = np.arange(n)
    inside = sums[own, customers] / np.maximum(sizes[own] - 1, 1)
    means = sums / sizes[:, None]
    means[own, customers] = np.inf
    outside = means.min(axis=0)
    larger = np.maximum(inside, outside)
    values = np.divide(outside - inside, larger, out=np.zeros(n), where=larger > 0)
    return np.where(sizes[own] > 1, values, 0.0)
