"""Ranks depend on what customers did, not on where they stand or what they are called."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from segcli.engine import LocalEngine
from segcli.engine.local import LocalBlocks
from segcli.numerics import ranks as ranks_module
from segcli.numerics.ranks import (
    Ranks,
    in_rank_order,
    rank,
    sample_in_rank_order,
    sample_rows,
    shuffled,
    top,
)

SMALL = hnp.arrays(
    np.float64,
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    elements=st.sampled_from([0.0, 0.0, 1.0, 2.5]),
)


def ranks_of(dense):
    return rank(LocalEngine(1).blocks(sp.csr_array(dense)))


def kinds(dense):
    """What each customer and item is known by after two rounds, written out instead of hashed."""
    n, m = dense.shape
    customers, items = [()] * n, [()] * m
    for _ in range(2):
        items = [
            (items[j], *sorted((dense[i, j], customers[i]) for i in range(n) if dense[i, j]))
            for j in range(m)
        ]
        customers = [
            (customers[i], *sorted((dense[i, j], items[j]) for j in range(m) if dense[i, j]))
            for i in range(n)
        ]
    return customers, items


def is_permutation(positions):
    return sorted(positions.tolist()) == list(range(len(positions)))


@settings(max_examples=150, deadline=None)
@given(dense=SMALL, data=st.data())
def test_the_order_does_not_depend_on_position(dense, data):
    rows = data.draw(st.permutations(range(dense.shape[0])))
    columns = data.draw(st.permutations(range(dense.shape[1])))
    moved = dense[rows][:, columns]
    before, after = ranks_of(dense), ranks_of(moved)
    for kind in (0, 1):
        orders = [(r.customer_order, r.item_order)[kind] for r in (before, after)]
        assert all(map(is_permutation, orders))
        sequences = [
            [kinds(matrix)[kind][position] for position in order]
            for matrix, order in zip((dense, moved), orders, strict=True)
        ]
        assert sequences[0] == sequences[1]


@settings(max_examples=150, deadline=None)
@given(dense=SMALL)
def test_the_alike_stand_together_in_order_of_position(dense):
    for order, names in zip(
        (ranks_of(dense).customer_order, ranks_of(dense).item_order), kinds(dense), strict=True
    ):
        for kind in set(names):
            alike = [position for position, name in enumerate(names) if name == kind]
            at = order.tolist().index(alike[0])
            assert order[at : at + len(alike)].tolist() == alike


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_renamed_matrix_is_the_same_matrix_in_rank_order(ratings, seed):
    rng = np.random.default_rng(seed)
    dense = ratings.toarray()
    moved = dense[rng.permutation(len(dense))][:, rng.permutation(dense.shape[1])]
    in_order = [
        matrix[ranks_of(matrix).customer_order][:, ranks_of(matrix).item_order]
        for matrix in (dense, moved)
    ]
    assert np.array_equal(*in_order)


def test_customers_who_mirror_each_other_keep_their_order():
    """Each has an item of its own: nothing but the position tells them apart."""
    found = ranks_of(np.eye(5))
    assert found.customers.tolist() == [0, 1, 2, 3, 4]
    assert found.items.tolist() == [0, 1, 2, 3, 4]


def test_a_value_a_customer_and_an_item_each_tell_apart():
    dense = np.array([[1, 0, 0], [2, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1]], dtype=float)
    customers, _ = kinds(dense)
    assert len(set(customers)) == 4
    order = ranks_of(dense).customer_order.tolist()
    assert order.index(4) == order.index(3) + 1


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(1, 250), max_size=5, unique=True), n_threads=st.integers(1, 2))
def test_blocks_do_not_matter(ratings, cuts, n_threads):
    bounds = (0, *sorted(cuts), ratings.shape[0])
    found, whole = rank(LocalBlocks(ratings, bounds, n_threads)), ranks_of(ratings)
    assert found.customers.tolist() == whole.customers.tolist()
    assert found.items.tolist() == whole.items.tolist()


def test_order_and_ranks_are_inverse(ratings):
    found = ranks_of(ratings)
    n_customers, n_items = ratings.shape
    assert found.customers[found.customer_order].tolist() == list(range(n_customers))
    assert found.items[found.item_order].tolist() == list(range(n_items))


@pytest.mark.parametrize("seed", range(3))
def test_shuffled_picks_the_same_customers_after_a_move(seed):
    rng = np.random.default_rng(5)
    ranks, move = rng.permutation(40), rng.permutation(40)
    before = shuffled(ranks, np.random.default_rng(seed))
    after = shuffled(ranks[move], np.random.default_rng(seed))
    assert is_permutation(before)
    assert move[after].tolist() == before.tolist()


def test_shuffled_varies_with_the_generator():
    ranks = np.arange(40)
    one, two = (shuffled(ranks, np.random.default_rng(seed)) for seed in (0, 1))
    assert one.tolist() != two.tolist()


def top_of(scores, n):
    """Of items in the order of their ranks."""
    return top(np.array(scores), n, np.arange(len(scores))).tolist()


def test_top_is_largest_first_and_ties_keep_their_order():
    assert top_of([1.0, 3, 2, 3], 3) == [1, 3, 2]
    assert top_of([1.0, 2], 10) == [1, 0]
    assert top_of([0.0] * 4, 2) == [0, 1]
    assert top_of([1.0, 2], 0) == []


def test_top_does_not_let_rounding_decide():
    assert top_of([0.3, 0.1 + 0.2], 2) == [0, 1]
    assert top_of([3e-20, 1e-20 + 2e-20, 4e-20], 3) == [2, 0, 1]


@pytest.mark.parametrize("n", [0, 3])
def test_top_rounds_no_more_scores_than_can_be_in_it(monkeypatch, n):
    rounded = []
    monkeypatch.setattr(
        "segcli.numerics.ranks.float",
        lambda text: rounded.append(text) or float(text),
        raising=False,
    )
    found = top(np.arange(50.0), n, np.arange(50))
    assert found.tolist() == [49, 48, 47][:n]
    assert len(rounded) == n


def test_of_a_sample_only_the_items_that_it_has_are_looked_at(monkeypatch):
    X = sp.csr_array([[0.0, 5, 0, 1], [0, 0, 0, 0], [0, 0, 3, 2]])
    ranks = Ranks(customers=np.array([2, 1, 0]), items=np.array([1, 3, 0, 2]))
    assert in_rank_order(X, ranks).toarray().tolist() == [[3, 0, 2, 0], [0, 0, 0, 0], [0, 0, 1, 5]]

    def theirs(*rows):
        monkeypatch.setattr(ranks_module, "sample_rows", lambda *_, **__: np.array(rows))
        return sample_in_rank_order(X, ranks, 2, seed=0).toarray().tolist()

    assert theirs(2, 1) == [[3, 2], [0, 0]]
    assert theirs(2, 0) == [[3, 2, 0], [0, 1, 5]]
    assert theirs(1) == [[0, 0, 0, 0]]  # who have none: all, for a matrix needs some


def test_a_sample_is_in_rank_order_and_another_for_each_stream():
    ranks = Ranks(np.random.default_rng(0).permutation(50), np.arange(1))
    rows = sample_rows(ranks, 20, seed=1)
    assert len(rows) == 20
    assert np.all(np.diff(ranks.customers[rows]) > 0)
    other = sample_rows(ranks, 20, seed=1, stream=(31, 0))
    assert not np.array_equal(rows, other)
    assert np.array_equal(sample_rows(ranks, 90, seed=1), sample_rows(ranks, 50, seed=2))
