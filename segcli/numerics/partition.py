"""A partition of a few customers that knows its distances: what the search for good ones moves about.

Most steps of the search move few centers. A partition therefore keeps the distances of all rows to all
centers, and a step computes those that changed and looks again at the rows that they concern: the
labels are Lloyd's, for a fraction of the work. What is left are many small steps, in which calling
numpy takes as long as what it does: they are written so as to call it seldom.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from segcli.engine.rows import squared_norms
from segcli.errors import FewDistinctError
from segcli.numerics.assignment import nearest_of

TOLERANCE = 1e-6
"""Stop when no center moves by more than this share of the data's standard deviation."""

_FEW = 4
"""If no more than one row in so many changes its label, totals are updated, not added up anew."""


class Rows:
    """Rows about their mean, and what every partition of them needs.

    Attributes
    ----------
    weights : ndarray of shape (n,), how much each counts
    mean : ndarray of shape (n_columns,)
    rows : ndarray of shape (n, n_columns), less the mean
    norms : ndarray of shape (n,), squared lengths
    inertia : float, about the mean
    threshold : float, the squared move of a center up to which it counts as not moved
    positions : ndarray of shape (n,), 0, 1, …
    summands : ndarray of shape (n, n_columns + 2)
        What a row adds to the totals of its segment: itself and its weight, both by weight, and one.
    """

    def __init__(self, rows: np.ndarray, weights: np.ndarray) -> None:
        self.weights = weights
        self.mean = weights @ rows / weights.sum()
        self.rows = np.ascontiguousarray(rows - self.mean)
        self.norms = squared_norms(self.rows)
        self.inertia = float(self.weights @ self.norms)
        n, n_columns = self.rows.shape
        self.threshold = TOLERANCE**2 * self.inertia / self.weights.sum() / n_columns
        self.positions = np.arange(n)
        self._columns = np.vstack([self.rows.T, np.ones(n)])
        self.summands = np.column_stack([weights[:, None] * self.rows, weights, np.ones(n)])
        self._ends = np.arange(n + 1, dtype=np.int32)  # as SciPy would make it each time
        self._ones = np.ones(n)

    def __len__(self) -> int:
        return len(self.rows)

    def half_distances(self, centers: np.ndarray) -> np.ndarray:
        """Return half the squared distances, less half the row's squared length, (n_centers, n)."""
        k, n_columns = centers.shape
        factors = np.empty((k, n_columns + 1))
        np.negative(centers, out=factors[:, :-1])
        np.divide(np.vecdot(centers, centers), 2, out=factors[:, -1])
        return np.asarray(factors @ self._columns)

    def sums_of(self, labels: np.ndarray, k: int, values: np.ndarray) -> np.ndarray:
        """Return what the values of each segment's rows add up to, of shape (k, n_values).

        Parameters
        ----------
        values : ndarray of shape (n, n_values)
        """
        parts = self._ones, labels.astype(np.int32), self._ends
        return np.asarray(sp.csc_array(parts, shape=(k, len(labels))) @ values)


class _Totals:
    """What the rows of each segment add up to.

    Attributes
    ----------
    sums : ndarray of shape (k, n_columns)
    sizes : ndarray of shape (k,), the sum of the rows' weights
    counts : ndarray of shape (k,), how many rows
    """

    def __init__(self, rows: Rows, totals: np.ndarray) -> None:
        self.rows = rows
        self._totals = totals
        self.sums = totals[:, :-2]
        self.sizes = totals[:, -2]
        self.counts = totals[:, -1]

    @classmethod
    def of(cls, rows: Rows, labels: np.ndarray, k: int) -> _Totals:
        """Return the totals by these labels."""
        return cls(rows, rows.sums_of(labels, k, rows.summands))

    @cached_property
    def means(self) -> np.ndarray:
        """Each segment's mean, of shape (k, n_columns); 0 where it has no rows."""
        sizes = self.sizes if self.counts.min() > 0 else np.where(self.counts > 0, self.sizes, 1)
        return np.asarray(self.sums / sizes[:, None])

    @cached_property
    def inertia(self) -> float:
        """The inertia about the segments' means."""
        return max(self.rows.inertia - float(np.vdot(self.sums, self.means)), 0.0)

    def with_segments(self, n_more: int) -> _Totals:
        """Return the totals with so many empty segments added."""
        more = np.zeros((n_more, self._totals.shape[1]))
        return _Totals(self.rows, np.vstack([self._totals, more]))

    def after(self, before: np.ndarray, labels: np.ndarray, candidates: np.ndarray) -> _Totals:
        """Return the totals after the labels of rows, all among the candidates, have changed."""
        k = len(self._totals)
        changed = candidates[before[candidates] != labels[candidates]]
        n = len(changed)
        if n * _FEW > len(labels):
            return _Totals.of(self.rows, labels, k)
        positions = self.rows.positions[:n]
        moves = np.zeros((k, n))
        moves[labels[changed], positions] = 1
        moves[before[changed], positions] = -1
        totals = moves @ self.rows.summands[changed]
        totals += self._totals
        counts = totals[:, -1]
        if counts.min() == 0:
            totals[counts == 0] = 0  # rounding left something
        return _Totals(self.rows, totals)


