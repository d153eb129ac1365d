"""k-means by Lloyd's algorithm over row blocks, for many k in one pass.

The partitions are sought by `segcli.numerics.kmeans_search` on a sample of customers: of many, each is
drawn the sooner the farther out it lies, and counts for as many as it stands for; of very many, on three
samples. What is found goes on to all customers, where every k takes its Lloyd step in the same pass over
the rows.

References
----------
Lloyd (1982), "Least squares quantization in PCM", IEEE Trans. Inf. Theory 28, 129-137.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

import numpy as np

from segcli import progress
from segcli.engine import Blocks
from segcli.engine.rows import squared_norms
from segcli.errors import ChoiceError, FewDistinctError
from segcli.numerics.assignment import (
    assign_and_sum,
    labels_and_squares,
    own_distances,
    sums_of_labels,
    totals,
)
from segcli.numerics.kmeans_search import (
    MAX_ITERATIONS,
    Sample,
    draw,
    is_overtaken,
    search,
    search_fixed_path,
)
from segcli.numerics.partition import TOLERANCE, Partition, Rows
from segcli.words import counted

N_STARTS = 10
SAMPLE_SIZE = 5_000
"""Customers from which starts are drawn, and on which they compete when there are more."""

VERY_MANY = 50_000
"""From so many customers on there are several samples: steps on all take longer than those searches."""

N_SAMPLES = 3
"""Of planted customers, one search ends in an inertia larger than the best known by 0.2 % in the mean and
1.4 % at most; the best of three by 0.05 and 0.5 %."""

FEW_DISTINCT = 100
"""Where a sample has fewer, all distinct customers are looked at: for up to so many segments no sample
depends on the largest number that is asked for."""

CURVE_PROGRESS = 1e-4
"""A share of the inertia that a curve does not show."""

_SINGLE = 1e-5
"""A share of the inertia about the mean: of less, a curve would show the rounding of single precision."""

_SAME = 1e-9
"""A share of the largest number: those that differ by less count as equal."""

_SUMS_ENTRIES = 1 << 22  # 32 MB

_TAKEN_ENTRIES = 1 << 20  # 8 MB


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
class Run:
    """Centers on their way through Lloyd's steps.

    Attributes
    ----------
    centers : ndarray of shape (k, n_columns)
    inertia : float, about these centers; infinite before the first step
    n_iterations : int
    converged : bool
    """

    centers: np.ndarray
    inertia: float = np.inf
    n_iterations: int = 0
    converged: bool = False

    @property
    def k(self) -> int:
        """The number of segments."""
        return len(self.centers)


def fit_all(
    X: Blocks,
    ks: Sequence[int],
    *,
    customer_ranks: np.ndarray,
    seed: int,
    n_starts: int = N_STARTS,
    sample_size: int = SAMPLE_SIZE,
    along_fixed_path: bool = True,
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
        With more customers than this, partitions are sought on a sample of this size, or on the
        distinct customers if these are few, and what is found for each k goes on to all. With very many
        there are three samples, and of what is found, the best on all customers goes on.
    along_fixed_path : bool
        Seek through every k up to the largest (of those beyond 64, some), so that a k's partition does
        not depend on which others are asked for, unless it were worse than one of fewer segments that
        is: then it is made of that. False is faster where a few large k are.
    for_curve : bool
        With more customers than the sample, take the steps on all in single precision, if that tells
        distances apart, and stop when one lowers the inertia by no more than a ten-thousandth: a curve
        does not show what is left.
        The inertias returned are exact for the partitions returned. Labels take half the room: of
        many customers, those of all partitions would be most of what is held.

    Raises
    ------
    ChoiceError
        If there are fewer distinct customers than k.
    """
    n_customers = X.shape[0]
    check_ks(ks, n_customers)
    samples = _samples(X, customer_ranks, sample_size, max(ks), seed)
    found = []
    for sample in samples:
        if along_fixed_path:
            found.append(search_fixed_path(sample, ks, n_starts, seed))
        else:
            found.append(search(sample, ks, ks, n_starts, seed))
    runs = _best_on_all(X, found)
    _settle(X, runs, "k-means", samples[0], for_curve=for_curve and n_customers > sample_size)
    fits = [_finish(X, run, customer_ranks, for_curve=for_curve) for run in runs]
    for i in range(1, len(fits)):
        smaller, fit = fits[i - 1], fits[i]
        if fit.inertia > smaller.inertia:
            run = _continued(X, smaller, fit.k)
            fits[i] = _finish(X, run, customer_ranks, for_curve=for_curve)
    return fits


