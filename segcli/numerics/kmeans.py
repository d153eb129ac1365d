"""k-means by Lloyd's algorithm over row blocks, for many k in one pass.

The partitions are sought on a sample of customers, k after k: of many, each is drawn the sooner the
farther it lies from the mean, and counts for as many as it stands for. For each k, greedy k-means++ starts
race against the partition of the k before with a center added; after a few steps the worse ones
drop out. The best is then improved by swaps: a center moves to where it gains more than its going
costs, which is the way out of a local optimum that Lloyd's steps do not have. What is found goes on
to all customers, where every k takes its Lloyd step in the same pass over the rows.

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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import scipy.sparse as sp

from segcli import progress
from segcli.engine import Block, Blocks, LocalEngine
from segcli.engine.rank_one import SparseMinusRankOne, sum_groups
from segcli.errors import ChoiceError
from segcli.numerics.ranks import shuffled
from segcli.numerics.weighting import squared_norms

N_STARTS = 10
MAX_ITERATIONS = 300
TOLERANCE = 1e-6
"""Stop when no center moves by more than this share of the data's standard deviation."""

SAMPLE_SIZE = 5_000
"""Customers from which starts are drawn, and on which they compete when there are more."""

_N_CANDIDATES = 5
_RACE_STEPS = 5
_FINALISTS = 2
_GROWN = 2
_SWAP_ROUNDS = 12
_SWAP_CANDIDATES = 64
_SWAPS_TRIED = 4
_SWAP_STEPS = 2
_NEGLIGIBLE = 1e-12
_ROUNDING = 1e-14
_CURVE_PROGRESS = 1e-4
_SUMS_ENTRIES = 1 << 22  # 32 MB

Rows = np.ndarray | sp.csr_array | SparseMinusRankOne
"""Rows that have a distance from a center: dense scores or weighted rows of the full matrix."""


@dataclass(frozen=True)
class KMeansFit:
    """A partition of the customers and its centers.

    Attributes
    ----------
    centers : ndarray of shape (k, n_columns)
    labels : ndarray of shape (n_customers,), values in 0..k-1; 0 is the largest segment
    inertia : float
        Sum of squared distances to the own center; 0 is best, and it falls as k grows.
    n_iterations : int
    converged : bool
        False if the centers still moved after the last iteration allowed.
    """

    centers: np.ndarray
    labels: np.ndarray
    inertia: float
    n_iterations: int
    converged: bool

    @property
    def k(self) -> int:
        """The number of segments."""
        return len(self.centers)

    @property
    def sizes(self) -> np.ndarray:
        """Customers in each segment, an ndarray of shape (k,)."""
        return np.bincount(self.labels, minlength=self.k)


@dataclass
class _Run:
    """One Lloyd run under way."""

    k: int
    centers: np.ndarray
    inertia: float = np.inf
    n_iterations: int = 0
    converged: bool = False


def fit_kmeans(
    X: Blocks,
    k: int,
    *,
    customer_ranks: np.ndarray,
    seed: int,
    n_starts: int = N_STARTS,
    sample_size: int = SAMPLE_SIZE,
) -> KMeansFit:
    """Return the best partition into k segments that was found.

    See `fit_all`: the result is the same as among the partitions for other k.
    """
    return fit_all(
        X,
        [k],
        customer_ranks=customer_ranks,
        seed=seed,
        n_starts=n_starts,
        sample_size=sample_size,
    )[0]


