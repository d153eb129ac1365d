"""PCA without densifying, against scikit-learn's on the dense matrix."""

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn import decomposition

from segcli import progress
from segcli.engine import LocalEngine
from segcli.engine.local import LocalBlocks
from segcli.errors import ChoiceError
from segcli.numerics import pca as pca_module
from segcli.numerics.eigenpairs import TOLERANCE
from segcli.numerics.pca import (
    fit_pca,
    n_columns_held,
    n_components_limit,
    score,
)
from segcli.numerics.ranks import rank
from segcli.numerics.weighting import fit_weighting, weigh


@pytest.fixture(
    params=[
        {"_MOST_SPARSE": 1},
        {"_MOST_SPARSE": 0, "_DENSE_ROWS": 7},
        {"MOST_DIRECT": 0, "_MANY_MORE_ITEMS": np.inf},
        {"MOST_DIRECT": 0, "_MANY_MORE_ITEMS": 0},
    ],
    ids=["of sparse columns", "of dense columns", "iterated among items", "among customers"],
)
def _every_way(request, monkeypatch):
    """Small matrices are solved outright, of sparse or dense columns: all must hold for iterations too."""
    for name, value in request.param.items():
        monkeypatch.setattr(pca_module, name, value)


def pca_and_scores(blocks, n_components, *, seed=0, name="raw"):
    weighting = fit_weighting(blocks, name)
    weighted = weigh(blocks, weighting)
    ranks = rank(blocks).items
    pca = fit_pca(weighted, weighting, n_components, item_ranks=ranks, seed=seed)
    return pca, score(weighted, pca)


def of(dense, n_components, **choices):
    return pca_and_scores(LocalEngine(1).blocks(sp.csr_array(dense)), n_components, **choices)


def oracle(dense, n_components):
    """scikit-learn's ratios, loadings and scores, with our sign: the greatest entry positive."""
    full = decomposition.PCA(n_components, svd_solver="full").fit(dense)
    peaks = np.abs(full.components_).argmax(axis=1)
    signs = np.sign(full.components_[np.arange(n_components), peaks])
    loadings = full.components_ * signs[:, None]
    return full, loadings, full.transform(dense) * signs


def sparse_like(n_customers, n_items, seed=0):
    rng = np.random.default_rng(seed)
    have = rng.random((n_customers, n_items)) < 0.4
    return np.where(have, rng.gamma(2, 2, have.shape), 0)


@pytest.mark.parametrize(
    ("n_customers", "n_items", "n_components"),
    [(80, 25, 10), (25, 80, 10), (40, 40, 12), (200, 3, 3), (6, 90, 5), (30, 12, 12), (2, 5, 1)],
)
@pytest.mark.usefixtures("_every_way")
def test_equals_scikit_learn(n_customers, n_items, n_components):
    dense = sparse_like(n_customers, n_items)
    assert n_components <= n_components_limit(n_customers, n_items)
    pca, scores = of(dense, n_components)
    full, loadings, expected_scores = oracle(dense, n_components)
    ratios = full.explained_variance_ratio_
    assert np.allclose(pca.explained_variance_ratio, ratios, rtol=0, atol=1e-9)
    assert np.allclose(pca.explained_variance, full.explained_variance_, rtol=1e-8)
    assert np.allclose(pca.loadings, loadings, rtol=0, atol=1e-6)
    assert np.allclose(scores, expected_scores, rtol=0, atol=1e-5)
    assert np.allclose(pca.mean, full.mean_, rtol=1e-12, atol=1e-14)
    assert pca.total_variance == pytest.approx(dense.var(axis=0, ddof=1).sum(), rel=1e-10)


