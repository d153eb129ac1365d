"""Rows of the three kinds that the numerics work on: dense, sparse, and sparse minus rank one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import scipy.sparse as sp

from segcli.engine.rank_one import SparseMinusRankOne
from segcli.engine.sparse_views import row_view, transpose_view, with_values

Matrix = sp.csr_array | SparseMinusRankOne | np.ndarray
"""Rows are customers. Sparse over items, sparse minus rank one, or dense over components."""


def row_range(X: Any, start: int, stop: int) -> Any:
    """Return rows ``start`` to ``stop`` (excluded) of a matrix, without a copy of the entries."""
    if isinstance(X, SparseMinusRankOne):
        sparse = row_range(X.sparse, start, stop)
        return SparseMinusRankOne(sparse, X.row_factors[start:stop], X.column_factors)
    if isinstance(X, np.ndarray):
        return X[start:stop]
    return row_view(X, start, stop)


def sparse_part(X: Any) -> sp.csr_array:
    """Return the entries that a sparse matrix stores, with or without a rank-one part beside them."""
    return X.sparse if isinstance(X, SparseMinusRankOne) else X


def sums_at(positions: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Return what the values at each of n positions add up to, an ndarray of floats of shape (n,)."""
    # Without any value, bincount forgets that they are floats.
    return np.bincount(positions, values, n).astype(np.float64, copy=False)


def transposed_product(X: sp.csr_array | SparseMinusRankOne, Y: np.ndarray) -> np.ndarray:
    """Return the product of X's transpose with a dense array, without a copy of X's entries."""
    if isinstance(X, SparseMinusRankOne):
        return X.transposed_product(Y)
    return np.asarray(transpose_view(X) @ Y)


def stack(parts: Sequence[Any]) -> Any:
    """Return matrices of one kind stacked row upon row."""
    first = parts[0]
    if isinstance(first, SparseMinusRankOne):
        sparse = sp.csr_array(sp.vstack([part.sparse for part in parts], format="csr"))
        u = np.concatenate([part.row_factors for part in parts])
        return SparseMinusRankOne(sparse, u, first.column_factors)
    if sp.issparse(first):
        return sp.csr_array(sp.vstack(parts, format="csr"))
    return np.concatenate(parts)


def revalued(X: Matrix, parts: Iterable[Matrix]) -> Matrix:
    """Return parts stacked row upon row as one matrix, which shares with X where its entries are.

    Parameters
    ----------
    X : the matrix that the parts were made of
    parts : all rows in turn, with X's stored entries
        Their values are put in place as they come: nothing is held twice.
    """
    if isinstance(X, np.ndarray):
        return np.concatenate(list(parts))
    S = sparse_part(X)
    values, factors, n = np.zeros(0), [], 0
    for part in parts:
        own = sparse_part(part)
        if n == 0:
            values = np.empty(len(S.data), own.dtype)
        values[n : n + len(own.data)] = own.data
        n += len(own.data)
        if isinstance(part, SparseMinusRankOne):
            factors.append((part.row_factors, part.column_factors))
    whole = with_values(S, values)
    if not factors:
        return whole
    rows, columns = zip(*factors, strict=True)
    return SparseMinusRankOne(whole, np.concatenate(rows), columns[0])


def squared_norms(X: Matrix) -> np.ndarray:
    """Return each row's squared Euclidean length, an ndarray of shape (n,)."""
    if isinstance(X, np.ndarray):
        return np.asarray(np.einsum("ij,ij->i", X, X))
    if isinstance(X, SparseMinusRankOne):
        return X.squared_norms()
    return np.asarray(X.multiply(X).sum(axis=1)).ravel()


def sum_groups(X: Matrix, members: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the sums of groups of rows, dense.

    Parameters
    ----------
    X : of shape (n, m)
    members : ndarray of row positions, group after group
    ends : ndarray of shape (n_groups + 1,): group g is ``members[ends[g] : ends[g + 1]]``

    Returns
    -------
    ndarray of shape (n_groups, m)
    """
    n_groups = len(ends) - 1
    if isinstance(X, np.ndarray):
        ones = np.ones(len(members))
        return np.asarray(sp.csr_array((ones, members, ends), shape=(n_groups, len(X))) @ X)
    if isinstance(X, SparseMinusRankOne):
        groups = np.repeat(np.arange(n_groups), np.diff(ends))
        factors = np.bincount(groups, X.row_factors[members], n_groups)
        sums = sum_groups(X.sparse, members, ends)
        sums -= np.outer(factors, X.column_factors)
        return sums
    rows = sp.csr_array(X[members])
    # A group's rows end to end are one row, whose repeated entries `toarray` adds up.
    joined = sp.csr_array(
        (rows.data, rows.indices, rows.indptr[ends]), shape=(n_groups, X.shape[1])
    )
    return np.asarray(joined.toarray())
