"""The report: its tables, its words, and a page that anybody can read and no name can break."""

import hashlib
import json
import re
import sys
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from run_dirs import (
    STAGES,
    assert_one_line,
    digests,
    document,
    invoke,
    name_segments,
    ok,
    ratings,
    table,
    workplace_in,
)

from segcli.errors import InputError
from segcli.inputs.segment_names import read_segment_names
from segcli.numerics.description import Echo
from segcli.numerics.weighting import DESCRIPTIONS
from segcli.page import echo_in_words, words

NASTY = '<script>alert("x")</script>&"\'{{ 7919 * 7 }}'


class Page(HTMLParser):
    """What a browser would see: text, tags, and ids linked to and there."""

    def __init__(self, html):
        super().__init__()
        self.text, self.tags, self.ids, self.links, self.sources = [], [], [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.tags.append(tag)
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found["href"]] if "href" in found else []
        self.sources += [found["src"]] if "src" in found else []

    def handle_data(self, data):
        self.text.append(data)

    @property
    def words(self):
        return " ".join(" ".join(self.text).split())


def page_of(place):
    return Page((place.run / "report.html").read_text(encoding="utf-8"))


def run_all(place, *, names=None, report=(), cluster=(), pca=()):
    """Run the stages anew on the folder's ratings, with other choices."""
    for stage, args in STAGES.items():
        if stage == "ingest" and names is not None:
            args = (*args, "--items", names)
        extra = {"report": report, "cluster": cluster, "explore-pca": pca}.get(stage, ())
        ok(*args, *extra)


def test_the_page_is_whole_and_needs_nothing_else(finished):
    page = page_of(finished)
    assert len(page.ids) == len(set(page.ids))
    assert {link for link in page.links if not link.startswith("#")} == set()
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert page.sources
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not {"script", "link", "iframe"} & set(page.tags)
    html = (finished.run / "report.html").read_text(encoding="utf-8")
    assert "url(" not in html
    assert "nan" not in re.findall(r"[A-Za-z]+", page.words)
    assert "None" not in page.words


def test_on_paper_tables_are_whole(finished):
    html = (finished.run / "report.html").read_text(encoding="utf-8")
    style, _ = html.split("</style>")
    screen, paper = style.split("@media print {")
    assert ".scroll { overflow-x: auto;" in screen
    assert ".scroll { overflow: visible; }" in paper
    (whole,) = re.findall(r"(.*) { break-inside: avoid; }", paper)
    # A thead that may be cut is not repeated where its table goes on.
    assert {"figure", "thead", "tr", ".head", ".pair"} <= set(whole.strip().split(", "))
    assert re.findall(r"(.*) { break-after: avoid; }", paper)[0].endswith("h2, h3, h4, .head")
    # A sheet is as narrow as a phone, and has room for every column.
    assert "@media screen and (max-width" in screen
    assert "@media (" not in html


def test_on_paper_there_is_nothing_to_click(finished):
    html = (finished.run / "report.html").read_text(encoding="utf-8")
    _, paper = html.split("@media print {")
    assert "nav, details, .click { display: none; }" in paper
    clicked = '<span class="click">The list by tf-idf shows'
    assert clicked in html  # that list is folded up, and not on paper
    # What a link says is of use where it leads nowhere.
    assert "The figures are with the evidence." in page_of(finished).words


def test_the_page_brings_its_own_background(finished):
    """Dark letters on what a browser takes for a dark page are not seen."""
    html = (finished.run / "report.html").read_text(encoding="utf-8")
    assert "html { background: #fff; color-scheme: light; }" in html


def test_the_page_goes_from_the_verdict_to_the_choices(finished):
    page = page_of(finished)
    headings = [i for i in page.ids if not i.startswith("segment-")]
    assert headings == ["verdict", "segments", "evidence", "choices"]
    assert [i for i in page.ids if i.startswith("segment-")] == [f"segment-{s}" for s in range(3)]


def test_planted_tastes_mark_the_segments(finished):
    """Customers have most of the items of their own third: i00, i03 … or i01, i04 … or i02, i05 …"""
    segments = table(finished, "segments.csv")
    taste = segments["customer"].str[1:].astype(int) % 3
    of_segment = taste.groupby(segments["segment"]).agg(lambda tastes: tastes.mode()[0])
    listed = table(finished, "characteristic_items.csv")
    third = listed["item"].str[1:].astype(int) % 3
    own = third == listed["segment"].map(of_segment)
    assert own[listed["kind"] == "characteristic"].all()
    assert not own[listed["kind"] == "avoided"].any()
    sizes = listed.groupby(["segment", "kind"]).size()
    assert sizes.xs("characteristic", level="kind").tolist() == [3, 3, 3]  # --top 3
    assert sizes.xs("avoided", level="kind").tolist() == [5, 5, 5]


