"""What k-means asks of one block of rows: the nearest centers, and the sums of who is nearest to each.

All that takes time proportional to the customers is here, for many k at once; what it returns is small,
and adds up over blocks. `segcli.numerics.kmeans` goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from segcli.engine import Block
from segcli.engine.rank_one import SparseMinusRankOne
from segcli.engine.rows import Matrix, row_range, sparse_part, squared_norms, sum_groups

_NEGLIGIBLE = 1e-12  # a share of a row's length
_ROUNDING = 1e-14  # a share of its square, where a distance is a difference of squares
_DISTANCES_AT_ONCE = 1 << 23  # 64 MB; more are needed at once for hundreds of segments only
_DISTANCES_IN_CACHE = 1 << 16  # half a MB, which a core's second cache holds


def assign(X: Matrix, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest center of each row, and the distance to it.

    Parameters
    ----------
    X : of shape (n, n_columns), dense, sparse or sparse minus rank one
    centers : ndarray of shape (k, n_columns)

    Returns
    -------
    labels : ndarray of shape (n,), values in 0..k-1; the lower of two equally near
    distances : ndarray of shape (n,), Euclidean
    """
    halves = squared_norms(centers) / 2
    parts = [np.asarray(halves - rows @ centers.T).argmin(axis=1) for rows in _cut(X, len(centers))]
    labels = parts[0] if len(parts) == 1 else np.concatenate(parts)
    return labels, np.sqrt(_squared_distances(X, centers, labels))


