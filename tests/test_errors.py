"""Each mistake a user can make ends in one clear line, no traceback, and an untouched run directory."""

import gzip
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from run_dirs import (
    LATER,
    STAGES,
    assert_one_line,
    environment,
    invoke,
    left_alone,
    name_segments,
    ok,
    process,
)

from segcli.errors import AllAlikeError, ChoiceError, FewDistinctError


def assert_usage(result, *words):
    """Insist on exit status 2, click's usage, and one line that says what is wrong."""
    lines = result.stderr.splitlines()
    assert (result.exit_code, result.stdout) == (2, ""), (result.output, result.exception)
    assert lines[0].startswith("Usage: ")
    assert lines[-1].startswith("Error: ")
    assert sum(line.startswith("Error: ") for line in lines) == 1
    assert "Traceback" not in result.stderr
    for word in words:
        assert word in lines[-1]


# The file of interactions

HEADER = "customer,item,value\n"
FILES = {
    "empty": b"",
    "blank lines": b"\n\n\n",
    "header only": HEADER.encode(),
    "one customer": (HEADER + "a,x,1\na,y,2\n").encode(),
    "one item": (HEADER + "a,x,1\nb,x,2\n").encode(),
    "binary": bytes(range(256)) * 40,
    "zeros": bytes(4096),
    "a picture": b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 8,
    "gzip cut short": gzip.compress((HEADER + "a,x,1\nb,y,2\n" * 500).encode())[:40],
    "all values text": (HEADER + "a,x,good\nb,y,bad\nc,x,good\n").encode(),
    "all values NaN": (HEADER + "a,x,NaN\nb,y,nan\nc,x,\n").encode(),
    "all values infinite": (HEADER + "a,x,inf\nb,y,-inf\nc,x,Infinity\n").encode(),
    "all values negative": (HEADER + "a,x,-1\nb,y,-2\nc,x,-1\n").encode(),
    "no customer in any row": (HEADER + ",x,1\n,y,2\n").encode(),
    "one column": b"customer\na\nb\n",
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("fresh", [True, False], ids=["new", "again"])
def test_a_file_without_interactions(place, name, fresh):
    Path("bad.csv").write_bytes(FILES[name])
    with left_alone(place.folder):
        assert_one_line(invoke("ingest", "bad.csv", "new" if fresh else "run"), "bad.csv")


@pytest.mark.parametrize(
    ("interactions", "words"),
    [("none.csv", "none.csv"), ("run", "run is a run directory"), ("", "empty")],
)
def test_no_such_file_and_a_directory(place, interactions, words):
    with left_alone(place.folder):
        assert_one_line(invoke("ingest", interactions, "new"), words)


@pytest.mark.parametrize("option", ["--customer", "--item", "--value", "--timestamp"])
@pytest.mark.parametrize("column", ["nobody", "0", "9", "-1", "²"])
def test_a_wrong_column(place, option, column):
    with left_alone(place.folder):
        assert_one_line(invoke("ingest", "ratings.csv", "new", f"{option}={column}"), column)


@pytest.mark.parametrize(
    "options",
    [
        ("--items", "none.csv"),
        ("--items", "run"),
        ("--items", "ratings.csv", "--items-id", "nobody"),
        ("--customer", "item", "--item", "item"),
    ],
    ids=" ".join,
)
def test_a_wrong_choice_of_reading(place, options):
    with left_alone(place.folder):
        assert_one_line(invoke("ingest", "ratings.csv", "new", *options))


@pytest.mark.parametrize("value", ["good", "NaN", "inf", "-inf", "-3", "1e999"])
def test_a_value_that_cannot_be_used_is_told_or_refused(place, value):
    with place.ratings.open("a") as file:
        file.write(f"c001,i01,{value}\n")
    assert "1 rejected" in ok("ingest", "ratings.csv", "new").stdout
    with left_alone(place.folder):
        assert_one_line(invoke("ingest", "ratings.csv", "run", "--strict"), "--strict")


def test_negative_values_kept_go_all_the_way_but_for_weightings_of_counts(place):
    with place.ratings.open("a") as file:
        file.write("c001,i01,-900\n")
    ok(*STAGES["ingest"], "--negative", "keep")
    for name in LATER:
        found = ok(*STAGES[name], *(("--weighting", "raw") if name == "explore-pca" else ()))
        if name == "validate":
            assert "No evidence was gathered: evidence needs counts or ratings" in found.stdout
    with left_alone(place.run):
        assert_one_line(invoke(*STAGES["explore-pca"]), "raw")


# Choices

COMMAND_LINES = [
    ("explore-pca", "run", "--max-components", "0"),
    ("explore-pca", "run", "--max-components", "-1"),
    ("explore-pca", "run", "--max-components", "many"),
    ("explore-pca", "run", "--weighting", "heavy"),
    ("explore-pca", "run", "--seed", "-1"),
    ("explore-pca", "run", "--threads", "0"),
    ("explore-k", "run"),
    ("explore-k", "run", "--n-components", "0"),
    ("explore-k", "run", "--n-components", "-2"),
    ("explore-k", "run", "--n-components", "2", "--k-min", "5", "--k-max", "3"),
    ("explore-k", "run", "--n-components", "2", "--k-min", "0"),
    ("explore-k", "run", "--n-components", "2", "--k-max", "-1"),
    ("explore-k", "run", "--n-components", "2", "--k-step", "0"),
    ("cluster", "run"),
    ("cluster", "run", "--n-components", "2"),
    ("cluster", "run", "--n-components", "0", "--n-clusters", "2"),
    ("cluster", "run", "--n-components", "2", "--n-clusters", "0"),
    ("cluster", "run", "--n-components", "2", "--n-clusters", "-5"),
    ("cluster", "run", "--n-components", "2", "--n-clusters", "2.5"),
    ("cluster", "run", "--n-components", "2", "--n-clusters", "2", "--min-membership", "nan"),
    ("cluster", "run", "--n-components", "2", "--n-clusters", "2", "--min-membership", "1.1"),
    ("report", "run", "--top", "0"),
    ("validate",),
    ("validate", "run", "extra"),
    ("validate", "run", "--master", "local[2]"),
    ("validate", "run", "--engine", "spark", "--threads", "2"),
    ("validate", "run", "--unknown"),
    ("ingest", "ratings.csv"),
    ("ingest", "ratings.csv", ""),
    ("ingest", "ratings.csv", "run", "--items", ""),
    ("ingest", "ratings.csv", "run", "--delimiter", "abc"),
    ("ingest", "ratings.csv", "run", "--delimiter", ""),
    ("ingest", "ratings.csv", "run", "--encoding", "klingon"),
    ("ingest", "ratings.csv", "run", "--items-id", "id"),
    ("ingest", "ratings.csv", "run", "--negative", "net", "--duplicates", "mean"),
    ("ingest", "s3a://shop/orders", "run"),
    ("ingest", "ratings.csv", "run", "--duplicates", "first"),
    ("inject",),
]
TOO_LARGE = [
    ("explore-pca", "run", "--max-components", "13"),
    ("explore-pca", "run", "--max-components", "1" + 30 * "0"),
    ("explore-k", "run", "--n-components", "5"),
    ("explore-k", "run", "--n-components", "1" + 30 * "0"),
    ("explore-k", "run", "--n-components", "2", "--k-max", "61"),
    ("explore-k", "run", "--n-components", "2", "--k-min", "61"),
    ("explore-k", "run", "--n-components", "2", "--k-max", "1" + 30 * "0"),
    ("cluster", "run", "--n-components", "5", "--n-clusters", "3"),
    ("cluster", "run", "--n-components", "2", "--n-clusters", "61"),
    ("cluster", "run", "--n-components", "2", "--n-clusters", "1" + 30 * "0"),
]


@pytest.mark.parametrize("args", COMMAND_LINES, ids=" ".join)
def test_a_wrong_command_line(place, args):
    with left_alone(place.folder):
        assert_usage(invoke(*args))


@pytest.mark.parametrize("args", TOO_LARGE, ids=" ".join)
def test_a_choice_too_large_for_these_data(place, args):
    with left_alone(place.run):
        assert_one_line(
            invoke(*args), args[-1] if args[-2] != "--n-clusters" or "61" in args else ""
        )


@pytest.mark.parametrize("option", ["--seed", "--threads", "--top", "--k-step"])
def test_a_very_large_number_does_no_harm(place, option):
    name = {"--top": "report", "--k-step": "explore-k"}.get(option, "cluster")
    ok(*STAGES[name], option, "1" + 30 * "0")


def test_customers_who_are_all_alike_have_no_components(place):
    rows = "".join(f"{customer},{item},2\n" for customer in "abcde" for item in "xyz")
    place.ratings.write_text(HEADER + rows)
    ok(*STAGES["ingest"])
    with left_alone(place.run):
        assert_one_line(invoke("explore-pca", "run"))


def test_the_smallest_data_that_can_be_used_go_all_the_way(place):
    place.ratings.write_text(HEADER + "a,x,1\nb,y,2\nb,x,1\n")
    ok(*STAGES["ingest"])
    ok("explore-pca", "run")
    ok("explore-k", "run", "--n-components", "1")
    for k in ("1", "2"):
        ok("cluster", "run", "--n-components", "1", "--n-clusters", k)
        result = invoke("validate", "run")
        if result.exit_code:
            assert_one_line(result)
        ok("report", "run")
    assert_one_line(invoke("cluster", "run", "--n-components", "1", "--n-clusters", "3"), "3", "2")
    assert_one_line(invoke("explore-k", "run", "--n-components", "1", "--k-max", "3"), "3", "2")


# The run directory


@pytest.mark.parametrize("name", STAGES)
def test_a_run_directory_that_is_a_file(place, name):
    args = ["ratings.csv" if arg == "run" else arg for arg in STAGES[name]]
    with left_alone(place.folder):
        assert_one_line(invoke(*args), "ratings.csv is a file, not a run directory")
        args = ["ratings.csv/run" if arg == "run" else arg for arg in STAGES[name]]
        assert_one_line(invoke(*args), "ratings.csv/run")


@pytest.mark.parametrize("stage", ["ingest", "cluster"])
@pytest.mark.parametrize("target", ["nowhere", "link"])
def test_a_link_that_leads_nowhere_is_no_run_directory(place, stage, target):
    (place.folder / "link").symlink_to(target)
    args = ["link" if word == "run" else word for word in STAGES[stage]]
    assert_one_line(invoke(*args), f"link is a link to {target}, which does not exist.", "another")


@pytest.mark.parametrize("name", [*STAGES, "status"])
def test_a_run_directory_whose_name_is_too_long(place, name):
    long = "x" * 300
    args = [long if arg == "run" else arg for arg in STAGES.get(name, ("status", "run"))]
    with left_alone(place.folder):
        assert_one_line(invoke(*args), f"{long}", ": File name too long")


@pytest.mark.parametrize("name", [*list(STAGES)[1:], "status"])
def test_a_run_directory_that_does_not_exist(place, name):
    args = ["nowhere" if arg == "run" else arg for arg in STAGES.get(name, ("status", "run"))]
    assert_one_line(
        invoke(*args), "nowhere does not exist. Run: segcli ingest INTERACTIONS nowhere"
    )
    assert not Path("nowhere").exists()


@pytest.mark.parametrize(
    ("done", "asked", "first"),
    [
        ([], "explore-pca", "ingest"),
        *(([], stage, "ingest") for stage in ("explore-k", "cluster", "validate", "report")),
        (["ingest"], "explore-k", "explore-pca"),
        (["ingest"], "cluster", "explore-pca"),
        (["ingest", "explore-pca"], "validate", "cluster"),
        (["ingest", "explore-pca"], "report", "cluster"),
    ],
)
def test_stages_in_the_wrong_order(place, done, asked, first):
    Path("other").mkdir()
    for name in done:
        ok(*("other" if arg == "run" else arg for arg in STAGES[name]))
    with left_alone(Path("other")):
        args = ["other" if arg == "run" else arg for arg in STAGES[asked]]
        assert_one_line(invoke(*args), f"{first} has not run here. Run: segcli {first} ")


# Names and streams


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "日本.csv"), ("latin-1", r"\u65e5\u672c.csv")]
)
def test_a_terminal_that_lacks_a_letter_stops_nothing(place, encoding, shown):
    """For one that says it knows ASCII only, click writes UTF-8."""
    place.ratings.rename("日本.csv")
    env = environment(PYTHONIOENCODING=encoding)
    found = process("ingest", "日本.csv", "new", cwd=place.folder, env=env, errors="replace")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith(f"{shown}: comma-separated")


