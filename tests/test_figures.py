"""What the stages write, print and draw, beside what it is said to be."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from run_dirs import (
    LATER,
    STAGES,
    assert_one_line,
    command_in,
    document,
    invoke,
    ok,
    table,
)

from segcli import load_segmentation, plots
from segcli.artifacts import records
from segcli.engine import ONE_THREAD
from segcli.numerics.activity import LARGE_SHARE
from segcli.numerics.agreement import Agreement
from segcli.numerics.evidence import KEvidence
from segcli.numerics.recipe import Recipe
from segcli.numerics.verdict import LEAST_STABILITY, LEAST_TRANSFER, KSupport, KVerdict
from segcli.page.words import verdict as page_verdict
from segcli.stages import cluster, explore_k, validate
from segcli.stages.segment_tables import characteristic_items_table, top_items_table
from segcli.stages.validate import _verdict, confusion_table


def test_each_picture_is_of_what_its_stage_found(place, monkeypatch):
    drawn, draw = {}, plots.draw

    def drawing(picture, *args, **kwargs):
        drawn[picture.__name__] = args, kwargs
        return draw(picture, *args, **kwargs)

    monkeypatch.setattr(plots, "draw", drawing)
    monkeypatch.setattr(explore_k, "verdict", lambda _: KVerdict((2, 3), 3, 4, "Three.", "Three."))
    for name in LATER:
        ok(*STAGES[name], *(("--weighting", "tfidf") if name == "explore-pca" else ()))
    args, chosen = drawn["explained_variance"]
    assert args[1] == "tfidf"
    assert chosen["suggestions"] == document(place, "components_verdict.json")["suggestions"]
    assert drawn["inertia"][0][1:] == (2, "tfidf")
    assert drawn["k_evidence"][1] == {
        "thresholds": {"jaccard_mean": LEAST_STABILITY, "transfer_ari": LEAST_TRANSFER},
        "supported": (2, 3),
        "recommended": 3,
        "n_silhouette": 60,
    }
    summary = table(place, "segment_summary.csv")
    customers, interactions = drawn["segment_sizes"][0]
    assert customers.tolist() == pytest.approx(summary["share"].tolist())
    assert interactions.tolist() == pytest.approx(summary["interactions_share"].tolist())


def test_bars_are_shares_of_all_customers_the_unassigned_too(place, monkeypatch):
    drawn = []

    def drawing(_, *shares):
        drawn.extend(shares)
        return SimpleNamespace(png=lambda: b"")

    five = (*STAGES["cluster"][:-1], "5")
    ok(*five)
    least = float(table(place, "segments.csv")["membership"].sort_values().iloc[20]) + 1e-6
    ok(*five, "--min-membership", str(least))
    monkeypatch.setattr(plots, "draw", drawing)
    ok(*STAGES["report"])
    summary = table(place, "segment_summary.csv")
    assert summary["share"].sum() < 0.7
    assert drawn[0].tolist() == pytest.approx(summary["share"].tolist())
    assert drawn[1].tolist() == pytest.approx(summary["interactions_share"].tolist())


def test_each_correlation_stands_in_its_own_column(place):
    faces = json.loads(ok(*STAGES["explore-pca"], "--json").stdout)["components"]
    found = table(place, "components.csv")
    for name in ("activity_correlation", "popularity_correlation"):
        assert found[name].tolist() == pytest.approx([face[name] for face in faces])
    first = np.sign(found["popularity_correlation"] - found["activity_correlation"])
    assert first.abs().sum() > 0


def test_a_correlation_that_rounds_to_nothing_is_no_zero_below_zero():
    from segcli.stages.explore_pca import _correlation

    assert [_correlation(value) for value in (-0.001, -0.3, None)] == ["0.00", "-0.30", ""]


def test_a_first_component_against_activity_is_mostly_activity_too():
    from segcli.stages.explore_pca import _warning

    for correlation in (0.7, 0.71, -0.71):
        said = _warning(SimpleNamespace(activity_correlation=correlation), "raw")
        assert f"(correlation {correlation:.2f} with" in said


def test_an_end_of_a_component_without_items_has_no_line():
    from segcli.stages.explore_pca import PCAExploration

    face = {"component": 1, "activity_correlation": 0.12, "popularity_correlation": None}
    found = SimpleNamespace(components=[face | {"positive": ["Jam", "Tea"], "negative": []}])
    _, line, _ = PCAExploration._face_lines(found)
    assert line.split() == ["1", "0.12", "+", "Jam;", "Tea"]


@pytest.mark.parametrize(
    ("weighting", "remedy"),
    [
        *((name, "weigh activity down") for name in ("raw", "log1p", "bm25")),
        *((name, "more components") for name in ("l2", "tfidf", "pearson")),
    ],
)
def test_what_helps_against_mostly_activity_depends_on_the_weighting(weighting, remedy):
    shares = {"activity_share": 0.61, "activity_share_null": 0.22}
    found = SimpleNamespace(k=3, weighting=weighting, **shares)
    (line,) = cluster.Clustering._activity_lines(found)
    assert line.startswith("61% of the variance of log activity lies between the segments (22% on")
    assert remedy in line
    found.activity_share = LARGE_SHARE
    assert cluster.Clustering._activity_lines(found)[0].endswith("on data without segments).")


def test_what_explore_k_said_of_other_components_is_not_on_the_table(place):
    ok(*STAGES["explore-k"][:3], "3", "--k-max", "4")
    ok(*STAGES["cluster"])
    assert document(place, "clustering.json")["on_the_table"] is None


def test_what_explore_k_said_of_other_data_is_not_on_the_table(place):
    place.change_one_row()
    for name in ("ingest", "explore-pca", "cluster"):
        ok(*STAGES[name])
    assert document(place, "clustering.json")["on_the_table"] is None


def test_distances_are_to_the_center_of_the_segment(finished):
    segments = table(finished, "segments.csv")
    scores = np.load(finished.run / "projected.npz")["scores"]
    centers = pd.DataFrame(scores).groupby(segments["segment"]).transform("mean").to_numpy()
    expected = np.linalg.norm(scores - centers, axis=1)
    assert segments["distance"].to_numpy() == pytest.approx(expected, rel=1e-5)


def test_the_unassigned_are_counted_by_segment(place):
    five = (*STAGES["cluster"][:-1], "5")
    ok(*five)
    before = table(place, "segments.csv")
    least = float(before["membership"].sort_values().iloc[20]) + 1e-6
    printed = ok(*five, "--min-membership", str(least)).stdout
    after = table(place, "segments.csv")
    kept = before["segment"][after["segment"] != "unassigned"].value_counts()
    for row in document(place, "clustering.json")["segments"]:
        assert row["customers"] == kept.get(row["segment"], 0)
        assert row["customers"] + row["n_unassigned"] == (before["segment"] == row["segment"]).sum()
        line = [str(row["segment"]), str(row["customers"]), f"{row['customers'] / 60:.1%}"]
        assert [*line, str(row["n_unassigned"])] in [
            one.split()[:4] for one in printed.splitlines()
        ]
    assert f"{60 - kept.sum()} customers are unassigned: their membership is below" in printed


def test_without_evidence_sizes_are_printed_all_the_same(place):
    printed = ok(*STAGES["cluster"], "--evidence", "none").stdout
    lines = [line.split() for line in printed.splitlines()]
    sizes = table(place, "segments.csv")["segment"].value_counts().to_dict()
    for segment, size in sizes.items():
        assert [str(segment), str(size), f"{size / 60:.1%}"] in lines


@pytest.mark.parametrize(
    ("stage", "k", "said"),
    [(cluster, 3, "in the steps allowed."), (explore_k, 4, "in the steps allowed for k = 4.")],
)
def test_centers_that_still_moved_at_the_last_step_are_told(place, monkeypatch, stage, k, said):
    name = stage.__name__.rpartition(".")[2].replace("_", "-")
    command = (*STAGES[name], "--evidence", "none")
    assert "did not converge" not in ok(*command).stdout
    fit_all = stage.fit_all

    def moving(*args, **kwargs):
        return [replace(fit, converged=fit.k != k) for fit in fit_all(*args, **kwargs)]

    monkeypatch.setattr(stage, "fit_all", moving)
    assert f"k-means did not converge {said}" in ok(*command).stdout.splitlines()


def test_rows_of_a_confusion_matrix_are_segments_and_columns_guesses():
    first, second = np.array([[5, 2], [0, 1]]), np.array([[3, 4], [1, 0]])
    found = confusion_table({"in_sample": Agreement(first), "cross_validated": Agreement(second)})
    assert {name: list(column) for name, column in found.items()} == {
        "evaluation": ["in_sample"] * 2 + ["cross_validated"] * 2,
        "segment": [0, 1, 0, 1],
        "predicted_0": [5, 0, 3, 1],
        "predicted_1": [2, 1, 4, 0],
    }


def test_the_agreement_is_that_of_the_confusion_matrix(finished):
    found, counts = document(finished, "validation.json"), table(finished, "confusion_matrix.csv")
    for name in ("in_sample", "cross_validated"):
        matrix = counts[counts["evaluation"] == name].filter(like="predicted").to_numpy()
        assert found[name] == pytest.approx(matrix.trace() / matrix.sum())
        for row in found["segments"]:
            hits = matrix[row["segment"], row["segment"]]
            assert row[f"{name}_recall"] == pytest.approx(hits / matrix[row["segment"]].sum())
            assert row[f"{name}_precision"] == pytest.approx(hits / matrix[:, row["segment"]].sum())


def test_a_disliked_item_tells_segments_from_a_liked_one(place):
    """Two groups have the same items, and differ in what they dislike."""
    rows = ["customer,item,value"]
    for c in range(40):
        rows += [f"c{c},i{i},{1 if (i + c) % 2 else -1}" for i in range(8) if (3 * c + i) % 5]
    place.ratings.write_text("\n".join(rows))
    ok(*STAGES["ingest"], "--negative", "keep")
    ok("explore-pca", "run", "--weighting", "raw", "--max-components", "2")
    ok("cluster", "run", "--n-components", "2", "--n-clusters", "2")
    assert json.loads(ok("validate", "run", "--json").stdout)["cross_validated"] == 1


@pytest.mark.parametrize(
    ("judged", "said"),
    [
        (SimpleNamespace(supported=True), "It can be trusted"),
        (
            SimpleNamespace(supported=False),
            "It holds by itself, though the segmentation as a whole",
        ),
        (
            None,
            "It holds by itself; validate gathered no evidence on the segmentation as a whole.",
        ),
    ],
)
def test_a_segment_is_judged_with_the_segmentation_as_a_whole(judged, said):
    from segcli.stages.validate import _segment_rows

    rows = [{"segment": s, "customers": 5, "stability": 0.9, "grade": "stable"} for s in range(2)]
    evaluations = {"cross_validated": Agreement(np.diag([5, 5]))}
    clustering = {"segments": rows, "evidence": {}}
    found = _segment_rows(evaluations, clustering, judged, None)
    assert all(row["verdict"].startswith(said) for row in found)


def test_a_verdict_that_cannot_be_found_is_not_the_one_required(place):
    lines = place.ratings.read_text().splitlines()
    few = [line for line in lines if line[:4] < "c012" or line.startswith("customer")]
    place.ratings.write_text("\n".join(few))
    for name in ("ingest", "explore-pca", "cluster"):
        ok(*STAGES[name])
    found = invoke("validate", "run", "--require", "supported")
    assert (found.exit_code, document(place, "validation.json")["verdict"]["supported"]) == (
        3,
        None,
    )


def test_the_summary_adds_up(finished):
    segments = table(finished, "segments.csv")
    data = pd.read_csv(finished.ratings).merge(segments, on="customer").groupby("segment")
    own = segments.groupby("segment")
    found = table(finished, "segment_summary.csv").set_index("segment")
    expected = pd.DataFrame(
        {
            "customers": own.size(),
            "share": own.size() / 60,
            "interactions": data.size(),
            "interactions_share": data.size() / data.size().sum(),
            "total_value": data["value"].sum(),
            "value_share": data["value"].sum() / pd.read_csv(finished.ratings)["value"].sum(),
            "mean_distance": own["distance"].mean(),
            "mean_membership": own["membership"].mean(),
        }
    )
    pd.testing.assert_frame_equal(found[list(expected)], expected, check_dtype=False, rtol=1e-9)


def test_top_items_say_how_many_of_the_segments_customers_have_them(finished):
    data = pd.read_csv(finished.ratings).merge(table(finished, "segments.csv"), on="customer")
    sizes = table(finished, "segments.csv")["segment"].value_counts()
    for row in table(finished, "top_items.csv").itertuples():
        n = ((data["item"] == row.item) & (data["segment"] == row.segment)).sum()
        assert (row.customers, row.share) == (n, pytest.approx(n / sizes[row.segment]))


def test_figures_on_unseen_interactions_stand_in_their_own_columns():
    seen, unseen = (
        SimpleNamespace(
            popularity_rank=np.array([9]),
            **{n: np.full((1, 1), s + i) for i, n in enumerate(("log_odds", "z", "customers"))},
            share=lambda segment, item, s=s: s + 3 + segment + item,
            share_outside=lambda segment, item, s=s: s + 4 + segment + item,
            times=lambda segment, item, s=s: s + 5 + segment + item,
        )
        for s in (1, 11)
    )
    rounds = SimpleNamespace(is_enough=np.ones(1, bool), found=np.full((1, 1), 30))
    described = SimpleNamespace(
        log_odds=seen, unseen_log_odds=unseen, unseen=rounds, characteristic=[[0]], avoided=[[]]
    )
    names = np.array(["i"]), np.array(["Item"])
    (row,) = records(characteristic_items_table(described, [None], *names))
    assert row == {
        **{"segment": 0, "kind": "characteristic", "rank": 1, "item": "i", "name": "Item"},
        **{"times": 6, "log_odds": 1, "z": 2, "customers": 3, "share": 4, "share_outside": 5},
        **{"share_nearest": None, "popularity_rank": 9, "unseen_customers": 30, "unseen_share": 14},
        **{"unseen_share_outside": 15, "unseen_times": 16, "unseen_log_odds": 11},
    }
    described.unseen.is_enough[:] = False
    (few,) = records(characteristic_items_table(described, [None], *names))
    told = ("share", "share_outside", "times", "log_odds")
    assert few == row | {f"unseen_{name}": None for name in told}


def test_of_top_items_alike_the_one_of_lower_rank_comes_first():
    profiles = SimpleNamespace(
        tfidf=np.array([[0.5, 0.5, 0.9]]),
        customers=np.array([[2, 2, 1]]),
        shares=np.array([[1.0, 1.0, 0.5]]),
    )
    items = np.array(["a", "b", "c"])
    listed = top_items_table(profiles, items, items, 3, np.array([2, 1, 0]))
    assert [row["item"] for row in records(listed)] == ["c", "b", "a"]


def test_python_loads_no_model_that_is_stale_or_altered(place):
    from segcli.errors import RunDirectoryError

    assert load_segmentation(place.run).k == 3
    path = place.run / "segmentation.joblib"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"i00", b"i99", 1))
    with pytest.raises(RunDirectoryError, match="was altered"):
        load_segmentation(place.run)
    path.write_bytes(whole)
    place.change_one_row()
    ok(*STAGES["ingest"])
    with pytest.raises(RunDirectoryError, match="is stale"):
        load_segmentation(place.run)


def test_what_is_printed_of_segments_leaves_out_the_unassigned(place):
    five = (*STAGES["cluster"][:-1], "5")
    ok(*five)
    least = float(table(place, "segments.csv")["membership"].sort_values().iloc[20]) + 1e-6
    for options in ((), ("--min-membership", str(least))):
        printed = ok(*five, *options).stdout
        rows = re.findall(
            r"^ +(\d) +(\d+) +([\d.]+)%(?: +(\d+))? +\d\.\d\d  ", printed, re.MULTILINE
        )
        segments = table(place, "segments.csv")["segment"].astype(str)
        assert len(rows) == 5
        for segment, size, share, unassigned in rows:
            assert int(size) == (segments == segment).sum()
            assert float(share) == pytest.approx(100 * int(size) / 60, abs=0.05)
            assert bool(unassigned) == bool(options)
        n_unassigned = (segments == "unassigned").sum()
        assert sum(int(row[3] or 0) for row in rows) == n_unassigned
    assert n_unassigned > 1
    assert f"{n_unassigned} customers are unassigned: their membership is below" in printed
    found = cluster.run(
        place.run, n_components=2, n_clusters=3, min_membership=None, because=None,
        evidence=None, engine=ONE_THREAD, seed=0,
    )  # fmt: skip
    lines = replace(found, n_unassigned=1, min_membership=0.25).lines()
    assert "1 customer is unassigned: its membership is below 0.25." in lines


def test_items_that_more_of_a_segment_have_are_none_that_it_avoids(finished):
    listed = table(finished, "characteristic_items.csv")
    avoided = listed[listed["kind"] == "avoided"]
    assert len(avoided) > 0
    assert (avoided["share"] < avoided["share_outside"]).all()


def test_what_tells_a_segment_from_the_nearest_compares_the_two_alone(finished):
    data = pd.read_csv(finished.ratings).merge(table(finished, "segments.csv"), on="customer")
    sizes = table(finished, "segments.csv")["segment"].value_counts()
    has = data.pivot_table(index="item", columns="segment", values="value", aggfunc="count")
    has = has.fillna(0)
    nearest = table(finished, "segment_summary.csv")["nearest"]
    model = load_segmentation(finished.run)
    apart = np.linalg.norm(model.centers[:, None] - model.centers[None], axis=2)
    np.fill_diagonal(apart, np.inf)
    assert nearest.tolist() == apart.argmin(axis=1).tolist()
    listed = table(finished, "characteristic_items.csv")
    listed = listed[listed["kind"].str.endswith("_than_nearest")]
    assert set(listed["segment"]) == {0, 1, 2}
    for row in listed.itertuples():
        other = nearest[row.segment]
        n, there = has.loc[row.item, row.segment], has.loc[row.item, other]
        assert (row.customers, row.share) == (n, pytest.approx(n / sizes[row.segment]))
        assert row.share_nearest == pytest.approx(there / sizes[other])
        assert (row.share > row.share_nearest) == (row.kind == "more_than_nearest")


def test_how_many_others_have_what_marks_a_segment(finished):
    data = pd.read_csv(finished.ratings)
    segments = table(finished, "segments.csv").set_index("customer")["segment"]
    listed = table(finished, "characteristic_items.csv")
    for row in table(finished, "segment_summary.csv").itertuples():
        mine = (listed["segment"] == row.segment) & (listed["kind"] == "characteristic")
        who = data[data["item"].isin(listed[mine]["item"])]["customer"].unique()
        has_any = segments.index.isin(who)
        inside = (segments == row.segment).to_numpy()
        assert row.listed_share == pytest.approx(has_any[inside].mean())
        assert row.listed_share_outside == pytest.approx(has_any[~inside].mean())


@pytest.mark.parametrize(
    ("said", "step", "command"),
    [
        (None, None, None),
        ({"recommended": 3, "supported": [3, 4]}, None, None),
        (
            {"recommended": 3, "supported": [2, 3]},
            "The evidence of explore-k supports 2 segments.",
            "segcli cluster RUN --n-components 2 --n-clusters 2",
        ),
        (
            {"recommended": None},
            "Of the numbers of segments that explore-k looked at, the evidence supports none.",
            None,
        ),
        (
            {"recommended": 5},
            "The evidence of explore-k supports 5 segments.",
            "segcli cluster RUN --n-components 2 --n-clusters 5",
        ),
    ],
)
def test_a_verdict_of_no_says_what_to_do(said, step, command):
    clustering = {"k": 3, "n_components": 2, "segments": [], "sizes": []}
    found = _verdict(KSupport(False, "No.", "No."), clustering, None, said)
    recommended_k = said["recommended"] if said is not None else None
    assert found == {
        "supported": False,
        "all_but": [],
        "near_limit": [],
        "recommended_k": recommended_k,
        "reason": "No.",
        "plain": "No.",
        "next_step": step,
        "next_command": command,
    }
    yes = _verdict(KSupport(True, "Yes.", "Yes."), clustering, None, said)
    assert (yes["next_step"], yes["next_command"]) == (None, None)
    advice = page_verdict({"verdict": found}, None, 3)
    assert (advice.next_step, advice.next_command) == (step, command)


@pytest.mark.parametrize(
    ("no_evidence", "reason"),
    [(None, "No evidence was gathered, so nothing is known."), ("Too few.", "Too few.")],
)
def test_a_verdict_without_evidence_says_why_there_is_none(no_evidence, reason):
    found = _verdict(None, {"segments": [], "sizes": []}, no_evidence, None)
    assert (found["supported"], found["reason"], found["next_step"]) == (None, reason, None)


def test_what_to_do_is_by_what_explore_k_says_now(place, monkeypatch):
    """It may have been asked again, with more evidence, since the segments were made."""
    monkeypatch.setattr(validate, "verdict_for", lambda *_: KSupport(False, "No.", "No."))
    for n_components, recommended in (("2", None), ("2", 4), ("3", 4)):
        looked = KVerdict((), recommended, None, "So it is.", "So it is.")
        monkeypatch.setattr(explore_k, "verdict", lambda _, looked=looked: looked)
        ok("explore-k", "run", "--n-components", n_components, "--k-max", "4")
        said = ok(*STAGES["validate"]).stdout
        assert ("explore-k looked at, the evidence supports none" in said) == (recommended is None)
        assert ("explore-k supports 4 segments" in said) == (
            n_components == "2" and recommended == 4
        )


@pytest.mark.parametrize("before", [None, 4])
def test_advice_that_explore_k_has_taken_back_is_not_on_the_page(place, monkeypatch, before):
    monkeypatch.setattr(validate, "verdict_for", lambda *_: KSupport(False, "No.", "No."))

    def explore(recommended, *words):
        found = KVerdict((), recommended, None, "So it is.", "So it is.")
        monkeypatch.setattr(explore_k, "verdict", lambda _: found)
        ok(*STAGES["explore-k"], *words)

    def on_the_page():
        ok(*STAGES["report"])
        text = (place.run / "report.html").read_text()
        newer = "is newer than this verdict. With RUN for the run directory:"
        return [words in text for words in (advice, f"{newer} <code>segcli validate RUN</code>")]

    explore(before)
    ok(*STAGES["validate"])
    advice = document(place, "validation.json")["verdict"]["next_step"]
    assert on_the_page() == [True, False]
    explore(2)
    assert on_the_page() == [False, True]
    explore(2, "--n-components", "3")  # which says nothing of these
    assert on_the_page() == [True, False]


def test_two_stabilities_are_explained_only_where_there_are_two(place):
    assert "are of segments made anew" in ok(*STAGES["validate"]).stdout
    assert "made anew" not in ok(*STAGES["validate"], "--evidence", "none").stdout
    ok(*STAGES["cluster"], "--evidence", "none")
    assert "made anew" not in ok(*STAGES["validate"]).stdout


def test_that_stability_cannot_be_known_is_told_from_that_it_is_not():
    from segcli.stages.validate import _segment_rows

    row = {"customers": 5, "stability": None, "grade": None}
    rows = [{"segment": 0, **row}, {"segment": 1, **row}]
    evaluations = {"cross_validated": Agreement(np.diag([5, 5]))}
    for evidence, no_evidence, said in (
        (None, None, "is not known: run"),
        (None, "Too few.", "cannot be known."),
        ({"n_customers": 10, "is_sample": False}, None, "no trial had customers of it"),
    ):
        clustering = {"segments": rows, "evidence": evidence}
        for found in _segment_rows(evaluations, clustering, None, no_evidence):
            assert said in found["verdict"]


def test_a_smallest_k_beyond_the_default_range_is_tried_alone():
    assert explore_k.choose_ks(55, None, 1, n_customers=100) == [55]


def test_a_band_that_is_one_figure_as_printed_is_printed_once():
    assert validate._band({"null_low": 0.121, "null_high": 0.124}) == "0.12"
    assert validate._band({"null_low": 0.121, "null_high": 0.126}) == "0.12 to 0.13"


def test_of_many_k_the_small_ones_and_those_to_keep_are_printed():
    rows = [{"k": k} for k in range(2, 51)]
    shown = [row["k"] for row in explore_k._spread(rows, keep={33})]
    assert shown[:7] == [2, 3, 4, 5, 6, 7, 8]
    assert {33, 50} < set(shown)
    assert len(shown) < 20
    assert explore_k._spread(rows[:14]) == rows[:14]


def test_that_some_k_are_shown_is_said_only_where_some_are_not():
    row = dict.fromkeys(["inertia_reduced", "inertia_full"], 1.0)
    row |= dict.fromkeys([f"{name}_share" for name in row], 0.5)
    scores = tuple(row | {"k": k} for k in range(2, 17))
    found = explore_k.KExploration(3, "raw", "kept", scores, (), None, None, ())
    assert "Some of 15 k are shown; k_scores.csv has them all." in found.lines()
    beside = dict.fromkeys(
        ["prediction_strength", "transfer_ari", "held_out_gain", "jaccard_min", "activity_share"]
    )
    scores = tuple(
        row | beside | dict.fromkeys([f"{name}_null" for name in beside]) for row in scores
    )
    evidence = {
        **{"supported": list(range(2, 17)), "gain_peak": 3, "reason": "All."},
        **{"n_customers": 99, "is_sample": False, "n_splits": 3, "n_nulls": 2},
    }
    all_ = replace(found, scores=scores, evidence=evidence).lines()
    assert sum(line.endswith("   *") for line in all_) == 15
    assert not any("are shown" in line for line in all_)


def test_shares_of_inertia_have_their_nulls_beside_them(finished):
    columns = [name for name in table(finished, "k_scores.csv") if name.startswith("inertia")]
    nulls = [f"inertia_reduced_share_null{which}" for which in ("", "_min", "_max")]
    assert columns == [
        *("inertia_reduced", "inertia_full", "inertia_reduced_share", "inertia_full_share"),
        *nulls,
    ]


def test_the_silhouette_compares_a_sample_of_many_customers():
    for n_customers, n_compared in ((500, 500), (5000, 2000)):
        gathered = KEvidence(Recipe("raw", 2), {}, n_customers, False, 3, 1)
        said = explore_k.verdict_document(gathered, KVerdict((), None, None, "None.", "None."))
        assert (said["n_customers"], said["n_silhouette"]) == (n_customers, n_compared)


def test_what_to_do_is_printed_after_the_verdict_and_stands_on_the_page(place, monkeypatch):
    monkeypatch.setattr(validate, "_next_step", lambda *_: ("Try: five.", "segcli five"))
    monkeypatch.setattr(validate, "verdict_for", lambda *_: KSupport(False, "No.", "No."))
    said = "Try: five. With RUN for the run directory:"
    assert ok(*STAGES["validate"]).stdout.splitlines()[-2] == f"{said} segcli five"
    ok(*STAGES["report"])
    assert f"<p>{said} <code>segcli five</code></p>" in (place.run / "report.html").read_text()


def test_too_few_customers_to_hide_interactions_of_are_told_so(place):
    lines = place.ratings.read_text().splitlines()
    place.ratings.write_text(
        "\n".join(line for line in lines if line[:4] < "c012" or "item" in line)
    )
    for name in ("ingest", "explore-pca", "cluster"):
        ok(*STAGES[name])
    why = "12 customers are too few to hide interactions of: evidence needs at least 20"
    assert f"No evidence was gathered: {why}." in ok(*STAGES["report"]).stdout.splitlines()
    before = (place.run / "report.html").read_bytes()
    result = invoke(*STAGES["report"], "--evidence", "quick")
    assert_one_line(result, f"{why}. Use --evidence none.")
    assert (place.run / "report.html").read_bytes() == before


def test_parameters_on_which_nothing_rests_are_not_on_the_page(place):
    ok("explore-pca", "run", "--max-components", "3")
    ok(*STAGES["cluster"])
    ok(*STAGES["report"])
    page = (place.run / "report.html").read_text()
    listed = page.partition("Every parameter of every stage")[2]
    assert ">cluster<" in listed
    assert ">explore-k<" not in listed


def test_a_run_directory_that_begins_with_a_dash_can_be_run_again(place):
    place.run.rename(place.folder / "-run")
    (place.folder / "-run" / "matrix.npz").unlink()
    last = ok("status", "--", "-run").stdout.splitlines()[-1]
    ok(*command_in(last))
