"""Item by item, what each segment has: how many of its customers, of what value, at what mean tf-idf."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from segcli.engine import Block, Blocks
from segcli.engine.sparse_views import with_values
from segcli.numerics.weighting import smooth_idf, unit_rows


@dataclass(frozen=True)
class Profiles:
    """Item by item figures of each segment.

    Attributes
    ----------
    tfidf : ndarray of shape (k, n_items)
        Mean tf-idf of the segment's customers: scikit-learn's definition (smooth idf, each
        customer's row scaled to length 1), 0 to 1. Large for what the segment does much and others
        little, and still for what everybody does.
    customers : ndarray of shape (k, n_items), how many of the segment's customers have the item
    totals : ndarray of shape (k, n_items), sums of values
    sizes : ndarray of shape (k,), customers in the segment
    everyone : ndarray of shape (n_items,), customers who have the item, in a segment or in none
    n_everyone : int, all customers
    """

    tfidf: np.ndarray
    customers: np.ndarray
    totals: np.ndarray
    sizes: np.ndarray
    everyone: np.ndarray
    n_everyone: int

    @property
    def shares(self) -> np.ndarray:
        """The share of each segment's customers that have the item, 0 to 1; shape (k, n_items)."""
        return np.asarray(self.customers / np.maximum(self.sizes, 1)[:, None])


def profile_segments(X: Blocks, labels: np.ndarray, k: int) -> Profiles:
    """Return the profiles of the segments.

    Parameters
    ----------
    X : sparse blocks of shape (n_customers, n_items), unweighted
    labels : ndarray of shape (n_customers,), values in 0..k-1; negative for those in no segment
    """
    groups = np.where(labels < 0, k, labels)  # those in no segment are the last group
    customers, totals = X.map_sum(_support, groups, k + 1)
    sizes = np.bincount(groups, minlength=k + 1)[:k]
    everyone = customers.sum(axis=0)
    idf = smooth_idf(X.shape[0], everyone)
    (sums,) = X.map_sum(_tfidf_sums, groups, k + 1, idf)
    return Profiles(
        tfidf=sums[:k] / np.maximum(sizes, 1)[:, None],
        customers=customers[:k],
        totals=totals[:k],
        sizes=sizes,
        everyone=everyone,
        n_everyone=X.shape[0],
    )


def _support(block: Block, labels: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    X: sp.csr_array = block.matrix
    members = _membership(block, labels, k)
    present = with_values(X, (X.data != 0).astype(np.float64))
    return (members.T @ present).toarray(), (members.T @ X).toarray()


def _tfidf_sums(block: Block, labels: np.ndarray, k: int, idf: np.ndarray) -> tuple[np.ndarray]:
    X: sp.csr_array = block.matrix
    weighted = with_values(X, X.data * idf[X.indices])
    return ((_membership(block, labels, k).T @ unit_rows(weighted)).toarray(),)


def _membership(block: Block, labels: np.ndarray, k: int) -> sp.csr_array:
    n = block.stop - block.start
    return sp.csr_array((np.ones(n), labels[block.rows], np.arange(n + 1)), shape=(n, k))
