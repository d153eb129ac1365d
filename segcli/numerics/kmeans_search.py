"""The search for good partitions, k after k, among few customers: all of them or a sample.

For small k, greedy k-means++ starts race, and so does, for every k, the partition of the k before with
a center added; after a few Lloyd steps the best goes on. It is then improved by swaps: a center moves
to where it gains more than its going costs, which is the way out of a local optimum that Lloyd's steps
do not have.

Most of these steps move few centers. A partition therefore keeps the distances of all rows to all
centers, and a step computes those that changed and looks again at the rows that they concern: the
labels are Lloyd's, for a fraction of the work.

References
----------
Lloyd (1982), "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28, 129-137. Arthur &
Vassilvitskii (2007), "k-means++: the advantages of careful seeding", SODA, 1027-1035. Fränti &
Kivijärvi (2000), "Randomised local search algorithm for the clustering problem", Pattern Anal. Appl.
3, 358-369. Likas, Vlassis & Verbeek (2003), "The global k-means clustering algorithm", Pattern
Recognit. 36, 451-461. Lattanzi & Sohler (2019), "A better k-means++ algorithm via local search", ICML,
3662-3671. Bachem, Lucic & Krause (2018), "Scalable k-means clustering via lightweight coresets", KDD,
1119-1127. Cohen & Kaplan (2007), "Summarizing data using bottom-k sketches", PODC, 225-234.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np
import scipy.sparse as sp

from segcli import progress
from segcli.engine import Block, Blocks
from segcli.errors import ChoiceError
from segcli.numerics.ranks import shuffled
from segcli.numerics.weighting import squared_norms

MAX_ITERATIONS = 300
TOLERANCE = 1e-6
"""Stop when no center moves by more than this share of the data's standard deviation."""

_N_CANDIDATES = 5
_LARGEST_STARTED = 16  # beyond, a partition grown from the k before beat nearly every fresh start
_LAST_OF_EVERY_K = 64  # beyond, to go through every k would take ever longer for hardly better ones
_RACE_STEPS = 5
_TRIAL_STEPS = 2
_N_GROWN = 4
_N_NEW_CENTERS = 32
_N_SWAPS = 6
_MAX_SWAPS = 12
_LEAST_PROGRESS = 1e-5
_FEW = 4  # a part of this many: sums of fewer rows are brought up to date, not added up anew
_FEW_CENTERS = 8
"""Of so few, each is so much that the first steps of a start or a swap say little of how it ends: there
all go the whole way, so that halves of the customers come to the same segments."""
_PROMISING = (0.01, 0.001)
"""By what share a swap may raise the inertia before the first and the second Lloyd step: on four sets of
real data nine in ten of the swaps that paid in the end were within."""


@dataclass(frozen=True)
class Sample:
    """The customers among whom partitions are sought.

    Attributes
    ----------
    rows : ndarray of shape (n, n_columns)
    weights : ndarray of shape (n,), how many customers each stands for
    """

    rows: np.ndarray
    weights: np.ndarray

    def digest(self) -> bytes:
        """Return what no other sample has."""
        rows = np.column_stack([self.rows, self.weights])
        return hashlib.sha256(rows.tobytes() + str(rows.shape).encode()).digest()


def draw(X: Blocks, customer_ranks: np.ndarray, size: int, rng: np.random.Generator) -> Sample:
    """Return all customers, in random order, or a sample of this size.

    A sample is half spread evenly, half where the inertia about the mean comes from: of a few very
    heavy customers an even sample has none, and k-means would put centers on them.

    Parameters
    ----------
    X : dense blocks of shape (n_customers, n_columns)
    customer_ranks : ndarray of shape (n_customers,), from `segcli.numerics.ranks`
    """
    n = X.shape[0]
    if n <= size:
        rows = shuffled(customer_ranks, rng)
        return Sample(np.asarray(X.take(rows)), np.ones(n))
    (sums,) = X.map_sum(_column_sums)
    (squares,) = X.map_rows(_squares_from, sums / n)
    rates = 0.5 + 0.5 * squares / (squares.mean() or 1.0)
    # Who comes first of clocks that ring at these rates; the next to come says by when, and so how
    # likely each was to be among them.
    times = rng.exponential(size=n)[customer_ranks] / rates
    first = np.argsort(times, kind="stable")[: size + 1]
    rows, limit = first[:size], times[first[size]]
    return Sample(np.asarray(X.take(rows)), -1 / np.expm1(-rates[rows] * limit))


