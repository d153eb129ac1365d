"""Would other customers have led to the same segments? Split-half resampling.

The customers are split into halves at random and each half is segmented on its own, by the whole
recipe. Both directions are used: each half judges the other. Stable is not valid: on data without
segments these figures can be high (activity alone is stable), so read each beside its null.

References
----------
Dudoit & Fridlyand (2002), "A prediction-based resampling method for estimating the number of clusters
in a dataset", Genome Biology 3(7), research0036, doi:10.1186/gb-2002-3-7-research0036.
Tibshirani & Walther (2005), "Cluster validation by prediction strength", J. Comput. Graph. Stat. 14,
511-528, doi:10.1198/106186005X59243.
Hennig (2007), "Cluster-wise assessment of cluster stability", Comput. Stat. Data Anal. 52, 258-271,
doi:10.1016/j.csda.2006.11.025.
Metsis, Androutsopoulos & Paliouras (2006), "Spam filtering with naive Bayes - which naive Bayes?",
3rd Conference on Email and Anti-Spam.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

import numpy as np
import scipy.sparse as sp

from segcli.engine import ONE_THREAD, Block, Blocks, Engine
from segcli.engine.sparse_views import with_values
from segcli.numerics import costs
from segcli.numerics.agreement import adjusted_rand, contingency, jaccard_similarities
from segcli.numerics.assignment import assign
from segcli.numerics.means import nan_mean
from segcli.numerics.naive_bayes import fit_naive_bayes
from segcli.numerics.pca import PCA
from segcli.numerics.ranks import Ranks, in_rank_order, sample_rows
from segcli.numerics.recipe import FittedRecipe, Recipe, fit_recipe
from segcli.words import short_of

GRADES = ((0.85, "highly stable"), (0.75, "stable"), (0.6, "pattern"))
"""Hennig's reading of a segment's mean Jaccard similarity, from the best down."""

NOT_TRUSTED = "not trusted"


@dataclass(frozen=True)
class Resample:
    """What one direction of one split says of every k.

    Attributes
    ----------
    rows : ndarray of shape (n_half,), the half's customers
    labels : tuple of ndarrays of shape (n_half,), the half's own segments for each k that it bears
    transfer_ari : ndarray of shape (n_ks,), see `transfer_ari`; NaN for a k that could not be fitted
    prediction_strength : ndarray of shape (n_ks,), see `prediction_strength`
    """

    rows: np.ndarray
    labels: tuple[np.ndarray, ...]
    transfer_ari: np.ndarray
    prediction_strength: np.ndarray

    def jaccard(self, full: FittedRecipe) -> list[np.ndarray]:
        """Return how well each segment of all customers is found again in the half: see `jaccard`.

        Parameters
        ----------
        full : the recipe fitted to all customers, for the same k or the first of them

        Returns
        -------
        list of ndarrays of shape (k,), one per k of ``full``; NaN where the half has no such k
        """
        similarities = [
            jaccard(partition.labels[self.rows], own, partition.k)
            for partition, own in zip(full.partitions, self.labels, strict=False)
        ]
        return similarities + [np.full(k, np.nan) for k in full.ks[len(similarities) :]]


HalfModel = tuple[PCA, np.ndarray]
"""A half's components, items in rank order, and its centers, in the order of the segments they match."""


@dataclass(frozen=True)
class SegmentStability:
    """How well each segment of one segmentation is found again in halves of the customers.

    Attributes
    ----------
    jaccard : ndarray of shape (k,)
        Mean Jaccard similarity over halves, see `jaccard`: 0 to 1, 1 is best.
    models : tuple of HalfModel, one per half that could be segmented
    item_order : ndarray of shape (n_items,), the matrix's columns in rank order
    """

    jaccard: np.ndarray
    models: tuple[HalfModel, ...]
    item_order: np.ndarray

    def membership(self, blocks: Blocks, labels: np.ndarray) -> np.ndarray:
        """Return how often each customer lands in the own segment when a half makes the segments.

        Every half's model labels all customers, in the half or not. 1: always in this segment;
        below .5 the customer is more often elsewhere.

        Parameters
        ----------
        blocks : sparse blocks of shape (n_customers, n_items), unweighted; all customers
        labels : ndarray of shape (n_customers,), values in 0..k-1

        Returns
        -------
        ndarray of shape (n_customers,), 0 to 1; NaN if no half could be segmented
        """
        if not self.models:
            return np.full(len(labels), np.nan)
        (hits,) = blocks.map_rows(_hits, labels, self.models, self.item_order)
        return np.asarray(hits / len(self.models))


