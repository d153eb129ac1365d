"""Does knowing a customer's segment help to say what else they have? Held-out gain.

A share of every customer's interactions is hidden, the rest is segmented, and the hidden ones are
predicted from the segment and from popularity alone. The hidden part is what the clustering did not
see, so whatever is found in it is not an echo of how the segments were made.

What a segment's customers are seen to have is such an echo: where customers have few interactions, a
segment is those who have a certain item, and whoever has it hidden is elsewhere. So what a segment has
is also taken from what is hidden of its other customers, and hidden interactions of other customers
decide how far to believe either. Segments that predict nothing then gain about 0.

What a customer is seen to have cannot be hidden as well, so popularity and segment are asked about the
other items alone. Without that, customers who have most of the items could be put together by what of
theirs is hidden, which then looks predicted, in data without segments too.

References
----------
Owen & Perry (2009) on holding out entries of a matrix, Ann. Appl. Stat. 3, 564-594,
doi:10.1214/08-AOAS227. Neufeld, Gao, Popp, Battle & Witten (2024), "Inference after latent variable
estimation for single-cell RNA sequencing data" (count splitting), Biostatistics 25, 270-287,
doi:10.1093/biostatistics/kxac047. Jelinek & Mercer (1980), "Interpolated estimation of Markov source
parameters from sparse data", Pattern Recognition in Practice, 381-397.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import scipy.sparse as sp

SHARE_HIDDEN = 0.2

N_FOLDS = 5
"""Customers are predicted from the hidden interactions of the other folds."""

_EM_STEPS = 15

_DOUBT = 1.0
"""Interactions, beside a segment's own, for which popularity answers: no item is ever impossible."""


@dataclass(frozen=True)
class Hidden:
    """A matrix in two parts.

    Attributes
    ----------
    seen : csr_array of shape (n_customers, n_items), what may be segmented
    hidden : csr_array of the same shape, the rest; both add up to the whole
    """

    seen: sp.csr_array
    hidden: sp.csr_array

    @cached_property
    def questions(self) -> Questions:
        """What any segments are asked."""
        return Questions.of(self.seen, self.hidden)


@dataclass(frozen=True)
class Questions:
    """The hidden interactions with items that somebody is seen to have, and what is seen.

    Items that nobody is seen to have are left out, and the others numbered anew.

    Attributes
    ----------
    customers, items : ndarrays of shape (n_questions,), by customer
    asked, first : ndarrays of shape (n_asked,), the customers of any question, and where their first is
    popularity : ndarray of shape (n_items,), how many customers are seen to have each
    n_seen : ndarray of shape (n_customers,), how many items each is seen to have
    seen_items, seen_folds : ndarrays of shape (n_seen.sum(),)
        Which they are, customer after customer, and the customer's fold.
    """

    customers: np.ndarray
    items: np.ndarray
    asked: np.ndarray
    first: np.ndarray
    popularity: np.ndarray
    n_seen: np.ndarray
    seen_items: np.ndarray
    seen_folds: np.ndarray

    @classmethod
    def of(cls, seen: sp.csr_array, hidden: sp.csr_array) -> Questions:
        """Return the questions about what is hidden."""
        popularity = np.bincount(seen.indices, minlength=seen.shape[1])
        known = np.flatnonzero(popularity)
        number = np.zeros(len(popularity), dtype=np.int64)
        number[known] = np.arange(len(known))
        everyone, n_seen = np.arange(seen.shape[0]), np.diff(seen.indptr)
        is_known = popularity[hidden.indices] > 0
        customers = np.repeat(everyone, np.diff(hidden.indptr))[is_known]
        asked, first = np.unique(customers, return_index=True)
        return cls(
            customers,
            number[hidden.indices[is_known]],
            asked,
            first,
            popularity[known],
            n_seen,
            number[seen.indices],
            np.repeat(everyone % N_FOLDS, n_seen),
        )

    @cached_property
    def unasked(self) -> np.ndarray:
        """The share of popularity that is of items that each asked customer is seen to have."""
        of_seen = self.sums_over_seen(self.popularity[self.seen_items])
        return np.asarray(of_seen / self.popularity.sum())

    def sums_over_seen(self, values: np.ndarray) -> np.ndarray:
        """Return, for each asked customer, the sum of whole numbers, one for each seen interaction."""
        ends = np.concatenate([[0], np.cumsum(self.n_seen)])
        sums = np.concatenate([[0], np.cumsum(values)])
        return np.asarray(sums[ends[self.asked + 1]] - sums[ends[self.asked]])


