"""What marks a segment: Monroe's equations written out, worked cases, and relations."""

import math
from functools import partial

import numpy as np
import pytest

from segcli.numerics import log_odds
from segcli.numerics.log_odds import LogOdds, popularity_ranks, score_log_odds

CUSTOMERS = np.array([[8.0, 1, 0, 5], [2, 6, 0, 5], [0, 0, 3, 5]])
SIZES = np.array([8, 7, 5])


def scored(customers=CUSTOMERS, sizes=SIZES, *, others=None, n_others=0, prior=500.0):
    """Score segments; ``others`` are the counts of customers in no segment."""
    everyone = customers.sum(axis=0) + (0 if others is None else others)
    return score_log_odds(
        customers,
        sizes,
        everyone=everyone,
        n_everyone=int(sizes.sum()) + n_others,
        prior_interactions=prior,
    )


def everywhere(figure):
    """Return a method's figures of each item in each segment."""
    return figure(*np.ix_(*map(range, figure.__self__.z.shape)))


def monroe(y_in, y_out, prior, word):
    """Return equations 15 (log-odds), 20 (variance) and 22 (z) for one word of two documents."""

    def log_odds(y):
        n, a0 = sum(y), sum(prior)
        return math.log((y[word] + prior[word]) / (n + a0 - y[word] - prior[word]))

    delta = log_odds(y_in) - log_odds(y_out)
    variance = 1 / (y_in[word] + prior[word]) + 1 / (y_out[word] + prior[word])
    return delta, delta / math.sqrt(variance)


@pytest.mark.parametrize("prior_size", [1.0, 30.0, 500.0])
@pytest.mark.parametrize("others", [None, np.array([3.0, 0, 4, 9])])
def test_against_the_equations_written_out(prior_size, others):
    found = scored(others=others, n_others=9 if others is not None else 0, prior=prior_size)
    everyone = CUSTOMERS.sum(axis=0) + (0 if others is None else others)
    prior = [prior_size * count / everyone.sum() for count in everyone]
    for segment, own in enumerate(CUSTOMERS):
        for item in range(4):
            delta, z = monroe(own.tolist(), (everyone - own).tolist(), prior, item)
            assert found.log_odds[segment, item] == pytest.approx(delta, rel=1e-12)
            assert found.z[segment, item] == pytest.approx(z, rel=1e-12)


def test_by_hand():
    """Ten interactions fall 6 : 4 on two items inside and 2 : 8 outside; a prior of 20 adds 8 and 12."""
    found = scored(np.array([[6.0, 4], [2, 8]]), np.array([7, 9]), prior=20.0)
    expected = math.log(14 / 16) - math.log(10 / 20)
    assert found.log_odds[0].tolist() == pytest.approx([expected, -expected])
    assert found.z[0, 0] == pytest.approx(expected / math.sqrt(1 / 14 + 1 / 10))
    assert found.z[0, 1] == pytest.approx(-expected / math.sqrt(1 / 16 + 1 / 20))
    assert everywhere(found.share).tolist() == [[6 / 7, 4 / 7], [2 / 9, 8 / 9]]
    assert everywhere(found.share_outside).tolist() == [[2 / 9, 8 / 9], [6 / 7, 4 / 7]]


def test_a_segment_of_one_customer_has_all_or_nothing():
    found = scored(np.array([[1.0, 0], [4, 9]]), np.array([1, 9]))
    assert everywhere(found.share).tolist() == [[1, 0], [4 / 9, 1]]
    assert everywhere(found.share_outside).tolist() == [[4 / 9, 1], [1, 0]]


