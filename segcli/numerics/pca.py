"""Mean-centred principal component analysis of a sparse matrix that is never made dense.

The covariance of items acts on a block of vectors W as ``X'(XW) - n mu (mu'W)``: one pass over the
rows, no centred matrix, no items × items matrix. A block Krylov method with full
re-orthogonalisation and thick restarts needs few such passes, and its residuals, which come free,
say when to stop. Where the customers or the items are few, their small Gram matrix is solved directly.

References
----------
Golub & Underwood (1977), "The block Lanczos method for computing eigenvalues", Mathematical Software
III, 361-377. Wu & Simon (2000), "Thick-restart Lanczos method for large symmetric eigenvalue
problems", SIAM J. Matrix Anal. Appl. 22, 602-616.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from segcli import progress
from segcli.engine import Block, Blocks
from segcli.engine.blocks import Matrix
from segcli.engine.rank_one import SparseMinusRankOne
from segcli.errors import ChoiceError
from segcli.numerics.weighting import Weighting

TOLERANCE = 1e-9
"""Largest residual of an eigenpair, as a share of its eigenvalue, at which to stop."""

DIRECT_SIZE = 1000
"""With no more customers, or items, than this, their Gram matrix is solved directly, which is faster."""

_OVERSAMPLING = 10
_MAX_BASIS_BLOCKS = 16
_MAX_PASSES = 300
_RANK_TOLERANCE = 1e-11


@dataclass(frozen=True)
class PCA:
    """Principal components of a weighted customers × items matrix.

    Attributes
    ----------
    weighting : what was done to the values first
    mean : ndarray of shape (n_items,), the weighted matrix's column means
    loadings : ndarray of shape (n_components, n_items)
        Orthonormal rows. The entry of greatest magnitude in each row is positive.
    explained_variance : ndarray of shape (n_components,), descending, with n - 1 in the denominator
    total_variance : float, the sum of all items' variances
    n_customers : int
    """

    weighting: Weighting
    mean: np.ndarray
    loadings: np.ndarray
    explained_variance: np.ndarray
    total_variance: float
    n_customers: int

    @property
    def n_components(self) -> int:
        """The number of components held."""
        return len(self.loadings)

    @property
    def explained_variance_ratio(self) -> np.ndarray:
        """Each component's share of the total variance, 0 to 1, of shape (n_components,)."""
        return self.explained_variance / self.total_variance

    def first(self, n_components: int) -> PCA:
        """Return the PCA cut to its first components.

        Raises
        ------
        ChoiceError
            If there are fewer.
        """
        if n_components > self.n_components:
            msg = (
                f"{n_components} components are asked for and pca.joblib holds {self.n_components}. "
                f"Choose at most {self.n_components}, or run segcli explore-pca with "
                f"--max-components {n_components}."
            )
            raise ChoiceError(msg)
        return replace(
            self,
            loadings=self.loadings[:n_components],
            explained_variance=self.explained_variance[:n_components],
        )

    def project(self, X: sp.csr_array) -> np.ndarray:
        """Return the scores of customers given by their *unweighted* rows.

        Parameters
        ----------
        X : csr_array of shape (n, n_items)

        Returns
        -------
        ndarray of shape (n, n_components)
        """
        return self.project_weighted(self.weighting.apply(X))

    def project_weighted(self, X: sp.csr_array | SparseMinusRankOne) -> np.ndarray:
        """Return the scores of customers given by their weighted rows."""
        return np.asarray(X @ self.loadings.T - self.loadings @ self.mean)


def n_components_limit(n_customers: int, n_items: int) -> int:
    """Return the largest number of components that a matrix of this shape can have."""
    return min(n_customers - 1, n_items)


