"""What a segment says of hidden interactions: worked examples, the definition, and relations."""

import numpy as np
import pytest
import scipy.sparse as sp
from planted import DESIGNS, plant, unplanted

from segcli.numerics.held_out import Hidden, bits_gained, hide, mean_gain, own_weights

DESIGN = DESIGNS["equal, even, stars"]


def csr(rows):
    return sp.csr_array(np.array(rows, dtype=np.float64))


@pytest.fixture(scope="module")
def parts():
    X, truth = plant(DESIGN, 1)
    return hide(X, rng=np.random.default_rng(0)), truth


def test_the_two_parts_add_up_and_share_no_entry():
    X, _ = plant(DESIGN, 1)
    parts = hide(X, rng=np.random.default_rng(3), share=0.3)
    assert abs(parts.seen + parts.hidden - X).max() == 0
    assert parts.seen.multiply(parts.hidden).nnz == 0
    assert parts.hidden.nnz / X.nnz == pytest.approx(0.3, abs=0.01)


def test_every_customer_keeps_an_interaction():
    X = csr([[1, 0, 0], [2, 3, 0], [0, 0, 0]])
    parts = hide(X, rng=np.random.default_rng(0), share=1.0)
    assert np.diff(parts.seen.indptr).tolist() == [1, 1, 0]
    assert np.diff(parts.hidden.indptr).tolist() == [0, 1, 0]


def test_bits_are_the_logarithm_of_the_mixed_share_over_popularity():
    """By the definition, in plain Python."""
    rng = np.random.default_rng(4)
    whole = sp.csr_array((rng.random((40, 8)) < 0.5) * 2.0)
    parts = hide(whole, rng=rng)
    labels = rng.integers(0, 3, 40)
    counts = np.zeros((3, 8))
    for customer, item in zip(*parts.seen.nonzero(), strict=True):
        counts[labels[customer], item] += 1
    own, popularity = own_weights(counts), counts.sum(axis=0)
    expected = np.zeros(40)
    for customer, item in zip(*parts.hidden.nonzero(), strict=True):
        segment = labels[customer]
        share = popularity[item] / popularity.sum()
        mixed = (
            own[segment] * counts[segment, item] / counts[segment].sum()
            + (1 - own[segment]) * share
        )
        expected[customer] += np.log2(mixed / share)
    assert bits_gained(parts, labels, 3) == pytest.approx(expected)


def test_own_weights_make_left_out_interactions_most_probable():
    counts = np.array([[9.0, 1, 0, 2], [1, 7, 3, 3]])
    popularity = counts.sum(axis=0)

    def log_likelihood(segment, weight):
        total = 0.0
        for item, n in enumerate(counts[segment]):
            own = (n - 1) / (counts[segment].sum() - 1)
            share = (popularity[item] - 1) / (popularity.sum() - 1)
            total += n * np.log(weight * own + (1 - weight) * share) if n else 0.0
        return total + np.log(1 - weight)  # the one interaction of doubt

    grid = np.linspace(0, 0.999, 1000)
    for segment, weight in enumerate(own_weights(counts)):
        best = max(log_likelihood(segment, w) for w in grid)
        assert log_likelihood(segment, weight) == pytest.approx(best, abs=1e-3)


def test_a_segment_of_one_item_does_not_make_the_others_impossible():
    seen = csr([[1, 0], [1, 0], [1, 0], [0, 1], [0, 1]])
    hidden = csr([[0, 1], [0, 0], [0, 0], [0, 0], [1, 0]])
    bits = bits_gained(Hidden(seen, hidden), np.array([0, 0, 0, 1, 1]), 2)
    assert np.isfinite(bits).all()
    assert (bits[[0, 4]] < 0).all()


def test_knowing_the_planted_segment_gains_and_a_random_one_does_not(parts):
    hidden, truth = parts
    n_hidden = np.diff(hidden.hidden.indptr)
    gain, error = mean_gain(bits_gained(hidden, truth, DESIGN.k), n_hidden)
    assert gain > 0.3
    assert error < 0.02
    random = np.random.default_rng(0).permutation(truth)
    assert abs(mean_gain(bits_gained(hidden, random, DESIGN.k), n_hidden)[0]) < 0.02


def test_one_taste_gains_nothing_however_it_is_cut():
    X = unplanted(DESIGN, 2)
    hidden = hide(X, rng=np.random.default_rng(1))
    by_activity = (np.diff(X.indptr) > np.median(np.diff(X.indptr))).astype(int)
    gain, _ = mean_gain(bits_gained(hidden, by_activity, 2), np.diff(hidden.hidden.indptr))
    assert abs(gain) < 0.02


def test_an_item_that_nobody_is_seen_to_have_gains_nothing():
    parts = Hidden(csr([[1, 0], [1, 0]]), csr([[0, 1], [0, 0]]))
    assert bits_gained(parts, np.array([0, 1]), 2).tolist() == [0, 0]


def test_the_error_of_a_gain_is_that_over_resampled_customers():
    rng = np.random.default_rng(5)
    n_hidden = rng.integers(1, 9, 400)
    bits = n_hidden * 0.3 + rng.standard_normal(400) * np.sqrt(n_hidden)
    gain, error = mean_gain(bits, n_hidden)
    assert gain == bits.sum() / n_hidden.sum()
    drawn = rng.integers(0, 400, (4000, 400))
    resampled = bits[drawn].sum(axis=1) / n_hidden[drawn].sum(axis=1)
    assert error == pytest.approx(resampled.std(), rel=0.05)


def test_nothing_hidden_has_no_gain():
    assert np.isnan(mean_gain(np.zeros(3), np.zeros(3))).all()
