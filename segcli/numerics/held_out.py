"""Does knowing a customer's segment help to say what else they have? Held-out gain.

A share of every customer's interactions is hidden, the rest is segmented, and the hidden ones are
predicted from the segment and from popularity alone. The hidden part is what the clustering did not
see, so whatever is found in it is not an echo of how the segments were made.

References
----------
Owen & Perry (2009) on holding out entries of a matrix, Ann. Appl. Stat. 3, 564-594,
doi:10.1214/08-AOAS227. Neufeld, Gao, Popp, Battle & Witten (2024), "Inference after latent variable
estimation for single-cell RNA sequencing data" (count splitting), Biostatistics 25, 270-287,
doi:10.1093/biostatistics/kxac047. Jelinek & Mercer (1980), "Interpolated estimation of Markov source
parameters from sparse data", Pattern Recognition in Practice, 381-397.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

SHARE_HIDDEN = 0.2

_EM_STEPS = 30

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
    rows = np.repeat(np.arange(X.shape[0]), n_of)
    # The interaction with the largest draw of each customer stays.
    order = np.lexsort((draws, rows))
    last = order[X.indptr[1:][n_of > 0] - 1]
    is_hidden[last] = False
    return Hidden(_part(X, rows, ~is_hidden), _part(X, rows, is_hidden))


def bits_gained(parts: Hidden, labels: np.ndarray, k: int) -> np.ndarray:
    """Return the bits that each customer's hidden interactions gain from knowing the segment.

    The sum over the customer's hidden interactions, each counted once whatever its value, of
    ``log2 P(item | segment) / P(item)``. Divide by how many are hidden (`mean_gain`) to read it: 0,
    the segment says nothing about what else its customers have; negative, less than nothing; 1,
    hidden items are twice as probable as by popularity alone. An item that nobody is seen to have is
    unknown to both sides and gains 0.

    ``P(item | segment)`` mixes the segment's own share of seen interactions with popularity
    (Jelinek & Mercer 1980) by `own_weights`. A segment without a taste of its own is thus described
    by popularity, and gains nothing rather than noise. Popularity is that of the seen part.

    Parameters
    ----------
    parts : what is seen and what is hidden
    labels : ndarray of shape (n_customers,), values in 0..k-1, from ``parts.seen`` alone
    k : int

    Returns
    -------
    ndarray of shape (n_customers,)
    """
    seen, hidden = parts.seen, parts.hidden
    counts = _interactions(seen, labels, k)
    totals = np.maximum(counts.sum(axis=1), 1)
    popularity = counts.sum(axis=0)
    customers = np.repeat(np.arange(len(labels)), np.diff(hidden.indptr))
    known = popularity[hidden.indices] > 0
    customers, items = customers[known], hidden.indices[known]
    segments = labels[customers]
    share = popularity[items] / popularity.sum()
    ratios = counts[segments, items] / totals[segments] / share
    own = own_weights(counts)[segments]
    return np.bincount(customers, np.log2(own * ratios + 1 - own), len(labels))


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


def own_weights(counts: np.ndarray) -> np.ndarray:
    """Return how much each segment's own shares deserve to count against popularity.

    The weight that makes the segment's interactions most probable when each is predicted from all
    the others: leaving one out keeps a segment from praising itself. By expectation-maximisation.

    Parameters
    ----------
    counts : ndarray of shape (k, n_items), interactions

    Returns
    -------
    ndarray of shape (k,), 0 to below 1: 0 for a segment that is best described by popularity
    """
    segments, items = np.nonzero(counts)
    n = counts[segments, items]
    totals, popularity = counts.sum(axis=1), counts.sum(axis=0)
    others = popularity[items] - 1
    own_share = (n - 1) / np.maximum(totals[segments] - 1, 1)
    share = others / max(popularity.sum() - 1, 1)
    ratios = np.divide(own_share, share, out=np.ones(len(n)), where=others > 0)
    weights = np.full(len(counts), 0.5)
    for _ in range(_EM_STEPS):
        own = weights[segments] * ratios
        responsible = n * own / (own + 1 - weights[segments])
        weights = np.bincount(segments, responsible, len(counts)) / (totals + _DOUBT)
    return weights


def _interactions(X: sp.csr_array, labels: np.ndarray, k: int) -> np.ndarray:
    """Return how many of each segment's customers have each item, of shape (k, n_items)."""
    groups = np.repeat(labels, np.diff(X.indptr))
    flat = np.bincount(groups * X.shape[1] + X.indices, minlength=k * X.shape[1])
    return flat.reshape(k, -1).astype(np.float64)


def _part(X: sp.csr_array, rows: np.ndarray, keep: np.ndarray) -> sp.csr_array:
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[keep], minlength=X.shape[0]))])
    return sp.csr_array((X.data[keep], X.indices[keep], indptr), shape=X.shape)
