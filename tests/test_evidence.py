"""The evidence for k, and what it comes to: on data with and without segments."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from planted import DESIGNS, Design, plant, unplanted, with_sizes

from segcli.engine import LocalEngine
from segcli.errors import ChoiceError
from segcli.numerics.activity import activity_share
from segcli.numerics.evidence import (
    FULL,
    MEASURES,
    KEvidenceLevel,
    _step_up,
    evidence_level,
    gather_evidence,
    quick_level,
    require_evidence,
)
from segcli.numerics.held_out import bits_gained, hide, mean_gain
from segcli.numerics.nulls import null_of, swapped
from segcli.numerics.ranks import rank, sample_in_rank_order
from segcli.numerics.recipe import Recipe, fit_recipe
from segcli.numerics.silhouette import mean_silhouettes
from segcli.numerics.stability import resample
from segcli.numerics.verdict import verdict
from segcli.numerics.weighting import DEFAULT, NAMES

DESIGN = DESIGNS["equal, even, stars"]
KS = [2, 3, 4, 5, 6, 8]


def ranks_of(X):
    return rank(LocalEngine(1).blocks(X))


def gather(X, weighting=DEFAULT, ks=KS, seed=0, n_components=6, n_splits=2, n_nulls=1):
    (found,) = gather_evidence(
        X,
        [Recipe(weighting, n_components)],
        ks,
        ranks=ranks_of(X),
        seed=seed,
        level=KEvidenceLevel(n_splits, n_nulls, X.shape[0], 0),
    )
    return found


@pytest.fixture(scope="module")
def planted():
    return gather(plant(DESIGN, 1)[0])


@pytest.mark.parametrize("name", DESIGNS)
def test_the_planted_k_is_supported(name):
    design = DESIGNS[name]
    found = verdict(gather(plant(design, 1)[0], ks=range(2, design.k + 3)))
    assert design.k in found.supported


@pytest.mark.parametrize("weighting", NAMES)
def test_one_taste_has_no_supported_k(weighting):
    design = replace(DESIGNS["unequal, uneven, stars"], n_customers=400, n_items=200)
    found = verdict(gather(unplanted(design, 2), weighting))
    assert found.supported == ()
    assert found.reason.startswith("no supported k")


@pytest.mark.parametrize("weighting", ["l2", "pearson"])
def test_how_large_values_are_makes_segments_on_the_null_too(weighting):
    """Items that some buy by the hundred make segments that come back, though there is one taste."""
    design = Design((1.0,), 1.0, "counts", n_customers=800, n_items=60, median_items=12)
    X = with_sizes(unplanted(design, 2), 2, of_customers=0.7, of_items=1.5)
    found = gather(X, weighting, ks=[2, 3, 4])
    real, null = found.table["transfer_ari"].max(), found.table["transfer_ari_null"].max()
    assert real > 0.9
    assert null > 0.8
    assert verdict(found).supported == ()


@pytest.mark.parametrize("weighting", NAMES)
def test_the_null_of_planted_data_has_no_supported_k(weighting):
    X, _ = plant(replace(DESIGN, n_customers=400, n_items=200), 4)
    null = swapped(X, rng=np.random.default_rng(9))
    assert verdict(gather(null, weighting)).supported == ()


def test_parts_of_a_taste_that_runs_evenly_are_supported():
    """No rule of the verdict asks for a gap: the page says so."""
    rng = np.random.default_rng(1)
    n, m = 600, 400
    chances = (np.arange(m) + 1.0) ** -0.7
    chances = chances * np.exp(2 * np.outer(rng.uniform(-1, 1, n), rng.standard_normal(m)))
    waiting = rng.exponential(size=(n, m)) / chances
    X = sp.csr_array((np.argsort(np.argsort(waiting, axis=1), axis=1) < 30).astype(float))
    assert verdict(gather(X, ks=[2, 3, 4], n_components=2)).supported


def test_every_measure_stands_beside_its_null(planted):
    for measure in MEASURES:
        low, mean, high = (planted.table[f"{measure}_null{end}"] for end in ("_min", "", "_max"))
        assert np.isfinite(planted.table[measure]).all()
        assert ((low <= mean + 1e-12) & (mean <= high + 1e-12)).all()


def test_inertia_falls_with_k_in_data_and_null_alike(planted):
    for column in ("inertia_share", "inertia_share_null"):
        assert (np.diff(planted.table[column]) < 0).all()


def test_evidence_does_not_depend_on_order_or_names(planted):
    X, _ = plant(DESIGN, 1)
    rng = np.random.default_rng(6)
    shuffled = sp.csr_array(X[rng.permutation(X.shape[0])][:, rng.permutation(X.shape[1])])
    for name, column in gather(shuffled).table.items():
        assert np.array_equal(column, planted.table[name]), name


def test_a_k_beyond_the_customers_of_a_half_has_no_stability():
    X = sp.csr_array(np.kron(np.eye(4), np.ones((6, 3))) + 0.0)
    found = gather(X, ks=[2, 4], n_components=3)
    assert np.isfinite(found.table["jaccard_min"]).all()
    found = gather(X, ks=[2, 4, 5], n_components=3)
    assert np.isnan(found.row(5)["jaccard_min"])


def test_what_rests_on_evidence_is_refused_without_it_and_told_why():
    X = sp.csr_array(np.eye(10))
    with pytest.raises(ChoiceError, match=r"--x needs evidence\. .*10 customers are too few"):
        require_evidence("--x", None, X, [2])
    with pytest.raises(
        ChoiceError, match=r"--x needs evidence\. None was asked for\. Leave it out"
    ):
        require_evidence("--x", "none", X, [2])
    require_evidence("--x", None, sp.csr_array(np.eye(30)), [2])


def test_too_few_customers_bear_no_evidence():
    X = sp.csr_array(np.eye(10, 12))
    level, reason = evidence_level(None, X, [2])
    assert level is None
    assert "10 customers are too few" in reason
    with pytest.raises(ChoiceError, match=r"10 customers are too few.*--evidence none"):
        evidence_level("quick", X, [2])


def test_negative_values_bear_no_evidence():
    X = sp.csr_array(-np.eye(30))
    assert "negative values" in evidence_level(None, X, [2])[1]


def test_processes_that_gather_load_no_pandas():
    """It takes half a second and 40 MB of each."""
    modules = ("evidence", "component_evidence", "unseen", "activity", "validation")
    loads = "; ".join(f"import segcli.numerics.{name}" for name in modules)
    program = f"import sys; {loads}; sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_levels():
    X = sp.csr_array(np.eye(30))
    assert evidence_level("none", X, [2]) == (None, None)
    assert evidence_level("full", X, [2]) == (FULL, None)
    assert evidence_level(None, X, [2]) == evidence_level("quick", X, [2]) == (quick_level(X), None)
    assert (
        evidence_level(None, X, [1])[1]
        == "No evidence was gathered: one segment needs no evidence."
    )


def test_a_step_up_from_segments_that_mislead_is_one_from_none():
    bits = np.array([[-3.0, -2, -4, -3], [1, -1, 2, -1], [np.nan] * 4, [4, 3, 4, 4]])
    n_hidden = np.array([2, 2, 3, 2])
    gains = np.array([mean_gain(row, n_hidden)[0] for row in bits])
    none_gains = np.where(gains > 0, -gains, gains)
    assert _step_up(bits, none_gains, 1, n_hidden) == mean_gain(bits[1], n_hidden)
    assert _step_up(bits, none_gains, 3, n_hidden) == mean_gain(bits[3], n_hidden)
    assert _step_up(bits, gains, 3, n_hidden) == mean_gain(bits[3] - bits[1], n_hidden)
    assert _step_up(bits, gains, 0, n_hidden) == mean_gain(bits[0], n_hidden)


def test_where_no_smaller_k_gains_the_step_up_is_the_gain():
    X = unplanted(replace(DESIGN, n_customers=200, n_items=80, median_items=10), 1)
    table = gather(X, "tfidf", [2, 3, 4], n_components=3).table
    assert table["held_out_gain"][:2].max() < 0
    assert np.array_equal(table["held_out_step"], table["held_out_gain"])
    assert np.array_equal(table["held_out_step_se"], table["held_out_gain_se"])


def figures(X, recipe, ks, seed, n):
    """The figures of one matrix, from n hidings and n splits, by their definitions."""
    full = fit_recipe(X, recipe, ks, seed=seed)
    labels = [fit.labels for fit in full.partitions]
    parts = [hide(X, rng=np.random.default_rng([seed, 7, j])) for j in range(n)]
    seen = [fit_recipe(part.seen, recipe, ks, seed=seed).partitions for part in parts]
    bits = [
        sum(bits_gained(part, fits[i].labels, k) for part, fits in zip(parts, seen, strict=True))
        for i, k in enumerate(ks)
    ]
    n_hidden = sum(np.diff(part.hidden.indptr) for part in parts)
    gains = np.array([mean_gain(row, n_hidden) for row in bits])
    best = [max(range(i), key=lambda j: gains[j, 0], default=None) for i in range(len(ks))]
    best = [None if j is None or gains[j, 0] <= 0 else j for j in best]  # one segment gains 0
    steps = np.array(
        [
            mean_gain(row if j is None else row - bits[j], n_hidden)
            for row, j in zip(bits, best, strict=True)
        ]
    )
    assert best[-1] != len(ks) - 2 or n == 1  # a smaller k than the one before gains most
    splits = [resample(X, recipe, ks, split=j, seed=seed) for j in range(n)]
    jaccards = [
        np.mean([one.jaccard(full)[i] for both in splits for one in both], axis=0)
        for i in range(len(ks))
    ]
    found = {
        "inertia_share": [
            sum(
                ((full.scores[own == s] - full.scores[own == s].mean(axis=0)) ** 2).sum()
                for s in range(k)
            )
            / ((full.scores - full.scores.mean(axis=0)) ** 2).sum()
            for own, k in zip(labels, ks, strict=True)
        ],
        "silhouette": mean_silhouettes(full.scores, labels, rng=np.random.default_rng([seed, 9])),
        "jaccard_min": [one.min() for one in jaccards],
        "jaccard_mean": [one.mean() for one in jaccards],
        "held_out_gain": gains[:, 0],
        "held_out_gain_se": gains[:, 1],
        "held_out_step": steps[:, 0],
        "held_out_step_se": steps[:, 1],
        "activity_share": [activity_share(X, own) for own in labels],
    }
    for name in ("prediction_strength", "transfer_ari"):
        by_split = np.array([[getattr(one, name) for one in both] for both in splits]).mean(axis=1)
        found[name] = by_split.mean(axis=0)
        if n > 1:
            found[f"{name}_se"] = by_split.std(axis=0, ddof=1) / np.sqrt(n)
    return found


def test_every_figure_is_what_it_is_said_to_be():
    X, _ = plant(replace(DESIGN, n_customers=200, n_items=80, median_items=10), 1)
    X = sp.csr_array(sp.hstack([X, sp.eye_array(200)]))  # an item each that nobody else has
    recipe, ks, ranks = Recipe("tfidf", 3), [2, 4, 7, 9], ranks_of(X)
    (asked,) = gather_evidence(
        X, [recipe], ks, ranks=ranks, seed=3, level=KEvidenceLevel(3, 2, 150, 0),
        ask_null=lambda null, full: (null.indices.tolist(), full.ks),
    )  # fmt: skip
    ordered = sample_in_rank_order(X, ranks, 150, seed=3)
    assert ordered.shape == (150, 80 + 150)
    for name, expected in figures(ordered, recipe, ks, 3, 3).items():
        assert asked.table[name] == pytest.approx(np.array(expected)), name
    nulls = [null_of(ordered, j, seed=3) for j in range(2)]
    assert asked.null_answers == tuple((null.indices.tolist(), tuple(ks)) for null in nulls)
    of_nulls = [figures(null, recipe, ks, 3, 1) for null in nulls]
    for name in MEASURES:
        a, b = (np.array(one[name]) for one in of_nulls)
        assert asked.table[f"{name}_null"] == pytest.approx((a + b) / 2), name
        assert asked.table[f"{name}_null_min"] == pytest.approx(np.minimum(a, b)), name
        assert asked.table[f"{name}_null_max"] == pytest.approx(np.maximum(a, b)), name
    assert (asked.n_customers, asked.is_sample, asked.n_splits, asked.n_nulls) == (150, True, 3, 2)
