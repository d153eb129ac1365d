"""The report page, figure by figure, beside the tables that it is made of."""

import math
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from run_dirs import STAGES, document, ok, table, workplace_in
from test_accessible_page import Tree, rows_of, text_of, tree_of

from segcli import page as report_page
from segcli.numerics.validation import no_evidence_in_words
from segcli.page.words import activity_in_words
from segcli.words import decimal


def percent(share):
    if 0.995 <= share < 1:
        return ">99%"
    return "<1%" if 0 < share < 0.005 else f"{share:.0%}"


def times(ratio):
    return (
        f"×{ratio:,.0f}" if ratio >= 9.95 else f"×{ratio:.1f}" if ratio >= 0.95 else f"×{ratio:.2f}"
    )


def unseen(row, *, with_times):
    if math.isnan(row.unseen_share):
        return ["too few to tell", ""] if with_times else ["too few to tell"]
    cells = [percent(row.unseen_share), percent(row.unseen_share_outside)]
    return [*cells, times(row.unseen_times)] if with_times else cells


def test_every_figure_on_the_page_is_from_its_own_column(finished):
    page = tree_of(finished)
    summary = table(finished, "segment_summary.csv")
    listed, typical = (
        table(finished, "characteristic_items.csv"),
        table(finished, "typical_customers.csv"),
    )
    top, found = table(finished, "top_items.csv"), document(finished, "validation.json")
    words = text_of(page)
    for (s,) in summary[["segment"]].itertuples(index=False):
        marks = listed[(listed["segment"] == s) & (listed["kind"] == "characteristic")]
        assert rows_of(page, f"Items that mark segment {s}") == [
            [row.name, "", str(row.popularity_rank), str(row.customers), percent(row.share),
             percent(row.share_outside), times(row.times), *unseen(row, with_times=True)]
            for row in marks.itertuples(index=False)
        ]  # fmt: skip
        avoids = listed[(listed["segment"] == s) & (listed["kind"] == "avoided")]
        assert rows_of(page, f"Items that segment {s} avoids") == [
            [
                row.name,
                percent(row.share),
                percent(row.share_outside),
                *unseen(row, with_times=False),
            ]
            for row in avoids.itertuples(index=False)
        ]
        nearest = int(summary["nearest"][s])
        card = next(part for part in page.iter("section") if part.get("id") == f"segment-{s}")
        told = {
            kind: "; ".join(
                f"{row.name} ({percent(row.share)} here, {percent(row.share_nearest)} there)"
                for row in listed[listed["segment"] == s].itertuples(index=False)
                if row.kind == f"{kind}_than_nearest"
            )
            for kind in ("more", "less")
        }
        assert (
            f"What tells it from the nearest segment, {nearest} More here: {told['more']}. "
            f"More there: {told['less']}."
        ) in text_of(card)
        assert rows_of(page, f"Customers most typical of segment {s}") == [
            [
                row.customer,
                str(row.interactions),
                f"{row.listed} of {len(marks)}",
                f"{row.membership:.2f}",
            ]
            for row in typical[typical["segment"] == s].itertuples(index=False)
        ]
        assert rows_of(page, f"Items that segment {s} has much of") == [
            [row.name, f"{row.score:.3f}", str(row.customers), percent(row.share)]
            for row in top[top["segment"] == s].itertuples(index=False)
        ]
    activity = pd.read_csv(finished.ratings)["customer"].value_counts()
    median = activity.median()
    assert rows_of(page, "The segments") == [
        [str(row.segment), row.name, str(row.customers), percent(row.share),
         f"{row.median_interactions:g}", percent(row.interactions_share),
         percent(row.value_share), row.grade]
        for row in summary.itertuples(index=False)
    ]  # fmt: skip
    assert f"The median customer has {median:g} items." in words
    assert f"A computer found them in {activity.sum():,} interactions" in words
    for row in summary.itertuples(index=False):
        assert (
            f"{row.customers} customers ({percent(row.share)}), median {row.median_interactions:g} items "
            f"each, {row.median_interactions / median:.1f} times the median of all grade {row.grade} "
            f"({row.stability:.2f}); in {percent(row.mean_membership)} of trials its customers land here"
        ) in words
        assert (
            f"{percent(row.listed_share)} of its customers have at least one of these items, as do "
            f"{percent(row.listed_share_outside)} of others." in words
        )
    assert rows_of(page, "How far each segment is found again and can be told") == [
        [str(row.segment), str(row.customers), row.grade, f"{row.stability:.2f}",
         f"{v['cross_validated_precision']:.2f}", f"{v['cross_validated_recall']:.2f}"]
        for row, v in zip(summary.itertuples(index=False), found["segments"], strict=True)
    ]  # fmt: skip
    for row, cells in zip(
        found["measures"],
        rows_of(page, "Each measure beside the same on data without segments"),
        strict=True,
    ):
        low, high = (decimal(row[f"null_{end}"]) for end in ("low", "high"))
        band = low if low == high else f"{low} to {high}"
        assert cells == [row["title"], decimal(row["value"]), band, row["explanation"]]
    assert (
        "transfer ARI must reach 0.65 and be better than without segments, held-out gain" in words
    )
    assert "and the least stable segment must reach 0.75." in words
    assert "were not compared" not in words
    made = document(finished, "clustering.json")
    assert made["activity_share_null"] is not None
    assert activity_in_words(made["activity_share"], made["activity_share_null"]) in words
    assert no_evidence_in_words(found["measures"]) is None
    assert "no evidence by" not in words
    bars = [cell for cell in page.iter("td") if cell.get("class", "").startswith("bars")]
    marks = listed[listed["kind"] == "characteristic"].sort_values(["segment", "rank"])
    for (drawn,), row in zip(bars, marks.itertuples(index=False), strict=True):
        widths = [float(re.search(r"width: ([\d.]+)%", bar.get("style"))[1]) for bar in drawn]
        assert widths == pytest.approx([100 * row.share, 100 * row.share_outside], abs=0.051)