def search(
    sample: Sample,
    path: Sequence[int],
    ks: Iterable[int],
    n_starts: int,
    seed: int,
    *,
    known: Sequence[np.ndarray] = (),
) -> list[np.ndarray]:
    """Return the centers of the best partition found for each of ``ks``.

    Parameters
    ----------
    path : increasing numbers of segments to go through, the first no larger than any of ``ks``
        A k is grown from the last of the path before it. What is found for it depends on nothing
        else: not on what comes after, nor on what of ``ks`` is not on the path.
    n_starts : k-means++ starts for the first k of the path, and for all small ones
    known : ndarrays of shape (k, n_columns), centers of partitions that race too

    Returns
    -------
    list of ndarray of shape (k, n_columns), k rising

    Raises
    ------
    ChoiceError
        If there are fewer distinct rows than k.
    """
    rows = _Rows(sample)
    wanted, on_path = set(ks), set(path)
    visited = sorted(wanted | on_path)
    n_started = min(visited[-1], max(visited[0], _LARGEST_STARTED))
    rngs = [np.random.default_rng([seed, 3, start]) for start in range(n_starts)]
    starts = [plusplus(rows.rows, n_started, rng, weights=rows.weights) for rng in rngs]
    known_of = {len(centers): centers for centers in known}
    best: _Partition | None = None
    found = []
    for i, k in enumerate(visited):
        progress.report("k-means", i, len(visited))
        rng = np.random.default_rng([seed, 12, k])
        racing = []
        if best is None or k <= _LARGEST_STARTED:
            fresh = (_Partition.about(rows, start[:k]) for start in starts)
            racing.append(_winner(fresh, _RACE_STEPS if k <= _FEW_CENTERS else _TRIAL_STEPS))
        if best is not None:
            racing.append(_winner(_grown(best, k, rng), _TRIAL_STEPS))
        if k in known_of:
            racing.append(_raced(rows, known_of[k] - rows.mean))
        partition = _settled(_best(racing))
        if k > 1:
            partition = _improved_by_swaps(partition, rng)
        if k in wanted:
            found.append(partition.centers + rows.mean)
        if k in on_path:
            best = partition
    return found


def is_overtaken(sample: Sample, centers: np.ndarray, seed: int) -> bool:
    """Return whether a k-means++ start leads to a better partition in a few Lloyd steps."""
    rows = _Rows(sample)
    rng = np.random.default_rng([seed, 3, 0])
    start = plusplus(rows.rows, len(centers), rng, weights=rows.weights)
    fresh, given = (_raced(rows, each) for each in (start, centers - rows.mean))
    return fresh.inertia < given.inertia * (1 - _LEAST_PROGRESS)


def search_fixed_path(
    sample: Sample, ks: Sequence[int], n_starts: int, seed: int
) -> list[np.ndarray]:
    """Return what `search` finds for ``ks`` along `fixed_path`.

    What was found last is kept, for every k on the way: `segcli run` asks twice, in explore-k and in
    cluster, and a k's centers do not depend on which others are asked for.
    """
    key = (sample.digest(), n_starts, seed)
    if not set(ks) <= _FOUND.get(key, {}).keys():
        path = fixed_path(max(ks))
        visited = sorted({*path, *ks})
        found = search(sample, path, visited, n_starts, seed)
        for centers in found:
            centers.setflags(write=False)
        _FOUND.clear()
        _FOUND[key] = dict(zip(visited, found, strict=True))
    return [_FOUND[key][k] for k in ks]


def fixed_path(largest: int) -> list[int]:
    """Return every k to 64, from where on each is a sixteenth larger than the one before."""
    path, k = [], 1
    while k <= largest:
        path.append(k)
        k += 1 if k < _LAST_OF_EVERY_K else k // 16
    return path


