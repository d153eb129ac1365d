"""What a stage was run with is recorded, handed on, and told to who must run it again."""

import json
import shutil

import pandas as pd
import pytest
from run_dirs import LATER, STAGES, command_in, document, name_segments, ok, states, table
from test_accessible_page import rows_of, tree_of

SEEDED = {
    "explore-pca": ("explained_variance.csv", "null_mean"),
    "explore-k": ("k_scores.csv", "prediction_strength_null"),
    "cluster": ("segments.csv", "membership"),
    "report": ("characteristic_items.csv", "unseen_share"),
}

EVERY_CHOICE = {
    "ingest": (
        *("ingest", "r.txt", "run", "--customer", "who", "--item", "what", "--value", "n"),
        *("--timestamp", "day", "--items", "r.txt", "--items-id", "what", "--items-name", "title"),
        *("--delimiter", ";", "--header", "--encoding", "latin-1", "--duplicates", "last"),
        *("--negative", "keep"),
    ),
    "explore-pca": (
        *("explore-pca", "run", "--max-components", "3", "--weighting", "raw"),
        *("--evidence", "none", "--seed", "4"),
    ),
    "explore-k": (
        *("explore-k", "run", "--n-components", "2", "--k-min", "3", "--k-max", "5"),
        *("--k-step", "2", "--evidence", "none", "--seed", "4"),
    ),
    "cluster": (
        *("cluster", "run", "--n-components", "2", "--n-clusters", "3"),
        *("--because", "it's so", "--evidence", "none", "--seed", "4"),
    ),
    "validate": ("validate", "run", "--evidence", "none", "--seed", "4"),
    "report": (
        *("report", "run", "--top", "3", "--segment-names", "segments.txt", "--evidence", "none"),
        *("--segment-names-from", "earlier"),
    ),
}


def as_options(args):
    """Return a command line's options and their values, in any order."""
    words = list(args)
    found, i = {}, 0
    while i < len(words):
        if words[i].startswith("--") and i + 1 < len(words) and not words[i + 1].startswith("--"):
            found[words[i]] = words[i + 1]
            i += 2
        else:
            found[words[i]] = None
            i += 1
    return found


def test_the_seed_is_handed_on_and_recorded(place):
    before = {name: (place.run / name).read_bytes() for name, _ in SEEDED.values()}
    before["validation.json"] = document(place, "validation.json")["measures"]
    for name in LATER:
        ok(*STAGES[name], *(("--seed", "7") if name != "report" else ()))
    for name, column in SEEDED.values():
        (place.folder / "before.csv").write_bytes(before[name])
        old = pd.read_csv(place.folder / "before.csv")[column]
        assert not old.equals(table(place, name)[column]), name
    values = {row["measure"]: row for row in document(place, "validation.json")["measures"]}
    olds = {row["measure"]: row for row in before["validation.json"]}
    for measure in ("cross_validated", "transfer_ari"):
        assert values[measure] != olds[measure]
    (place.run / "segments.csv").unlink()
    last = ok("status", "run").stdout.splitlines()[-1]
    assert command_in(last)[-2:] == ["--seed", "7"]
    listed = rows_of(tree_of(place), "Every parameter of every stage")
    assert ["cluster", "seed", "7"] in listed


def test_a_stage_is_run_again_with_every_choice_it_was_run_with(place):
    rows = [line.split(",") for line in place.ratings.read_text().splitlines()[1:]]
    lines = [";".join([*row, "2024-01-01", f"N {row[1]}"]) for row in rows]
    text = "\n".join(["who;what;n;day;title", *lines]) + "\n"
    (place.folder / "r.txt").write_text(text)
    name_segments(place.run, ["A", "B", "C"])
    shutil.copytree(place.run, place.folder / "earlier")
    for name, args in EVERY_CHOICE.items():
        if name == "report":
            n_customers = document(place, "clustering.json")["sizes"][1]
            names = f"segment;name;customers\n1;Ones;{n_customers}\n"
            (place.folder / "segments.txt").write_text(names)
        ok(*args)
    for name in reversed(EVERY_CHOICE):
        written = next(
            s
            for s in json.loads(ok("status", "run", "--json").stdout)["stages"]
            if s["stage"] == name
        )
        (place.run / written["writes"][0]).unlink()
        found = command_in(ok("status", "run").stdout.splitlines()[-1])
        assert as_options(found) == as_options(EVERY_CHOICE[name])
        ok(*found)
        assert states(place.run)[name] == "fresh"


@pytest.mark.parametrize(
    ("name", "args", "again"),
    [
        ("ingest", ("--no-header", "--value", ""), {"--no-header": None, "--value": "none"}),
        ("cluster", ("--min-membership", "0.25"), {"--min-membership": "0.25"}),
    ],
)
def test_a_stage_is_run_again_with_what_excludes_other_choices(place, name, args, again):
    if name == "ingest":
        place.ratings.write_text(place.ratings.read_text().partition("\n")[2])
    ok(*STAGES[name], *args)
    (place.run / {"ingest": "matrix.npz", "cluster": "segments.csv"}[name]).unlink()
    found = as_options(command_in(ok("status", "run").stdout.splitlines()[-1]))
    assert {option: found.get(option, "absent") for option in again} == again


def test_the_folder_of_an_earlier_run_is_not_known(place):
    name_segments(place.run, ["A", "B", "C"])
    shutil.copytree(place.run, place.folder / "runs" / "earlier")
    ok(*STAGES["report"], "--segment-names-from", "runs/earlier")
    (place.run / "report.html").unlink()
    assert "--segment-names-from FOLDER/earlier" in ok("status", "run").stdout


def test_the_folder_of_a_table_of_names_is_not_known(place):
    (place.folder / "elsewhere").mkdir()
    (place.folder / "elsewhere" / "names.csv").write_text("item,name\ni01,One\n")
    ok(*STAGES["ingest"], "--items", "elsewhere/names.csv")
    (place.run / "matrix.npz").unlink()
    assert "--items FOLDER/names.csv" in ok("status", "run").stdout
