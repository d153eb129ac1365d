"""Silhouettes: against scikit-learn, on all customers and on a sample."""

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from sklearn.metrics import silhouette_samples

from segcli.numerics.silhouette import mean_silhouettes, silhouette_values


@pytest.fixture
def scores():
    return np.random.default_rng(0).standard_normal((60, 3))


@pytest.fixture
def labels():
    """Labels of 0 to 5: nobody has 3, and one customer alone has 5."""
    labels = np.random.default_rng(1).integers(0, 3, 60)
    labels[7:12], labels[20] = 4, 5
    return labels


def test_values_are_scikit_learns(scores, labels):
    found = silhouette_values(cdist(scores, scores), labels)
    assert found == pytest.approx(silhouette_samples(scores, labels))
    assert found[20] == 0


def test_of_one_segment_there_are_none(scores):
    assert np.isnan(silhouette_values(cdist(scores, scores), np.zeros(60, dtype=int))).all()


def test_a_sample_is_drawn_by_chance(scores, labels):
    rows = np.sort(np.random.default_rng(2).permutation(60)[:25])
    both = [labels, labels % 2]
    found = mean_silhouettes(scores, both, rng=np.random.default_rng(2), sample_size=25)
    expected = [silhouette_samples(scores[rows], one[rows]).mean() for one in both]
    assert found == pytest.approx(expected)
