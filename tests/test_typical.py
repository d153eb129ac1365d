"""The typical customers of a segment, by hand."""

import numpy as np
import pytest

from segcli.numerics.typical import typical_customers

LABELS = np.array([0, 1, 0, 0, 1, -1, 0])
DISTANCES = np.array([0.5, 0.2, 0.1, 0.3, 0.4, 0.0, 0.2])
RANKS = np.arange(7)
NONE = np.zeros(7, dtype=int)


def test_nearest_first_and_nobody_unassigned():
    first, second = typical_customers(LABELS, DISTANCES, 2, n_marks=NONE, customer_ranks=RANKS, n=3)
    assert first.tolist() == [2, 6, 3]
    assert second.tolist() == [1, 4]


@pytest.mark.parametrize(
    ("n_marks", "expected"),
    [
        ([1, 9, 0, 2, 9, 9, 2], [6, 3, 2, 0]),  # the median of the segment is 1.5
        ([0, 9, 0, 1, 9, 9, 0], [3, 2, 6, 0]),  # it is 0, and one at least is asked for
        ([3, 9, 3, 3, 9, 9, 3], [2, 6, 3, 0]),
    ],
)
def test_who_has_as_much_of_what_marks_the_segment_as_half_of_it_comes_first(n_marks, expected):
    first, _ = typical_customers(
        LABELS, DISTANCES, 2, n_marks=np.array(n_marks), customer_ranks=RANKS, n=4
    )
    assert first.tolist() == expected


def test_ties_to_twelve_digits_go_to_the_lower_rank():
    distances = np.array([0.3, 0.3 * (1 + 1e-13), 0.3 * (1 + 1e-10), 0.9, 0.3])
    ranks = np.array([4, 1, 0, 2, 3])
    (only,) = typical_customers(
        np.zeros(5, int), distances, 1, n_marks=NONE[:5], customer_ranks=ranks, n=4
    )
    assert only.tolist() == [1, 4, 0, 2]


def test_a_segment_without_customers_has_no_typical_ones():
    *_, last = typical_customers(LABELS, DISTANCES, 3, n_marks=NONE, customer_ranks=RANKS)
    assert len(last) == 0


def test_moved_customers_are_as_typical():
    rng = np.random.default_rng(0)
    labels, distances = rng.integers(0, 4, 200), rng.integers(0, 20, 200) / 7
    ranks, order = rng.permutation(200), rng.permutation(200)
    marks = rng.integers(0, 4, 200)
    before = typical_customers(labels, distances, 4, n_marks=marks, customer_ranks=ranks)
    labels, distances, marks, ranks = (each[order] for each in (labels, distances, marks, ranks))
    after = typical_customers(labels, distances, 4, n_marks=marks, customer_ranks=ranks)
    for a, b in zip(after, before, strict=True):
        assert order[a].tolist() == b.tolist()