def test_characteristic_items_add_up(finished):
    """Support, shares and ranks against the input itself."""
    data = pd.read_csv(finished.ratings)
    segment_of = table(finished, "segments.csv").set_index("customer")["segment"]
    have = data.assign(segment=data["customer"].map(segment_of))
    n_all = data["item"].value_counts()
    sizes = segment_of.value_counts()
    listed = table(finished, "characteristic_items.csv")
    assert listed["segment"].is_monotonic_increasing
    for row in listed.itertuples():
        inside = ((have["item"] == row.item) & (have["segment"] == row.segment)).sum()
        outside = n_all[row.item] - inside
        assert row.customers == inside
        assert row.share == pytest.approx(inside / sizes[row.segment])
        assert row.share_outside == pytest.approx(outside / (60 - sizes[row.segment]))
        assert row.popularity_rank == (n_all > n_all[row.item]).sum() + 1
        parts = [
            (n + 0.5)
            / (n_all[row.item] * (have["segment"] == row.segment).eq(is_inside).mean() + 0.5)
            for n, is_inside in ((inside, True), (outside, False))
        ]
        assert row.times == pytest.approx(parts[0] / parts[1])
        assert (row.log_odds > 0) == (row.z > 0)
        if row.kind in (
            "characteristic",
            "avoided",
        ):  # the others are next to one segment, not to all
            assert (row.z > 0) == (row.kind == "characteristic")
        assert (0 <= row.unseen_share <= 1) == (n_all[row.item] >= 10)  # each has two items or more


def test_typical_customers_are_the_nearest_of_those_who_have_what_marks_the_segment(finished):
    segments = table(finished, "segments.csv")
    typical = table(finished, "typical_customers.csv")
    data = pd.read_csv(finished.ratings)
    listed = table(finished, "characteristic_items.csv").query("kind == 'characteristic'")
    for segment, rows in typical.groupby("segment"):
        own = segments[segments["segment"] == segment].set_index("customer")["distance"]
        marks = data["item"].isin(listed.loc[listed["segment"] == segment, "item"])
        n_marks = marks.groupby(data["customer"]).sum()[own.index]
        able = own[n_marks >= max(n_marks.median(), 1)]
        assert rows["rank"].tolist() == [1, 2, 3, 4, 5]
        assert rows["distance"].is_monotonic_increasing
        assert rows["distance"].iloc[-1] <= able.drop(rows["customer"]).min()
        assert rows["listed"].tolist() == n_marks[rows["customer"]].tolist()
        n_items = data["customer"].value_counts()[rows["customer"]]
        assert rows["interactions"].tolist() == n_items.tolist()


def test_the_summary_names_a_segment_by_what_marks_it(finished):
    summary = table(finished, "segment_summary.csv")
    listed = table(finished, "characteristic_items.csv").query("kind == 'characteristic'")
    for row in summary.itertuples():
        first = listed[listed["segment"] == row.segment].sort_values("rank").head(3)
        assert row.name == "; ".join(first["name"])
        assert f"Segment {row.segment}: {row.name}" in page_of(finished).words
    assert summary["customers"].sum() == 60
    assert summary["share"].sum() == pytest.approx(1)
    assert summary["listed_share"].between(0.9, 1).all()


def test_a_person_s_names_stand_wherever_segments_are_named(place):
    made = table(place, "segment_summary.csv")
    edited = made.assign(name=["Readers, mostly", NASTY, " "])
    edited.to_csv(place.folder / "names.csv", index=False)
    printed = ok("report", "run", "--top", "3", "--segment-names", "names.csv").stdout
    named = table(place, "segment_summary.csv")
    assert named["name"].tolist() == ["Readers, mostly", NASTY, made["name"][2]]
    assert named["marked_by"].tolist() == made["name"].tolist() == made["marked_by"].tolist()
    unlike = ["name", "marked_by"]
    pd.testing.assert_frame_equal(named.drop(columns=unlike), made.drop(columns=unlike))
    assert printed.splitlines()[0].split() == ["segment", "customers", "share", "grade", "name"]
    assert all(any(name in line for line in printed.splitlines()) for name in named["name"])
    page = page_of(place)
    assert "script" not in page.tags
    assert "Below each name that a person gave is what marks the segment most." in page.words
    assert "Segment 0: Readers, mostly" in page.words
    assert f"Segment 1: {NASTY}" in page.words
    assert f"Readers, mostly {made['name'][0]}" in page.words
    assert page.words.count(made["name"][2]) == 2  # in the table and over the segment, once each
    assert "report segment_names names.csv" in page.words
    digest = hashlib.sha256((place.folder / "names.csv").read_bytes()).hexdigest()
    manifest = json.loads((place.run / "manifest.json").read_text())
    assert manifest["stages"]["report"]["inputs"]["segment_names"]["sha256"] == digest
    again = next(row for row in described(place) if row["stage"] == "report")
    assert again["command"] == "segcli report run --top 3 --segment-names names.csv"
    ok("report", "run", "--top", "3")
    assert table(place, "segment_summary.csv")["name"].tolist() == made["name"].tolist()
    assert "you can give better names" in page_of(place).words