def test_what_was_said_when_the_choice_was_made_is_not_the_verdict(place):
    said = document(place, "clustering.json")["on_the_table"]["reason"]
    assert f"What the evidence said when the choice was made: {said}" in text_of(tree_of(place))


def test_a_ratio_has_two_digits_or_all_before_the_point():
    from segcli.page.render import _times

    ratios, shown = (0.123, 0.96, 1.26, 9.96, 12.6), ["×0.12", "×1.0", "×1.3", "×10", "×13"]
    assert [_times(ratio) for ratio in ratios] == shown


def told_of_pictures(place):
    return " ".join(picture.get("alt") for picture in tree_of(place).iter("img"))


def test_pictures_are_told_in_the_figures_of_their_stages(finished):
    suggested = document(finished, "components_verdict.json")["suggestions"]
    of_three = table(finished, "k_scores.csv").set_index("k").loc[3]
    guessed = document(finished, "validation.json")
    assert document(finished, "k_verdict.json")["supported"] == [3]
    told = told_of_pictures(finished)
    for part in (
        f"on data without segments, with a mark at {suggested['parallel_analysis']};",
        f"held-out blocks, on both, with a mark at {suggested['bi_cross_validation']};",
        "Marked as supported: 3.",
        f"With 3 segments it is {of_three['inertia_reduced_share']:.0%} on 2 components",
        f"are {guessed['in_sample']:.0%} of the customers in-sample",
    ):
        assert part in told


def test_the_components_that_explore_k_took_are_told_where_they_are_others(place):
    ok(*STAGES["explore-k"][:3], "3", "--k-max", "4")
    ok("report", "run")
    words = text_of(tree_of(place))
    assert "Made with 3 components; the segments on this page with 2." in words
    assert "on 3 components (blue) and on all items (orange)" in words
    assert "on 2 components" not in told_of_pictures(place)  # the curve is drawn of 3


def test_the_least_membership_is_the_one_asked_for(place):
    five = (*STAGES["cluster"][:-1], "5")
    ok(*five)
    least = float(table(place, "segments.csv")["membership"].sort_values().iloc[20]) + 1e-6
    ok(*five, "--min-membership", str(least))
    ok("report", "run", "--evidence", "full")
    page = tree_of(place)
    words = text_of(page)
    assert f"they land in their segment in less than {least:.0%} of trials" in words
    chosen = rows_of(page, "What was chosen, and what it does")
    assert [(choice, made) for choice, made, _ in chosen] == [
        *(("weighting", "pearson"), ("components", "2"), ("norms of the scores", "log")),
        *(("segments", "5"), ("least membership", str(least))),
    ]
    assert "10 times, a part of each customer's interactions was hidden" in words
    ok(*five, "--min-membership", "0.997")
    ok("report", "run", "--evidence", "none")
    assert "in less than 99.7% of trials" in text_of(tree_of(place))


def test_only_this_report_s_own_parameters_are_on_its_page(place):
    ok("report", "run", "--top", "2")
    listed = rows_of(tree_of(place), "Every parameter of every stage")
    assert [row for row in listed if row[0] == "report"] == [["report", "top", "2"]]


