"""The null keeps what activity, popularity and the sizes of values say, and nothing else."""

import itertools
from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
from planted import with_sizes
from scipy.stats import chisquare

from segcli.engine import ONE_THREAD
from segcli.numerics import nulls
from segcli.numerics.nulls import null_of, nulls_of, swapped


@pytest.fixture(autouse=True)
def _nothing_kept(monkeypatch):
    monkeypatch.setattr(nulls, "_MADE", {})


def co_occurrences(X):
    have = (X.toarray() != 0).astype(int)
    return have.T @ have


@pytest.mark.parametrize("n_less", [0, 1])
def test_counts_of_rows_and_columns_and_all_values_together_stay(ratings, n_less):
    """Of an odd number of customers too, of whom one does not trade in each round."""
    ratings = ratings[n_less:]
    null = null_of(ratings, 0, seed=0)
    assert null.shape == ratings.shape
    assert np.array_equal(np.diff(null.indptr), np.diff(ratings.indptr))
    n_items = ratings.shape[1]
    found, expected = (np.bincount(X.indices, minlength=n_items) for X in (null, ratings))
    assert np.array_equal(found, expected)
    assert null.has_canonical_format
    assert null.data.dtype == np.float64
    assert np.array_equal(np.sort(null.data), np.sort(ratings.data))
    assert not np.array_equal(null.data, ratings.data)


def test_who_has_what_is_drawn_anew():
    """Two kinds of customers, who have nothing in common, come out mixed as chance mixes them."""
    X = sp.csr_array(np.kron(np.eye(2), np.ones((40, 8))) * np.tile([1.0, 1, 1, 0], 4)[None, :])
    null = null_of(X, 0, seed=0)
    together, before = co_occurrences(null), co_occurrences(X)
    assert before[0, 8] == 0
    expected = 40 * 40 / 80  # of 40 customers with each of two items among 80
    across = together[:8, 8:][before[:8, 8:] == 0]
    assert across[across > 0].mean() == pytest.approx(expected, rel=0.2)


def test_every_matrix_of_the_same_counts_is_as_likely():
    X = sp.csr_array(np.array([[1.0, 1, 0, 0], [1, 0, 1, 0], [0, 1, 0, 1], [0, 0, 0, 1]]))
    counts = X.sum(axis=1), X.sum(axis=0)
    all_of_them = [
        cells
        for cells in itertools.product([0, 1], repeat=16)
        if np.array_equal(np.reshape(cells, (4, 4)).sum(axis=1), counts[0])
        and np.array_equal(np.reshape(cells, (4, 4)).sum(axis=0), counts[1])
    ]
    rng = np.random.default_rng(0)
    drawn = Counter(
        tuple(swapped(X, rng=rng, n_rounds=12).toarray().ravel().astype(int)) for _ in range(1000)
    )
    found = [drawn[cells] for cells in all_of_them]
    assert sum(found) == 1000
    assert chisquare(found).pvalue > 1e-4


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_those_who_are_chosen_are_drawn_evenly(share):
    sizes = np.array([5, 0, 1, 40, 5])
    n = np.round(share * sizes).astype(int)
    rng = np.random.default_rng(0)
    times = np.zeros(sizes.sum())
    for _ in range(4000):
        chosen = nulls._chosen(n, sizes, rng)
        groups = np.split(chosen, np.cumsum(sizes)[:-1])
        assert [group.sum() for group in groups] == n.tolist()
        times += chosen
    expected = np.repeat(n / np.maximum(sizes, 1), sizes)
    error = np.sqrt(expected * (1 - expected) / 4000)
    assert np.all(np.abs(times / 4000 - expected) <= 4.5 * error)


