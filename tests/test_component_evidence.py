"""How many components: parallel analysis against its definition, and the recommendation."""

import numpy as np
import pytest
import scipy.sparse as sp
from planted import DESIGNS, Design, plant, unplanted, with_sizes
from test_deflated import dense, weighted

from segcli.engine import ONE_THREAD, LocalEngine
from segcli.errors import ChoiceError
from segcli.numerics import component_evidence
from segcli.numerics.component_evidence import (
    FULL,
    ComponentEvidenceLevel,
    component_evidence_level,
    count_leading,
    explained_variance_ratios,
    gather_component_evidence,
    null_limit,
    quick_level,
    recommend,
)
from segcli.numerics.deflated import Deflated
from segcli.numerics.ranks import rank
from segcli.numerics.weighting import NAMES, fit_weighting, weigh


def gather(
    X, weighting="tfidf", *, engine=ONE_THREAD, n_components=10, n_customers=16_000, **options
):
    options = {
        "seed": 0,
        "level": ComponentEvidenceLevel(2, 4, n_customers),
        "n_components": n_components,
        **options,
    }
    ranks = rank(engine.blocks(X))
    return gather_component_evidence(X, weighting, engine=engine, ranks=ranks, **options)


# Shares of explained variance


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("transposed", [False, True], ids=["tall", "wide"])
def test_ratios_are_those_of_the_dense_decomposition(ratings, name, transposed):
    X = sp.csr_array(ratings.T) if transposed else ratings
    matrix = weighted(X, name)
    centred = dense(matrix) - dense(matrix).mean(axis=0)
    s = np.linalg.svd(centred, compute_uv=False)
    found = explained_variance_ratios(Deflated.of(matrix), 8, seed=0)
    assert np.allclose(found, s[:8] ** 2 / (centred**2).sum(), rtol=1e-3)


def test_there_are_no_more_ratios_than_components():
    rows = np.repeat([[1.0, 0, 2, 0], [0, 3, 0, 1], [2, 2, 0, 0]], 5, axis=0)
    ratios = explained_variance_ratios(Deflated.of(sp.csr_array(rows)), 4, seed=0)
    assert len(ratios) == 2
    assert np.isclose(ratios.sum(), 1)


def test_where_nothing_varies_there_are_none():
    same = sp.csr_array(np.tile([1.0, 4, 2, 5], (6, 1)))
    assert len(explained_variance_ratios(Deflated.of(same), 3, seed=0)) == 0
    with pytest.raises(ChoiceError, match="nothing to segment"):
        gather(same, "raw")


# Parallel analysis


def test_the_limit_is_the_largest_of_few_nulls_and_the_quantile_of_many():
    few = np.array([[0.3, 0.1], [0.2, 0.2]])
    assert null_limit(few).tolist() == [0.3, 0.2]
    many = np.arange(101.0)[:, None]
    assert null_limit(many).tolist() == [95]


@pytest.mark.parametrize(
    ("ratios", "count"),
    [([0.5, 0.3, 0.1], 3), ([0.5, 0.1, 0.3], 1), ([0.2, 0.3, 0.3], 0), ([0.5, 0.2, 0.3], 1)],
)
def test_components_count_up_to_the_first_that_fails(ratios, count):
    limit = [0.2, 0.2, 0.05]
    assert count_leading(np.array(ratios), np.array(limit)) == count


# Both, and what to do


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("weighting", ["tfidf", "pearson"])
def test_planted_segments_have_one_component_less_than_segments(design, weighting):
    """Centred, k groups of customers lie in k - 1 dimensions; a component or two more is activity."""
    k = DESIGNS[design].k
    found = gather(plant(DESIGNS[design], 0)[0], weighting)
    assert k - 1 <= found.n_parallel
    assert k - 2 <= found.recommended <= k + 1
    assert found.prediction.errors.min() < found.null_prediction.errors.min() - 0.01
    assert found.reason.startswith(("The first", "All"))


@pytest.mark.parametrize("design", DESIGNS)
@pytest.mark.parametrize("weighting", ["tfidf", "pearson"])
def test_without_segments_little_supports_any_components(design, weighting):
    found = gather(unplanted(DESIGNS[design], 0), weighting)
    assert found.n_parallel <= 1
    assert found.n_predictive == 0
    assert found.recommended == 2
    assert found.reason.startswith("Little supports")


@pytest.mark.parametrize("weighting", ["raw", "log1p", "l2"])
def test_items_that_are_bought_by_the_hundred_are_no_components(weighting):
    """Nor are customers who buy that much. Activity may make one, and chance among few nulls another."""
    design = Design((1.0,), 1.0, "counts", n_customers=800, n_items=60, median_items=12)
    X = with_sizes(unplanted(design, 0), 0, of_customers=0.7, of_items=1.0)
    assert gather(X, weighting).n_parallel <= 2


