"""k-means by hand, by relation, and against scikit-learn's."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
from conftest import ML100K
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.cluster import KMeans

from segcli.engine import LocalEngine
from segcli.engine.local import LocalBlocks
from segcli.errors import ChoiceError
from segcli.inputs.form import Form
from segcli.numerics import assignment, kmeans, kmeans_search
from segcli.numerics.assignment import assign
from segcli.numerics.kmeans import (
    KMeansFit,
    Run,
    fit_all,
    measure_inertias,
    n_distinct,
    refine,
    refit,
)
from segcli.numerics.partition import TOLERANCE
from segcli.numerics.pca import fit_pca, score
from segcli.numerics.ranks import rank
from segcli.numerics.weighting import fit_weighting, weigh
from segcli.stages import explore_k, explore_pca, ingest


def fit(X, k, *, ranks=None, engine=None, seed=0, **choices):
    ranks = np.arange(len(X)) if ranks is None else ranks
    blocks = (engine or LocalEngine(1)).blocks(np.ascontiguousarray(X, dtype=np.float64))
    return fit_all(blocks, [k], customer_ranks=ranks, seed=seed, **choices)[0]


def scores_of(matrix, n_components=5, name="raw"):
    """The scores of a sparse matrix's customers, and their ranks."""
    blocks = LocalEngine(1).blocks(matrix)
    ranks = rank(blocks)
    weighting = fit_weighting(blocks, name)
    weighted = weigh(blocks, weighting)
    pca = fit_pca(weighted, weighting, n_components, item_ranks=ranks.items, seed=0)
    return score(weighted, pca), ranks.customers


def residuals(matrix):
    return fit_weighting(LocalEngine(1).blocks(matrix), "pearson").apply(matrix)


def blobs(sizes=(60, 40, 25, 15), seed=0):
    """Points about centers 100 apart, and the label of each; the largest first."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(sizes)), sizes)
    centers = 100.0 * np.eye(len(sizes), 4)
    X = centers[labels] + rng.standard_normal((len(labels), 4))
    order = rng.permutation(len(labels))
    return X[order], labels[order]


def inertia_of(X, labels):
    """The definition: squared distances to the mean of one's own segment."""
    return sum(
        ((X[labels == label] - X[labels == label].mean(axis=0)) ** 2).sum()
        for label in np.unique(labels)
    )


def heavy_tailed(n=4_000):
    """Most customers near the origin, a few far out."""
    rng = np.random.default_rng(3)
    return rng.standard_normal((n, 3)) * rng.pareto(1.5, n)[:, None]


def lloyd_by_scikit_learn(X, centers):
    start = np.ascontiguousarray(centers)
    return KMeans(len(centers), init=start, n_init=1, tol=0, algorithm="lloyd").fit(X)


# by hand


def test_four_points(engine):
    """Three near (0, 1/3), one at (10, 0): squares 1/9 + 1/9 + 4/9 about their mean."""
    X = np.array([[10.0, 0], [0, 0], [0, 1], [0, 0]])
    found = fit(X, 2, engine=engine)
    assert found.labels.tolist() == [1, 0, 0, 0]
    assert np.allclose(found.centers, [[0, 1 / 3], [10, 0]], atol=1e-12)
    assert found.inertia == pytest.approx(6 / 9)
    assert found.sizes.tolist() == [3, 1]
    assert found.k == 2
    assert found.converged


def test_one_segment_is_the_mean():
    X = np.array([[0.0, 0], [2, 0], [4, 6]])
    found = fit(X, 1)
    assert np.allclose(found.centers, [[2, 2]])
    assert found.inertia == pytest.approx(8 + 4 + 20)
    assert found.labels.tolist() == [0, 0, 0]


def test_as_many_segments_as_customers():
    X = np.array([[0.0], [1], [5], [9]])
    found = fit(X, 4, ranks=np.array([2, 0, 3, 1]))
    assert found.inertia == 0
    assert found.labels.tolist() == [2, 0, 3, 1]  # all of one size: numbered by rank


def test_label_zero_is_the_largest_segment():
    X, truth = blobs()
    found = fit(X, 4)
    assert found.sizes.tolist() == [60, 40, 25, 15]
    assert found.labels.tolist() == truth.tolist()


def test_segments_of_equal_size_are_numbered_by_their_first_customer_in_rank():
    X = np.array([[0.0], [0.1], [50], [50.1], [90], [90.1]])
    ranks = np.array([3, 5, 4, 0, 1, 2])
    assert fit(X, 3, ranks=ranks).labels.tolist() == [2, 2, 0, 0, 1, 1]


# what a fit is


@pytest.mark.parametrize("k", [1, 2, 5, 12])
def test_a_fit_is_a_fixed_point_and_its_inertia_the_definition(engine, ratings, k):
    X, ranks = scores_of(ratings)
    found = fit(X, k, ranks=ranks, engine=engine)
    assert found.converged
    assert found.inertia == pytest.approx(inertia_of(X, found.labels), rel=1e-9)
    means = np.stack([X[found.labels == label].mean(axis=0) for label in range(k)])
    assert np.allclose(found.centers, means, atol=1e-5)
    nearest = ((X[:, None] - found.centers) ** 2).sum(axis=2).argmin(axis=1)
    assert found.labels.tolist() == nearest.tolist()
    assert np.all(np.diff(found.sizes) <= 0)
    assert found.sizes.min() > 0


@pytest.mark.parametrize("k", [2, 5, 12])
def test_scikit_learn_started_from_our_centers_stays_there(ratings, k):
    X, ranks = scores_of(ratings)
    found = fit(X, k, ranks=ranks)
    oracle = lloyd_by_scikit_learn(X, found.centers)
    assert found.inertia == pytest.approx(oracle.inertia_, rel=1e-9)
    assert found.labels.tolist() == oracle.labels_.tolist()


