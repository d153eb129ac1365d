"""Planted tastes are found to mark the segments and hold on unseen interactions; chance does not."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from planted import DESIGNS, plant, unplanted

from segcli.engine import LocalEngine
from segcli.numerics.description import (
    contrast_segments,
    describe_segments,
    null_echo,
    trouble_with_unseen,
)
from segcli.numerics.nulls import null_of
from segcli.numerics.profiles import profile_segments
from segcli.numerics.ranks import (
    Ranks,
    in_rank_order,
    rank,
    ranks_by_position,
    sample_in_rank_order,
)
from segcli.numerics.recipe import Recipe, fit_recipe
from segcli.numerics.unseen import UnseenLevel

RECIPE = Recipe("tfidf", 4)
LEVEL = UnseenLevel(5, 20_000)


def described(X, labels, k, **options):
    blocks = LocalEngine(1).blocks(X)
    asked = {
        "n_items": 5,
        "n_avoided": 5,
        "level": LEVEL,
        "seed": 0,
        "ranks": rank(blocks),
        **options,
    }
    return describe_segments(X, profile_segments(blocks, labels, k), labels, RECIPE, **asked)


def segmented(X, k):
    """Return the labels that the recipe gives."""
    ranks = rank(LocalEngine(1).blocks(X))
    labels = np.empty(X.shape[0], dtype=int)
    fit = fit_recipe(in_rank_order(X, ranks), RECIPE, [k], seed=0)
    labels[ranks.customer_order] = fit.partitions[0].labels
    return labels


@pytest.fixture(scope="module")
def tastes():
    """240 customers in three groups, 60 items: by item modulo 4 a group's own, or everybody's."""
    rng = np.random.default_rng(3)
    groups = np.arange(240) % 3
    kinds = np.arange(60) % 4
    chances = np.where(kinds == groups[:, None], 0.6, np.where(kinds == 3, 0.6, 0.1))
    return sp.csr_array((rng.random((240, 60)) < chances) * 1.0), groups, kinds


def test_planted_items_mark_the_planted_segments_and_bestsellers_do_not(tastes):
    X, groups, kinds = tastes
    found = described(X, groups, 3, n_items=15)
    for segment in range(3):
        assert set(kinds[found.characteristic[segment]]) == {segment}
        assert len(found.characteristic[segment]) == 15
        assert not {segment, 3} & set(kinds[found.avoided[segment]])
        assert len(found.avoided[segment]) == 5


def test_planted_tastes_hold_on_unseen_interactions(tastes):
    X, groups, _ = tastes
    echo = described(X, groups, 3).echo
    assert echo.unseen == pytest.approx(0.6 / 0.1, rel=0.2)
    assert echo.in_sample == pytest.approx(0.6 / 0.1, rel=0.2)


@pytest.mark.parametrize("seed", [0, 1])
def test_without_segments_what_marks_them_is_an_echo(seed):
    """All customers have one taste and are about equally active: the segments are chance."""
    X = unplanted(replace(DESIGNS["equal, even, stars"], n_customers=600, n_items=200), seed)
    found = described(X, segmented(X, 4), 4)
    assert found.echo.in_sample > 1.8
    assert 0.75 < found.echo.unseen < 1.25
    everything = found.unseen_log_odds.log_odds[:, found.unseen.is_enough]
    assert abs(np.median(everything)) < 0.1


def test_the_null_of_planted_data_is_an_echo(tastes):
    X, groups, _ = tastes
    ranks = rank(LocalEngine(1).blocks(X))
    null = null_echo(X, 3, RECIPE, ranks=ranks, seed=0, n_items=5, level=LEVEL)
    real = described(X, groups, 3).echo
    assert null.in_sample > 1.2
    assert null.unseen < 1.3 < real.unseen


def test_a_sole_segment_or_very_few_customers_have_no_unseen_side(tastes):
    X, groups, _ = tastes
    sole = described(X, np.zeros(240, int), 1)
    assert sole.unseen is sole.unseen_log_odds is sole.echo is None
    assert [len(listed) for listed in sole.characteristic + sole.avoided] == [0, 0]
    few = described(X[:19], groups[:19], 3)
    assert few.unseen is few.echo is None


@pytest.mark.parametrize(
    ("n_customers", "k", "why"),
    [(20, 2, None), (19, 2, "19 customers are too few"), (20, 1, "one segment needs no evidence")],
)
def test_twenty_customers_in_two_segments_have_an_unseen_side(n_customers, k, why):
    found = trouble_with_unseen(n_customers, k)
    assert found is None if why is None else found.startswith(why)


def test_of_items_alike_the_one_of_lower_rank_comes_first():
    labels = np.repeat([0, 1], 20)
    own = labels[:, None] == [0, 0, 1, 1]
    X = sp.csr_array(np.column_stack([own, np.ones(40)]).astype(np.float64))
    found = describe_segments(
        X,
        profile_segments(LocalEngine(1).blocks(X), labels, 2),
        labels,
        Recipe("raw", 1),
        ranks=Ranks(np.arange(40), np.array([1, 0, 3, 2, 4])),
        **{"seed": 0, "n_items": 2, "n_avoided": 2, "level": None},
    )
    assert [items.tolist() for items in found.characteristic] == [[1, 0], [3, 2]]
    assert [items.tolist() for items in found.avoided] == [[3, 2], [1, 0]]


def test_customers_all_alike_have_no_unseen_side():
    X = sp.csr_array(np.ones((30, 1)))
    assert described(X, np.arange(30) % 2, 2).unseen is None
    assert (
        null_echo(
            X, 2, RECIPE, ranks=rank(LocalEngine(1).blocks(X)), seed=0, n_items=3, level=LEVEL
        )
        is None
    )


def test_the_unassigned_are_others(tastes):
    X, groups, kinds = tastes
    labels = np.where(groups == 2, -1, groups)
    found = described(X, labels, 2)
    assert set(kinds[found.characteristic[0]]) == {0}
    outside = X.toarray()[groups != 0] != 0
    assert np.allclose(found.log_odds.share_outside(0, np.arange(X.shape[1])), outside.mean(axis=0))


@pytest.mark.parametrize("contrast", [1, 12])
def test_an_echo_does_not_praise_what_was_chosen_for_standing_out(contrast):
    """Items are many and rare. Those listed were chosen by what is hidden, too; the echo's were not."""
    design = replace(
        DESIGNS["equal, even, stars"], n_customers=2000, median_items=6, contrast=contrast
    )
    X, _ = plant(design, 0)
    found = described(X, segmented(X, 4), 4, n_items=10)
    listed = [found.unseen_log_odds.times(s, items) for s, items in enumerate(found.characteristic)]
    if contrast == 1:
        assert np.median(np.concatenate(listed)) > 1.25
        assert 0.75 < found.echo.unseen < 1.25
    else:
        assert found.echo.unseen == pytest.approx(np.median(np.concatenate(listed)), rel=0.15)