def test_what_sums_alone_predict_suggests_no_components():
    """Of ten items, a customer's number of items tells something of each, without any segments too."""
    rng = np.random.default_rng(9)
    activity, popularity = 0.3 * rng.standard_normal((1000, 1)), rng.standard_normal(10)
    has = rng.random((1000, 10)) < 1 / (1 + np.exp(1.2 - activity - popularity))
    found = gather(sp.csr_array(has * rng.integers(1.0, 6, has.shape)), "tfidf")
    assert found.prediction.n_components >= 3
    assert (found.n_predictive, found.recommended) == (0, 2)


def test_the_null_of_a_null_looks_like_it():
    found = gather(unplanted(DESIGNS["equal, uneven, counts"], 1))
    assert np.allclose(found.ratios, found.null_mean, rtol=0.15)
    assert np.allclose(found.prediction.errors, found.null_prediction.errors, atol=0.01)


@pytest.mark.parametrize("name", NAMES)
def test_shuffled_and_renamed_data_give_the_same_evidence(ratings, name):
    rng = np.random.default_rng(3)
    rows, columns = rng.permutation(ratings.shape[0]), rng.permutation(ratings.shape[1])
    first = gather(ratings, name, n_customers=120)
    again = gather(sp.csr_array(ratings[rows][:, columns]), name, n_customers=120)
    assert np.array_equal(again.ratios, first.ratios)
    assert np.array_equal(again.null_ratios, first.null_ratios)
    assert np.array_equal(again.prediction.errors, first.prediction.errors)
    assert np.array_equal(again.null_prediction.errors, first.null_prediction.errors)
    assert again.reason == first.reason


def test_threads_change_no_bit(ratings):
    found = [gather(ratings, engine=LocalEngine(n, block_entries=64)) for n in (1, 2)]
    assert np.array_equal(found[0].ratios, found[1].ratios)
    assert np.array_equal(found[0].null_ratios, found[1].null_ratios)
    assert np.array_equal(found[0].prediction.errors, found[1].prediction.errors)


def test_another_seed_draws_other_nulls_and_folds(ratings):
    first, again = gather(ratings), gather(ratings, seed=1)
    assert np.allclose(first.ratios, again.ratios, rtol=1e-4)
    assert not np.array_equal(first.null_ratios, again.null_ratios)
    assert not np.array_equal(first.prediction.errors, again.prediction.errors)


def test_of_many_customers_a_sample_is_taken(ratings):
    whole, sample = gather(ratings), gather(ratings, n_customers=100)
    assert (whole.is_sample, whole.n_customers) == (False, ratings.shape[0])
    assert (sample.is_sample, sample.n_customers) == (True, 100)
    assert not np.allclose(whole.ratios, sample.ratios, rtol=1e-3)
    doubt = " A sample of 100 customers may show fewer components than all customers would"
    assert sample.reason.endswith(f"{doubt}; --evidence full takes more.")
    assert "sample" not in whole.reason


def test_of_the_largest_sample_too_it_is_said_that_it_is_one(ratings, monkeypatch):
    monkeypatch.setattr("segcli.numerics.levels.LARGEST_SAMPLE", 100)
    assert gather(ratings, n_customers=100).reason.endswith(
        " A sample of 100 customers may show fewer components than all customers would."
    )


def test_a_sample_of_customers_without_items_is_too_small():
    X = sp.csr_array(np.eye(400, 30) * (np.arange(400) < 2)[:, None])
    with pytest.raises(ChoiceError, match="8 customers with 0 items are too few"):
        gather(X, n_customers=8)


def test_the_ratios_are_those_of_the_components(ratings):
    from segcli.numerics.pca import fit_pca

    blocks = ONE_THREAD.blocks(ratings)
    fitted = fit_weighting(blocks, "tfidf")
    pca = fit_pca(weigh(blocks, fitted), fitted, 10, item_ranks=rank(blocks).items, seed=0)
    assert np.allclose(gather(ratings).ratios, pca.explained_variance_ratio, rtol=1e-4)


@pytest.mark.parametrize("name", ["raw", "l2"])
def test_negative_values_are_welcome_where_the_weighting_takes_them(ratings, name):
    signs = np.random.default_rng(0).choice([-1.0, 1.0], ratings.nnz)
    X = sp.csr_array((ratings.data * signs, ratings.indices, ratings.indptr), shape=ratings.shape)
    assert np.isfinite(gather(X, name).prediction.errors).all()


