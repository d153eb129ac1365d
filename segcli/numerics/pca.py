"""Mean-centred principal component analysis of a sparse matrix that is never made dense.

The covariance of items acts on a block of vectors W as ``X'(XW) - n mu (mu'W)``: one pass over the
rows, no centred matrix, no items × items matrix. Most passes (`segcli.numerics.eigenpairs`) are in
single precision, basis and all; the last, in double, is the one believed. Where there are many more
items than customers, the customers' products with one another, which have the same eigenvalues, stand
for the covariance, as vectors are so much shorter. Where the customers or the items are few, their small
Gram matrix is solved directly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
import scipy.linalg
import scipy.sparse as sp

from segcli.engine import Block, Blocks
from segcli.engine.rank_one import SparseMinusRankOne
from segcli.engine.rows import Matrix, sums_at, transposed_product
from segcli.engine.sparse_views import row_view, transpose_view, with_values
from segcli.errors import AllAlikeError, ChoiceError
from segcli.numerics.deflated import Deflated
from segcli.numerics.eigenpairs import (
    OVERSAMPLING,
    TOLERANCE,
    WIDTH,
    confirmed_eigenpairs,
    dense_eigenpairs,
    leading_eigenpairs,
)
from segcli.numerics.score_norm import KEPT, normalized
from segcli.numerics.weighting import Weighting
from segcli.words import counted

MOST_DIRECT = 1000
"""With more customers than this, and more items, no Gram matrix is solved directly."""

_DIRECT_ITEMS, _DIRECT_CUSTOMERS = (450, 10), (300, 6)
"""Where it is: up to so many items or customers, and so many more for each component, for the more are
sought the longer the iteration takes, and hardly the direct way. Where it is the customers that are few,
there is little to go over again and again."""

_MOST_SPARSE = 0.1
"""Where a larger share of the entries is stored, inner products of dense columns are faster."""

_DENSE_ROWS, _DENSE_ENTRIES = 1024, 1 << 20
"""Up to how many rows, and entries, are made dense at a time."""

_CANCELLED = 1e-5
"""The share of the sum of squares up to which variance is not told by the difference of two sums."""

_MANY_MORE_ITEMS = 4
"""So many times more items than customers: shorter vectors then pay for a pass that goes over the rows
twice."""
_MAX_BASIS_IN_DOUBLE = 2
_PATIENCE = 48 * 16
_RANK_TOLERANCE = 1e-11
_NEGLIGIBLE_SHARE = 1e-9

Product = Callable[[Blocks, np.ndarray, np.ndarray], np.ndarray]
"""Of a symmetric matrix, made from weighted blocks and their mean, with a few columns in C order."""


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
    score_norm : str
        What `project` and `score` make of the norms of customers' scores, one of `SCORE_NORMS`.
    """

    weighting: Weighting
    mean: np.ndarray
    loadings: np.ndarray
    explained_variance: np.ndarray
    total_variance: float
    n_customers: int
    score_norm: str = KEPT

    @property
    def n_components(self) -> int:
        """The number of components held."""
        return len(self.loadings)

    @property
    def explained_variance_ratio(self) -> np.ndarray:
        """Each component's share of the total variance, 0 to 1, of shape (n_components,)."""
        return self.explained_variance / self.total_variance

    @property
    def holds_all(self) -> bool:
        """Whether no variance is left beyond the components held."""
        return bool(self.explained_variance.sum() >= self.total_variance * (1 - _NEGLIGIBLE_SHARE))

    def first(self, n_components: int) -> PCA:
        """Return the PCA cut to its first components.

        Raises
        ------
        ChoiceError
            If there are fewer.
        """
        if n_components > self.n_components:
            msg = (
                f"{counted(n_components, 'component')} asked for, and pca.joblib holds "
                f"{self.n_components}. Choose at most {self.n_components}"
            )
            if self.holds_all:
                msg += ": beyond, these data have no variance."
            else:
                msg += f", or run segcli explore-pca with --max-components {n_components}."
            raise ChoiceError(msg)
        return replace(
            self,
            loadings=self.loadings[:n_components],
            explained_variance=self.explained_variance[:n_components],
        )

    def project(self, X: sp.csr_array) -> np.ndarray:
        """Return the scores of customers given by their *unweighted* rows, as k-means compares them.

        Parameters
        ----------
        X : csr_array of shape (n, n_items)

        Returns
        -------
        ndarray of shape (n, n_components)
        """
        return self.normalized(self.project_weighted(self.weighting.apply(X)))

    def normalized(self, scores: np.ndarray) -> np.ndarray:
        """Return customers' scores with norms as `score_norm` says: see `segcli.numerics.score_norm`."""
        return normalized(scores, self.score_norm, float(np.sqrt(self.explained_variance.sum())))

    def project_weighted(self, X: sp.csr_array | SparseMinusRankOne) -> np.ndarray:
        """Return the scores of customers given by their weighted rows, with the norms they have."""
        return np.asarray(X @ self.loadings.T - self.loadings @ self.mean)


