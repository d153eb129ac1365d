"""Mean-centred principal component analysis of a sparse matrix that is never made dense.

The covariance of items acts on a block of vectors W as ``X'(XW) - n mu (mu'W)``: one pass over the
rows, no centred matrix, no items × items matrix. A block Krylov method with full
re-orthogonalisation and thick restarts needs few such passes, and its residuals, which come free,
say when to stop. Most passes are in single precision; the last, in double, is the one believed.
Where the customers or the items are few, their small Gram matrix is solved directly.

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

TOLERANCE = 1e-6
"""Largest error of an eigenvalue, as a share of itself, by its residual."""

DIRECT_SIZE = 1000
"""With no more customers, or items, than this, their Gram matrix is solved directly, which is faster."""

_BLOCK = 16
_OVERSAMPLING = 16
_MAX_BASIS = 6
_LEAST_GAP = 0.05
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


def n_columns_held(n_components: int) -> int:
    """Return the most columns, of a number per item each, that `fit_pca` holds at once."""
    n_kept = n_components + _OVERSAMPLING
    return _MAX_BASIS * n_kept + _BLOCK + 2 * n_kept  # the basis, what it leads to, and its image


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
        start = rng.standard_normal((n_items, min(_BLOCK, n_items)))[item_ranks]
        # About as large as the values, for single precision holds none beyond 1e38; a power of two,
        # which rounds nothing.
        unit = 2.0 ** np.round(np.log2(squares.sum() / n_customers / n_items) / 2)
        eigenvalues, vectors = _iterated(weighted, mean, unit, start, n_components, tolerance)
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
    n_more: int = 0,
    rounding: float = 100 * np.finfo(float).eps,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the largest eigenvalues of a symmetric positive semi-definite operator, and vectors.

    It stops when the residuals say that no eigenvalue is off by more than ``tolerance`` times itself,
    or when all that is left may be rounding. With ``r`` the length of a pair's residual and ``g`` the
    distance to the eigenvalues that are not wanted, it is off by at most ``min(r, r² / g)`` (Parlett
    1998, "The Symmetric Eigenvalue Problem", section 11.7). Where the last wanted and the first
    unwanted are neighbours in a flat spectrum, as that of noise, ``g`` is taken as a twentieth of the
    eigenvalue: near pairs mix, which changes the vectors and hardly the values.

    Parameters
    ----------
    operator : takes and returns an ndarray of shape (n, b); one pass over the data
    start : ndarray of shape (n, b), random, or near the vectors that are sought
    n_pairs : int
    tolerance : largest error of an eigenvalue as a share of itself
    n_more : int
        So many pairs that have not converged are returned too, to start again from.
    rounding : what the operator may be wrong by, as a share of the largest eigenvalue

    Returns
    -------
    eigenvalues : ndarray of shape (m,), descending
        m = n_pairs + n_more, or the operator's rank if that is smaller.
    vectors : ndarray of shape (n, m)
    """
    n, width = start.shape
    n_kept = n_pairs + max(n_more, _OVERSAMPLING)
    max_columns = min(_MAX_BASIS * n_kept + width, n)
    # Columns lie one after another, so that a few of them are one piece of memory.
    basis = np.empty((n, max_columns), order="F")
    T = np.empty((0, 0))
    block, _ = _orthonormal(start, 0.0)
    largest = 0.0
    previous = 0
    for n_pass in range(1, _MAX_PASSES + 1):
        image = operator(block)
        size = len(T) + block.shape[1]
        basis[:, len(T) : size] = block
        known = basis[:, :size]
        # But for rounding, the image reaches back no further than to the block before.
        near = basis[:, previous:size]
        projection = np.zeros((size, block.shape[1]))
        projection[previous:] = near.T @ image
        image -= near @ projection[previous:]
        largest = max(largest, float(np.linalg.norm(projection, axis=0).max()))
        negligible = rounding * largest
        following, R = _orthonormal(image, negligible)
        # Twice is enough (Giraud et al. 2005). The second time from the whole basis, and after scaling,
        # where what is left of the basis in a short direction shows.
        correction = known.T @ following
        projection += correction @ R
        if following.shape[1]:
            following, again = scipy.linalg.qr(following - known @ correction, mode="economic")
            R = again @ R
        T = _bordered(T, projection)
        values, vectors = _largest_eigenpairs(T, n_kept)
        m = min(n_pairs, len(values))
        returned = min(n_pairs + n_more, len(values))
        residuals = np.linalg.norm(R @ vectors[-block.shape[1] :, :m], axis=0)
        progress.report("principal components", n_pass)
        errors = _largest_errors(values, residuals)
        done = bool(np.all((errors <= tolerance * values[:m]) | (residuals <= negligible)))
        if (done and m == n_pairs) or following.shape[1] == 0:
            return np.maximum(values[:returned], 0.0), known @ vectors[:, :returned]
        previous = size - block.shape[1]
        if size + following.shape[1] > max_columns:
            if max_columns == n:  # rounding: there is no room for another direction
                following = following[:, : n - size]
                if following.shape[1] == 0:
                    return np.maximum(values[:returned], 0.0), known @ vectors[:, :returned]
            else:
                basis[:, : len(values)] = known @ vectors
                T = np.diag(values)
                previous = 0
        block = following
    msg = f"the principal components did not converge in {_MAX_PASSES} passes"
    raise ChoiceError(msg)


