"""Weightings: by definition, against scikit-learn's, by hand, and by relation."""

import joblib
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import TfidfTransformer

from segcli.engine import LocalEngine
from segcli.engine.local import LocalBlocks
from segcli.engine.rank_one import SparseMinusRankOne
from segcli.errors import ChoiceError
from segcli.numerics.weighting import (
    BM25_B,
    BM25_K1,
    DEFAULT,
    DESCRIPTIONS,
    NAMES,
    PEARSON_PRIOR,
    fit_weighting,
    probabilistic_idf,
    smooth_idf,
    unit_rows,
    weigh,
)

COUNTS = ("log1p", "tfidf", "bm25", "pearson")


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    X = rng.poisson(rng.gamma(0.3, 2.0, size=(60, 1)) * rng.gamma(0.5, 2.0, size=25))
    X[7] = 0
    X[:, 3] = 0
    return sp.csr_array(X.astype(np.float64))


def weighted(X, name, fitted_to=None):
    weighting = fit_weighting(LocalEngine(1).blocks(X if fitted_to is None else fitted_to), name)
    return weighting.apply(X).toarray()


def test_there_are_six_and_each_is_described():
    assert set(NAMES) == {"raw", "log1p", "l2", "tfidf", "bm25", "pearson"}
    assert all(DESCRIPTIONS[name] for name in NAMES)
    assert DEFAULT in NAMES


def weighted_blocks(blocks, name):
    whole = weigh(blocks, fit_weighting(blocks, name))
    return whole.take(np.arange(whole.shape[0])).toarray()


def test_raw_is_the_values_as_they_are(engine, ratings):
    assert np.array_equal(weighted_blocks(engine.blocks(ratings), "raw"), ratings.toarray())


def test_tfidf_is_scikit_learns_on_log_values(engine, ratings):
    oracle = TfidfTransformer().fit_transform(sp.csr_array(np.log1p(ratings.toarray())))
    assert np.allclose(
        weighted_blocks(engine.blocks(ratings), "tfidf"), oracle.toarray(), atol=1e-12
    )


def test_tfidf_by_hand():
    """Two customers, two items; the second item, which one has, weighs ln(3/2) + 1."""
    X = sp.csr_array([[1.0, 3.0], [1.0, 0.0]])
    rare = np.log(3 / 2) + 1
    row = np.array([np.log(2), np.log(4) * rare])
    expected = [row / np.sqrt((row**2).sum()), [1, 0]]
    assert np.allclose(weighted(X, "tfidf"), expected, atol=1e-15)


def test_smooth_idf_is_one_for_what_everybody_has_and_grows_with_rarity():
    idf = smooth_idf(9, np.array([9, 4, 1, 0]))
    assert idf[0] == 1
    assert np.allclose(idf, [1, np.log(2) + 1, np.log(5) + 1, np.log(10) + 1])


def test_unit_rows_have_length_one_or_none():
    rows = unit_rows(sp.csr_array([[3.0, 4], [0, 0], [0, 2]]))
    assert np.allclose(rows.toarray(), [[0.6, 0.8], [0, 0], [0, 1]], atol=1e-15)


def test_log1p_by_definition(counts):
    assert np.allclose(weighted(counts, "log1p"), np.log1p(counts.toarray()), atol=1e-15)


def test_l2_rows_have_length_one_and_keep_their_direction(counts):
    X, lengths = counts.toarray(), np.linalg.norm(counts.toarray(), axis=1, keepdims=True)
    assert np.allclose(weighted(counts, "l2") * lengths, X, atol=1e-12)
    found = np.linalg.norm(weighted(counts, "l2"), axis=1)
    assert np.allclose(found[lengths[:, 0] > 0], 1)


def test_bm25_by_definition(counts):
    X = counts.toarray()
    n, df = len(X), (X > 0).sum(axis=0)
    idf = np.log(1 + (n - df + 0.5) / (df + 0.5))
    length = X.sum(axis=1, keepdims=True)
    norm = BM25_K1 * (1 - BM25_B + BM25_B * length / length.mean())
    assert np.allclose(weighted(counts, "bm25"), idf * X * (BM25_K1 + 1) / (X + norm), atol=1e-12)


def test_bm25_by_hand():
    """Rows of equal length 2, so the length plays no part: 1 becomes 2.2 / 2.2, 2 becomes 4.4 / 3.2.

    Idf: both items have df 2 of n 3, hence ln(1 + 1.5 / 2.5).
    """
    X = sp.csr_array([[1.0, 1.0], [2.0, 0.0], [0.0, 2.0]])
    idf = np.log(1.6)
    expected = idf * np.array([[1, 1], [4.4 / 3.2, 0], [0, 4.4 / 3.2]])
    assert np.allclose(weighted(X, "bm25"), expected, atol=1e-15)


def test_bm25_saturates():
    X = sp.csr_array([[1.0, 1e6, 1.0], [1.0, 0.0, 1.0], [0.0, 3.0, 0.0]])
    idf = probabilistic_idf(3, np.array([2, 2, 2]))
    assert np.all(weighted(X, "bm25") <= idf * (BM25_K1 + 1))