def test_a_validation_of_other_segments_is_not_in_the_report(place):
    ok(*STAGES["cluster"][:-1], "2")
    ok(*STAGES["report"])
    words = text_of(tree_of(place))
    assert "These segments have not been validated." in words
    assert "confusion" not in words


def test_the_median_of_all_customers_is_no_mean(place):
    with place.ratings.open("a") as file:
        file.write("".join(f"c{c},i{i:02},5\n" for c in (998, 999) for i in range(12)))
    for name in ("ingest", "explore-pca", "cluster", "report"):
        ok(*STAGES[name], *(() if name == "ingest" else ("--evidence", "none")))
    activity = pd.read_csv(place.ratings)["customer"].value_counts()
    assert activity.median() != round(activity.mean(), 1)
    assert f"The median customer has {activity.median():g} items." in text_of(tree_of(place))


# States that these data are not in


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """What the finished report's page is made of."""
    place, found, render = workplace_in(tmp_path_factory.mktemp("given")), {}, report_page.render
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place.folder)
        patch.setattr(report_page, "render", lambda **all_: found.update(all_) or render(**all_))
        ok(*STAGES["report"])
    return found


def page_of(given, **changed):
    return Tree(report_page.render(**{**given, **changed})).root


def with_rows(given, *changes):
    """Return the tables with changes to the summary, row by row."""
    rows = [row | change for row, change in zip(given["tables"].summary, changes, strict=True)]
    return replace(given["tables"], summary=rows)


@pytest.mark.parametrize("value_share", [None, "as many"])
def test_values_that_say_no_more_than_interactions_are_not_shown(given, value_share):
    assert "Share of all values:" in text_of(page_of(given))
    rows = given["tables"].summary
    shares = [{"value_share": value_share and row["interactions_share"]} for row in rows]
    page = page_of(given, tables=with_rows(given, *shares))
    assert "all values" not in text_of(page)
    assert len(rows_of(page, "The segments")[0]) == 7


@pytest.mark.parametrize(
    ("supported", "kind"), [(True, "verdict good"), (False, "verdict bad"), (None, "verdict")]
)
def test_the_verdict_has_the_colour_of_its_answer(given, supported, kind):
    said = {"supported": supported, "reason": "k = 3 is the largest." if supported else "So it is."}
    page = page_of(given, validation=given["validation"] | {"verdict": said}, clustering=None)
    (shown,) = [part for part in page.iter("div") if "verdict" in part.get("class", "")]
    assert shown.get("class") == kind
    # The letter is explained where it stands.
    assert ("k is the number of segments" in text_of(shown)) == ("k = " in text_of(shown))
    assert ("k = " in text_of(shown)) == bool(supported)


def test_grades_have_the_colour_of_what_they_say(given):
    grades = [{"grade": grade} for grade in ("highly stable", "stable", "not trusted")]
    page = page_of(given, tables=with_rows(given, *grades))
    shown = {(text_of(part), part.get("class")) for part in page.iter("span")}
    assert {one for one in shown if "grade" in (one[1] or "")} == {
        ("highly stable", "grade good"),
        ("stable", "grade good"),
        ("not trusted", "grade bad"),
    }


def test_a_grade_is_explained_where_there_is_one(given):
    legend = "highly stable from 0.85, stable from 0.75, pattern from 0.6, not trusted below."
    assert legend in text_of(page_of(given))
    without = {"grade": "", "stability": None}
    words = text_of(page_of(given, tables=with_rows(given, without, without, without)))
    assert "Grade:" not in words


def test_of_a_segment_most_of_whom_have_nothing_that_marks_it_this_is_said(given):
    tables = with_rows(given, {"listed_share": 0.49}, {"listed_share": 0.5}, {"listed_share": 0.9})
    words = text_of(page_of(given, tables=tables))
    assert words.count("most of its customers have none of the items that mark it") == 1
    assert words.count("Most have none: these may be the customers who fit no other segment.") == 1


def test_a_segment_that_comes_out_as_another_is_said_to(given):
    unseen = replace(given["unseen"], together=np.array([0.9, 0.5, 0.49]))
    cards = [text_of(card) for card in page_of(given, unseen=unseen).iter("section")]
    assert ["comes out different: only 49% of" in card for card in cards] == [False, False, True]
    empty = with_rows(given, {}, {}, {"customers": 0})
    assert "comes out different" not in text_of(page_of(given, unseen=unseen, tables=empty))


