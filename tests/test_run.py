"""All six stages by one command: the same files, and the same answers to what is wrong."""

import json
import os
import shutil
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from run_dirs import (
    ROOT,
    STAGES,
    assert_whole,
    digests,
    environment,
    invoke,
    name_segments,
    ok,
    states,
)

RUN = (
    *("run", "ratings.csv", "run-2", "--max-components", "4", "--n-components", "2"),
    *("--k-max", "4", "--n-clusters", "3", "--top", "3"),
)
"""What `STAGES` do, in another run directory."""
ONE_AT_A_TIME = """#!/bin/sh
case $1 in ingest) run=$3 ;; *) run=$2 ;; esac
mkdir "$run/busy" || exit 1
sleep 0.1
case $1 in
  ingest) made=matrix.npz ;; explore-pca) made=pca.joblib ;; explore-k) made=k_scores.csv ;;
  cluster) made=segmentation.joblib ;; validate) made=validation.json ;; report) made=report.html ;;
  label) made=labels.csv ;;
esac
touch "$run/$made"
rmdir "$run/busy"
echo $1
case "$*" in *--require*) exit $(cat verdict) ;; esac
"""
"""What looks to make like segcli, and does nothing; its verdict is the exit status in ``verdict``."""


def test_it_writes_what_the_six_commands_write(place):
    ok(*RUN)
    assert digests(place.folder / "run-2") == digests(place.run)


def test_the_summaries_are_those_of_the_six_commands(place):
    one_by_one = []
    for name, words in STAGES.items():
        one_by_one.append(f"{name}\n" + ok(*words).stdout)
    assert ok(*RUN).stdout.replace("run-2", "run") == "\n".join(one_by_one)


def test_the_segments_are_the_ones_whose_inertia_was_on_the_curve(place):
    ok(*RUN)
    curve = pd.read_csv(place.folder / "run-2" / "k_scores.csv").set_index("k")
    document = json.loads((place.folder / "run-2" / "clustering.json").read_text())
    assert document["k"] == 3
    assert document["inertia"] == curve["inertia_reduced"][3]


def test_json_is_an_object_for_each_stage(place):
    one_by_one = [ok(*words, "--json").stdout for words in STAGES.values()]
    found = ok(*RUN, "--json").stdout.replace("run-2", "run")
    assert found == "".join(one_by_one)
    assert [json.loads(line)["wrote"] != [] for line in found.splitlines()] == [True] * 6


def test_a_verdict_that_is_not_the_one_required_is_reported_all_the_same(place):
    """There are three tastes."""
    found = invoke(*RUN, "--n-clusters", "5", "--require", "supported")
    assert (found.exit_code, found.stderr) == (3, "")
    assert found.stdout.splitlines()[-1].endswith("report.html")
    assert_whole(place.folder / "run-2")


def assert_ended_by(found, *words):
    """Insist on exit status 1 and one line that holds the words, whatever was printed before."""
    assert (found.exit_code, len(found.stderr.splitlines())) == (1, 1), found.stderr
    assert found.stderr.startswith("Error: ")
    assert all(word in found.stderr for word in words), found.stderr


def done(run):
    return [name for name, state in states(run).items() if state == "fresh"]


def test_a_stage_that_fails_leaves_those_before_it_done(place):
    of_kind = np.random.default_rng(0).random((7, 12)) < 0.5
    rows = [f"c{c},i{item},1" for c in range(60) for item in of_kind[c % 7].nonzero()[0]]
    (place.folder / "ratings.csv").write_text("\n".join(["customer,item,value", *rows]))
    found = invoke(*RUN, "--n-clusters", "9")
    assert_ended_by(found, "9 segments cannot be made of 7 distinct customers. Choose 7 or fewer")
    assert done(place.folder / "run-2") == ["ingest", "explore-pca", "explore-k"]


