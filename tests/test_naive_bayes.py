"""Multinomial naive Bayes, in-sample and cross-validated, against scikit-learn's."""

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.naive_bayes import MultinomialNB

from segcli.engine import LocalEngine
from segcli.errors import ChoiceError
from segcli.numerics import naive_bayes
from segcli.numerics.kmeans import fit_all
from segcli.numerics.naive_bayes import (
    UNASSIGNED,
    by_sign,
    cross_predict,
    fit_naive_bayes,
    predict,
    segment_sums,
    stratified_folds,
)
from segcli.numerics.pca import fit_pca, score
from segcli.numerics.ranks import rank
from segcli.numerics.weighting import fit_weighting


@pytest.fixture(scope="module")
def counts():
    """240 customers of four kinds and very uneven activity, 30 items, six without any; labels."""
    rng = np.random.default_rng(4)
    tastes = rng.dirichlet(np.full(30, 0.5), 4)
    labels = rng.choice(4, 240, p=[0.5, 0.3, 0.19, 0.01])
    labels[:3] = 3  # three customers: fewer than the folds
    activity = np.ceil(rng.pareto(1, 240) * 5).astype(int)
    rows = np.array([rng.multinomial(n, tastes[k]) for n, k in zip(activity, labels, strict=True)])
    rows[10:16] = 0
    return sp.csr_array(rows.astype(float)), labels


def test_in_sample_equals_scikit_learn(engine, counts):
    X, labels = counts
    model = fit_naive_bayes(engine.blocks(X), labels, 4)
    oracle = MultinomialNB().fit(X, labels)
    assert np.allclose(model.log_likelihoods.T, oracle.feature_log_prob_, rtol=0, atol=1e-12)
    assert np.allclose(model.log_priors, oracle.class_log_prior_, rtol=0, atol=1e-12)
    assert predict(engine.blocks(X), model).tolist() == oracle.predict(X).tolist()
    assert model.predict(X[[5, 3]]).tolist() == oracle.predict(X[[5, 3]]).tolist()


@pytest.mark.parametrize("n_folds", [2, 5, 10])
@pytest.mark.parametrize("seed", [0, 1])
def test_cross_validated_equals_scikit_learn(engine, counts, n_folds, seed):
    X, labels = counts
    assert np.bincount(labels).min() < 10
    choices = {"customer_ranks": rank(engine.blocks(X)).customers, "seed": seed}
    folds = stratified_folds(labels, n_folds, **choices)
    expected = cross_val_predict(MultinomialNB(), X, labels, cv=PredefinedSplit(folds))
    found = cross_predict(engine.blocks(X), labels, 4, n_folds=n_folds, **choices)
    assert found.tolist() == expected.tolist()


def test_a_segment_of_one_customer_is_never_predicted_for_that_customer(engine, counts):
    X, _ = counts
    labels = np.zeros(X.shape[0], dtype=np.int64)
    labels[77] = 1
    ranks = np.arange(X.shape[0])
    folds = stratified_folds(labels, 5, customer_ranks=ranks, seed=0)
    expected = cross_val_predict(MultinomialNB(), X, labels, cv=PredefinedSplit(folds))
    found = cross_predict(engine.blocks(X), labels, 2, customer_ranks=ranks, n_folds=5, seed=0)
    assert found[77] == 0
    assert found.tolist() == expected.tolist()


def test_a_sole_customer_in_a_segment_is_judged_by_a_model_of_nobody(engine, counts):
    X, _ = counts
    labels = np.full(X.shape[0], UNASSIGNED)
    labels[20] = 2
    found = cross_predict(
        engine.blocks(X), labels, 4, customer_ranks=np.arange(X.shape[0]), n_folds=5, seed=0
    )
    assert found[20] == 0
    assert np.all(np.delete(found, 20) == UNASSIGNED)