@pytest.mark.parametrize("name", ["raw", "tfidf"])
def test_inertia_never_rises_with_k(engine, ratings, name):
    X, ranks = scores_of(ratings, name=name)
    ks = [1, 2, 3, 4, 5, 7, 8, 15, 16, 40, 41, 42]
    for n_starts in (1, 3):
        fits = fit_all(engine.blocks(X), ks, customer_ranks=ranks, seed=0, n_starts=n_starts)
        inertias = np.array([found.inertia for found in fits])
        assert [found.k for found in fits] == ks
        assert np.all(inertias[1:] <= inertias[:-1] * (1 + 1e-12))


def test_a_partition_worse_than_one_of_fewer_segments_is_made_of_that(engine, monkeypatch):
    """Three centers in one blob and one for the others, where three have been found for as many."""
    X, truth = blobs()
    means = np.stack([X[truth == label].mean(axis=0) for label in range(4)])
    stuck = np.vstack([X[truth == 0][:3], means[1:].mean(axis=0)])
    found = [X.mean(axis=0)[None], means[:3], stuck]
    for along in (True, False):
        name = "search_fixed_path" if along else "search"
        monkeypatch.setattr(kmeans, name, lambda *_: found)
        choices = {"seed": 0, "along_fixed_path": along}
        fits = fit_all(engine.blocks(X), [1, 3, 4], customer_ranks=np.arange(len(X)), **choices)
        assert fits[2].labels.tolist() == truth.tolist()
        assert fits[2].inertia == pytest.approx(inertia_of(X, truth), rel=1e-9)
        assert [fit.k for fit in fits] == [1, 3, 4]


def test_one_k_alone_or_among_many_is_the_same(ratings):
    """Unless the smaller k's centers give a better start, which many starts make rare."""
    X, ranks = scores_of(ratings)
    among = fit_all(LocalEngine(1).blocks(X), [2, 4, 6], customer_ranks=ranks, seed=0)
    for found in among:
        alone = fit(X, found.k, ranks=ranks)
        assert found.labels.tolist() == alone.labels.tolist()
        assert found.inertia == alone.inertia


def test_more_starts_are_never_worse(ratings):
    X, ranks = scores_of(ratings)
    few, many = (fit(X, 8, ranks=ranks, n_starts=n) for n in (2, 10))
    assert many.inertia <= few.inertia


# by relation


@pytest.mark.parametrize("name", ["raw", "tfidf"])
@pytest.mark.parametrize("k", [3, 8])
def test_shuffled_rows_give_the_same_segments(ratings, name, k):
    X, ranks = scores_of(ratings, name=name)
    move = np.random.default_rng(1).permutation(len(X))
    before, after = fit(X, k, ranks=ranks), fit(X[move], k, ranks=ranks[move])
    assert after.labels.tolist() == before.labels[move].tolist()
    assert after.inertia == pytest.approx(before.inertia, rel=1e-12)