def n_distinct(X: np.ndarray, enough: int) -> int:
    """Return how many rows differ; counting may stop once there are ``enough``.

    Parameters
    ----------
    X : ndarray of shape (n, n_columns), not empty
    """
    unit = max(float(X.max()), -float(X.min())) * _SAME or 1.0
    for n in (4 * enough, len(X)):
        found = len(np.unique(np.round(X[:n] / unit), axis=0))
        if found >= enough:
            break
    return found


def refine(
    X: Blocks,
    fits: Sequence[KMeansFit],
    *,
    max_iterations: int = MAX_ITERATIONS,
    least_progress: float = 0.0,
) -> list[Run]:
    """Return the partitions of ``fits`` carried into the space of X and improved there.

    Centers are the means, in X, of each partition's customers; then Lloyd's algorithm goes on. The
    inertia is exact for the centers returned; nobody is labelled.

    Parameters
    ----------
    X : blocks of shape (n_customers, n_columns), dense, sparse or sparse minus rank one
    fits : partitions of the same customers found in another space
    max_iterations : Lloyd steps in X; 0 only measures the inertia
    least_progress : stop when a step lowers the inertia by no more than this share

    Raises
    ------
    FewDistinctError
        If fewer customers differ in X than there are segments, and a step shows it.
    """
    runs = _carried(X, fits)
    _lloyd(
        X,
        runs,
        "k-means in full",
        max_iterations=max_iterations,
        least_progress=least_progress,
    )
    return runs


def refit(
    X: Blocks,
    fits: Sequence[KMeansFit],
    *,
    customer_ranks: np.ndarray,
    seed: int,
    sample_size: int = SAMPLE_SIZE,
    for_curve: bool = False,
) -> list[KMeansFit]:
    """Return good partitions in the space of X, for each k, given those found in another.

    That is of X's leading components, whose norms need not be kept. They often hold nearly all that
    separates segments: then the partitions found there, carried over, are starts that few steps improve.
    Of heavy tails, of customers with few items, and where norms are not kept, they may not, and a
    single k-means++ start, for the largest k, shows it by overtaking. Then partitions are sought here,
    in the race with those carried over; what is found for a k then depends on which others are asked for.

    Parameters
    ----------
    X : dense blocks of shape (n_customers, n_columns)
    fits : partitions of the same customers, k rising
    customer_ranks, seed, sample_size, for_curve : as of `fit_all`

    Raises
    ------
    FewDistinctError
        If fewer customers differ in X than there are segments.
    """
    runs = _carried(X, fits)
    sample = _sample(X, customer_ranks, sample_size, runs[-1].k, seed)
    if is_overtaken(sample, runs[-1].centers, seed):
        ks = [run.k for run in runs]
        found = search(sample, ks, ks, N_STARTS, seed, known=[run.centers for run in runs])
        runs = [Run(centers) for centers in found]
    _settle(X, runs, "k-means in full", sample, for_curve=for_curve and X.shape[0] > sample_size)
    return [_finish(X, run, customer_ranks, for_curve=for_curve) for run in runs]


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
    (_, total) = X.map_sum(totals)
    between: list[float] = []
    for group in _groups(fits, X.shape[1]):
        sums = _group_sums(X, group)
        between += [
            float((squared_norms(each) / fit.sizes).sum())
            for each, fit in zip(sums, group, strict=True)
        ]
    return np.asarray(np.maximum(float(total) - np.array(between), 0))


def total_inertia(X: Blocks) -> float:
    """Return the inertia of a single segment, the rows' sum of squares about their mean.

    Parameters
    ----------
    X : blocks of shape (n_customers, n_columns)
    """
    sums, squares = X.map_sum(totals)
    return float(squares - (sums**2).sum() / X.shape[0])