@pytest.mark.usefixtures("_every_way")
def test_equals_scikit_learn_on_weighted_values(engine, ratings):
    pca, scores = pca_and_scores(engine.blocks(ratings), 8, name="tfidf")
    dense = pca.weighting.apply(ratings).toarray()
    full, loadings, expected_scores = oracle(dense, 8)
    ratios = full.explained_variance_ratio_
    assert np.allclose(pca.explained_variance_ratio, ratios, rtol=0, atol=1e-9)
    assert np.allclose(pca.loadings, loadings, rtol=0, atol=1e-6)
    assert np.allclose(scores, expected_scores, rtol=0, atol=1e-6)


@pytest.mark.usefixtures("_every_way")
def test_what_a_pca_is(engine, ratings):
    pca, scores = pca_and_scores(engine.blocks(ratings), 7)
    assert np.allclose(pca.loadings @ pca.loadings.T, np.eye(7), atol=1e-12)
    peaks = pca.loadings[np.arange(7), np.abs(pca.loadings).argmax(axis=1)]
    assert np.all(peaks > 0)
    assert np.all(np.diff(pca.explained_variance) <= 0)
    assert np.allclose(scores.mean(axis=0), 0, atol=1e-10)
    covariance = np.diag(pca.explained_variance)
    assert np.allclose(np.cov(scores.T), covariance, atol=1e-7)
    assert (pca.n_components, pca.n_customers) == (7, ratings.shape[0])


@pytest.mark.usefixtures("_every_way")
def test_all_components_hold_all_the_variance(ratings):
    n_items = ratings.shape[1]
    pca, _ = of(ratings, n_items)
    assert pca.n_components == n_items
    assert pca.explained_variance_ratio.sum() == pytest.approx(1, abs=1e-9)
    assert pca.holds_all


@pytest.mark.usefixtures("_every_way")
def test_project_gives_the_scores_from_unweighted_rows(engine, ratings):
    pca, scores = pca_and_scores(engine.blocks(ratings), 5, name="tfidf")
    assert np.allclose(pca.project(ratings), scores, atol=1e-12)
    assert np.allclose(pca.project(ratings[[3, 1]]), scores[[3, 1]], atol=1e-12)


@pytest.mark.usefixtures("_every_way")
def test_first_cuts_and_refuses_more_than_there_are(ratings):
    pca, scores = of(ratings, 6)
    cut = pca.first(2)
    assert (cut.n_components, cut.total_variance) == (2, pca.total_variance)
    assert np.allclose(cut.project(ratings), scores[:, :2], atol=1e-12)
    with pytest.raises(ChoiceError, match=r"7 components.*holds 6"):
        pca.first(7)


@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # the same for all examples
)
@given(cuts=st.lists(st.integers(1, 250), max_size=6, unique=True))
@pytest.mark.usefixtures("_every_way")
def test_blocks_do_not_matter(ratings, cuts):
    bounds = (0, *sorted(cuts), ratings.shape[0])
    pca, scores = pca_and_scores(LocalBlocks(ratings, bounds, 1), 4)
    whole, whole_scores = of(ratings, 4)
    assert np.allclose(pca.explained_variance, whole.explained_variance, rtol=1e-9)
    assert np.allclose(pca.loadings, whole.loadings, atol=1e-6)
    assert np.allclose(scores, whole_scores, atol=1e-5)


@pytest.mark.usefixtures("_every_way")
def test_blocks_of_customers_without_anything_count(ratings):
    X = sp.csr_array(sp.vstack([sp.csr_array((8, ratings.shape[1])), ratings]))
    blocks = LocalBlocks(X, (0, 2, 4, 6, 8, 100, X.shape[0]), 1)
    found, expected = pca_and_scores(blocks, 4)[0], of(X, 4)[0]
    assert np.allclose(found.explained_variance, expected.explained_variance, rtol=1e-9)
    assert np.allclose(found.mean, ratings.sum(axis=0) / X.shape[0])