def test_a_file_name_that_is_no_unicode(place):
    odd = os.fsdecode(b"r\xe4tings.csv")
    try:
        place.ratings.rename(odd)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    with Path(odd).open("a") as file:
        file.write("c001,i00,none\n")
    Path("parts").mkdir()
    shutil.copy(odd, "parts")
    for source in (odd, "parts"):
        found = process("ingest", source, "new", cwd=place.folder)
        assert (found.returncode, found.stderr) == (0, "")
        assert "\nr\\udce4tings.csv," in Path("new", "rejects.csv").read_text(encoding="utf-8")
    assert process("status", "new", cwd=place.folder).returncode == 0
    assert process("ingest", odd, "new", "--json", cwd=place.folder).returncode == 0


def test_what_is_typed_and_is_no_unicode_is_on_the_page(place):
    (odd, earlier), table = map(os.fsdecode, (b"n\xe4mes.csv", b"j\xe4nner")), "segment_summary.csv"
    try:
        shutil.copytree(place.run, earlier)
    except OSError:
        pytest.skip("this file system takes only UTF-8 names")
    name_segments(place.folder / earlier, ("Ones", "Twos", "Threes"))
    shutil.copy(place.run / table, odd)
    ok(*STAGES["cluster"], "--because", odd)
    ok("validate", "run")
    ok(*STAGES["report"], "--segment-names", odd, "--segment-names-from", earlier)
    page = (place.run / "report.html").read_text(encoding="utf-8")
    assert "<h3>Since j\\udce4nner</h3>" in page
    assert page.count("n\\udce4mes.csv") == 3  # the reason, and in every parameter, too


def test_a_reader_that_goes_away_is_no_error(place):
    reading, writing = os.pipe()
    os.close(reading)
    found = subprocess.run(
        [sys.executable, "-m", "segcli", "status", "run"],
        cwd=place.folder,
        env=environment(),
        stdout=writing,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writing)
    assert found.stderr == ""


def test_one_segment_is_one():
    assert str(FewDistinctError(1)).endswith(
        "1 distinct customer can be found. Choose 1 segment or fewer."
    )


@pytest.mark.parametrize("error", [ChoiceError("k"), AllAlikeError(), FewDistinctError(3)])
def test_an_error_of_a_task_comes_whole_from_another_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (type(error), str(error))
