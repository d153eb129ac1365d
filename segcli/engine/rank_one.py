"""Rows that are sparse but for a rank-one part: S − u vᵀ, never made dense.

Residuals from what sizes alone would make of every customer have this form: an observed part, where
a customer has an item, less an expected part, which is a product of the customer's size and the
item's. Products, norms and sums need only the three pieces.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from segcli.engine.sparse_views import transpose_view


@dataclass(frozen=True)
class SparseMinusRankOne:
    """The matrix S − u vᵀ of shape (n, m).

    Attributes
    ----------
    sparse : csr_array of shape (n, m), S
    row_factors : ndarray of shape (n,), u
    column_factors : ndarray of shape (m,), v
    """

    sparse: sp.csr_array
    row_factors: np.ndarray
    column_factors: np.ndarray

    __array_ufunc__ = None  # numpy: leave the operators to this class

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        n, m = self.sparse.shape
        return n, m

    def __getitem__(self, rows: slice | np.ndarray) -> SparseMinusRankOne:
        """Return the rows of a slice, or at the positions in an integer or boolean array."""
        return SparseMinusRankOne(
            sp.csr_array(self.sparse[rows]), self.row_factors[rows], self.column_factors
        )

    def __matmul__(self, W: np.ndarray) -> np.ndarray:
        """Return the product with a dense array of shape (m, b)."""
        product = np.asarray(self.sparse @ W)
        product -= np.outer(self.row_factors, self.column_factors @ W)
        return product

    def transposed_product(self, Y: np.ndarray) -> np.ndarray:
        """Return the product of the transpose with a dense array of shape (n, b)."""
        product = np.asarray(transpose_view(self.sparse) @ Y)
        product -= np.outer(self.column_factors, self.row_factors @ Y)
        return product

    def squared_norms(self) -> np.ndarray:
        """Return each row's squared Euclidean length, an ndarray of shape (n,).

        ``s·s − 2 u s·v + u² v·v`` for each row s of S.
        """
        S, u, v = self.sparse, self.row_factors, self.column_factors
        rows = np.repeat(np.arange(S.shape[0]), np.diff(S.indptr))
        terms = S.data * (S.data - 2 * u[rows] * v[S.indices])
        norms = np.bincount(rows, terms, S.shape[0]) + u**2 * float(v @ v)
        return np.asarray(np.maximum(norms, 0))

    def column_sums(self) -> np.ndarray:
        """Return each column's sum, an ndarray of shape (m,)."""
        S, m = self.sparse, self.shape[1]
        observed = np.bincount(S.indices, S.data, m)
        return np.asarray(observed - self.row_factors.sum() * self.column_factors)

    def column_squares(self) -> np.ndarray:
        """Return each column's sum of squares, an ndarray of shape (m,)."""
        S, m, v = self.sparse, self.shape[1], self.column_factors
        u = np.repeat(self.row_factors, np.diff(S.indptr))
        observed = np.bincount(S.indices, S.data * (S.data - 2 * u * v[S.indices]), m)
        squares = observed + float(self.row_factors @ self.row_factors) * v**2
        return np.asarray(np.maximum(squares, 0))

    def toarray(self) -> np.ndarray:
        """Return the matrix, dense: for a few rows."""
        return np.asarray(self.sparse.toarray() - np.outer(self.row_factors, self.column_factors))
