"""Which of a few distances is the least, for each row."""

import numpy as np
import pytest

from segcli.numerics.assignment import nearest_of


@pytest.mark.parametrize("k", [1, 2, 3, 255, 256, 300])
def test_each_column_has_its_least_entry_and_the_first_of_equal_ones(k):
    rng = np.random.default_rng(k)
    distances = rng.integers(-9, 10, (k, 500)) * 0.1  # many are equal
    distances[:, 0] = 1
    distances[-1, 1] = -2  # the last alone
    labels, least = nearest_of(distances)
    assert np.array_equal(labels, distances.argmin(axis=0))
    assert np.array_equal(least, distances.min(axis=0))


def test_the_answer_does_not_change_with_the_question():
    distances = np.array([[3.0, 1.0]])
    _, least = nearest_of(distances)
    distances[:] = 0
    assert least.tolist() == [3, 1]