def _largest_errors(values: np.ndarray, residuals: np.ndarray) -> np.ndarray:
    """Return how far each wanted eigenvalue can be off, of the shape of ``residuals``."""
    m = len(residuals)
    beyond = values[m] if len(values) > m else 0.0
    gaps = np.maximum(values[:m] - beyond, _LEAST_GAP * values[:m])
    gaps = np.maximum(gaps, np.finfo(float).tiny)
    return np.asarray(np.minimum(residuals, residuals**2 / gaps))


def _iterated(
    weighted: Blocks,
    mean: np.ndarray,
    unit: float,
    start: np.ndarray,
    n_pairs: int,
    tolerance: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the leading eigenpairs of the items' scatter matrix, by iteration.

    First in single precision and in ``unit``s, which takes a third of the time; from where that ends,
    a pass or more in double precision makes the eigenvalues right and measures the residuals.
    """
    single, single_mean = weighted.transform(_in_single_precision, unit), mean / unit
    _, vectors = leading_eigenpairs(
        lambda W: _scatter_product(single, single_mean, W.astype(np.float32)),
        start,
        n_pairs,
        tolerance=tolerance,
        n_more=_OVERSAMPLING,
        rounding=4 * float(np.finfo(np.float32).eps),
    )
    return leading_eigenpairs(
        lambda W: _scatter_product(weighted, mean, W), vectors, n_pairs, tolerance=tolerance
    )


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
    """Return the centred matrix's transpose, times itself, times W: passes over the rows.

    A few columns at a time, so that they stay in the cache.
    """
    products = []
    for first in range(0, W.shape[1], _BLOCK):
        part = np.ascontiguousarray(W[:, first : first + _BLOCK])
        product, sums = weighted.map_sum(_centred_gram, part, mean @ part)
        products.append(product - np.outer(mean, sums))
    return np.column_stack(products)


def _moments(block: Block) -> tuple[np.ndarray, np.ndarray]:
    X = block.matrix
    if isinstance(X, SparseMinusRankOne):
        return X.column_sums(), X.column_squares()
    n_items = X.shape[1]
    # Without any entry, bincount forgets that its weights are floats.
    sums = np.bincount(X.indices, X.data, n_items).astype(np.float64)
    return sums, np.bincount(X.indices, X.data**2, n_items).astype(np.float64)


def _centred_gram(
    block: Block, W: np.ndarray, mean_score: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return X' times the centred scores XW, and the scores' sums; in the precision of X."""
    X = block.matrix
    scores = X @ W - mean_score.astype(W.dtype)
    product = np.asarray(X.T @ scores, dtype=np.float64)
    return product, scores.sum(axis=0, dtype=np.float64)


def _in_single_precision(block: Block, unit: float) -> Matrix:
    X = block.matrix
    if isinstance(X, SparseMinusRankOne):
        return SparseMinusRankOne(
            sp.csr_array((X.sparse / unit).astype(np.float32)),
            (X.row_factors / unit).astype(np.float32),
            X.column_factors.astype(np.float32),
        )
    return sp.csr_array((X / unit).astype(np.float32))


def _scores(block: Block, pca: PCA) -> tuple[np.ndarray]:
    return (pca.project_weighted(block.matrix),)