def fit_pca(
    weighted: Blocks,
    weighting: Weighting,
    n_components: int,
    *,
    item_ranks: np.ndarray,
    seed: int,
    tolerance: float = TOLERANCE,
) -> PCA:
    """Return the leading principal components of a weighted matrix.

    Fewer than ``n_components`` come back where the matrix has fewer with any variance.

    Parameters
    ----------
    weighted : blocks of shape (n_customers, n_items), sparse or sparse minus rank one
    weighting : the weighting that made them, kept in the result
    n_components : at most `n_components_limit`
    item_ranks : ndarray of shape (n_items,), from `segcli.numerics.ranks`
    seed : int
        Seeds the start of the iteration, if there is one. The result does not depend on it beyond
        ``tolerance``.

    Raises
    ------
    ChoiceError
        If all customers have the same row, so that there is no variance.
    """
    n_customers, n_items = weighted.shape
    sums, squares = weighted.map_sum(_moments)
    mean = sums / n_customers
    scatter = squares - n_customers * mean**2
    total = float(scatter.sum())
    if total <= 1e-12 * float(squares.sum()):
        msg = "all customers have the same values for the same items: there is nothing to segment."
        raise ChoiceError(msg)

    if min(n_customers, n_items) <= DIRECT_SIZE:
        direct = _by_items if n_items <= n_customers else _by_customers
        eigenvalues, vectors = direct(weighted, mean, n_components)
    else:
        rng = np.random.default_rng([seed, 1])
        width = min(n_components + _OVERSAMPLING, n_items)
        start = rng.standard_normal((n_items, width))[item_ranks]
        eigenvalues, vectors = leading_eigenpairs(
            lambda W: _scatter_product(weighted, mean, W), start, n_components, tolerance=tolerance
        )
    kept = eigenvalues > _RANK_TOLERANCE * eigenvalues[0]
    loadings = vectors[:, kept].T
    peaks = loadings[np.arange(len(loadings)), np.abs(loadings).argmax(axis=1)]
    return PCA(
        weighting=weighting,
        mean=mean,
        loadings=np.ascontiguousarray(loadings * np.sign(peaks)[:, None]),
        explained_variance=eigenvalues[kept] / (n_customers - 1),
        total_variance=total / (n_customers - 1),
        n_customers=n_customers,
    )


def score(weighted: Blocks, pca: PCA) -> np.ndarray:
    """Return every customer's scores, an ndarray of shape (n_customers, n_components)."""
    (scores,) = weighted.map_rows(_scores, pca)
    return scores


