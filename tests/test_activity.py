"""How much of segments is activity, in the data and in data without segments."""

import numpy as np
import pytest
from planted import DESIGNS, plant

from segcli.engine import LocalEngine
from segcli.numerics.activity import (
    activity_share,
    interactions_by_segment,
    log_activity,
    null_activity_share,
)
from segcli.numerics.nulls import null_of
from segcli.numerics.ranks import rank, sample_in_rank_order
from segcli.numerics.recipe import Recipe, fit_recipe

DESIGN = DESIGNS["equal, uneven, counts"]


def test_activity_share_is_eta_squared():
    X = plant(DESIGN, 2)[0]
    activity = log_activity(X)
    assert activity == pytest.approx(np.log(np.diff(X.indptr)))
    labels = (activity > np.median(activity)).astype(int) + (activity > 4)
    groups = [activity[labels == label] for label in np.unique(labels)]
    between = sum(len(g) * (g.mean() - activity.mean()) ** 2 for g in groups)
    expected = between / ((activity - activity.mean()) ** 2).sum()
    assert activity_share(X, labels) == pytest.approx(expected)


def test_that_of_nulls_is_the_mean_over_the_nulls_of_a_sample():
    X = plant(DESIGN, 2)[0]
    ranks, recipe = rank(LocalEngine(1).blocks(X)), Recipe("tfidf", 3)
    ordered = sample_in_rank_order(X, ranks, 150, seed=3)
    expected = []
    for j in range(2):
        null = null_of(ordered, j, seed=3)
        labels = fit_recipe(null, recipe, [4], seed=3).partitions[0].labels
        expected.append(activity_share(null, labels))
    found = null_activity_share(X, 4, recipe, ranks=ranks, seed=3, n_nulls=2, sample_size=150)
    assert found == pytest.approx(np.mean(expected))
    assert expected[0] != expected[1]


def test_it_is_not_known_where_nulls_have_too_few_customers():
    X = plant(DESIGN, 2)[0]
    choices = {"ranks": rank(LocalEngine(1).blocks(X)), "seed": 3, "n_nulls": 1}
    found = null_activity_share(X, 20, Recipe("tfidf", 3), sample_size=10, **choices)
    assert np.isnan(found)


def test_the_interactions_of_segments_leave_out_the_unassigned_and_none_is_left_out():
    labels = np.array([0, 2, -1, 0])
    assert interactions_by_segment(np.array([3, 1, 9, 4]), labels, 4).tolist() == [7, 0, 1, 0]
