"""The null keeps what activity and popularity say, and nothing else."""

import itertools
from collections import Counter

import numpy as np
import pytest
import scipy.sparse as sp
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
def test_counts_of_rows_and_columns_and_each_customers_values_stay(ratings, n_less):
    """Of an odd number of customers too, of whom one does not trade in each round."""
    ratings = ratings[n_less:]
    null = null_of(ratings, 0, seed=0)
    assert null.shape == ratings.shape
    assert np.array_equal(np.diff(null.indptr), np.diff(ratings.indptr))
    n_items = ratings.shape[1]
    found, expected = (np.bincount(X.indices, minlength=n_items) for X in (null, ratings))
    assert np.array_equal(found, expected)
    assert null.has_canonical_format
    for i in range(ratings.shape[0]):
        assert sorted(null[[i]].data) == sorted(ratings[[i]].data)


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


def test_values_are_shuffled_within_the_customer_even_where_items_cannot_be():
    X = sp.csr_array(np.arange(1.0, 41).reshape(2, 20))
    null = swapped(X, rng=np.random.default_rng(0))
    assert np.array_equal(np.sort(null.toarray(), axis=1), X.toarray())
    assert not np.array_equal(null.toarray(), X.toarray())


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


def test_each_number_and_each_seed_has_a_null_of_its_own(ratings):
    a, b, c = (null_of(ratings, j, seed=seed).toarray() for j, seed in ((0, 0), (1, 0), (0, 1)))
    assert not np.array_equal(a, b)
    assert not np.array_equal(a, c)
    assert not np.array_equal(b, c)


def test_of_a_few_any_is_as_likely_to_be_drawn():
    drawn = nulls._distinct(np.full(6000, 2), np.full(6000, 3), np.random.default_rng(0))
    assert np.abs(np.bincount(drawn % 3) / 6000 - 2 / 3).max() < 0.03
