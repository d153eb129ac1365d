"""Means of what is known, and their errors."""

import numpy as np

from segcli.numerics.means import nan_mean, standard_error


def test_mean_without_nan():
    values = np.array([[1.0, np.nan, np.nan], [3.0, 2.0, np.nan]])
    assert nan_mean(values)[:2].tolist() == [2, 2]
    assert np.isnan(nan_mean(values)[2])


def test_standard_error_of_the_mean():
    values = np.array([[1.0, 5.0], [3.0, 5.0], [5.0, 5.0]])
    assert np.allclose(standard_error(values), [2 / np.sqrt(3), 0])
    assert standard_error(values[:1]).tolist() == [0, 0]