def hide(X: sp.csr_array, *, rng: np.random.Generator, share: float = SHARE_HIDDEN) -> Hidden:
    """Return the matrix with a share of its interactions hidden.

    Every interaction, with its whole value, is hidden with the same chance. A customer for whom all
    would be keeps one.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), in rank order
    rng : the source of chance
    share : the chance that an interaction is hidden, in 0..1
    """
    draws = rng.random(X.nnz)
    is_hidden = draws < share
    n_of = np.diff(X.indptr)
    # The interaction with the largest draw of each customer stays.
    starts = X.indptr[:-1][n_of > 0]
    largest = np.maximum.reduceat(draws, starts)
    is_hidden &= draws < np.repeat(largest, n_of[n_of > 0])
    return Hidden(select(X, ~is_hidden), select(X, is_hidden))


def select(X: sp.csr_array, keep: np.ndarray) -> sp.csr_array:
    """Return the matrix with some of its interactions: a boolean for each, in the order of ``X.data``."""
    indptr = np.concatenate([[0], np.cumsum(keep)])[X.indptr]
    return sp.csr_array((X.data[keep], X.indices[keep], indptr), shape=X.shape)


def bits_gained(parts: Hidden, labels: np.ndarray, k: int) -> np.ndarray:
    """Return the bits that each customer's hidden interactions gain from knowing the segment.

    The sum over the customer's hidden interactions, each counted once whatever its value, of
    ``log2 P(item | segment) / P(item)``, both among the items that the customer is not seen to have.
    Divide by how many are hidden (`mean_gain`) to read it: 0, the segment says nothing about what else
    its customers have; negative, less than nothing; 1, hidden items are twice as probable as by
    popularity alone. An item that nobody is seen to have is unknown to both sides and gains 0.

    ``P(item | segment)`` mixes three shares (Jelinek & Mercer 1980) by `mixture_weights`: the item's
    among what the segment's customers are seen to have, its share of what is hidden of the segment's
    customers in the other folds, and popularity, which is the item's share of all that is seen. The
    weights, too, are learned in the other folds. A segment without a taste of its own is described by
    popularity, and gains about nothing.

    Parameters
    ----------
    parts : what is seen and what is hidden
    labels : ndarray of shape (n_customers,), values in 0..k-1, from ``parts.seen`` alone
    k : int

    Returns
    -------
    ndarray of shape (n_customers,)
    """
    asks = parts.questions
    customers, popularity, total = asks.customers, asks.popularity, asks.popularity.sum()
    width = len(popularity)
    seen_at = np.repeat(labels, asks.n_seen) * width + asks.seen_items
    counts = np.bincount(seen_at, minlength=k * width)
    n_seen = counts.reshape(k, width).sum(axis=1)  # above 0 where any are hidden: `hide` leaves one
    # A cell is a segment and an item that is hidden.
    hidden_at = labels[customers] * width + asks.items
    cells, cell_at = _distinct(hidden_at, k * width)
    cell_of = cell_at[hidden_at]
    segments = cells // width
    popular = popularity[cells % width] / total
    in_seen = counts[cells] / n_seen[segments] / popular
    folds, stride = customers % N_FOLDS, len(cells) + 1  # one more cell, of what is nobody's hidden
    own = np.bincount(folds * stride + cell_of, minlength=N_FOLDS * stride)
    own = own.reshape(N_FOLDS, stride)
    elsewhere = own.sum(axis=0) - own
    n = elsewhere[:, :-1]
    present, starts, sizes = np.unique(segments, return_index=True, return_counts=True)
    n_segment = np.add.reduceat(n, starts, axis=1)
    n_less = np.repeat(np.maximum(n_segment - 1, 1), sizes, axis=1)
    one_less = np.maximum(n - 1, 0) / n_less / popular
    weights = mixture_weights(n, [in_seen, one_less], starts)
    n_segment = np.maximum(n_segment, 1)
    place = np.repeat(np.arange(len(present)), sizes)[cell_of]
    in_hidden = n[folds, cell_of] / n_segment[folds, place] / popular[cell_of]
    by_seen, by_hidden, by_popularity = weights[:, folds, place]
    ratios = by_seen * in_seen[cell_of] + by_hidden * in_hidden + by_popularity

    # The same shares, of all that a customer is seen to have: that is not asked about.
    at = folds[asks.first], place[asks.first]
    seen_cells = asks.seen_folds * stride + cell_at[seen_at]
    unasked = np.stack(
        [
            asks.sums_over_seen(counts[seen_at]) / n_seen[labels[asks.asked]],
            asks.sums_over_seen(elsewhere.ravel()[seen_cells]) / n_segment[at],
            asks.unasked,
        ]
    )
    by_segment = (weights[:, *at] * unasked).sum(axis=0)
    more = np.zeros(len(labels))
    more[asks.asked] = np.log2((1 - asks.unasked) / (1 - by_segment))
    return np.bincount(customers, np.log2(ratios) + more[customers], len(labels))


