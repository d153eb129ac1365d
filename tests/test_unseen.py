"""Segments on interactions that their making did not see: written out, by relation, and on nothing."""

from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp

from segcli.engine import LocalEngine
from segcli.numerics import unseen as module
from segcli.numerics.log_odds import score_log_odds
from segcli.numerics.profiles import profile_segments
from segcli.numerics.ranks import rank, ranks_by_position
from segcli.numerics.recipe import Recipe
from segcli.numerics.unseen import UnseenLevel, UnseenProfiles, split_interactions

RECIPE = Recipe("tfidf", 3)
LEVEL = UnseenLevel(5, 20_000)
profile_unseen = partial(module.profile_unseen, n_items=5, level=LEVEL)


@pytest.fixture(scope="module")
def tastes():
    """90 customers in three groups with items of their own, and the group of each."""
    rng = np.random.default_rng(3)
    groups = np.arange(90) % 3
    chances = np.where(np.arange(30) % 3 == groups[:, None], 0.7, 0.02)
    return sp.csr_array(
        (rng.random((90, 30)) < chances) * rng.integers(1, 6, (90, 30)) * 1.0
    ), groups


@pytest.mark.parametrize("n_parts", [2, 5])
def test_interactions_are_dealt_evenly_and_a_sole_one_is_kept(ratings, n_parts):
    X = sp.csr_array(sp.vstack([ratings, sp.csr_array(([2.0], [3], [0, 1]), shape=(1, 20))]))
    parts = split_interactions(X, n_parts, rng=np.random.default_rng(0))
    assert parts[-1] == -1
    for start, stop in zip(X.indptr[:-2], X.indptr[1:-1], strict=True):
        sizes = np.bincount(parts[start:stop][parts[start:stop] >= 0], minlength=n_parts)
        if stop - start > 1:
            assert sizes.sum() == stop - start
            assert np.ptp(sizes) <= 1
            assert sizes.max() < stop - start


def test_every_interaction_is_as_likely_in_every_part():
    X = sp.csr_array(np.ones((4000, 7)))
    parts = split_interactions(X, 5, rng=np.random.default_rng(1)).reshape(4000, 7)
    shares = np.stack([(parts == part).mean(axis=0) for part in range(5)])
    assert np.abs(shares - 0.2).max() < 0.03


def test_segments_that_never_change_have_their_plain_shares(tastes):
    X, groups = tastes
    found = profile_unseen(X, groups, 3, RECIPE, ranks=ranks_by_position(X), seed=0)
    assert found.together.tolist() == [1, 1, 1]
    dense = X.toarray() != 0
    for segment in range(3):
        own = dense[groups == segment].sum(axis=0)
        assert found.found[segment].tolist() == own.tolist()
        assert np.allclose(found.customers[segment], own)
    assert np.allclose(found.everyone, dense.sum(axis=0))
    assert (found.n_everyone, found.n_customers, found.is_sample) == (90, 90, False)


class Fit:
    """Stands for a fit whose labels are known."""

    def __init__(self, labels):
        self.partitions = [type("Partition", (), {"labels": labels})]


def test_against_the_definition_written_out(ratings, monkeypatch):
    """Every round has labels of its own; the last customer has one item, and some are unassigned."""
    X = sp.csr_array(sp.vstack([ratings, sp.csr_array(([2.0], [3], [0, 1]), shape=(1, 20))]))
    n, k, n_rounds = X.shape[0], 3, 4
    rng = np.random.default_rng(8)
    own = rng.integers(-1, k, n)
    labels = [np.where(rng.random(n) < 0.7, np.abs(own), rng.integers(0, k, n)) for _ in range(4)]
    handed_out, seen_by_round = iter(labels), []

    def fit(seen, *_, **__):
        seen_by_round.append(seen.toarray() != 0)
        return Fit(next(handed_out))

    monkeypatch.setattr(module, "fit_recipe", fit)
    found = profile_unseen(
        X, own, k, RECIPE, ranks=ranks_by_position(X), seed=0, level=UnseenLevel(n_rounds, n)
    )

    has = X.toarray() != 0
    looked_at = has.sum(axis=1) > 1
    for segment in range(k):
        for item in range(20):
            hidden = lacking = 0
            for found_labels, seen in zip(labels, seen_by_round, strict=True):
                for customer in np.flatnonzero(looked_at):
                    if found_labels[customer] == segment:
                        hidden += has[customer, item] and not seen[customer, item]
                        lacking += not has[customer, item]
            size = sum(((x == segment) & looked_at).sum() for x in labels) / n_rounds
            share = hidden / (hidden + lacking / n_rounds) if hidden else 0
            assert found.found[segment, item] == hidden
            assert found.sizes[segment] == pytest.approx(size)
            assert found.customers[segment, item] == pytest.approx(share * size)
    assert found.n_everyone == looked_at.sum()
    assert np.allclose(found.everyone, found.customers.sum(axis=0))
    n_sole = (has.sum(axis=1) == 1).sum()  # always seen; all others in every round but one
    assert sum(seen.sum() for seen in seen_by_round) == (n_rounds - 1) * X.nnz + n_sole
    agree = [np.mean([(x == own)[own == s].mean() for x in labels]) for s in range(k)]
    assert np.allclose(found.together, agree)


