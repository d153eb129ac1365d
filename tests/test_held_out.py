"""What a segment says of hidden interactions: worked examples, the definition, and relations."""

import numpy as np
import pytest
import scipy.sparse as sp
from planted import DESIGNS, plant, unplanted

from segcli.numerics import held_out
from segcli.numerics.held_out import Hidden, bits_gained, hide, mean_gain, mixture_weights

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
    """By the definition, in plain Python; of two items no interaction is hidden, one is seen but once.

    Both shares are of the items that the customer is not seen to have.
    """
    rng = np.random.default_rng(4)
    X = (rng.random((40, 8)) < 0.5) * 2.0
    parts = hide(sp.csr_array(X[:, :6]), rng=rng)
    parts = Hidden(
        sp.csr_array(sp.hstack([parts.seen, X[:, 6:], np.eye(40)[:, [0]]])),
        sp.csr_array(sp.hstack([parts.hidden, 0 * X[:, 6:], np.eye(40)[:, [1]]])),
    )
    labels = rng.integers(0, 3, 40)
    seen, hidden = np.zeros((3, 9)), np.zeros((5, 3, 9))
    for customer, item in zip(*parts.seen.nonzero(), strict=True):
        seen[labels[customer], item] += 1
    for customer, item in zip(*parts.hidden.nonzero(), strict=True):
        hidden[customer % 5, labels[customer], item] += 1
    popular = seen.sum(axis=0) / seen.sum()
    expected = np.zeros(40)
    for fold in range(5):
        others = hidden.sum(axis=0) - hidden[fold]
        segments, items = np.divmod(np.arange(27), 9)
        n, n_segment = others[segments, items], others.sum(axis=1)[segments]
        in_seen = seen[segments, items] / seen.sum(axis=1)[segments] / popular[items]
        one_less = np.maximum(n - 1, 0) / (n_segment - 1) / popular[items]
        weights = mixture_weights(n, [in_seen, one_less], np.array([0, 9, 18]))
        for customer, item in zip(*parts.hidden.nonzero(), strict=True):
            if customer % 5 == fold:
                segment = labels[customer]
                shares = (
                    weights[0, segment] * seen[segment] / seen[segment].sum()
                    + weights[1, segment] * others[segment] / others[segment].sum()
                    + weights[2, segment] * popular
                )
                unseen = parts.seen.toarray()[customer] == 0
                by_segment = shares[item] / shares[unseen].sum()
                expected[customer] += np.log2(by_segment / (popular[item] / popular[unseen].sum()))
    assert bits_gained(parts, labels, 3) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("n", "ratios"),
    [
        ([9.0, 1, 4, 2], [[2.0, 0.1, 0.9, 1], [1, 1.4, 0.8, 0]]),
        ([1.0, 7, 3, 3], [[0.5, 1.5, 1.2, 1], [0, 2, 1, 0.3]]),
    ],
)
def test_mixture_weights_make_the_interactions_most_probable(monkeypatch, n, ratios):
    monkeypatch.setattr(held_out, "_EM_STEPS", 2000)
    n, ratios = np.array(n), np.array(ratios)

    def log_likelihood(a, b):
        mixed = a * ratios[0] + b * ratios[1] + 1 - a - b
        return (n * np.log(mixed)).sum() + np.log(1 - a - b)  # the one interaction of doubt

    weights = mixture_weights(n, ratios, np.array([0]))[:, 0]
    assert weights.sum() == pytest.approx(1)
    grid = np.linspace(0, 0.99, 100)
    best = max(log_likelihood(x, y) for x in grid for y in grid if x + y < 1)
    assert log_likelihood(*weights[:2]) >= best - 1e-9


def test_several_mixtures_at_once_are_as_one_by_one():
    rng = np.random.default_rng(0)
    n, same, other = rng.poisson(2, (4, 30)), rng.gamma(1, 1, 30), rng.gamma(1, 1, (4, 30))
    weights = mixture_weights(n, [same, other], np.array([0, 7, 8]))
    assert weights.shape == (3, 4, 3)
    for i, (start, end) in enumerate([(0, 7), (7, 8), (8, 30)]):
        for fold in range(4):
            sources = [same[start:end], other[fold, start:end]]
            alone = mixture_weights(n[fold, start:end], sources, np.array([0]))
            assert weights[:, fold, i] == pytest.approx(alone[:, 0], rel=1e-12)


