"""Comparing weightings and score norms: against the evidence for k, by worked tables, and by relation."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from planted import Design, plant, unplanted
from run_dirs import STAGES, assert_one_line, invoke, left_alone, ok

from segcli import progress
from segcli.engine import LocalEngine
from segcli.errors import ChoiceError
from segcli.numerics.evidence import KEvidenceLevel, gather_evidence
from segcli.numerics.ranks import rank
from segcli.numerics.recipe import Recipe
from segcli.numerics.recipe_comparison import (
    _best_first,
    _line,
    _measure,
    _Measured,
    compare_recipes,
    of_each_score_norm,
    of_each_weighting,
    recommend,
)
from segcli.numerics.score_norm import SCORE_NORMS
from segcli.numerics.weighting import NAMES
from segcli.stages.compare_recipes import RecipesCompared, _row

DESIGN = Design((0.4, 0.35, 0.25), 0.8, "counts", n_customers=300, n_items=150, median_items=20)
KS = (2, 3, 4, 6)


def compare(X, *, names=NAMES, n_components=4, **options):
    of_each = of_each_weighting(n_components)
    recipes = {name: of_each[name] for name in names}
    return compared(X, recipes, "weighting", **options)


def compared(X, recipes, choice, **options):
    options = {"ranks": rank(LocalEngine(1).blocks(X)), "seed": 0, "ks": KS} | options
    return compare_recipes(X, recipes, choice, **options)


@pytest.fixture(scope="module")
def matrix():
    return plant(DESIGN, 0)[0]


@pytest.fixture(scope="module")
def comparison(matrix):
    return compare(matrix)


def of(found):
    """Return what was found as a data frame by weighting."""
    return pd.DataFrame(list(found.candidates)).set_index("name")


def test_every_weighting_is_measured(comparison):
    table = of(comparison)
    assert set(table.index) == set(NAMES)
    assert comparison.skipped == {}
    assert np.isfinite(table.to_numpy()).all()
    assert table["gain"].is_monotonic_decreasing


def test_the_figures_are_those_of_the_evidence_for_k(matrix, comparison):
    (evidence,) = gather_evidence(
        matrix,
        [Recipe("pearson", 4)],
        KS,
        ranks=rank(LocalEngine(1).blocks(matrix)),
        seed=0,
        level=KEvidenceLevel(2, 1, matrix.shape[0], 0),
    )
    evidence = pd.DataFrame(evidence.table).set_index("k")
    row = of(comparison).loc["pearson"]
    peak = evidence["held_out_gain"].idxmax()
    assert row["gain_k"] == peak
    assert np.isclose(row["gain"], evidence.loc[peak, "held_out_gain"], rtol=1e-12)
    assert np.isclose(row["gain_se"], evidence.loc[peak, "held_out_gain_se"], rtol=1e-12)
    assert np.isclose(row["gain_null"], evidence["held_out_gain_null"].max(), rtol=1e-12)
    few = (evidence["transfer_ari"] - evidence["transfer_ari_null"]).idxmax()
    assert row["transfer_k"] == few
    for measure in ("transfer_ari", "activity_share"):
        assert np.isclose(row[measure], evidence.loc[few, measure], rtol=1e-12)
        assert np.isclose(row[f"{measure}_null"], evidence.loc[few, f"{measure}_null"], rtol=1e-12)


def test_distances_are_from_the_best_and_their_errors_below_those_of_the_gains(comparison):
    table = of(comparison)
    assert np.allclose(table["behind"], table["gain"].iloc[0] - table["gain"], atol=1e-12)
    assert table["behind_se"].iloc[0] == 0
    close = table["behind"] < 0.05
    assert np.all(table["behind_se"][close] < table["gain_se"][close])


def test_planted_tastes_among_uneven_activity_are_not_left_to_raw_values(comparison):
    assert comparison.recommended not in {"raw", "log1p", None}
    row = of(comparison).loc[comparison.recommended]
    assert row["gain_k"] >= 3
    assert row["transfer_ari"] > row["transfer_ari_null"] + 0.5
    assert row["activity_share"] < 0.1


def test_without_tastes_none_is_recommended():
    found = compare(unplanted(DESIGN, 1))
    assert found.recommended is None
    assert found.reason.endswith(
        "with none do the segments surely help to predict hidden interactions. These customers differ in "
        "activity, not in taste, as far as segments on this many components show."
    )
    lines = [{**line, "activity_share": 0.09} for line in found.candidates]
    assert recommend(lines, "weighting")[1].endswith("help to predict hidden interactions.")


def test_norms_are_compared_like_weightings(matrix, comparison):
    """What is usual for a weighting is among them, and measured alike."""
    recipes = of_each_score_norm("pearson", 4)
    found = compared(matrix, recipes, "score_norm")
    table = of(found)
    assert set(table.index) == set(SCORE_NORMS)
    assert found.recommended in SCORE_NORMS
    usual, log = of(comparison).loc["pearson"], table.loc["log"]
    for figure in set(usual.index) - {"behind", "behind_se"}:
        assert usual[figure] == log[figure], figure
    assert len(set(table["gain"])) == 3
    dislikes = matrix.copy()
    dislikes.data[::7] *= -1
    with pytest.raises(ChoiceError, match="no score norm can be measured on these data: negative"):
        compared(dislikes, recipes, "score_norm")
    too_few = (
        r"too few .* halves: comparing score norms needs at least 20\. Leave it at its default\."
    )
    with pytest.raises(ChoiceError, match=too_few):
        compared(matrix[:19], recipes, "score_norm")


@pytest.mark.parametrize(
    ("choice", "word"), [("weighting", "weighting"), ("score_norm", "score norm")]
)
def test_where_none_is_better_it_is_said_of_what(choice, word):
    reason = recommend(lines(one=(0.01, 0, 0.9)), choice)[1]
    assert reason.startswith(f"No {word} is better than another: ")


def test_order_and_names_do_not_matter(matrix, comparison):
    rng = np.random.default_rng(3)
    moved = sp.csr_array(matrix[rng.permutation(300)][:, rng.permutation(150)])
    assert compare(moved).candidates == comparison.candidates


def test_a_sample_is_stated(matrix, comparison):
    assert (comparison.n_customers, comparison.is_sample) == (300, False)
    found = compare(matrix, names=("raw", "l2"), sample_size=200)
    assert (found.n_customers, found.is_sample) == (200, True)


def test_negative_values_leave_out_what_cannot_take_them(matrix):
    dislikes = matrix.copy()
    dislikes.data[::7] *= -1
    found = compare(dislikes)
    assert set(of(found).index) == {"raw", "l2"}
    assert set(found.skipped) == set(NAMES) - {"raw", "l2"}
    assert "negative values" in found.skipped["tfidf"]
    assert of(found)["transfer_ari"].isna().all()
    assert np.isfinite(of(found)["gain"]).all()
    assert "nan" not in found.reason


def test_a_weighting_that_finds_nothing_to_segment_is_left_out():
    """Rows in proportion are all the same once they are scaled to length 1."""
    X = sp.csr_array(np.outer(np.arange(1.0, 41), np.ones(6)))
    found = compare(X, names=("raw", "l2"), ks=(2, 3))
    assert list(of(found).index) == ["raw"]
    assert found.skipped["l2"].endswith("nothing to segment")  # what it stands in goes on
    with pytest.raises(ChoiceError, match=r"no weighting can be measured.*nothing to segment"):
        compare(X, names=("l2",), ks=(2, 3))


def test_few_customers_are_refused(matrix):
    with pytest.raises(ChoiceError, match="19 customers are too few"):
        compare(matrix[:19])
    assert compare(matrix[:20], names=("raw",), ks=(2, 19, 20)).ks == (2, 19)


def test_transfer_is_compared_at_few_segments_only(matrix):
    for k, is_known in ((8, True), (9, False)):
        (line,) = compare(matrix[:100], names=("l2",), ks=(k,)).candidates
        assert np.isfinite(line["transfer_ari"]) == is_known


def test_of_more_segments_than_customers_nothing_is_known(matrix):
    found = _measure(matrix[:30], Recipe("raw", 2), (2, 31), 0, 1)
    for figures in (found.gains, found.transfer_ari, found.activity_share):
        assert np.isnan(figures).tolist() == [False, True]


def test_more_components_than_there_are_become_as_many_as_there_are(matrix):
    assert compare(matrix[:, :6], names=("raw",), ks=(2,), n_components=10).n_components == 6


def test_progress_is_reported_to_the_end(matrix):
    steps = []
    with progress.listening(lambda what, done, total: steps.append((what, done, total))):
        compare(matrix, names=("raw", "l2"))
    assert steps[0] == ("data without segments", 1, 1)
    assert steps[1:] == [("weightings", i, 4) for i in range(1, 5)]  # each, and its null


# The rule, by worked tables


def lines(**rows):
    """Return lines of weightings by gain, error of the distance, transfer ARI; nulls at .1."""
    best = max(gain for gain, _, _ in rows.values())
    return [
        {
            "name": name,
            "gain": gain,
            "gain_se": 0.01,
            "gain_k": 5,
            "gain_null": 0.01,
            "behind": best - gain,
            "behind_se": error,
            "transfer_ari": transfer,
            "transfer_ari_null": 0.1,
            "activity_share": 0.0,
        }
        for name, (gain, error, transfer) in rows.items()
    ]


def test_the_largest_gain_is_recommended():
    name, reason = recommend(lines(bm25=(0.40, 0, 0.5), l2=(0.38, 0.01, 0.9)), "weighting")
    assert name == "bm25"
    assert "0.400 bits, at k = 5" in reason


def test_among_equal_gains_the_clearest_transfer_is_recommended():
    rows = {"tfidf": (0.40, 0, 0.5), "pearson": (0.395, 0.01, 0.9), "raw": (0.3, 0.01, 1.0)}
    name, reason = recommend(lines(**rows), "weighting")
    assert name == "pearson"
    assert "tfidf predicts as well" in reason
    assert "raw" not in reason
    just_as_good = {"tfidf": (0.5, 0, 0.5), "pearson": (0.25, 0.25, 0.9)}
    assert recommend(lines(**just_as_good), "weighting")[0] == "pearson"


def test_where_only_digits_that_nobody_sees_differ_the_gain_decides():
    rows = {"tfidf": (0.40, 0, 0.901), "pearson": (0.395, 0.01, 0.904), "raw": (0.39, 0.01, 0.4)}
    name, reason = recommend(lines(**rows), "weighting")
    assert name == "tfidf"
    assert "and of these none come back more clearly (transfer ARI 0.90, 0.10 without" in reason
    name, reason = recommend(lines(**rows | {"pearson": (0.395, 0.01, 0.91)}), "weighting")
    assert name == "pearson"
    assert "they come back with other customers most clearly (transfer ARI 0.91" in reason


def test_the_best_of_several_is_said_to_be_partly_luck_and_the_only_one_is_not():
    seed = "see whether another --seed agrees."
    for rows in (
        lines(l2=(0.4, 0, 0.5), raw=(0.3, 0.01, 0.5)),
        lines(l2=(0.4, 0, 0.5), raw=(0.4, 0.01, 0.5)),
    ):
        assert recommend(rows, "weighting")[1].endswith(seed)
        assert not recommend(rows[:1], "weighting")[1].endswith(seed)


def test_several_that_predict_as_well_are_told_in_the_plural():
    rows = {"tfidf": (0.40, 0, 0.5), "pearson": (0.395, 0.01, 0.9), "l2": (0.395, 0.01, 0.6)}
    assert "tfidf, l2 predict as well, within the error" in recommend(lines(**rows), "weighting")[1]


def test_one_whose_gain_is_not_known_comes_after_those_that_gain_nothing():
    bits = {"raw": np.full(9, np.nan), "l2": np.zeros(9), "tfidf": np.full(9, -1.0)}
    measured = {
        name: _Measured(each[None], np.ones(9), np.array([0.5]), np.zeros(1), 1.0)
        for name, each in bits.items()
    }
    found = [_line(name, one, [one], [2]) for name, one in measured.items()]
    ordered = _best_first(found, measured, [2])
    assert [line["name"] for line in ordered] == ["l2", "tfidf", "raw"]


def test_only_where_no_gain_is_known_that_is_the_reason():
    known, unknown = lines(l2=(0.4, 0, 0.5), raw=(0.3, 0.01, 0.5))
    unknown |= {"gain": np.nan, "behind": np.nan}
    assert recommend([known, unknown], "weighting")[0] == "l2"
    assert recommend([unknown], "weighting") == (
        None,
        "No weighting can be recommended: no customer has two interactions, of which one could be hidden.",
    )


def test_a_transfer_that_rounds_to_nothing_is_no_zero_below_zero():
    rows = lines(tfidf=(0.40, 0, 0.5), pearson=(0.395, 0.01, 0.9))
    rows[1]["transfer_ari_null"] = -0.001
    assert "(transfer ARI 0.90, 0.00 without any segments)" in recommend(rows, "weighting")[1]


def test_gains_no_better_than_the_nulls_recommend_nothing():
    assert recommend(lines(raw=(0.02, 0, 0.9), l2=(0.01, 0.01, 0.9)), "weighting")[0] is None
    lost = [{**line, "gain_null": -0.5} for line in lines(raw=(0.01, 0, 0.9))]
    assert recommend(lost, "weighting")[0] is None  # more than nulls that lose


def test_a_gain_that_chance_may_have_made_recommends_nothing():
    just, unsure = ([{**lines(raw=(0.2, 0, 0.9))[0], "gain_se": se}] for se in (0.094, 0.096))
    assert recommend(just, "weighting")[0] == "raw"
    assert recommend(unsure, "weighting")[0] is None


# The command


def test_the_command_prints_a_table_and_writes_nothing(place):
    with left_alone(place.folder):
        lines = ok("explore-pca", "run", "--compare-weightings").stdout.splitlines()
    assert lines[0].startswith("6 weightings on 10 components, k from 2 to 30")
    assert {line.split()[0] for line in lines[3:9]} == set(NAMES)
    assert "60 customers" in lines[9]
    assert not any(line.startswith("Wrote") for line in lines)


def test_the_command_as_json(place):
    args = ("explore-pca", "run", "--compare-weightings", "--max-components", "3", "--json")
    result = ok(*args)
    document = json.loads(result.stdout)
    assert (document["n_components"], document["wrote"]) == (3, [])
    assert {line["name"] for line in document["candidates"]} == set(NAMES)
    assert document["recommended"] in NAMES
    assert ok(*args).stdout == result.stdout
    assert ok(*args, "--seed", "1").stdout != result.stdout


def test_a_weighting_beside_it_is_refused(place):
    result = invoke("explore-pca", "run", "--compare-weightings", "--evidence", "none")
    assert (
        "--compare-weightings gathers evidence of its own: leave --evidence out." in result.stderr
    )
    assert result.exit_code == 2
    result = invoke("explore-pca", "run", "--compare-weightings", "--weighting", "pearson")
    assert result.exit_code == 2
    assert "leave --weighting out" in result.stderr


def test_the_command_compares_norms_too(place):
    with left_alone(place.folder):
        words = ("explore-pca", "run", "--compare-score-norms", "--max-components", "3")
        lines = ok(*words, "--weighting", "l2").stdout.splitlines()
    assert lines[0].startswith("3 score norms on 3 components of the l2 matrix, k from 2 to 30")
    assert {line.split()[0] for line in lines[3:6]} == set(SCORE_NORMS)
    document = json.loads(ok(*words, "--json").stdout)
    assert (document["choice"], document["weighting"]) == ("score_norm", "pearson")
    assert (document["score_norm"], document["wrote"]) == (None, [])
    for more in (("--score-norm", "unit"), ("--evidence", "none")):
        refused = invoke(*words, *more)
        assert refused.exit_code == 2
        assert f"leave {more[0]} out." in refused.stderr


def test_norms_of_what_a_weighting_cannot_take_are_refused_as_explore_pca_does(place):
    path = place.folder / "ratings.csv"
    path.write_text(path.read_text().replace(",5\n", ",-5\n", 9))
    ok(*STAGES["ingest"], "--negative", "keep")
    refused = invoke("explore-pca", "run", "--compare-score-norms")
    assert_one_line(refused, "which pearson cannot weight. Use --weighting raw or l2")
    assert refused.stderr == invoke("explore-pca", "run").stderr
    ok("explore-pca", "run", "--compare-score-norms", "--weighting", "l2", "--max-components", "2")


def test_a_missing_matrix_is_one_line(place):
    (place.run / "matrix.npz").unlink()
    assert_one_line(invoke("explore-pca", "run", "--compare-weightings"), "matrix.npz", "missing")


def test_the_clearest_transfer_is_that_which_exceeds_its_null_the_most():
    rows = lines(tfidf=(0.40, 0, 0.8), pearson=(0.395, 0.01, 0.9))
    rows[1]["transfer_ari_null"] = 0.6
    assert recommend(rows, "weighting")[0] == "tfidf"


def test_a_weighting_is_compared_with_nulls_of_its_own():
    X = plant(DESIGN, 0)[0][:100]
    options = {"ks": (2, 3), "n_splits": 1, "n_nulls": 2}
    alone = of(compare(X, names=("tfidf",), **options)).loc["tfidf"]
    beside = of(compare(X, names=("raw", "l2", "tfidf"), **options)).loc["tfidf"]
    for figure in ("gain_null", "transfer_ari_null", "activity_share_null"):
        assert beside[figure] == alone[figure], figure


def test_distances_are_from_the_best_of_those_that_predict_more_than_chance():
    """Of one that does not, the customers' gains may differ far more."""
    rng = np.random.default_rng(0)
    bits = {
        "pearson": 0.3 + 0.2 * rng.standard_normal(400),
        "raw": 0.4 + 2 * rng.standard_normal(400),
    }
    bits["l2"] = bits["pearson"] - 0.03  # of every customer
    measured = {
        name: _Measured(each[None], np.ones(400), np.array([0.5]), np.zeros(1), 1.0)
        for name, each in bits.items()
    }
    measured["raw"].bits[:] += 0.5 - measured["raw"].bits.mean()
    nulls = {"raw": 0.6, "pearson": 0.0, "l2": 0.0}
    found = [
        {**_line(name, one, [one], [2]), "gain_null": nulls[name]} for name, one in measured.items()
    ]
    ordered = _best_first(found, measured, [2])
    assert [line["name"] for line in ordered] == ["pearson", "l2", "raw"]
    assert [round(line["behind"], 3) for line in ordered[:2]] == [0, 0.03]
    assert ordered[1]["behind_se"] < 1e-12
    assert recommend(ordered, "weighting")[0] == "pearson"