_FOUND: dict[tuple[bytes, int, int], dict[int, np.ndarray]] = {}


def plusplus(
    X: np.ndarray, k: int, rng: np.random.Generator, *, weights: np.ndarray | None = None
) -> np.ndarray:
    """Return k starting centers, rows of X, by greedy k-means++.

    Each next center is drawn with probability in proportion to the squared distance to the nearest
    center so far; of several candidates, the one that lowers the inertia most is kept. The first j
    rows are a start for j centers.

    Parameters
    ----------
    X : ndarray of shape (n, n_columns)
    k : at most n
    weights : ndarray of shape (n,), how many rows each stands for; None: one

    Returns
    -------
    ndarray of shape (k, n_columns)
    """
    weights = np.ones(len(X)) if weights is None else weights
    first = int(_drawn(weights, 1, rng)[0])
    nearest = squared_norms(X - X[first])
    return X[[first, *_plusplus_after(X, nearest, k - 1, rng, weights)]]


def _plusplus_after(
    X: np.ndarray, nearest: np.ndarray, n: int, rng: np.random.Generator, weights: np.ndarray
) -> list[int]:
    """Return n more rows, where ``nearest`` are the squared distances to the centers so far."""
    norms = squared_norms(X)
    chosen: list[int] = []
    for _ in range(n):
        candidates = _drawn(nearest * weights, _N_CANDIDATES, rng)
        left = np.minimum(_squared_distances(X, norms, candidates), nearest[:, None])
        best = int((weights @ left).argmin())
        chosen.append(int(candidates[best]))
        nearest = np.ascontiguousarray(left[:, best])
    return chosen


class _Rows:
    """A sample's rows about their mean, and what every partition of them needs."""

    def __init__(self, sample: Sample) -> None:
        self.weights = sample.weights
        self.mean = sample.weights @ sample.rows / sample.weights.sum()
        self.rows = np.ascontiguousarray(sample.rows - self.mean)
        self.columns = np.ascontiguousarray(self.rows.T)
        self.norms = squared_norms(self.rows)
        self.inertia = float(self.weights @ self.norms)
        n, n_columns = self.rows.shape
        self.threshold = TOLERANCE**2 * self.inertia / self.weights.sum() / n_columns
        self.positions = np.arange(n + 1)

    def __len__(self) -> int:
        return len(self.rows)

    def half_distances(self, centers: np.ndarray) -> np.ndarray:
        """Return half the squared distances, less half the row's squared length, (n_centers, n)."""
        halves = squared_norms(centers)[:, None] / 2
        return np.asarray(halves - centers @ self.columns)

    def members(self, labels: np.ndarray, k: int) -> sp.csc_array:
        """Return each row's weight in the row of its segment, of shape (k, n)."""
        return sp.csc_array((self.weights, labels, self.positions), shape=(k, len(labels)))


