"""The customers to look at when one wants to see a segment: those nearest to its center."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segcli.numerics.profiles import top


@dataclass(frozen=True)
class TypicalCustomers:
    """The most typical customers of one segment, the most typical first.

    Attributes
    ----------
    segment : int
    customers : ndarray of int, positions; fewer than asked where the segment is smaller
    distances : ndarray, to the segment's center
    membership : ndarray, how often each lands in the segment over resamples, 0 to 1; None if unknown
    """

    segment: int
    customers: np.ndarray
    distances: np.ndarray
    membership: np.ndarray | None


def typical_customers(
    labels: np.ndarray,
    distances: np.ndarray,
    k: int,
    *,
    customer_ranks: np.ndarray,
    n: int = 5,
    membership: np.ndarray | None = None,
) -> tuple[TypicalCustomers, ...]:
    """Return each segment's customers nearest to its center.

    Distances equal to twelve digits are ties, which go to the lower rank.

    Parameters
    ----------
    labels : ndarray of shape (n_customers,), values in 0..k-1; negative for the unassigned
    distances : ndarray of shape (n_customers,), of each customer to its own segment's center
    k : int
    customer_ranks : ndarray of shape (n_customers,), from `segcli.numerics.ranks`
    n : customers to list per segment
    membership : ndarray of shape (n_customers,), in the customer's own segment
    """
    result = []
    for segment in range(k):
        members = np.flatnonzero(labels == segment)
        nearest = members[top(-distances[members], n, customer_ranks[members])]
        result.append(
            TypicalCustomers(
                segment=segment,
                customers=nearest,
                distances=distances[nearest],
                membership=None if membership is None else membership[nearest],
            )
        )
    return tuple(result)