@pytest.mark.parametrize("name", ["raw", "tfidf"])
@pytest.mark.parametrize("k", [3, 8])
@pytest.mark.parametrize("seed", [0, 1])
def test_renamed_customers_and_items_give_the_same_segments(ratings, name, k, seed):
    """Renaming moves rows and columns; the ranks come from the moved matrix itself."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(ratings.shape[0]), rng.permutation(ratings.shape[1])
    X, ranks = scores_of(ratings, name=name)
    before = fit(X, k, ranks=ranks, seed=seed)
    X, ranks = scores_of(sp.csr_array(ratings.toarray()[rows][:, columns]), name=name)
    after = fit(X, k, ranks=ranks, seed=seed)
    assert after.labels.tolist() == before.labels[rows].tolist()


@settings(max_examples=15, deadline=None)
@given(cuts=st.lists(st.integers(1, 139), max_size=6, unique=True))
def test_blocks_do_not_matter(cuts):
    X, truth = blobs()
    blocks = LocalBlocks(X, (0, *sorted(cuts), len(X)), 1)
    (found,) = fit_all(blocks, [4], customer_ranks=np.arange(len(X)), seed=0)
    assert found.labels.tolist() == truth.tolist()
    assert found.inertia == pytest.approx(inertia_of(X, truth), rel=1e-12)


def test_threads_change_no_bit(ratings):
    X, ranks = scores_of(ratings)
    one, two = (fit(X, 6, ranks=ranks, engine=LocalEngine(n, block_entries=64)) for n in (1, 2))
    assert one.centers.tobytes() == two.centers.tobytes()
    assert one.labels.tolist() == two.labels.tolist()
    assert one.inertia == two.inertia


def test_duplicated_customers_have_the_same_centers():
    X, truth = blobs()
    once, twice = fit(X, 4), fit(np.vstack([X, X]), 4)
    assert np.allclose(twice.centers, once.centers, atol=1e-9)
    assert twice.labels.tolist() == [*truth, *truth]
    assert twice.inertia == pytest.approx(2 * once.inertia, rel=1e-9)


@pytest.mark.parametrize("scale", [1e-9, 1e6])
def test_the_unit_of_the_scores_does_not_matter(ratings, scale):
    X, ranks = scores_of(ratings)
    one, two = fit(X, 6, ranks=ranks), fit(X * scale, 6, ranks=ranks)
    assert two.labels.tolist() == one.labels.tolist()
    assert two.inertia == pytest.approx(one.inertia * scale**2, rel=1e-9)


def test_where_the_origin_is_does_not_matter():
    X, truth = blobs()
    assert fit(X + 1e4, 4).labels.tolist() == truth.tolist()


def test_the_seed_decides_and_nothing_else():
    X = np.random.default_rng(0).standard_normal((200, 3))
    one, again, other = (fit(X, 12, seed=seed, n_starts=1) for seed in (0, 0, 1))
    assert one.labels.tolist() == again.labels.tolist()
    assert one.labels.tolist() != other.labels.tolist()


# a sample of the customers


def test_starts_that_compete_on_a_sample_find_the_blobs():
    X, truth = blobs((600, 300, 200, 100))
    found = fit(X, 4, sample_size=100)
    assert found.labels.tolist() == truth.tolist()
    assert found.inertia == pytest.approx(inertia_of(X, truth), rel=1e-12)


def test_a_sample_does_not_depend_on_the_order_of_rows(ratings):
    X, ranks = scores_of(ratings)
    move = np.random.default_rng(1).permutation(len(X))
    before = fit(X, 5, ranks=ranks, sample_size=60)
    after = fit(X[move], 5, ranks=ranks[move], sample_size=60)
    assert after.labels.tolist() == before.labels[move].tolist()
    oracle = lloyd_by_scikit_learn(X, before.centers)
    assert before.inertia == pytest.approx(oracle.inertia_, rel=1e-9)


def test_a_sample_and_the_search_in_it_depend_on_the_seed(monkeypatch):
    X, ranks = heavy_tailed(500), np.arange(500)
    start = [fit(X[:, :2], k, ranks=ranks) for k in (2, 5)]
    asked = []
    monkeypatch.setattr(
        kmeans, "is_overtaken", lambda sample, _, seed: asked.append((sample, seed))
    )

    def search(sample, *given):
        asked.append((sample, given[-1]))
        return [sample.rows[:3]]

    monkeypatch.setattr(kmeans, "search_fixed_path", search)
    monkeypatch.setattr(kmeans, "search", search)
    choices = {"customer_ranks": ranks, "sample_size": 50}
    for seed in (0, 0, 1):
        blocks = LocalEngine(1).blocks(X)
        refit(blocks, start, seed=seed, **choices)
        for along in (True, False):
            fit_all(blocks, [3], seed=seed, along_fixed_path=along, **choices)
    digests = np.reshape([sample.digest() for sample, _ in asked], (3, 3))
    assert np.array_equal(digests[0], digests[1])
    assert not np.any(digests[0] == digests[2])
    assert [seed for _, seed in asked] == [0] * 6 + [1] * 3


def test_of_very_many_customers_the_best_of_several_samples_goes_on(monkeypatch):
    """A start with two centers in one blob and one between two others stays so on all customers."""
    X, truth = blobs((600, 300, 200, 100))
    means = np.array([X[truth == label].mean(axis=0) for label in range(4)])
    poor = np.array([means[0] - 0.5, means[0] + 0.5, means[1], (means[2] + means[3]) / 2])
    given = []

    def search(sample, ks, *_):
        given.append(sample)
        return [means if len(given) == lucky else poor]

    monkeypatch.setattr(kmeans, "search_fixed_path", search)
    monkeypatch.setattr(kmeans, "VERY_MANY", len(X))
    for lucky in (1, 2, 3):
        given.clear()
        found = fit(X, 4, sample_size=100)
        assert found.labels.tolist() == truth.tolist(), lucky
    assert len({sample.digest() for sample in given}) == 3
    before, order = list(given), np.random.default_rng(4).permutation(len(X))
    given.clear()
    fit(X[order], 4, ranks=order, sample_size=100)
    for one, other in zip(before, given, strict=True):
        assert np.array_equal(one.rows, other.rows)
    monkeypatch.setattr(kmeans, "VERY_MANY", len(X) + 1)
    given.clear()
    assert fit(X, 4, sample_size=100).labels.tolist() != truth.tolist()
    assert [sample.digest() for sample in given] == [before[0].digest()]


def test_what_is_best_on_all_customers_is_taken_for_each_k():
    """Of two segments the second sample found the better ones, of four the first."""
    corners = np.array([[0.0, 0], [0, 10], [30, 0], [30, 10]])
    X = np.repeat(corners, 20, axis=0) + 0.1 * np.random.default_rng(0).random((80, 2))
    wide, flat = np.array([[0.0, 5], [30, 5]]), np.array([[15.0, 0], [15, 10]])
    uneven = np.array([[0.0, 5], [30, 0], [29.9, 10], [30.1, 10]])
    blocks = LocalEngine(1).blocks(X)
    best = kmeans._best_on_all(blocks, [[flat, corners], [wide, uneven]])
    assert best[0].centers is wide
    assert best[1].centers is corners
    (only,) = kmeans._best_on_all(blocks, [[flat]])
    assert only.centers is flat


def test_a_further_sample_in_which_too_few_differ_is_left_out(monkeypatch):
    """All but twenty are alike, and a sample of fifty does not have all of the twenty."""
    X = np.zeros((1_000, 1))
    X[-20:, 0] = 1 + 1e-3 * np.arange(20)
    monkeypatch.setattr(kmeans, "VERY_MANY", len(X))
    monkeypatch.setattr(kmeans, "FEW_DISTINCT", 1)
    blocks, ranks = LocalEngine(1).blocks(X), np.arange(len(X))
    _, *more = kmeans._samples(blocks, ranks, 50, 2, 0)
    assert len(more) == 2
    n_of = [len(np.unique(sample.rows)) for sample in more]
    most = max(n_of)
    assert len(kmeans._samples(blocks, ranks, 50, most + 1, 0)) == 1
    assert len(kmeans._samples(blocks, ranks, 50, most, 0)) == 1 + n_of.count(most)


@pytest.mark.parametrize("very_many", [500, 5_000], ids=["three samples", "one"])
def test_where_few_customers_differ_a_partition_does_not_depend_on_the_largest_k(
    monkeypatch, very_many
):
    """Of thirty near the mean there is one each; a sample has some, and fewer than the largest k."""
    rng = np.random.default_rng(5)
    distinct = rng.standard_normal((60, 3)) * np.repeat([1, 0.02], 30)[:, None]
    X = distinct[np.concatenate([np.arange(60), rng.integers(0, 30, 1_940)])]
    monkeypatch.setattr(kmeans, "VERY_MANY", very_many)
    blocks, ranks = LocalEngine(1).blocks(X), np.arange(len(X))
    sample = kmeans_search.draw(blocks, ranks, 100, np.random.default_rng([0, 2]))
    assert 12 < n_distinct(sample.rows, 50) < 50
    choices = {"customer_ranks": ranks, "seed": 0, "sample_size": 100}
    many = fit_all(blocks, range(2, 51), **choices)
    for largest in (4, 12):
        kmeans_search._FOUND.clear()
        few = fit_all(blocks, range(2, largest + 1), **choices)
        for one, other in zip(few, many, strict=False):
            assert one.labels.tolist() == other.labels.tolist(), one.k


# too few customers


@pytest.mark.parametrize("seed", [0, 1])
def test_distinct_customers_whom_a_sample_misses_are_found_all_the_same(seed):
    """Of 600 the sample has 100; 40 whom there is one of each lie near the mean, where few are drawn."""
    corners = np.repeat([[-100.0, 0], [100, 0], [0, 100], [0, -100]], 140, axis=0)
    X = np.vstack([corners, np.random.default_rng(seed).standard_normal((40, 2))])
    move = np.random.default_rng(7).permutation(600)
    sample, same = (
        kmeans._sample(LocalEngine(1).blocks(rows), ranks, 100, 40, seed)
        for rows, ranks in ((X, np.arange(600)), (X[move], move))
    )
    assert sample.weights.tolist() == [140] * 4 + [1] * 40
    assert sample.rows[:4].tolist() == corners[::140].tolist()
    assert sample.digest() == same.digest()
    choices = {"sample_size": 100, "seed": seed}
    found, moved = fit(X, 40, **choices), fit(X[move], 40, ranks=move, **choices)
    assert found.sizes.tolist()[:5] == [140, 140, 140, 140, 2]
    assert moved.labels.tolist() == found.labels[move].tolist()
    start, blocks = [partition(np.arange(600) % 40)], LocalEngine(1).blocks(X)
    (again,) = refit(blocks, start, customer_ranks=np.arange(600), **choices)
    assert again.sizes.min() > 0
    assert again.inertia == pytest.approx(found.inertia, rel=1e-6)
    with pytest.raises(ChoiceError, match="Only 44 distinct customers"):
        fit(X, 45, **choices)


@pytest.mark.parametrize("share", [1e-13, 1e-3], ids=["by rounding", "beside one far larger"])
def test_among_many_who_hardly_differ_no_more_than_a_sample_is_sought(share):
    X = np.repeat(np.eye(4), 150, axis=0) + share * np.random.default_rng(0).standard_normal(
        (600, 4)
    )
    if share > 1e-9:
        X[7] *= 1e12
    blocks = LocalEngine(1).blocks(X)
    sample = kmeans._sample(blocks, np.arange(600), 100, 40, 0)
    assert sample.rows.shape == (100, 4)


@pytest.mark.parametrize("scale", [1e-12, 1, 1e12])
def test_customers_are_distinct_if_they_differ_by_more_than_rounding(scale):
    """The last of a hundred is another."""
    X = np.repeat(np.array([[3.0, -7], [3, -7.1]]), [99, 1], axis=0) * scale
    X += 1e-12 * scale * np.random.default_rng(0).random(X.shape)
    assert n_distinct(X, 2) == n_distinct(X, 50) == 2
    assert n_distinct(X[:99], 2) == 1
    assert n_distinct(np.zeros((5, 2)), 3) == 1
    assert n_distinct(np.arange(30.0)[:, None], 4) >= 4
    assert n_distinct(-np.arange(30.0)[:, None], 30) == 30


def test_of_all_scores_there_is_no_copy(monkeypatch):
    """`cluster` has those of all customers at once."""
    monkeypatch.setattr(assignment, "_DISTANCES_AT_ONCE", 1 << 12)
    X = np.random.default_rng(0).standard_normal((5000, 40))
    tracemalloc.start()
    try:
        labels, distances = assign(X, X[:3])
        n_distinct(X, 9)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < X.nbytes / 4
    assert np.allclose(distances, np.linalg.norm(X - X[labels], axis=1), rtol=1e-13)


@pytest.mark.parametrize("scale", [1.0, 0.1, 1e-7, 1e7])
def test_fewer_distinct_customers_than_segments_are_refused(scale):
    X = scale * np.repeat(np.array([[0.0, 1], [3, 0], [7, 7], [1, 2], [5, 1]]), 10, axis=0)
    with pytest.raises(ChoiceError, match=r"Only 5 distinct customers"):
        fit(X, 6)
    found = fit(X, 5)
    assert found.inertia == pytest.approx(0, abs=1e-20 * scale**2)
    assert found.sizes.tolist() == [10] * 5


def test_customers_all_alike_make_one_segment_only():
    X = np.full((20, 3), 0.1)
    assert fit(X, 1).labels.tolist() == [0] * 20
    with pytest.raises(ChoiceError, match=r"Only 1 distinct customer can.*Choose 1 segment or"):
        fit(X, 2)


def test_fewer_customers_than_segments_are_refused():
    with pytest.raises(ChoiceError, match=r"5 segments .* 4 customers"):
        fit(np.arange(4.0)[:, None], 5)
    blocks = LocalEngine(1).blocks(np.arange(4.0)[:, None])
    with pytest.raises(ChoiceError, match=r"5 segments .* 4 customers"):
        fit_all(blocks, [2, 5], customer_ranks=np.arange(4), seed=0)


# assign


def test_assign_by_hand(engine):
    X, centers = np.array([[0.0, 0], [3, 4], [5, 0], [10, 0]]), np.array([[0.0, 0], [10, 0]])
    labels, distances = assign(X, centers)
    assert labels.tolist() == [0, 0, 0, 1]  # (5, 0) is as near to either: the lower
    assert distances.tolist() == [0, 5, 5, 0]
    labels, distances = assign(sp.csr_array(X), centers)
    assert labels.tolist() == [0, 0, 0, 1]
    assert np.allclose(distances, [0, 5, 5, 0])


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, residuals])
def test_rows_that_are_centers_are_at_no_distance(ratings, form):
    """Where that is a difference of squares, rounding makes it less than nothing."""
    X = form(ratings / 3 if form is not np.asarray else ratings.toarray() / 3)
    centers = X if form is np.asarray else X.toarray()
    labels, distances = assign(X, centers)
    assert labels.tolist() == list(range(len(centers)))
    assert distances == pytest.approx(0, abs=1e-6)
    (found,) = refined(X, [partition(labels)], 3)
    assert 0 <= found.inertia < 1e-12


def test_assign_of_sparse_rows_is_that_of_dense_rows(ratings):
    centers = np.random.default_rng(0).random((6, ratings.shape[1])) * 2
    dense = ratings.toarray()
    expected = np.sqrt(((dense[:, None] - centers) ** 2).sum(axis=2))
    for X in (ratings, dense):
        labels, distances = assign(X, centers)
        assert labels.tolist() == expected.argmin(axis=1).tolist()
        assert np.allclose(distances, expected.min(axis=1), rtol=1e-9, atol=1e-7)


# refine: into another space


def partition(labels):
    """A fit of which only the labels matter."""
    labels = np.asarray(labels)
    centers = np.zeros((labels.max() + 1, 1))
    return KMeansFit(centers, labels, inertia=0.0, n_iterations=0, converged=True)


def refined(X, fits, max_iterations, engine=None):
    return refine((engine or LocalEngine(1)).blocks(X), fits, max_iterations=max_iterations)


def test_refine_of_no_steps_measures_the_partition_by_the_nearest_mean(engine, ratings):
    """Customers go to the nearest of the partition's means: the definition, on the dense matrix."""
    X, ranks = scores_of(ratings)
    dense = ratings.toarray()
    fits = [fit(X, k, ranks=ranks) for k in (2, 5)]
    for given_fit, found in zip(fits, refined(ratings, fits, 0, engine), strict=True):
        means = np.stack([dense[given_fit.labels == label].mean(0) for label in range(given_fit.k)])
        squares = ((dense[:, None] - means) ** 2).sum(axis=2).min(axis=1)
        assert found.inertia == pytest.approx(squares.sum(), rel=1e-10)
        assert found.inertia <= inertia_of(dense, given_fit.labels) * (1 + 1e-12)


