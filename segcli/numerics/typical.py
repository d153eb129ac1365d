"""The customers to look at when one wants to see a segment.

Of a segment that many kinds of customers share, those nearest to its center may have nothing of what marks
it. So those come first who have of that as much as half of the segment, and something at least.
"""

from __future__ import annotations

import numpy as np

from segcli.numerics.ranks import top


def typical_customers(
    labels: np.ndarray,
    distances: np.ndarray,
    k: int,
    *,
    n_marks: np.ndarray,
    customer_ranks: np.ndarray,
    n: int = 5,
) -> list[np.ndarray]:
    """Return each segment's most typical customers.

    Those who have some of the items that mark the segment, at least as many as its median customer, and
    of these the ones nearest to its center, the nearest first; if they are too few, the nearest of the
    others come after them. Distances equal to twelve digits are ties, which go to the lower rank.

    Parameters
    ----------
    labels : ndarray of shape (n_customers,), values in 0..k-1; negative for the unassigned
    distances : ndarray of shape (n_customers,), of each customer to its own segment's center
    k : int
    n_marks : ndarray of shape (n_customers,), how many of the items that mark the own segment each has
    customer_ranks : ndarray of shape (n_customers,), from `segcli.numerics.ranks`
    n : customers to list per segment

    Returns
    -------
    list of k ndarrays of positions; fewer than asked for where the segment is smaller
    """

    def nearest(rows: np.ndarray, n: int) -> np.ndarray:
        return np.asarray(rows[top(-distances[rows], n, customer_ranks[rows])])

    found = []
    for segment in range(k):
        own = np.flatnonzero(labels == segment)
        least = max(float(np.median(n_marks[own])), 1) if len(own) else 1
        marked = n_marks[own] >= least
        first = nearest(own[marked], n)
        found.append(np.concatenate([first, nearest(own[~marked], n - len(first))]))
    return found