def segment_stability(
    X: sp.csr_array,
    labels: np.ndarray,
    k: int,
    recipe: Recipe,
    *,
    ranks: Ranks,
    seed: int,
    n_splits: int,
    sample_size: int,
    engine: Engine = ONE_THREAD,
) -> SegmentStability:
    """Return the stability of the segments of a given segmentation.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted
    labels : ndarray of shape (n_customers,), values in 0..k-1
    k : int
    recipe : how the segmentation was made
    ranks : the ranks of X's customers and items
    seed : int
    n_splits : splits of the customers into halves; both halves of each are used
    sample_size : customers to work on, at most
    engine : runs the splits
    """
    rows = sample_rows(ranks, sample_size, seed=seed)
    ordered, own = in_rank_order(X, ranks, rows), labels[rows]
    splits = [partial(_models, ordered, own, k, recipe, j, seed) for j in range(n_splits)]
    by_split = engine.run_tasks(
        splits,
        "stability of the segments",
        seconds=costs.seconds_of_fit(ordered, [k]),
        room=costs.room_of_fit(ordered, [k]),
    )
    found = list(chain(*by_split))
    similarities = np.array([similarity for similarity, _ in found]).reshape(-1, k)
    models = tuple(model for _, model in found)
    return SegmentStability(nan_mean(similarities), models, ranks.item_order)