def test_the_unassigned_count_where_they_land(tastes):
    """Else what holds would be that of customers chosen by what is hidden, too."""
    X, groups = tastes
    assigned = np.where(np.arange(len(groups)) % 3 > 0, groups, -1)
    plain, found = (
        profile_unseen(X, own, 3, RECIPE, ranks=ranks_by_position(X), seed=0)
        for own in (groups, assigned)
    )
    assert np.array_equal(found.found, plain.found)
    assert np.allclose(found.customers, plain.customers)


def test_segments_under_other_numbers_are_matched(tastes):
    X, groups = tastes
    plain = profile_unseen(X, groups, 3, RECIPE, ranks=ranks_by_position(X), seed=0)
    turned = profile_unseen(X, (groups + 1) % 3, 3, RECIPE, ranks=ranks_by_position(X), seed=0)
    assert np.allclose(turned.customers[[1, 2, 0]], plain.customers)
    assert turned.times_of_chosen == pytest.approx(plain.times_of_chosen)


def test_moved_customers_and_items_have_the_same_profiles(ratings):
    labels = (np.diff(ratings.indptr) > 6).astype(int)
    rng = np.random.default_rng(1)
    rows, columns = rng.permutation(ratings.shape[0]), rng.permutation(ratings.shape[1])
    moved = sp.csr_array(ratings.toarray()[rows][:, columns])
    before, after = (
        profile_unseen(X, own, 2, RECIPE, ranks=rank(LocalEngine(1).blocks(X)), seed=4)
        for X, own in ((ratings, labels), (moved, labels[rows]))
    )
    assert after.found.tolist() == before.found[:, columns].tolist()
    assert after.customers.tolist() == before.customers[:, columns].tolist()
    assert after.times_of_chosen == before.times_of_chosen


def test_items_that_nobody_of_the_sample_has_change_nothing(ratings):
    labels = (np.diff(ratings.indptr) > 6).astype(int)
    n, m = ratings.shape
    wide = sp.csr_array((ratings.data, 2 * ratings.indices, ratings.indptr), shape=(n, 2 * m))
    before, after = (
        profile_unseen(X, labels, 2, RECIPE, ranks=ranks_by_position(X), seed=4)
        for X in (ratings, wide)
    )
    for name in ("found", "customers"):
        assert getattr(after, name)[:, ::2].tolist() == getattr(before, name).tolist()
        assert not getattr(after, name)[:, 1::2].any()
    assert after.times_of_chosen == before.times_of_chosen


@pytest.mark.parametrize(("size", "is_sample"), [(60, True), (90, False)])
def test_a_sample_is_said_to_be_one(tastes, size, is_sample):
    X, groups = tastes
    ranks = ranks_by_position(X)
    found = profile_unseen(X, groups, 3, RECIPE, ranks=ranks, seed=0, level=UnseenLevel(5, size))
    assert (found.n_customers, found.is_sample, found.n_everyone) == (size, is_sample, size)


def test_a_segment_that_nobody_of_the_sample_is_in_is_never_found_again(tastes):
    X, groups = tastes
    found = profile_unseen(X, groups, 4, RECIPE, ranks=ranks_by_position(X), seed=0)
    assert found.together[3] == 0
    assert found.together[:3].min() > 0.5