def fit_all(
    X: Blocks,
    ks: Sequence[int],
    *,
    customer_ranks: np.ndarray,
    seed: int,
    n_starts: int = N_STARTS,
    sample_size: int = SAMPLE_SIZE,
    through_every_k: bool = True,
    for_curve: bool = False,
) -> list[KMeansFit]:
    """Return, for each k, the best partition that was found. Inertia never rises with k.

    Parameters
    ----------
    X : dense blocks of shape (n_customers, n_columns), the scores
    ks : increasing numbers of segments, each at most n_customers
    customer_ranks : ndarray of shape (n_customers,), from `segcli.numerics.ranks`
        Chance picks customers by rank, so that neither row order nor names matter.
    seed : int
    n_starts : k-means++ starts per k
    sample_size : int
        With more customers than this, partitions are sought on a sample of this size, and what is
        found for each k goes on to all.
    through_every_k : bool
        Seek through every k up to the largest, so that a k's partition does not depend on which
        others are asked for. False is faster where a few large k are.
    for_curve : bool
        With more customers than the sample, take the steps on all in single precision, and stop when
        one lowers the inertia by no more than a ten-thousandth: a curve does not show what is left.
        The inertias returned are exact for the partitions returned.

    Raises
    ------
    ChoiceError
        If there are fewer distinct customers than k.
    """
    n_customers = X.shape[0]
    _check_ks(ks, n_customers)
    sample = _draw(X, customer_ranks, sample_size, np.random.default_rng([seed, 2]))
    path = range(1, max(ks) + 1) if through_every_k else ks
    best = _search(sample, path, set(ks), n_starts, seed)
    _settle(X, best, "k-means", for_curve=for_curve and n_customers > sample_size)
    for previous, this in pairwise(best):
        if this.inertia > previous.inertia:
            _continue_from(X, previous, this)
    return [_finish(X, run, customer_ranks) for run in best]


def refine(
    X: Blocks,
    fits: Sequence[KMeansFit],
    *,
    customer_ranks: np.ndarray,
    max_iterations: int = MAX_ITERATIONS,
    for_curve: bool = False,
) -> list[KMeansFit]:
    """Return the partitions of ``fits`` carried into the space of X and improved there.

    Centers are the means, in X, of each partition's customers; then Lloyd's algorithm goes on. This
    is how all components and the full matrix are clustered: the leading components hold nearly all
    that separates segments, so a partition found there is a start that few steps improve.

    Parameters
    ----------
    X : blocks of shape (n_customers, n_columns), dense, sparse or sparse minus rank one
    fits : partitions of the same customers found in another space
    max_iterations : Lloyd steps in X; 0 only measures the inertia
    for_curve : as of `fit_all`, with more than `SAMPLE_SIZE` customers; X is dense
    """
    sums = _group_sums(X, fits)
    runs = []
    for fit, total in zip(fits, sums, strict=True):
        runs.append(_Run(fit.k, total / fit.sizes[:, None]))
    rough = for_curve and X.shape[0] > SAMPLE_SIZE
    _settle(X, runs, "k-means in full", for_curve=rough, max_iterations=max_iterations)
    return [_finish(X, run, customer_ranks) for run in runs]


def measure_inertias(X: Blocks, fits: Sequence[KMeansFit]) -> np.ndarray:
    """Return the inertia of each partition about its own means in the space of X.

    Without a step of k-means, and without holding the centers of more than a few partitions: one
    pass over X for each few.

    Parameters
    ----------
    X : blocks of shape (n_customers, n_columns), dense, sparse or sparse minus rank one
    fits : partitions of the same customers found in another space

    Returns
    -------
    ndarray of shape (n_fits,)
    """
    (_, total) = X.map_sum(_totals)
    between: list[float] = []
    for group in _groups(fits, X.shape[1]):
        sums = _group_sums(X, group)
        between += [
            float((squared_norms(each) / fit.sizes).sum())
            for each, fit in zip(sums, group, strict=True)
        ]
    return np.asarray(np.maximum(float(total) - np.array(between), 0))