def _distinct(values: np.ndarray, n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct values, rising, and each of 0..n-1's place among them: past the last if none."""
    is_there = np.zeros(n, dtype=bool)
    is_there[values] = True
    distinct = np.flatnonzero(is_there)
    place = np.full(n, len(distinct))
    place[distinct] = np.arange(len(distinct))
    return distinct, place


def mean_gain(bits: np.ndarray, n_hidden: np.ndarray) -> tuple[float, float]:
    """Return the bits gained per hidden interaction, and the standard error over customers.

    Interactions of one customer are not independent, so customers are what is resampled: the
    linearised error of a ratio of sums (Cochran 1977, "Sampling Techniques", section 2.11).

    Parameters
    ----------
    bits : ndarray of shape (n_customers,), from `bits_gained`, or its sum over several hidings
    n_hidden : ndarray of shape (n_customers,), interactions hidden

    Returns
    -------
    gain, standard error : float; NaN if nothing is hidden
    """
    total, n = n_hidden.sum(), len(bits)
    if total == 0:
        return float("nan"), float("nan")
    gain = bits.sum() / total
    residuals = bits - gain * n_hidden
    error = np.sqrt(n / max(n - 1, 1) * (residuals**2).sum()) / total
    return float(gain), float(error)


def mixture_weights(n: np.ndarray, sources: Sequence[np.ndarray], starts: np.ndarray) -> np.ndarray:
    """Return how much each source of segments' shares deserves to count, popularity last.

    The weights that make a segment's interactions most probable, by expectation-maximisation. A
    source that is made of these interactions must leave each one out, so that it does not praise
    itself.

    Parameters
    ----------
    n : ndarray of shape (..., n_cells), interactions with some items, segment after segment
    sources : ndarrays of that shape, or that broadcast to it
        The items' shares in the segment by each source, over their popularity.
    starts : ndarray of shape (n_segments,), where each segment's cells start; it has one at least

    Returns
    -------
    ndarray of shape (n_sources + 1, ..., n_segments), which add up to 1 over the first axis
    """
    sizes = np.diff(starts, append=n.shape[-1])
    total = (np.add.reduceat(n, starts, axis=-1) + _DOUBT).astype(np.float32)
    # In single precision, for memory is what takes time; the weights are known less well than that.
    n, sources = n.astype(np.float32), [source.astype(np.float32) for source in sources]
    weights = np.full((len(sources), *total.shape), 1 / (len(sources) + 1), np.float32)
    least = _DOUBT / total  # what popularity keeps, whatever is rounded
    product = np.empty_like(n)
    for _ in range(_EM_STEPS):
        rest = np.maximum(1 - weights.sum(axis=0), least)
        mixed = np.repeat(rest, sizes, axis=-1)
        for weight, source in zip(weights, sources, strict=True):
            mixed += np.multiply(np.repeat(weight, sizes, axis=-1), source, out=product)
        share = np.divide(n, mixed, out=mixed)
        for weight, source in zip(weights, sources, strict=True):
            np.multiply(source, share, out=product)
            weight *= np.add.reduceat(product, starts, axis=-1) / total
    rest = np.maximum(1 - weights.sum(axis=0, dtype=np.float64), least)
    return np.concatenate([weights, rest[None]], dtype=np.float64)