def nearest_of(half_distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return which entry is each column's least, and the entry.

    Parameters
    ----------
    half_distances : ndarray of shape (k, n)

    Returns
    -------
    labels : ndarray of shape (n,), values in 0..k-1 in the smallest type; the first of equal entries
    least : ndarray of shape (n,)
    """
    k, n = half_distances.shape
    if k == 1:
        return np.zeros(n, dtype=np.uint8), half_distances[0].copy()
    if k == 2:
        is_second = half_distances[1] < half_distances[0]
        return is_second.view(np.uint8), np.minimum(half_distances[0], half_distances[1])
    least = half_distances.min(axis=0)
    # What argmin along the first axis says, in a fifth of the time.
    ranks = np.arange(k, 0, -1, dtype=np.min_scalar_type(k))
    return k - ((half_distances == least) * ranks[:, None]).max(axis=0), least


def labels_and_squares(block: Block, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the nearest center of each row, and the squared distance to it."""
    labels, distances = assign(block.matrix, centers)
    return labels, distances**2


def own_distances(block: Block, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's squared distance to its nearest center, and what of it may be rounding."""
    X = block.matrix
    share = _NEGLIGIBLE**2 if isinstance(X, np.ndarray) else _ROUNDING
    return labels_and_squares(block, centers)[1], share * squared_norms(sparse_part(X))


def assign_and_sum(
    block: Block,
    centers: np.ndarray,
    ks: Sequence[int],
    precision: type[np.floating],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return what a Lloyd step of several runs needs to know.

    Parameters
    ----------
    block : rows, dense, sparse or sparse minus rank one
    centers : ndarray of shape (sum(ks), n_columns), of all runs, one below another
    ks : how many of them are each run's
    precision : of the distances that say which center is nearest; used on dense rows

    Returns
    -------
    sums : ndarray of shape (sum(ks), n_columns), of the rows nearest each center of a run
    counts : ndarray of shape (sum(ks),), of these rows
    inertias : ndarray of shape (len(ks),), sums of squared distances to the nearest center of a run
    """
    parts = (
        _assign_and_sum_rows(rows, centers, ks, precision) for rows in _cut(block.matrix, max(ks))
    )
    total = next(parts)
    for part in parts:
        for sums, more in zip(total, part, strict=True):
            sums += more
    return total


def sums_of_labels(
    block: Block, labels: Sequence[np.ndarray], ks: Sequence[int]
) -> tuple[np.ndarray, ...]:
    """Return, for each partition, the sums of the rows by label.

    Parameters
    ----------
    labels : ndarrays of shape (n_customers,), of all customers, for each partition
    ks : the partitions' numbers of segments

    Returns
    -------
    ndarrays of shape (k, n_columns), for each of ``ks``
    """
    return tuple(
        _sum_by(block.matrix, own[block.rows], k) for own, k in zip(labels, ks, strict=True)
    )


def totals(block: Block) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows' sums by column, and the sum of all entries' squares."""
    X = block.matrix
    dense_or_sparse = not isinstance(X, SparseMinusRankOne)
    sums = np.asarray(X.sum(axis=0)).ravel() if dense_or_sparse else X.column_sums()
    return sums, np.asarray(squared_norms(X).sum())


def _assign_and_sum_rows(
    X: Matrix, centers: np.ndarray, ks: Sequence[int], precision: type[np.floating]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    norms = squared_norms(X)
    nearest = _nearest(X, centers, precision)
    inertias = np.empty(len(ks))
    members, counts = [], []
    for run, (start, stop) in enumerate(pairwise([0, *np.cumsum(ks).tolist()])):
        labels, least = nearest(start, stop)
        own, sizes = _grouped(labels, stop - start)
        members.append(own)
        counts.append(sizes)
        inertias[run] = np.maximum(norms + 2 * least, 0).sum()
    sizes = np.concatenate(counts)
    sums = sum_groups(X, np.concatenate(members), np.concatenate([[0], np.cumsum(sizes)]))
    return sums, sizes.astype(np.float64), inertias


def _cut(X: Matrix, n_centers: int) -> list[Matrix]:
    """Return rows in pieces whose distances to so many centers take no more than a stated room."""
    n, step = X.shape[0], max(_DISTANCES_AT_ONCE // n_centers, 1)
    if n <= step:
        return [X]
    return [row_range(X, start, min(start + step, n)) for start in range(0, n, step)]


def _nearest(
    X: Matrix, centers: np.ndarray, precision: type[np.floating]
) -> Callable[[int, int], tuple[np.ndarray, np.ndarray]]:
    """Return a function of a range of centers: which is nearest to each row, and `nearest_of`'s least.

    The least is half the squared distance, less half the row's squared length, which does not bear on
    which is nearest. Each run has products of its own, so that its bits do not depend on which other
    runs are under way.
    """
    n, halves = X.shape[0], squared_norms(centers)[:, None] / 2
    if isinstance(X, np.ndarray):
        columns = np.vstack([X.T, np.ones(n)], dtype=precision, casting="same_kind")
        factors = np.hstack([-centers, halves], dtype=precision, casting="same_kind")
        return lambda a, b: _nearest_by_parts(
            lambda some, out: np.matmul(factors[a:b], columns[:, some], out=out),
            b - a,
            n,
            precision,
        )

    def of_range(a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        products = (X @ centers[a:b].T).T
        return _nearest_by_parts(
            lambda some, out: np.subtract(halves[a:b], products[:, some], out=out), b - a, n
        )

    return of_range


def _nearest_by_parts(
    fill: Callable[[slice, np.ndarray], object],
    k: int,
    n: int,
    precision: type[np.floating] = np.float64,
) -> tuple[np.ndarray, np.ndarray]:
    """Return `nearest_of` half distances that are in a core's cache, those of a few rows at a time.

    Parameters
    ----------
    fill : puts the half distances of a slice of the n rows to k centers into an array of shape (k, n_rows)
        One row for each center: a minimum over centers then runs along memory.
    """
    labels, least = np.empty(n, np.min_scalar_type(k)), np.empty(n, precision)
    step = max(_DISTANCES_IN_CACHE // k, 1)
    room = np.empty(k * min(step, n), precision)
    for start in range(0, n, step):
        some = slice(start, min(start + step, n))
        half_distances = room[: k * (some.stop - start)].reshape(k, -1)
        fill(some, half_distances)
        labels[some], least[some] = nearest_of(half_distances)
    return labels, least


def _sum_by(X: Matrix, labels: np.ndarray, n_labels: int) -> np.ndarray:
    """Return the sums of X's rows by label, of shape (n_labels, n_columns)."""
    members, sizes = _grouped(labels, n_labels)
    return sum_groups(X, members, np.concatenate([[0], np.cumsum(sizes)]))


def _grouped(labels: np.ndarray, n_labels: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows label by label, each label's in order, and how many each has."""
    # Integers of 8 or 16 bits are sorted by counting them.
    narrow = labels.astype(np.min_scalar_type(n_labels), copy=False)
    return np.argsort(narrow, kind="stable"), np.bincount(labels, minlength=n_labels)


def _squared_distances(X: Matrix, centers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    if isinstance(X, np.ndarray):
        squares = np.empty(len(X))
        step = max(_DISTANCES_AT_ONCE // X.shape[1], 1) if X.shape[1] else len(X)
        for start in range(0, len(X), step):  # of all at once it would be one more of X
            piece = slice(start, start + step)
            differences = centers.take(labels[piece], axis=0)
            squares[piece] = squared_norms(np.subtract(X[piece], differences, out=differences))
        return squares
    S = sparse_part(X)
    rows = np.repeat(np.arange(S.shape[0]), np.diff(S.indptr))
    products = np.bincount(rows, S.data * centers[labels[rows], S.indices], S.shape[0])
    if isinstance(X, SparseMinusRankOne):
        products = products - X.row_factors * (centers @ X.column_factors)[labels]
    own = squared_norms(centers)[labels]
    return np.asarray(np.maximum(squared_norms(X) - 2 * products + own, 0))