def halves(n_customers: int, split: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the customers in each half of a split, in increasing order."""
    order = np.random.default_rng([seed, 5, split]).permutation(n_customers)
    return np.sort(order[: n_customers // 2]), np.sort(order[n_customers // 2 :])


def resample(
    X: sp.csr_array, recipe: Recipe, ks: Sequence[int], *, split: int, seed: int
) -> list[Resample]:
    """Return what both directions of one split say of each k.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted, non-negative, in rank order
    recipe : how customers are segmented
    ks : increasing numbers of segments
    split : number of the split
    """
    rows = halves(X.shape[0], split, seed=seed)
    parts = [X[half] for half in rows]
    fits = [fit_recipe(part, recipe, ks, seed=seed) for part in parts]
    return [
        _judge(rows[a], (parts[a], fits[a]), (parts[1 - a], fits[1 - a]), len(ks)) for a in (0, 1)
    ]


def transfer_ari(
    X: sp.csr_array, labels: np.ndarray, others: sp.csr_array, other_labels: np.ndarray
) -> float:
    """Return how well a classifier carries one half's segments to the other half's own.

    Multinomial naive Bayes learns the segments of one half from who has what, labels the other half,
    and is compared with that half's own segmentation by the adjusted Rand index: 1 if both agree
    entirely, about 0 if they agree as by chance. It asks whether segments can be told by what
    customers have (Dudoit & Fridlyand 2002).

    How much they have of it does not count: among a few large values (plays, quantities) naive Bayes
    would hear nothing else, and miss segments that are clear (Metsis et al. 2006 find the same of words).

    Parameters
    ----------
    X : csr_array of shape (n, n_items), unweighted
    labels : ndarray of shape (n,)
    others : csr_array of shape (m, n_items)
    other_labels : ndarray of shape (m,)
    """
    learned, asked = (with_values(half, np.ones(half.nnz)) for half in (X, others))
    model = fit_naive_bayes(ONE_THREAD.blocks(learned), labels, int(labels.max()) + 1)
    return adjusted_rand(other_labels, model.predict(asked))


def prediction_strength(own: np.ndarray, predicted: np.ndarray) -> float:
    """Return the prediction strength of one half's segments for the other half.

    Of the pairs of customers that the half's own segmentation puts together, the share that the other
    half's model puts together too, for the segment where that share is least: 0 to 1, 1 is best.
    At least .8 to .9 for real segments (Tibshirani & Walther 2005). Segments of one customer have no
    pairs and are left out; without any pair it is NaN.

    Parameters
    ----------
    own : ndarray of shape (n,), the half's own labels
    predicted : ndarray of shape (n,), the other half's model's labels
    """
    table = contingency(own, predicted)
    sizes = table.sum(axis=1)
    table, sizes = table[sizes > 1], sizes[sizes > 1]
    if not len(sizes):
        return float("nan")
    together = (table * (table - 1)).sum(axis=1)
    return float((together / (sizes * (sizes - 1))).min())


def jaccard(reference: np.ndarray, found: np.ndarray, k: int) -> np.ndarray:
    """Return how well each segment is found again among the same customers.

    The Jaccard similarity (customers in both over customers in either) of the segment and the found
    one that matches it best: 0 to 1, 1 is best. Read its mean over resamples by `grade`.

    Parameters
    ----------
    reference : ndarray of shape (n,), values in 0..k-1
    found : ndarray of shape (n,)
    k : int

    Returns
    -------
    ndarray of shape (k,); NaN for a segment without customers among these
    """
    table = contingency(reference, found, k)
    best = jaccard_similarities(table).max(axis=1)
    return np.where(table.sum(axis=1) > 0, best, np.nan)


def grade(stability: float) -> str | None:
    """Return Hennig's word for a segment's mean Jaccard similarity; None for NaN: nothing is known.

    "not trusted" below .6, "pattern" to .75 (something is there, who belongs to it is doubtful),
    "stable" to .85, "highly stable" from there.
    """
    if np.isnan(stability):
        return None
    for threshold, word in GRADES:
        if stability >= threshold:
            return word
    return NOT_TRUSTED


def graded(stability: float | None) -> str:
    """Return a mean Jaccard similarity in digits, so many that it does not read as of a better grade."""
    return short_of(stability, [threshold for threshold, _ in GRADES])


def matched(reference: np.ndarray, found: np.ndarray, k: int) -> np.ndarray:
    """Return, for each segment of one segmentation, the one of another that corresponds to it.

    One to one, such that as many customers as can be are in corresponding segments (the linear
    assignment problem).

    Parameters
    ----------
    reference, found : ndarrays of shape (n,), values in 0..k-1

    Returns
    -------
    ndarray of shape (k,), a permutation of 0..k-1
    """
    from scipy.optimize import linear_sum_assignment  # long to import, and not always needed

    table = contingency(reference, found, k, k)
    _, columns = linear_sum_assignment(table, maximize=True)
    return np.asarray(columns)


def _models(
    X: sp.csr_array, own: np.ndarray, k: int, recipe: Recipe, split: int, seed: int
) -> list[tuple[np.ndarray, HalfModel]]:
    """Return, for each half of a split, Jaccard similarities with the own segments and its model."""
    found = []
    for half in halves(len(own), split, seed=seed):
        fit = fit_recipe(X[half], recipe, [k], seed=seed, as_segmented=True)
        if fit.partitions:
            partition = fit.partitions[0]
            centers = partition.centers[matched(own, fit.label(X)[0], k)]
            similarity = jaccard(own[half], partition.labels, k)
            found.append((similarity, (fit.pca, centers)))
    return found


def _judge(
    rows_a: np.ndarray,
    a: tuple[sp.csr_array, FittedRecipe],
    b: tuple[sp.csr_array, FittedRecipe],
    n_ks: int,
) -> Resample:
    """Let half A's segments judge half B's."""
    transfer, strength = np.full(n_ks, np.nan), np.full(n_ks, np.nan)
    (X_a, fit_a), (X_b, fit_b) = a, b
    labels_a, labels_b = (
        tuple(partition.labels for partition in fit.partitions) for fit in (fit_a, fit_b)
    )
    predicted = fit_a.label(X_b)
    for i in range(min(len(labels_a), len(labels_b))):  # a smaller half may lack the largest k
        transfer[i] = transfer_ari(X_a, labels_a[i], X_b, labels_b[i])
        strength[i] = prediction_strength(labels_b[i], predicted[i])
    return Resample(rows_a, labels_a, transfer, strength)


def _hits(
    block: Block, labels: np.ndarray, models: tuple[HalfModel, ...], item_order: np.ndarray
) -> tuple[np.ndarray]:
    """Return how many models put each customer into the own segment."""
    X = sp.csr_array(block.matrix[:, item_order])
    own = labels[block.rows]
    hits = np.zeros(len(own))
    for pca, centers in models:
        hits += assign(pca.project(X), centers)[0] == own
    return (hits,)
