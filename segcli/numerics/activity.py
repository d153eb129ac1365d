"""How much of a segmentation is nothing but how active customers are.

The audit that every segmentation needs: k-means on raw values, above all, sorts customers by activity
and passes every test of stability, because activity is stable.
"""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from segcli.numerics.agreement import variance_explained
from segcli.numerics.recipe import Recipe, fit_recipe

MOSTLY = 0.5
"""Beyond this share, heavy and light customers are mostly in different segments."""

SOME = 0.1
"""From this share on, segments tell something of how much customers do."""


def log_activity(X: sp.csr_array) -> np.ndarray:
    """Return the natural logarithm of each customer's number of interactions, of shape (n_customers,).

    A customer without any counts as having one.
    """
    return np.log(np.maximum(np.diff(X.indptr), 1))


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


def activity_share_of_recipe(X: sp.csr_array, recipe: Recipe, k: int, *, seed: int) -> float:
    """Return the activity share of the k segments that a recipe makes; NaN if it cannot make k.

    Parameters
    ----------
    X : csr_array of shape (n_customers, n_items), unweighted, in rank order
    """
    partitions = fit_recipe(X, recipe, [k], seed=seed).partitions
    return activity_share(X, partitions[0].labels) if partitions else float("nan")
