"""Partitions that are brought up to date, beside partitions that are made anew."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from test_kmeans import heavy_tailed, inertia_of

from segcli.errors import ChoiceError
from segcli.numerics.partition import TOLERANCE, Partition, Rows


def rows_of(X, weights=None):
    return Rows(X, np.ones(len(X)) if weights is None else weights)


def partition(X, centers, weights=None):
    rows = rows_of(X, weights)
    return Partition.about(rows, np.asarray(centers) - rows.mean)


def assert_same(one, other):
    """Whatever was kept while centers moved is what is found by looking at everything."""
    assert one.labels.tolist() == other.labels.tolist()
    assert np.allclose(one.squared_distances(), other.squared_distances(), rtol=1e-12, atol=1e-12)
    assert one.inertia == pytest.approx(other.inertia, rel=1e-12)


@pytest.mark.parametrize("k", [2, 7, 20])
def test_steps_are_lloyds(k):
    X = heavy_tailed(500)
    found = partition(X, X[:k])
    for _ in range(300):
        means = np.stack([X[found.labels == label].mean(axis=0) for label in range(k)])
        found.step()
        if found.converged:
            break
        assert_same(found, partition(X, means))
        assert found.inertia == pytest.approx(inertia_of(X, found.labels), rel=1e-12)
    assert found.converged
    oracle = KMeans(k, init=X[:k], n_init=1, tol=0, algorithm="lloyd").fit(X)
    assert found.labels.tolist() == oracle.labels_.tolist()
    assert found.inertia == pytest.approx(oracle.inertia_, rel=1e-12)


@pytest.mark.parametrize(("share", "converged"), [(0.8, True), (1.2, False)])
def test_a_move_that_is_none_ends_the_steps(share, converged):
    """Less than a millionth of the standard deviation; of weighted rows it is that of their copies."""
    X, weights = np.array([[-1.0, 0], [1, 0], [9, 0], [11, 0]]), np.array([1.0, 1, 2, 2])
    move = share * TOLERANCE * np.sqrt(np.repeat(X, weights.astype(int), axis=0).var(axis=0).mean())
    found = partition(X, [[move, 0], [10, 0]], weights)
    before = found.centers
    found.step()
    assert (found.converged, found.centers is before) == (converged, converged)


def test_a_weight_counts_like_so_many_equal_customers():
    X = heavy_tailed(300)
    weights = np.random.default_rng(7).integers(1, 4, 300)
    weighted = partition(X, X[:5], weights.astype(float))
    plain = partition(np.repeat(X, weights, axis=0), X[:5])
    for one in (weighted, plain):
        one.descend(300)
        assert one.converged
    assert weighted.inertia == pytest.approx(plain.inertia, rel=1e-12)
    assert np.repeat(weighted.labels, weights).tolist() == plain.labels.tolist()


def test_where_a_center_is_moved_or_added_the_others_stay():
    X = heavy_tailed(300)
    start = partition(X, X[:6])
    centers = X[:6].copy()
    centers[2] = X[50]
    assert_same(start.with_center_at(2, 50), partition(X, centers))
    more = start.with_more_centers([50, 60])
    assert_same(more, partition(X, np.vstack([X[:6], X[[50, 60]]])))
    assert_same(start, partition(X, X[:6]))  # as it was


def test_the_second_nearest_center():
    X = heavy_tailed(100)
    found = partition(X, X[:4])
    squares = np.sort(((X[:, None] - X[:4]) ** 2).sum(axis=2), axis=1)
    for _ in range(2):  # asking changes nothing
        assert np.allclose(found.squared_distances(), squares[:, 0])
        assert np.allclose(found.squared_distances_to_second(), squares[:, 1])


def test_no_square_is_less_than_nothing():
    """Differences of squares, of which rounding is left where a row is a center, or two are."""
    X = heavy_tailed(100)
    once, twice = partition(X, X), partition(X, np.vstack([X, X]))
    squares = [once.squared_distances(), twice.squared_distances_to_second()]
    assert np.min(squares) >= 0
    assert np.max(squares) < 1e-14 * once.rows.norms.max()
    assert all(0 <= partition(X[:n], X[:n]).inertia < 1e-9 for n in range(2, 100))


@pytest.mark.parametrize(("X", "center"), [([0, 1, 2, 10], 1), ([0, 5, 5, 7], 3)])
def test_a_center_without_rows_goes_to_the_farthest(X, center):
    """From where the other was, not from where it goes, which is the mean."""
    found = partition(np.array(X, dtype=float)[:, None], [[center], [500]])
    found.step()
    assert found.labels.tolist() == [0, 0, 0, 1]


def test_rows_nearer_than_a_move_that_is_none_are_not_told_apart():
    with pytest.raises(ChoiceError, match=r"Only 2 distinct customers"):
        partition(np.array([[0.0], [0], [1], [1 + 1e-7]]), [[0.0], [500], [1]]).step()


def test_of_rows_that_are_equal_no_two_are_given_to_empty_segments():
    X = np.repeat([[0.0], [1], [8]], 5, axis=0)
    found = partition(X, [[0.0], [500], [600]]).descend(300)
    assert found.inertia == 0
    assert len(np.unique(found.labels)) == 3
    with pytest.raises(ChoiceError, match=r"Only 3 distinct customers"):
        partition(X, [[0.0], [500], [600], [700]]).descend(300)


@pytest.mark.parametrize("k", [2, 3])
def test_ties_go_to_the_lower_center(k):
    rows = Rows(np.array([[-1.0], [1], [0]]), np.ones(3))
    centers = np.array([[-1.0], [1], [9]])[:k]
    assert Partition.about(rows, centers).labels.tolist() == [0, 1, 0]


def test_a_partition_with_a_center_moved_is_another_and_leaves_the_first_alone():
    rng = np.random.default_rng(0)
    rows = Rows(rng.standard_normal((40, 2)), np.ones(40))
    one = Partition.about(rows, rows.rows[:5])
    before = one.squared_distances_to_second()
    one.with_center_at(2, 17).step()
    one.with_more_centers([20, 21]).step()
    assert np.array_equal(one.squared_distances_to_second(), before)
    assert np.array_equal(one.centers, rows.rows[:5])


def test_looking_at_second_nearest_centers_changes_nothing():
    rng = np.random.default_rng(0)
    rows = Rows(rng.standard_normal((60, 2)), np.ones(60))
    one = Partition.about(rows, rows.rows[:6])
    one.squared_distances_to_second()
    moved = one.with_center_at(2, 17).with_center_at(2, 30)
    assert moved.labels.tolist() == Partition.about(rows, moved.centers).labels.tolist()