def test_popularity_is_never_quite_out_of_the_mixture():
    rng = np.random.default_rng(0)
    n = rng.poisson(3e4, 1000)
    source = n / n.sum() * 1e3 * rng.uniform(0.999, 1.001, 1000)
    for sources in ([source], [source, source[::-1]], [source * 1.01, 1e4 * source]):
        *_, rest = mixture_weights(n, sources, np.array([0]))
        assert 1 / (n.sum() + 1) * (1 - 1e-6) <= rest <= 1


def test_segments_that_are_an_item_each_gain_although_hiding_it_moves_the_customer():
    """Two items a customer, of one pair of three: without what others hide it looks worse than nothing.

    Of the five items that are not seen, the segment tells the one.
    """
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 3, 900)
    X = sp.csr_array(np.eye(6)[2 * pairs] + np.eye(6)[2 * pairs + 1])
    parts = hide(X, rng=rng, share=0.5)
    by_item = parts.seen.toarray().argmax(axis=1)
    gain, _ = mean_gain(bits_gained(parts, by_item, 6), np.diff(parts.hidden.indptr))
    assert gain == pytest.approx(np.log2(5), abs=0.1)


def test_a_segment_of_one_item_does_not_make_the_others_impossible():
    rng = np.random.default_rng(0)
    hidden = csr(np.eye(2)[rng.integers(0, 2, 60)])
    labels = np.repeat([0, 1], 30)
    bits = bits_gained(Hidden(csr(np.eye(2)[labels]), hidden), labels, 2)
    assert np.isfinite(bits).all()


def test_where_nothing_is_hidden_of_others_popularity_answers():
    parts = Hidden(csr([[1, 0], [1, 0], [0, 1]]), csr([[0, 1], [0, 0], [0, 0]]))
    assert bits_gained(parts, np.array([0, 0, 1]), 2).tolist() == [0, 0, 0]


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


@pytest.mark.parametrize("share", [0.35, 1.0])
def test_who_lacks_the_same_items_because_they_are_hidden_gains_nothing(share):
    """Of few items, what is not seen is mostly what is hidden: nobody has a taste, all have much."""
    rng = np.random.default_rng(3)
    X = sp.csr_array(
        (rng.random((800, 5)) < share).astype(float) + np.eye(5)[rng.integers(0, 5, 800)]
    )
    hidden = hide(X, rng=rng)
    seen = hidden.seen.toarray() > 0
    by_gaps = seen[:, 0] + 2 * seen[:, 1]
    gain, _ = mean_gain(bits_gained(hidden, by_gaps, 4), np.diff(hidden.hidden.indptr))
    assert gain < 0.02


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
    X = csr([[1, 0, 2], [0, 0, 0]])
    labels = np.array([0, 1])
    for nothing in (Hidden(X, sp.csr_array(X.shape)), Hidden(sp.csr_array(X.shape), X)):
        assert bits_gained(nothing, labels, 2).tolist() == [0, 0]
    assert hide(sp.csr_array((2, 3)), rng=np.random.default_rng(0)).hidden.nnz == 0


def test_the_error_by_hand_and_of_one_customer():
    """Gain 1: residuals 1 and -1, so the variance of a sum is 2 / 1 times 2; of three, 3 / 2 times 2."""
    assert mean_gain(np.array([2.0, 2]), np.array([1, 3])) == (1, pytest.approx(np.sqrt(4) / 4))
    assert mean_gain(np.full(3, 2.0), np.arange(1, 4)) == (1, pytest.approx(np.sqrt(3) / 6))
    assert mean_gain(np.array([2.0]), np.array([4])) == (0.5, 0)


def test_values_bear_nothing_on_the_bits(parts):
    hidden, truth = parts
    ones = (
        sp.csr_array((np.ones(X.nnz), X.indices, X.indptr), X.shape)
        for X in (hidden.seen, hidden.hidden)
    )
    expected = bits_gained(Hidden(*ones), truth, DESIGN.k)
    assert np.array_equal(bits_gained(hidden, truth, DESIGN.k), expected)


def test_a_fifth_is_hidden_whatever_its_value():
    X = sp.csr_array(np.tile([1.0, 1, 1, 1, 100], (400, 20)))
    hidden = hide(X, rng=np.random.default_rng(0)).hidden
    assert hidden.nnz / X.nnz == pytest.approx(0.2, abs=0.01)
    assert (hidden.data == 100).mean() == pytest.approx(0.2, abs=0.02)