def test_a_segment_of_one_customer_may_be_found_again_whole(tastes, monkeypatch):
    labels = np.concatenate([[3], tastes[1][1:]])
    monkeypatch.setattr(module, "fit_recipe", lambda *_, **__: Fit(labels))
    found = profile_unseen(tastes[0], labels, 4, RECIPE, ranks=ranks_by_position(tastes[0]), seed=0)
    assert found.together == pytest.approx([1] * 4)


@pytest.mark.parametrize("more", [False, True])
def test_of_customers_with_one_interaction_each_nothing_is_told(more, monkeypatch):
    has, labels = np.eye(4)[[0, 1, 2, 3] * 5], np.arange(20) % 2
    has[0, 1] = more
    X = sp.csr_array(has)
    monkeypatch.setattr(module, "fit_recipe", lambda *_, **__: Fit(labels))
    found = profile_unseen(X, labels, 2, RECIPE, ranks=ranks_by_position(X), seed=0)
    assert (found is not None) == more
    if found is not None:  # of the one who has two
        assert found.n_everyone == 1
        assert found.found.sum() == 2
        assert not found.is_enough.any()
        assert np.isnan(found.times_of_chosen)


def test_what_a_round_that_hides_nothing_chose_is_not_looked_up(monkeypatch):
    """One customer has two interactions, so three of five rounds hide none; only they part c from a."""
    monkeypatch.setattr(module, "LEAST_CUSTOMERS", 1)
    X = sp.csr_array(np.concatenate([np.eye(3)[np.arange(60) % 3], [[1.0, 0, 1]]]))
    together, apart = (np.append(np.array(labels * 20), 0) for labels in ([0, 1, 0], [0, 1, 1]))
    monkeypatch.setattr(
        module, "fit_recipe", lambda seen, *_, **__: Fit(apart if seen.nnz == X.nnz else together)
    )
    found = profile_unseen(X, together, 2, RECIPE, ranks=ranks_by_position(X), seed=0)
    assert found.found.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert np.isfinite(found.times_of_chosen)


def test_too_few_distinct_customers_for_k_give_nothing():
    X = sp.csr_array(np.tile([[1.0, 2, 0, 0, 1], [0, 0, 3, 1, 2]], (15, 1)))
    labels = np.arange(30) % 20
    assert (
        profile_unseen(X, labels, 20, Recipe("raw", 1), ranks=ranks_by_position(X), seed=0) is None
    )


def test_whether_an_item_is_told_of_does_not_depend_on_where_it_fell():
    found = UnseenProfiles(
        found=np.array([[0.0, 5, 9, 10], [10, 5, 0, 90]]), customers=np.zeros((2, 4)),
        sizes=np.array([20.0, 99]), everyone=np.zeros(4), n_everyone=119, times_of_chosen=1.0,
        together=np.ones(2), n_customers=119, is_sample=False, n_rounds=5,
    )  # fmt: skip
    assert found.is_enough.tolist() == [True, True, False, True]


