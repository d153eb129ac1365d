"""The customers nearest to their segment's center, by hand."""

import numpy as np

from segcli.numerics.typical import typical_customers

LABELS = np.array([0, 1, 0, 0, 1, -1, 0])
DISTANCES = np.array([0.5, 0.2, 0.1, 0.3, 0.4, 0.0, 0.2])
RANKS = np.arange(7)


def test_nearest_first_and_nobody_unassigned():
    first, second = typical_customers(LABELS, DISTANCES, 2, customer_ranks=RANKS, n=3)
    assert first.tolist() == [2, 6, 3]
    assert second.tolist() == [1, 4]


def test_ties_to_twelve_digits_go_to_the_lower_rank():
    distances = np.array([0.3, 0.3 * (1 + 1e-13), 0.3 * (1 + 1e-10), 0.9, 0.3])
    ranks = np.array([4, 1, 0, 2, 3])
    (only,) = typical_customers(np.zeros(5, int), distances, 1, customer_ranks=ranks, n=4)
    assert only.tolist() == [1, 4, 0, 2]


def test_a_segment_without_customers_has_no_typical_ones():
    *_, last = typical_customers(LABELS, DISTANCES, 3, customer_ranks=RANKS)
    assert len(last) == 0


def test_moved_customers_are_as_typical():
    rng = np.random.default_rng(0)
    labels, distances = rng.integers(0, 4, 200), rng.integers(0, 20, 200) / 7
    ranks, order = rng.permutation(200), rng.permutation(200)
    before = typical_customers(labels, distances, 4, customer_ranks=ranks)
    after = typical_customers(labels[order], distances[order], 4, customer_ranks=ranks[order])
    for a, b in zip(after, before, strict=True):
        assert order[a].tolist() == b.tolist()
