"""How well separated are the segments? Silhouettes on a sample of customers.

References
----------
Rousseeuw (1987), "Silhouettes: a graphical aid to the interpretation and validation of cluster
analysis", J. Comput. Appl. Math. 20, 53-65, doi:10.1016/0377-0427(87)90125-7.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

SAMPLE_SIZE = 2000
"""Customers, at most: all pairs of them are compared."""


@dataclass(frozen=True)
class Silhouette:
    """Silhouettes of a segmentation, on a sample of customers.

    -1 to 1, 1 is best: how much nearer a customer is to the own segment than to the next. About 0,
    segments touch; negative, the customer is nearer to another segment. It is high for any split of
    data that differ in activity alone: read it beside its null.

    Attributes
    ----------
    mean : float, over the customers of the sample; NaN if they are all of one segment
    segments : ndarray of shape (k,), over each segment's; NaN for one without customers there
    """

    mean: float
    segments: np.ndarray


def silhouettes(
    scores: np.ndarray,
    labellings: Sequence[np.ndarray],
    *,
    rng: np.random.Generator,
    sample_size: int = SAMPLE_SIZE,
) -> list[Silhouette]:
    """Return the silhouettes of several segmentations of the same customers.

    The distances are computed once, and serve all.

    Parameters
    ----------
    scores : ndarray of shape (n_customers, n_components), in rank order
    labellings : ndarrays of shape (n_customers,), values from 0 up
    rng : draws the sample
    sample_size : customers in it, at most
    """
    if not labellings:
        return []
    from scipy.spatial.distance import cdist  # takes a while to load, and not all need it

    rows = np.sort(rng.permutation(len(scores))[:sample_size])
    distances = cdist(scores[rows], scores[rows])
    found = []
    for labels in labellings:
        values, k = silhouette_values(distances, labels[rows]), int(labels.max()) + 1
        sizes = np.bincount(labels[rows], minlength=k)
        sums = np.bincount(labels[rows], values, k)
        segments = np.divide(sums, sizes, out=np.full(k, np.nan), where=sizes > 0)
        found.append(Silhouette(float(values.mean()), segments))
    return found


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