def n_components_limit(n_customers: int, n_items: int) -> int:
    """Return the largest number of components that a matrix of this shape can have."""
    return min(n_customers - 1, n_items)


def check_n_components(n: int, n_customers: int, n_items: int, *, option: str) -> None:
    """Refuse more components than a matrix of this shape can have, in the words of an option.

    Raises
    ------
    ChoiceError
    """
    limit = n_components_limit(n_customers, n_items)
    if n > limit:
        msg = (
            f"{option} {n} is too large: {n_customers:,} customers and {n_items:,} items have at most "
            f"{counted(limit, 'component')}. Choose {limit} or fewer."
        )
        raise ChoiceError(msg)


def n_columns_held(n_components: int) -> int:
    """Return the most columns, of a number per item each, that `fit_pca` holds at once.

    Beside the matrix, its copy in single precision, and the results of row blocks that wait to be
    added, which are smaller than the blocks. A basis in double precision has half the columns of one
    in single, and about those of the vectors to confirm with their image; beside it there are the
    start and the image of a block, and what the image is made of. Among customers it holds less.
    """
    return _MAX_BASIS_IN_DOUBLE * (n_components + OVERSAMPLING) + 10 * WIDTH


def fit_pca(
    weighted: Blocks,
    weighting: Weighting,
    n_components: int,
    *,
    item_ranks: np.ndarray,
    seed: int,
    score_norm: str = KEPT,
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
        `TOLERANCE`.
    score_norm : one of `SCORE_NORMS`, kept in the result

    Raises
    ------
    AllAlikeError
        If all customers have the same row, to six digits, so that there is no variance.
    ChoiceError
        If the components cannot be found.
    """
    n_customers, n_items = weighted.shape
    sums, squares, largest = weighted.map_sum(_moments)
    mean = sums / n_customers
    scatter = squares - n_customers * mean**2
    total, of_all = float(scatter.sum()), float(largest.sum())
    if total <= 1e-12 * of_all:
        raise AllAlikeError
    items = np.flatnonzero(scatter < _CANCELLED * largest)
    if len(items) and total < _CANCELLED * of_all:  # most digits of what was subtracted have gone
        (scatter[items],) = weighted.map_sum(_squares_around, mean, items)
        total = float(scatter.sum())

    if n_items <= min(n_customers, _most_direct(_DIRECT_ITEMS, n_components)):
        eigenvalues, vectors = _by_items(weighted, mean, n_components)
    elif n_customers <= min(n_items, _most_direct(_DIRECT_CUSTOMERS, n_components)):
        eigenvalues, vectors = _by_customers(weighted, mean, n_components)
    else:
        rng = np.random.default_rng([seed, 1])
        start = rng.standard_normal((n_items, min(WIDTH, n_items)), np.float32)[item_ranks]
        # About as large as the values, for single precision holds none beyond 1e38; a power of two,
        # which rounds nothing.
        unit = 2.0 ** np.round(np.log2(squares.sum() / n_customers / n_items) / 2)
        eigenvalues, vectors = _by_iteration(weighted, mean, unit, start, n_components)
    kept = eigenvalues > _RANK_TOLERANCE * eigenvalues[0]
    loadings = np.ascontiguousarray(vectors[:, kept].T)
    for loading in loadings:
        loading *= np.sign(loading[np.abs(loading).argmax()])
    return PCA(
        weighting=weighting,
        mean=mean,
        loadings=loadings,
        explained_variance=eigenvalues[kept] / (n_customers - 1),
        total_variance=total / (n_customers - 1),
        n_customers=n_customers,
        score_norm=score_norm,
    )


def _most_direct(law: tuple[int, int], n_components: int) -> int:
    """Return up to how many items or customers their Gram matrix is solved directly."""
    at_least, per_component = law
    return min(at_least + per_component * n_components, MOST_DIRECT)


def score(weighted: Blocks, pca: PCA) -> np.ndarray:
    """Return every customer's scores as k-means compares them, of shape (n_customers, n_components)."""
    (scores,) = weighted.map_rows(_scores, pca)
    return scores


def _by_iteration(
    weighted: Blocks, mean: np.ndarray, unit: float, start: np.ndarray, n_pairs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the leading eigenpairs of the items' scatter matrix, sought from ``start`` among them."""
    n_customers, n_items = weighted.shape
    if n_items < _MANY_MORE_ITEMS * n_customers:
        return _iterated(_product_among_items, weighted, mean, unit, start, n_pairs)
    (start,) = weighted.map_rows(_centred_scores, start / unit, mean @ start / unit)
    values, vectors = _iterated(_product_among_customers, weighted, mean, unit, start, n_pairs)
    return values, _carried(weighted, mean, vectors)


def _iterated(
    product: Product,
    weighted: Blocks,
    mean: np.ndarray,
    unit: float,
    start: np.ndarray,
    n_pairs: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the leading eigenpairs of what ``product`` multiplies with, by iteration.

    In single precision, which takes a third of the time and half of the memory; the eigenvalues are
    made right, and the residuals measured, in double. Where eigenvalues are so far apart that the
    small ones drown in the rounding of the large, all is done in double precision.
    """

    def in_double(W: np.ndarray) -> np.ndarray:
        return _by_columns(product, weighted, mean, W)

    with suppress(ChoiceError):  # as it were to the user: it has not converged
        pairs = confirmed_eigenpairs(
            in_double,
            _single_precision_vectors(product, weighted, mean, unit, start, n_pairs),
            n_pairs,
            TOLERANCE,
        )
        if pairs is not None:
            return pairs
    return leading_eigenpairs(in_double, start, n_pairs, max_basis=_MAX_BASIS_IN_DOUBLE)


def _single_precision_vectors(
    product: Product,
    weighted: Blocks,
    mean: np.ndarray,
    unit: float,
    start: np.ndarray,
    n_pairs: int,
) -> np.ndarray:
    """Return the leading eigenvectors as single precision, in ``unit``s, has them.

    There are more than ``n_pairs``, so many that no product is of a block that is not full, or all
    that single precision can tell from zero.
    """
    single, single_mean = weighted.transform(_to_single_precision, unit), mean / unit
    _, vectors = leading_eigenpairs(
        lambda W: _by_columns(product, single, single_mean, W),
        start,
        n_pairs,
        tolerance=TOLERANCE / 2,  # room for the rounding that double precision will show
        n_more=1 + -(n_pairs + 1) % WIDTH,
        rounding=4 * float(np.finfo(np.float32).eps),
        precision=np.float32,
        patience=_PATIENCE,
    )
    return vectors


def _by_items(weighted: Blocks, mean: np.ndarray, n_pairs: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the leading eigenpairs of the items' scatter matrix, formed in one pass."""
    (scatter,) = weighted.map_sum(_scatter, mean)
    values, vectors = dense_eigenpairs(scatter, n_pairs)
    return np.maximum(values, 0.0), vectors


def _by_customers(
    weighted: Blocks, mean: np.ndarray, n_pairs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the leading eigenpairs of the items' scatter matrix by way of the customers' products.

    With ``C`` the centred rows, ``C C'`` and ``C' C`` share their eigenvalues, and ``C'`` carries
    the one's vectors into the other's.
    """
    centred = Deflated.of(weighted.take(np.arange(weighted.shape[0]))).centred(mean)
    values, vectors = dense_eigenpairs(_gram(centred.T), n_pairs)
    return np.maximum(values, 0.0), _carried(weighted, mean, vectors)


def _carried(weighted: Blocks, mean: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """Return what the customers' eigenvectors are among the items, of shape (n_items, n_vectors)."""
    carried = _among_items(weighted, mean, vectors)
    # Small eigenvalues carry rounding of large ones: QR, in descending order, takes it out.
    Q, _ = scipy.linalg.qr(carried, mode="economic", overwrite_a=True)
    return np.asarray(Q)


def _scatter(block: Block, mean: np.ndarray) -> tuple[np.ndarray]:
    """Return the block's part of the items' scatter matrix, of shape (n_items, n_items)."""
    return (_gram(Deflated.of(block.matrix).centred(mean)),)


def _gram(M: Deflated) -> np.ndarray:
    """Return the Gram matrix of the columns, an ndarray of shape (m, m)."""
    (n, m), S, F, V = M.shape, M.sparse, M.left, M.right
    if S.nnz <= _MOST_SPARSE * n * m:
        observed = (sp.csr_array(S.T) @ S).toarray()
        cross = (transpose_view(S) @ F) @ V.T
        return np.asarray(observed - cross - cross.T + V @ (F.T @ F) @ V.T)
    products = np.zeros((m, m))
    for dense in _dense_rows(M):
        products += dense.T @ dense
    return products


def _squares_around(block: Block, mean: np.ndarray, items: np.ndarray) -> tuple[np.ndarray]:
    """Return some items' sums of squares around their means in the block, as exact as its rows are.

    Their columns are made dense: where variance is small beside the mean, little of them is empty.
    """
    M = Deflated.of(block.matrix).centred(mean)
    squares = np.zeros(len(items))
    for dense in _dense_rows(Deflated(sp.csr_array(M.sparse[:, items]), M.left, M.right[items])):
        squares += np.einsum("ij,ij->j", dense, dense)
    return (squares,)


def _dense_rows(M: Deflated) -> Iterator[np.ndarray]:
    """Yield the rows, dense, a few at a time."""
    n, m = M.shape
    step = min(_DENSE_ROWS, max(_DENSE_ENTRIES // m, 1))
    for start in range(0, n, step):
        rows = slice(start, min(start + step, n))
        dense = row_view(M.sparse, rows.start, rows.stop).toarray()
        dense -= M.left[rows] @ M.right.T
        yield dense


def _by_columns(product: Product, weighted: Blocks, mean: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return the product with W, a few columns at a time, so that they stay in the cache.

    In the precision of W, but for the sums over blocks, which are in double.
    """
    image = np.empty_like(W, order="F")
    for first in range(0, W.shape[1], WIDTH):
        columns = slice(first, first + WIDTH)
        image[:, columns] = product(weighted, mean, np.ascontiguousarray(W[:, columns]))
    return image


def _product_among_items(weighted: Blocks, mean: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return the centred matrix's transpose, times itself, times W: a pass over the rows."""
    product, sums = weighted.map_sum(_centred_gram, W, mean @ W)
    product -= np.outer(mean, sums)
    return product


def _product_among_customers(weighted: Blocks, mean: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return the centred matrix, times its transpose, times W, in two passes over the rows."""
    among_items = _among_items(weighted, mean, W)
    (product,) = weighted.map_rows(_centred_scores, among_items.astype(W.dtype), mean @ among_items)
    return product


def _among_items(weighted: Blocks, mean: np.ndarray, W: np.ndarray) -> np.ndarray:
    """Return the centred matrix's transpose times W, in double precision."""
    (product,) = weighted.map_sum(_transposed_product, W)
    return np.asarray(product - np.outer(mean, W.sum(axis=0, dtype=np.float64)))


def _moments(block: Block) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each item's sum and sum of squares, and the squares of what they are computed from."""
    X = block.matrix
    n_items = X.shape[1]
    if isinstance(X, SparseMinusRankOne):
        S = X.sparse
        return X.column_sums(), X.column_squares(), sums_at(S.indices, S.data**2, n_items)
    squares = sums_at(X.indices, X.data**2, n_items)
    return sums_at(X.indices, X.data, n_items), squares, squares


def _centred_gram(
    block: Block, W: np.ndarray, mean_score: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return X' times the centred scores XW, and the scores' sums; in the precision of X."""
    (scores,) = _centred_scores(block, W, mean_score)
    product = np.asarray(transposed_product(block.matrix, scores), dtype=np.float64)
    return product, scores.sum(axis=0, dtype=np.float64)


def _centred_scores(block: Block, W: np.ndarray, mean_score: np.ndarray) -> tuple[np.ndarray]:
    return (np.asarray(block.matrix @ W - mean_score.astype(W.dtype)),)


def _transposed_product(block: Block, W: np.ndarray) -> tuple[np.ndarray]:
    return (np.asarray(transposed_product(block.matrix, W[block.rows]), dtype=np.float64),)


def _to_single_precision(block: Block, unit: float) -> Matrix:
    X = block.matrix
    if isinstance(X, SparseMinusRankOne):
        return SparseMinusRankOne(
            with_values(X.sparse, (X.sparse.data / unit).astype(np.float32)),
            (X.row_factors / unit).astype(np.float32),
            X.column_factors.astype(np.float32),
        )
    return with_values(X, (X.data / unit).astype(np.float32))


def _scores(block: Block, pca: PCA) -> tuple[np.ndarray]:
    return (pca.normalized(pca.project_weighted(block.matrix)),)
