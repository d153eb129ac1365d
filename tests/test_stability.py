"""Stability of segments: worked examples, the definitions in plain Python, and planted data."""

from dataclasses import replace
from itertools import combinations, permutations

import numpy as np
import pytest
import scipy.sparse as sp
from planted import DESIGNS, plant, unplanted
from sklearn.metrics import adjusted_rand_score
from sklearn.naive_bayes import MultinomialNB

from segcli.engine import LocalEngine
from segcli.numerics.agreement import contingency
from segcli.numerics.ranks import in_rank_order, rank, ranks_by_position, sample_rows
from segcli.numerics.recipe import Recipe, fit_recipe
from segcli.numerics.stability import (
    grade,
    halves,
    jaccard,
    matched,
    prediction_strength,
    resample,
    segment_stability,
    transfer_ari,
)
from segcli.numerics.verdict import LEAST_TRANSFER

DESIGN = DESIGNS["equal, even, stars"]
RECIPE = Recipe("tfidf", 4)


@pytest.fixture(scope="module")
def planted():
    return plant(DESIGN, 3)


@pytest.fixture
def labellings():
    rng = np.random.default_rng(0)
    reference = rng.integers(0, 4, 60)
    return reference, np.where(rng.random(60) < 0.3, rng.integers(0, 4, 60), reference)


def test_halves_share_nobody_and_miss_nobody():
    a, b = halves(11, 0, seed=0)
    assert sorted([*a, *b]) == list(range(11))
    assert (len(a), len(b)) == (5, 6)
    assert not np.array_equal(a, halves(11, 1, seed=0)[0])


def test_prediction_strength_by_hand():
    own = np.array([0, 0, 0, 1, 1, 1, 1])
    predicted = np.array([0, 0, 1, 1, 1, 1, 1])
    # Segment 0: of three pairs, one is kept together. Segment 1: all six are.
    assert prediction_strength(own, predicted) == pytest.approx(1 / 3)


def test_prediction_strength_by_counting_pairs(labellings):
    own, predicted = labellings
    shares = []
    for segment in range(4):
        pairs = list(combinations(np.flatnonzero(own == segment), 2))
        shares.append(np.mean([predicted[a] == predicted[b] for a, b in pairs]))
    assert prediction_strength(own, predicted) == pytest.approx(min(shares))


def test_segments_of_one_have_no_prediction_strength():
    assert np.isnan(prediction_strength(np.arange(3), np.arange(3)))
    assert prediction_strength(np.array([0, 1, 1]), np.array([0, 1, 1])) == 1


def test_jaccard_by_sets(labellings):
    reference, found = labellings
    expected = []
    for segment in range(4):
        mine = set(np.flatnonzero(reference == segment))
        others = [set(np.flatnonzero(found == other)) for other in range(4)]
        expected.append(max(len(mine & other) / len(mine | other) for other in others))
    assert jaccard(reference, found, 4) == pytest.approx(expected)


def test_jaccard_of_a_segment_that_is_not_there():
    for there in (1, 2):
        found = jaccard(np.array([0, 0, there]), np.array([1, 1, 0]), 3)
        assert np.isnan(found).tolist() == [False, there != 1, there != 2]


@pytest.mark.parametrize(
    ("stability", "word"),
    [
        (0.59, "not trusted"),
        (0.6, "pattern"),
        (0.74, "pattern"),
        (0.75, "stable"),
        (0.84, "stable"),
        (0.85, "highly stable"),
        (float("nan"), None),
    ],
)
def test_grades_are_hennigs(stability, word):
    assert grade(stability) == word


def test_matched_is_the_best_of_all_assignments(labellings):
    reference, found = labellings
    renamed = np.array([2, 0, 3, 1])[found]
    table = contingency(reference, renamed, 4)
    best = max(permutations(range(4)), key=lambda p: sum(table[i, p[i]] for i in range(4)))
    assert matched(reference, renamed, 4).tolist() == list(best)