class _Totals:
    """What the rows of each segment add up to.

    Attributes
    ----------
    sums : ndarray of shape (k, n_columns)
    sizes : ndarray of shape (k,), the sum of the rows' weights
    inertia : float, about the segments' means
    """

    def __init__(
        self, rows: _Rows, sums: np.ndarray, sizes: np.ndarray, counts: np.ndarray
    ) -> None:
        self.rows = rows
        self.sums = sums
        self.sizes = sizes
        self._counts = counts
        about_means = squared_norms(sums) / np.where(counts > 0, sizes, 1)
        self.inertia = max(rows.inertia - float(about_means.sum()), 0.0)

    @classmethod
    def of(cls, rows: _Rows, labels: np.ndarray, k: int) -> _Totals:
        """Return the totals by these labels."""
        sums = rows.members(labels, k) @ rows.rows
        sizes = np.bincount(labels, rows.weights, k)
        return cls(rows, sums, sizes, np.bincount(labels, minlength=k))

    def with_segments(self, n_more: int) -> _Totals:
        """Return the totals with empty segments besides."""
        sums = np.vstack([self.sums, np.zeros((n_more, self.sums.shape[1]))])
        sizes, counts = (
            np.append(x, np.zeros_like(x, shape=n_more)) for x in (self.sizes, self._counts)
        )
        return _Totals(self.rows, sums, sizes, counts)

    def after(self, before: np.ndarray, labels: np.ndarray, candidates: np.ndarray) -> _Totals:
        """Return the totals after the labels of rows, all among the candidates, have changed."""
        k = len(self.sums)
        left, joined = before[candidates], labels[candidates]
        changed = np.flatnonzero(left != joined)
        if len(changed) * _FEW > len(labels):
            return _Totals.of(self.rows, labels, k)
        rows, left, joined = candidates[changed], left[changed], joined[changed]
        weights, positions = self.rows.weights[rows], np.arange(len(rows))
        moves = np.zeros((k, len(rows)))
        moves[joined, positions] = weights
        moves[left, positions] = -weights
        sums = self.sums + moves @ self.rows.rows[rows]
        sizes = self.sizes + moves.sum(axis=1)
        counts = self._counts + np.bincount(joined, minlength=k) - np.bincount(left, minlength=k)
        sums[counts == 0], sizes[counts == 0] = 0, 0  # rounding left something
        return _Totals(self.rows, sums, sizes, counts)


class _Partition:
    """Centers, each row's nearest, and the inertia of these segments about their own means.

    Attributes
    ----------
    centers : ndarray of shape (k, n_columns)
    labels : ndarray of shape (n,)
    inertia : float
    converged : bool
    """

    def __init__(
        self,
        rows: _Rows,
        centers: np.ndarray,
        half_distances: np.ndarray,
        labels: np.ndarray,
        nearest: np.ndarray,
        totals: _Totals,
    ) -> None:
        self.rows = rows
        self.centers = centers
        self.labels = labels
        self.converged = False
        self._half_distances = half_distances
        self._nearest = nearest  # the least half distance of each row
        self._totals = totals

    @classmethod
    def about(cls, rows: _Rows, centers: np.ndarray) -> _Partition:
        """Return the partition by the nearest of some centers."""
        half_distances = rows.half_distances(centers)
        labels, nearest = _nearest_of(half_distances)
        totals = _Totals.of(rows, labels, len(centers))
        return cls(rows, centers, half_distances, labels, nearest, totals)

    @property
    def k(self) -> int:
        return len(self.centers)

    @property
    def inertia(self) -> float:
        return self._totals.inertia

    def with_center_at(self, segment: int, row: int) -> _Partition:
        """Return the partition with one center moved to a row."""
        centers = self.centers.copy()
        centers[segment] = self.rows.rows[row]
        half_distances = self._half_distances.copy()
        made = _Partition(
            self.rows, centers, half_distances, self.labels, self._nearest, self._totals
        )
        made._moved(np.array([segment]))
        return made

    def with_more_centers(self, added: Sequence[int]) -> _Partition:
        """Return the partition with centers put on rows besides."""
        more = self.rows.rows[added]
        half_distances = self.rows.half_distances(more)
        made = _Partition(
            self.rows,
            np.vstack([self.centers, more]),
            np.vstack([self._half_distances, half_distances]),
            self.labels,
            self._nearest,
            self._totals.with_segments(len(more)),
        )
        made._relabel(np.arange(self.k, made.k), half_distances)
        return made

    def squared_distances(self) -> np.ndarray:
        """Return each row's squared distance to its center, of shape (n,)."""
        return np.asarray(np.maximum(self.rows.norms + 2 * self._nearest, 0))

    def squared_distances_to_second(self) -> np.ndarray:
        """Return each row's squared distance to its second nearest center, of shape (n,)."""
        own = self.labels, np.arange(len(self.rows))
        self._half_distances[own] = np.inf
        second = self._half_distances.min(axis=0)
        self._half_distances[own] = self._nearest
        return np.asarray(np.maximum(self.rows.norms + 2 * second, 0))

    def step(self) -> None:
        """Move the centers to the means of their rows and label the rows anew; or be converged."""
        sums, sizes = self._totals.sums, self._totals.sizes
        means = sums / np.where(sizes > 0, sizes, 1)[:, None]
        empty = np.flatnonzero(sizes == 0)
        if len(empty):
            means[empty] = self._farthest(len(empty))
        squares = squared_norms(means - self.centers)
        if squares.max() <= self.rows.threshold:
            self.converged = True
            return
        self.centers = means
        self._moved(np.flatnonzero(squares))

    def _moved(self, moved: np.ndarray) -> None:
        """Bring everything up to date after some centers have moved."""
        if 2 * len(moved) <= self.k:
            half_distances = self.rows.half_distances(self.centers[moved])
            self._half_distances[moved] = half_distances
            self._relabel(moved, half_distances)
            return
        self._half_distances = self.rows.half_distances(self.centers)
        labels, self._nearest = _nearest_of(self._half_distances)
        self._change_to(labels, self.rows.positions[:-1])

    def _relabel(self, moved: np.ndarray, half_distances: np.ndarray) -> None:
        """Label the rows anew where only the distances to some centers have changed, to these."""
        best, least = _nearest_of(half_distances)
        has_moved = np.zeros(self.k, dtype=bool)
        has_moved[moved] = True
        # One of the moved centers is the nearest if it is nearer than the own was. Elsewhere the own
        # stays, unless it has moved away: then any may be.
        is_nearer = least < self._nearest
        nearer = np.flatnonzero(is_nearer)
        left = np.flatnonzero(has_moved[self.labels] > is_nearer)
        labels, nearest = self.labels.copy(), self._nearest.copy()
        labels[nearer], nearest[nearer] = moved[best[nearer]], least[nearer]
        if len(left):
            labels[left], nearest[left] = _nearest_of(self._half_distances.take(left, axis=1))
        self._nearest = nearest
        self._change_to(labels, np.sort(np.concatenate([nearer, left])))

    def _change_to(self, labels: np.ndarray, candidates: np.ndarray) -> None:
        self._totals = self._totals.after(self.labels, labels, candidates)
        self.labels = labels

    def _farthest(self, n_needed: int) -> np.ndarray:
        """Return the rows farthest from their centers, to put empty segments' centers on."""
        X = self.rows
        squares = squared_norms(X.rows - self.centers[self.labels])
        negligible = max(X.threshold * X.rows.shape[1], 1e-24 * float(X.norms.max()))
        order = np.argsort(-squares, kind="stable")
        candidates = X.rows[order[squares[order] > negligible]]
        first = np.sort(np.unique(candidates, axis=0, return_index=True)[1])[:n_needed]
        if len(first) < n_needed:
            msg = (
                f"{self.k} segments are asked for and there are only "
                f"{self.k - n_needed + len(first)} distinct customers. Choose a smaller k."
            )
            raise ChoiceError(msg)
        return np.asarray(candidates[first])


