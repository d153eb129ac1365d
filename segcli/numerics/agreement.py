"""How well two labellings of the same customers agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Agreement:
    """A confusion matrix and what is read from it.

    Attributes
    ----------
    confusion : ndarray of shape (k, k)
        Customers by cluster label (row) and predicted label (column).
    """

    confusion: np.ndarray

    @property
    def accuracy(self) -> float:
        """The share of customers whose predicted label is their cluster label, 0 to 1."""
        return float(np.trace(self.confusion) / self.confusion.sum())

    @property
    def recall(self) -> np.ndarray:
        """Of each segment's customers, the share predicted to be in it; NaN if none; shape (k,)."""
        return _shares(self.confusion.diagonal(), self.confusion.sum(axis=1))

    @property
    def precision(self) -> np.ndarray:
        """Of the customers predicted in each segment, the share that are; NaN if none; shape (k,)."""
        return _shares(self.confusion.diagonal(), self.confusion.sum(axis=0))


def agreement(labels: np.ndarray, predicted: np.ndarray, k: int) -> Agreement:
    """Return the agreement of two labellings with values in 0..k-1."""
    return Agreement(contingency(labels, predicted, k, k))


def contingency(
    rows: np.ndarray, columns: np.ndarray, n_rows: int = 0, n_columns: int = 0
) -> np.ndarray:
    """Return how many customers have each pair of labels.

    Parameters
    ----------
    rows, columns : ndarrays of shape (n,), values from 0 up
    n_rows, n_columns : labels to count, at least; more where there are larger ones

    Returns
    -------
    ndarray of shape (n_rows, n_columns)
    """
    n_rows = max(n_rows, int(rows.max(initial=-1)) + 1)
    n_columns = max(n_columns, int(columns.max(initial=-1)) + 1)
    counts = np.bincount(rows * n_columns + columns, minlength=n_rows * n_columns)
    return counts.reshape(n_rows, n_columns)


def jaccard_similarities(table: np.ndarray) -> np.ndarray:
    """Return the Jaccard similarity of each row's customers and each column's.

    Of those who have either label, the share that has both: 0 to 1. Above .5, a row has but one column,
    and a column but one row.

    Parameters
    ----------
    table : ndarray of shape (n_rows, n_columns), see `contingency`

    Returns
    -------
    ndarray of shape (n_rows, n_columns); 0 for labels that nobody has
    """
    either = table.sum(axis=1, keepdims=True) + table.sum(axis=0) - table
    return np.asarray(table / np.maximum(either, 1))


def adjusted_rand(labels: np.ndarray, other: np.ndarray) -> float:
    """Return the adjusted Rand index of two labellings of the same customers.

    The share of pairs of customers on which both agree, put together or apart, less what chance
    alone would give: 1 if they are the same but for names, about 0 for unrelated ones, at least -.5.

    Parameters
    ----------
    labels, other : ndarrays of shape (n,), values from 0 up

    References
    ----------
    Hubert & Arabie (1985), "Comparing partitions", J. Classif. 2, 193-218, doi:10.1007/BF01908075.
    """
    table = contingency(labels, other)
    together = _pairs(table)
    rows, columns = _pairs(table.sum(axis=1)), _pairs(table.sum(axis=0))
    expected = rows * columns / max(_pairs(np.array([len(labels)])), 1.0)
    most = (rows + columns) / 2
    return 1.0 if most == expected else float((together - expected) / (most - expected))


def _pairs(counts: np.ndarray) -> float:
    """Return how many pairs there are within groups of these sizes."""
    return float((counts.astype(np.float64) * (counts - 1) / 2).sum())


def _shares(parts: np.ndarray, wholes: np.ndarray) -> np.ndarray:
    return np.where(wholes > 0, parts / np.maximum(wholes, 1), np.nan)


def variance_explained(values: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of a variable's variance that lies between segments (eta squared).

    0: the segments' means are all equal; 1: the variable is constant within each segment. With no
    relation at all, (k - 1) / (n - 1) is expected.
    """
    if values.min() == values.max():
        return 0.0
    values = values - values[0]  # rounding of a large mean would pass for variance
    counts = np.bincount(labels)
    means = np.bincount(labels, values) / np.maximum(counts, 1)
    total = float(((values - values.mean()) ** 2).sum())
    between = float((counts * (means - values.mean()) ** 2).sum())
    return between / total