def test_an_echo_is_of_items_that_there_is_enough_to_tell_of():
    X = unplanted(replace(DESIGNS["equal, even, stars"], n_customers=100, n_items=150), 5)
    found = described(X, segmented(X, 4), 4, n_items=20)
    is_enough = (X != 0).sum(axis=0) >= 10  # each customer has two items or more
    listed = [(s, i) for s, items in enumerate(found.characteristic) for i in items]
    told = [cell for cell in listed if is_enough[cell[1]]]
    assert 0 < len(told) < len(listed)
    in_sample = np.median([found.log_odds.times(*cell) for cell in told])
    assert found.echo.in_sample == pytest.approx(in_sample)
    assert found.echo.unseen == found.unseen.times_of_chosen


def test_where_too_little_can_be_hidden_there_is_no_echo():
    """All customers but three have one interaction, which is never hidden: those three tell nothing."""
    X = np.zeros((60, 6))
    X[np.arange(60), np.arange(60) % 4] = 1
    X[:3, 4:] = 1
    found = described(sp.csr_array(X), np.arange(60) % 4, 4)
    assert all(len(items) for items in found.characteristic)
    assert found.unseen.n_everyone == 3
    assert found.echo is None


def test_without_anything_listed_there_is_no_echo(tastes):
    X, groups, _ = tastes
    assert described(X, groups, 3, n_items=0).echo is None