@pytest.mark.parametrize("max_iterations", [1, 3, 100])
def test_refine_takes_scikit_learns_steps(engine, ratings, max_iterations):
    X, ranks = scores_of(ratings)
    dense = ratings.toarray()
    start = fit(X, 5, ranks=ranks)
    means = np.stack([dense[start.labels == label].mean(axis=0) for label in range(5)])
    for form in (ratings, dense):
        (found,) = refined(form, [start], max_iterations, engine)
        # Its last step only labels, so that it counts one more.
        oracle = KMeans(5, init=means, n_init=1, tol=0, algorithm="lloyd", max_iter=300).fit(dense)
        squares = ((dense[:, None] - found.centers) ** 2).sum(axis=2).min(axis=1)
        assert found.inertia == pytest.approx(squares.sum(), rel=1e-10)
        assert found.inertia >= oracle.inertia_ * (1 - 1e-9)
        if found.converged:
            assert found.inertia == pytest.approx(oracle.inertia_, rel=1e-9)


def test_refine_of_sparse_is_that_of_dense(engine, ratings):
    X, ranks = scores_of(ratings)
    fits = [fit(X, k, ranks=ranks) for k in (2, 6)]
    pairs = zip(
        refined(ratings, fits, 20, engine), refined(ratings.toarray(), fits, 20), strict=True
    )
    for sparse, dense in pairs:
        assert np.allclose(sparse.centers, dense.centers, atol=1e-12)
        assert sparse.inertia == pytest.approx(dense.inertia, rel=1e-10)