def someone_has(n_customers, n_items, n_each):
    """Return about as many items for each customer, whichever."""
    rng = np.random.default_rng(3)
    n_of = rng.poisson(n_each, n_customers).clip(2, n_items // 2)[:, None]
    order = rng.permuted(np.tile(np.arange(n_items), (n_customers, 1)), axis=1)
    return sp.csr_array((order < n_of).astype(float))


def mean_logs(X, axis):
    """Return the mean log value of each customer's (1) or each item's (0) interactions."""
    X = X.toarray()
    return np.log(np.maximum(X, 1)).sum(axis) / (X > 0).sum(axis)


@pytest.mark.parametrize("only_two", [False, True])
def test_customers_and_items_keep_how_large_their_values_are(only_two):
    X = with_sizes(someone_has(300, 40, 12), 0, of_customers=1.0, of_items=1.0)
    if only_two:
        X.data = np.where(X.data > np.median(X.data), 2.0, 1.0)
    null = null_of(X, 0, seed=0)
    for axis in (0, 1):
        assert np.corrcoef(mean_logs(X, axis), mean_logs(null, axis))[0, 1] > 0.8


def test_how_large_items_are_is_not_taken_for_the_size_of_customers_who_have_them():
    """Two kinds of customers have mostly items of one kind, of which one is bought by the dozen."""
    rng = np.random.default_rng(0)
    is_large = np.arange(40) % 2 == 1
    of_kind = np.arange(300) % 2 == 1
    have = rng.random((300, 40)) < np.where(of_kind[:, None] == is_large, 0.5, 0.1)
    values = np.ceil(np.where(is_large, 40, 4) * np.exp(0.3 * rng.standard_normal(have.shape)))
    X = sp.csr_array(np.where(have, values, 0.0))
    null = null_of(X, 0, seed=0)

    def gap(X, axis, marked):
        means = mean_logs(X, axis)
        return means[marked].mean() - means[~marked].mean()

    assert gap(X, 1, of_kind) > 1
    assert abs(gap(null, 1, of_kind)) < 0.1
    assert gap(null, 0, is_large) == pytest.approx(gap(X, 0, is_large), rel=0.1)


@pytest.mark.parametrize(("of_customers", "least", "most"), [(0.0, -0.2, 0.2), (0.5, 0.25, 0.5)])
def test_what_few_values_tell_by_chance_is_not_taken_for_a_customers_size(
    of_customers, least, most
):
    """Their means differ by chance alone, or also by what customers add, of half its spread."""
    X = with_sizes(someone_has(2000, 40, 3), 0, of_customers=of_customers, spread=1.0)
    null = null_of(X, 0, seed=0)
    assert least < np.corrcoef(mean_logs(X, 1), mean_logs(null, 1))[0, 1] < most


def test_customers_keep_how_much_their_values_differ():
    rng = np.random.default_rng(0)
    spread = np.tile([0.1, 1.5], 100)
    values = np.ceil(20 * np.exp(spread[:, None] * rng.standard_normal((200, 30))))
    X = sp.csr_array(np.where(rng.random(values.shape) < 0.6, values, 0.0))
    null = null_of(X, 0, seed=0)
    even, uneven = (
        np.mean([np.log(null[[i]].data).std() for i in range(first, 200, 2)]) for first in (0, 1)
    )
    assert even < 0.3
    assert uneven > 1.1


def test_what_a_customer_values_beyond_that_is_dealt_out_anew():
    """All have all items, and two kinds of customers like different ones: only values can tell."""
    is_own = np.arange(200)[:, None] % 2 == np.arange(20) % 2
    values = np.where(is_own, 5, 1) + np.random.default_rng(0).integers(0, 2, is_own.shape)
    null = null_of(sp.csr_array(values.astype(float)), 0, seed=0).toarray()
    assert null[is_own].mean() == pytest.approx(null[~is_own].mean(), abs=0.1)


@pytest.mark.parametrize("values", [[1.0], [-2.0, -1.0, 3.0]], ids=["all alike", "below 0"])
def test_any_values_can_be_dealt_out(values):
    X = someone_has(60, 20, 5)
    X.data = np.resize(values, X.nnz)
    null = null_of(X, 0, seed=0)
    assert np.array_equal(np.sort(null.data), np.sort(X.data))


@pytest.mark.parametrize(
    "X", [[[1.0, 1.0], [2.0, 2.0]], [[1.0, 2.0], [1.0, 2.0]], [[0.0, 0.0]]], ids=str
)
def test_where_customers_or_items_say_all_of_values_these_stay(X):
    assert np.array_equal(null_of(sp.csr_array(X), 0, seed=0).toarray(), X)


def test_nulls_of_one_matrix_and_seed_are_made_once(ratings, monkeypatch):
    made = []
    monkeypatch.setattr(
        nulls, "null_of", lambda X, j, seed: made.append(j) or null_of(X, j, seed=seed)
    )
    first = nulls_of(ratings, 1, seed=0, engine=ONE_THREAD)
    three = nulls_of(ratings.copy(), 3, seed=0, engine=ONE_THREAD)
    assert three[0] is first[0]
    assert nulls_of(ratings, 2, seed=0, engine=ONE_THREAD)[1] is three[1]
    assert made == [0, 1, 2]
    for j, null in enumerate(three):
        assert np.array_equal(null.toarray(), null_of(ratings, j, seed=0).toarray())


@pytest.mark.parametrize(
    "another",
    [
        lambda X, seed: (X, seed + 1),
        lambda X, seed: (X * 2.0, seed),
        lambda X, seed: (sp.csr_array(X[::-1]), seed),
        lambda X, seed: (sp.csr_array(X[:, :-1]), seed),
    ],
    ids=["seed", "values", "order", "fewer items"],
)
def test_of_other_data_or_another_seed_they_are_made_anew(ratings, another):
    nulls_of(ratings, 1, seed=0, engine=ONE_THREAD)
    X, seed = another(ratings, 0)
    (null,) = nulls_of(X, 1, seed=seed, engine=ONE_THREAD)
    assert np.array_equal(null.toarray(), null_of(X, 0, seed=seed).toarray())
    assert len(nulls._MADE) == 1  # those of the last matrix


def test_each_number_and_each_seed_has_a_null_of_its_own(ratings):
    a, b, c = (null_of(ratings, j, seed=seed).toarray() for j, seed in ((0, 0), (1, 0), (0, 1)))
    assert not np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert not np.array_equal(b, c)


def test_of_a_few_any_is_as_likely_to_be_drawn():
    drawn = nulls._distinct(np.full(6000, 2), np.full(6000, 3), np.random.default_rng(0))
    assert np.abs(np.bincount(drawn % 3) / 6000 - 2 / 3).max() < 0.03
