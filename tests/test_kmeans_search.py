"""The search among few customers: its samples, and what it tries."""

from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.cluster import KMeans
from test_kmeans import blobs, heavy_tailed, inertia_of
from test_partition import partition

from segcli.engine import LocalEngine
from segcli.numerics import kmeans_search
from segcli.numerics.kmeans_search import (
    Sample,
    draw,
    fixed_path,
    is_overtaken,
    plusplus,
    search,
    search_fixed_path,
)

# a sample


def test_a_sample_stands_for_all():
    X, ranks = heavy_tailed(), np.arange(4_000)
    totals, inertias = [], []
    for seed in range(200):
        sample = draw(LocalEngine(1).blocks(X), ranks, 100, np.random.default_rng(seed))
        assert len(np.unique(sample.rows, axis=0)) == len(sample.weights) == 100
        assert sample.weights.min() >= 1
        totals.append(sample.weights.sum())
        inertias.append(sample.weights @ ((sample.rows - X.mean(axis=0)) ** 2).sum(axis=1))
    assert np.mean(totals) == pytest.approx(4_000, rel=0.03)
    truth = ((X - X.mean(axis=0)) ** 2).sum()
    assert np.mean(inertias) == pytest.approx(truth, rel=0.03)
    assert np.std(inertias) < 0.1 * truth


@pytest.mark.parametrize("size", [50, 1_500, 4_000])
def test_who_is_drawn_depends_on_the_seed_and_not_on_the_order_of_rows(size):
    X, order = heavy_tailed(), np.random.default_rng(5).permutation(4_000)
    ranks = np.random.default_rng(6).permutation(4_000)

    def drawn(X, ranks, seed):
        blocks = LocalEngine(1, block_entries=500).blocks(X)
        return draw(blocks, ranks, size, np.random.default_rng(seed)).rows

    assert np.array_equal(drawn(X, ranks, 0), drawn(X[order], ranks[order], 0))
    assert not np.array_equal(drawn(X, ranks, 0), drawn(X, ranks, 1))


def test_a_sample_has_who_lie_far_out_and_those_who_do_beside_all_but_them():
    X, ranks = heavy_tailed(), np.arange(4_000)
    X[:15] = np.random.default_rng(0).standard_normal((15, 3))
    X[:15] *= np.repeat([1e6, 1e4], [5, 10])[:, None]
    for seed in range(10):
        sample = draw(LocalEngine(1).blocks(X), ranks, 300, np.random.default_rng(seed))
        weights = {
            row.tobytes(): weight for row, weight in zip(sample.rows, sample.weights, strict=True)
        }
        assert all(weights[row.tobytes()] == 1 for row in X[:15])


@pytest.mark.parametrize("size", [1, 2, 6, 99])
def test_a_sample_may_be_of_one_or_of_all_but_one(size):
    X, ranks = np.random.default_rng(0).standard_normal((100, 3)), np.arange(100)
    sample = draw(LocalEngine(1).blocks(X), ranks, size, np.random.default_rng(0))
    assert len(np.unique(sample.rows, axis=0)) == size
    assert np.isfinite(sample.weights).all()


def test_of_equal_customers_each_is_as_likely():
    X, ranks = np.ones((1_000, 2)), np.arange(1_000)
    sample = draw(LocalEngine(1).blocks(X), ranks, 100, np.random.default_rng(0))
    assert sample.weights == pytest.approx(np.full(100, sample.weights[0]))
    assert sample.weights.sum() == pytest.approx(1_000, rel=0.3)


@pytest.mark.parametrize("size", [100, 101])
def test_who_are_no_more_than_asked_for_are_all_there_and_each_counts_once(size):
    for X in (np.arange(100.0)[:, None], np.ones((100, 1))):
        sample = draw(LocalEngine(1).blocks(X), np.arange(100), size, np.random.default_rng(0))
        assert sorted(sample.rows.ravel()) == X.ravel().tolist()
        assert sample.weights.tolist() == [1] * 100


def test_a_fifth_of_a_sample_is_spread_evenly_and_the_rest_by_squared_distance():
    X = np.random.default_rng(0).standard_normal((1_000, 2))
    sample = draw(LocalEngine(1).blocks(X), np.arange(1_000), 5, np.random.default_rng(0))
    rates = -np.log1p(-1 / sample.weights)  # up to a factor: of clocks that have rung by then
    mean, variance = X.mean(axis=0), X.var(axis=0).sum()
    expected = 0.2 + 0.8 * ((sample.rows - mean) ** 2).sum(axis=1) / variance
    assert rates / rates[0] == pytest.approx(expected / expected[0])