def test_the_probabilistic_idf_falls_with_the_customers_and_stays_positive():
    idf = probabilistic_idf(100, np.arange(101))
    assert np.all(np.diff(idf) < 0)
    assert idf[-1] > 0


def test_pearson_by_definition(counts):
    Y = np.log1p(counts.toarray())
    r, p = Y.sum(axis=1, keepdims=True), Y.sum(axis=0) / Y.sum()
    prior = PEARSON_PRIOR / Y.shape[1]
    with np.errstate(invalid="ignore"):
        expected = np.nan_to_num((Y - r * p) / np.sqrt(r * (p + prior)))
    assert np.allclose(weighted(counts, "pearson"), expected, atol=1e-12)


def test_without_the_prior_pearson_is_the_root_of_chi_square(monkeypatch, counts):
    """The squared residuals sum to Pearson's statistic of the table of log values."""
    from scipy.stats import chi2_contingency

    monkeypatch.setattr("segcli.numerics.weighting.PEARSON_PRIOR", 0.0)
    full = counts[counts.sum(axis=1) > 0][:, counts.sum(axis=0) > 0]
    statistic = chi2_contingency(np.log1p(full.toarray())).statistic
    assert np.isclose((weighted(full, "pearson") ** 2).sum(), statistic, rtol=1e-12)


def test_pearson_of_customers_who_follow_popularity_is_nothing():
    """Rows in proportion leave no residual, however active the customer."""
    logs = np.outer([1.0, 2.0, 5.0], [0.1, 0.3, 0.6])
    assert np.allclose(weighted(sp.csr_array(np.expm1(logs)), "pearson"), 0, atol=1e-12)


def test_pearson_is_not_made_dense(counts):
    blocks = weigh(
        LocalEngine(1).blocks(counts), fit_weighting(LocalEngine(1).blocks(counts), "pearson")
    )
    whole = blocks.take(np.arange(60))
    assert isinstance(whole, SparseMinusRankOne)
    assert whole.sparse.nnz == counts.nnz


@pytest.mark.parametrize("name", NAMES)
def test_a_customer_without_items_is_at_the_origin(counts, name):
    assert np.all(weighted(counts, name)[7] == 0)


@pytest.mark.parametrize("name", NAMES)
def test_an_item_nobody_had_is_finite_in_a_new_customer(counts, name):
    new = sp.csr_array(np.ones((1, 25)))
    assert np.all(np.isfinite(weighted(new, name, fitted_to=counts)))


@pytest.mark.parametrize("name", NAMES)
def test_a_matrix_without_entries_stays_zero(name):
    assert np.all(weighted(sp.csr_array((3, 4)), name) == 0)


@pytest.mark.parametrize("name", NAMES)
def test_new_customers_are_weighted_as_the_old_were(counts, name):
    whole = weighted(counts, name)
    assert np.allclose(weighted(counts[[4, 2]], name, fitted_to=counts), whole[[4, 2]], atol=1e-14)


@pytest.mark.parametrize("name", NAMES)
def test_rows_and_columns_may_be_moved(counts, name):
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(60), rng.permutation(25)
    moved = sp.csr_array(counts.toarray()[rows][:, columns])
    assert np.allclose(weighted(moved, name), weighted(counts, name)[rows][:, columns], atol=1e-12)


@pytest.mark.parametrize("name", COUNTS)
def test_negative_values_are_refused_with_a_way_out(name):
    X = sp.csr_array([[1.0, -2.0], [3.0, 1.0]])
    with pytest.raises(ChoiceError, match=f"1 negative value, which {name} cannot.*raw or l2"):
        fit_weighting(LocalEngine(1).blocks(X), name)


@pytest.mark.parametrize("name", ["raw", "l2"])
def test_negative_values_are_taken_where_they_make_sense(name):
    assert weighted(sp.csr_array([[3.0, -4.0]]), name)[0, 1] < 0


@pytest.mark.parametrize("name", NAMES)
def test_a_weighting_outlives_the_process(tmp_path, counts, name):
    weighting = fit_weighting(LocalEngine(1).blocks(counts), name)
    joblib.dump(weighting, tmp_path / "weighting.joblib")
    again = joblib.load(tmp_path / "weighting.joblib")
    assert np.array_equal(again.apply(counts).toarray(), weighting.apply(counts).toarray())


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 250), max_size=5, unique=True))
@pytest.mark.parametrize("name", ["raw", "tfidf"])
def test_blocks_do_not_matter(ratings, name, cuts):
    whole = weighted_blocks(LocalEngine(1).blocks(ratings), name)
    bounds = (0, *sorted(cuts), ratings.shape[0])
    assert np.array_equal(weighted_blocks(LocalBlocks(ratings, bounds, 2), name), whole)


@pytest.mark.parametrize("name", NAMES)
def test_applying_changes_no_input(counts, name):
    before = counts.data.copy()
    weighted(counts, name)
    assert np.array_equal(counts.data, before)