def test_with_names_of_a_person_each_customer_s_is_listed(place):
    ok(*STAGES["cluster"], "--min-membership", "0.9")
    ok("validate", "run")
    assert "named_segments.csv" not in ok("report", "run").stdout
    made = table(place, "segment_summary.csv")
    names = ["", 'The "quiet" ones, mostly', "Überall"]
    made.assign(name=names).to_csv(place.folder / "names.csv", index=False)
    assert "named_segments.csv" in ok("report", "run", "--segment-names", "names.csv").stdout
    named = pd.read_csv(place.run / "named_segments.csv", dtype=str, keep_default_na=False)
    segments = pd.read_csv(place.run / "segments.csv", dtype=str)
    assert named[["customer", "segment"]].equals(segments[["customer", "segment"]])
    called = {"0": made["marked_by"][0], "1": names[1], "2": names[2], "unassigned": ""}
    assert set(segments["segment"]) == set(called)
    assert named["name"].tolist() == segments["segment"].map(called).tolist()
    ok("report", "run")
    assert not (place.run / "named_segments.csv").exists()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["Readers", "Walkers", "Readers"], "Segments 0 and 2 have the same name, Readers: in"),
        (["Readers"] * 3, "Segments 0, 1 and 2 have the same name, Readers: in"),
        (["Readers", "readers", ""], None),
    ],
)
def test_two_segments_of_one_name_are_told(place, names, said):
    table(place, "segment_summary.csv").assign(name=names).to_csv("names.csv", index=False)
    printed = ok("report", "run", "--segment-names", "names.csv").stdout
    assert ("the same name" in printed) == (said is not None)
    assert (said or "") in printed


def test_segments_without_names_of_their_own_are_not_told_to_share_one():
    rows = [{"segment": i, "name": "", "marked_by": ""} for i in range(2)]
    alike = [{"segment": i, "name": "Tea", "marked_by": "Tea"} for i in range(2)]
    named = [*rows, {"segment": 2, "name": "Walkers", "marked_by": "Tea"}]
    assert words.same_names_in_words(alike) == words.same_names_in_words(named) == []


def test_names_written_into_the_summary_itself_are_never_lost(place):
    path = place.run / "segment_summary.csv"
    table(place, path.name).assign(name=["Readers", "Walkers", "Cooks"]).to_csv(path, index=False)
    edited = digests(place.run)
    again = ["run", "ratings.csv", "run", "--n-components", "2", "--n-clusters", "3"]
    itself = ["report", "run", "--segment-names", str(path)]
    for command in (["report", "run"], itself, again, [*again, *itself[2:]]):
        result = invoke(*command)
        assert result.exit_code == 1
        assert result.stderr == (
            "Error: run/segment_summary.csv was edited after report wrote it, and would be overwritten. "
            "To keep the edit, move the file and name it with --segment-names; to drop it, remove the "
            "file.\n"
        )
        assert digests(place.run) == edited
    names = path.rename(place.folder / "names.csv")
    ok("report", "run", "--segment-names", names)
    assert table(place, path.name)["name"].tolist() == ["Readers", "Walkers", "Cooks"]
    assert "Segment 2: Cooks" in page_of(place).words
    path.write_text(path.read_text().replace("Cooks", "Bakers"))
    path.unlink()
    ok("report", "run")
    assert "Readers" not in table(place, path.name)["name"].tolist()


def test_status_names_no_report_that_would_be_refused_for_an_edit(place):
    path = place.run / "segment_summary.csv"
    path.write_text(path.read_text() + "\n")
    refused = invoke("report", "run").stderr.removeprefix("Error: ")
    assert ok("status", "run").stdout.splitlines()[-1] == f"report is altered: {refused.rstrip()}"
    assert described(place)[-1]["command"] is None
    ok("cluster", "run", "--n-components", "2", "--n-clusters", "4")
    assert (described(place)[-1]["state"], described(place)[-1]["command"]) == ("stale", None)
    path.unlink()
    assert described(place)[-1]["command"] == "segcli report run --top 3"


def described(place):
    return json.loads(ok("status", "run", "--json").stdout)["stages"]


@pytest.mark.parametrize(
    "text",
    [
        "customers;name;segment\n4;B;1\n5;A;0\n",
        "Segment,NAME,Customers,note\n1.0,B,4.0,x\n\n0.0,A,5.0,\n",
        "segment\tname\tcustomers\n0\tA\t5\n1\tB\t4\n2\t\t",
    ],
)
def test_names_of_segments_in_any_kind_of_table(tmp_path, text):
    (tmp_path / "names.csv").write_text(text, encoding="utf-16")
    assert read_segment_names(tmp_path / "names.csv", [5, 4, 3]) == ["A", "B", ""]


def test_names_of_segments_may_be_lists_of_what_marks_them(tmp_path):
    names = [f"A {s}; B; C" for s in range(12)]
    rows = [f"{s},{name},1\n" for s, name in enumerate(names)]
    (tmp_path / "names.csv").write_text("segment,name,customers\n" + "".join(rows))
    assert read_segment_names(tmp_path / "names.csv", [1] * 12) == names


