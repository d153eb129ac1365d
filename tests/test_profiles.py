"""What segments are made of, against scikit-learn's tf-idf and by hand."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.feature_extraction.text import TfidfTransformer

from segcli.engine import LocalEngine
from segcli.numerics.profiles import profile_segments


@pytest.fixture(scope="module")
def labels(ratings):
    return np.random.default_rng(0).choice(4, ratings.shape[0], p=[0.6, 0.3, 0.09, 0.01])


def test_tfidf_is_the_mean_of_scikit_learns(engine, ratings, labels):
    found = profile_segments(engine.blocks(ratings), labels, 4)
    rows = TfidfTransformer().fit_transform(ratings).toarray()
    expected = np.stack([rows[labels == segment].mean(axis=0) for segment in range(4)])
    assert np.allclose(found.tfidf, expected, rtol=0, atol=1e-9)


def test_counts_totals_and_sizes(engine, ratings, labels):
    found = profile_segments(engine.blocks(ratings), labels, 4)
    dense = ratings.toarray()
    for segment in range(4):
        own = dense[labels == segment]
        assert found.sizes[segment] == len(own)
        assert found.customers[segment].tolist() == (own > 0).sum(axis=0).tolist()
        assert found.totals[segment].tolist() == own.sum(axis=0).tolist()
        assert np.allclose(found.shares[segment], (own > 0).mean(axis=0))


def test_by_hand():
    """Item 0 all three have, weight 1; item 1 one of three, weight ln 2 + 1."""
    X = sp.csr_array([[2.0, 0], [3, 4], [1, 0]])
    found = profile_segments(LocalEngine(1).blocks(X), np.array([0, 1, 0]), 2)
    rare = 4 * (np.log(2) + 1)
    assert np.allclose(found.tfidf, [[1, 0], np.array([3, rare]) / np.hypot(3, rare)])
    assert found.customers.tolist() == [[2, 0], [1, 1]]
    assert found.totals.tolist() == [[3, 0], [3, 4]]
    assert found.shares.tolist() == [[1, 0], [1, 1]]


def test_a_segment_without_customers_is_all_zero(ratings, labels):
    found = profile_segments(LocalEngine(1).blocks(ratings), labels, 5)
    assert found.sizes[4] == 0
    for table in (found.tfidf, found.customers, found.totals, found.shares):
        assert table.shape == (5, ratings.shape[1])
        assert not table[4].any()


def test_moved_customers_and_items_have_the_same_profiles(ratings, labels):
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(ratings.shape[0]), rng.permutation(ratings.shape[1])
    moved = sp.csr_array(ratings.toarray()[rows][:, columns])
    before = profile_segments(LocalEngine(1).blocks(ratings), labels, 4)
    after = profile_segments(LocalEngine(1).blocks(moved), labels[rows], 4)
    assert np.allclose(after.tfidf, before.tfidf[:, columns], atol=1e-12)


def test_threads_change_no_bit(ratings, labels):
    one, two = (
        profile_segments(LocalEngine(n, block_entries=64).blocks(ratings), labels, 4)
        for n in (1, 2)
    )
    assert one.tfidf.tobytes() == two.tfidf.tobytes()


def test_the_unassigned_count_among_all_customers_and_in_no_segment(ratings, engine):
    labels = np.arange(ratings.shape[0]) % 3 - 1
    everybody = profile_segments(engine.blocks(ratings), labels + 1, 3)
    found = profile_segments(engine.blocks(ratings), labels, 2)
    for name in ("tfidf", "customers", "totals", "sizes"):
        assert np.allclose(getattr(found, name), getattr(everybody, name)[1:]), name
    assert np.array_equal(found.everyone, everybody.everyone)
    assert found.n_everyone == ratings.shape[0]


def test_a_stored_zero_is_nothing_that_a_customer_has():
    X = sp.csr_array(([0.0, 2.0], [0, 1], [0, 2]), shape=(1, 2))
    found = profile_segments(LocalEngine(1).blocks(X), np.array([0]), 1)
    assert found.customers.tolist() == [[0, 1]]
