"""Multinomial naive Bayes on the unweighted matrix.

It answers whether a segment can be told from the interactions.

The model needs only each segment's item sums and sizes, which add up over row blocks. Under
cross-validation the sums of every fold come from the same pass, unless there are very many items; a
fold's model is the total less the fold. A customer whose label is `UNASSIGNED` is left out of the
sums, where it lies: the matrix need not be copied without it.

Smoothing adds 1 to each sum, so values must not be small beside 1. Where their geometric mean is below 1
(shares, hours, thousands), the model counts in units of that mean, and says the same whatever unit they
are written in.

References
----------
Manning, Raghavan & Schütze (2008), "Introduction to Information Retrieval", section 13.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import add, sub

import numpy as np
import scipy.sparse as sp

from segcli.engine import Block, Blocks
from segcli.engine.rows import sums_at
from segcli.errors import ChoiceError
from segcli.words import counted

SMOOTHING = 1.0
"""Added to each item sum (Laplace), as in scikit-learn; see `SegmentSums.model`."""

UNASSIGNED = -1
"""The label of a customer in no segment."""

_SUMS_ENTRIES = 1 << 25
"""256 MB: of so many items that the sums of all folds would take more, fewer folds share a pass."""


@dataclass(frozen=True)
class NaiveBayes:
    """A fitted model.

    Attributes
    ----------
    log_priors : ndarray of shape (k,); -inf for a segment without customers in the fit
    log_likelihoods : ndarray of shape (n_items, k), of a value of 1
        An item's lie side by side, as a product with sparse rows reads them.
    """

    log_priors: np.ndarray
    log_likelihoods: np.ndarray

    def predict(self, X: sp.csr_array) -> np.ndarray:
        """Return the most probable segment of each row, an ndarray of shape (n,)."""
        scores = np.asarray(X @ self.log_likelihoods + self.log_priors)
        return np.asarray(scores.argmax(axis=1))


@dataclass(frozen=True)
class SegmentSums:
    """What multinomial naive Bayes needs to know of each segment.

    Attributes
    ----------
    items : ndarray of shape (n_items, k), sums of values
    customers : ndarray of shape (k,)
    interactions : ndarray of shape (k,)
    logs : ndarray of shape (k,), sums of the interactions' log values
    """

    items: np.ndarray
    customers: np.ndarray
    interactions: np.ndarray
    logs: np.ndarray

    def __add__(self, other: SegmentSums) -> SegmentSums:
        """Return the sums of both."""
        return SegmentSums(*map(add, vars(self).values(), vars(other).values()))

    def __sub__(self, other: SegmentSums) -> SegmentSums:
        """Return the sums without those that are part of them."""
        return SegmentSums(*map(sub, vars(self).values(), vars(other).values()))

    def model(self) -> NaiveBayes:
        """Return the model that is made of them."""
        n_customers = max(self.customers.sum(), 1)  # nobody, if all are left out
        with np.errstate(divide="ignore"):
            log_priors = np.log(self.customers / n_customers)
        # What values are counted in: their geometric mean where that is below 1, else 1.
        unit = float(np.exp(min(self.logs.sum() / max(self.interactions.sum(), 1), 0.0)))
        log_likelihoods = self.items / unit
        log_likelihoods += SMOOTHING
        totals = log_likelihoods.sum(axis=0)
        np.log(log_likelihoods, out=log_likelihoods)
        log_likelihoods -= np.log(totals)
        log_likelihoods /= unit
        return NaiveBayes(log_priors, log_likelihoods)


def by_sign(X: sp.csr_array) -> sp.csr_array:
    """Return a matrix without negative values: what is disliked is another item than what is liked.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items)

    Returns
    -------
    csr_array of shape (n_customers, 2 n_items)
        The positive values, and beside them the negative ones without their sign; X itself, of shape
        (n_customers, n_items), if there are none.
    """
    disliked = X.data < 0
    if not disliked.any():
        return X
    n_customers, n_items = X.shape
    indices = X.indices + np.where(disliked, n_items, 0)
    told = sp.csr_array((np.abs(X.data), indices, X.indptr), shape=(n_customers, 2 * n_items))
    told.sort_indices()
    return told


def fit_naive_bayes(X: Blocks, labels: np.ndarray, k: int) -> NaiveBayes:
    """Return the model of all customers.

    Parameters
    ----------
    X : sparse blocks of shape (n_customers, n_items), non-negative
    labels : ndarray of shape (n_customers,), values in 0..k-1 or `UNASSIGNED`

    Raises
    ------
    ChoiceError
        If a value is negative.
    """
    return _sums_of_all(X, labels, k).model()


def predict(X: Blocks, model: NaiveBayes) -> np.ndarray:
    """Return every customer's most probable segment, an ndarray of shape (n_customers,)."""
    (labels,) = X.map_rows(_predict, model)
    return labels