def test_names_of_segments_in_parquet(tmp_path):
    frame = pd.DataFrame({"segment": [2, 0], "name": ["C", None], "customers": [3.0, 5.0]})
    frame.to_parquet(tmp_path / "names.parquet")
    assert read_segment_names(tmp_path / "names.parquet", [5, 4, 3]) == ["", "", "C"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0,A\n1,B\n", "has no column 'segment'. It has: 0, A. Write it like segment_summary.csv"),
        ("segment,title\n1,B\n", "has no column 'name'. It has: segment, title."),
        ("segment,name\n0,A\n", "has no column 'customers'. It has: segment, name. Write it like"),
        ("segment,name,Name\n0,A,B\n", "names.csv has 2 columns 'name'. Keep one."),
        ("segment,name,customers\n", "has a header and no rows."),
        (
            "segment,name,customers\n0,A,5\n3,B,4\n",
            "row 3: there is no segment '3'; segments are 0 to 2.",
        ),
        (
            "segment,name,customers\n-1,A,5\n",
            "row 2: there is no segment '-1'; segments are 0 to 2.",
        ),
        ("segment,name,customers\n,A,5\n", "row 2: there is no segment ''; segments are 0 to 2."),
        (
            "segment,name,customers\n0,A,5\n1,B,4\n0,A,5\n",
            "row 4: segment 0 is already in row 2. Name it once.",
        ),
        (
            "segment,name,customers\n0,A,5,B\n",
            "row 2 does not fit the header: '0,A,5,B'.",
        ),
        (
            "segment,customers,name\n0,5,A\n1,7,B\n",
            "row 3: segment 1 has 4 customers, not '7': were these names given to other segments?",
        ),
        ("segment,customers,name\n0,,A\n", "row 2: segment 0 has 5 customers, not ''"),
    ],
)
def test_names_that_are_not_those_of_the_segments_are_refused(tmp_path, text, said):
    (tmp_path / "names.csv").write_text(text)
    with pytest.raises(InputError, match=re.escape(said)):
        read_segment_names(tmp_path / "names.csv", [5, 4, 3])


def test_of_one_segment_it_is_said_that_there_is_only_one(tmp_path):
    (tmp_path / "names.csv").write_text("segment,name,customers\n1,A,5\n")
    with pytest.raises(InputError, match="there is no segment '1'; there is only 0"):
        read_segment_names(tmp_path / "names.csv", [5])


def test_refused_names_change_nothing(place):
    before = digests(place.folder / "run")
    (place.folder / "names.csv").write_text("segment,name,customers\n9,A,5\n")
    refused = invoke("report", "run", "--segment-names", "names.csv")
    assert refused.exit_code == 1
    assert "names.csv, row 2: there is no segment '9'; segments are 0 to 2." in refused.stderr
    assert digests(place.folder / "run") == before


def test_top_items_and_text_keep_the_form_of_2015(finished):
    columns = ["segment", "rank", "item", "name", "score", "customers", "share"]
    top = table(finished, "top_items.csv")
    assert top.columns.tolist() == columns
    lines = (finished.run / "report.txt").read_text().splitlines()
    size = table(finished, "segment_summary.csv")["customers"][0]
    first = top.iloc[0]
    assert lines[:2] == [f"0 ({size}, 12)", f"{first['name']} {first['score']:.6f}"]
    assert lines[4] == ""


def test_the_terminal_and_json_say_the_same(place):
    printed = ok("report", "run", "--top", "3").stdout
    told = json.loads(ok("report", "run", "--top", "3", "--json").stdout)
    for row in told["segments"]:
        assert any(row["name"] in line and row["grade"] in line for line in printed.splitlines())
    title, *rows = printed.splitlines()[:4]
    column = title.index("what marks it")
    assert [line[column:] for line in rows] == [row["name"] for row in told["segments"]]
    (echo,) = [line for line in printed.splitlines() if line.startswith("What marks a segment is")]
    box, _, evidence = page_of(place).words.partition("The evidence The verdict")
    assert "times as common in it as elsewhere; in data without segments, " in box
    assert echo not in box
    assert f"The test of what marks the segments, with its figures: {echo}" in evidence
    for found, form in (
        (told["echo"], "{} times as frequent"),
        (told["echo_null"], "; in data without segments, {} times"),
    ):
        assert form.format(f"{found['unseen']:.1f}") in echo
    assert told["n_unassigned"] == 0
    assert set(told["wrote"]) >= {"characteristic_items.csv", "typical_customers.csv"}


def test_names_are_escaped_wherever_they_stand(place):
    names = "".join(f'i{i:02},"{NASTY.replace(chr(34), chr(34) * 2)} {i}"\n' for i in range(12))
    (place.folder / "names.csv").write_text("item,name\n" + names)
    run_all(place, names="names.csv", cluster=("--because", NASTY))
    page = page_of(place)
    assert "script" not in page.tags
    assert page.words.count(NASTY) > 3 * 3 * 2
    assert f"The reason given: {NASTY}" in page.words
    assert "55433" not in page_of(place).words.partition("The choices")[2].partition("Every")[0]


def test_customer_ids_are_escaped_too(place):
    text = place.ratings.read_text().replace("c0", '"<b>c</b>"""')
    place.ratings.write_text(re.sub(r'"""(\d+)', r'""\1"', text))
    run_all(place)
    assert "b" not in page_of(place).tags
    assert '<b>c</b>"' in page_of(place).words


def renamed(ids, seed):
    order = np.random.default_rng(seed).permutation(len(ids))
    return dict(zip(sorted(ids), (f"n{i:04}" for i in order), strict=True))


