"""The search for good partitions, k after k, among few customers: all of them or a sample.

For small k, greedy k-means++ starts race, and so does, for every k, the partition of the k before with
a center added; after a few Lloyd steps the best goes on. It is then improved by swaps: a center moves
to where it gains more than its going costs, which is the way out of a local optimum that Lloyd's steps
do not have. Of k beyond 64 most are skipped, and several centers are added at once.

References
----------
Lloyd (1982), "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28, 129-137. Arthur &
Vassilvitskii (2007), "k-means++: the advantages of careful seeding", SODA, 1027-1035. Fränti &
Kivijärvi (2000), "Randomised local search algorithm for the clustering problem", Pattern Anal. Appl.
3, 358-369. Likas, Vlassis & Verbeek (2003), "The global k-means clustering algorithm", Pattern
Recognit. 36, 451-461. Lattanzi & Sohler (2019), "A better k-means++ algorithm via local search", ICML,
3662-3671. Bachem, Lucic & Krause (2018), "Scalable k-means clustering via lightweight coresets", KDD,
1119-1127. Bahmani et al. (2012), "Scalable k-means++", PVLDB 5, 622-633. Cohen & Kaplan (2007),
"Summarizing data using bottom-k sketches", PODC, 225-234.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from segcli import progress
from segcli.engine import Block, Blocks
from segcli.engine.rows import squared_norms
from segcli.numerics.assignment import labels_and_squares, totals
from segcli.numerics.partition import Partition, Rows
from segcli.numerics.ranks import shuffled

MAX_ITERATIONS = 300

_EVEN_SHARE = 0.2
"""Of a sample, drawn without regard to where customers lie. On data without heavy tails the rest is spread
almost as evenly; on those with, a half cost up to a hundredth of the inertia."""

_FARTHER = (4, 16, 64)
"""How many customers, mostly far out, `draw` adds in each round to those it measures distances from."""

_TIMES_AS_LARGE = 6
"""A sample is at least so many times as large as what is added in a round."""

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
        """Return a hash of the rows and weights."""
        rows = np.column_stack([self.rows, self.weights])
        return hashlib.sha256(rows.tobytes() + str(rows.shape).encode()).digest()


def draw(X: Blocks, customer_ranks: np.ndarray, size: int, rng: np.random.Generator) -> Sample:
    """Return all customers, in random order, or a sample of this size.

    A fifth of a sample is spread evenly, the rest where the inertia comes from: about the mean at first,
    then about ever more customers who lie far out, too, who are in it themselves. Of a few very heavy
    customers an even sample has none, and k-means would put centers on them; and one drawn for the inertia
    about the mean has none of the next heaviest, who count for nothing until the heaviest have centers.

    Parameters
    ----------
    X : dense blocks of shape (n_customers, n_columns)
    customer_ranks : ndarray of shape (n_customers,), from `segcli.numerics.ranks`
    """
    n = X.shape[0]
    if n <= size:
        rows = shuffled(customer_ranks, rng)
        return Sample(np.asarray(X.take(rows)), np.ones(n))
    sums, _ = X.map_sum(totals)
    mean = sums[None, :] / n
    squares, rates = np.zeros(n), np.full(n, _EVEN_SHARE)
    far = np.zeros(0, dtype=np.intp)
    for n_farther in (0, *_FARTHER):
        times = _waiting_times(squares, customer_ranks, rng)
        next_ = _earliest(times, min(n_farther, size // _TIMES_AS_LARGE))
        far = np.concatenate([far, next_[np.isfinite(times[next_])]])
        centers = np.vstack([mean, np.asarray(X.take(far))])
        (squares,) = X.map_rows(_squares_from_nearest, centers)
        rates += (1 - _EVEN_SHARE) / (1 + len(_FARTHER)) * squares / (squares.mean() or 1.0)
    rates[far] = 0
    times = _waiting_times(rates, customer_ranks, rng)
    *others, following = _earliest(times, size - len(far) + 1)
    # The others came before `following` did: how likely that was is how likely each was to be drawn.
    likely = -np.expm1(-rates[others] * times[following])
    return Sample(
        np.asarray(X.take(np.concatenate([far, others]))),
        np.concatenate([np.ones(len(far)), 1 / likely]),
    )


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
    rows = Rows(sample.rows, sample.weights)
    wanted, on_path = set(ks), set(path)
    visited = sorted(wanted | on_path)
    n_started = min(visited[-1], max(visited[0], _LARGEST_STARTED))
    rngs = [np.random.default_rng([seed, 3, start]) for start in range(n_starts)]
    starts = [plusplus(rows.rows, n_started, rng, weights=rows.weights) for rng in rngs]
    known_of = {len(centers): centers for centers in known}
    best: Partition | None = None
    found = []
    for i, k in enumerate(visited):
        progress.report("k-means", i, len(visited))
        rng = np.random.default_rng([seed, 12, k])
        racing = []
        if best is None or k <= _LARGEST_STARTED:
            fresh = (Partition.about(rows, start[:k]) for start in starts)
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
    rows = Rows(sample.rows, sample.weights)
    rng = np.random.default_rng([seed, 3, 0])
    start = plusplus(rows.rows, len(centers), rng, weights=rows.weights)
    fresh, given = (_raced(rows, each) for each in (start, centers - rows.mean))
    return fresh.inertia < given.inertia * (1 - _LEAST_PROGRESS)


def search_fixed_path(
    sample: Sample, ks: Sequence[int], n_starts: int, seed: int
) -> list[np.ndarray]:
    """Return what `search` finds for ``ks`` along `fixed_path`.

    What was found on the last few samples is kept, for every k on the way: `segcli run` asks twice, in
    explore-k and in cluster, and a k's centers do not depend on which others are asked for.
    """
    key = (sample.digest(), n_starts, seed)
    if not set(ks) <= _FOUND.get(key, {}).keys():
        path = fixed_path(max(ks))
        visited = sorted({*path, *ks})
        found = search(sample, path, visited, n_starts, seed)
        for centers in found:
            centers.setflags(write=False)
        _FOUND.pop(key, None)
        _FOUND[key] = dict(zip(visited, found, strict=True))
        for oldest in list(_FOUND)[:-_N_KEPT]:
            del _FOUND[oldest]
    return [_FOUND[key][k] for k in ks]


def fixed_path(largest: int) -> list[int]:
    """Return every k to 64, from where on each is a sixteenth larger than the one before."""
    path, k = [], 1
    while k <= largest:
        path.append(k)
        k += 1 if k < _LAST_OF_EVERY_K else k // 16
    return path


_N_KEPT = 3  # `segcli.numerics.kmeans` takes no more samples of the same customers

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


def _best(partitions: Iterable[Partition]) -> Partition:
    return min(partitions, key=attrgetter("inertia"))


def _raced(rows: Rows, centers: np.ndarray) -> Partition:
    return Partition.about(rows, centers).descend(_RACE_STEPS)


def _winner(partitions: Iterable[Partition], n_trial_steps: int) -> Partition:
    """Return the partition that is best after a few Lloyd steps, which then takes all of a race."""
    best = _best(one.descend(n_trial_steps) for one in partitions)
    return best.descend(_RACE_STEPS - n_trial_steps)


def _settled(partition: Partition) -> Partition:
    """Take Lloyd steps while they make progress, and return the partition."""
    for _ in range(MAX_ITERATIONS):
        before = partition.inertia
        partition.step()
        if before - partition.inertia <= _LEAST_PROGRESS * before:
            break
    return partition


def _grown(partition: Partition, k: int, rng: np.random.Generator) -> Iterator[Partition]:
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


def _improved_by_swaps(partition: Partition, rng: np.random.Generator) -> Partition:
    """Return the partition after moving one center elsewhere and taking Lloyd steps, while that pays."""
    for _ in range(_MAX_SWAPS):
        swapped = (_tried(partition, *swap) for swap in _swaps(partition, rng))
        enough = partition.inertia * (1 - _LEAST_PROGRESS)
        better = next((one for one in swapped if one.inertia < enough), None)
        if better is None:
            break
        partition = _settled(better)
    return partition


def _tried(partition: Partition, segment: int, row: int) -> Partition:
    """Return the partition with a center moved to a row, and Lloyd steps taken while that may pay."""
    swapped = partition.with_center_at(segment, row)
    many = partition.k > _FEW_CENTERS
    for promising in _PROMISING:
        if many and swapped.inertia > partition.inertia * (1 + promising):
            break
        swapped.step()
    return swapped


def _swaps(partition: Partition, rng: np.random.Generator) -> list[tuple[int, int]]:
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
    more *= X.weights[:, None]
    lost = X.sums_of(partition.labels, partition.k, more)
    inertias = X.weights @ kept + lost
    goes = inertias.argmin(axis=0)
    order = np.argsort(inertias.min(axis=0), kind="stable")[:_N_SWAPS]
    return [(int(goes[i]), int(candidates[i])) for i in order]


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


def _waiting_times(
    rates: np.ndarray, customer_ranks: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return exponential waiting times of these rates; infinite at rate 0.

    Those who wait least are a sample, drawn without replacement in proportion to the rates.
    """
    times: np.ndarray = rng.exponential(size=len(rates))[customer_ranks]
    with np.errstate(divide="ignore"):
        return np.asarray(times / rates)


def _earliest(times: np.ndarray, n: int) -> np.ndarray:
    """Return where the n smallest times are, the smallest first."""
    found = np.argpartition(times, max(n - 1, 0))[:n]
    return found[np.argsort(times[found], kind="stable")]


def _squares_from_nearest(block: Block, centers: np.ndarray) -> tuple[np.ndarray]:
    """Return each row's squared distance to the nearest of the centers."""
    return (labels_and_squares(block, centers)[1],)
