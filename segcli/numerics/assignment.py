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
    n = X.shape[0]
    norms = squared_norms(X)
    half_distances = _half_distances(X, centers, precision)
    inertias = np.empty(len(ks))
    customers, counts = [], []
    for run, (start, stop) in enumerate(pairwise([0, *np.cumsum(ks).tolist()])):
        distances = half_distances(start, stop)
        least = distances.min(axis=0)
        found = np.flatnonzero(distances == least)
        if len(found) != n:  # ties go to the lower center
            nearest = distances.argmin(axis=0)
            found = np.sort(nearest * n + np.arange(n))
        ends = np.searchsorted(found, np.arange(stop - start + 1) * n)
        customers.append(found)
        counts.append(ends[1:] - ends[:-1])
        inertias[run] = np.maximum(norms + 2 * least, 0).sum()
    sizes = np.concatenate(counts)
    firsts = np.concatenate([np.arange(k) * n for k in ks])
    members = np.concatenate(customers) - np.repeat(firsts, sizes)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    return sum_groups(X, members, ends), sizes.astype(np.float64), inertias


def _cut(X: Matrix, n_centers: int) -> list[Matrix]:
    """Return rows in pieces whose distances to so many centers take no more than a stated room."""
    n, step = X.shape[0], max(_DISTANCES_AT_ONCE // n_centers, 1)
    if n <= step:
        return [X]
    return [row_range(X, start, min(start + step, n)) for start in range(0, n, step)]


def _half_distances(
    X: Matrix, centers: np.ndarray, precision: type[np.floating]
) -> Callable[[int, int], np.ndarray]:
    """Return a function of a range of centers: half their squared distances to each row of X.

    Less half the row's squared length, which does not bear on which is nearest. Of shape
    (n_centers, n): a minimum over centers then runs along memory. Each run has a product of its
    own, so that its bits do not depend on which other runs are under way.
    """
    halves = squared_norms(centers) / 2
    if not isinstance(X, np.ndarray):
        return lambda a, b: np.ascontiguousarray((halves[a:b] - X @ centers[a:b].T).T)
    extended = np.vstack([X.T, np.ones(len(X))], dtype=precision, casting="same_kind")
    factors = np.hstack([-centers, halves[:, None]], dtype=precision, casting="same_kind")
    room = np.empty((0, 0), precision)

    def half_distances(a: int, b: int) -> np.ndarray:
        nonlocal room
        if len(room) < b - a:
            room = np.empty((b - a, len(X)), precision)
        return np.matmul(factors[a:b], extended, out=room[: b - a])

    return half_distances


def _sum_by(X: Matrix, labels: np.ndarray, n_labels: int) -> np.ndarray:
    """Return the sums of X's rows by label, of shape (n_labels, n_columns)."""
    members = np.argsort(labels, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=n_labels))])
    return sum_groups(X, members, ends)


def _squared_distances(X: Matrix, centers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    if isinstance(X, np.ndarray):
        squares = np.empty(len(X))
        step = max(_DISTANCES_AT_ONCE // X.shape[1], 1) if X.shape[1] else len(X)
        for start in range(0, len(X), step):  # of all at once it would be two more of X
            piece = slice(start, start + step)
            squares[piece] = squared_norms(X[piece] - centers[labels[piece]])
        return squares
    S = sparse_part(X)
    rows = np.repeat(np.arange(S.shape[0]), np.diff(S.indptr))
    products = np.bincount(rows, S.data * centers[labels[rows], S.indices], S.shape[0])
    if isinstance(X, SparseMinusRankOne):
        products = products - X.row_factors * (centers @ X.column_factors)[labels]
    own = squared_norms(centers)[labels]
    return np.asarray(np.maximum(squared_norms(X) - 2 * products + own, 0))
