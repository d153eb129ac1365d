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
    counts = np.bincount(labels * k + predicted, minlength=k * k)
    return Agreement(counts.reshape(k, k))


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
