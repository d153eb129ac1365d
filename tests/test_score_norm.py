"""Norms of scores: what becomes of them, and what for."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from planted import DESIGNS, Design, plant
from run_dirs import STAGES, invoke, ok
from sklearn.metrics import adjusted_rand_score

from segcli import options
from segcli.artifacts import read_artifact
from segcli.artifacts.catalogue import PCA_MODEL, SEGMENTATION
from segcli.engine import LocalEngine
from segcli.numerics.pca import fit_pca, score
from segcli.numerics.ranks import rank
from segcli.numerics.recipe import Recipe, fit_recipe
from segcli.numerics.recipe_comparison import compare_recipes, of_each_score_norm
from segcli.numerics.score_norm import SCORE_NORMS, normalized, usual_score_norm
from segcli.numerics.weighting import NAMES, fit_weighting, weigh

SCORES = np.array([[3.0, 4.0], [-0.3, 0.4], [0.0, -90.0], [1e-12, 0.0], [0.0, 0.0]])


@pytest.mark.parametrize(
    ("score_norm", "norms"),
    [
        ("kept", [5, 0.5, 90, 1e-12, 0]),
        ("log", [*np.log1p([5, 0.5, 90]), 1e-12, 0]),
        ("unit", [1, 1, 1, 0, 0]),
    ],
)
def test_directions_stay_and_norms_are_as_said(score_norm, norms):
    found = normalized(SCORES, score_norm, typical=1.0)
    assert np.linalg.norm(found, axis=1) == pytest.approx(norms)
    directions = SCORES[:3] / np.linalg.norm(SCORES[:3], axis=1)[:, None]
    assert found[:3] == pytest.approx(directions * np.array(norms[:3])[:, None])


def test_what_is_rounding_depends_on_the_scale():
    assert normalized(SCORES * 1e-30, "unit", typical=1e-30) == pytest.approx(
        normalized(SCORES, "unit", typical=1.0)
    )


def test_the_command_line_offers_what_there_is():
    assert (options.SCORE_NORMS, options.WEIGHTINGS) == (SCORE_NORMS, NAMES)


def test_only_raw_is_the_recipe_of_2015():
    usual = {name: usual_score_norm(name) for name in NAMES}
    assert usual == {name: "kept" if name == "raw" else "log" for name in NAMES}


@pytest.mark.parametrize("score_norm", SCORE_NORMS)
def test_components_are_the_same_whatever_the_norms(ratings, score_norm):
    blocks = LocalEngine(1).blocks(ratings)
    weighted = weigh(blocks, fit_weighting(blocks, "pearson"))
    weighting = fit_weighting(blocks, "pearson")
    choice = {"item_ranks": np.arange(20), "seed": 0}
    plain = fit_pca(weighted, weighting, 4, **choice)
    pca = fit_pca(weighted, weighting, 4, **choice, score_norm=score_norm)
    assert np.array_equal(pca.loadings, plain.loadings)
    kept = score(weighted, plain)
    assert np.cov(kept.T) == pytest.approx(np.diag(plain.explained_variance), abs=1e-9)
    typical = np.sqrt(plain.explained_variance.sum())
    assert score(weighted, pca) == pytest.approx(normalized(kept, score_norm, typical))
    assert np.array_equal(score(weighted, pca), pca.project(ratings))


def with_few_far_out(seed):
    """Return customers of four tastes, 32 of whom also have items that hardly anyone has, and those."""
    X, truth = plant(replace(DESIGNS["equal, even, stars"], contrast=5.0), seed)
    groups = np.random.default_rng(seed).permutation(X.shape[0])[:32].reshape(4, 8)
    rare = np.zeros((X.shape[0], 4 * 60))
    for i, group in enumerate(groups):
        rare[group, 60 * i : 60 * i + 60] = 5
    return sp.csr_array(sp.hstack([X, rare])), truth


@pytest.mark.parametrize("seed", [0, 1])
def test_a_few_customers_far_out_do_not_take_the_segments(seed):
    X, truth = with_few_far_out(seed)
    kept, logged, unit = (
        fit_recipe(X, Recipe("pearson", 8, score_norm), [4], seed=0).partitions[0].labels
        for score_norm in SCORE_NORMS
    )
    assert np.bincount(kept).min() == 8  # a segment is one of the groups
    assert adjusted_rand_score(truth, kept) < 0.75
    assert adjusted_rand_score(truth, logged) > 0.95
    assert adjusted_rand_score(truth, unit) > 0.9


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("small", "finders"), [(0.1, {"kept", "log"}), (0.02, {"kept"})], ids=["tenth", "fiftieth"]
)
def test_the_smaller_a_segment_beside_one_mass_the_more_must_norms_count(seed, small, finders):
    X, truth = plant(Design((1 - small, small), 0.2, "stars"), seed)
    for score_norm in SCORE_NORMS:
        fitted = fit_recipe(X, Recipe("pearson", 2, score_norm), [2], seed=0)
        found = adjusted_rand_score(truth, fitted.partitions[0].labels)
        # Otherwise the mass is cut at its middle.
        assert found > 0.95 if score_norm in finders else found < 0.25


def test_a_comparison_tells_where_norms_must_count_in_full():
    X, _ = plant(Design((0.98, 0.02), 0.2, "stars"), 0)
    recipes, ranks = of_each_score_norm("pearson", 5), rank(LocalEngine(1).blocks(X))
    found = compare_recipes(X, recipes, "score_norm", ranks=ranks, seed=0, ks=(2, 3))
    assert found.recommended == "kept"
    assert [line["gain"] > 0.02 for line in found.candidates] == [True, False, False]


def scores_in(place):
    with np.load(place.run / "projected.npz") as found:
        return found["scores"]


def document(place, name):
    return json.loads((place.run / name).read_text())


def test_the_choice_is_made_in_explore_pca_and_holds_from_there_on(place):
    logged = scores_in(place)
    assert read_artifact(place.run, PCA_MODEL).score_norm == "log"
    ok(*STAGES["explore-pca"], "--score-norm", "unit")
    lines = [ok(*STAGES[stage]).stdout.splitlines()[0] for stage in ("explore-k", "cluster")]
    assert "(reduced; norms of the scores: unit)" in lines[0]
    assert lines[1].endswith("(norms of the scores: unit).")
    for name in ("k_verdict.json", "clustering.json"):
        assert document(place, name)["score_norm"] == "unit"
    ok(*STAGES["report"])
    page = (place.run / "report.html").read_text()
    assert "from the average customer's: not at all, only in which direction." in page
    assert document(place, "clustering.json")["on_the_table"] is not None
    unit = scores_in(place)
    assert np.linalg.norm(unit, axis=1) == pytest.approx(np.ones(60))
    assert unit * (logged**2).sum(axis=1, keepdims=True) ** 0.5 == pytest.approx(logged)
    assert read_artifact(place.run, SEGMENTATION).pca.score_norm == "unit"
    # Of scores with other norms nothing that explore-k said holds.
    ok(*STAGES["explore-pca"], "--score-norm", "kept")
    ok(*STAGES["cluster"])
    assert document(place, "clustering.json")["on_the_table"] is None


def test_what_was_said_before_there_were_norms_is_of_those_kept():
    said = {"weighting": "pearson", "n_components": 2}
    of = [Recipe("pearson", 2, score_norm).is_of(said) for score_norm in SCORE_NORMS]
    assert of == [True, False, False]
    assert not Recipe("pearson", 3, "kept").is_of(said)


def test_with_raw_the_norms_are_kept_unless_asked_for(place):
    ok(*STAGES["explore-pca"], "--weighting", "raw")
    assert read_artifact(place.run, PCA_MODEL).score_norm == "kept"
    ok(*STAGES["explore-pca"], "--weighting", "raw", "--score-norm", "log")
    assert read_artifact(place.run, PCA_MODEL).score_norm == "log"


@pytest.mark.parametrize("question", ["--compare-weightings", "--compare-components"])
def test_comparisons_are_of_the_norms_asked_for_and_say_how_to_use_them(place, question):
    words = ("explore-pca", "run", question, "--max-components", "2")
    usual, unit = (ok(*words, *more, "--json").stdout for more in ((), ("--score-norm", "unit")))
    assert json.loads(usual)["score_norm"] is None
    assert json.loads(unit)["score_norm"] == "unit"
    assert usual != unit.replace('"unit"', "null")
    assert "norm" not in ok(*words).stdout
    lines = ok(*words, "--score-norm", "unit").stdout.splitlines()
    assert " (norms of the scores: unit), k from 2 to " in lines[0]
    assert lines[-1].endswith(" --score-norm unit.")


def test_one_component_has_two_directions(place):
    ok(*STAGES["explore-pca"], "--score-norm", "unit")
    ok("explore-k", "run", "--n-components", "1", "--k-max", "2", "--evidence", "none")
    found = invoke("cluster", "run", "--n-components", "1", "--n-clusters", "3")
    assert found.exit_code == 1
    assert "3 segments cannot be made of 2 distinct customers" in found.stderr


def test_that_nulls_have_fewer_directions_is_no_number_in_the_summary(place):
    """On one component two tastes, and between them the average customers: hardly one of a null is."""
    liked = np.repeat([4, 2], 6)
    kinds = (liked, liked[::-1], np.full(12, 3))
    rows = [f"c{c},i{i},{kinds[c % 3][i]}" for c in range(60) for i in range(12)]
    place.ratings.write_text("\n".join(["customer,item,value", *rows]))
    ok(*STAGES["ingest"])
    ok("explore-pca", "run", "--weighting", "raw", "--score-norm", "unit", "--evidence", "none")
    said = ok("cluster", "run", "--n-components", "1", "--n-clusters", "3").stdout
    assert "0% of the variance of log activity lies between the segments.\n" in said
    assert document(place, "clustering.json")["activity_share_null"] is None
    assert "this many segments; whether the segment helps" in ok("validate", "run").stdout