def test_times_are_of_the_parts_and_know_no_prior():
    """Of 40 interactions 10 inside, of 70 none outside; were all alike, 3.6 and 6.4."""
    found = scored(np.array([[10.0, 30], [0, 70]]), np.array([10, 30]))
    segments, items = np.array([0, 0, 1]), np.array([0, 1, 0])
    alike = 10 * 40 / 110, 10 * 70 / 110
    first = (10.5 / (alike[0] + 0.5)) / (0.5 / (alike[1] + 0.5))
    second = (30.5 / (100 * 40 / 110 + 0.5)) / (70.5 / (100 * 70 / 110 + 0.5))
    assert found.times(segments, items).tolist() == pytest.approx([first, second, 1 / first])
    assert np.exp(found.log_odds[0, 0]) < 2  # five hundred interactions of all outweigh these


def test_times_of_many_interactions_are_the_plain_ratio_and_of_next_to_none_one():
    found = scored(np.array([[30_000.0, 70_000], [100, 900], [0, 20]]), np.array([9000, 90, 2]))
    assert found.times(1, 0) == pytest.approx(0.1 / (30_000 / 100_020), rel=0.01)
    few = scored(np.array([[20.0, 99_980], [0, 20]]), np.array([9000, 2]))
    assert few.times(0, 0) == pytest.approx(1, abs=0.02)  # nor is it 0 of twenty that tells


def test_times_of_equal_tastes_are_one():
    found = scored(np.array([[3000.0, 7000], [300, 700]]), np.array([9000, 900]))
    assert found.times(np.array([0, 1]), np.array([0, 1])) == pytest.approx([1, 1], abs=0.01)


def test_customers_in_no_segment_count_as_others():
    found = scored(others=np.array([0.0, 0, 0, 10]), n_others=20)
    assert everywhere(found.share_outside)[0].tolist() == [2 / 32, 6 / 32, 3 / 32, 20 / 32]


def test_two_segments_mirror_each_other():
    found = scored(np.array([[6.0, 4, 1], [2, 8, 9]]), np.array([7, 9]))
    assert np.allclose(found.log_odds[0], -found.log_odds[1])
    assert np.allclose(found.z[0], -found.z[1])


def test_equal_tastes_have_no_log_odds_however_active():
    found = scored(np.array([[30.0, 70, 110], [3, 7, 11]]), np.array([500, 100]))
    assert np.allclose(found.log_odds, 0)
    for segment in range(2):
        for listed in (found.characteristic, found.avoided):
            assert listed(segment, 9, item_ranks=np.arange(3)).tolist() == []


def test_more_prior_shrinks_the_rare_the_most():
    weak, strong = (scored(prior=prior) for prior in (1.0, 1000.0))
    assert (np.abs(strong.log_odds) < np.abs(weak.log_odds)).all()
    rare, common = (abs(strong.log_odds[s, i] / weak.log_odds[s, i]) for s, i in ((2, 2), (0, 0)))
    assert rare < common


def test_what_cannot_be_compared_stands_at_zero():
    """An item that nobody has; a sole item; a sole segment."""
    found = scored(np.array([[4.0, 0, 2], [1, 0, 5]]), np.array([5, 6]))
    assert found.log_odds[:, 1].tolist() == found.z[:, 1].tolist() == [0, 0]
    sole_item = scored(np.array([[3.0, 0], [2, 0]]), np.array([3, 2]))
    assert not sole_item.z.any()
    sole_segment = scored(np.array([[3.0, 2]]), np.array([4]))
    assert np.allclose(sole_segment.log_odds, 0)
    assert everywhere(sole_segment.share_outside).tolist() == [[0, 0]]
    nobody = scored(np.zeros((2, 3)), np.array([0, 0]))
    assert not nobody.z.any()


def test_moved_items_and_segments_have_the_same_scores():
    rows, columns = np.array([2, 0, 1]), np.array([3, 1, 0, 2])
    before, after = scored(), scored(CUSTOMERS[rows][:, columns], SIZES[rows])
    assert np.allclose(after.z, before.z[rows][:, columns], atol=1e-12)
    outside = everywhere(before.share_outside)
    assert np.allclose(everywhere(after.share_outside), outside[rows][:, columns])
    assert after.popularity_rank.tolist() == before.popularity_rank[columns].tolist()


