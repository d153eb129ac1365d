"""Sparse minus rank one: every operation equals the dense one, through the whole recipe."""

import numpy as np
import pytest
import scipy.sparse as sp

from segcli.engine import LocalEngine
from segcli.engine.local import LocalBlocks
from segcli.engine.rank_one import SparseMinusRankOne
from segcli.engine.rows import row_range, squared_norms, stack, sum_groups, transposed_product
from segcli.engine.sparse_views import transpose_view
from segcli.numerics import pca
from segcli.numerics.assignment import assign
from segcli.numerics.kmeans import KMeansFit, refine
from segcli.numerics.pca import fit_pca, score
from segcli.numerics.segmentation import Segmentation
from segcli.numerics.weighting import fit_weighting, weigh

RNG = np.random.default_rng(5)


@pytest.fixture
def rows():
    """The last customer has nothing, and nobody has the last item."""
    S = sp.random_array((39, 14), density=0.2, rng=np.random.default_rng(1), format="csr")
    S.resize((40, 15))
    u, v = np.random.default_rng(2).random(40), np.random.default_rng(3).random(15)
    return SparseMinusRankOne(sp.csr_array(S), u, v)


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    rates = np.kron(np.eye(3), np.ones((30, 10))) * 2 + 0.3
    X = rng.poisson(rates * rng.gamma(1.0, 1.0, size=(90, 1))).astype(np.float64)
    X[4] = 0
    return sp.csr_array(X)


def close(a, b):
    return np.allclose(a, b, rtol=1e-9, atol=1e-11)


def test_by_hand():
    """[[3, 0], [0, 1]] less [1, 2]' [1, 1] is [[2, -1], [-2, -1]]."""
    X = SparseMinusRankOne(sp.csr_array([[3.0, 0.0], [0.0, 1.0]]), np.array([1.0, 2]), np.ones(2))
    assert X.toarray().tolist() == [[2, -1], [-2, -1]]
    assert X.squared_norms().tolist() == [5, 5]
    assert X.column_sums().tolist() == [0, -2]
    assert X.column_squares().tolist() == [8, 2]


def test_products(rows):
    dense, W, Y = rows.toarray(), RNG.random((15, 4)), RNG.random((40, 3))
    assert close(rows @ W, dense @ W)
    assert close(transposed_product(rows, Y), dense.T @ Y)
    assert rows.shape == dense.shape


def test_sums_and_norms(rows):
    dense = rows.toarray()
    members, ends = np.array([3, 8, 0, 39, 3]), np.array([0, 2, 2, 5, 5])
    none = np.zeros(15)
    by_hand = np.stack([dense[[3, 8]].sum(axis=0), none, dense[[0, 39, 3]].sum(axis=0), none])
    for X in (rows, sp.csr_array(dense), dense):
        assert close(sum_groups(X, members, ends), by_hand)
    assert close(squared_norms(rows), (dense**2).sum(axis=1))
    assert close(rows.column_sums(), dense.sum(axis=0))
    assert close(rows.column_squares(), (dense**2).sum(axis=0))


def test_no_square_is_less_than_nothing():
    """Of rows that are as expected rounding is left."""
    u, v = np.split(np.random.default_rng(0).random(55), [40])
    nothing = SparseMinusRankOne(sp.csr_array(np.outer(u, v)), u, v)
    for squares in (nothing.squared_norms(), nothing.column_squares()):
        assert squares.min() >= 0
        assert squares.max() < 1e-14


@pytest.mark.parametrize(
    "which", [slice(3, 9), slice(0, 0), np.array([5, 1, 5]), np.arange(40) % 3 == 0]
)
def test_rows_are_picked_as_numpy_picks_them(rows, which):
    assert np.array_equal(rows[which].toarray(), rows.toarray()[which])


@pytest.mark.parametrize("form", [SparseMinusRankOne, sp.csr_array, np.ndarray])
@pytest.mark.parametrize(("start", "stop"), [(0, 40), (3, 9), (7, 7), (38, 40), (39, 40)])
def test_a_range_of_rows_is_a_view_of_them(rows, form, start, stop):
    X = {SparseMinusRankOne: rows, sp.csr_array: rows.sparse, np.ndarray: rows.toarray()}[form]
    part = row_range(X, start, stop)
    assert type(part) is form
    if form is not np.ndarray:
        assert np.array_equal(part.toarray(), X.toarray()[start:stop])
    else:
        assert np.array_equal(part, X[start:stop])
    if form is sp.csr_array and part.nnz:
        assert np.shares_memory(part.data, X.data)
        assert np.shares_memory(part.indices, X.indices)


@pytest.mark.parametrize("form", [SparseMinusRankOne, sp.csr_array])
def test_a_parts_transpose_is_a_view_too(rows, form):
    """Of a small part of a large matrix, where scipy's own would copy the entries."""
    part = row_range(rows if form is SparseMinusRankOne else rows.sparse, 3, 9)
    W = np.random.default_rng(1).standard_normal((6, 2))
    assert np.allclose(transposed_product(part, W), part.toarray().T @ W)
    if form is sp.csr_array:
        assert not np.shares_memory(part.T.data, part.data)
        assert np.shares_memory(transpose_view(part).data, part.data)
        assert np.shares_memory(transpose_view(part).indices, part.indices)


def test_parts_stack_to_the_whole(rows):
    assert np.array_equal(stack([rows[:7], rows[7:7], rows[7:]]).toarray(), rows.toarray())


