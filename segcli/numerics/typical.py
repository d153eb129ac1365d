"""The customers to look at when one wants to see a segment: those nearest to its center."""

from __future__ import annotations

import numpy as np

from segcli.numerics.profiles import top


def typical_customers(
    labels: np.ndarray,
    distances: np.ndarray,
    k: int,
    *,
    customer_ranks: np.ndarray,
    n: int = 5,
) -> list[np.ndarray]:
    """Return each segment's customers nearest to its center, the nearest first.

    Distances equal to twelve digits are ties, which go to the lower rank.

    Parameters
    ----------
    labels : ndarray of shape (n_customers,), values in 0..k-1; negative for the unassigned
    distances : ndarray of shape (n_customers,), of each customer to its own segment's center
    k : int
    customer_ranks : ndarray of shape (n_customers,), from `segcli.numerics.ranks`
    n : customers to list per segment

    Returns
    -------
    list of k ndarrays of positions; fewer than asked for where the segment is smaller
    """
    members = [np.flatnonzero(labels == segment) for segment in range(k)]
    return [own[top(-distances[own], n, customer_ranks[own])] for own in members]