def test_transfer_is_scikit_learns_naive_bayes_of_who_has_what(planted):
    X, truth = planted
    a, b = halves(X.shape[0], 0, seed=0)
    labels, others = truth[a], truth[b]
    has = (X > 0).astype(float)
    model = MultinomialNB().fit(has[a], labels)
    expected = adjusted_rand_score(others, model.predict(has[b]))
    assert transfer_ari(X[a], labels, X[b], others) == pytest.approx(expected)


def test_a_few_large_counts_do_not_drown_what_customers_have():
    faint = replace(DESIGNS["equal, uneven, counts"], contrast=4.0)
    X, truth = plant(faint, 0)
    a, b = halves(X.shape[0], 0, seed=0)
    of_counts = MultinomialNB().fit(X[a], truth[a]).predict(X[b])
    assert adjusted_rand_score(truth[b], of_counts) < LEAST_TRANSFER
    assert transfer_ari(X[a], truth[a], X[b], truth[b]) > 0.8


def in_order(X):
    return in_rank_order(X, rank(LocalEngine(1).blocks(X)))


def test_both_halves_lead_to_planted_segments_again(planted):
    X = in_order(planted[0])
    full = fit_recipe(X, RECIPE, [4], seed=0)
    for one in resample(X, RECIPE, [4], split=0, seed=0):
        assert one.transfer_ari[0] > 0.95
        assert one.prediction_strength[0] > 0.9
        assert one.jaccard(full)[0].min() > 0.95


def test_without_segments_nothing_carries_over():
    X = in_order(unplanted(DESIGN, 3))
    full = fit_recipe(X, RECIPE, [4], seed=0)
    for one in resample(X, RECIPE, [4], split=0, seed=0):
        assert one.transfer_ari[0] < 0.2
        assert one.jaccard(full)[0].mean() < 0.6


def few():
    """25 customers, in rank order: halves of 12 and 13."""
    return in_order(sp.csr_array(np.random.default_rng(0).poisson(1.0, (25, 10)) + 0.0))


def test_a_half_that_cannot_have_so_many_segments_says_nothing_of_them():
    full = fit_recipe(few(), RECIPE, [2, 20], seed=0)
    assert full.ks == (2, 20)
    for one in resample(few(), RECIPE, [2, 20], split=0, seed=0):
        two, twenty = one.jaccard(full)
        assert np.isfinite(two).all()
        assert len(twenty) == 20
        assert np.isnan(twenty).all()
        assert np.isnan([one.transfer_ari[1], one.prediction_strength[1]]).all()


def test_a_half_that_alone_can_have_so_many_segments_is_not_judged_by_the_other():
    resamples = resample(few(), RECIPE, [2, 13], split=0, seed=0)
    assert [len(one.labels) for one in resamples] == [1, 2]
    for one in resamples:
        figures = np.array([one.transfer_ari, one.prediction_strength])
        assert np.isnan(figures).tolist() == [[False, True]] * 2


def stability_of(X, labels, k):
    return segment_stability(
        X,
        labels,
        k,
        RECIPE,
        ranks=rank(LocalEngine(1).blocks(X)),
        seed=0,
        n_splits=3,
        sample_size=10_000,
    )


def test_planted_segments_are_highly_stable_and_their_customers_belong(planted):
    X, truth = planted
    found = stability_of(X, truth, 4)
    assert [*map(grade, found.jaccard)] == ["highly stable"] * 4
    membership = found.membership(LocalEngine(1).blocks(X), truth)
    assert 0.98 < membership.mean() <= 1


def test_where_no_half_can_have_so_many_segments_no_membership_is_known():
    found = stability_of(few(), np.arange(25) % 20, 20)
    assert found.models == ()
    assert [*map(grade, found.jaccard)] == [None] * 20
    assert np.isnan(found.membership(LocalEngine(1).blocks(few()), np.arange(25) % 20)).all()