def leading_eigenpairs(
    operator: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    n_pairs: int,
    *,
    tolerance: float = TOLERANCE,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues of a symmetric positive semi-definite operator, and vectors.

    Each pair's residual ``|Av - theta v|`` is at most ``tolerance * theta`` (or rounding, if larger).

    Parameters
    ----------
    operator : takes and returns an ndarray of shape (n, b); one pass over the data
    start : ndarray of shape (n, b) with b >= n_pairs, random
    n_pairs : int

    Returns
    -------
    eigenvalues : ndarray of shape (m,), descending, m = n_pairs or the operator's rank if smaller
    vectors : ndarray of shape (n, m)
    """
    n, width = start.shape
    max_columns = min(_MAX_BASIS_BLOCKS * width, n)
    # Columns lie one after another, so that a few of them are one piece of memory.
    basis = np.empty((n, max_columns), order="F")
    T = np.empty((0, 0))
    block, _ = _orthonormal(start, 0.0)
    largest = 0.0
    for n_pass in range(1, _MAX_PASSES + 1):
        image = operator(block)
        size = len(T) + block.shape[1]
        basis[:, len(T) : size] = block
        known = basis[:, :size]
        projection = known.T @ image
        image -= known @ projection
        largest = max(largest, float(np.linalg.norm(projection, axis=0).max()))
        rounding = np.finfo(float).eps * 100 * largest
        following, R = _orthonormal(image, rounding)
        # Twice is enough (Giraud et al. 2005). The second time after scaling, where what is left
        # of the basis in a short direction shows.
        correction = known.T @ following
        projection += correction @ R
        if following.shape[1]:
            following, again = scipy.linalg.qr(following - known @ correction, mode="economic")
            R = again @ R
        T = _bordered(T, projection)
        values, vectors = _largest_eigenpairs(T, width)
        m = min(n_pairs, len(values))
        residuals = np.linalg.norm(R @ vectors[-block.shape[1] :, :m], axis=0)
        progress.report("principal components", n_pass)
        done = bool(np.all(residuals <= np.maximum(tolerance * values[:m], rounding)))
        if (done and m == n_pairs) or following.shape[1] == 0:
            return np.maximum(values[:m], 0.0), known @ vectors[:, :m]
        if size + following.shape[1] > max_columns:
            if max_columns == n:  # rounding: there is no room for another direction
                following = following[:, : n - size]
                if following.shape[1] == 0:
                    return np.maximum(values[:m], 0.0), known @ vectors[:, :m]
            else:
                basis[:, : len(values)] = known @ vectors
                T = np.diag(values)
        block = following
    msg = f"the principal components did not converge in {_MAX_PASSES} passes"
    raise ChoiceError(msg)


def _bordered(T: np.ndarray, columns: np.ndarray) -> np.ndarray:
    """Return the projected operator, symmetric, with the newest block's columns added."""
    old, size = len(T), len(columns)
    grown = np.empty((size, size))
    grown[:old, :old] = T
    grown[:, old:] = columns
    grown[old:, :old] = columns[:old].T
    corner = grown[old:, old:]
    grown[old:, old:] = (corner + corner.T) / 2
    return grown


def _orthonormal(W: np.ndarray, negligible: float) -> tuple[np.ndarray, np.ndarray]:
    """Return Q and R with W = QR, leaving out directions no longer than ``negligible``."""
    Q, R, pivots = scipy.linalg.qr(W, mode="economic", pivoting=True)
    rank = int(np.count_nonzero(np.abs(np.diag(R)) > negligible))
    unpivoted = np.empty_like(R[:rank])
    unpivoted[:, pivots] = R[:rank]
    return Q[:, :rank], unpivoted


def _largest_eigenpairs(A: np.ndarray, n_pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues of a symmetric matrix, descending, and their vectors."""
    n = len(A)
    values, vectors = scipy.linalg.eigh(A, subset_by_index=[max(n - n_pairs, 0), n - 1])
    return values[::-1], vectors[:, ::-1]


def _by_items(weighted: Blocks, mean: np.ndarray, n_pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the leading eigenpairs of the items' scatter matrix, formed in one pass."""
    scatter = _scatter_product(weighted, mean, np.eye(len(mean)))
    values, vectors = _largest_eigenpairs((scatter + scatter.T) / 2, n_pairs)
    return np.maximum(values, 0.0), vectors


def _by_customers(
    weighted: Blocks, mean: np.ndarray, n_pairs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the leading eigenpairs of the items' scatter matrix by way of the customers' products.

    With ``C`` the centred rows, ``C C'`` and ``C' C`` share their eigenvalues, and ``C'`` carries
    the one's vectors into the other's.
    """
    n = weighted.shape[0]
    rows = weighted.take(np.arange(n))
    products = _row_products(rows)
    products -= products.mean(axis=0)
    products -= products.mean(axis=1, keepdims=True)
    values, vectors = _largest_eigenpairs((products + products.T) / 2, n_pairs)
    carried = rows.T @ vectors - np.outer(mean, vectors.sum(axis=0))
    # Small eigenvalues carry rounding of large ones: QR, in descending order, takes it out.
    Q, _ = scipy.linalg.qr(carried, mode="economic")
    return np.maximum(values, 0.0), Q


def _row_products(rows: Matrix) -> np.ndarray:
    """Return the rows' inner products with one another, an ndarray of shape (n, n)."""
    if isinstance(rows, SparseMinusRankOne):
        S, u, v = rows.sparse, rows.row_factors, rows.column_factors
        cross = np.outer(S @ v, u)
        return np.asarray((S @ S.T).toarray() - cross - cross.T + (v @ v) * np.outer(u, u))
    return np.asarray(sp.csr_array(rows @ rows.T).toarray())


def _scatter_product(weighted: Blocks, mean: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return the centred matrix's transpose, times itself, times W: one pass over the rows."""
    (product,) = weighted.map_sum(_gram, W)
    return np.asarray(product - np.outer(weighted.shape[0] * mean, mean @ W))


def _moments(block: Block) -> tuple[np.ndarray, np.ndarray]:
    X = block.matrix
    if isinstance(X, SparseMinusRankOne):
        return X.column_sums(), X.column_squares()
    n_items = X.shape[1]
    # Without any entry, bincount forgets that its weights are floats.
    sums = np.bincount(X.indices, X.data, n_items).astype(np.float64)
    return sums, np.bincount(X.indices, X.data**2, n_items).astype(np.float64)


def _gram(block: Block, W: np.ndarray) -> tuple[np.ndarray]:
    X = block.matrix
    return (X.T @ (X @ W),)


def _scores(block: Block, pca: PCA) -> tuple[np.ndarray]:
    return (pca.project_weighted(block.matrix),)
