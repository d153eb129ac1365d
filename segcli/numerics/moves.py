"""Who is where since an earlier segmentation, and which segments are the same as then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from segcli.numerics.agreement import contingency, jaccard_similarities
from segcli.numerics.stability import GRADES

LEAST_SIMILARITY = min(least for least, _ in GRADES)
"""Jaccard similarity from which two segments are the same: below, Hennig would not trust it."""

LEAST_CUSTOMERS = 5
"""Customers in both segments for them to be the same; fewer only if there are no others in either."""


@dataclass(frozen=True)
class Moves:
    """Where customers were, and where they are.

    Attributes
    ----------
    counts : ndarray of shape (k_earlier + 2, k + 2)
        Customers by where they were (row) and are (column): in a segment; last but one, unassigned;
        last, not among the customers.
    """

    counts: np.ndarray

    @property
    def n_both(self) -> int:
        """How many customers there were and are."""
        return int(self.counts[:-1, :-1].sum())

    @property
    def n_stayed(self) -> int:
        """How many of those are in the same segment."""
        kept = np.flatnonzero(self.same >= 0)
        return int(self.counts[self.same[kept], kept].sum())

    @property
    def similarity(self) -> np.ndarray:
        """Jaccard similarity of segments among the customers of both times, shape (k_earlier, k)."""
        return jaccard_similarities(self.counts[:-1, :-1])[:-1, :-1]

    @property
    def same(self) -> np.ndarray:
        """The earlier segment that each segment is the same as; -1 where there is none; shape (k,)."""
        sizes = self.counts[:-2].sum(axis=1, keepdims=True), self.counts[:, :-2].sum(axis=0)
        enough = self.counts[:-2, :-2] >= np.minimum(LEAST_CUSTOMERS, np.maximum(*sizes))
        found = (self.similarity >= LEAST_SIMILARITY) & enough
        return np.where(found.any(axis=0), found.argmax(axis=0), -1)


def count_moves(
    earlier: Mapping[str, np.ndarray], k_earlier: int, now: Mapping[str, np.ndarray], k: int
) -> Moves:
    """Return where the customers of two times were and are.

    Parameters
    ----------
    earlier, now : columns ``customer`` and ``segment``: ids, and labels, -1 for the unassigned
    k_earlier, k : how many segments there were and are
    """
    was, are = (
        np.where(table["segment"] >= 0, table["segment"], n)
        for table, n in ((earlier, k_earlier), (now, k))
    )
    was_in = dict(zip(earlier["customer"].tolist(), was.tolist(), strict=True))
    of_now = [was_in.get(customer, k_earlier + 1) for customer in now["customer"].tolist()]
    counts = contingency(np.array(of_now), are, k_earlier + 2, k + 2)
    counts[:-1, -1] = np.bincount(was, minlength=k_earlier + 1) - counts[:-1].sum(axis=1)
    return Moves(counts)
