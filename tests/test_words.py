"""Names and reasons with line breaks and control characters, wherever a person reads them."""

import re
from dataclasses import replace

import pandas as pd
import pytest
from run_dirs import STAGES, assert_one_line, invoke, ok

from segcli.page.words import activity_in_words
from segcli.stages.cluster import Clustering
from segcli.stages.report import Report
from segcli.terminal import show_table
from segcli.words import (
    counted,
    decimal,
    in_percent,
    percent_digits,
    printable,
    short_of,
    six_digits,
)

WILD = "line1\nline2 \x1b[31mred\x07"
TAMED = r"line1 line2 \x1b[31mred\x07"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Amélie – 映画 ×2 ‏עברית‏", "Amélie – 映画 ×2 ‏עברית‏"),
        ("a\tb\nc\rd\x85e\u2028f\u2029g\x1ch", "a b c d e f g h"),
        ("\x00 \x1b[2J \x7f \x9b2J", r"\x00 \x1b[2J \x7f \x9b2J"),
        (WILD, TAMED),
    ],
)
def test_only_what_drives_a_terminal_is_replaced(text, shown):
    assert printable(text) == shown
    assert printable(shown) == shown


def test_every_character_that_ends_a_line_or_is_a_control_is_replaced():
    everything = "".join(map(chr, range(0x3000)))
    shown = printable(everything)
    assert shown.splitlines() == [shown]
    assert not re.search(r"[\x00-\x1f\x7f-\x9f]", shown)


def test_a_table_keeps_its_columns(capsys):
    show_table([("stage", "choices"), (WILD, "k 3")])
    assert capsys.readouterr().out.splitlines() == [
        "stage" + " " * (len(TAMED) - 3) + "choices",
        f"{TAMED}  k 3",
    ]


def test_names_and_the_reason_are_printable_to_the_last_stage(place):
    """Files for programs keep them as they are."""
    names = "".join(f'i{i:02},"{WILD} {i:02}"\n' for i in range(12))
    (place.folder / "names.csv").write_text("item,name\n" + names, newline="")
    extra = {"ingest": ("--items", "names.csv"), "cluster": ("--because", WILD)}
    printed = "".join(ok(*args, *extra.get(name, ())).stdout for name, args in STAGES.items())
    status = ok("status", "run").stdout
    assert f"because {TAMED}" in status
    assert len(status.splitlines()) == 1 + len(STAGES)
    html = (place.run / "report.html").read_text(encoding="utf-8")
    lists = (place.run / "report.txt").read_text(encoding="utf-8")
    for text in (printed, status, html, lists):
        assert TAMED in text
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    assert f"The reason given:</strong> {TAMED}</p>" in html
    assert re.search(rf"^{re.escape(TAMED)} \d\d 0\.\d{{6}}$", lists, re.MULTILINE)
    listed = pd.read_csv(place.run / "characteristic_items.csv")["name"]
    assert listed.str.startswith(WILD).all()


def test_the_command_that_status_names_is_printable(place):
    (place.folder / f"{WILD}.csv").write_bytes(place.ratings.read_bytes())
    ok("ingest", f"{WILD}.csv", "run")
    (place.run / "matrix.npz").unlink()
    assert TAMED in ok("status", "run").stdout.splitlines()[-1]


@pytest.mark.parametrize("wild", ["\x1b[31mnone.csv", "two\nlines.csv"])
def test_errors_are_one_printable_line(place, wild):
    line = assert_one_line(invoke("ingest", wild, "new"), printable(wild))
    assert printable(line) == line


def test_usage_errors_are_printable(place):
    result = invoke("status", "run", WILD)
    assert result.exit_code == 2
    assert result.stderr.splitlines()[-1].startswith("Error: ")
    assert TAMED in result.stderr


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        (counted(0, "item"), "0 items"),
        (counted(1, "item"), "1 item"),
        (counted(2000, "item"), "2,000 items"),
        (counted(40.5, "item"), "40.5 items"),
        (decimal(-0.001), "0.00"),
        (in_percent(0.0), "0%"),
        (in_percent(0.004), "<1%"),
        (in_percent(0.006), "1%"),
        (in_percent(0.994), "99%"),
        (in_percent(199 / 200), ">99%"),
        (in_percent(1.0), "100%"),
        (in_percent(1 - 1e-12), "100%"),
        (in_percent(1e-12), "0%"),
        (decimal(-0.126), "-0.13"),
        (decimal(float("nan")), "–"),
        (decimal(None, 3), "–"),
        (decimal(0.25, 3), "0.250"),
        (short_of(0.6468, [0.65]), "0.647"),
        (short_of(0.6449, [0.65]), "0.64"),
        (short_of(0.65, [0.65]), "0.65"),
        (short_of(0.74999, [0.6, 0.75]), "0.74999"),
        (short_of(float("nan"), [0.65]), "–"),
        (short_of(None, [0.65]), "–"),
        (six_digits(12587.14), "12,587.1"),
        (six_digits(1431079.28), "1,431,079"),
        (six_digits(999999.4), "999,999"),
        (six_digits(999999.5), "1,000,000"),
        (six_digits(0.00012), "0.00012"),
        (six_digits(999999999999999), "999,999,999,999,999"),
        (six_digits(3.3528e103), "3.3528e+103"),
    ],
)
def test_numbers_are_as_a_person_reads_them(said, shown):
    assert said == shown


@pytest.mark.parametrize(
    ("shares", "least", "digits"),
    [
        ([0.443, 0.0001], 1, 1),
        ([0.0531, None, float("nan")], 0, 1),
        ([0.0053], 0, 2),
        ([-0.00017, 0.0], 1, 3),
        ([0.443], 0, 0),
        ([0.5], 2, 2),
        ([1e-17], 1, 4),
        ([0.0], 1, 1),
        ([], 1, 1),
    ],
)
def test_shares_have_the_digits_that_show_them(shares, least, digits):
    assert percent_digits(shares, least) == digits


def test_from_more_than_half_on_activity_is_said_to_part_the_segments():
    assert "heavy and light customers" in activity_in_words(0.51, None)
    assert "mostly" not in activity_in_words(0.5, None)


def test_who_has_two_segments_is_not_told_to_make_fewer():
    made = Clustering(
        k=2,
        n_components=3,
        weighting="tfidf",
        score_norm="kept",
        because=None,
        min_membership=None,
        n_unassigned=0,
        inertia=1.0,
        inertia_share=0.5,
        activity_share=0.9,
        activity_share_null=None,
        evidence=None,
        segments=({"customers": 9, "n_unassigned": 0, "stability": None, "grade": None},) * 2,
        on_the_table=None,
        sizes=(9, 9),
        converged=True,
        no_evidence=None,
        wrote=(),
    )
    assert "different segments. More components may bring out tastes." in made.lines()[-1]
    three = replace(made, k=3, segments=made.segments[:1] * 3, sizes=(9, 9, 9))
    assert "Fewer segments, or more components, may bring out" in three.lines()[-1]


def test_one_unassigned_customer_is_one():
    row = {"segment": 0, "customers": 9, "share": 0.9, "grade": "", "name": "A", "marked_by": "A"}
    none = {"echo": None, "echo_null": None, "no_evidence": None, "since": None}
    found = Report(1, 3, (row,), n_unassigned=1, n_disliked=0, **none, wrote=())
    assert "1 customer is unassigned." in found.lines()
    assert "2 customers are unassigned." in replace(found, n_unassigned=2).lines()