def test_customers_in_no_segment_are_as_if_they_were_not_there(engine, counts):
    X, labels = counts
    assigned = np.arange(len(labels)) % 7 != 3
    some = np.where(assigned, labels, UNASSIGNED)
    ours = fit_naive_bayes(engine.blocks(X), some, 4)
    theirs = fit_naive_bayes(engine.blocks(X[assigned]), labels[assigned], 4)
    assert np.array_equal(ours.log_likelihoods, theirs.log_likelihoods)
    assert np.array_equal(ours.log_priors, theirs.log_priors)
    ranks = rank(engine.blocks(X)).customers
    choices = {"n_folds": 5, "seed": 0}
    predicted = cross_predict(engine.blocks(X), some, 4, customer_ranks=ranks, **choices)
    expected = cross_predict(
        engine.blocks(X[assigned]), labels[assigned], 4, customer_ranks=ranks[assigned], **choices
    )
    assert predicted[assigned].tolist() == expected.tolist()
    assert set(predicted[~assigned]) == {UNASSIGNED}


def test_values_below_1_count_in_units_of_their_geometric_mean(engine, counts):
    X, labels = counts
    small = X / 1000
    in_units = small / np.exp(np.log(small.data).mean())
    model = fit_naive_bayes(engine.blocks(small), labels, 4)
    expected = MultinomialNB().fit(in_units, labels).predict(in_units)
    assert predict(engine.blocks(small), model).tolist() == expected.tolist()


@pytest.mark.parametrize("unit", [1e-3, 1e-18])
def test_small_values_say_the_same_in_any_unit(engine, counts, unit):
    X, labels = counts
    choices = {"customer_ranks": np.arange(X.shape[0]), "n_folds": 5, "seed": 0}
    as_they_are, small, smaller = (
        cross_predict(engine.blocks(X * factor), labels, 4, **choices)
        for factor in (1, 1e-3, 1e-3 * unit)
    )
    assert small.tolist() == smaller.tolist()
    assert np.mean(small == labels) > np.mean(as_they_are == labels) - 0.05


def test_blocks_in_which_nobody_is_in_a_segment_add_nothing(counts):
    X, labels = counts
    labels = np.where(np.arange(len(labels)) < 200, UNASSIGNED, labels)
    many, one = (
        fit_naive_bayes(LocalEngine(1, block_entries=n).blocks(X), labels, 4) for n in (64, X.nnz)
    )
    assert many.log_likelihoods.tolist() == one.log_likelihoods.tolist()


def test_customers_in_no_segment_may_be_in_any_fold(counts):
    X, labels = counts
    labels = np.where(np.arange(len(labels)) % 7 == 3, UNASSIGNED, labels)
    sums = segment_sums(LocalEngine(1).blocks(X), labels, 4, np.arange(len(labels)) % 3, 3)
    assert sum(fold.customers.sum() for fold in sums) == (labels != UNASSIGNED).sum()


def test_by_hand():
    """Segment 0 has 3 of item a, 1 of b; 1 has 1 of b. With one more each: 4/6, 2/6 and 1/3, 2/3."""
    X = sp.csr_array([[2.0, 1], [1, 0], [0, 1]])
    model = fit_naive_bayes(LocalEngine(1).blocks(X), np.array([0, 0, 1]), 2)
    assert np.allclose(np.exp(model.log_likelihoods), [[4 / 6, 1 / 3], [2 / 6, 2 / 3]])
    assert np.allclose(np.exp(model.log_priors), [2 / 3, 1 / 3])
    # One b: 2/3 · 1/3 = 2/9 against 1/3 · 2/3, a tie but for rounding; two b: 2/27 against 4/27.
    assert model.predict(sp.csr_array([[1.0, 0], [0, 2]])).tolist() == [0, 1]


def test_of_customers_without_interactions_the_larger_segment_is_the_more_probable(engine):
    blocks = engine.blocks(sp.csr_array((4, 3)))
    model = fit_naive_bayes(blocks, np.array([1, 0, 1, 1]), 2)
    assert predict(blocks, model).tolist() == [1, 1, 1, 1]
    assert np.allclose(model.log_likelihoods, np.log(1 / 3))


def test_the_sums_of_the_folds_make_the_model_without_a_fold(engine, counts):
    X, labels = counts
    folds = np.arange(len(labels)) % 3
    sums = segment_sums(engine.blocks(X), labels, 4, folds, 3)
    kept = folds != 1
    oracle = MultinomialNB().fit(X[kept], labels[kept])
    model = (sums[0] + sums[1] + sums[2] - sums[1]).model()
    assert np.allclose(model.log_likelihoods.T, oracle.feature_log_prob_, rtol=0, atol=1e-12)
    assert np.allclose(model.log_priors, oracle.class_log_prior_, rtol=0, atol=1e-12)
    assert sum(fold.customers.sum() for fold in sums) == len(labels)
    assert sum(fold.items.sum() for fold in sums) == X.sum()