def test_a_nulls_echo_is_that_of_a_description_of_the_null(tastes):
    X, _, _ = tastes
    X = sp.csr_array(sp.hstack([X, sp.eye_array(X.shape[0])]))  # an item each that nobody else has
    ranks = rank(LocalEngine(1).blocks(X))
    ordered = sample_in_rank_order(X, ranks, 150, seed=2)
    null = null_of(ordered, 0, seed=2)
    labels = fit_recipe(null, RECIPE, [3], seed=2).partitions[0].labels
    expected = describe_segments(
        null,
        profile_segments(LocalEngine(1).blocks(null), labels, 3),
        labels,
        RECIPE,
        ranks=ranks_by_position(null),
        seed=2,
        n_items=5,
        n_avoided=5,
        level=LEVEL,
    ).echo
    found = null_echo(X, 3, RECIPE, ranks=ranks, seed=2, n_items=5, level=UnseenLevel(5, 150))
    assert found == expected


def contrasted(X, groups, k, centers, n_items=5):
    blocks = LocalEngine(1).blocks(X)
    profiles = profile_segments(blocks, groups, k)
    return contrast_segments(profiles, np.array(centers), ranks=rank(blocks), n_items=n_items)


def test_what_tells_a_segment_from_the_nearest_is_what_only_one_of_the_two_is_keen_on(tastes):
    """The first is far from the others: what they have in common against it does not tell them apart."""
    X, groups, kinds = tastes
    found = contrasted(X, groups, 3, [[0.0, 9.0], [1.0, 0.0], [2.0, 0.0]], n_items=15)
    assert [one.nearest for one in found] == [1, 2, 1]
    for segment, one in enumerate(found):
        assert set(kinds[one.more]) == {segment}
        assert set(kinds[one.less]) == {one.nearest}
        assert (len(one.more), len(one.less)) == (15, 15)
    assert found[1].more.tolist() == found[2].less.tolist()


def test_customers_of_other_segments_have_no_say_in_what_tells_two_apart(tastes):
    X, groups, _ = tastes
    centers = [[0.0, 9.0], [1.0, 0.0], [2.0, 0.0]]
    before = contrasted(X, groups, 3, centers)[1]
    changed = X.toarray()
    changed[groups == 0] = 1 - changed[groups == 0]
    after = contrasted(sp.csr_array(changed), groups, 3, centers)[1]
    assert (before.more.tolist(), before.less.tolist()) == (
        after.more.tolist(),
        after.less.tolist(),
    )


def test_next_to_a_few_customers_nothing_is_told_apart():
    """Five of the few would have to have an item if they were like the others."""
    X, kinds = np.zeros((60, 12)), np.repeat([0, 1, 2], [3, 30, 27])
    X[:3, :4], X[3:33, 4:8], X[33:, 8:] = 1, 1, 1
    few, many, _ = contrasted(sp.csr_array(X), kinds, 3, [[0.0], [1.0], [5.0]])
    assert (few.nearest, many.nearest) == (1, 0)
    assert [len(found) for found in (few.more, few.less, many.more, many.less)] == [0] * 4


def test_five_customers_of_the_one_must_have_what_the_other_avoids():
    X, kinds = np.zeros((200, 6)), np.repeat([0, 1, 2], [90, 90, 20])
    X[:90, 0], X[90:180, 1], X[180:, 2] = 1, 1, 1
    X[:5, 3], X[:4, 4] = 1, 1
    one, other, _ = contrasted(sp.csr_array(X), kinds, 3, [[0.0], [1.0], [5.0]])
    assert 3 in one.more
    assert 4 not in one.more
    assert one.more.tolist() == other.less.tolist()


def test_the_nearest_segment_is_one_with_customers_and_of_equals_the_first(tastes):
    X, groups, _ = tastes
    found = contrasted(X, np.where(groups == 2, 4, groups), 5, [[0.0], [2.0], [1.0], [1.5], [1.0]])
    assert [one and one.nearest for one in found] == [4, 4, None, None, 0]


def test_of_two_segments_the_other_is_all_others(tastes):
    X, groups, _ = tastes
    assert contrasted(X, groups % 2, 3, [[0.0], [1.0], [2.0]]) == [None] * 3