def test_refine_never_makes_a_partition_worse(ratings):
    X, ranks = scores_of(ratings)
    start = fit(X, 6, ranks=ranks)
    inertias = [refined(ratings, [start], steps)[0].inertia for steps in (0, 1, 2, 5, 50)]
    assert np.all(np.diff(inertias) <= 1e-9)


def test_refine_stops_when_a_step_hardly_pays():
    X = heavy_tailed()
    blocks = LocalEngine(1).blocks(X)
    start = [partition(np.arange(4_000) % 9)]
    inertias = [refined(X, start, steps)[0].inertia for steps in range(60)]
    falls = 1 - np.array(inertias[1:]) / inertias[:-1]
    (found,) = refine(blocks, start, least_progress=0.01)
    expected = np.flatnonzero(falls <= 0.01)[0] + 1  # that step is still taken
    assert found.n_iterations == expected
    assert found.inertia == inertias[expected]
    assert found.converged


@pytest.mark.parametrize("apart", [10, 1e3, 1e5])
def test_for_a_curve_dense_groups_may_lie_far_from_one_another(apart):
    """Single precision cannot tell the customers of one from each other where they are 1e5 apart."""
    X = np.random.default_rng(0).standard_normal((4_000, 3))
    X[::2, 0] += apart
    blocks, ranks = LocalEngine(1).blocks(X - X.mean(axis=0)), np.arange(4_000)
    (exact,), (curve,) = (
        fit_all(blocks, [20], customer_ranks=ranks, seed=0, sample_size=400, for_curve=which)
        for which in (False, True)
    )
    assert curve.inertia == pytest.approx(exact.inertia, rel=0.02)


