"""Parts and transposes of sparse matrices that share their values, and matrices that share the places.

scipy's own copy them: slices always do, and any constructor does with arrays that are small parts of
others, as a block's are. What is made here has its arrays set one by one instead.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp


def row_view(X: sp.csr_array, start: int, stop: int) -> sp.csr_array:
    """Return rows ``start`` to ``stop`` (excluded)."""
    first, last = X.indptr[start], X.indptr[stop]
    rows = sp.csr_array((stop - start, X.shape[1]), dtype=X.dtype)
    rows.indptr = X.indptr[start : stop + 1] - first
    rows.indices = X.indices[first:last]
    rows.data = X.data[first:last]
    return rows


def with_values(X: sp.csr_array, values: np.ndarray) -> sp.csr_array:
    """Return the matrix whose stored entries have these values."""
    revalued = sp.csr_array(X.shape, dtype=values.dtype)
    revalued.indptr, revalued.indices, revalued.data = X.indptr, X.indices, values
    return revalued


def transpose_view(X: sp.csr_array) -> sp.csc_array:
    """Return the transpose."""
    columns = sp.csc_array((X.shape[1], X.shape[0]), dtype=X.dtype)
    columns.indptr, columns.indices, columns.data = X.indptr, X.indices, X.data
    return columns


def without_empty_columns(X: sp.csr_array) -> tuple[sp.csr_array, np.ndarray]:
    """Return the columns that have entries, and which these are."""
    there = np.flatnonzero(np.bincount(X.indices, minlength=X.shape[1]))
    rows = sp.csr_array((X.shape[0], len(there)), dtype=X.dtype)
    rows.indptr, rows.data = X.indptr, X.data
    rows.indices = np.searchsorted(there, X.indices).astype(X.indices.dtype)
    return rows, there
