"""explore-pca as a person meets it: the evidence in words, in tables and in JSON."""

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from run_dirs import SAMPLE, assert_one_line, assert_whole, invoke, ok, states

from segcli.numerics import component_evidence, levels
from segcli.stages import explore_pca

HEADER = "customer,item,value\n"
FEW = "".join(f"c{i},i{i % 3},{1 + i}\nc{i},i{(i + 1) % 5},2\n" for i in range(19))


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The sample, with its components explored and the evidence in full."""
    run = tmp_path_factory.mktemp("explore-pca") / "shop"
    ok("ingest", SAMPLE / "stars.csv", run, "--items", SAMPLE / "items.csv")
    return run, ok("explore-pca", run, "--max-components", 12, "--evidence", "full").stdout


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ingest(folder, rows, *options):
    (folder / "rows.csv").write_text(HEADER + rows)
    ok("ingest", "rows.csv", "run", *options)


def verdict(run):
    return json.loads((run / "components_verdict.json").read_text())


@pytest.mark.parametrize(
    ("n_items", "share", "why"),
    [
        (3, 0.6, "customers with 3 items are too few"),
        (4, 1.0, "customers, taken at random, do not differ"),
    ],
)
def test_where_a_sample_shows_nothing_there_is_no_evidence_unless_asked_for(
    place, monkeypatch, n_items, share, why
):
    """One of 30,000 customers has an item that nobody else has, and is not in the sample."""
    monkeypatch.setattr(levels, "SAMPLE_INTERACTIONS", 0)
    n = 30_000
    has = np.random.default_rng(0).random((n, n_items)) < share
    rows = [f"c{c},i{i},1" for c, i in np.argwhere(has)]
    ingest(place, "\n".join([*rows, "c7,rare,1"]))
    found = ok("explore-pca", "run").stdout
    assert "No evidence was gathered: 5" in found
    assert why in found
    assert not (place / "run" / "components_verdict.json").exists()
    asked = invoke("explore-pca", "run", "--evidence", "quick")
    assert_one_line(asked, "Use --evidence none.")
    assert why in asked.stderr


def test_the_verdict_has_all_that_the_recommendation_rests_on(shop):
    run, _ = shop
    found = verdict(run)
    suggestions = found["suggestions"]
    assert set(suggestions) == {"parallel_analysis", "bi_cross_validation"}
    assert found["recommended"] == min(suggestions.values())
    assert found["recommended"] in (5, 6)  # six segments are planted: five, and one for activity
    assert {name: found[name] for name in found if name not in ("suggestions", "reason")} == {
        "recommended": found["recommended"],
        "weighting": "pearson",
        "n_components": 12,
        "n_customers": 2000,
        "is_sample": False,
        "n_nulls": 5,
        "n_folds": 8,
    }


def test_the_table_of_variance_has_the_null_and_the_held_out_error(shop):
    run, _ = shop
    table = pd.read_csv(run / "explained_variance.csv")
    found = verdict(run)["suggestions"]
    assert table.notna().all(axis=None)
    above = table["sample_ratio"] > table["null_limit"]
    assert above[: found["parallel_analysis"]].all()
    assert not above[found["parallel_analysis"]]
    errors = table["prediction_error"]
    assert errors.min() <= errors[found["bi_cross_validation"] - 1] <= errors.min() + 0.002
    assert (table["null_mean"] <= table["null_limit"]).all()
    assert (table["sample_ratio"] == table["explained_variance_ratio"]).all()  # nobody is left out
    assert (table["prediction_error"] < table["null_prediction_error"]).all()


def test_components_have_faces_with_names(shop):
    run, _ = shop
    table = pd.read_csv(run / "components.csv")
    names = set(pd.read_csv(SAMPLE / "items.csv").iloc[:, 1])
    ends = [f"{end}_{i}" for end in ("positive", "negative") for i in range(1, 6)]
    assert list(table.columns) == [
        "component",
        "activity_correlation",
        "popularity_correlation",
        *ends,
    ]
    assert table["component"].tolist() == list(range(1, 13))
    assert set(table[ends].to_numpy().ravel()) - {np.nan} <= names  # one end may hold fewer
    assert table["activity_correlation"].between(-1, 1).all()


def test_the_summary_lets_a_person_choose(shop):
    run, text = shop
    found = verdict(run)
    table = pd.read_csv(run / "explained_variance.csv")
    faces = pd.read_csv(run / "components.csv")
    first = table.iloc[0]
    assert f"{first['sample_ratio']:.2%} | {first['null_limit']:.2%}" in text
    assert f"{first['prediction_error']:.1%} | {first['null_prediction_error']:.1%}" in text
    assert f"Parallel analysis suggests {found['suggestions']['parallel_analysis']} " in text
    assert f"bi-cross-validation {found['suggestions']['bi_cross_validation']} " in text
    assert f"Recommended: at most {found['recommended']} components. {found['reason']}" in text
    assert f"+ {faces['positive_1'][0][:20]}" in text
    assert f"- {faces['negative_1'][0][:20]}" in text
    assert "from 5 nulls and 8 folds" in text
    rows = text.splitlines()
    assert all(len(row) < 120 for row in rows if not row.startswith(("Recommended", "Wrote")))


def test_json_says_the_same(shop):
    run, text = shop
    document = json.loads(
        ok("explore-pca", run, "--max-components", 12, "--evidence", "full", "--json").stdout
    )
    assert document["evidence"] == verdict(run)
    assert document["no_evidence"] is None
    assert document["warning"] is None
    assert len(document["components"]) == len(document["variance"]) == 12
    assert document["components"][0]["positive"][0][:20] in text


def test_less_evidence_is_quicker_and_none_leaves_no_verdict(place):
    ingest(place, (SAMPLE / "stars.csv").read_text().partition("\n")[2])
    ok("explore-pca", "run", "--max-components", 6)
    quick = verdict(place / "run")
    assert (quick["n_nulls"], quick["n_folds"]) == (2, 4)
    ok("explore-pca", "run", "--max-components", 6, "--evidence", "none")
    assert not (place / "run" / "components_verdict.json").exists()
    assert (place / "run" / "components.csv").exists()
    table = pd.read_csv(place / "run" / "explained_variance.csv")
    assert list(table.columns) == [
        "component",
        "explained_variance",
        "explained_variance_ratio",
        "cumulative",
    ]
    assert_whole(place / "run")


def test_items_without_a_name_go_by_their_id(place):
    names = "item,name\ni0,The First\n"
    (place / "names.csv").write_text(names)
    ingest(place, FEW, "--items", "names.csv")
    ok("explore-pca", "run")
    table = pd.read_csv(place / "run" / "components.csv", dtype=str, keep_default_na=False)
    ends = set(table.filter(regex="_[1-5]$").to_numpy().ravel())
    assert ends == {"The First", "i1", "i2", "i3", "i4", ""}


def test_too_few_customers_for_evidence_are_told_so(place):
    ingest(place, FEW)
    text = ok("explore-pca", "run").stdout
    assert "No evidence was gathered: 19 customers with 5 items are too few" in text
    assert "Recommended" not in text
    document = json.loads(ok("explore-pca", "run", "--json").stdout)
    assert document["evidence"] is None
    assert document["no_evidence"].startswith("No evidence was gathered: 19 customers")
    assert_one_line(
        invoke("explore-pca", "run", "--evidence", "quick"), "19 customers", "--evidence none"
    )
    assert states(place / "run")["explore-pca"] == "fresh"


def test_two_customers_with_two_items(place):
    ingest(place, "a,x,1\nb,y,2\nb,x,1\n")
    for weighting in ("raw", "log1p", "l2", "tfidf", "bm25", "pearson"):
        ok("explore-pca", "run", "--weighting", weighting)
    assert_one_line(invoke("explore-pca", "run", "--evidence", "full"), "2 customers")


def test_undefined_correlations_are_empty_in_words_and_null_in_json(place):
    rng = np.random.default_rng(1)
    rows = [f"c{c},i{i},{rng.integers(1, 6)}" for c in range(30) for i in range(6)]
    ingest(place, "\n".join(rows))
    assert "nan" not in ok("explore-pca", "run", "--weighting", "raw").stdout.lower()
    (first, *_) = json.loads(
        ok("explore-pca", "run", "--weighting", "raw", "--json").stdout, parse_constant=pytest.fail
    )["components"]
    assert first["activity_correlation"] is None
    assert first["popularity_correlation"] is None


def unevenly_active():
    rng = np.random.default_rng(0)
    activity = rng.uniform(0.05, 0.9, 120)
    have = rng.random((120, 15)) < activity[:, None]
    return "\n".join(f"c{c},i{i},1" for c, i in np.argwhere(have))


def test_a_first_component_of_mere_activity_is_called_so(place):
    ingest(place, unevenly_active())
    for weighting, warned in (("raw", True), ("log1p", True), ("tfidf", False), ("l2", False)):
        text = ok("explore-pca", "run", "--weighting", weighting).stdout
        assert ("Component 1 is mostly activity (correlation" in text) == warned
        assert ("Try --weighting tfidf or pearson." in text) == warned


def test_a_sample_of_the_customers_is_called_so(place, monkeypatch):
    of_fewer = replace(component_evidence.FULL, n_customers=70)
    monkeypatch.setattr(component_evidence, "FULL", of_fewer)
    monkeypatch.setattr(levels, "SAMPLE_INTERACTIONS", 0)
    monkeypatch.setattr(levels, "SMALLEST_SAMPLE", 50)
    monkeypatch.setattr(levels, "LARGEST_SAMPLE", 70)
    ingest(place, unevenly_active())
    assert "of 70 customers (a sample)" in ok("explore-pca", "run", "--evidence", "full").stdout
    text = ok("explore-pca", "run").stdout
    assert "of 50 customers (a sample; --evidence full takes up to 70)" in text
    assert " folds; cumulative shares are of all customers." in text
    assert verdict(place / "run")["is_sample"] is True
    table = pd.read_csv(place / "run" / "explained_variance.csv")
    assert not np.allclose(table["sample_ratio"], table["explained_variance_ratio"], rtol=1e-3)


def test_evidence_for_fewer_components_than_there_are_leaves_the_rest_undefined():
    assert explore_pca._of_length(np.array([1.0, 2]), 1).tolist() == [1]
    padded = explore_pca._of_length(np.array([1.0]), 2)
    assert padded[0] == 1
    assert math.isnan(padded[1])


@pytest.mark.parametrize(
    ("names", "line"),
    [
        ([], ""),
        (["short", "two words"], "short; two words"),
        (["a\nb  c"], "a b c"),
        (["x" * 40], "x" * 35 + "…"),
        (["x" * 36, "y" * 36, "z"], "x" * 36 + "; " + "y" * 36),
        (["x" * 24, "y" * 24, "z" * 24], "x" * 24 + "; " + "y" * 24 + "; " + "z" * 24),
        (["x" * 36, "y" * 38 + "z", "z"], "x" * 36 + "; " + "y" * 35 + "…"),
    ],
)
def test_names_are_cut_to_what_fits_on_a_line(names, line):
    assert explore_pca._fit(names) == line


def test_other_ids_the_same_evidence(shop, place):
    run, _ = shop
    rows = pd.read_csv(SAMPLE / "stars.csv", dtype=str)
    rng = np.random.default_rng(4)
    items = pd.read_csv(SAMPLE / "items.csv", dtype=str)
    for column in ("customer", "item"):
        old = rows[column].unique()
        new = dict(
            zip(old, rng.permutation([f"{column}{i}" for i in range(len(old))]), strict=True)
        )
        rows[column] = rows[column].map(new)
    items["item"] = items["item"].map(new)
    rows.sample(frac=1, random_state=1).to_csv("rows.csv", index=False)
    items.to_csv("items.csv", index=False)
    ok("ingest", "rows.csv", "run", "--items", "items.csv")
    ok("explore-pca", "run", "--max-components", 12, "--evidence", "full", "--threads", 1)
    assert verdict(place / "run") == verdict(run)
    for name in ("explained_variance.csv", "components.csv"):
        pd.testing.assert_frame_equal(
            pd.read_csv(place / "run" / name), pd.read_csv(run / name), rtol=1e-6, atol=1e-9
        )


def test_where_nobody_says_how_many_there_are_50_components_or_as_many_as_there_can_be():
    assert explore_pca.choose_max_components(None, 1000, 900) == 50
    assert explore_pca.choose_max_components(None, 20, 900) == 19
    assert explore_pca.choose_max_components(None, 1000, 7) == 7


def test_components_that_a_matrix_cannot_have_are_refused_before_any_is_computed(
    place, monkeypatch
):
    (place / "few.csv").write_text(HEADER + FEW)
    ok("ingest", "few.csv", "run")
    monkeypatch.delattr(explore_pca, "fit_pca")
    assert_one_line(invoke("explore-pca", "run", "--max-components", 6), "--max-components 6")


@pytest.mark.parametrize(
    ("weighting", "is_warned"), [("raw", True), ("tfidf", False), ("pearson", False)]
)
def test_who_weighs_activity_down_already_is_not_told_to(place, monkeypatch, weighting, is_warned):
    (place / "few.csv").write_text(HEADER + FEW)
    ok("ingest", "few.csv", "run")
    describe = explore_pca.describe_components

    def of_activity(*args, **kwargs):
        return [replace(face, activity_correlation=-0.9) for face in describe(*args, **kwargs)]

    monkeypatch.setattr(explore_pca, "describe_components", of_activity)
    said = ok("explore-pca", "run", "--weighting", weighting, "--evidence", "none").stdout
    assert ("Component 1 is mostly activity (correlation -0.90" in said) == is_warned
