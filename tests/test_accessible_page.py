"""The report for those who do not see it: every table and picture says what it is."""

from html.parser import HTMLParser
from xml.etree.ElementTree import TreeBuilder

import pytest
from run_dirs import STAGES, ok, workplace_in

from segcli.page import alternatives

CLOSE_THEMSELVES = {"meta", "img", "br"}


class Tree(HTMLParser):
    """The page as elements; an end tag that closes nothing, or something else, is an error."""

    def __init__(self, html):
        super().__init__()
        self._builder, self._open = TreeBuilder(), []
        self.feed(html)
        assert self._open == []
        self.root = self._builder.close()

    def handle_starttag(self, tag, attributes):
        self._builder.start(tag, dict(attributes))
        if tag in CLOSE_THEMSELVES:
            self._builder.end(tag)
        else:
            self._open.append(tag)

    def handle_endtag(self, tag):
        assert self._open.pop() == tag, self.getpos()
        self._builder.end(tag)

    def handle_data(self, data):
        if self._open:
            self._builder.data(data)


def text_of(element):
    return " ".join("".join(element.itertext()).split())


def tree_of(place):
    return Tree((place.run / "report.html").read_text(encoding="utf-8")).root


VARIANTS = {
    "as it is": (),
    "unassigned": (("cluster", "--min-membership", "0.9"), ("validate",), ("report",)),
    "one segment": (("cluster", "--n-clusters", "1"), ("validate",), ("report",)),
    "no evidence": (
        ("explore-pca", "--evidence", "none"),
        ("explore-k", "--evidence", "none"),
        ("cluster", "--evidence", "none"),
        ("validate", "--evidence", "none"),
        ("report", "--evidence", "none"),
    ),
    "nothing but segments": (("ingest",), ("explore-pca",), ("cluster",), ("report",)),
}


@pytest.fixture(scope="module", params=VARIANTS)
def page(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("page")
    place = workplace_in(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for stage, *options in VARIANTS[request.param]:
            ok(*STAGES[stage], *options)
    return tree_of(place)


def rows_of(page, caption):
    """Return the cells of the table with a caption, row by row."""
    (found,) = [t for t in page.iter("table") if text_of(t.find("caption")) == caption]
    return [[text_of(cell) for cell in row] for row in found.find("tbody")]


def test_all_but_the_head_is_in_main(page):
    assert [part.tag for part in page.find("body")] == ["main"]
    assert page.get("lang") == "en"


def test_every_table_has_a_name_a_head_and_a_body(page):
    tables = list(page.iter("table"))
    assert tables
    for table in tables:
        assert [part.tag for part in table] == ["caption", "thead", "tbody"]
        assert text_of(table.find("caption"))
    names = [text_of(table.find("caption")) for table in tables]
    assert len(names) == len(set(names))


def test_every_header_says_of_what(page):
    for table in page.iter("table"):
        for header in table.find("thead").iter("th"):
            assert header.get("scope") == "col"
            assert text_of(header)
        for row in table.find("tbody"):
            assert [cell.tag for cell in row] == ["th"] + ["td"] * (len(row) - 1)
            assert row[0].get("scope") == "row"
            assert text_of(row[0])


def test_rows_are_as_wide_as_the_head(page):
    for table in page.iter("table"):
        rows = [*table.find("thead"), *table.find("tbody")]
        assert len({sum(int(cell.get("colspan", 1)) for cell in row) for row in rows}) == 1


def test_what_scrolls_sideways_does_so_by_keyboard_and_says_what_it_is(page):
    boxes = [box for box in page.iter("div") if box.get("class") == "scroll"]
    assert {table for box in boxes for table in box.iter("table")} == {*page.iter("table")}
    wide = [one for one in page.iter("figure") if one.get("class") == "wide"]
    assert [one for one in wide if one[0] not in boxes] == []
    assert {(box.get("tabindex"), box.get("role")) for box in boxes} == {("0", "region")}
    names = [box.get("aria-label") for box in boxes]
    assert all(names)
    assert len(names) == len(set(names))


def test_bars_are_said_in_words(page):
    cells = [cell for cell in page.iter("td") if cell.get("class", "").startswith("bars")]
    marked = [one for one in page.iter("caption") if text_of(one).startswith("Items that mark")]
    assert bool(cells) == bool(marked)
    for (drawn,) in cells:
        assert drawn.get("role") == "img"
        assert "here" in drawn.get("aria-label")
        assert all(bar.get("style").startswith("width: ") for bar in drawn)


def test_every_picture_is_told_in_sentences(page):
    told = [picture.get("alt") for picture in page.iter("img")]
    assert told
    assert len(told) == len(set(told))
    for words in told:
        assert words.endswith(".")
        assert len(words) > 60


SIZES = [
    {"segment": 0, "share": 0.6, "interactions_share": 0.5},
    {"segment": 1, "share": 0.25, "interactions_share": 0.45},
    {"segment": 2, "share": 0.15, "interactions_share": 0.05},
]


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        (
            alternatives.segment_sizes(SIZES),
            ["Segment 0 has 60% and 50%; farthest apart are those of segment 1, 25% and 45%."],
        ),
        (
            alternatives.segment_sizes([SIZES[0], {**SIZES[2], "segment": 1, "share": 0.4}]),
            ["farthest apart are those of segment 1, 40% and 5%."],
        ),
        (alternatives.segment_sizes(SIZES[:1]), ["Segment 0 has 60% and 50%."]),
        (alternatives.explained_variance(None), ["Two curves"]),
        (
            alternatives.explained_variance(
                {"suggestions": {"parallel_analysis": 47, "bi_cross_validation": 26}}
            ),
            ["Three panels", "at 47;", "at 26;"],
        ),
        (alternatives.k_evidence({"supported": [2, 4]}), ["Six panels", "supported: 2, 4."]),
        (alternatives.k_evidence({"supported": []}), ["No number is marked as supported."]),
        (
            alternatives.inertia(
                {"k_scores": {"k": 8, "inertia_reduced_share": 0.4, "inertia_full_share": 0.9}}, 10
            ),
            ["With 8 segments it is 40% on 10 components and 90% on the full matrix."],
        ),
        (alternatives.inertia({"k_scores": None}, 10), ["on the full matrix."]),
        (
            alternatives.confusion_matrix({"in_sample": 0.96, "cross_validated": 0.885}),
            ["96% of the customers in-sample and 88% cross-validated."],
        ),
        (alternatives.confusion_matrix(None), ["Two matrices", "what the classifier guesses."]),
    ],
)
def test_what_a_picture_shows(words, parts):
    assert [part for part in parts if part not in words] == []
