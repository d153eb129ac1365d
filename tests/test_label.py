"""The segments of one run, for the customers of another."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from run_dirs import (
    STAGES,
    assert_one_line,
    assert_whole,
    command_in,
    digests,
    invoke,
    name_segments,
    ok,
    states,
    table,
)

from segcli import load_segmentation
from segcli.engine import LocalEngine, memory
from segcli.numerics.labelling import label_customers, places_of
from segcli.stages import label as labelling

FROM_RUN = ("--segments-from", "run")
IDS = {"customer": str, "segment": str, "earlier_segment": str}


def labels_of(run="new"):
    return pd.read_csv(f"{run}/labels.csv", dtype=IDS, keep_default_na=False).set_index("customer")


def label(rows, *options):
    """Ingest rows of CSV and label their customers by the segments of ``run``."""
    Path("new.csv").write_text("\n".join(["customer,item,value", *rows, ""]))
    ok("ingest", "new.csv", "new", *options)
    return ok("label", "new", *FROM_RUN)


def rows_of(place):
    return place.ratings.read_text().splitlines()[1:]


def test_the_customers_who_made_the_segments_are_in_the_same(place):
    printed = label(reversed(rows_of(place))).stdout.splitlines()
    found, made = labels_of(), table(place, "segments.csv").set_index("customer")
    assert found.index.tolist() == made.index.tolist()
    assert found["segment"].tolist() == made["segment"].astype(str).tolist()
    assert found["distance"].astype(float).tolist() == made["distance"].tolist()
    assert found["earlier_segment"].tolist() == found["segment"].tolist()
    matrix = sp.load_npz(place.run / "matrix.npz")
    assert found["known_items"].tolist() == np.diff(matrix.indptr).tolist()
    assert printed[0] == "60 customers in the 3 segments of run."
    for line in printed[2:5]:
        assert line.split()[2] == line.split()[3]  # the share now and before
    assert (
        "Customers in a segment both times: 60, of whom 60 (100%) are in the same one." in printed
    )
    assert any("a median of 4.5 now, 4.5 then" in line for line in printed)
    assert not any("that the segments know" in line for line in printed)
    assert not any("unknown to the segments" in line for line in printed)
    assert printed[-1] == "Wrote to new: labels.csv"
    assert_whole(place.folder / "new")


def test_other_customers_get_what_the_model_says_of_them(place):
    """Of items of which some are unknown and some are had by nobody, so that the columns differ."""
    rows = ["n1,i02,5", "n1,i05,4", "n1,new,9", "n2,a0,3", "n2,i04,3", "n2,i04,2", "c003,i00,5"]
    printed = label([*rows, "n3,zz,1"])
    found = labels_of()
    known = pd.DataFrame([row.split(",") for row in rows], columns=["customer", "item", "value"])
    known["value"] = known["value"].astype(float)
    said = load_segmentation("run").predict_interactions(known).set_index("customer")
    some = found.loc[said.index]
    assert some["segment"].tolist() == said["segment"].astype(str).tolist()
    assert some["distance"].astype(float).tolist() == [float(f"{d:.6g}") for d in said["distance"]]
    assert some["known_items"].tolist() == said["known_items"].tolist() == [1, 2, 1]
    assert found.loc["n3"].tolist() == ["unassigned", "", "", 0, ""]
    was = table(place, "segments.csv").set_index("customer")["segment"]
    assert found["earlier_segment"].tolist() == [str(was["c003"]), "", "", ""]
    assert "3 of 4 customers in the 3 segments of run." in printed.stdout
    assert "1 customer has no item that the segments know, and no segment." in printed.stdout
    assert "3 items, in 38% of the interactions, are unknown to the segments" not in printed.stdout
    assert "3 items, in 43% of the interactions, are unknown to the segments" in printed.stdout


def test_one_and_several_are_told_as_such(place):
    one = label(["n1,i02,5", "n2,zz,1", "n3,zz,2"]).stdout
    assert "2 customers have no item that the segments know, and no segment." in one
    assert (
        "1 item, in 67% of the interactions, is unknown to the segments and counts for nothing."
        in one
    )


def test_json_has_the_figures(place):
    rows = [row for row in rows_of(place) if row < "c030"]
    label([*rows, "n1,i00,5", "n1,new,1"])
    told = json.loads(ok("label", "new", *FROM_RUN, "--json").stdout)
    made = table(place, "segments.csv")
    now = pd.concat([made["segment"][:30].astype(str), labels_of().loc[["n1"], "segment"]])
    assert [
        row["customers"] for row in told["segments"]
    ] == now.value_counts().sort_index().tolist()
    assert [row["share"] for row in told["segments"]] == pytest.approx(
        now.value_counts(normalize=True).sort_index().tolist()
    )
    assert [row["share_earlier"] for row in told["segments"]] == pytest.approx(
        made["segment"].value_counts(normalize=True).sort_index().tolist()
    )
    assert (told["n_customers"], told["n_both"], told["n_stayed"]) == (31, 30, 30)
    assert (told["n_unknown_items"], told["share_unknown"]) == (
        1,
        pytest.approx(1 / (len(rows) + 2)),
    )
    limit = np.quantile(made["distance"], 0.95)
    far = (labels_of()["distance"].astype(float) > limit).mean()
    assert told["share_far"] == pytest.approx(far)
    assert 0 < far < 1


def test_customers_of_another_taste_lie_far(place):
    """They have everything, and each taste a third of it."""
    mixed = [f"m{c:02},i{item:02},5" for c in range(20) for item in range(12)]
    printed = label(mixed).stdout
    assert "100% of the customers lie farther from their segment's center" in printed
    assert "a median of 12 now, 4.5 then" in printed


def test_names_go_with_the_segments(place):
    rows = rows_of(place)
    assert "name" in label(rows).stdout.splitlines()[1]  # what marks them, where nobody named them
    assert set(labels_of()["name"]) == {""}
    name_segments(place.run, ["Ones", "Twos", "Threes"])
    printed = ok("label", "new", *FROM_RUN).stdout
    assert [line.split()[-1] for line in printed.splitlines()[2:5]] == ["Ones", "Twos", "Threes"]
    found = labels_of()
    named = pd.read_csv(place.run / "named_segments.csv").set_index("customer")["name"]
    assert found["name"].tolist() == named.loc[found.index].tolist()
    record = json.loads(Path("new/manifest.json").read_text())["stages"]["label"]
    assert record["inputs"] == {
        role: {"name": name, "sha256": digests(place.run)[name]}
        for role, name in (
            ("segmentation", "segmentation.joblib"),
            ("earlier_segments", "segments.csv"),
            ("names", "segment_summary.csv"),
        )
    }


def test_without_a_report_there_are_no_names(place):
    ok(*STAGES["ingest"])
    for name in ("explore-pca", "cluster"):
        ok(*STAGES[name])
    (place.run / "segment_summary.csv").unlink()
    printed = label(rows_of(place)).stdout
    assert "The segments have no names, for run/segment_summary.csv is missing" in printed
    assert "name" not in printed.splitlines()[1]
    assert printed == "".join(f"{line.rstrip()}\n" for line in printed.splitlines())
    assert set(labels_of()["name"]) == {""}


def test_one_name_is_enough_for_a_column_of_names(place, new):
    """Nothing may mark a segment, which then has no name unless a person gave one."""
    found = labelling.run(new, segments_from=place.run, engine=LocalEngine(1))
    rows = [{**row, "name": name} for row, name in zip(found.segments, ["", "B", ""], strict=True)]
    header, *lines = replace(found, segments=tuple(rows)).lines()[1:5]
    assert header.endswith("  name")
    assert [line.split()[4:] for line in lines] == [[], ["B"], []]


def test_an_earlier_ingest_of_which_there_is_no_record_gives_no_doubt(place):
    manifest = place.run / "manifest.json"
    document = json.loads(manifest.read_text())
    del document["stages"]["ingest"]
    manifest.write_text(json.dumps(document))
    printed = label(rows_of(place), "--duplicates", "max").stdout
    assert "60 customers in the 3 segments of run." in printed
    assert "Doubtful" not in printed


def test_who_was_unassigned_is_told(place):
    ok(*STAGES["cluster"], "--min-membership", "0.9999")
    made = table(place, "segments.csv").set_index("customer")["segment"]
    n_unassigned = int((made == "unassigned").sum())
    assert 0 < n_unassigned < 60
    printed = label(rows_of(place)).stdout
    found = labels_of()
    assert found["earlier_segment"].tolist() == made.tolist()
    assert "unassigned" not in set(found["segment"])
    assert f"both times: {60 - n_unassigned}, of whom {60 - n_unassigned} (100%)" in printed


@pytest.mark.parametrize(
    ("options", "said"),
    [(("--duplicates", "max"), "--duplicates max"), (("--negative", "net"), "--negative net")],
)
def test_values_read_in_another_way_are_doubtful(place, options, said):
    printed = label(rows_of(place), *options).stdout
    assert f"Doubtful: ingest was told {said} of these interactions and " in printed
    ok("ingest", "new.csv", "new")
    assert "Doubtful" not in ok("label", "new", *FROM_RUN).stdout


def test_a_model_is_enough(place):
    """As where a directory was cleared of what is large, or the model was sent elsewhere."""
    for name in ("matrix.npz", "customers.csv", "items.csv"):
        (place.run / name).unlink()
    printed = label(rows_of(place)).stdout
    assert "60 customers in the 3 segments of run." in printed
    assert "(a median of 4.5 now)" in printed


def test_a_link_is_followed_and_status_knows_the_stage(place):
    (place.folder / "now").symlink_to("run")
    assert "label" not in states(place.run)
    label(rows_of(place))
    ok("label", "new", "--segments-from", "now")
    assert "segments_from run" in ok("status", "new").stdout.splitlines()[-1]
    assert states(place.folder / "new")["label"] == "fresh"
    before = digests(place.folder / "new")
    place.change_one_row()
    ok("ingest", "ratings.csv", "new")
    assert states(place.folder / "new")["label"] == "stale"
    last = ok("status", "new").stdout.splitlines()[-1]
    assert last.startswith("label is stale: matrix.npz has changed since label ran.")
    ok(*command_in(last))
    assert states(place.folder / "new")["label"] == "fresh"
    assert digests(place.folder / "new") != before


# What cannot be labelled


@pytest.fixture
def new(place):
    """A run directory that is ingested, beside ``run``."""
    ok("ingest", "ratings.csv", "new")
    return place.folder / "new"


def refused(new, *words, earlier="run"):
    before = digests(new)
    assert_one_line(invoke("label", "new", "--segments-from", earlier), *words)
    assert digests(new) == before


def test_another_run_is_needed(new):
    refused(new, "new is this run itself", earlier="new")
    name_it = "Name the run directory of an earlier run."
    refused(new, f"nowhere does not exist. {name_it}", earlier="nowhere")
    refused(new, f"ratings.csv is not a run directory. {name_it}", earlier="ratings.csv")
    shutil.copytree(new, "bare")
    refused(new, "segmentation.joblib is missing: cluster has not run here", earlier="bare")
    assert invoke("label", "new").exit_code == 2


def test_segments_that_are_not_those_of_their_data(place, new):
    (place.run / "segments.csv").write_text("customer,segment\n")
    refused(new, "run/segments.csv was altered", "Run: segcli cluster run")
    place.change_one_row()
    ok(*STAGES["ingest"])
    refused(new, "run/segmentation.joblib is stale", "Run: segcli explore-pca run")


def test_items_of_which_none_is_known(place):
    (place.folder / "new.csv").write_text("customer,item,value\nc001,I01,1\nc002,I02,1\n")
    ok("ingest", "new.csv", "new")
    refused(place.folder / "new", "no item of new is known", "here 'I01', there 'i00'")
    label(["c001,i00,1", "c002,I00,2"])  # one is enough, be it the first


def test_values_that_the_weighting_does_not_take(place):
    (place.folder / "new.csv").write_text("customer,item,value\nc001,i01,-1\nc002,i02,1\n")
    ok("ingest", "new.csv", "new", "--negative", "keep")
    refused(place.folder / "new", "1 negative value, which pearson cannot weight", "--negative")
    ok("explore-pca", "run", "--weighting", "l2")
    ok(*STAGES["cluster"])
    ok("label", "new", *FROM_RUN)


def test_what_would_not_fit_in_memory(new, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 100_000_000)
    refused(new, "label of 269 interactions of 60 customers with 12 items needs about 0.4 GB")


def test_blocks_do_not_matter(place, engine):
    segmentation = load_segmentation(place.run)
    matrix = sp.csr_array(sp.load_npz(place.run / "matrix.npz"))
    backwards = np.arange(matrix.shape[1])[::-1]
    items = [segmentation.items[column] for column in backwards]
    items[3] = "unknown"
    places = places_of(items, segmentation)
    assert places.tolist() == [*backwards[:3], -1, *backwards[4:]]
    mixed = sp.csr_array(matrix[:, backwards])
    labels, distances, n_known = label_customers(engine.blocks(mixed), segmentation, places)
    lost = matrix.toarray()
    lost[:, backwards[3]] = 0
    assert labels.tolist() == segmentation.predict(lost).tolist()
    assert n_known.tolist() == (lost > 0).sum(axis=1).tolist()
    scores = segmentation.pca.project(sp.csr_array(lost))
    gaps = np.linalg.norm(scores - segmentation.centers[labels], axis=1)
    np.testing.assert_allclose(distances, gaps, rtol=1e-12)
    labels, distances, n_known = label_customers(
        engine.blocks(mixed), segmentation, np.full(len(items), -1)
    )
    assert (set(labels), set(n_known), np.isnan(distances).all()) == ({-1}, {0}, True)


def test_the_order_of_items_does_not_matter_and_not_by_rounding_either(place):
    segmentation = load_segmentation(place.run)
    rng = np.random.default_rng(2)
    X = rng.integers(1, 6, (300, 12)) * (rng.random((300, 12)) < 0.7)
    found = []
    for order in (np.arange(12), np.arange(12)[::-1]):
        blocks = LocalEngine(1).blocks(sp.csr_array(X[:, order].astype(float)))
        found.append(label_customers(blocks, segmentation, order)[1].tolist())
    assert found[0] == found[1]