def test_customers_and_items_without_anything_are_no_trouble(ratings):
    X = sp.csr_array(
        (ratings.data, ratings.indices, ratings.indptr), shape=(len(ratings.indptr) - 1, 25)
    )
    X = sp.csr_array(sp.vstack([X, sp.csr_array((3, 25))]))
    for name in NAMES:
        found = gather(X, name)
        assert np.isfinite(found.null_ratios).all()
        assert np.isfinite(found.prediction.errors).all()


@pytest.mark.parametrize("shape", [(4, 4), (5, 40), (40, 5)])
def test_the_smallest_data(shape):
    X = sp.csr_array(np.random.default_rng(8).integers(1, 9, shape).astype(float))
    for name in NAMES:
        found = gather(X, name, n_components=50)
        assert 1 <= found.recommended <= found.n_components <= min(shape[0] - 1, shape[1])


@pytest.mark.parametrize("shape", [(3, 9), (9, 3)])
def test_fewer_are_refused(shape):
    X = sp.csr_array(np.random.default_rng(8).integers(1, 9, shape).astype(float))
    with pytest.raises(ChoiceError, match="too few to say how many"):
        gather(X)


@pytest.mark.parametrize(
    ("found", "recommended", "words"),
    [
        ((7, 5, 50), 5, "first 7 components hold more variance than without segments, and"),
        (
            (7, 5, 50),
            5,
            "5 predict held-out customers and items as well as any number; the smaller",
        ),
        ((5, 7, 50), 5, "as well as any number; the smaller is the safer."),
        ((4, 4, 50), 4, "as well as any number; both say the same."),
        ((50, 46, 50), 46, "All 50 components hold more variance than without"),
        ((0, 0, 50), 2, "Little supports any components: no component holds"),
        (
            (0, 0, 50),
            2,
            "none predict held-out customers and items any better than without segments.",
        ),
        ((1, 9, 50), 2, "only the first component holds"),
        ((50, 50, 50), 50, "There may be more: raise --max-components"),
        ((1, 1, 1), 1, "The one component there is holds"),
        ((9, 1, 50), 2, "1 predicts held-out"),
        ((3, 1, 50), 2, "Little supports more than one component: the first 3 components hold"),
        ((0, 1, 1), 1, "1 is for a look only"),
    ],
)
def test_the_recommendation_and_its_reason(found, recommended, words):
    number, reason = recommend(*found, more=True)
    assert number == recommended
    assert words in reason
    assert reason.endswith((".", "see."))


def test_where_there_are_no_more_components_none_are_promised():
    assert "raise" not in recommend(6, 6, 6, more=False)[1]


def test_more_components_are_promised_only_where_the_sample_can_have_them(monkeypatch):
    told = []
    monkeypatch.setattr(
        component_evidence, "recommend", lambda *_, more: told.append(more) or (2, "")
    )
    rng = np.random.default_rng(0)
    X = sp.csr_array(rng.integers(0, 4, (40, 5)).astype(float))
    for n_components in (3, 5):
        gather(X, "raw", n_components=n_components)
    gather(X, "raw", n_components=3, more=False)
    assert told == [True, False, False]


# How much of it


def test_as_much_evidence_as_the_data_can_bear():
    enough = sp.csr_array((20, 4))
    assert component_evidence_level(None, enough) == (quick_level(enough), None)
    assert component_evidence_level("full", enough) == (FULL, None)
    assert component_evidence_level("none", enough) == (None, None)
    for shape in ((19, 400), (400, 3)):
        X = sp.csr_array(shape)
        level, reason = component_evidence_level(None, X)
        assert level is None
        assert reason.startswith(f"No evidence was gathered: {shape[0]} customers")
        assert component_evidence_level("none", X) == (None, None)
        with pytest.raises(ChoiceError, match=r"too few .* Use --evidence none"):
            component_evidence_level("quick", X)


def test_of_many_interactions_fewer_customers_are_looked_at_quickly():
    X = sp.csr_array(np.ones((10_000, 250)))
    quick, full = (component_evidence_level(asked, X)[0] for asked in ("quick", "full"))
    assert (quick.n_customers, full.n_customers) == (8_000, 20_000)


def test_another_seed_draws_other_nulls(ratings):
    level = ComponentEvidenceLevel(2, 1, 100)
    a, b = (
        gather(ratings, "l2", n_components=3, level=level, seed=seed).null_ratios for seed in (0, 1)
    )
    assert not np.allclose(a, b, rtol=1e-3)
    assert not np.allclose(a[0], a[1], rtol=1e-3)
