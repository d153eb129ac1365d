"""A sparse matrix less one of low rank, never made dense: what centring makes of a sparse matrix."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from segcli import progress
from segcli.engine.rank_one import SparseMinusRankOne
from segcli.engine.rows import squared_norms
from segcli.numerics.eigenpairs import WIDTH, leading_eigenpairs

_TOLERANCE = 1e-4
_NEGLIGIBLE = 1e-11  # of the largest eigenvalue: rounding


@dataclass(frozen=True)
class Deflated:
    """A sparse matrix minus one of low rank, ``sparse - left @ right.T``, never made dense.

    Attributes
    ----------
    sparse : csr_array of shape (n, m)
    left : ndarray of shape (n, r)
    right : ndarray of shape (m, r)
    """

    sparse: sp.csr_array
    left: np.ndarray
    right: np.ndarray

    @classmethod
    def of(cls, matrix: Any) -> Deflated:
        """Return a matrix, sparse or sparse minus rank one, in this form."""
        if isinstance(matrix, SparseMinusRankOne):
            return cls(matrix.sparse, matrix.row_factors[:, None], matrix.column_factors[:, None])
        n, m = matrix.shape
        return cls(matrix, np.empty((n, 0)), np.empty((m, 0)))

    @property
    def shape(self) -> tuple[int, int]:
        """(n, m)."""
        n, m = self.sparse.shape
        return n, m

    @property
    def T(self) -> Deflated:  # noqa: N802 (as numpy's)
        """The transpose."""
        return Deflated(sp.csr_array(self.sparse.T), self.right, self.left)

    def __matmul__(self, W: np.ndarray) -> np.ndarray:
        """Return the product with a dense matrix of shape (m, b)."""
        return np.asarray(self.sparse @ W - self.left @ (self.right.T @ W))

    def block(self, rows: np.ndarray, columns: np.ndarray) -> Deflated:
        """Return the rows and columns at the given positions, in the order given."""
        sparse = sp.csr_array(self.sparse[rows][:, columns])
        sparse.sort_indices()
        return Deflated(sparse, self.left[rows], self.right[columns])

    def column_means(self) -> np.ndarray:
        """Return the mean of each column, of shape (m,)."""
        sums = np.asarray(self.sparse.sum(axis=0)) - self.right @ self.left.sum(axis=0)
        return np.asarray(sums / self.shape[0])

    def centred(self, means: np.ndarray) -> Deflated:
        """Return the matrix with ``means`` taken from its columns."""
        ones = np.ones((self.shape[0], 1))
        return Deflated(
            self.sparse, np.hstack([self.left, ones]), np.column_stack([self.right, means])
        )

    def squared_norm(self) -> float:
        """Return the sum of all squared entries."""
        cross = np.sum(self.left * (self.sparse @ self.right))
        low_rank = np.sum((self.left.T @ self.left) * (self.right.T @ self.right))
        return float(squared_norms(self.sparse).sum() - 2 * cross + low_rank)


def leading_singular(
    M: Deflated, n: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return U, s and V of the leading singular triplets, those of no size left out.

    Works on the smaller side, so that many items cost no more than the customers in the sample.
    """
    if M.shape[0] < M.shape[1]:
        V, s, U = leading_singular(M.T, n, rng)
        return U, s, V
    transposed = M.T
    start = rng.standard_normal((M.shape[1], min(WIDTH, M.shape[1])))
    n = min(n, M.shape[1])
    with progress.unheard():
        squares, V = leading_eigenpairs(
            lambda W: transposed @ (M @ W), start, n, tolerance=_TOLERANCE
        )
    kept = squares > _NEGLIGIBLE * squares.max()
    s, V = np.sqrt(squares[kept]), V[:, kept]
    return (M @ V) / s, s, V
