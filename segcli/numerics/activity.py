"""How much of a segmentation is nothing but how active customers are.

The audit that every segmentation needs: k-means on raw values, above all, sorts customers by activity
and passes every test of stability, because activity is stable.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import scipy.sparse as sp

from segcli.engine import ONE_THREAD, Engine
from segcli.numerics import costs
from segcli.numerics.agreement import variance_explained
from segcli.numerics.means import nan_mean
from segcli.numerics.nulls import nulls_of
from segcli.numerics.ranks import Ranks, sample_in_rank_order
from segcli.numerics.recipe import Recipe, fit_recipe

LARGE_SHARE = 0.5
"""Of an activity share: beyond it, heavy and light customers are mostly in different segments."""

NOTABLE_SHARE = 0.1
"""Of an activity share: from it on, segments tell something of how much customers do."""


def log_activity(X: sp.csr_array) -> np.ndarray:
    """Return the natural logarithm of each customer's number of interactions, of shape (n_customers,).

    A customer without any counts as having one.
    """
    return np.log(np.maximum(np.diff(X.indptr), 1))


def interactions_by_segment(activity: np.ndarray, labels: np.ndarray, k: int) -> np.ndarray:
    """Return how many distinct items each segment's customers have, added up, of shape (k,).

    Parameters
    ----------
    activity : ndarray of shape (n_customers,), distinct items of each customer
    labels : ndarray of shape (n_customers,), values in 0..k-1; negative for the unassigned
    k : int
    """
    assigned = labels >= 0
    return np.bincount(labels[assigned], activity[assigned], minlength=k).astype(np.int64)


def activity_share(X: sp.csr_array, labels: np.ndarray) -> float:
    """Return the share of the variance of log activity that lies between segments (eta squared).

    0: the segments' customers are equally active; 1: activity alone decides the segment. Read it
    beside its null: without any tastes to tell apart, segments are made of activity.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted
    labels : ndarray of shape (n_customers,), values from 0 up
    """
    return variance_explained(log_activity(X), labels)


def null_activity_share(
    X: sp.csr_array,
    k: int,
    recipe: Recipe,
    *,
    ranks: Ranks,
    seed: int,
    n_nulls: int,
    sample_size: int,
    engine: Engine = ONE_THREAD,
) -> float:
    """Return the activity share of segments made by the same recipe of data without segments.

    The mean over nulls of the customers given, or of a sample of them; NaN if none of them has k
    segments.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted
    k : int
    recipe : how the segments were made
    ranks : the ranks of X's customers and items
    seed : int
    n_nulls : int
    sample_size : customers to work on, at most
    engine : makes nulls, and segments of them
    """
    ordered = sample_in_rank_order(X, ranks, sample_size, seed=seed)
    nulls = nulls_of(ordered, n_nulls, seed=seed, engine=engine)
    shares = engine.run_tasks(
        [partial(_share_by_recipe, null, recipe, k, seed) for null in nulls],
        "activity without segments",
        seconds=costs.seconds_of_passes(ordered),
        room=costs.room_of_fit(ordered, [k]),
    )
    return float(nan_mean(np.array(shares)))


def _share_by_recipe(X: sp.csr_array, recipe: Recipe, k: int, seed: int) -> float:
    """Return the activity share of the k segments that a recipe makes; NaN if it cannot make k."""
    partitions = fit_recipe(X, recipe, [k], seed=seed).partitions
    return activity_share(X, partitions[0].labels) if partitions else float("nan")