@pytest.mark.usefixtures("_every_way")
def test_threads_change_no_bit(ratings):
    found = [pca_and_scores(LocalEngine(n, block_entries=64).blocks(ratings), 5) for n in (1, 2, 2)]
    for (one, one_scores), (two, two_scores) in pairwise(found):
        assert one.loadings.tobytes() == two.loadings.tobytes()
        assert one.explained_variance.tobytes() == two.explained_variance.tobytes()
        assert one_scores.tobytes() == two_scores.tobytes()


@pytest.mark.usefixtures("_every_way")
def test_the_seed_does_not_show(ratings):
    one, two = (of(ratings, 5, seed=seed)[0] for seed in (0, 1))
    assert np.allclose(one.explained_variance, two.explained_variance, rtol=1e-9)
    assert np.allclose(one.loadings, two.loadings, atol=1e-6)


@pytest.mark.parametrize("name", ["raw", "tfidf"])
@pytest.mark.usefixtures("_every_way")
def test_renamed_customers_and_items_give_the_same_components(ratings, name):
    rng = np.random.default_rng(3)
    rows, columns = rng.permutation(ratings.shape[0]), rng.permutation(ratings.shape[1])
    before, before_scores = of(ratings, 4, name=name)
    after, after_scores = of(ratings.toarray()[rows][:, columns], 4, name=name)
    assert np.allclose(after.explained_variance, before.explained_variance, rtol=1e-9)
    assert np.allclose(after.loadings, before.loadings[:, columns], atol=1e-6)
    assert np.allclose(after_scores, before_scores[rows], atol=1e-5)


@pytest.mark.parametrize("shape", [(50, 20), (20, 50)])
@pytest.mark.usefixtures("_every_way")
def test_a_matrix_of_rank_three_has_three_components(shape):
    rng = np.random.default_rng(0)
    dense = rng.integers(0, 3, (shape[0], 3)) @ rng.integers(0, 3, (3, shape[1])).astype(float)
    pca, scores = of(dense, 10)
    assert pca.n_components == np.linalg.matrix_rank(dense - dense.mean(axis=0)) == 3
    assert pca.holds_all
    assert pca.explained_variance_ratio.sum() == pytest.approx(1, abs=1e-9)
    full = decomposition.PCA(3, svd_solver="full").fit(dense)
    assert np.allclose(pca.explained_variance_ratio, full.explained_variance_ratio_, atol=1e-9)
    assert scores.shape == (shape[0], 3)


@pytest.mark.usefixtures("_every_way")
def test_items_that_nobody_has_or_everybody_has_alike_bear_no_loading():
    dense = sparse_like(40, 6)
    dense[:, 2], dense[:, 4] = 0, 3.3
    pca, _ = of(dense, 4)
    assert np.allclose(pca.loadings[:, [2, 4]], 0, atol=1e-9)


@pytest.mark.parametrize("row", [[1.0, 0, 2], [0.1, 0.7, 0], [0, 0, 0]])
@pytest.mark.parametrize("n_customers", [2, 7, 1000])
@pytest.mark.usefixtures("_every_way")
def test_customers_all_alike_are_refused(row, n_customers):
    with pytest.raises(ChoiceError, match="all customers have the same values"):
        of(np.tile(row, (n_customers, 1)), 1)


@pytest.mark.usefixtures("_every_way")
def test_customers_who_differ_by_less_than_can_be_told_are_refused_as_such():
    dense = sparse_like(40, 6)
    dense[:, 2] = 1e8
    with pytest.raises(ChoiceError, match="or differ by less than a millionth of them"):
        of(dense, 1)


@pytest.mark.parametrize("scale", [1e-60, 1e-9, 1e-3, 1e6, 1e60])
@pytest.mark.usefixtures("_every_way")
def test_the_unit_of_the_values_does_not_matter(ratings, scale):
    one, two = of(ratings, 5)[0], of(ratings * scale, 5)[0]
    assert np.allclose(two.explained_variance_ratio, one.explained_variance_ratio, atol=1e-9)
    assert np.allclose(two.loadings, one.loadings, atol=1e-6)


