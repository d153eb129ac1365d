"""How many of the items that mark a segment customers have: of their own segment's, and of any one's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from segcli.engine import Block, Blocks
from segcli.engine.sparse_views import with_values


def marks_of(characteristic: Sequence[np.ndarray], n_items: int) -> sp.csr_array:
    """Return 1 where an item marks a segment, of shape (n_items, k).

    Parameters
    ----------
    characteristic : for each segment, the positions of the items that mark it
    n_items : int
    """
    items = np.concatenate([np.zeros(0, dtype=np.int64), *characteristic])
    ends = np.cumsum([0, *map(len, characteristic)])
    shape = (n_items, len(characteristic))
    return sp.csr_array(sp.csc_array((np.ones(len(items)), items, ends), shape))


def count_own_marks(X: Blocks, marks: sp.csr_array, labels: np.ndarray) -> np.ndarray:
    """Return how many of the items that mark the own segment each customer has.

    Parameters
    ----------
    X : blocks of shape (n_customers, n_items)
    marks : as `marks_of` returns it
    labels : ndarray of shape (n_customers,), values in 0..k-1; negative for the unassigned

    Returns
    -------
    ndarray of shape (n_customers,); of the unassigned it says nothing
    """
    (counts,) = X.map_rows(_count_own_marks, marks, labels)
    return counts


def count_having_any(X: Blocks, marks: sp.csr_array, labels: np.ndarray) -> np.ndarray:
    """Return how many customers have any of the items that mark each segment.

    Parameters
    ----------
    X, marks, labels : as `count_own_marks` takes them

    Returns
    -------
    ndarray of shape (k, 2), of the segment's customers and of all customers
    """
    (counts,) = X.map_sum(_count_having_any, marks, labels)
    return counts


def _count_own_marks(block: Block, marks: sp.csr_array, labels: np.ndarray) -> tuple[np.ndarray]:
    own, counts = labels[block.rows], _count_marks(block, marks)
    return (counts[np.arange(len(own)), own],)


def _count_having_any(block: Block, marks: sp.csr_array, labels: np.ndarray) -> tuple[np.ndarray]:
    has_any = _count_marks(block, marks) > 0
    inside = labels[block.rows][:, None] == np.arange(marks.shape[1])
    return (np.stack([(has_any & inside).sum(axis=0), has_any.sum(axis=0)], axis=1),)


def _count_marks(block: Block, marks: sp.csr_array) -> np.ndarray:
    """Return how many of the items that mark each segment a customer has, of shape (n, k)."""
    matrix = block.matrix
    counts = with_values(matrix, np.ones(matrix.nnz)) @ marks
    return np.asarray(counts.toarray().astype(np.int32))