LINE = {
    **{"name": "raw", "gain": 0.1234, "gain_null": 0.0012, "gain_k": 7},
    **{"behind": 0.05, "behind_se": 0.006, "transfer_ari": 0.81, "transfer_ari_null": 0.11},
    **{"transfer_k": 3, "activity_share": 0.42, "activity_share_null": 0.73},
    "variance_held": 0.251,
}


def test_each_figure_of_a_weighting_stands_under_its_heading():
    expected = "raw 0.123 | 0.001 7 0.050 ± 0.006 0.81 | 0.11 3 0.42 | 0.73 25.1%"
    assert _row(LINE).split() == expected.split()
    assert "7 – 0.81" in " ".join(_row(LINE | {"behind": 0.0}).split())
    assert "0.81 | –" in _row(LINE | {"transfer_ari_null": np.nan})
    nothing = LINE | {"transfer_ari": np.nan, "transfer_ari_null": np.nan}
    assert "0.006 – 3" in " ".join(_row(nothing).split())


def test_what_was_compared_in_words():
    skipped = {"bm25": "negative", "l2": "alike", "tfidf": "negative"}
    of_all = ((2, 3, 30), 5000, True, 2, 1)
    found = RecipesCompared(
        "weighting", (LINE,), skipped, "raw", "Because.", None, 10, "unit", *of_all
    )
    first, *_, row, rests_on, one, two, reason, how = found.lines()
    assert first == ("1 weighting on 10 components (norms of the scores: unit), k from 2 to 30.")
    assert row == _row(LINE)
    assert " From 5,000 customers (a sample), 2 splits, 1 null. " in rests_on
    assert (one, two) == ("Left out: l2; alike.", "Left out: bm25, tfidf; negative.")
    assert (reason, how) == (
        "Because.",
        "To use it: explore-pca with --weighting raw --score-norm unit.",
    )
    usual = replace(found, skipped={}, score_norm=None, is_sample=False)
    assert usual.lines()[0] == "1 weighting on 10 components, k from 2 to 30."
    assert " From 5,000 customers, 2 splits" in usual.lines()[-3]
    assert usual.lines()[-1] == "To use it: explore-pca with --weighting raw."
    assert replace(found, recommended=None).lines()[-1] == "Because."
    assert found.lines()[2].startswith("weighting  ")
    assert "each weighting has its own." in rests_on


def test_what_was_compared_of_norms_in_words():
    two = (LINE | {"name": "unit"}, LINE | {"name": "log"})
    of_all = ((2, 3, 30), 5000, False, 2, 1)
    found = RecipesCompared(
        "score_norm", two, {}, "unit", "Because.", "l2", 10, None, *of_all
    ).lines()
    assert found[0] == "2 score norms on 10 components of the l2 matrix, k from 2 to 30."
    assert found[2].startswith("score norm  ")
    assert found[3].startswith("unit  ")
    assert found[5].endswith(
        "Variance held is no measure of quality: all have the same components."
    )
    assert found[-1] == "To use it: explore-pca with --weighting l2 --score-norm unit."