def check_ks(ks: Sequence[int], n_customers: int, of_whom: str = "customer") -> None:
    """Refuse more segments than there are customers, of the kind that the words say.

    Raises
    ------
    ChoiceError
    """
    if max(ks) > n_customers:
        msg = (
            f"{max(ks):,} segments cannot be made of {counted(n_customers, of_whom)}. "
            f"Choose {n_customers:,} or fewer."
        )
        raise ChoiceError(msg)


def _samples(X: Blocks, customer_ranks: np.ndarray, size: int, k: int, seed: int) -> list[Sample]:
    """Return what `_sample` does and, of very many customers, more samples in which as many differ."""
    samples = [_sample(X, customer_ranks, size, k, seed)]
    enough = max(k, FEW_DISTINCT)
    if X.shape[0] >= VERY_MANY:
        rngs = [np.random.default_rng([seed, 2, number]) for number in range(1, N_SAMPLES)]
        more = (draw(X, customer_ranks, size, rng) for rng in rngs)
        samples += [sample for sample in more if n_distinct(sample.rows, enough) >= enough]
    return samples


def _sample(X: Blocks, customer_ranks: np.ndarray, size: int, k: int, seed: int) -> Sample:
    """Return customers among whom k segments can be sought.

    A sample with fewer distinct ones than k, or `FEW_DISTINCT`, says that few of all differ. Then each of
    these is returned once, with its number as weight. If they turn out to be many, they differ by
    rounding, or are small beside one: the sample has to do.
    """
    sample = draw(X, customer_ranks, size, np.random.default_rng([seed, 2]))
    enough = max(k, FEW_DISTINCT)
    if X.shape[0] <= size or n_distinct(sample.rows, enough) >= enough:
        return sample
    rows = np.asarray(X.take(np.argsort(customer_ranks)))
    _, first, counts = np.unique(rows, axis=0, return_index=True, return_counts=True)
    if len(first) > size:
        return sample
    order = np.argsort(first)
    return Sample(rows[first[order]], counts[order].astype(np.float64))


def _best_on_all(X: Blocks, found: Sequence[Sequence[np.ndarray]]) -> list[Run]:
    """Return runs that start, for each k, from the centers of the sample that are best on all customers.

    On the sample itself, and on a few others, what was sought there looks better than it is.

    Parameters
    ----------
    found : for each sample, what `search` returned for the same ``ks``
    """
    if len(found) == 1:
        return [Run(centers) for centers in found[0]]
    runs = [[Run(centers) for centers in of_k] for of_k in zip(*found, strict=True)]
    _lloyd(X, [run for of_k in runs for run in of_k], "k-means", max_iterations=0)
    return [Run(min(of_k, key=attrgetter("inertia")).centers) for of_k in runs]


def _carried(X: Blocks, fits: Sequence[KMeansFit]) -> list[Run]:
    """Return runs that start from the means, in X, of each partition's customers."""
    sums = _group_sums(X, fits)
    return [Run(sum_ / fit.sizes[:, None]) for fit, sum_ in zip(fits, sums, strict=True)]


def _settle(X: Blocks, runs: Sequence[Run], what: str, sample: Sample, *, for_curve: bool) -> None:
    """Take Lloyd steps on all customers; for a curve as `fit_all` says."""
    if not for_curve:
        _lloyd(X, runs, what)
        return
    ordinary = 1e-12 < _mean_variance(X) < 1e12  # single precision holds no squares beyond 1e38
    precision = np.float32 if ordinary and _is_coarse(sample, runs) else np.float64
    _lloyd(X, runs, what, least_progress=CURVE_PROGRESS, precision=precision)


def _is_coarse(sample: Sample, runs: Sequence[Run]) -> bool:
    """Return whether customers lie as far from their centers as single precision can tell.

    The rounding of a distance goes by how far a customer lies from the mean of all. It matters of dense
    groups far from one another.
    """
    rows = Rows(sample.rows, sample.weights)
    finest = Partition.about(rows, runs[-1].centers - rows.mean)
    return finest.inertia > _SINGLE * rows.inertia