def _best(partitions: Iterable[_Partition]) -> _Partition:
    return min(partitions, key=attrgetter("inertia"))


def _descended(partition: _Partition, n_steps: int) -> _Partition:
    """Take Lloyd steps, at most so many, and return the partition."""
    for _ in range(n_steps):
        if partition.converged:
            break
        partition.step()
    return partition


def _raced(rows: _Rows, centers: np.ndarray) -> _Partition:
    return _descended(_Partition.about(rows, centers), _RACE_STEPS)


def _winner(partitions: Iterable[_Partition], n_trial_steps: int) -> _Partition:
    """Return the partition that is best after a few Lloyd steps, which then takes all of a race."""
    best = _best(_descended(one, n_trial_steps) for one in partitions)
    return _descended(best, _RACE_STEPS - n_trial_steps)


def _settled(partition: _Partition) -> _Partition:
    """Take Lloyd steps while they make progress, and return the partition."""
    for _ in range(MAX_ITERATIONS):
        before = partition.inertia
        partition.step()
        if before - partition.inertia <= _LEAST_PROGRESS * before:
            break
    return partition


def _grown(partition: _Partition, k: int, rng: np.random.Generator) -> Iterator[_Partition]:
    """Yield the partition with centers added where that lowers the inertia most, in a few ways."""
    X = partition.rows
    nearest = partition.squared_distances()
    candidates = np.unique(_drawn(nearest * X.weights, _N_NEW_CENTERS, rng))
    left = np.minimum(_squared_distances(X.rows, X.norms, candidates), nearest[:, None])
    order = np.argsort(X.weights @ left, kind="stable")[:_N_GROWN]
    for i in order:
        after = np.ascontiguousarray(left[:, i])
        others = _plusplus_after(X.rows, after, k - partition.k - 1, rng, X.weights)
        yield partition.with_more_centers([int(candidates[i]), *others])


