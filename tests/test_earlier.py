"""From month to month: names go over to the segments that are the same, and who moved is told."""

import hashlib
import json
import shlex
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_dirs import (
    STAGES,
    assert_one_line,
    assert_whole,
    digests,
    document,
    invoke,
    name_segments,
    ok,
    states,
    table,
)
from test_accessible_page import rows_of, text_of, tree_of

from segcli.stages import earlier

NAMES = ("Ones", "Twos; mostly", "Thr\x1bees")
REPORT = (*STAGES["report"], "--segment-names-from")
ONE_GO = ("run", "ratings.csv", "run", "--n-components", "2", "--k-max", "4", "--n-clusters", "3")


# The report


@pytest.fixture
def january(place):
    """Return a run directory of an earlier time, beside ``run``, whose segments a person has named."""
    folder = place.folder / "january"
    shutil.copytree(place.run, folder)
    name_segments(folder, NAMES)
    return folder


def february(place):
    """Let customers leave and others come, so that other segments are the largest; segment anew."""
    lines = place.ratings.read_text().splitlines()
    taste = {line: int(line[1:4]) % 3 for line in lines[1:]}
    gone = [line for line in lines[1:] if taste[line] == 0 and line[:4] > "c020"]
    new = ["n" + line[1:] for line in lines[1:] if taste[line] == 2 and line[:4] > "c029"]
    rows = [line for line in lines[1:] if line not in gone]
    place.ratings.write_text("\n".join([lines[0], *rows, *new]) + "\n")
    for words in STAGES.values():
        ok(*words)


def names_by_taste(segments, named):
    """Return the name of the segment of each planted taste."""
    taste = segments["customer"].str[1:].astype(int) % 3
    most = taste.groupby(segments["segment"]).agg(lambda tastes: tastes.mode()[0])
    return {most[segment]: name for segment, name in enumerate(named)}


def test_a_copy_of_a_run_gets_all_its_names(place, january):
    printed = ok(*REPORT, "january").stdout.splitlines()
    assert "Segments that keep their name from january: 0, 1, 2." in printed
    assert "Customers in both: 60, of whom 60 (100%) are in the same segment." in printed
    assert printed[0].split()[-1] == "name"
    named = table(place, "segment_summary.csv")
    assert named["name"].tolist() == list(NAMES)
    assert named.equals(pd.read_csv(january / "segment_summary.csv"))
    moves = pd.read_csv(place.run / "segment_moves.csv")
    sizes = named["customers"].tolist()
    assert moves["earlier_segment"].tolist() == ["0", "1", "2", "new"]
    assert moves["earlier_name"].tolist()[:3] == list(NAMES)
    assert moves["same_as"].tolist()[:3] == [0, 1, 2]
    assert moves["similarity"].tolist()[:3] == [1, 1, 1]
    assert moves[["0", "1", "2", "gone"]].to_numpy().tolist() == [
        *([*row, 0] for row in np.diag(sizes).tolist()),
        [0, 0, 0, 0],
    ]
    assert_whole(place.run)


def test_names_follow_those_who_bear_them(place, january):
    before = names_by_taste(pd.read_csv(january / "segments.csv"), NAMES)
    february(place)
    told = json.loads(ok(*REPORT, "january", "--json").stdout)["since"]
    segments, named = table(place, "segments.csv"), table(place, "segment_summary.csv")["name"]
    assert names_by_taste(segments, named) == before
    assert named.tolist() != list(NAMES)  # as they are numbered otherwise
    was = pd.read_csv(january / "segments.csv")
    both = was.merge(segments, on="customer", suffixes=("_was", ""))
    carried = {row["earlier_segment"]: row["segment"] for row in told["names_carried"]}
    assert told["run"] == "january"
    assert told["n_both"] == len(both) < 60
    assert told["n_stayed"] == (both["segment_was"].map(carried) == both["segment"]).sum()
    assert {row["name"] for row in told["names_carried"]} == set(NAMES)
    assert told["names_lost"] == []
    assert "segment_moves.csv" in json.loads(ok(*REPORT, "january", "--json").stdout)["wrote"]
    moves = pd.read_csv(place.run / "segment_moves.csv", index_col="earlier_segment")
    crossed = pd.crosstab(both["segment_was"], both["segment"])
    assert (
        moves.loc[["0", "1", "2"], ["0", "1", "2"]].to_numpy().tolist()
        == crossed.to_numpy().tolist()
    )
    assert moves["gone"].sum() == 60 - len(both)
    assert moves.loc["new", ["0", "1", "2"]].sum() == len(segments) - len(both)