def test_that_segments_do_not_sort_by_activity_is_said_too(given):
    page = page_of(given, clustering=given["clustering"] | {"activity_share": 0.0})
    assert "account for 0% of the differences in how many items customers have" in text_of(page)


@pytest.mark.parametrize(
    ("share", "unseen_times", "said"),
    [(0.5, 0.01, True), (0.49, 0.01, False), (1.0, 1.0, False), (1.0, None, False)],
)
def test_what_most_of_a_segment_are_in_it_for_is_said_to_be_rare_unseen(
    given, share, unseen_times, said
):
    """On msweb, most of a segment have Internet Explorer: of whom it is hidden, none is there."""
    listed = given["tables"].characteristic
    first = {**listed[1][0], "share": share, "unseen_times": unseen_times}
    first["unseen_share"] = unseen_times and 0.2
    tables = replace(given["tables"], characteristic={**listed, 1: [first]})
    cards = [text_of(card) for card in page_of(given, tables=tables).iter("section")]
    words = f"Most customers here have {first['name']}, and many from whom that was hidden"
    assert [words in card for card in cards] == [False, said, False]


def test_each_segment_has_its_own_verdict(given):
    said = [f"It is segment {s}." for s in range(3)]
    rows = [
        row | {"verdict": v} for row, v in zip(given["validation"]["segments"], said, strict=True)
    ]
    page = page_of(given, validation=given["validation"] | {"segments": rows})
    cards = [text_of(card) for card in page.iter("section")]
    assert [[v for v in said if v in card] for card in cards] == [[v] for v in said]


def test_whose_interactions_were_hidden_is_said(given):
    words = text_of(page_of(given))
    assert "5 times, a part of each customer's interactions was hidden" in words
    assert "nothing to hide" not in words
    assert "“Too few to tell”: fewer than 10 of these customers have the item." in words
    sample = replace(given["unseen"], is_sample=True, n_customers=5000, n_everyone=4990)
    words = text_of(page_of(given, unseen=sample))
    assert (
        "a part of the interactions of each of 5,000 customers, taken at random, was hidden"
        in words
    )
    assert (
        "Customers with one interaction have nothing to hide and are left out, so shares may be higher"
        in words
    )


def test_no_median_is_spoken_of_that_is_not_there(given):
    """Of a few customers, or rare items, there is too little to tell."""
    assert "do so there too; the test in the box above is of items" in text_of(page_of(given))
    without = text_of(page_of(given, echo=None))
    assert "stand out by chance do so there too. " in without
    assert "test in the box" not in without


@pytest.mark.parametrize(("n_customers", "most"), [(9, 28), (12_345, 12)])
def test_customers_who_moved_into_many_segments_are_in_as_many_tables_as_a_sheet_needs(
    given, n_customers, most
):
    """A browser that prints a table wider than the sheet makes all of the page smaller."""
    places = [*map(str, range(30)), "gone"]
    row = {"earlier_segment": 0, "earlier_name": "Uno", "same_as": 29, "similarity": 0.9}
    row |= dict.fromkeys(places, n_customers)
    since = report_page.Since("january", 60, 50, (), ())
    page = page_of(given, since=since, tables=replace(given["tables"], moves=[row]))
    found = [one for one in page.iter("table") if text_of(one.find("caption")).startswith("Where")]
    assert len({text_of(one.find("caption")) for one in found}) == len(found) == -(-31 // most)
    heads = [[text_of(cell) for cell in one.find("thead")[1][1:]] for one in found]
    assert [place for head in heads for place in head] == places
    assert max(map(len, heads)) == most
    for one, head in zip(found, heads, strict=True):
        (cells,) = one.find("tbody")
        assert [text_of(cell) for cell in cells] == ["0: Uno", *[f"{n_customers:,}"] * len(head)]
    assert [text_of(bold) for one in found for bold in one.iter("strong")] == [f"{n_customers:,}"]


def test_one_unassigned_customer_is_one(given):
    words = text_of(page_of(given, extent=replace(given["extent"], n_unassigned=1)))
    assert "59 of 60 customers were sorted into 3 segments" in words
    assert "1 customer is unassigned: they land" in words
    counted = "There, customers who are unassigned here count in the segment that they land in"
    assert counted in words
    assert counted not in text_of(page_of(given))


def test_of_a_sample_it_is_said_that_it_is_one(given):
    said = given["components_said"]
    assert "Left and right are of" not in text_of(page_of(given))
    sample = page_of(given, components_said=said | {"is_sample": True, "n_customers": 4000})
    assert "Left and right are of 4,000 customers, taken at random." in text_of(sample)
