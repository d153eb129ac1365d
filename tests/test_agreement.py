"""Agreement of labellings, worked out by hand and against the definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import (
    adjusted_rand_score,
    confusion_matrix,
    precision_recall_fscore_support,
)

from segcli.numerics.agreement import adjusted_rand, agreement, variance_explained

LABELS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)


def test_agreement_by_hand():
    """Segment 0: two of three found; 1: its only customer lost; 2: two of two found."""
    found = agreement(np.array([0, 0, 0, 1, 2, 2]), np.array([0, 0, 2, 0, 2, 2]), 3)
    assert found.confusion.tolist() == [[2, 0, 1], [1, 0, 0], [0, 0, 2]]
    assert found.accuracy == pytest.approx(4 / 6)
    assert found.recall.tolist() == pytest.approx([2 / 3, 0, 1])
    assert found.precision.tolist() == pytest.approx([2 / 3, np.nan, 2 / 3], nan_ok=True)


@given(LABELS)
def test_agreement_is_scikit_learns(pairs):
    labels, predicted = np.array(pairs).T
    found = agreement(labels, predicted, 4)
    assert found.confusion.tolist() == confusion_matrix(labels, predicted, labels=range(4)).tolist()
    precision, recall, _, _ = precision_recall_fscore_support(
        labels, predicted, labels=range(4), zero_division=np.nan
    )
    assert found.precision.tolist() == pytest.approx(precision.tolist(), nan_ok=True)
    assert found.recall.tolist() == pytest.approx(recall.tolist(), nan_ok=True)
    assert found.accuracy == pytest.approx(np.mean(labels == predicted))


def test_variance_explained_by_hand():
    """Means 1 and 5 about 3: between is 4 · 2² = 16; within is 4 · 1² = 4."""
    values, labels = np.array([0.0, 2, 4, 6]), np.array([0, 0, 1, 1])
    assert variance_explained(values, labels) == pytest.approx(16 / 20)


def test_variance_explained_at_its_ends():
    labels = np.array([0, 0, 1, 1])
    assert variance_explained(np.array([1.0, 1, 7, 7]), labels) == pytest.approx(1)
    assert variance_explained(np.array([1.0, 7, 1, 7]), labels) == pytest.approx(0)


def test_a_variable_without_variance_is_not_explained():
    for value in (0.0, 3.0, 0.1, np.log(20), 1e9 + 0.1):
        for n in (3, 7, 10, 101):
            assert variance_explained(np.full(n, value), np.arange(n) % 3) == 0


@given(
    st.lists(
        st.tuples(st.floats(-1e3, 1e3).map(lambda x: round(x, 3)), st.integers(0, 4)),
        min_size=2,
        max_size=40,
    ).filter(lambda rows: len({value for value, _ in rows}) > 1)
)
def test_variance_explained_is_one_less_the_share_within(rows):
    values = np.array([value for value, _ in rows])
    labels = np.array([label for _, label in rows])
    within = sum(
        ((values[labels == label] - values[labels == label].mean()) ** 2).sum()
        for label in set(labels.tolist())
    )
    expected = 1 - within / ((values - values.mean()) ** 2).sum()
    found = variance_explained(values, labels)
    assert found == pytest.approx(expected, abs=1e-9)
    assert -1e-12 <= found <= 1 + 1e-12
    assert variance_explained(3 - 2 * values, labels) == pytest.approx(found, abs=1e-9)


def test_labels_without_meaning_explain_about_what_chance_gives():
    """(k - 1) / (n - 1) is expected; the mean of many draws comes near."""
    rng = np.random.default_rng(0)
    labels = np.arange(100) % 5
    shares = [variance_explained(rng.standard_normal(100), labels) for _ in range(500)]
    assert np.mean(shares) == pytest.approx(4 / 99, rel=0.1)


def test_variance_explained_does_not_depend_on_the_origin():
    rng = np.random.default_rng(0)
    labels, values = rng.integers(0, 3, 99), rng.integers(0, 50, 99) / 4096
    expected = variance_explained(values, labels)
    assert np.isclose(variance_explained(values + 2.0**40, labels), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ("n", "k", "other_k"), [(1, 1, 1), (2, 2, 1), (30, 1, 1), (30, 4, 7), (400, 9, 2)]
)
def test_adjusted_rand_is_scikit_learns(n, k, other_k):
    rng = np.random.default_rng(n)
    for _ in range(20):
        a, b = rng.integers(0, k, n), rng.integers(0, other_k, n)
        assert adjusted_rand(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)
        assert adjusted_rand(a, a) == 1