def test_who_is_like_most_is_likely_for_no_other_reason_than_chance():
    """However far out others lie, and are in the sample."""
    X = np.concatenate([np.zeros(500), np.repeat([-1.0, 1], 50), [-1e6, 1e6]])[:, None]
    for seed in range(10):
        sample = draw(LocalEngine(1).blocks(X), np.arange(602), 60, np.random.default_rng(seed))
        like_most = sample.rows.ravel() == 0
        assert sample.weights[like_most].min() >= sample.weights.max() * (1 - 1e-9)


# k-means++


def test_plusplus_picks_distinct_rows_and_its_first_are_a_start_for_fewer():
    X, truth = blobs()
    for seed in range(5):
        eight = plusplus(X, 8, np.random.default_rng(seed))
        assert {row.tobytes() for row in eight} <= {row.tobytes() for row in X}
        assert len({row.tobytes() for row in eight}) == 8
        four = plusplus(X, 4, np.random.default_rng(seed))
        assert np.array_equal(four, eight[:4])
        labels = [truth[(row == X).all(axis=1)][0] for row in four]
        assert sorted(labels) == [0, 1, 2, 3]  # far apart: one in each blob


def test_plusplus_of_rows_all_alike_ends():
    assert plusplus(np.ones((3, 2)), 3, np.random.default_rng(0)).tolist() == [[1, 1]] * 3


# swaps, and partitions grown from the k before


@pytest.mark.parametrize("seed", range(8))
def test_chance_takes_a_weight_for_so_many_equal_rows(seed):
    rng = np.random.default_rng(seed)
    X, weights = (
        rng.standard_normal((60, 2)),
        np.where(np.arange(60) % 4, 1, rng.integers(2, 30, 60)),
    )
    copies = np.repeat(X, weights, axis=0)
    found = []
    for rows, of_each in ((X, weights.astype(float)), (copies, np.ones(len(copies)))):
        start = partition(rows, X[:3], of_each)
        (goes, row), *_ = kmeans_search._swaps(start, np.random.default_rng(seed))
        grown = next(kmeans_search._grown(start, 8, np.random.default_rng(seed)))
        drawn = plusplus(rows, 5, np.random.default_rng(seed), weights=of_each)
        found.append([drawn, grown.centers, start.rows.rows[row], goes])
    assert all(np.allclose(one, other) for one, other in zip(*found, strict=True))


def test_a_swap_is_known_to_be_worth_what_it_is(monkeypatch):
    """Of all swaps of this small set, the one named first leaves the least inertia about its centers."""
    X = heavy_tailed(40)
    found = partition(X, X[:4], weights := np.arange(40.0) % 3 + 1)
    monkeypatch.setattr(kmeans_search, "_N_NEW_CENTERS", 5_000)  # every row, or nearly
    goes, row = kmeans_search._swaps(found, np.random.default_rng(0))[0]
    left = {
        (segment, new): weights @ found.with_center_at(segment, new).squared_distances()
        for segment in range(4)
        for new in range(40)
    }
    assert left[goes, row] == pytest.approx(min(left.values()), rel=1e-9)


def test_swaps_find_what_lloyds_steps_cannot():
    X, truth = blobs()
    two_in_one = np.vstack([X[truth == 0][:2], X[truth == 1][:1], X[truth > 1].mean(axis=0)[None]])
    stuck = partition(X, two_in_one).descend(300)
    assert stuck.inertia > 10 * inertia_of(X, truth)
    found = kmeans_search._improved_by_swaps(stuck, np.random.default_rng(0))
    assert found.inertia == pytest.approx(inertia_of(X, truth), rel=1e-9)


def test_of_many_centers_a_swap_that_does_not_promise_to_pay_is_given_up(monkeypatch):
    X, truth = blobs()
    means = np.stack([X[truth == label].mean(axis=0) for label in range(4)])
    best = partition(X, means).descend(300)
    elsewhere, here = (int(np.flatnonzero(truth == label)[0]) for label in (1, 0))
    for many in (False, True):
        monkeypatch.setattr(kmeans_search, "_FEW_CENTERS", 3 if many else 4)
        bad = kmeans_search._tried(best, 0, elsewhere)  # two centers in a blob, none in another
        assert (
            np.array_equal(bad.centers[0], best.rows.rows[elsewhere]) == many
        )  # no step was taken
        good = kmeans_search._tried(best, 0, here)
        assert np.allclose(good.centers, best.centers)  # the first step leads back


def test_a_partition_grown_by_several_centers_has_them_where_they_are_missing():
    X, truth = blobs()
    start = partition(X, X[truth == 0][:1])
    for grown in kmeans_search._grown(start, 4, np.random.default_rng(0)):
        grown.descend(300)
        assert grown.inertia == pytest.approx(inertia_of(X, truth), rel=1e-9)