@pytest.mark.parametrize("shape", [(300, 12), (12, 300)])
def test_variance_that_is_small_beside_the_mean_is_right(shape):
    """All have all items, and nearly alike: what is computed must be centred first, not last."""
    dense = 1e5 + np.random.default_rng(0).normal(size=shape) * np.arange(1, shape[1] + 1)
    pca, _ = of(dense, 5)
    full = decomposition.PCA(5, svd_solver="full").fit(dense)
    assert np.allclose(pca.explained_variance, full.explained_variance_, rtol=1e-9)
    assert np.allclose(np.abs(pca.loadings @ full.components_.T), np.eye(5), atol=1e-6)


@pytest.mark.parametrize("name", ["raw", "pearson"])
@pytest.mark.parametrize("shape", [(30, 6), (6, 30)])
def test_all_components_hold_all_variance_however_small_beside_the_mean(shape, name):
    dense = 1000 * (1 + 1e-5 * np.random.default_rng(0).normal(size=shape))
    limit = n_components_limit(*shape) - (name == "pearson" and shape[1] == 6)
    pca, _ = of(dense, limit, name=name)
    assert pca.explained_variance_ratio.sum() == pytest.approx(1, abs=1e-9)
    assert pca.holds_all


def test_to_be_exact_only_what_nearly_all_have_is_made_dense(monkeypatch):
    """One item outweighs all others, which may be a million, had by few."""
    made, rows = [], pca_module._dense_rows
    monkeypatch.setattr(
        pca_module, "_dense_rows", lambda *parts: made.append(parts[0].shape[1]) or rows(*parts)
    )
    rng = np.random.default_rng(0)
    sparse = (rng.random((2000, 1100)) < 0.01).astype(float)
    dense = np.column_stack([sparse, np.full(2000, 1e4) + rng.normal(size=2000)])
    pca, _ = of(dense, 2)
    assert made == [1]
    assert pca.total_variance == pytest.approx(dense.var(axis=0, ddof=1).sum(), rel=1e-10)


def test_the_limit_is_one_less_than_the_customers():
    assert n_components_limit(10, 50) == 9
    assert n_components_limit(50, 10) == 10


# many customers and items: in single precision first


def with_large_item(n_customers, n_items, factor, seed=0):
    """Return planted tastes; the values of one item are ``factor`` times as large as others."""
    rng = np.random.default_rng(seed)
    X = sp.random_array((n_customers, n_items), density=0.03, rng=rng, format="csr") * 5
    groups = rng.integers(0, 12, n_customers)
    X.data *= 1 + 2 * (X.indices % 12 == np.repeat(groups, np.diff(X.indptr)))
    X.data[X.indices == 0] *= factor
    return sp.csr_array(X)


@pytest.mark.parametrize("factor", [1, 30, 1e2, 1e3, 1e5])
@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("shape", [(1300, 1100), (1100, 4400)])
def test_eigenvalues_far_apart_are_right_too(factor, seed, shape):
    """The large item's variance is up to a billion times the others', beyond single precision."""
    X = with_large_item(*shape, factor, seed)
    pca, _ = of(X, 20, seed=seed)
    dense = X.toarray()
    singular = np.linalg.svd(dense - dense.mean(axis=0), compute_uv=False)[:20]
    assert np.allclose(pca.explained_variance, singular**2 / (shape[0] - 1), rtol=TOLERANCE, atol=0)
    assert np.allclose(pca.loadings @ pca.loadings.T, np.eye(20), atol=1e-12)


def test_where_single_precision_does_not_converge_double_does(monkeypatch):
    X = with_large_item(1300, 1100, 1)
    expected, _ = of(X, 8)

    def give_up(*_):
        msg = "no convergence"
        raise ChoiceError(msg)

    monkeypatch.setattr(pca_module, "_single_precision_vectors", give_up)
    pca, _ = of(X, 8)
    assert np.allclose(pca.explained_variance, expected.explained_variance, rtol=2e-6)