def cross_predict(
    X: Blocks,
    labels: np.ndarray,
    k: int,
    *,
    customer_ranks: np.ndarray,
    n_folds: int,
    seed: int,
) -> np.ndarray:
    """Return every customer's segment as predicted by a model that did not see that customer.

    The labels themselves saw every customer, so agreement with them still flatters a little. A
    customer without a label stays without.

    Parameters
    ----------
    X : sparse blocks of shape (n_customers, n_items), non-negative
    labels : ndarray of shape (n_customers,), values in 0..k-1 or `UNASSIGNED`
    customer_ranks : ndarray of shape (n_customers,)
    n_folds : at least 2; each segment is spread evenly over the folds

    Raises
    ------
    ChoiceError
        If a value is negative.
    """
    folds = stratified_folds(labels, n_folds, customer_ranks=customer_ranks, seed=seed)
    at_once = min(max(_SUMS_ENTRIES // max(X.shape[1] * k, 1), 1), n_folds)
    total = _sums_of_all(X, labels, k) if at_once < n_folds else None
    predicted = np.full(len(labels), UNASSIGNED)
    for first in range(0, n_folds, at_once):
        held = np.where(folds < first + at_once, folds - first, -1)
        parts = segment_sums(X, labels, k, held, min(at_once, n_folds - first))
        whole = total or reduce(add, parts)
        models = [(whole - part).model() for part in parts]
        (found,) = X.map_rows(_predict_folds, models, held)
        predicted[held >= 0] = found[held >= 0]
    return predicted


def stratified_folds(
    labels: np.ndarray, n_folds: int, *, customer_ranks: np.ndarray, seed: int
) -> np.ndarray:
    """Return each customer's fold, 0..n_folds-1, spreading each segment evenly over the folds.

    A customer without a label is in no fold: -1.
    """
    order = np.argsort(customer_ranks)
    order = order[labels[order] != UNASSIGNED]
    order = order[np.random.default_rng([seed, 4]).permutation(len(order))]
    by_label = order[np.argsort(labels[order], kind="stable")]
    folds = np.full(len(labels), -1)
    folds[by_label] = np.arange(len(by_label)) % n_folds
    return folds


def segment_sums(
    X: Blocks, labels: np.ndarray, k: int, folds: np.ndarray, n_folds: int
) -> list[SegmentSums]:
    """Return the sums of each fold, from one pass.

    Parameters
    ----------
    folds : ndarray of shape (n_customers,), values in 0..n_folds-1, below 0 for who is in none

    Raises
    ------
    ChoiceError
        If a value is negative: the model is one of counts.
    """
    groups = np.where(labels == UNASSIGNED, -1, folds * k + labels)  # below 0: in no group
    sums, interactions, logs, n_negative = X.map_sum(_group_sums, groups, n_folds * k)
    if n_negative:
        msg = (
            f"the matrix has {counted(int(n_negative), 'negative value')}, but multinomial naive Bayes "
            "needs counts or ratings of 0 or more."
        )
        raise ChoiceError(msg)
    items = sums.reshape(-1, n_folds, k)
    customers = np.bincount(groups[groups >= 0], minlength=n_folds * k).reshape(n_folds, k)
    interactions, logs = interactions.reshape(n_folds, k), logs.reshape(n_folds, k)
    return [
        SegmentSums(
            items[:, fold], customers[fold].astype(np.float64), interactions[fold], logs[fold]
        )
        for fold in range(n_folds)
    ]


def _sums_of_all(X: Blocks, labels: np.ndarray, k: int) -> SegmentSums:
    (sums,) = segment_sums(X, labels, k, np.zeros_like(labels), 1)
    return sums


def _group_sums(block: Block, groups: np.ndarray, n_groups: int) -> tuple[np.ndarray, ...]:
    """Return, by group, items' sums of values, interactions and sums of logs; and the negative values."""
    X: sp.csr_array = block.matrix
    group = np.repeat(groups[block.rows], np.diff(X.indptr))
    cells = np.multiply(X.indices, n_groups, dtype=np.int64) + group
    values = X.data
    if (groups[block.rows] < 0).any():
        known = group >= 0
        cells, values, group = cells[known], values[known], group[known]
    sums = sums_at(cells, values, X.shape[1] * n_groups)
    interactions = np.bincount(group, minlength=n_groups).astype(np.float64)
    sizes = np.log(values, out=np.zeros(len(values)), where=values > 0)
    logs = sums_at(group, sizes, n_groups)
    return sums, interactions, logs, np.asarray(np.count_nonzero(X.data < 0))


def _predict(block: Block, model: NaiveBayes) -> tuple[np.ndarray]:
    return (model.predict(block.matrix),)


def _predict_folds(block: Block, models: list[NaiveBayes], folds: np.ndarray) -> tuple[np.ndarray]:
    mine = folds[block.rows]
    predicted = np.full(len(mine), UNASSIGNED)
    for fold, model in enumerate(models):
        rows = np.flatnonzero(mine == fold)
        if len(rows):
            predicted[rows] = model.predict(block.matrix[rows])
    return (predicted,)