def test_names_go_along_a_chain(place, january):
    before = names_by_taste(pd.read_csv(january / "segments.csv"), NAMES)
    february(place)
    ok(*REPORT, "january")
    place.run.rename(place.folder / "february")
    for words in STAGES.values():
        ok(*words)
    ok(*REPORT, "february")
    found = names_by_taste(
        table(place, "segments.csv"), table(place, "segment_summary.csv")["name"]
    )
    assert found == before


def test_a_name_without_a_segment_is_told_and_a_segment_without_a_name_keeps_what_marks_it(
    place, january
):
    ok(*STAGES["cluster"][:-1], "2")
    ok("validate", "run")
    said = ok(*REPORT, "january").stdout.splitlines()
    told = json.loads(ok(*REPORT, "january", "--json").stdout)["since"]
    kept = {row["segment"]: row["name"] for row in told["names_carried"]}
    lost = [row["name"] for row in told["names_lost"]]
    assert len(kept) == 1
    assert sorted([*kept.values(), *lost]) == sorted(NAMES)
    (line,) = [line for line in said if line.startswith("Segments that keep")]
    assert line.startswith(
        f"Segments that keep their name from january: {next(iter(kept))}. Names that no"
    )
    assert line.endswith(f"{'; '.join(lost)}.".replace("\x1b", "\\x1b"))
    summary = table(place, "segment_summary.csv")
    for row in summary.itertuples():
        assert row.name == kept.get(row.segment, row.marked_by)
    moves = pd.read_csv(place.run / "segment_moves.csv")
    assert moves["same_as"].notna().sum() == 1
    assert (moves["similarity"] >= 0.6).sum() == 1


def test_segments_that_nobody_named_carry_nothing(place, january):
    name_segments(january, ("", "Twos", ""))
    told = json.loads(ok(*REPORT, "january", "--json").stdout)["since"]
    assert told["names_carried"] == [{"segment": 1, "earlier_segment": 1, "name": "Twos"}]
    assert told["names_lost"] == []
    summary = table(place, "segment_summary.csv")
    assert summary["name"].tolist() == [summary["marked_by"][0], "Twos", summary["marked_by"][2]]


def test_a_segment_without_a_name_has_none_to_lose(place, january):
    name_segments(january, ("", "Twos", ""))
    ok(*STAGES["cluster"][:-1], "1")
    ok("validate", "run")
    said = ok(*REPORT, "january").stdout
    assert (
        "\nSegments that keep their name from january: none. Names that no segment keeps: Twos.\n"
        in said
    )
    assert "Customers in both: 60, of whom 0 (0%) are in the same segment." in said


def test_a_person_s_names_for_this_run_come_first(place, january):
    edited = table(place, "segment_summary.csv")
    edited.assign(name=[edited["marked_by"][0], "Deux", ""]).to_csv("mine.csv", index=False)
    told = json.loads(ok(*REPORT, "january", "--segment-names", "mine.csv", "--json").stdout)
    assert [row["name"] for row in told["segments"]] == [NAMES[0], "Deux", NAMES[2]]
    assert [row["segment"] for row in told["since"]["names_carried"]] == [0, 2]
    assert told["since"]["names_lost"] == []
    assert told["since"]["n_stayed"] == 60


def test_what_marked_a_segment_in_a_shorter_list_is_no_name_of_a_person(place, january):
    ok(*STAGES["report"][:-1], "1")
    edited = table(place, "segment_summary.csv")
    edited.assign(name=["Uno", *edited["name"][1:]]).to_csv("mine.csv", index=False)
    assert "; " not in edited["name"][1]
    ok(*REPORT, "january", "--segment-names", "mine.csv")
    assert table(place, "segment_summary.csv")["name"].tolist() == ["Uno", *NAMES[1:]]
    ok(*STAGES["report"], "--segment-names", "mine.csv")
    now = table(place, "segment_summary.csv")
    assert now["name"].tolist() == ["Uno", *now["marked_by"][1:]]
    assert "; " in now["name"][1]


def test_nobody_is_named_without_being_asked(place, january):
    ok(*REPORT, "january")
    assert (place.run / "segment_moves.csv").exists()
    told = json.loads(ok(*STAGES["report"], "--json").stdout)
    assert told["since"] is None
    assert not (place.run / "segment_moves.csv").exists()
    assert "Since january" not in (place.run / "report.html").read_text()
    assert table(place, "segment_summary.csv").eval("name == marked_by").all()
    assert_whole(place.run)