def test_names_of_segments_that_are_not_there_are_missed_before_the_work(place):
    assert_ended_by(invoke(*RUN, "--segment-names", "names.csv"), "names.csv does not exist")
    assert not (place.folder / "run-2").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--n-clusters", "61"), "61 segments cannot be made of 60 customers"),
        (("--k-max", "61"), "k = 61 is too large"),
        (("--max-components", "60"), "--max-components 60 is too large: 60 customers"),
        (("--max-components", "60", "--n-components", "60"), "60 is too large: 60 customers"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_the_data_cannot_bear_is_found_before_the_long_work(place, words, said):
    assert_ended_by(invoke(*RUN, *words), said)
    assert done(place.folder / "run-2") == ["ingest"]


@pytest.mark.parametrize(
    "words",
    [("--min-membership", "0"), ("--require", "supported"), ("--require", "recommended")],
    ids=" ".join,
)
def test_evidence_that_the_data_cannot_bear_is_missed_before_the_long_work(place, words):
    lines = (place.folder / "ratings.csv").read_text().splitlines()
    few = [line for line in lines if line[:4] < "c012" or line.startswith("customer")]
    (place.folder / "ratings.csv").write_text("\n".join(few))
    assert_ended_by(
        invoke(*RUN, *words), " ".join(words), "12 customers are too few", "Leave it out"
    )
    assert done(place.folder / "run-2") == ["ingest"]


def test_more_components_than_there_are_are_found_before_the_long_work(place):
    at = RUN.index("--max-components")
    words = [*RUN[:at], *RUN[at + 2 :], "--n-components", "45"]
    assert_ended_by(invoke(*words), "--n-components 45 is too large", "Choose 12 or fewer")
    assert done(place.folder / "run-2") == ["ingest"]


@pytest.mark.parametrize(
    "words",
    [
        ("--k-min", "5"),
        ("--n-components", "5"),
        ("--require", "supported", "--evidence", "none"),
        ("--min-membership", "0", "--evidence", "none"),
        ("--engine", "spark", "--threads", "2"),
        ("--master", "local[2]"),
        ("--compare-weightings",),
        ("--compare-score-norms",),
        ("--compare-components",),
    ],
    ids=" ".join,
)
def test_options_that_contradict_each_other_are_found_before_the_first_stage(place, words):
    found = invoke(*RUN, *words)
    assert (found.exit_code, found.stdout) == (2, "")
    assert not (place.folder / "run-2").exists()


def test_how_many_components_to_compute_is_said_where_they_are_too_few(place):
    found = invoke(*RUN, "--n-components", "5")
    assert "larger than --max-components 4: give --max-components 5 too." in found.stderr
    at = RUN.index("--max-components")
    found = invoke(*RUN[:at], *RUN[at + 2 :], "--n-components", "51")
    assert "larger than --max-components 50: give --max-components 51 too." in found.stderr


@pytest.mark.parametrize("missing", ["--n-components", "--n-clusters"])
def test_the_choices_must_be_made(place, missing):
    at = RUN.index(missing)
    found = invoke(*RUN[:at], *RUN[at + 2 :])
    assert found.exit_code == 2
    assert missing in found.stderr
    assert not (place.folder / "run-2").exists()


COUNTING = """
import sys
from segcli.cli import main
from segcli.engine import session
start = session._start
session._start = lambda *given: print("started", file=sys.stderr) or start(*given)
main(sys.argv[1:])
"""


@pytest.mark.xdist_group("spark")
def test_one_session_of_spark_serves_all_stages(place, spark_installed):
    shutil.copytree(place.run, place.folder / "earlier")
    name_segments(place.folder / "earlier", ["A", "B", "C"])
    words = [*RUN, "--evidence", "none", "--segment-names-from", "earlier"]
    ok(*words)
    local = digests(place.folder / "run-2")
    words[words.index("run-2")] = "run-3"
    found = subprocess.run(
        [sys.executable, "-c", COUNTING, *words, "--engine", "spark", "--master", "local[1]"],
        cwd=place.folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    assert found.stderr == "started\n"
    assert digests(place.folder / "run-3") == local


@pytest.fixture
def make(tmp_path):
    """Return what runs make in a folder with interactions and a program that looks like segcli."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name in ("ratings.csv", ".venv/bin/pip", "pyproject.toml", "requirements.lock"):
        (tmp_path / name).touch()
    (programs / "segcli").write_text(ONE_AT_A_TIME)
    (programs / "segcli").chmod(0o755)

    def run(*args):
        return subprocess.run(
            ["make", "-s", "-f", str(ROOT / "Makefile"), *args],
            cwd=tmp_path,
            env=environment(MAKEFLAGS="", VENV=".venv"),  # make test may have been told of others
            capture_output=True,
            text=True,
        )

    return run


def test_make_refuses_a_verdict_that_there_is_not_before_it_runs_a_stage(make):
    ran = make("run", "RUN=shop", "INTERACTIONS=ratings.csv", "REQUIRE=suported")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "REQUIRE is 'suported': it can be supported or recommended" in ran.stderr


def test_make_runs_one_stage_after_the_other(make):
    ran = make("-j4", "run", "RUN=shop", "INTERACTIONS=ratings.csv")
    assert (ran.stdout.split(), ran.stderr) == ([*STAGES], "")
    assert make("-j4", "run", "RUN=shop", "INTERACTIONS=ratings.csv").stdout == ""
    again = make("-j4", "run", "RUN=shop", "INTERACTIONS=ratings.csv", "K=3")
    assert again.stdout.split() == ["cluster", "validate", "report"]


def test_make_hands_on_how_scores_are_compared(make):
    words = ("run", "RUN=shop", "INTERACTIONS=ratings.csv")
    make(*words)
    unit = (*words, "WEIGHTING=tfidf", "SCORE_NORM=unit")
    assert "explore-pca shop --weighting tfidf --score-norm unit" in make(*unit, "-n").stdout
    assert "--score-norm" not in make(*words, "-n", "-B").stdout
    assert make(*unit).stdout.split() == [*STAGES][1:]
    assert make(*unit).stdout == ""


def test_make_makes_the_report_again_for_other_names_of_segments(make, tmp_path):
    words = ("run", "RUN=shop", "INTERACTIONS=ratings.csv")
    make(*words)
    names = tmp_path / "names.csv"
    names.touch()
    os.utime(names, (1, 1))  # older than the page, and still to be read
    assert make(*words, "SEGMENT_NAMES=names.csv").stdout.split() == ["report"]
    assert make(*words, "SEGMENT_NAMES=names.csv").stdout == ""
    os.utime(names)
    assert make(*words, "SEGMENT_NAMES=names.csv").stdout.split() == ["report"]
    assert make(*words).stdout.split() == ["report"]


def test_make_makes_the_report_again_for_names_of_another_run(make, tmp_path):
    words = ("run", "RUN=shop", "INTERACTIONS=ratings.csv")
    make(*words)
    earlier = tmp_path / "earlier"
    earlier.mkdir()
    for name in ("segments.csv", "segment_summary.csv"):
        (earlier / name).touch()
        os.utime(earlier / name, (1, 1))
    named = (*words, "SEGMENT_NAMES_FROM=earlier")
    assert make(*named).stdout.split() == ["report"]
    assert make(*named).stdout == ""
    os.utime(earlier / "segment_summary.csv")
    assert make(*named).stdout.split() == ["report"]
    assert "--segment-names-from earlier" in make(*named, "-n", "-B").stdout
    assert make(*words).stdout.split() == ["report"]


@pytest.mark.parametrize("link", ["now", "now/"])
def test_make_sees_that_a_link_leads_to_another_run(make, tmp_path, link):
    for run in ("2026-01", "2026-02"):
        (tmp_path / run).mkdir()
        for name in ("segments.csv", "segment_summary.csv"):
            (tmp_path / run / name).touch()
            os.utime(tmp_path / run / name, (1, 1))
    now = tmp_path / "now"
    now.symlink_to("2026-02")
    words = ("run", "RUN=shop", "INTERACTIONS=ratings.csv", f"SEGMENT_NAMES_FROM={link}")
    assert make(*words).stdout.split() == [*STAGES]
    assert make(*words).stdout == ""
    now.unlink()
    now.symlink_to("2026-01")
    assert make(*words).stdout.split() == ["report"]
    assert make(*words).stdout == ""


def test_make_labels_by_the_segments_of_another_run(make, tmp_path):
    words = ("label", "RUN=new", "INTERACTIONS=ratings.csv")
    ran = make(*words)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "SEGMENTS_FROM is empty" in ran.stderr
    labelled = (*words, "SEGMENTS_FROM=shop")
    ran = make(*labelled)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "shop/segments.csv" in ran.stderr
    shop = tmp_path / "shop"
    shop.mkdir()
    (shop / "segments.csv").touch()
    assert "label new --segments-from shop" in make(*labelled, "-n").stdout
    assert make(*labelled).stdout.split() == ["ingest", "label"]
    assert make(*labelled).stdout == ""
    time.sleep(0.05)
    (shop / "segment_summary.csv").touch()
    assert make(*labelled).stdout.split() == ["label"]
    shutil.copytree(shop, tmp_path / "other")
    assert make(*words, "SEGMENTS_FROM=other").stdout.split() == ["label"]


@pytest.mark.parametrize("option", ["SEGMENT_NAMES", "SEGMENT_NAMES_FROM"])
def test_make_runs_nothing_without_the_names_that_are_asked_for(make, option):
    ran = make("run", "RUN=shop", "INTERACTIONS=ratings.csv", f"{option}=nowhere")
    assert (ran.returncode, ran.stdout) == (2, "")
    assert "nowhere" in ran.stderr


@pytest.mark.parametrize("role", ["INTERACTIONS", "ITEMS"])
def test_make_sees_what_is_written_into_a_file_of_a_folder(make, tmp_path, role):
    (tmp_path / "orders").mkdir()
    monday = tmp_path / "orders" / "on monday.csv"
    monday.write_text("a,x,1\n")
    words = ("run", "RUN=shop", "INTERACTIONS=ratings.csv", f"{role}=orders")
    assert make(*words).stdout.split() == [*STAGES]
    assert make(*words).stdout == ""
    time.sleep(0.05)
    monday.write_text("a,y,1\n")
    assert make(*words).stdout.split() == [*STAGES]


@pytest.mark.parametrize("changed", ["ratings.csv", "items.csv", "orders/on monday.csv"])
def test_make_sees_what_takes_the_place_of_a_file_however_old_it_is(make, tmp_path, changed):
    """As when an extract is moved there that was made before the last run."""
    (tmp_path / "orders").mkdir()
    for name in ("orders/on monday.csv", "items.csv"):
        (tmp_path / name).touch()
    interactions = changed.partition("/")[0] if "/" in changed else "ratings.csv"
    words = ("run", "RUN=shop", f"INTERACTIONS={interactions}", "ITEMS=items.csv")
    assert make(*words).stdout.split() == [*STAGES]
    assert make(*words).stdout == ""
    (tmp_path / "of last month").write_text("a,x,1\n")
    os.utime(tmp_path / "of last month", (1, 1))
    (tmp_path / "of last month").replace(tmp_path / changed)
    os.utime((tmp_path / changed).parent, (1, 1))
    assert make(*words).stdout.split() == [*STAGES]
    assert make(*words).stdout == ""


@pytest.mark.parametrize("require", ["supported", "recommended"])
def test_make_stops_before_the_report_until_the_verdict_is_the_one_required(
    make, tmp_path, require
):
    words = ("run", "RUN=shop", "INTERACTIONS=ratings.csv", "K_MAX=9", f"REQUIRE={require}")
    verdict = tmp_path / "verdict"
    verdict.write_text("3")
    *before, validate, report = STAGES
    for stages in ([*before, validate], [validate]):
        ran = make(*words)
        assert (ran.returncode, ran.stdout.split()) == (2, stages)
        assert "Error 3" in ran.stderr
        assert (tmp_path / "shop" / "validation.json").exists()
        assert not (tmp_path / "shop" / "report.html").exists()
    verdict.write_text("0")
    assert make(*words).stdout.split() == [validate, report]
    assert make(*words).stdout == ""
    verdict.write_text("3")
    assert make(*words, "K_MAX=8").stdout.split() == [
        "explore-k",
        validate,
    ]  # may recommend another
    assert make(*words, "K_MAX=8").returncode == 2
    assert make(*words, "K_MAX=8", "REQUIRE=").stdout.split() == [report]


@pytest.mark.parametrize(
    "path", ["RUN=my shop", "INTERACTIONS=my ratings.csv", "ITEMS=my items.csv", "RUN=shop "]
)
def test_make_says_that_it_takes_no_spaces(make, path):
    ran = make("run", path)
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)
    assert path.partition("=")[2] in ran.stderr


def test_as_many_components_as_there_can_be_may_be_chosen(finished):
    from segcli.choices import check_choices
    from segcli.errors import ChoiceError

    others = {
        **{"k_min": 2, "k_max": None, "k_step": 1, "n_clusters": 3},
        **{"evidence": None, "min_membership": None, "require": None},
    }
    check_choices(finished.run, n_components=12, **others)
    with pytest.raises(ChoiceError, match=r"--n-components 13 .* at most 12 components"):
        check_choices(finished.run, n_components=13, **others)