# the search


def test_each_k_is_at_least_as_good_as_scikit_learns_best_of_ten():
    X = heavy_tailed(1_000)
    ks = [2, 5, 10, 20, 30]
    found = search(Sample(X, np.ones(len(X))), range(1, 31), ks, 10, 0)
    for k, centers in zip(ks, found, strict=True):
        ours = ((X[:, None] - centers) ** 2).sum(axis=2).min(axis=1).sum()
        theirs = KMeans(k, n_init=10, random_state=0).fit(X).inertia_
        assert ours <= theirs * 1.01


@pytest.mark.parametrize(("chance", "k"), [(3, 10), (0, 16)])
def test_so_it_is_of_a_very_heavy_tail(chance, k):
    """Where a few customers are most of the inertia, what is grown from the k before gets stuck."""
    rng = np.random.default_rng(chance)
    X = rng.standard_normal((500, 6)) * rng.pareto(1.0, 500)[:, None]
    theirs = KMeans(k, n_init=10, random_state=0).fit(X).inertia_
    for seed in range(4):
        (centers,) = search(Sample(X, np.ones(len(X))), range(1, k + 1), [k], 10, seed)
        ours = ((X[:, None] - centers) ** 2).sum(axis=2).min(axis=1).sum()
        assert ours <= theirs * 1.01


def test_every_start_and_every_k_has_chance_of_its_own(monkeypatch):
    states = []

    def spy(name, place):
        of = getattr(kmeans_search, name)

        def spied(*given, **more):
            states.append(str(given[place].bit_generator.state))
            return of(*given, **more)

        monkeypatch.setattr(kmeans_search, name, spied)

    spy("plusplus", 2)
    spy("_improved_by_swaps", 1)
    for seed in (0, 1):
        search(Sample(heavy_tailed(60), np.ones(60)), [2, 3], [3], 3, seed)
    assert len(set(states)) == len(states) == 2 * (3 + 2)


def test_what_is_found_for_a_k_does_not_depend_on_which_come_after():
    sample = Sample(heavy_tailed(400), np.ones(400))
    few, many = (search(sample, range(1, last + 1), [5, 10], 3, 0) for last in (10, 25))
    assert all(np.array_equal(one, other) for one, other in zip(few, many, strict=True))


def test_what_is_not_on_the_path_is_grown_from_it_and_bears_nothing():
    sample, path = Sample(heavy_tailed(400), np.ones(400)), [1, 2, 3, 6, 12]
    alone = [search(sample, path, [k], 3, 0)[0] for k in (4, 5, 12)]
    together = search(sample, path, [12, 5, 4], 3, 0)
    assert [len(centers) for centers in together] == [4, 5, 12]
    assert all(np.array_equal(*both) for both in zip(alone, together, strict=True))


def test_the_fixed_path_goes_through_every_small_k_and_some_large():
    assert fixed_path(1) == [1]
    assert fixed_path(64) == list(range(1, 65))
    assert fixed_path(71) == [*range(1, 65), 68]
    path = fixed_path(1_000)
    assert len(path) < 120
    assert all(0 < b - a <= a / 16 for a, b in pairwise(path[63:]))


def test_large_k_beside_the_path_are_as_good_as_scikit_learns():
    X = heavy_tailed(1_000)
    sample = Sample(X, np.ones(1_000))
    for k, centers in zip((93, 120), search_fixed_path(sample, (93, 120), 10, 0), strict=True):
        assert k not in fixed_path(k)
        ours = ((X[:, None] - centers) ** 2).sum(axis=2).min(axis=1).sum()
        assert ours <= KMeans(k, n_init=3, random_state=0).fit(X).inertia_


def test_a_known_partition_is_where_the_search_ends_if_it_is_the_best():
    X = heavy_tailed(400)
    sample = Sample(X, np.ones(400))
    known = search(sample, range(1, 31), [30], 10, 0)
    with_it, without = (search(sample, [30], [30], 1, 7, known=k) for k in (known, ()))
    ours, theirs, best = (
        ((X[:, None] - centers) ** 2).sum(axis=2).min(axis=1).sum()
        for (centers,) in (with_it, without, known)
    )
    assert ours <= best * (1 + 1e-9) < theirs


def test_good_centers_are_not_overtaken_and_bad_ones_are():
    X, truth = blobs()
    sample = Sample(X, np.ones(len(X)))
    good = np.stack([X[truth == label].mean(axis=0) for label in range(4)])
    assert not is_overtaken(sample, good, 0)
    two_in_one = np.vstack([X[truth == 0][:2], (good[1] + good[2]) / 2, good[3]])
    assert is_overtaken(sample, two_in_one, 0)
    assert not is_overtaken(sample, X.mean(axis=0, keepdims=True), 0)