def test_the_unassigned_are_a_row_and_a_column_of_their_own(place, january):
    membership = pd.read_csv(january / "segments.csv")["membership"]
    least = str(membership.min() + 1e-6)
    n = int((membership < float(least)).sum())
    ok(*STAGES["cluster"], "--min-membership", least)
    ok("validate", "run")
    ok(*REPORT, "january")
    moves = pd.read_csv(place.run / "segment_moves.csv").set_index("earlier_segment")
    assert moves.columns.tolist() == [
        *("earlier_name", "same_as", "similarity", "0", "1", "2", "unassigned", "gone")
    ]
    assert moves["unassigned"].sum() == n > 0
    assert moves.index.tolist() == ["0", "1", "2", "new"]
    place.run.rename(place.folder / "unsure")
    shutil.copytree(january, place.run)
    ok(*REPORT, "unsure")
    back = pd.read_csv(place.run / "segment_moves.csv").set_index("earlier_segment")
    assert back.index.tolist() == ["0", "1", "2", "unassigned", "new"]
    assert back.loc["unassigned", ["0", "1", "2"]].sum() == n
    assert "unassigned" not in back.columns
    assert back["same_as"].tolist()[:3] == [0, 1, 2]


def test_the_page_has_the_table(place, january):
    february(place)
    printed = ok(*REPORT, "january").stdout
    page = tree_of(place)
    moves = pd.read_csv(place.run / "segment_moves.csv").fillna({"earlier_name": ""})
    rows = rows_of(page, "Where the customers of each segment of january are now")
    assert [row[1:] for row in rows] == moves.iloc[:, 4:].astype(str).to_numpy().tolist()
    shown = [f"{row.earlier_segment}: {row.earlier_name}" for row in moves.iloc[:3].itertuples()]
    assert [row[0] for row in rows] == [*(one.replace("\x1b", "\\x1b") for one in shown), "new"]
    strong = [text_of(one) for cell in page.iter("td") for one in cell.iter("strong")]
    assert strong == [str(row[str(int(row["same_as"]))]) for _, row in moves.iloc[:3].iterrows()]
    words = text_of(page)
    for line in printed.splitlines():
        if line.startswith(("Segments that keep", "Customers in both")):
            assert line in words
    assert "at least 60% of the customers of either are in both, and at least 5 of them" in words
    assert "customers who are new or gone do not count towards the 60%." in words
    for header in page.iter("th"):
        assert header.get("scope") in {"row", "col"}


def test_what_was_read_is_recorded_without_the_folder_it_is_in(place, january):
    (place.folder / "now").symlink_to("january")
    ok(*REPORT, place.folder / "now")
    record = document(place, "manifest.json")["stages"]["report"]
    assert record["parameters"]["segment_names_from"] == "january"
    assert record["inputs"] == {
        role: {"name": name, "sha256": hashlib.sha256((january / name).read_bytes()).hexdigest()}
        for role, name in (
            ("earlier_segments", "segments.csv"),
            ("earlier_names", "segment_summary.csv"),
        )
    }
    by_link = digests(place.run)
    assert str(place.folder) not in "".join(
        path.read_text()
        for path in place.run.iterdir()
        if path.suffix in {".json", ".html", ".csv"}
    )
    ok(*REPORT, "january")
    assert digests(place.run) == by_link
    shutil.rmtree(january)  # what has been carried over stays
    assert states(place.run)["report"] == "fresh"


@pytest.mark.parametrize("words", [REPORT[:-1], ONE_GO], ids=["report", "run"])
def test_a_link_that_is_moved_meanwhile_leads_where_it_led(place, january, monkeypatch, words):
    other = shutil.copytree(january, place.folder / "december")
    name_segments(other, ("Uno", "Due", "Tre"))
    now = place.folder / "now"
    now.symlink_to("january")

    def moving(read):
        def read_and_move(*args):
            found = read(*args)
            now.unlink()
            now.symlink_to("december")
            return found

        return read_and_move

    monkeypatch.setattr(earlier, "read_artifact", moving(earlier.read_artifact))
    ok(*words, "--segment-names-from", "now")
    assert table(place, "segment_summary.csv")["name"].tolist() == list(NAMES)
    record = document(place, "manifest.json")["stages"]["report"]
    assert record["parameters"]["segment_names_from"] == "january"
    for role, name in (("earlier_segments", "segments"), ("earlier_names", "segment_summary")):
        digest = hashlib.sha256((january / f"{name}.csv").read_bytes()).hexdigest()
        assert record["inputs"][role]["sha256"] == digest