def test_characteristic_items_need_support_and_come_strongest_first(monkeypatch):
    found = scored(np.array([[8.0, 6, 4, 20], [0, 1, 0, 80]]), np.array([20, 80]))
    by_z = np.argsort(-found.z[0]).tolist()
    ranks = np.arange(4)
    assert found.characteristic(0, 9, item_ranks=ranks).tolist() == [i for i in by_z if i in (0, 1)]
    assert found.characteristic(0, 1, item_ranks=ranks).tolist() == by_z[:1]
    assert found.characteristic(1, 9, item_ranks=ranks).tolist() == [3]
    monkeypatch.setattr(log_odds, "LEAST_CUSTOMERS", 4)
    assert found.characteristic(0, 9, item_ranks=ranks).tolist() == by_z[:3]


def test_avoided_items_must_be_had_by_others(monkeypatch):
    customers = np.array([[9.0, 0, 0, 3], [9, 50, 2, 3]])
    found = scored(customers, np.array([10, 100]))
    avoided = partial(found.avoided, 0, 9, item_ranks=np.arange(4))
    assert avoided().tolist() == [1]
    monkeypatch.setattr(log_odds, "LEAST_SHARE", 0.01)
    assert avoided().tolist() == [1]
    monkeypatch.setattr(log_odds, "LEAST_CUSTOMERS", 0)
    assert avoided().tolist() == [1, 2]


def test_what_more_of_the_segment_have_is_not_avoided():
    """They have 9 times as much of everything else, and a little more of the last item."""
    found = scored(np.array([[90.0, 90, 30], [10, 10, 25]]), np.array([100, 100]))
    assert found.z[0, 2] < 0
    assert found.avoided(0, 9, item_ranks=np.arange(3)).tolist() == []


@pytest.mark.parametrize(("size", "avoided"), [(9, []), (10, [1])])
def test_that_few_customers_lack_an_item_says_nothing(size, avoided):
    """Half of the others have it, so that five of ten would."""
    found = scored(np.array([[9.0, 0], [9, 50]]), np.array([size, 100]))
    assert found.avoided(0, 9, item_ranks=np.arange(2)).tolist() == avoided


def test_ties_go_to_the_lower_rank():
    found = scored(np.array([[6.0, 6, 6, 1], [1, 1, 1, 9]]), np.array([9, 9]))
    assert found.characteristic(0, 3, item_ranks=np.array([2, 0, 1, 3])).tolist() == [1, 2, 0]


def test_popularity_ranks_begin_at_one_and_ties_share_the_better():
    assert popularity_ranks(np.array([5, 9, 5, 0])).tolist() == [2, 1, 2, 4]


def standing(z, share_outside):
    """Nine of a thousand customers have each item, and these shares of a hundred others."""
    customers = np.full((1, len(z)), 9)
    return LogOdds(
        log_odds=np.array([z]),
        z=np.array([z]),
        customers=customers,
        sizes=np.array([1000]),
        popularity_rank=None,
        everyone=9 + 100 * np.array(share_outside),
        n_everyone=1100,
        interactions=None,
        interactions_outside=None,
    )


def test_ties_go_to_the_lower_rank_wherever_the_item_stands():
    found = standing([-1.0, 2, 2, -1, 2], [0.05, 0.04, 0.5, 0.05, 0.5])
    ranks = np.array([1, 4, 3, 0, 2])
    assert found.characteristic(0, 3, item_ranks=ranks).tolist() == [4, 2, 1]
    assert found.avoided(0, 3, item_ranks=ranks).tolist() == [3, 0]  # a twentieth is enough


def test_the_prior_is_five_hundred_interactions_of_all_customers():
    """One segment of two has 3 of 4 interactions with the first item; a prior of 250 on each."""
    found = score_log_odds(
        np.array([[3, 1], [1, 3]]), np.array([3, 3]), everyone=np.array([4, 4]), n_everyone=6
    )
    assert np.isclose(found.log_odds[0, 0], np.log(253 / 251) - np.log(251 / 253))