@pytest.mark.parametrize(("share", "overtaken"), [(2e-5, True), (5e-6, False)])
def test_centers_are_overtaken_by_what_counts_as_progress(monkeypatch, share, overtaken):
    raced = iter([SimpleNamespace(inertia=1 - share), SimpleNamespace(inertia=1.0)])
    monkeypatch.setattr(kmeans_search, "_raced", lambda *_: next(raced))
    assert is_overtaken(Sample(np.eye(3), np.ones(3)), np.eye(3)[:2], 0) == overtaken


def test_the_first_k_of_a_path_may_be_large():
    X = heavy_tailed(200)
    (found,) = search(Sample(X, np.ones(200)), [40], [40], 2, 0)
    assert len(np.unique(found, axis=0)) == 40


@pytest.mark.parametrize("n_swaps", [0, 1])
def test_lloyds_steps_go_on_while_they_make_progress(monkeypatch, n_swaps):
    monkeypatch.setattr(kmeans_search, "_MAX_SWAPS", n_swaps)
    X = np.random.default_rng(0).random((1_000, 2))
    for k in (5, 20):
        (centers,) = search(Sample(X, np.ones(1_000)), [k], [k], 1, 0)
        found = partition(X, centers)
        before = found.inertia
        found.descend(10)
        assert found.inertia > before * (1 - 1e-4)


def test_the_path_may_leave_k_out():
    X, truth = blobs()
    for path in ([4], [2, 4], [1, 4]):
        (found,) = search(Sample(X, np.ones(len(X))), path, [4], 3, 0)
        labels = ((X[:, None] - found) ** 2).sum(axis=2).argmin(axis=1)
        assert inertia_of(X, labels) == pytest.approx(inertia_of(X, truth), rel=1e-9)


def test_what_was_found_for_these_rows_is_not_sought_again(monkeypatch):
    sought = []
    monkeypatch.setattr(kmeans_search, "search", lambda *args: sought.append(args) or search(*args))
    X = heavy_tailed(200)
    sample = Sample(X, np.ones(200))
    curve = search_fixed_path(sample, [2, 4, 6], 3, 0)
    same, between = search_fixed_path(Sample(X.copy(), np.ones(200)), [4, 5], 3, 0)
    assert np.array_equal(same, curve[1])
    assert len(sought) == 1
    assert np.array_equal(between, *search(sample, range(1, 6), [5], 3, 0))
    assert not any(centers.flags.writeable for centers in (*curve, same, between))
    asked_anew = [
        (sample, [7], 3, 0),
        (sample, [4], 2, 0),
        (sample, [4], 3, 1),
        (Sample(X, np.full(200, 2.0)), [4], 3, 0),
        (Sample(X[:, ::-1], np.ones(200)), [4], 3, 0),
    ]
    for n, (those, ks, n_starts, seed) in enumerate(asked_anew, start=2):
        (found,) = search_fixed_path(those, ks, n_starts, seed)
        (alone,) = search(those, range(1, max(ks) + 1), ks, n_starts, seed)
        assert np.array_equal(found, alone)
        assert len(sought) == n


def test_what_was_found_for_three_samples_is_kept(monkeypatch):
    sought = []
    monkeypatch.setattr(kmeans_search, "search", lambda *args: sought.append(args) or search(*args))
    samples = [Sample(heavy_tailed(200)[:, :columns], np.ones(200)) for columns in (1, 2, 3)]
    before = [search_fixed_path(sample, [4], 3, 0)[0] for sample in samples]
    after = [search_fixed_path(sample, [4], 3, 0)[0] for sample in samples]
    assert len(sought) == 3
    assert all(map(np.array_equal, before, after))
    search_fixed_path(Sample(heavy_tailed(100), np.ones(100)), [4], 3, 0)
    search_fixed_path(samples[2], [4], 3, 0)
    search_fixed_path(samples[0], [4], 3, 0)  # the oldest has made room
    assert len(sought) == 5


def test_samples_are_told_apart_by_rows_weights_and_shape():
    rows, weights = np.arange(6.0).reshape(3, 2), np.array([7.0, 8, 9])
    entries = np.column_stack([rows, weights]).ravel()
    samples = [
        Sample(rows, weights),
        Sample(rows + 1, weights),
        Sample(rows, weights + 1),
        Sample(entries[None, :-1], entries[-1:]),
    ]
    assert len({sample.digest() for sample in samples}) == 4
    assert Sample(rows.copy(), weights.copy()).digest() == samples[0].digest()