class Partition:
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
        rows: Rows,
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
    def about(cls, rows: Rows, centers: np.ndarray) -> Partition:
        """Return the partition by the nearest of some centers."""
        half_distances = rows.half_distances(centers)
        own, nearest = nearest_of(half_distances)
        labels = own.astype(np.intp)
        totals = _Totals.of(rows, labels, len(centers))
        return cls(rows, centers, half_distances, labels, nearest, totals)

    @property
    def k(self) -> int:
        """The number of segments."""
        return len(self.centers)

    @property
    def inertia(self) -> float:
        """The sum of squared distances to the segments' means, by weight."""
        return self._totals.inertia

    def with_center_at(self, segment: int, row: int) -> Partition:
        """Return the partition with one center moved to a row."""
        centers = self.centers.copy()
        centers[segment] = self.rows.rows[row]
        half_distances = self._half_distances.copy()
        made = Partition(
            self.rows, centers, half_distances, self.labels, self._nearest, self._totals
        )
        made._moved(np.array([segment]))
        return made

    def with_more_centers(self, added: Sequence[int]) -> Partition:
        """Return the partition with more centers, put on these rows."""
        more = self.rows.rows[added]
        half_distances = self.rows.half_distances(more)
        made = Partition(
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
        own = self.labels, self.rows.positions
        self._half_distances[own] = np.inf
        second = self._half_distances.min(axis=0)
        self._half_distances[own] = self._nearest
        return np.asarray(np.maximum(self.rows.norms + 2 * second, 0))

    def step(self) -> None:
        """Move the centers to the means of their rows and label the rows anew.

        If no center would move, the partition has converged, and stays as it is.
        """
        means = self._totals.means
        if self._totals.counts.min() == 0:
            empty = self._totals.counts == 0
            means = means.copy()
            means[empty] = self._farthest(int(np.count_nonzero(empty)))
        moves = means - self.centers
        squares = np.vecdot(moves, moves)
        if squares.max() <= self.rows.threshold:
            self.converged = True
            return
        self.centers = means
        self._moved(squares.nonzero()[0])

    def descend(self, n_steps: int) -> Partition:
        """Take steps, at most so many, until they change nothing; return the partition itself."""
        for _ in range(n_steps):
            if self.converged:
                break
            self.step()
        return self

    def _moved(self, moved: np.ndarray) -> None:
        """Bring everything up to date after some centers have moved."""
        if 2 * len(moved) <= self.k:
            half_distances = self.rows.half_distances(self.centers[moved])
            self._half_distances[moved] = half_distances
            self._relabel(moved, half_distances)
            return
        self._half_distances = self.rows.half_distances(self.centers)
        labels, self._nearest = nearest_of(self._half_distances)
        self._change_to(labels.astype(np.intp), self.rows.positions)

    def _relabel(self, moved: np.ndarray, half_distances: np.ndarray) -> None:
        """Label the rows anew where only the distances to some centers have changed, to these."""
        best, least = nearest_of(half_distances)
        has_moved = np.zeros(self.k, dtype=bool)
        has_moved[moved] = True
        # One of the moved centers is the nearest if it is nearer than the own was. Elsewhere the own
        # stays, unless it has moved away: then any may be.
        is_nearer = least < self._nearest
        nearer = is_nearer.nonzero()[0]
        left = (has_moved[self.labels] > is_nearer).nonzero()[0]
        labels, nearest = self.labels.copy(), self._nearest.copy()
        labels[nearer], nearest[nearer] = moved[best[nearer]], least[nearer]
        concerned = nearer
        if len(left):
            labels[left], nearest[left] = nearest_of(self._half_distances.take(left, axis=1))
            concerned = np.concatenate([nearer, left])
            concerned.sort()
        self._nearest = nearest
        self._change_to(labels, concerned)

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
            raise FewDistinctError(self.k - n_needed + len(first))
        return np.asarray(candidates[first])