@pytest.mark.parametrize(("room", "n_groups"), [(1, [4] * 6), (240, [4, 8, 8, 4]), (600, [20])])
def test_of_many_items_fewer_folds_share_a_pass(engine, counts, monkeypatch, room, n_groups):
    X, labels = counts
    labels = np.where(np.arange(len(labels)) % 9 == 0, UNASSIGNED, labels)
    choices = {"customer_ranks": np.arange(len(labels)), "n_folds": 5, "seed": 0}
    expected = cross_predict(engine.blocks(X), labels, 4, **choices)
    passes, count = [], naive_bayes.segment_sums

    def counted(X, labels, k, folds, n_folds):
        passes.append(k * n_folds)
        return count(X, labels, k, folds, n_folds)

    monkeypatch.setattr(naive_bayes, "segment_sums", counted)
    monkeypatch.setattr(naive_bayes, "_SUMS_ENTRIES", room)  # of 30 items in 4 segments
    assert cross_predict(engine.blocks(X), labels, 4, **choices).tolist() == expected.tolist()
    assert passes == n_groups


def test_folds_spread_every_segment_and_all_customers_evenly(counts):
    _, labels = counts
    folds = stratified_folds(labels, 5, customer_ranks=np.arange(len(labels)), seed=0)
    sizes = np.bincount(folds, minlength=5)
    assert sizes.max() - sizes.min() <= 1
    for label in range(4):
        sizes = np.bincount(folds[labels == label], minlength=5)
        assert sizes.max() - sizes.min() <= 1


def test_folds_do_not_depend_on_position(counts):
    _, labels = counts
    rng = np.random.default_rng(0)
    ranks, move = rng.permutation(len(labels)), rng.permutation(len(labels))
    before = stratified_folds(labels, 5, customer_ranks=ranks, seed=3)
    after = stratified_folds(labels[move], 5, customer_ranks=ranks[move], seed=3)
    assert after.tolist() == before[move].tolist()
    other = stratified_folds(labels, 5, customer_ranks=ranks, seed=4)
    assert other.tolist() != before.tolist()


def test_threads_change_no_bit(counts):
    X, labels = counts
    one, two = (
        fit_naive_bayes(LocalEngine(n, block_entries=64).blocks(X * 0.1), labels, 4) for n in (1, 2)
    )
    assert one.log_likelihoods.tobytes() == two.log_likelihoods.tobytes()


def test_what_is_disliked_is_an_item_of_its_own():
    X = sp.csr_array([[2.0, -1, 0], [-3, 0, 4]])
    expected = [[2, 0, 0, 0, 1, 0], [0, 0, 4, 3, 0, 0]]
    assert by_sign(X).toarray().tolist() == expected
    assert by_sign(X).has_sorted_indices
    assert by_sign(abs(X)).shape == (2, 3)


def test_negative_values_are_refused_with_a_way_out(engine):
    X = sp.csr_array([[2.0, -1], [-3, 0], [1, 1]])
    labels = np.array([0, 1, 0])
    with pytest.raises(ChoiceError, match="2 negative values"):
        fit_naive_bayes(engine.blocks(X), labels, 2)
    with pytest.raises(ChoiceError, match="2 negative values"):
        cross_predict(engine.blocks(X), labels, 2, customer_ranks=np.arange(3), n_folds=2, seed=0)


def test_the_in_sample_agreement_of_2015(ml100k):
    X = LocalEngine(2).blocks(ml100k)
    ranks = rank(X)
    pca = fit_pca(X, fit_weighting(X, "raw"), 10, item_ranks=ranks.items, seed=0)
    scores = LocalEngine(2).blocks(score(X, pca))
    labels = fit_all(scores, [25], customer_ranks=ranks.customers, seed=0)[0].labels
    predicted = predict(X, fit_naive_bayes(X, labels, 25))
    assert 0.84 <= np.mean(predicted == labels) <= 0.93
    assert predicted.tolist() == MultinomialNB().fit(ml100k, labels).predict(ml100k).tolist()
