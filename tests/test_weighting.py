"""Weightings against scikit-learn's definitions and by relation."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfTransformer

from segcli.engine import LocalEngine
from segcli.engine.local import LocalBlocks
from segcli.errors import ChoiceError
from segcli.numerics.weighting import (
    DEFAULT,
    NAMES,
    fit_weighting,
    smooth_idf,
    squared_norms,
    unit_rows,
    weigh,
)


def weighted(blocks, name):
    whole = weigh(blocks, fit_weighting(blocks, name))
    return whole.take(np.arange(whole.shape[0])).toarray()


def test_the_names():
    assert {"raw", "tfidf"} <= set(NAMES)
    assert DEFAULT in NAMES


def test_raw_is_the_values_as_they_are(engine, ratings):
    assert np.array_equal(weighted(engine.blocks(ratings), "raw"), ratings.toarray())


def test_tfidf_is_scikit_learns_on_log_values(engine, ratings):
    oracle = TfidfTransformer().fit_transform(sp.csr_array(np.log1p(ratings.toarray())))
    assert np.allclose(weighted(engine.blocks(ratings), "tfidf"), oracle.toarray(), atol=1e-12)


def test_tfidf_by_hand():
    """Two customers, two items; the second item, which one has, weighs ln(3/2) + 1."""
    X = sp.csr_array([[1.0, 3.0], [1.0, 0.0]])
    rare = np.log(3 / 2) + 1
    row = np.array([np.log(2), np.log(4) * rare])
    expected = [row / np.sqrt((row**2).sum()), [1, 0]]
    assert np.allclose(weighted(LocalEngine(1).blocks(X), "tfidf"), expected, atol=1e-15)


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 250), max_size=5, unique=True))
@pytest.mark.parametrize("name", ["raw", "tfidf"])
def test_blocks_do_not_matter(ratings, name, cuts):
    whole = weighted(LocalEngine(1).blocks(ratings), name)
    bounds = (0, *sorted(cuts), ratings.shape[0])
    assert np.array_equal(weighted(LocalBlocks(ratings, bounds, 2), name), whole)


@pytest.mark.parametrize("name", ["raw", "tfidf"])
def test_rows_and_columns_may_be_moved(ratings, name):
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(ratings.shape[0]), rng.permutation(ratings.shape[1])
    moved = sp.csr_array(ratings.toarray()[rows][:, columns])
    before = weighted(LocalEngine(1).blocks(ratings), name)[rows][:, columns]
    assert np.allclose(weighted(LocalEngine(1).blocks(moved), name), before, atol=1e-14)


@pytest.mark.parametrize("name", ["raw", "tfidf"])
def test_new_customers_are_weighted_as_the_old_were(ratings, name):
    blocks = LocalEngine(1).blocks(ratings)
    weighting = fit_weighting(blocks, name)
    some = weighting.apply(ratings[[4, 2]]).toarray()
    assert np.allclose(some, weighted(blocks, name)[[4, 2]], atol=1e-15)


@pytest.mark.parametrize("name", ["raw", "tfidf"])
def test_applying_changes_no_input(ratings, name):
    before = ratings.data.copy()
    weighted(LocalEngine(1).blocks(ratings), name)
    assert np.array_equal(ratings.data, before)


@pytest.mark.parametrize("name", ["raw", "tfidf"])
def test_an_item_without_customers_and_a_customer_without_items(name):
    X = sp.csr_array([[2.0, 0, 0], [0, 0, 0], [1, 0, 4]])
    found = weighted(LocalEngine(1).blocks(X), name)
    assert np.all(np.isfinite(found))
    assert found[1].tolist() == [0, 0, 0]
    assert found[:, 1].tolist() == [0, 0, 0]


def test_tfidf_refuses_negative_values_and_says_how_many():
    X = LocalEngine(1).blocks(sp.csr_array([[2.0, -1], [-3, 0]]))
    with pytest.raises(ChoiceError, match=r"2 negative values.*--weighting raw"):
        fit_weighting(X, "tfidf")
    assert weighted(X, "raw").tolist() == [[2, -1], [-3, 0]]


def test_smooth_idf_is_one_for_what_everybody_has_and_grows_with_rarity():
    idf = smooth_idf(9, np.array([9, 4, 1, 0]))
    assert idf[0] == 1
    assert np.allclose(idf, [1, np.log(2) + 1, np.log(5) + 1, np.log(10) + 1])


def test_unit_rows_have_length_one_or_none():
    rows = unit_rows(sp.csr_array([[3.0, 4], [0, 0], [0, 2]]))
    assert np.allclose(rows.toarray(), [[0.6, 0.8], [0, 0], [0, 1]], atol=1e-15)


def test_squared_norms_of_sparse_and_dense_rows(ratings):
    dense = ratings.toarray()
    assert squared_norms(dense).tolist() == (dense**2).sum(axis=1).tolist()
    assert squared_norms(ratings).tolist() == (dense**2).sum(axis=1).tolist()