@pytest.mark.parametrize("least", [1, 75])
def test_what_marks_a_segment_is_chosen_without_the_interactions_it_is_looked_up_in(
    ratings, monkeypatch, least
):
    """Written out: what each round chooses; each item's figure is from the rounds that chose it.

    Items of which there is too little to tell are left out, as if they had not been chosen.
    """
    monkeypatch.setattr(module, "LEAST_CUSTOMERS", least)
    n, k, n_rounds = ratings.shape[0], 3, 4
    rng = np.random.default_rng(8)
    own = rng.integers(0, k, n)
    labels = [np.where(rng.random(n) < 0.9, own, rng.integers(0, k, n)) for _ in range(n_rounds)]
    handed_out, seen_by_round = iter(labels), []

    def fit(seen, *_, **__):
        seen_by_round.append(seen)
        return Fit(next(handed_out))

    monkeypatch.setattr(module, "fit_recipe", fit)
    found = profile_unseen(
        ratings,
        own,
        k,
        RECIPE,
        ranks=ranks_by_position(ratings),
        seed=0,
        level=UnseenLevel(n_rounds, n),
        n_items=3,
    )
    has = ratings.toarray() != 0
    looked_at = has.sum(axis=1) > 1
    choices, counts = [], {}
    for found_labels, seen in zip(labels, seen_by_round, strict=True):
        profiles = profile_segments(LocalEngine(1).blocks(seen), found_labels, k)
        scored = score_log_odds(
            profiles.customers, profiles.sizes, everyone=profiles.everyone, n_everyone=n
        )
        for segment in range(k):
            for item in scored.characteristic(segment, 3, item_ranks=np.arange(20)):
                choices.append((segment, item))
                figures = counts.setdefault((segment, item), np.zeros((2, 4)))
                for customer in np.flatnonzero(looked_at):
                    of_side = figures[int(found_labels[customer] != segment)]
                    hidden = has[customer] & (seen[[customer]].toarray()[0] == 0)
                    of_side[0] += hidden[item]
                    of_side[1] += (not has[customer, item]) / n_rounds
                    of_side[2] += 1 / n_rounds
                    of_side[3] += hidden.sum()
    assert 0 < len(set(choices)) < len(choices)
    told = [(s, item) for s, item in choices if has[looked_at, item].sum() >= least]
    assert (len(told) < len(choices)) == (least > 1)
    assert told
    times = []
    for choice in told:
        hidden, lacking, size, n_hidden = counts[choice].T
        inside, outside = hidden / (hidden + lacking) * size
        expected = n_hidden * (inside + outside) / n_hidden.sum()
        times.append((inside + 0.5) / (expected[0] + 0.5) / ((outside + 0.5) / (expected[1] + 0.5)))
    assert found.times_of_chosen == pytest.approx(np.median(times))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_what_a_few_customers_lack_says_little_though_they_are_many_in_another_round(
    seed, monkeypatch
):
    chances = np.linspace(0.1, 0.4, 40)
    X = sp.csr_array((np.random.default_rng(seed).random((300, 40)) < chances) * 1.0)
    few, many = ((np.arange(300) < n).astype(int) for n in (3, 200))
    handed_out = iter([few, few, few, few, many])
    monkeypatch.setattr(module, "fit_recipe", lambda *_, **__: Fit(next(handed_out)))
    found = profile_unseen(X, few, 2, RECIPE, ranks=ranks_by_position(X), seed=0)
    assert found.times_of_chosen < 3


def test_which_interactions_are_hidden_together_is_chance():
    """Of a customer's ten in five parts of two each, a tenth's partner is any of nine."""
    X = sp.csr_array(np.ones((4000, 10)))
    parts = split_interactions(X, 5, rng=np.random.default_rng(1)).reshape(4000, 10)
    together = (parts == parts[:, :1]).mean(axis=0)
    assert np.abs(together[1:] - 1 / 9).max() < 0.03


def test_another_seed_hides_other_interactions_of_another_sample(ratings, monkeypatch):
    labels = (np.diff(ratings.indptr) > 6).astype(int)
    seen_of = {0: [], 1: []}

    def fit(seen, *_, seed):
        seen_of[seed].append(seen.toarray())  # the seed goes on to the fits
        return Fit(labels[: seen.shape[0]])

    monkeypatch.setattr(module, "fit_recipe", fit)
    for size in (ratings.shape[0], 100):
        for seed, seen in seen_of.items():
            seen.clear()
            level = UnseenLevel(5, size)
            chance = {"ranks": ranks_by_position(ratings), "seed": seed}
            profile_unseen(ratings, labels, 2, RECIPE, **chance, level=level)
        assert len(seen_of[0]) == 5
        assert not np.array_equal(seen_of[0][0], seen_of[1][0])
        # Each interaction is seen in every round but one: the rounds together tell whose they are.
        of_same = np.array_equal(np.sum(seen_of[0], axis=0), np.sum(seen_of[1], axis=0))
        assert of_same == (size == ratings.shape[0])


def test_of_many_interactions_fewer_customers_are_looked_at_quickly():
    """As in the other stages, whose nulls `segcli run` then need not make again."""
    few = sp.csr_array((30_000, 5))
    assert module.quick_level(few) == UnseenLevel(5, 20_000)
    X = sp.csr_array(np.ones((30_000, 200), dtype=np.float32))
    assert module.quick_level(X) == UnseenLevel(5, 10_000)
    assert module.FULL.n_customers == 20_000