def _lloyd(
    X: Blocks,
    runs: Sequence[Run],
    what: str,
    *,
    max_iterations: int = MAX_ITERATIONS,
    least_progress: float = 0.0,
    precision: type[np.floating] = np.float64,
) -> None:
    """Take Lloyd steps for all runs together until each has converged; fill in their inertia.

    ``precision`` is of the distances that say which center is nearest.
    """
    threshold = TOLERANCE**2 * _mean_variance(X)
    active = list(runs)
    for n_pass in range(max_iterations + 1):
        centers, ks = np.vstack([run.centers for run in active]), [run.k for run in active]
        sums, counts, inertias = X.map_sum(assign_and_sum, centers, ks, precision)
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
        progress.report(what, len(runs) - len(active), len(runs))
        if not active:
            return


def _move(X: Blocks, run: Run, sums: np.ndarray, counts: np.ndarray, threshold: float) -> float:
    """Move a run's centers to the means of their customers; return the largest squared move."""
    centers = sums / np.maximum(counts, 1)[:, None]
    empty = np.flatnonzero(counts == 0)
    if len(empty):
        centers[empty] = _farthest(X, run.centers, run.k, len(empty), threshold)
    moved = float(((centers - run.centers) ** 2).sum(axis=1).max())
    if moved > threshold:
        run.centers = centers
        run.n_iterations += 1
    return moved


def _farthest(
    X: Blocks, centers: np.ndarray, k: int, n_needed: int, threshold: float
) -> np.ndarray:
    """Return the rows farthest from their centers, to put the centers on that k segments still need."""
    distances, rounding = X.map_rows(own_distances, centers)
    negligible = max(threshold * X.shape[1], float(rounding.max()))
    order = np.argsort(-distances, kind="stable")
    order = order[distances[order] > negligible]
    unique: dict[bytes, np.ndarray] = {}
    start, n_taken = 0, n_needed
    while start < len(order):
        for row in _dense(X.take(order[start : start + n_taken])):
            unique.setdefault(row.tobytes(), row.copy())
            if len(unique) == n_needed:
                return np.stack(list(unique.values()))
        start += n_taken
        n_taken = min(2 * n_taken, max(_TAKEN_ENTRIES // X.shape[1], n_needed))
    raise FewDistinctError(k - n_needed + len(unique))


def _continued(X: Blocks, smaller: KMeansFit, k: int) -> Run:
    """Return k segments made of fewer, centers put on the farthest customers: no worse than those."""
    threshold = TOLERANCE**2 * _mean_variance(X)
    farthest = _farthest(X, smaller.centers, k, k - smaller.k, threshold)
    run = Run(np.vstack([smaller.centers, farthest]))
    _lloyd(X, [run], "k-means")
    return run


def _finish(X: Blocks, run: Run, customer_ranks: np.ndarray, *, for_curve: bool) -> KMeansFit:
    """Label every customer; number the segments by size, ties by the first customer in rank."""
    labels, squares = X.map_rows(labels_and_squares, run.centers)
    counts = np.bincount(labels, minlength=run.k)
    first = np.full(run.k, len(labels))
    np.minimum.at(first, labels, customer_ranks)
    order = np.lexsort([first, -counts])
    position = np.empty(run.k, dtype=np.int32 if for_curve else np.int64)
    position[order] = np.arange(run.k)
    return KMeansFit(
        centers=run.centers[order],
        labels=position[labels],
        inertia=float(squares.sum()),
        n_iterations=run.n_iterations,
        converged=run.converged,
    )


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
    labels, ks = [fit.labels for fit in fits], [fit.k for fit in fits]
    return list(X.map_sum(sums_of_labels, labels, ks))


def _mean_variance(X: Blocks) -> float:
    """Return the mean over columns of the variance, which sets the scale of a move."""
    n, n_columns = X.shape
    return total_inertia(X) / n / n_columns


def _dense(X: Any) -> np.ndarray:
    return X if isinstance(X, np.ndarray) else np.asarray(X.toarray())