def test_shuffled_rows_and_renamed_ids_give_the_same_report(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = workplace_in(tmp_path)
    data = pd.read_csv(pd.io.common.StringIO(ratings(120, 24)), dtype=str)
    data.to_csv(place.ratings, index=False)
    run_all(place)
    before = {name: table(place, name) for name in TABLES}
    customers, items = renamed(set(data["customer"]), 1), renamed(set(data["item"]), 2)
    data["customer"] = data["customer"].map(customers)
    data["item"] = data["item"].map(items)
    data.sample(frac=1, random_state=0).to_csv(place.ratings, index=False)
    run_all(place)
    for name, expected in before.items():
        found = table(place, name)
        for column, new in (("item", items), ("name", items), ("customer", customers)):
            if column in expected and name != "segment_summary.csv":
                expected[column] = expected[column].map(new)
        if name == "segment_summary.csv":
            expected["name"] = expected["marked_by"] = [
                "; ".join(items[i] for i in n.split("; ")) for n in expected["name"]
            ]
        pd.testing.assert_frame_equal(found, expected, rtol=1e-9)


TABLES = (
    "characteristic_items.csv",
    "typical_customers.csv",
    "segment_summary.csv",
    "top_items.csv",
)


def test_the_unassigned_are_in_no_segment(place):
    """Three tastes cut into five: who is in the needless segments is doubtful."""
    five = (*STAGES["cluster"][:-1], "5")
    ok(*five)
    membership = pd.read_csv(place.run / "segments.csv")["membership"]
    least = float(membership.sort_values().iloc[20]) + 1e-6
    said = ok(*five, "--min-membership", str(least)).stdout
    validated = ok(*STAGES["validate"]).stdout
    ok(*STAGES["report"])
    segments = pd.read_csv(place.run / "segments.csv")
    n = (segments["segment"] == "unassigned").sum()
    assert n >= 20
    assert said.startswith(f"{60 - n} of 60 customers in 5 segments, ")
    assert validated.startswith(f"5 segments of {60 - n} customers; {n} unassigned.\n")
    flattered = (
        f"Agreement, precision and recall leave out {n} unassigned customers, the hardest to tell, and so "
        "flatter; agreement without segments is of all customers."
    )
    assert flattered in validated
    summary = table(place, "segment_summary.csv")
    assert summary["customers"].sum() == 60 - n
    assert summary["share"].sum() == pytest.approx(1 - n / 60)
    page = page_of(place).words
    assert f"{n} customers are unassigned" in page
    assert flattered in page
    assert f"{60 - n} of 60 customers were sorted into 5 segments" in page
    assert "lands in this segment when halves of the customers make the segments anew" in page
    assert "found again when half of the customers make the segments anew" in page
    assert "Segment 0 was the largest before customers were left unassigned." in page
    assert f"{n} customers are unassigned." in ok("report", "run").stdout
    stable = summary.loc[summary["grade"].str.contains("stable"), "customers"].sum()
    assert f"{stable / 60:.0%} of all customers are in segments that are stable" in page
    typical = table(place, "typical_customers.csv")
    assigned = segments.set_index("customer")["segment"]
    assert (assigned[typical["customer"]].to_numpy() == typical["segment"].astype(str)).all()


def test_without_validation_the_page_says_so(place):
    ok(*STAGES["cluster"])
    ok(*STAGES["cluster"][:-1], "2", "--evidence", "none")
    for name in ("validation.json", "confusion_matrix.png", "confusion_matrix.csv"):
        (place.run / name).unlink()
    ok("report", "run")
    page = page_of(place)
    assert "Run segcli validate" in page.words
    assert "confusion" not in page.words
    assert page.words.count("What marks it") == 2


def test_grades_are_known_from_the_validation_too(place):
    before = table(place, "segment_summary.csv")
    (place.run / "clustering.json").unlink()
    ok(*STAGES["report"])
    assert table(place, "segment_summary.csv")[["stability", "grade"]].equals(
        before[["stability", "grade"]]
    )


def test_two_stabilities_that_differ_are_explained_on_the_page(finished):
    assert "The grades go by the second, the verdict by both." in page_of(finished).words


def caption_of(place, begin):
    return page_of(place).words.partition(begin)[2].partition("Every parameter")[0]


def test_the_number_of_components_is_not_read_off_an_elbow(place):
    said = document(place, "components_verdict.json")
    caption = caption_of(place, "How many components?")
    suggested = said["suggestions"]
    assert f"suggests {suggested['parallel_analysis']} (parallel analysis)" in caption
    assert f"{suggested['bi_cross_validation']} (bi-cross-validation)" in caption
    assert said["reason"] in caption
    assert "rest on 2." in caption
    run_all(place, pca=("--evidence", "none"))
    assert caption_of(place, "How many components?") == ""
    assert "do not tell how many components to take" in page_of(place).words


def test_a_median_between_two_counts_is_not_rounded(finished):
    medians = table(finished, "segment_summary.csv")["median_interactions"]
    assert {median % 1 for median in medians} == {0, 0.5}
    for median in medians:
        assert f"median {median:g} items each" in page_of(finished).words


def test_every_parameter_is_on_the_page_the_report_s_own_too(place):
    manifest = document(place, "manifest.json")
    given = [
        f"{stage} {name} {value}"
        for stage, record in manifest["stages"].items()
        for name, value in [*record["parameters"].items(), ("seed", record["seed"])]
        if value is not None
    ]
    assert {"report top 3", "cluster seed 0"} < set(given)
    listed = page_of(place).words.partition("Every parameter")[2]
    assert [one for one in given if one not in listed] == []
    ok("report", "run", "--top", "2", "--evidence", "none")
    assert page_of(place).words.endswith("report top 2 report evidence none")


def test_a_default_is_not_called_a_person_s_choice(place):
    made = "A person made these choices"
    assert f"{made}; by segcli's default: weighting, norms of the scores. " in page_of(place).words
    run_all(place, pca=("--weighting", "tfidf"))
    assert f"{made}; by segcli's default: norms of the scores. " in page_of(place).words
    run_all(place, pca=("--score-norm", "unit"))
    assert f"{made}; by segcli's default: weighting. " in page_of(place).words
    run_all(place, pca=("--weighting", "tfidf", "--score-norm", "kept"))
    chosen = page_of(place).words
    assert f"{made}. " in chosen
    assert f"when customers are compared: {DESCRIPTIONS['tfidf']}." in chosen


def test_a_segment_without_customers_has_no_items_and_cannot_be_told(place):
    """Whoever is in the least sure segment is left unassigned."""
    five = (*STAGES["cluster"][:-1], "5")
    ok(*five)
    surest = pd.read_csv(place.run / "segments.csv").groupby("segment")["membership"].max()
    assert surest.min() < 1
    ok(*five, "--min-membership", str(surest.min() + 1e-6))
    said = ok(*STAGES["validate"]).stdout
    listed = ok(*STAGES["report"]).stdout
    empty = int(surest.idxmin())
    assert re.search(
        rf"^ +{empty} +0 .*\(all its customers are unassigned\)$", listed, re.MULTILINE
    )
    assert empty not in table(place, "top_items.csv")["segment"].to_numpy()
    assert table(place, "top_items.csv")["customers"].min() > 0
    assert f"\n{empty} (0, 12)\n" in (place.run / "report.txt").read_text()
    row = document(place, "validation.json")["segments"][empty]
    assert row["cross_validated_precision"] is row["cross_validated_recall"] is None
    assert re.search(rf"^ +{empty} +0 +– +– ", said, re.MULTILINE)


def test_what_is_no_evidence_is_said_on_the_page_and_by_validate(place, monkeypatch):
    for module in ("segcli.page.render", "segcli.stages.validate"):
        monkeypatch.setattr(
            sys.modules[module], "no_evidence_in_words", lambda _: "Silhouette is none."
        )
    said = ok(*STAGES["validate"]).stdout
    ok(*STAGES["report"])
    assert "\nSilhouette is none.\n" in said
    assert "says nothing. Silhouette is none. The verdict goes by" in page_of(place).words


def test_of_a_few_customers_it_is_not_said_what_marks_them(place):
    with place.ratings.open("a") as file:
        file.write("".join(f"d{c},j{item},5\n" for c in range(3) for item in range(9)))
    for name in ("ingest", "explore-pca"):
        ok(*STAGES[name], *(() if name == "ingest" else ("--weighting", "raw")))
    ok("cluster", "run", "--n-components", "3", "--n-clusters", "4")
    summary = ok("report", "run").stdout
    assert re.search(r"^ +3 +3 .*\(too few customers to tell\)$", summary, re.MULTILINE)
    page = page_of(place).words
    assert "3 too few customers to tell 3" in page
    assert "no item stands out" not in page
    assert "It has too few customers to tell what marks it. What it avoids Nothing that" in page
    assert "others have what its customers have just as much" not in page


def test_one_segment_has_nothing_to_be_told_apart_by(place):
    ok(*STAGES["cluster"][:-1], "1")
    ok("validate", "run")
    result = ok("report", "run")
    assert "(no item stands out)" in result.stdout
    page = page_of(place)
    assert "No item stands out" in page.words
    assert "60 customers were sorted into 1 segment:" in page.words
    assert "All figures are from the same interactions" in page.words
    assert "None were held back: with one segment there is nothing to tell apart." in page.words
    assert "Its stability cannot be known." in page.words
    ok("validate", "run", "--evidence", "none")
    ok("report", "run")
    assert "Its stability cannot be known." in page_of(place).words
    assert "were not compared with data without segments" in page.words
    assert "The grades go by" not in page.words
    assert pd.read_csv(place.run / "characteristic_items.csv").empty


def test_two_runs_give_the_same_bytes(place):
    before = (place.run / "report.html").read_bytes()
    assert invoke(*STAGES["report"]).exit_code == 0
    assert (place.run / "report.html").read_bytes() == before


# Words


def found(supported, reason="other customers would lead to others"):
    return {"verdict": {"supported": supported, "reason": reason, "plain": reason}}


@pytest.mark.parametrize(
    ("validation", "clustering", "supported", "answer", "reason"),
    [
        (found(True), None, True, "Yes", "Other customers would lead to others."),
        (found(False, "k = 9 is not supported."), None, False, "No", "k = 9 is not supported."),
        (found(None, "no evidence"), None, None, "Nobody", "No evidence."),
        (None, None, None, "Nobody", "Run segcli validate."),
    ],
)
def test_the_verdict_in_words(validation, clustering, supported, answer, reason):
    said = words.verdict(validation, clustering, 4)
    assert said.supported is supported
    assert said.answer.startswith(answer)
    assert reason in said.reason
    assert said.advice == words.ADVICE[supported]


@pytest.mark.parametrize(("k", "answer"), [(3, words.NOT_ALL), (2, words.ANSWERS[False])])
def test_where_some_segments_are_found_again_the_answer_is_not_a_plain_no(k, answer):
    verdict = found(False)["verdict"] | {"all_but": [0, 1]}
    said = words.verdict({"verdict": verdict}, None, k)
    assert (said.supported, said.answer) == (False, answer)
    assert (said.advice == words.NOT_ALL_ADVICE) == (k == 3)


def test_the_page_leads_with_the_verdict_without_figures():
    verdict = found(True, "k = 4 is supported: so (ARI 0.80).")["verdict"] | {"plain": "so."}
    said = words.verdict({"verdict": verdict}, None, 4)
    assert (said.plain, said.reason) == ("So.", "k = 4 is supported: so (ARI 0.80).")


def test_a_verdict_of_an_older_version_is_told_as_it_is():
    reason = "k = 4 is supported: so (ARI 0.80)."
    said = words.verdict({"verdict": {"supported": True, "reason": reason}}, None, 4)
    assert said.plain == said.reason == reason


def test_the_figures_of_the_verdict_are_with_the_evidence(place):
    reason = document(place, "validation.json")["verdict"]["reason"]
    words = page_of(place).words
    box, _, rest = words.partition("The segments Segment 0 is the largest")
    assert "Other customers lead to the same segments, what customers have tells" in box
    assert not re.search("Jaccard|ARI|bits", box)
    evidence = rest.partition("The evidence The verdict, with its figures:")[2]
    assert evidence.startswith(f" {reason}")


def test_the_page_says_where_it_is_listed_who_is_in_which_segment(place):
    where = "Who is in which is listed in {} , beside this page"
    assert where.format("segments.csv") in page_of(place).words
    name_segments(place.run, ["Uno", "Due", "Tre"])
    assert (place.run / "named_segments.csv").exists()
    assert where.format("named_segments.csv") in page_of(place).words


def test_who_is_told_yes_is_not_sent_to_ask_again():
    """Though explore-k recommends another number by now."""
    verdict = {"supported": True, "reason": "So.", "recommended_k": 3, "next_step": None}
    said = {
        supported: words.verdict(
            {"verdict": {**verdict, "supported": supported}}, None, 3, k_said={"recommended": 4}
        )
        for supported in (True, False)
    }
    steps = {supported: (one.next_step, one.next_command) for supported, one in said.items()}
    assert steps == {True: (None, None), False: words.SAID_SINCE}


def test_of_what_cannot_be_tested_the_page_does_not_promise_a_test():
    """Negative values, or one segment: there will be no evidence."""
    said = words.verdict(found(None, "negative values"), None, 4)
    assert "yet" not in said.answer
    assert "until" not in said.advice.lower()


@pytest.mark.parametrize(("k", "supported"), [(2, True), (4, True), (5, False)])
@pytest.mark.parametrize("validation", [None, found(None)])
def test_without_evidence_of_validate_explore_k_has_its_say(k, supported, validation):
    table = {"supported": [2, 4], "reason": "k = 4 is the largest.", "k_scores": {"k": k}}
    said = words.verdict(validation, {"on_the_table": table}, k)
    assert (said.supported, said.reason) == (supported, "k = 4 is the largest.")
    said = words.verdict(found(not supported), {"on_the_table": table}, k)
    assert (said.supported, said.reason) == (not supported, "Other customers would lead to others.")


def test_a_k_that_explore_k_did_not_try_is_not_judged_by_it():
    table = {"supported": [2, 4], "reason": "k = 4 is the largest.", "k_scores": None}
    assert words.verdict(None, {"on_the_table": table}, 9).supported is None
    of_one = {"on_the_table": {**table, "k_scores": {"k": 1}}}
    assert words.verdict(None, of_one, 1).supported is None  # there is no evidence of one segment


def test_activity_in_words():
    assert words.activity_in_words(0.86, 0.94).endswith(
        "(94% in data without segments): heavy and light customers are mostly in different segments."
    )
    assert words.activity_in_words(0.1, None).endswith("how many items customers have.")
    assert "(0% in data without segments)" in words.activity_in_words(0.1, 0.0)
    assert "account for <1% of" in words.activity_in_words(0.002, 0.0)


def test_two_stabilities_are_told_apart():
    summary = [{"stability": 0.89}, {"stability": 0.51}]
    looked_at = {"n_customers": 5000, "is_sample": True, "n_splits": 3, "n_nulls": 2}
    validation = {
        "measures": [{"measure": "jaccard_min", "value": 0.37}],
        "evidence": looked_at,
    }
    clustering = {"evidence": {**looked_at, "n_splits": 10}}
    said = words.stabilities_in_words(summary, validation, clustering)
    for part in ("table (0.37)", "segment” (0.51)", "sample of 5,000", "6 halves", "20 halves"):
        assert part in said
    assert "activity share in this table are also of the segments made once more" in said
    everyone = {**validation, "evidence": {**looked_at, "is_sample": False}}
    assert "that all customers" in words.stabilities_in_words(summary, everyone, clustering)
    for unknown in (
        (summary, None, clustering),
        (summary, {**validation, "evidence": None}, clustering),
        (summary, validation, {"evidence": None}),
        ([{"stability": None}], validation, clustering),
    ):
        assert words.stabilities_in_words(*unknown) is None


def test_the_echo_in_words():
    real, null = Echo(5.76, 4.9), Echo(2.4, 1.42)
    said = echo_in_words(real, None)
    assert said.startswith(
        "What marks a segment is a median 4.9 times as frequent in it as elsewhere"
    )
    assert said.endswith("(5.8 times on all).")
    assert echo_in_words(real, null).endswith("in data without segments, 1.4 times (2.4 times).")


@pytest.mark.parametrize(
    ("null", "end"),
    [
        (None, "typically 1.4 times as common in it as elsewhere."),
        (Echo(2.4, 1.34), "as elsewhere; in data without segments, 1.3 times."),
        (Echo(2.4, 1.44), "as elsewhere: no more than in data without segments (1.4 times)."),
        (Echo(2.4, 1.5), "as elsewhere: no more than in data without segments (1.5 times)."),
    ],
)
def test_what_marks_the_segments_is_told_beside_what_marks_chance_ones(null, end):
    assert words.echo_in_plain_words(Echo(5.76, 1.41), null).endswith(end)


@pytest.mark.parametrize(
    ("together", "few"),
    [(0.24, "only 24%"), (0.006, "only 1%"), (0.004, "next to none"), (0.0, "none")],
)
def test_how_few_are_together_again(together, few):
    assert f"comes out different: {few} of its customers are" in words.another_in_words(together)


def test_without_evidence_unseen_interactions_are_not_looked_at(place):
    run_all(place)
    looked_at = [name for name in table(place, "characteristic_items.csv") if "unseen" in name]
    assert table(place, "characteristic_items.csv")[looked_at].notna().any(axis=None)
    ok("report", place.run, "--evidence", "none")
    assert table(place, "characteristic_items.csv")[looked_at].isna().all(axis=None)


def test_that_nothing_was_held_back_is_not_blamed_on_the_data(place):
    ok(*STAGES["report"], "--evidence", "none")
    html = (place.run / "report.html").read_text()
    assert "None were held back" in html
    assert "too few" not in html.partition("How to read the tables")[2].partition("<section")[0]


def test_bars_are_as_long_as_their_shares(place):
    """What holds a pair of bars has no colour of its own: it is as wide as the whole cell."""
    html = (place.run / "report.html").read_text()
    coloured = [
        line for line in html.splitlines() if line.startswith(".bars") and "background" in line
    ]
    assert [line.partition(" {")[0] for line in coloured] == [".bars i", ".bars i + i"]


def test_a_name_without_a_space_does_not_push_the_figures_beside_it_out_of_sight(place):
    """A URL, say: a cell is no narrower than its longest word unless that may break anywhere."""
    html = (place.run / "report.html").read_text()
    (rule, *_) = re.findall(r"^\.text\.item \{ .+ \}$", html, re.MULTILINE)
    assert "overflow-wrap: anywhere" in rule
    rows = re.findall(r'<th scope="row" class="([^"]+)">(.+?)</th>', html)
    items = set(table(place, "items.csv")["item"])
    assert {kind for kind, name in rows if name in items} == {"text item"}


def test_what_customers_dislike_does_not_mark_their_segment(tmp_path):
    """Both kinds have rated all items; one likes those with a and dislikes the others, and vice versa."""
    likes = {"ann": "a", "bob": "b"}
    rows = [
        f"{name}{i},{kind}{j},{1 if kind == liked else -2}\n"
        for name, liked in likes.items()
        for i in range(20)
        for kind in "ab"
        for j in range(5)
        if (i + j) % 5
    ]
    (tmp_path / "likes.csv").write_text("user,item,value\n" + "".join(rows))
    place = workplace_in(tmp_path)
    ok("ingest", tmp_path / "likes.csv", place.run, "--negative", "keep")
    ok("explore-pca", place.run, "--weighting", "l2", "--evidence", "none")
    ok("cluster", place.run, "--n-components", "2", "--n-clusters", "2")
    said = ok("report", place.run).stdout
    segments, items = table(place, "segments.csv"), table(place, "characteristic_items.csv")
    for customer, segment in zip(segments["customer"], segments["segment"], strict=True):
        listed = items[(items["segment"] == segment) & (items["kind"] == "characteristic")]
        assert {item[0] for item in listed["item"]} == {likes[customer[:3]]}
    summary = table(place, "segment_summary.csv")
    assert summary["total_value"].tolist() == [-80, -80]
    assert (
        summary["value_share"].isna().all()
    )  # half of -160 would be half of nothing that is there
    taken = "160 interactions of a value below 0 are taken for not having the item"
    assert taken in said
    assert "No evidence was gathered: evidence needs counts" in said
    page = page_of(place).words
    assert taken in page
    assert (
        "The median customer has 8 items; items that customers dislike are counted, here and"
        in page
    )
    assert "None were held back: that needs values of 0 or more." in page
    assert_one_line(invoke("report", place.run, "--evidence", "quick"), "negative values")
