"""How far to trust segments, from the command line: membership, the reason, the verdict required."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from run_dirs import STAGES, assert_one_line, digests, document, invoke, ok, table

from segcli.numerics.evidence import gather_evidence
from segcli.numerics.verdict import KSupport, KVerdict
from segcli.stages import cluster, explore_k, validate


def segments(place):
    return pd.read_csv(place.run / "segments.csv", dtype=str)


def test_customers_of_small_membership_are_unassigned_and_left_out(place):
    before = segments(place)
    assert before["membership"].astype(float).between(0, 1).all()
    least = before["membership"].astype(float).max()
    ok(*STAGES["cluster"], "--min-membership", least)
    after = segments(place)
    below = after["membership"].astype(float) < least
    assert (after["segment"] == "unassigned").equals(below)
    assert after.loc[~below, "segment"].equals(before.loc[~below, "segment"])
    ok(*STAGES["validate"])
    ok(*STAGES["report"])
    assert document(place, "validation.json")["n_customers"] == (~below).sum()


def test_memberships_that_were_not_found_cannot_be_asked_for(place):
    asked = (*STAGES["cluster"], "--min-membership", "0.5")
    result = invoke(*asked, "--evidence", "none")
    assert result.exit_code == 2
    assert "--min-membership 0.5 needs evidence" in result.stderr
    with (place.folder / "ratings.csv").open("a") as file:
        file.write("\nsomebody,something,-1")
    ok(*STAGES["ingest"], "--negative", "keep")
    ok(*STAGES["explore-pca"], "--weighting", "raw")
    assert_one_line(invoke(*asked), "--min-membership 0.5 needs evidence", "negative values")


def test_memberships_need_halves_that_bear_as_many_segments(place):
    """60 customers: halves have 30."""
    asked = ("cluster", "run", "--n-components", "2", "--n-clusters", "40")
    refused = invoke(*asked, "--min-membership", "0.5")
    assert_one_line(refused, "needs memberships, and no half of the customers could be segmented")


def test_memberships_that_nobody_has_are_refused_with_the_largest(place):
    rng = np.random.default_rng(0)
    rows = [f"c{c},i{i}" for c in range(40) for i in rng.choice(200, 5, replace=False)]
    place.ratings.write_text("\n".join(["customer,item", *rows, ""]))
    ok(*STAGES["ingest"])
    ok(*STAGES["explore-pca"])
    asked = ("cluster", "run", "--n-components", "2", "--n-clusters", "12")
    ok(*asked)
    largest = segments(place)["membership"].astype(float).max()
    assert largest < 1
    before = digests(place.run)
    assert_one_line(
        invoke(*asked, "--min-membership", "1"),
        f"--min-membership 1 leaves no customer in a segment: the largest membership is {largest:.2f}",
    )
    assert digests(place.run) == before


def test_the_reason_is_kept_with_the_evidence_on_the_table(place):
    ok(*STAGES["cluster"], "--because", "three <aisles>")
    found = document(place, "clustering.json")
    assert found["because"] == "three <aisles>"
    assert found["on_the_table"]["k_scores"]["k"] == 3
    ok(*STAGES["validate"])
    ok(*STAGES["report"])
    page = (place.run / "report.html").read_text()
    assert "three &lt;aisles&gt;" in page
    assert "<aisles>" not in page


@pytest.mark.parametrize(("size", "whom"), [(59, "59 customers (a sample)"), (60, "60 customers")])
def test_stability_of_a_sample_is_said_to_be_one(place, monkeypatch, size, whom):
    monkeypatch.setattr(cluster, "LARGEST_SAMPLE", size)
    assert f"half of {whom} are segmented anew" in ok(*STAGES["cluster"]).stdout
    rests_on = document(place, "clustering.json")["evidence"]
    assert (rests_on["n_customers"], rests_on["is_sample"]) == (size, size < 60)


def test_no_words_are_no_reason(place):
    ok(*STAGES["cluster"], "--because", "")
    assert document(place, "clustering.json")["because"] is None
    assert document(place, "manifest.json")["stages"]["cluster"]["parameters"]["because"] is None


def test_another_look_at_k_does_not_make_the_segments_stale(place):
    ok(*STAGES["explore-k"], "--k-step", "2")
    assert invoke(*STAGES["validate"]).exit_code == 0


def test_of_the_same_k_validate_finds_what_explore_k_does(place, monkeypatch):
    """To the last digit, gains over smaller k among it: at a limit they must not contradict each other."""
    gathered = []

    def gather(*args, **options):
        gathered.extend(gather_evidence(*args, **options))
        return gathered

    monkeypatch.setattr(validate, "gather_evidence", gather)
    ok("explore-k", "run", "--n-components", "3", "--k-max", "15")
    ok("cluster", "run", "--n-components", "3", "--n-clusters", "14")
    ok(*STAGES["validate"])
    explored = table(place, "k_scores.csv").set_index("k").loc[14]
    for name, value in gathered[0].row(14).items():
        if name in explored:  # the shares of inertia are of all customers there
            assert value == pytest.approx(explored[name], rel=1e-9, nan_ok=True), name


def test_a_verdict_can_be_required(place):
    supported = document(place, "validation.json")["verdict"]["supported"]
    result = invoke(*STAGES["validate"], "--require", "supported")
    assert result.exit_code == (0 if supported else 3)
    ok("cluster", "run", "--n-components", "2", "--n-clusters", "9")
    assert invoke(*STAGES["validate"], "--require", "supported").exit_code == 3
    assert invoke(*STAGES["validate"]).exit_code == 0


def test_a_verdict_without_evidence_cannot_be_required(place):
    result = invoke(*STAGES["validate"], "--require", "supported", "--evidence", "none")
    assert result.exit_code == 2


NO_NUMBER = (
    "The 3 segments are supported, but with these components explore-k recommends no number of them, or "
    "has not run."
)


@pytest.mark.parametrize(
    ("supported", "recommended", "status", "said"),
    [
        (True, 3, 0, None),
        (True, 4, 3, "The 3 segments are supported, but explore-k recommends 4."),
        (True, None, 3, NO_NUMBER),
        (False, 3, 3, None),
        (None, 3, 3, None),
    ],
)
def test_the_recommended_number_of_segments_can_be_required(
    place, monkeypatch, supported, recommended, status, said
):
    monkeypatch.setattr(
        explore_k, "verdict", lambda _: KVerdict((), recommended, None, "So.", "So.")
    )
    judged = None if supported is None else KSupport(supported, "So.", "So.")
    monkeypatch.setattr(validate, "verdict_for", lambda *_: judged)
    ok(*STAGES["explore-k"])
    found = invoke(*STAGES["validate"], "--require", "recommended")
    assert (found.exit_code, found.stderr) == (status, f"{said}\n" if said else "")
    assert document(place, "validation.json")["verdict"]["recommended_k"] == recommended
    assert invoke(*STAGES["validate"], "--require", "supported").exit_code == (
        0 if supported else 3
    )


def test_the_verdict_is_of_these_segments_too(place, monkeypatch):
    """Halves of a sample may agree on others."""
    stable = cluster.segment_stability

    def less_stable(*args, **options):
        found = stable(*args, **options)
        return replace(found, jaccard=found.jaccard * [1, 0.7, 1])

    monkeypatch.setattr(cluster, "segment_stability", less_stable)
    ok(*STAGES["cluster"])
    assert invoke(*STAGES["validate"], "--require", "supported").exit_code == 3
    told = document(place, "validation.json")["verdict"]
    assert (told["supported"], told["all_but"]) == (False, [1])
    assert "all of these segments again (Jaccard similarity of segment 1: 0." in told["reason"]
    ok(*STAGES["report"])
    assert "Not all of them." in (place.run / "report.html").read_text()


def test_what_explore_k_says_of_other_components_is_no_recommendation(place, monkeypatch):
    monkeypatch.setattr(explore_k, "verdict", lambda _: KVerdict((3,), 3, 3, "So.", "So."))
    monkeypatch.setattr(validate, "verdict_for", lambda *_: KSupport(True, "So.", "So."))
    ok("explore-k", "run", "--n-components", "3", "--k-max", "4")
    found = invoke(*STAGES["validate"], "--require", "recommended")
    assert (found.exit_code, found.stderr) == (3, f"{NO_NUMBER}\n")
    assert document(place, "validation.json")["verdict"]["recommended_k"] is None