def assign(X: Rows, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
    halves = np.einsum("ij,ij->i", centers, centers) / 2
    labels = np.asarray(halves - X @ centers.T).argmin(axis=1)
    return labels, np.sqrt(_squared_distances(X, centers, labels))


def plusplus(
    X: np.ndarray,
    k: int,
    rng: np.random.Generator,
    *,
    given: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Return k starting centers, rows of X, by greedy k-means++.

    Each next center is drawn with probability in proportion to the squared distance to the nearest
    center so far; of several candidates, the one that lowers the inertia most is kept. The first j
    rows are a start for j centers.

    Parameters
    ----------
    X : ndarray of shape (n, n_columns)
    k : at most n
    given : ndarray of shape (n_given, n_columns): centers to begin with, to which others are added
    weights : ndarray of shape (n,), how many rows each stands for; None: one

    Returns
    -------
    ndarray of shape (k, n_columns)
    """
    norms = squared_norms(X)
    if given is None:
        first = rng.integers(len(X)) if weights is None else _drawn(weights, 1, rng)[0]
        given = X[[int(first)]]
    nearest = _half_distances(X, given)(0, len(given)).min(axis=0)
    nearest = np.maximum(norms + 2 * nearest, 0)
    chosen: list[int] = []
    for _ in range(len(given), k):
        candidates = _drawn(_weighted(nearest, weights), _N_CANDIDATES, rng)
        distances = norms[:, None] - 2 * (X @ X[candidates].T) + norms[candidates]
        np.minimum(np.maximum(distances, 0, out=distances), nearest[:, None], out=distances)
        best = int(_weighted(distances, weights).sum(axis=0).argmin())
        chosen.append(int(candidates[best]))
        nearest = np.ascontiguousarray(distances[:, best])
    return np.vstack([given, X[chosen]])


def _check_ks(ks: Sequence[int], n_customers: int) -> None:
    if max(ks) > n_customers:
        msg = f"{max(ks)} segments cannot be made of {n_customers} customers. Choose a smaller k."
        raise ChoiceError(msg)


@dataclass(frozen=True)
class _Sample:
    """The customers among whom partitions are sought.

    Attributes
    ----------
    rows : ndarray of shape (n, n_columns)
    weights : ndarray of shape (n,), how many customers each stands for; None: itself
    """

    rows: np.ndarray
    weights: np.ndarray | None

    def blocks(self) -> Blocks:
        return LocalEngine().blocks(self.rows)


def _draw(X: Blocks, customer_ranks: np.ndarray, size: int, rng: np.random.Generator) -> _Sample:
    """Return all customers, in random order, or a sample of this size.

    A sample is half spread evenly, half where the inertia about the mean comes from: of a few very
    heavy customers an even sample has none, and k-means would put centers on them.
    """
    n = X.shape[0]
    if n <= size:
        return _Sample(np.asarray(X.take(shuffled(customer_ranks, rng))), None)
    sums, _ = X.map_sum(_totals)
    (squares,) = X.map_rows(_squares_from, sums / n)
    rates = 0.5 + 0.5 * squares / (squares.mean() or 1.0)
    # Who comes first of clocks that ring at these rates; the next to come says by when, and so how
    # likely each was to be among them.
    times = rng.exponential(size=n)[customer_ranks] / rates
    first = np.argsort(times, kind="stable")[: size + 1]
    rows, limit = first[:size], times[first[size]]
    return _Sample(np.asarray(X.take(rows)), -1 / np.expm1(-rates[rows] * limit))


def _search(
    sample: _Sample, path: Sequence[int], ks: set[int], n_starts: int, seed: int
) -> list[_Run]:
    """Return the best run found for each of ``ks`` on a sample, going through the k of ``path``.

    Nothing drawn for a k depends on which k come after it.
    """
    X, rows, weights = sample.blocks(), sample.rows, sample.weights
    rngs = [np.random.default_rng([seed, 3, start]) for start in range(n_starts)]
    starts = [plusplus(rows, max(path), rng, weights=weights) for rng in rngs]
    run, found = None, []
    for i, k in enumerate(path):
        progress.report("k-means", i, len(path))
        rng = np.random.default_rng([seed, 12, k])
        best = _best_of(X, weights, [start[:k] for start in starts], _RACE_STEPS, _FINALISTS)
        if run is not None:
            grown = [
                plusplus(rows, k, rng, given=run.centers, weights=weights) for _ in range(_GROWN)
            ]
            best = min(best, _best_of(X, weights, grown, _SWAP_STEPS), key=_inertia)
        run = _improved_by_swaps(X, sample, best, rng) if k > 1 else best
        if k in ks:
            found.append(run)
    return found


def _best_of(
    X: Blocks,
    weights: np.ndarray | None,
    starts: Sequence[np.ndarray],
    n_steps: int,
    n_finalists: int = 1,
) -> _Run:
    """Return the best run from these centers; only the leaders after a few steps go all the way."""
    runs = [_Run(len(start), start.copy()) for start in starts]
    _lloyd(X, runs, max_iterations=n_steps, weights=weights)
    leaders = sorted(runs, key=_inertia)[:n_finalists]
    _lloyd(X, [run for run in leaders if not run.converged], weights=weights)
    return min(leaders, key=_inertia)


def _inertia(run: _Run) -> float:
    return run.inertia


def _improved_by_swaps(X: Blocks, sample: _Sample, run: _Run, rng: np.random.Generator) -> _Run:
    """Return the run after moving one center elsewhere and taking Lloyd steps, while that pays.

    X holds the sample's rows. In each round the most promising swaps are tried.
    """
    norms = squared_norms(sample.rows)
    for _ in range(_SWAP_ROUNDS):
        swaps = _swaps(sample, norms, run.centers, rng)
        best = _best_of(X, sample.weights, swaps, _SWAP_STEPS)
        if best.inertia >= run.inertia * (1 - _NEGLIGIBLE):
            break
        run = best
    return run


def _swaps(
    sample: _Sample, norms: np.ndarray, centers: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray]:
    """Return the centers after each of the few swaps that leave the smallest inertia.

    Candidates for the new center are rows drawn in proportion to their squared distance from their
    center. A swap's inertia, before any Lloyd step, is exact: customers of the center that goes
    fall back on their second nearest, or on the candidate.
    """
    rows, weights, k = sample.rows, sample.weights, len(centers)
    halves = np.einsum("ij,ij->i", centers, centers) / 2
    distances = np.maximum(norms[:, None] + 2 * (halves - rows @ centers.T), 0)
    labels = distances.argmin(axis=1)
    nearest, second = np.partition(distances, 1, axis=1)[:, :2].T
    candidates = np.unique(_drawn(_weighted(nearest, weights), _SWAP_CANDIDATES, rng))
    to_new = norms[:, None] - 2 * (rows @ rows[candidates].T) + norms[candidates]
    np.maximum(to_new, 0, out=to_new)
    kept = np.minimum(nearest[:, None], to_new)
    more = np.minimum(second[:, None], to_new) - kept
    kept, lost = _weighted(kept, weights), _sum_by(_weighted(more, weights), labels, k)
    inertias = kept.sum(axis=0) + lost
    goes = inertias.argmin(axis=0)
    order = np.argsort(inertias.min(axis=0), kind="stable")[:_SWAPS_TRIED]
    swapped = []
    for candidate in order:
        moved = centers.copy()
        moved[goes[candidate]] = rows[candidates[candidate]]
        swapped.append(moved)
    return swapped


def _drawn(sizes: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n positions, drawn in proportion to sizes."""
    running = np.cumsum(sizes)
    draws = rng.random(n) * running[-1]
    return np.asarray(np.minimum(np.searchsorted(running, draws, side="right"), len(sizes) - 1))


def _weighted(values: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    """Return values, of shape (n,) or (n, m), times their rows' weights."""
    if weights is None:
        return values
    return np.asarray(values * (weights if values.ndim == 1 else weights[:, None]))


def _settle(
    X: Blocks,
    runs: Sequence[_Run],
    what: str,
    *,
    for_curve: bool,
    max_iterations: int = MAX_ITERATIONS,
) -> None:
    """Take Lloyd steps on all customers; for a curve as `fit_all` says, and measure the inertia."""
    if not for_curve:
        _lloyd(X, runs, what, max_iterations=max_iterations)
        return
    ordinary = 1e-12 < _mean_variance(X) < 1e12  # single precision holds no squares beyond 1e38
    _lloyd(
        X,
        runs,
        what,
        max_iterations=max_iterations,
        least_progress=_CURVE_PROGRESS,
        precision=np.float32 if ordinary else np.float64,
    )
    _lloyd(X, runs, max_iterations=0)


def _lloyd(
    X: Blocks,
    runs: Sequence[_Run],
    what: str | None = None,
    *,
    max_iterations: int = MAX_ITERATIONS,
    least_progress: float = 0.0,
    precision: type[np.floating] = np.float64,
    weights: np.ndarray | None = None,
) -> None:
    """Take Lloyd steps for all runs together until each has converged; fill in their inertia.

    ``precision`` is of the distances that say which center is nearest; ``weights`` are of X's rows.
    """
    threshold = TOLERANCE**2 * _mean_variance(X)
    active = list(runs)
    if not active:
        return
    for n_pass in range(max_iterations + 1):
        sums, counts, inertias = _step(X, active, precision, weights)
        offset = 0
        for position, run in enumerate(active):
            rows = slice(offset, offset + run.k)
            offset += run.k
            before, run.inertia = run.inertia, float(inertias[position])
            if n_pass == max_iterations:
                continue
            if n_pass and before - run.inertia <= least_progress * before:
                run.converged = True
                continue
            moved = _move(X, run, sums[rows], counts[rows], threshold)
            run.converged = moved <= threshold
        active = [run for run in active if not run.converged]
        if what is not None:
            progress.report(what, len(runs) - len(active), len(runs))
        if not active:
            return


def _move(X: Blocks, run: _Run, sums: np.ndarray, counts: np.ndarray, threshold: float) -> float:
    """Move a run's centers to the means of their customers; return the largest squared move."""
    centers = sums / np.maximum(counts, 1)[:, None]
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        centers[empty] = _farthest(X, run, len(empty), threshold)
    moved = float(((centers - run.centers) ** 2).sum(axis=1).max())
    if moved > threshold:
        run.centers = centers
        run.n_iterations += 1
    return moved


def _farthest(X: Blocks, run: _Run, n_needed: int, threshold: float) -> np.ndarray:
    """Return the rows farthest from their centers, to put empty segments' centers on."""
    distances, rounding = X.map_rows(_own_distances, run.centers)
    negligible = max(threshold * X.shape[1], float(rounding.max()))
    order = np.argsort(-distances, kind="stable")
    rows, unique = [], set()
    for row in order:
        if distances[row] <= negligible:
            break
        content = _dense(X.take(np.array([row])))
        if content.tobytes() not in unique:
            unique.add(content.tobytes())
            rows.append(content[0])
        if len(rows) == n_needed:
            return np.stack(rows)
    msg = (
        f"{run.k} segments are asked for and there are only {run.k - n_needed + len(rows)} distinct "
        f"customers. Choose a smaller k."
    )
    raise ChoiceError(msg)


def _continue_from(X: Blocks, previous: _Run, run: _Run) -> None:
    """Refit ``run`` from the next smaller k's centers and its farthest customers: never worse."""
    farthest = _farthest(X, previous, run.k - previous.k, TOLERANCE**2 * _mean_variance(X))
    better = _Run(run.k, np.vstack([previous.centers, farthest]))
    _lloyd(X, [better], "k-means")
    if better.inertia < run.inertia:
        run.centers, run.inertia = better.centers, better.inertia
        run.n_iterations, run.converged = better.n_iterations, better.converged


def _finish(X: Blocks, run: _Run, customer_ranks: np.ndarray) -> KMeansFit:
    """Label every customer; number the segments by size, ties by the first customer in rank."""
    labels, squares = X.map_rows(_labels_and_squares, run.centers)
    counts = np.bincount(labels, minlength=run.k)
    first = np.full(run.k, len(labels))
    np.minimum.at(first, labels, customer_ranks)
    order = np.lexsort([first, -counts])
    position = np.empty(run.k, dtype=np.int64)
    position[order] = np.arange(run.k)
    return KMeansFit(
        centers=run.centers[order],
        labels=position[labels],
        inertia=float(squares.sum()),
        n_iterations=run.n_iterations,
        converged=run.converged,
    )


def _step(
    X: Blocks,
    runs: Sequence[_Run],
    precision: type[np.floating],
    weights: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    centers = np.vstack([run.centers for run in runs])
    ks = [run.k for run in runs]
    sums, counts, inertias = X.map_sum(_assign_and_sum, centers, ks, precision, weights)
    return sums, counts, inertias


def _assign_and_sum(
    block: Block,
    centers: np.ndarray,
    ks: Sequence[int],
    precision: type[np.floating],
    weights: np.ndarray | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for all runs, the sums and counts of the rows nearest each center, and inertias."""
    X = block.matrix
    n = X.shape[0]
    norms = squared_norms(X)
    own = weights[block.rows] if weights is not None else None
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
        inertias[run] = _weighted(np.maximum(norms + 2 * least, 0), own).sum()
    sizes = np.concatenate(counts)
    firsts = np.concatenate([np.arange(k) * n for k in ks])
    members = np.concatenate(customers) - np.repeat(firsts, sizes)
    ends = np.concatenate([[0], np.cumsum(sizes)])
    if own is None:
        return _sum_groups(X, members, ends), sizes.astype(np.float64), inertias
    weighted = np.column_stack([_weighted(X, own), own])
    sums = _sum_groups(weighted, members, ends)
    return sums[:, :-1], sums[:, -1], inertias


def _half_distances(
    X: Rows, centers: np.ndarray, precision: type[np.floating] = np.float64
) -> Callable[[int, int], np.ndarray]:
    """Return a function of a range of centers: half their squared distances to each row of X.

    Less half the row's squared length, which does not bear on which is nearest. Of shape
    (n_centers, n): a minimum over centers then runs along memory. Each run has a product of its
    own, so that its bits do not depend on which other runs are under way.
    """
    halves = np.einsum("ij,ij->i", centers, centers) / 2
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


def _sum_by(X: Rows, labels: np.ndarray, n_labels: int) -> np.ndarray:
    """Return the sums of X's rows by label, of shape (n_labels, n_columns)."""
    members = np.argsort(labels, kind="stable")
    ends = np.concatenate([[0], np.cumsum(np.bincount(labels, minlength=n_labels))])
    return _sum_groups(X, members, ends)


def _sum_groups(X: Rows, members: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """Return the sums of groups of X's rows, dense.

    Group g holds the rows at ``members[ends[g] : ends[g + 1]]``.
    """
    if isinstance(X, SparseMinusRankOne):
        return X.sum_groups(members, ends)
    if not isinstance(X, np.ndarray):
        return sum_groups(X, members, ends)
    indicator = sp.csr_array(
        (np.ones(len(members)), members, ends), shape=(len(ends) - 1, X.shape[0])
    )
    return np.asarray(indicator @ X)


def _groups(fits: Sequence[KMeansFit], n_columns: int) -> Iterator[list[KMeansFit]]:
    """Yield the partitions in groups whose centers take no more than a stated room together."""
    group: list[KMeansFit] = []
    for fit in fits:
        if group and (sum(one.k for one in group) + fit.k) * n_columns > _SUMS_ENTRIES:
            yield group
            group = []
        group.append(fit)
    if group:
        yield group


def _group_sums(X: Blocks, fits: Sequence[KMeansFit]) -> list[np.ndarray]:
    """Return, for each partition, the sums of X's rows in each segment."""
    labels = np.stack([fit.labels for fit in fits], axis=1)
    return list(X.map_sum(_sums_of_labels, labels, [fit.k for fit in fits]))


def _sums_of_labels(block: Block, labels: np.ndarray, ks: Sequence[int]) -> tuple[np.ndarray, ...]:
    columns = labels[block.rows].T
    return tuple(_sum_by(block.matrix, own, k) for own, k in zip(columns, ks, strict=True))


def _squares_from(block: Block, center: np.ndarray) -> tuple[np.ndarray]:
    """Return each row's squared distance to a center."""
    return (_labels_and_squares(block, center[None])[1],)


def _labels_and_squares(block: Block, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, distances = assign(block.matrix, centers)
    return labels, distances**2


def _own_distances(block: Block, centers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each row's squared distance to its center, and what of it may be rounding."""
    X = block.matrix
    share = _NEGLIGIBLE**2 if isinstance(X, np.ndarray) else _ROUNDING
    return _labels_and_squares(block, centers)[1], share * squared_norms(X)


def _squared_distances(X: Rows, centers: np.ndarray, labels: np.ndarray) -> np.ndarray:
    if isinstance(X, np.ndarray):
        return squared_norms(X - centers[labels])
    S = X.sparse if isinstance(X, SparseMinusRankOne) else X
    rows = np.repeat(np.arange(S.shape[0]), np.diff(S.indptr))
    products = np.bincount(rows, S.data * centers[labels[rows], S.indices], S.shape[0])
    if isinstance(X, SparseMinusRankOne):
        products = products - X.row_factors * (centers @ X.column_factors)[labels]
    own = np.einsum("ij,ij->i", centers, centers)[labels]
    return np.asarray(np.maximum(squared_norms(X) - 2 * products + own, 0))


def _mean_variance(X: Blocks) -> float:
    """Return the mean over columns of the variance, which sets the scale of a move."""
    sums, squares = X.map_sum(_totals)
    n, n_columns = X.shape
    return float((squares - (sums**2).sum() / n) / n / n_columns)


def _totals(block: Block) -> tuple[np.ndarray, np.ndarray]:
    X = block.matrix
    dense_or_sparse = not isinstance(X, SparseMinusRankOne)
    sums = np.asarray(X.sum(axis=0)).ravel() if dense_or_sparse else X.column_sums()
    return sums, np.asarray(squared_norms(X).sum())


def _dense(X: Any) -> np.ndarray:
    return X if isinstance(X, np.ndarray) else np.asarray(X.toarray())