def test_engine_cuts_and_stacks_it(rows):
    blocks = LocalEngine(2, block_entries=10).blocks(rows)
    assert blocks.shape == (40, 15)
    again = blocks.transform(lambda block: block.matrix)
    assert np.array_equal(again.take(np.arange(40)).toarray(), rows.toarray())
    many = LocalBlocks(rows, (0, 5, 20, 40), 2)
    (sums,) = many.map_sum(lambda block: (block.matrix.column_sums(),))
    assert close(sums, rows.toarray().sum(axis=0))


@pytest.mark.parametrize("name", ["pearson", "tfidf", "l2"])
def test_a_weighted_matrix_shares_where_its_entries_are(name):
    counts = sp.random_array((50, 15), density=0.3, rng=np.random.default_rng(2), format="csr")
    counts = sp.csr_array(sp.vstack([sp.csr_array((9, 15)), counts, sp.csr_array((9, 15))]))
    weighting = fit_weighting(LocalEngine(1).blocks(counts), name)
    whole = weighting.apply(counts)
    blocks = LocalBlocks(counts, (0, 4, 9, 30, 31, 60, 68), 2)  # the first and last hold no entries
    weighted = weigh(blocks, weighting).matrix
    assert np.array_equal(weighted.toarray(), whole.toarray())
    single = weigh(blocks, weighting).transform(pca._to_single_precision, 0.5).matrix
    assert np.allclose(single.toarray(), 2 * whole.toarray(), atol=1e-5)
    for made, precision in ((weighted, np.float64), (single, np.float32)):
        sparse = getattr(made, "sparse", made)
        assert sparse.dtype == precision
        assert np.shares_memory(sparse.indices, counts.indices)
        assert not np.shares_memory(sparse.data, counts.data)


def fitted(counts, n_components=5):
    blocks = LocalEngine(1).blocks(counts)
    weighting = fit_weighting(blocks, "pearson")
    weighted = weigh(blocks, weighting)
    return weighted, fit_pca(
        weighted, weighting, n_components, item_ranks=np.arange(counts.shape[1]), seed=0
    )


@pytest.mark.parametrize(
    ("name", "value"), [("_MOST_SPARSE", 1), ("_MOST_SPARSE", 0), ("MOST_DIRECT", 0)]
)
@pytest.mark.parametrize("n_customers", [90, 20, 10])
def test_pca_and_scores_are_those_of_the_dense_matrix(
    monkeypatch, counts, name, value, n_customers
):
    """By products of sparse or dense columns, or rows, or the iteration: the same components."""
    monkeypatch.setattr(pca, name, value)
    counts = counts[np.arange(90) % (90 // n_customers) == 0][:n_customers]
    weighted, model = fitted(counts)
    dense = weighted.take(np.arange(len(counts.indptr) - 1)).toarray()
    centred = dense - dense.mean(axis=0)
    U, s, _ = np.linalg.svd(centred, full_matrices=False)
    assert close(model.mean, dense.mean(axis=0))
    ratios = s**2 / (s**2).sum()
    assert np.allclose(model.explained_variance_ratio, ratios[:5], atol=1e-9)
    signs = np.sign((score(weighted, model) * U[:, :5]).sum(axis=0))
    assert np.allclose(score(weighted, model) * signs, U[:, :5] * s[:5], atol=1e-6)
    assert np.allclose(model.loadings @ model.loadings.T, np.eye(5), atol=1e-10)
    assert np.allclose(score(weighted, model), centred @ model.loadings.T, atol=1e-9)


def test_assignment_is_that_of_the_dense_matrix(rows):
    centers = RNG.normal(size=(4, 15))
    labels, distances = assign(rows, centers)
    expected = np.linalg.norm(rows.toarray()[:, None] - centers, axis=2)
    assert np.array_equal(labels, expected.argmin(axis=1))
    assert np.allclose(distances, expected.min(axis=1), atol=1e-9)


@pytest.mark.parametrize("max_iterations", [0, 3, 50])
def test_refining_is_that_of_the_dense_matrix(rows, max_iterations):
    labels = np.arange(40) % 3
    start = [KMeansFit(np.zeros((3, 1)), labels, 0.0, 0, True)]
    fits = [
        refine(blocks, start, max_iterations=max_iterations)[0]
        for blocks in (
            LocalEngine(1).blocks(rows),
            LocalBlocks(rows, (0, 9, 30, 40), 2),
            LocalEngine(1).blocks(rows.toarray()),
        )
    ]
    for fit in fits:
        assert np.allclose(fit.centers, fits[2].centers, atol=1e-9)
        own = (assign(rows.toarray(), fit.centers)[1] ** 2).sum()
        assert np.isclose(fit.inertia, own, rtol=1e-9)


def test_new_customers_get_the_segment_of_their_dense_residuals(counts):
    weighted, model = fitted(counts)
    scores = score(weighted, model)
    centers = np.stack([scores[first : first + 30].mean(axis=0) for first in (0, 30, 60)])
    segmentation = Segmentation(tuple(str(i) for i in range(30)), model, centers)
    expected, _ = assign(scores, centers)
    assert np.array_equal(segmentation.predict(counts), expected)
    assert np.array_equal(segmentation.predict(counts[[50, 4]]), expected[[50, 4]])


def test_squared_norms_of_sparse_and_dense_rows(ratings):
    dense = ratings.toarray()
    assert squared_norms(dense).tolist() == (dense**2).sum(axis=1).tolist()
    assert squared_norms(ratings).tolist() == (dense**2).sum(axis=1).tolist()