@pytest.mark.parametrize("unit", [1, 1e25])
def test_for_a_curve_steps_that_hardly_pay_are_not_taken(unit):
    X, ranks = unit * np.random.default_rng(0).standard_normal((4_000, 5)), np.arange(4_000)
    blocks = LocalEngine(1).blocks(X)
    exact, curve = (
        fit_all(blocks, [6, 9, 12], customer_ranks=ranks, seed=0, sample_size=400, for_curve=which)
        for which in (False, True)
    )
    of_all = {"customer_ranks": ranks, "seed": 0, "sample_size": 4_000}
    (one,), (other,) = (fit_all(blocks, [6], for_curve=which, **of_all) for which in (False, True))
    assert one.centers.tobytes() == other.centers.tobytes()  # no more than are sought among
    assert sum(fit.n_iterations for fit in curve) < sum(fit.n_iterations for fit in exact)
    for one, other in zip(exact, curve, strict=True):
        assert other.inertia == pytest.approx(one.inertia, rel=0.01)
        distances = assign(X, other.centers)[1]
        assert other.inertia == pytest.approx((distances**2).sum(), rel=1e-12)
        assert other.labels.nbytes == one.labels.nbytes / 2
    assert curve[0].inertia > curve[1].inertia > curve[2].inertia


def tails_upon_tails(n=4_000):
    """A heavy tail, a few customers beside whom it is nothing, and fewer beside whom those are."""
    X = heavy_tailed(n)
    far = np.random.default_rng(1).permutation(n)[:24]
    X[far] *= np.repeat([1e4, 1e2], [6, 18])[:, None]
    return X


@pytest.mark.parametrize(
    ("tailed", "ks"), [(heavy_tailed, [4, 8, 12]), (tails_upon_tails, [6, 24, 36])]
)
def test_sought_on_a_sample_partitions_of_a_heavy_tail_are_as_good(tailed, ks):
    X, ranks = tailed(), np.arange(4_000)
    blocks = LocalEngine(1).blocks(X)

    def inertias(size):
        found = [
            fit_all(blocks, ks, customer_ranks=ranks, seed=s, sample_size=size) for s in range(5)
        ]
        return np.mean([[fit.inertia for fit in fits] for fits in found], axis=0)

    # Of an even sample it is twice as much, of one drawn about the mean alone up to five times.
    assert inertias(400) == pytest.approx(inertias(4_000), rel=0.06)


# refit: into a space of more columns


def refitted(X, n_columns, ks, **choices):
    """The partitions of all columns that come of those of the first few, and the latter."""
    ranks, blocks = np.arange(len(X)), LocalEngine(1).blocks(X)
    leading = LocalEngine(1).blocks(np.ascontiguousarray(X[:, :n_columns]))
    start = fit_all(leading, ks, customer_ranks=ranks, seed=0)
    return refit(blocks, start, customer_ranks=ranks, seed=0, **choices), start