def _improved_by_swaps(partition: _Partition, rng: np.random.Generator) -> _Partition:
    """Return the partition after moving one center elsewhere and taking Lloyd steps, while that pays."""
    for _ in range(_MAX_SWAPS):
        swapped = (_tried(partition, *swap) for swap in _swaps(partition, rng))
        enough = partition.inertia * (1 - _LEAST_PROGRESS)
        better = next((one for one in swapped if one.inertia < enough), None)
        if better is None:
            break
        partition = _settled(better)
    return partition


def _tried(partition: _Partition, segment: int, row: int) -> _Partition:
    """Return the partition with a center moved to a row, and Lloyd steps taken while that may pay."""
    swapped = partition.with_center_at(segment, row)
    many = partition.k > _FEW_CENTERS
    for promising in _PROMISING:
        if many and swapped.inertia > partition.inertia * (1 + promising):
            break
        swapped.step()
    return swapped


def _swaps(partition: _Partition, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Return the few swaps that leave the smallest inertia: which center moves, to which row.

    Candidates for the new center are rows drawn in proportion to their squared distance from their
    center. A swap's inertia, before any Lloyd step, is exact: rows of the center that goes fall back
    on their second nearest, or on the candidate.
    """
    X = partition.rows
    nearest, second = partition.squared_distances(), partition.squared_distances_to_second()
    candidates = np.unique(_drawn(nearest * X.weights, _N_NEW_CENTERS, rng))
    to_new = _squared_distances(X.rows, X.norms, candidates)
    kept = np.minimum(nearest[:, None], to_new)
    more = np.minimum(second[:, None], to_new)
    more -= kept
    lost = X.members(partition.labels, partition.k) @ more
    inertias = X.weights @ kept + lost
    goes = inertias.argmin(axis=0)
    order = np.argsort(inertias.min(axis=0), kind="stable")[:_N_SWAPS]
    return [(int(goes[i]), int(candidates[i])) for i in order]


def _nearest_of(half_distances: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the position of each column's least entry, the first of several, and the entry."""
    n = half_distances.shape[1]
    if len(half_distances) == 1:
        return np.zeros(n, dtype=np.intp), half_distances[0].copy()
    least = half_distances.min(axis=0)
    found = np.flatnonzero(half_distances == least)
    if len(found) != n:  # ties
        return half_distances.argmin(axis=0), least
    # In a fifth of the time that argmin takes along the first axis.
    centers, rows = np.divmod(found, n)
    labels = np.empty(n, dtype=np.intp)
    labels[rows] = centers
    return labels, least


def _squared_distances(X: np.ndarray, norms: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """Return the squared distances of all rows to the chosen ones, of shape (n, n_chosen)."""
    distances = X @ (-2 * X[chosen].T)
    distances += norms[:, None]
    distances += norms[chosen]
    return np.asarray(np.maximum(distances, 0, out=distances))


def _drawn(sizes: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n positions, drawn in proportion to sizes."""
    running = np.cumsum(sizes)
    draws = rng.random(n) * running[-1]
    return np.asarray(np.minimum(np.searchsorted(running, draws, side="right"), len(sizes) - 1))


def _column_sums(block: Block) -> tuple[np.ndarray]:
    return (np.asarray(block.matrix.sum(axis=0)),)


def _squares_from(block: Block, center: np.ndarray) -> tuple[np.ndarray]:
    """Return each row's squared distance to a center."""
    return (squared_norms(block.matrix - center),)
