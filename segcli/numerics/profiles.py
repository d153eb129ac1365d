"""What the segments are made of: sizes, activity, and the items that mark them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from segcli.engine import Block, Blocks
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
    """

    tfidf: np.ndarray
    customers: np.ndarray
    totals: np.ndarray
    sizes: np.ndarray

    @property
    def shares(self) -> np.ndarray:
        """The share of each segment's customers that have the item, 0 to 1; shape (k, n_items)."""
        return np.asarray(self.customers / np.maximum(self.sizes, 1)[:, None])


def profile_segments(X: Blocks, labels: np.ndarray, k: int) -> Profiles:
    """Return the profiles of the segments.

    Parameters
    ----------
    X : sparse blocks of shape (n_customers, n_items), unweighted
    labels : ndarray of shape (n_customers,), values in 0..k-1
    """
    customers, totals = X.map_sum(_support, labels, k)
    sizes = np.bincount(labels, minlength=k)
    idf = smooth_idf(X.shape[0], customers.sum(axis=0))
    (sums,) = X.map_sum(_tfidf_sums, labels, k, idf)
    return Profiles(sums / np.maximum(sizes, 1)[:, None], customers, totals, sizes)


def top(scores: np.ndarray, n: int) -> np.ndarray:
    """Return the positions of the n largest scores, largest first; ties in order of position.

    Scores equal to 12 digits are ties, so that rounding does not decide the order.
    """
    rounded = np.array([float(f"{score:.12g}") for score in scores])
    return np.argsort(-rounded, kind="stable")[:n]


def _support(block: Block, labels: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    X: sp.csr_array = block.matrix
    members = _membership(block, labels, k)
    present = sp.csr_array(((X.data != 0).astype(np.float64), X.indices, X.indptr), shape=X.shape)
    return (members.T @ present).toarray(), (members.T @ X).toarray()


def _tfidf_sums(block: Block, labels: np.ndarray, k: int, idf: np.ndarray) -> tuple[np.ndarray]:
    X: sp.csr_array = block.matrix
    weighted = sp.csr_array((X.data * idf[X.indices], X.indices, X.indptr), shape=X.shape)
    return ((_membership(block, labels, k).T @ unit_rows(weighted)).toarray(),)


def _membership(block: Block, labels: np.ndarray, k: int) -> sp.csr_array:
    n = block.stop - block.start
    return sp.csr_array((np.ones(n), labels[block.rows], np.arange(n + 1)), shape=(n, k))