def outliers_everywhere(n=900, n_columns=30):
    """Customers near the origin, but for 20 in every column who lie far out in it alone."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((n, n_columns))
    far = rng.permutation(n)[: 20 * n_columns].reshape(n_columns, 20)
    X[far, np.arange(n_columns)[:, None]] += np.geomspace(80, 40, n_columns)[:, None]
    return X


def test_refit_finds_what_the_leading_columns_do_not_show():
    X, ks = outliers_everywhere(), [2, 8, 20, 31]
    found, start = refitted(X, 4, ks)
    carried = refined(X, start, 300)
    for k, one, other in zip(ks, found, carried, strict=True):
        oracle = KMeans(k, n_init=10, random_state=0).fit(X)
        assert one.inertia <= 1.01 * oracle.inertia_
        assert one.inertia <= other.inertia * (1 + 1e-12)
    assert found[-1].inertia < 0.5 * carried[-1].inertia


@pytest.mark.parametrize("overtaken", [False, True], ids=["they do", "they win the race"])
def test_where_the_leading_columns_show_all_refit_only_refines(monkeypatch, overtaken):
    X, _ = blobs()
    X = np.hstack([X, np.random.default_rng(1).standard_normal((len(X), 3))])
    monkeypatch.setattr(kmeans, "search", None)
    if overtaken:
        monkeypatch.setattr(kmeans, "is_overtaken", lambda *_: True)
        monkeypatch.setattr(kmeans, "search", lambda *_, known: known)
    found, start = refitted(X, 4, [2, 4])
    for one, other in zip(found, refined(X, start, 300), strict=True):
        labels = assign(X, other.centers)[0]
        assert np.array_equal(one.centers, other.centers[np.argsort(-np.bincount(labels))])
        assert np.array_equal(one.labels, assign(X, one.centers)[0])
        assert one.inertia == pytest.approx(other.inertia, rel=1e-12)


def test_refit_for_a_curve_is_as_good():
    X, ks = heavy_tailed(), [4, 9]
    exact, few, rough = (
        refitted(X, 2, ks, sample_size=size, for_curve=which)[0]
        for size, which in ((4_000, False), (4_000, True), (500, True))
    )
    assert [f.inertia for f in few] == [f.inertia for f in exact]  # as many as are sought among
    for one, other in zip(exact, rough, strict=True):
        assert other.inertia == pytest.approx(one.inertia, rel=0.05)
        distances = assign(X, other.centers)[1]
        assert other.inertia == pytest.approx((distances**2).sum(), rel=1e-12)


def test_through_the_asked_k_alone_they_are_as_good(ratings):
    X, ranks = scores_of(ratings)
    ks = [2, 5, 9, 14]
    both = [
        fit_all(LocalEngine(1).blocks(X), ks, customer_ranks=ranks, seed=0, along_fixed_path=every)
        for every in (True, False)
    ]
    inertias = np.array([[found.inertia for found in fits] for fits in both])
    assert np.all(np.diff(inertias) <= 0)
    assert inertias[1] == pytest.approx(inertias[0], rel=0.05)  # local optima


@pytest.mark.parametrize("room", [35, 1], ids=["seven rows", "a row"])
@pytest.mark.parametrize(
    "form", [np.asarray, sp.csr_array, residuals], ids=["dense", "sparse", "residuals"]
)
def test_distances_to_many_centers_are_taken_a_few_rows_at_a_time(
    engine, ratings, form, room, monkeypatch
):
    X = form(ratings.toarray()) if form is np.asarray else form(ratings)
    ranks = np.arange(X.shape[0])
    start = fit_all(engine.blocks(ratings.toarray()), [2, 5], customer_ranks=ranks, seed=0)

    def refined():
        return refine(engine.blocks(X), start)

    whole = refined()
    labels = assign(X, whole[-1].centers)[0]
    monkeypatch.setattr(assignment, "_DISTANCES_AT_ONCE", room)
    assert np.array_equal(assign(X, whole[-1].centers)[0], labels)
    for one, other in zip(whole, refined(), strict=True):
        assert one.inertia == pytest.approx(other.inertia, rel=1e-12)
        assert np.allclose(one.centers, other.centers, atol=1e-12)


@pytest.mark.parametrize("room", [1, 1 << 22], ids=["one by one", "all at once"])
def test_measured_inertias_are_the_definition(engine, ratings, room, monkeypatch):
    monkeypatch.setattr(kmeans, "_SUMS_ENTRIES", room)
    X, ranks = scores_of(ratings)
    fits = [fit(X, k, ranks=ranks) for k in (1, 2, 5, 9)]
    for matrix in (ratings, ratings.toarray(), residuals(ratings)):
        found = measure_inertias(engine.blocks(matrix), fits)
        dense = matrix if isinstance(matrix, np.ndarray) else matrix.toarray()
        assert found == pytest.approx([inertia_of(dense, each.labels) for each in fits], rel=1e-10)
    threes = partition(np.repeat(np.arange(len(X)), 3))
    for n_columns in (1, 2, 5):
        equal = np.repeat(X[:, :n_columns], 3, axis=0)
        assert 0 <= measure_inertias(engine.blocks(equal), [threes])[0] < 1e-9


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
def test_an_empty_segment_moves_to_the_farthest_customer(engine, form):
    """Both means are 0, so segment 1 gets nobody. It is put on a customer at distance 2."""
    X = np.array([[-2.0], [-1], [1], [2]])
    (found,) = refined(form(X), [partition([0, 1, 1, 0])], 50, engine)
    labels = assign(X, found.centers)[0]
    assert labels[0] == labels[1] != labels[2] == labels[3]
    assert sorted(found.centers.ravel().tolist()) == pytest.approx([-1.5, 1.5])
    assert found.inertia == pytest.approx(4 * 0.25)


@pytest.mark.parametrize("scale", [1e-7, 1.0, 1e7])
def test_several_empty_segments_move_to_distinct_customers(engine, scale):
    """The farthest customers are twins: only one segment goes there."""
    X = scale * np.array([[-9.0], [-9], [-2], [2], [9], [9], [0], [0]])
    (found,) = refined(X, [partition([0, 1, 2, 2, 0, 1, 0, 1])], 50, engine)
    assert sorted(np.bincount(assign(X, found.centers)[0])) == [2, 2, 4]
    assert found.inertia == pytest.approx(8 * scale**2)


@pytest.mark.parametrize("room", [1, 300], ids=["a few", "many"])
def test_of_many_equal_customers_one_is_taken_in_few_goes(engine, monkeypatch, room):
    """Segments 1 and 2 get nobody; beyond the thousand farthest are one at 8 and twins at 7."""
    X = np.concatenate([np.full(1000, 9.0), [8, 7, 7], np.zeros(4000)])[:, None]
    blocks, taken = engine.blocks(X), []
    take = type(blocks).take
    monkeypatch.setattr(
        type(blocks), "take", lambda self, rows: taken.append(len(rows)) or take(self, rows)
    )
    monkeypatch.setattr(kmeans, "_TAKEN_ENTRIES", room)
    found = kmeans._farthest(blocks, np.zeros((1, 1)), 4, 3, 1e-9)
    assert found.ravel().tolist() == [9, 8, 7]
    assert sum(taken) >= 1002
    if room > 3:
        assert len(taken) < 15
    assert max(taken) <= max(room, 3)
    with pytest.raises(ChoiceError, match="Only 4 distinct"):
        kmeans._farthest(blocks, np.zeros((1, 1)), 5, 4, 1e-9)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array, residuals])
@pytest.mark.parametrize("distinct", [1, 2])
def test_where_rounding_alone_tells_customers_apart_no_segment_goes(engine, form, distinct):
    rows = np.array([[1000.1, 0.3, 0.7], [1000.1, 0.3, 9.7]])[:distinct]
    X = np.repeat(rows, 12, axis=0)
    labels = np.arange(12 * distinct) % 12 // 4 + 3 * (np.arange(12 * distinct) // 12)
    message = f"Only {distinct} distinct"
    with pytest.raises(ChoiceError, match=message):
        refined(X if form is np.asarray else form(sp.csr_array(X)), [partition(labels)], 5, engine)


def test_nor_to_customers_nearer_than_a_move_that_is_none(engine):
    with pytest.raises(ChoiceError, match="Only 2 distinct"):
        refined(np.array([[0.0], [0], [1], [1 + 1e-7]]), [partition([0, 1, 2, 2])], 5, engine)


def test_ties_go_to_the_lower_center_in_a_step(engine):
    """0 is as near to -1, the mean of its own, as to 1."""
    X, start = np.array([[-2.0], [0], [1]]), partition([0, 0, 1])
    for form in (np.asarray, sp.csr_array):
        (found,) = refined(form(X), [start], 9, engine)
        assert found.centers.ravel().tolist() == [-1, 1]
        assert (found.inertia, found.n_iterations, found.converged) == (2, 0, True)


@pytest.mark.parametrize(("share", "n_iterations"), [(0.8, 0), (1.2, 1)])
def test_a_move_of_a_millionth_of_the_standard_deviation_is_none(share, n_iterations):
    X = np.array([[-1.0, 0], [1, 0], [9, 0], [11, 0]])
    move = share * TOLERANCE * np.sqrt(X.var(axis=0).mean())
    run = Run(np.array([[move, 0], [10, 0]]))
    kmeans._lloyd(LocalEngine(1).blocks(X), [run], "k-means")
    assert (run.n_iterations, run.converged) == (n_iterations, True)


def test_iterations_are_counted_and_convergence_told():
    """0 | 1 2 10: the border moves by one customer at a time, in steps worked out here.

    Means 0 and 13/3: 1 and 2 go left. Means 1 and 10: nobody moves.
    """
    X, start = np.array([[0.0], [1], [2], [10]]), partition([0, 1, 1, 1])
    (none,) = refined(X, [start], 0)
    assert (none.n_iterations, none.converged) == (0, False)
    (one,) = refined(X, [start], 1)
    assert (one.n_iterations, one.converged) == (1, False)
    assert one.inertia == pytest.approx(2)
    made = kmeans._finish(LocalEngine(1).blocks(X), one, np.arange(4), for_curve=False)
    assert (made.n_iterations, made.converged) == (1, False)
    (all_,) = refined(X, [start], 50)
    assert (all_.n_iterations, all_.converged) == (1, True)
    assert all_.inertia == pytest.approx(2)


# MovieLens 100K: what the recipe of 2015 gave

KS = [2, 5, 10, 20, 25, 30, 50]
REDUCED = [253_755, 183_319, 143_156, 113_720, 104_756, 98_443, 79_295]
FULL = [981_288, 908_048, 869_677, 829_403, 812_476, 799_511, 751_061]


@pytest.fixture(scope="module")
def movielens(ml100k):
    return scores_of(ml100k, 50)


@pytest.fixture(scope="module")
def movielens_fits(movielens):
    scores, ranks = movielens
    reduced = LocalEngine(2).blocks(np.ascontiguousarray(scores[:, :10]))
    return fit_all(reduced, KS, customer_ranks=ranks, seed=0)


def test_the_inertias_of_2015_on_ten_components(movielens_fits):
    ratios = np.array([found.inertia for found in movielens_fits]) / REDUCED
    assert np.all(ratios <= 1.01)


@pytest.mark.parametrize("file", ["ml-100k/u.data", "lastfm-2k/user_artists.dat"])
def test_explore_k_on_the_full_matrix_is_as_good_as_the_best_of_ten(tmp_path, file):
    """Of stars ten components show nearly all; of plays they do not show who lies far out."""
    data = ML100K.parents[1] / file
    if not data.exists():
        pytest.skip(f"the real data are not at {data}")
    ingest.run(data, tmp_path, Form())
    choice = {"evidence": "none", "engine": LocalEngine(), "seed": 0}
    explore_pca.run(tmp_path, max_components=None, weighting="raw", score_norm=None, **choice)
    found = explore_k.run(tmp_path, n_components=10, k_min=2, k_max=50, k_step=16, **choice)
    matrix = sp.csr_matrix(sp.load_npz(tmp_path / "matrix.npz"))
    for row in found.scores:
        oracle = KMeans(row["k"], n_init=10, random_state=0).fit(matrix)
        assert row["inertia_full"] <= 1.01 * oracle.inertia_


def test_the_inertias_of_2015_on_the_full_matrix(movielens, movielens_fits, ml100k):
    scores, ranks = movielens
    held = refit(LocalEngine(2).blocks(scores), movielens_fits, customer_ranks=ranks, seed=0)
    full = LocalEngine(2).blocks(ml100k)
    inertias = explore_k._inertias_in_full(full, held, ml100k.nnz)
    assert np.all(inertias / FULL <= 1.01)


@pytest.mark.parametrize("k", [5, 10, 25])
def test_as_good_as_the_best_of_ten_of_scikit_learn(movielens, movielens_fits, k):
    X = np.ascontiguousarray(movielens[0][:, :10])
    found = movielens_fits[KS.index(k)]
    oracle = KMeans(k, n_init=10, random_state=0).fit(X)
    assert found.inertia <= 1.01 * oracle.inertia_
    assert found.inertia == pytest.approx(
        lloyd_by_scikit_learn(X, found.centers).inertia_, rel=1e-9
    )


def test_more_segments_than_customers_are_refused_with_a_number_that_can_be_read():
    said = r"3,000 segments cannot be made of 2,000 customers\. Choose 2,000 or fewer"
    with pytest.raises(ChoiceError, match=said):
        kmeans.check_ks([2, 3000], 2000)