# What is refused


def nameless(run: Path) -> None:
    ok("report", run)


def altered(run: Path) -> None:
    path = run / "segment_summary.csv"
    path.write_text(path.read_text().replace("Ones", "Unos"))


def stale(run: Path) -> None:
    ok("cluster", run, "--n-components", "2", "--n-clusters", "2")


def without_report(run: Path) -> None:
    shutil.rmtree(run)
    ok("ingest", "ratings.csv", run)


def without_segments(run: Path) -> None:
    (run / "segments.csv").unlink()


def of_others(run: Path) -> None:
    text = Path("ratings.csv").read_text()
    Path("others.csv").write_text(text.replace("\nc", "\nx"))
    shutil.rmtree(run)
    ok(*("run", "others.csv", run, "--n-components", "2", "--n-clusters", "3", "--k-max", "3"))
    name_segments(run, NAMES)


def a_folder(run: Path) -> None:
    shutil.rmtree(run)
    run.mkdir()


def a_file(run: Path) -> None:
    shutil.rmtree(run)
    run.touch()


def this_run(run: Path) -> None:
    shutil.rmtree(run)
    run.symlink_to("run")


REFUSED = [
    (
        shutil.rmtree,
        "january does not exist. Name the run directory of an earlier run.",
    ),
    (
        a_folder,
        "january is not a run directory. Name the run directory of an earlier run.",
    ),
    (a_file, "january is not a run directory."),
    (this_run, "january is this run itself. Name the run directory of an earlier run."),
    (
        without_report,
        "january/segment_summary.csv is missing: report has not run here. Run: segcli report",
    ),
    (
        without_segments,
        "january/segments.csv is missing: it was removed after cluster wrote it. Run:",
    ),
    (altered, "january/segment_summary.csv was altered or cut short after report wrote it."),
    (
        stale,
        "january/segment_summary.csv is stale: segmentation.joblib has changed since validate ran.",
    ),
    (nameless, "you have named no segment of january. Name them first: segcli report january"),
    (
        of_others,
        "no customer of january is in this run. Take names from a run of the same customers",
    ),
]


@pytest.mark.parametrize(("spoil", "said"), REFUSED, ids=[spoil.__name__ for spoil, _ in REFUSED])
def test_an_earlier_run_that_has_no_names_to_give_is_refused(place, january, spoil, said):
    spoil(january)
    before = digests(place.run)
    assert_one_line(invoke(*REPORT, "january"), said)
    assert digests(place.run) == before
    if spoil is not of_others:  # which only the segments of this run can tell
        one_go = ("run", "ratings.csv", "run", "--n-components", "2", "--n-clusters", "2")
        assert_one_line(invoke(*one_go, "--segment-names-from", "january"), said)
        assert digests(place.run) == before


def test_the_command_that_is_told_can_be_typed(place, january):
    nameless(january)
    odd = january.rename(place.folder / "-the year's first")
    line = assert_one_line(invoke(*REPORT, f"./{odd.name}"), "you have named no segment of")
    *words, _ = shlex.split(line.partition("Name them first: segcli ")[2])
    name_segments(odd, NAMES)
    ok(*words, odd / "segment_summary.csv")
    assert_one_line(invoke("report", "no where"), "Run: segcli ingest INTERACTIONS 'no where'")


def test_no_earlier_run_is_a_wrong_command_line(place):
    found = invoke(*REPORT, "")
    assert found.exit_code == 2
    assert "'--segment-names-from': it is empty" in found.stderr


def test_tables_are_enough_of_an_old_run(place, january):
    for path in january.iterdir():
        if path.name not in {"manifest.json", "segments.csv", "segment_summary.csv"}:
            path.unlink()
    ok(*REPORT, "january")
    assert table(place, "segment_summary.csv")["name"].tolist() == list(NAMES)


def test_one_command_takes_names_too(place, january):
    one_go = ("--max-components", "4", "--n-components", "2", "--k-max", "4", "--n-clusters", "3")
    ok("run", "ratings.csv", "again", *one_go, "--top", "3", "--segment-names-from", "january")
    ok(*REPORT, "january")
    assert digests(place.folder / "again") == digests(place.run)
