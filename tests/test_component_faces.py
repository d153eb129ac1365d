"""What components are about: correlations by the book, items at their ends by hand."""

import numpy as np
import pytest
import scipy.sparse as sp

from segcli.engine import LocalEngine
from segcli.numerics.component_faces import correlation, describe_components
from segcli.numerics.pca import PCA, fit_pca, score
from segcli.numerics.ranks import rank
from segcli.numerics.weighting import Weighting, fit_weighting, weigh


def describe(X, weighting="raw", n_components=3):
    blocks = LocalEngine(1).blocks(X)
    fitted = fit_weighting(blocks, weighting)
    ranks = rank(blocks)
    blocks = weigh(blocks, fitted)
    pca = fit_pca(blocks, fitted, n_components, item_ranks=ranks.items, seed=0)
    faces = describe_components(blocks, pca, X, item_ranks=ranks.items)
    return pca, score(blocks, pca), faces


@pytest.mark.parametrize("weighting", ["raw", "tfidf", "pearson"])
def test_correlations_and_ends_are_what_they_are_said_to_be(ratings, weighting):
    pca, scores, faces = describe(ratings, weighting)
    X = ratings.toarray()
    active = (X > 0).any(axis=1)  # one customer has nothing
    activity, popularity = np.log((X[active] > 0).sum(axis=1)), np.log((X > 0).sum(axis=0))
    assert [face.component for face in faces] == [1, 2, 3]
    for p, face in enumerate(faces):
        loading = pca.loadings[p]
        assert np.isclose(face.activity_correlation, np.corrcoef(scores[active, p], activity)[0, 1])
        assert np.isclose(face.popularity_correlation, np.corrcoef(loading, popularity)[0, 1])
        positive, negative = (np.argsort(-side)[:5] for side in (loading, -loading))
        assert face.positive.tolist() == [i for i in positive if loading[i] > 0]
        assert face.negative.tolist() == [i for i in negative if loading[i] < 0]


def test_two_tastes_stand_at_the_two_ends():
    X = sp.csr_array([[5.0, 5, 0, 0, 1], [5, 4, 0, 0, 1], [0, 0, 5, 5, 1], [0, 0, 4, 5, 1]])
    _, _, (face,) = describe(X, n_components=1)
    ends = {frozenset(face.positive.tolist()), frozenset(face.negative.tolist())}
    assert ends == {frozenset({0, 1}), frozenset({2, 3})}  # item 4 tells nobody from nobody


def test_raw_values_of_unevenly_active_customers_are_mostly_activity():
    rng = np.random.default_rng(0)
    activity = rng.uniform(0.05, 0.9, 200)
    X = sp.csr_array((rng.random((200, 30)) < activity[:, None]).astype(float))
    _, _, (first, *_) = describe(X)
    assert abs(first.activity_correlation) > 0.8


def with_loadings(loadings, mean, n_customers):
    """Return components that need not be those of any matrix."""
    loadings = np.array(loadings)
    weighting, variances = Weighting("raw", np.ones(len(mean))), np.ones(len(loadings))
    return PCA(weighting, np.array(mean), loadings, variances, 1.0, n_customers)


def test_a_worked_example():
    """Scores 1, 2, 3 of customers with 1, 2, 4 items: log activity 0, 1, 2 in units of log 2."""
    X = sp.csr_array([[1.0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [0, 0, 0, 0, 0]])
    weighted = sp.csr_array(
        [[2.0, 0, 0, 0, 0], [2, -10, 0, 0, 0], [2, 0, 5, 5, 0], [-100, 0, 0, 0, 0]]
    )
    pca = with_loadings([[0.5, -0.1, 0.2, 0.2, 9.0]], [0.0] * 5, 4)
    blocks = LocalEngine(1).blocks(weighted)
    (face,) = describe_components(blocks, pca, X, item_ranks=np.array([0, 1, 3, 2, 4]))
    assert np.isclose(face.activity_correlation, 1)  # the customer without items is left out
    expected = np.corrcoef([0.5, -0.1, 0.2, 0.2], np.log([3, 2, 1, 1]))[0, 1]
    assert np.isclose(face.popularity_correlation, expected)  # as is the item without customers
    assert face.positive.tolist() == [4, 0, 3, 2]  # of equal loadings, the lower rank
    assert face.negative.tolist() == [1]


def test_where_all_are_alike_a_correlation_is_undefined():
    assert np.isnan(correlation(np.eye(3)[0], np.ones(3)))
    assert np.isnan(correlation(np.empty(0), np.empty(0)))
    alike, unlike = (
        np.full(6, 0.1),
        np.log([1.0, 2, 3, 7, 9, 11]),
    )  # the mean of the first is rounded
    assert np.isnan(correlation(alike, unlike))
    assert np.isnan(correlation(unlike, alike))
    assert np.isclose(correlation(np.array([3.0, 2, 1]), np.array([0.0, 1, 2])), -1)
    _, _, faces = describe(sp.csr_array(1.0 + np.random.default_rng(0).integers(0, 4, (9, 5))))
    assert all(np.isnan(face.activity_correlation) for face in faces)
    assert all(np.isnan(face.popularity_correlation) for face in faces)


def test_where_the_active_score_alike_the_correlation_with_activity_is_undefined():
    X = sp.csr_array([[1.0, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]])
    pca = with_loadings([[0.1, 0.0, 0.0]], [1 / 3, 0.0, 0.0], 4)  # 1/15 for each, but for rounding
    faces = describe_components(LocalEngine(1).blocks(X), pca, X, item_ranks=np.arange(3))
    assert np.isnan(faces[0].activity_correlation)
    nobody = sp.csr_array((4, 3))
    faces = describe_components(LocalEngine(1).blocks(nobody), pca, nobody, item_ranks=np.arange(3))
    assert np.isnan(faces[0].activity_correlation)


def test_renamed_and_shuffled_the_faces_are_the_same(ratings):
    rng = np.random.default_rng(2)
    rows, columns = rng.permutation(ratings.shape[0]), rng.permutation(ratings.shape[1])
    X = sp.csr_array(sp.hstack([ratings, ratings[:, [0, 1]]]))  # ties: two items are there twice
    columns = rng.permutation(X.shape[1])
    _, _, first = describe(X, "tfidf")
    _, _, again = describe(sp.csr_array(X[rows][:, columns]), "tfidf")
    distinct = np.arange(X.shape[1])
    distinct[-2:] = [0, 1]
    for one, other in zip(first, again, strict=True):
        assert np.isclose(one.activity_correlation, other.activity_correlation)
        assert np.isclose(one.popularity_correlation, other.popularity_correlation)
        for end in ("positive", "negative"):
            before, after = getattr(one, end), columns[getattr(other, end)]
            assert distinct[before].tolist() == distinct[after].tolist()
