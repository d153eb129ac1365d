"""The recipe against its parts, put together by hand."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from planted import DESIGNS, unplanted

from segcli.engine import LocalEngine
from segcli.errors import FewDistinctError
from segcli.numerics import recipe
from segcli.numerics.kmeans import fit_all
from segcli.numerics.pca import fit_pca, score
from segcli.numerics.recipe import Recipe, fit_recipe
from segcli.numerics.score_norm import usual_score_norm
from segcli.numerics.weighting import NAMES, fit_weighting, weigh


@pytest.fixture(scope="module")
def vague():
    """Customers of one taste, among whom each seed and number of starts finds other segments."""
    design = replace(
        DESIGNS["unequal, uneven, stars"], n_customers=150, n_items=60, median_items=12
    )
    return unplanted(design, 3)


@pytest.mark.parametrize(
    ("as_segmented", "search"),
    [(False, {"n_starts": 4, "along_fixed_path": False}), (True, {})],
)
@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_is_its_weighting_its_components_and_k_means(vague, name, as_segmented, search):
    blocks = LocalEngine(1).blocks(vague)
    weighting = fit_weighting(blocks, name)
    weighted = weigh(blocks, weighting)
    norm = usual_score_norm(name)
    pca = fit_pca(weighted, weighting, 5, item_ranks=np.arange(60), seed=5, score_norm=norm)
    scores = score(weighted, pca)
    expected = fit_all(
        LocalEngine(1).blocks(scores),
        [2, 9],
        customer_ranks=np.arange(150),
        seed=5,
        **search,
    )
    found = fit_recipe(vague, Recipe(name, 5), [2, 9], seed=5, as_segmented=as_segmented)
    assert found.pca.weighting.name == name
    assert np.array_equal(found.scores, scores)
    for one, other, labels in zip(found.partitions, expected, found.label(vague), strict=True):
        assert np.array_equal(one.centers, other.centers)
        assert np.array_equal(one.labels, other.labels)
        assert np.array_equal(one.labels, labels)
    shares = [one.inertia / ((scores - scores.mean(axis=0)) ** 2).sum() for one in expected]
    assert found.inertia_shares == pytest.approx(np.array(shares))


def test_a_k_is_left_out_where_fewer_customers_differ():
    X = sp.csr_array(np.kron(np.eye(4), np.ones((6, 3))))
    assert fit_recipe(X, Recipe("raw", 3), [2, 4, 5], seed=0).ks == (2, 4)


def test_a_k_is_left_out_where_customers_differ_too_little_for_k_means():
    X = np.zeros((400, 50))
    X[0] = 1000.0 * (1 + np.arange(50) % 7)  # beside that, the others differ by next to nothing
    X[np.arange(1, 400), np.arange(1, 400) % 50] = 1 + np.arange(1, 400) % 3
    found = fit_recipe(sp.csr_array(X), Recipe("log1p", 1, "kept"), [2, 3, 10, 30, 50], seed=0)
    assert found.ks == (2, 3, 10, 30)


def test_as_many_segments_as_k_means_could_find_are_kept(vague, monkeypatch):
    def finding_three(scores, ks, **choices):
        if max(ks) > 3:
            raise FewDistinctError(3)
        return fit_all(scores, ks, **choices)

    monkeypatch.setattr(recipe, "fit_all", finding_three)
    assert fit_recipe(vague, Recipe("raw", 2), [2, 3, 4, 9], seed=0).ks == (2, 3)