def test_where_single_precision_makes_no_way_double_takes_over_soon():
    """Twenty items' values are so large that the other components drown in their rounding."""
    X = sp.random_array((1300, 1100), density=0.03, rng=np.random.default_rng(0), format="csr")
    X = sp.csr_array(X @ sp.diags_array(np.where(np.arange(1100) < 20, 1e5, 1.0)))
    n_passes = 0

    def count(*_):
        nonlocal n_passes
        n_passes += 1

    with progress.listening(count):
        pca, _ = of(X, 50)
    dense = X.toarray()
    singular = np.linalg.svd(dense - dense.mean(axis=0), compute_uv=False)[:50]
    assert np.allclose(pca.explained_variance, singular**2 / 1299, rtol=TOLERANCE, atol=0)
    assert 0 < n_passes < 400


@pytest.mark.parametrize("factor", [1, 1e4], ids=["single precision does", "all in double"])
@pytest.mark.parametrize("n_components", [5, 40])
@pytest.mark.parametrize("among", ["items", "customers"])
def test_no_more_columns_are_held_than_told(monkeypatch, factor, n_components, among):
    """So few entries that the matrix counts for little, and a bound that is no idle one."""
    monkeypatch.setattr(pca_module, "_MANY_MORE_ITEMS", np.inf if among == "items" else 0)
    X = with_large_item(1100, 12_000, factor)
    X.data[np.random.default_rng(1).random(X.nnz) < 0.8] = 0
    X.eliminate_zeros()
    blocks = LocalEngine(1).blocks(X)
    weighting, ranks = fit_weighting(blocks, "raw"), rank(blocks).items
    tracemalloc.start()
    try:
        fit_pca(blocks, weighting, n_components, item_ranks=ranks, seed=0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    told = n_columns_held(n_components) * X.shape[1] * 8
    assert peak <= told
    if among == "items":
        assert peak > 0.7 * told


# eigenpairs


# MovieLens 100K: what the recipe of 2015 gave


@pytest.mark.usefixtures("_every_way")
def test_the_ratios_of_2015(ml100k):
    pca, _ = of(ml100k, 10)
    ratios = pca.explained_variance_ratio
    assert np.allclose(ratios[:5], [0.1691, 0.0476, 0.0315, 0.0223, 0.0216], rtol=0, atol=1e-4)
    assert ratios.sum() == pytest.approx(0.353, abs=1e-3)


@pytest.mark.usefixtures("_every_way")
def test_equals_scikit_learn_on_movielens(ml100k):
    pca, _ = of(ml100k, 10)
    full, loadings, _ = oracle(ml100k.toarray(), 10)
    ratios = full.explained_variance_ratio_
    assert np.allclose(pca.explained_variance_ratio, ratios, rtol=TOLERANCE, atol=0)
    assert np.allclose(pca.loadings, loadings, rtol=0, atol=1e-4)


@pytest.mark.parametrize("n_customers", [2, 5, 7, 25])
def test_equal_customers_are_nothing_to_segment_whatever_rounding_leaves(n_customers):
    """Pearson residuals of equal rows are rounding."""
    rows = np.tile([1.0, 3, 2, 5, 0, 7, 1], (n_customers, 1))
    with pytest.raises(ChoiceError, match="nothing to segment"):
        of(rows, 1, name="pearson")


def test_pca_says_whether_it_holds_all_there_is():
    rng = np.random.default_rng(0)
    dense = rng.random((30, 3)) @ rng.random((3, 8))
    assert not of(dense, 2)[0].holds_all
    assert of(dense, 3)[0].holds_all
    with pytest.raises(ChoiceError, match=r"Choose at most 3: beyond, these data have no variance"):
        of(dense, 3)[0].first(4)
    with pytest.raises(ChoiceError, match=r"--max-components 4"):
        of(dense, 2)[0].first(4)