def test_a_customer_put_into_the_wrong_segment_does_not_belong(planted):
    X, truth = planted
    wrong = truth.copy()
    wrong[:5] = (truth[:5] + 1) % 4
    membership = stability_of(X, wrong, 4).membership(LocalEngine(1).blocks(X), wrong)
    assert membership[:5].max() < 0.5


def test_membership_is_of_the_customer_wherever_the_row_stands(planted):
    X, truth = planted
    order = np.random.default_rng(1).permutation(X.shape[0])
    straight = stability_of(X, truth, 4)
    shuffled = stability_of(sp.csr_array(X[order]), truth[order], 4)
    assert np.array_equal(straight.jaccard, shuffled.jaccard)
    blocks = LocalEngine(2, block_entries=500).blocks(sp.csr_array(X[order]))
    assert np.array_equal(
        straight.membership(LocalEngine(1).blocks(X), truth)[order],
        shuffled.membership(blocks, truth[order]),
    )


@pytest.fixture(scope="module")
def vague():
    """Customers of one taste, in rank order: their halves' segments agree in part."""
    return in_order(unplanted(replace(DESIGN, n_customers=150, n_items=60, median_items=12), 3))


def test_each_half_judges_the_other_by_its_own_segments(vague):
    rows = halves(150, 1, seed=2)
    parts = [vague[half] for half in rows]
    fits = [fit_recipe(part, RECIPE, [2, 3], seed=2) for part in parts]
    full = fit_recipe(vague, RECIPE, [2, 3], seed=2)
    for a, found in enumerate(resample(vague, RECIPE, [2, 3], split=1, seed=2)):
        b = 1 - a
        for i, k in enumerate([2, 3]):
            own = [fit.partitions[i].labels for fit in fits]
            carried = fits[a].label(parts[b])[i]
            assert found.transfer_ari[i] == transfer_ari(parts[a], own[a], parts[b], own[b])
            assert found.prediction_strength[i] == prediction_strength(own[b], carried)
            again = jaccard(full.partitions[i].labels[rows[a]], own[a], k)
            assert found.jaccard(full)[i].tolist() == again.tolist()


def test_stability_is_the_mean_over_halves_of_what_each_finds_among_its_own(vague):
    labels = fit_recipe(vague, RECIPE, [3], seed=0).partitions[0].labels
    found = segment_stability(
        vague, labels, 3, RECIPE,
        ranks=ranks_by_position(vague), seed=2, n_splits=2, sample_size=150,
    )  # fmt: skip
    parts = [half for split in range(2) for half in halves(150, split, seed=2)]
    fits = [fit_recipe(vague[half], RECIPE, [3], seed=2, as_segmented=True) for half in parts]
    expected = [
        jaccard(labels[half], fit.partitions[0].labels, 3)
        for half, fit in zip(parts, fits, strict=True)
    ]
    assert found.jaccard == pytest.approx(np.mean(expected, axis=0))
    assert len(found.models) == 4


def test_stability_in_a_sample_is_that_of_its_customers_alone(vague):
    labels = fit_recipe(vague, RECIPE, [3], seed=0).partitions[0].labels
    rows = sample_rows(ranks_by_position(vague), 100, seed=2)
    alone, sampled = (
        segment_stability(
            X, own, 3, RECIPE,
            ranks=ranks_by_position(X), seed=2, n_splits=2, sample_size=100,
        )
        for X, own in ((vague[rows], labels[rows]), (vague, labels))
    )  # fmt: skip
    assert sampled.jaccard.tolist() == alone.jaccard.tolist()


def test_another_seed_draws_another_sample_and_other_halves(vague):
    assert not np.array_equal(halves(11, 0, seed=0)[0], halves(11, 0, seed=1)[0])
    ranks = ranks_by_position(vague)
    assert not np.array_equal(sample_rows(ranks, 50, seed=0), sample_rows(ranks, 50, seed=1))
