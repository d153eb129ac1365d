"""Means of what is known."""

import numpy as np

from segcli.numerics.means import nan_mean


def test_mean_without_nan():
    values = np.array([[1.0, np.nan, np.nan], [3.0, 2.0, np.nan]])
    assert nan_mean(values)[:2].tolist() == [2, 2]
    assert np.isnan(nan_mean(values)[2])
