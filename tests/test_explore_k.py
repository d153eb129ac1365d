"""explore-k on data that cannot bear every k: what is printed, tried and refused."""

import numpy as np
import pandas as pd
from run_dirs import STAGES, assert_one_line, invoke, ok


def explored(place, rows, n_components, *words):
    """Return what explore-k prints, line by line, of rows of customer and item."""
    lines = ["customer,item,value", *(f"c{customer},i{item},1" for customer, item in rows)]
    (place.folder / "ratings.csv").write_text("\n".join(lines))
    ok(*STAGES["ingest"])
    ok("explore-pca", "run", "--evidence", "none")
    return ok("explore-k", "run", "--n-components", str(n_components), *words).stdout.splitlines()


def table(lines):
    """Return the table's lines by k."""
    found = [line.split() for line in lines if line[:5].strip().isdigit()]
    return {int(cells[0]): cells[1:] for cells in found}


def test_where_halves_are_too_small_for_a_k_it_has_no_evidence(place):
    """60 customers: halves have 30, and the default goes to 50."""
    found = table(ok("explore-k", "run", "--n-components", "2").stdout.splitlines())
    assert [len(found[k]) for k in (2, 50)] == [17, 8]  # but for held-out gain and activity share


def test_one_segment_has_no_evidence(place):
    words = ("--k-min", "1", "--k-max", "3")
    found = table(ok("explore-k", "run", "--n-components", "2", *words).stdout.splitlines())
    assert len(found[1]) == 2  # its inertia alone
    assert len(found[2]) > 10
    alone = ok("explore-k", "run", "--n-components", "2", "--k-min", "1", "--k-max", "1").stdout
    assert "No evidence was gathered: one segment needs no evidence.\n" in alone


def test_one_k_may_be_looked_at_alone(place):
    words = ("--k-min", "3", "--k-max", "3", "--evidence", "none")
    assert list(
        table(ok("explore-k", "run", "--n-components", "2", *words).stdout.splitlines())
    ) == [3]


def test_without_a_largest_k_as_many_are_tried_as_customers_differ(place):
    kinds = np.random.default_rng(0).random((7, 12)) < 0.5
    rows = [(c, item) for c in range(60) for item in kinds[c % 7].nonzero()[0]]
    assert list(table(explored(place, rows, 3, "--evidence", "none"))) == [2, 3, 4, 5, 6, 7]
    refused = invoke("explore-k", "run", "--n-components", "3", "--k-max", "8")
    assert_one_line(refused, "k = 8 is too large: there are 7 distinct customers", "--k-max 7")
    refused = invoke("explore-k", "run", "--n-components", "3", "--k-min", "8")
    assert_one_line(refused, "k = 8 is too large", "--k-min 7")


def test_without_a_largest_k_as_many_are_tried_as_k_means_tells_apart(place):
    """Beside one who has a million times as much, the others differ by next to nothing."""
    values = np.random.default_rng(0).integers(0, 6, (45, 12)) + np.eye(45, 12)
    rows = [
        f"c{customer},i{item},{values[customer, item]}" for customer, item in np.argwhere(values)
    ]
    lines = ["customer,item,value", *rows, "whale,i0,3000000"]
    (place.folder / "ratings.csv").write_text("\n".join(lines))
    ok(*STAGES["ingest"])
    ok("explore-pca", "run", "--weighting", "raw", "--evidence", "none")
    words = ("explore-k", "run", "--n-components", "2")
    tried = table(ok(*words).stdout.splitlines())
    most = max(tried)
    assert 2 < most < 45
    found = {name: (place.run / name).read_bytes() for name in ("k_scores.csv", "k_verdict.json")}
    ok(*words, "--k-max", most)
    assert found == {name: (place.run / name).read_bytes() for name in found}
    for option in ("--k-max", "--k-min"):
        refused = invoke(*words, option, most + 1, "--evidence", "none")
        assert_one_line(refused, f"Only {most} distinct customers can be found")


def test_two_groups_without_anything_in_common_are_two_segments(place):
    rows = [(c, 5 * (c % 2) + item) for c in range(40) for item in range(5)]
    assert "k = 2 is the largest number of segments" in explored(place, rows, 1)[-2]


def test_customers_of_whom_nothing_can_be_hidden_are_said_to_be(place):
    rows = [(c, c % 4) for c in range(60)]
    assert explored(place, rows, 3)[-2].startswith(
        "no supported k from 2 to 4: no customer has two interactions"
    )
    ok("cluster", "run", "--n-components", "3", "--n-clusters", "4")
    said = ok("validate", "run").stdout
    assert "Held-out gain, bits           –\n" in said
    assert "whether the segment helps to predict is not known" in said
    assert "nan" not in said
    compared = ok("explore-pca", "run", "--compare-weightings").stdout
    assert "No weighting can be recommended: no customer has two interactions" in compared
    assert "nan" not in compared


def test_halves_whose_customers_are_all_the_same_bear_no_k(place):
    """38 customers are the same, and two differ: in some halves there is nothing to segment."""
    rows = [(c, item) for c in range(38) for item in range(6)]
    rows += [("a", 0), ("a", 1), ("b", 2), ("b", 3)]
    *_, reason, hint, _ = explored(place, rows, 1, "--k-max", "2")
    assert reason.startswith("no supported k")
    assert hint.startswith("explore-pca --compare-components --weighting pearson looks for")
    ok("cluster", "run", "--n-components", "1", "--n-clusters", "2")
    ok("validate", "run")
    ok("report", "run")


def test_where_gain_levels_off_is_among_the_lines_that_are_shown(place):
    lines = explored(place, _mixed_tastes(), 5, "--k-max", "40")
    peak = pd.read_json(place.run / "k_verdict.json", typ="series")["gain_peak"]
    assert peak in table(lines)
    assert "Some of 39 k are shown; k_scores.csv has them all." in lines
    assert "k are shown" not in ok("explore-k", "run", "--n-components", "5", "--k-max", "9").stdout


def _mixed_tastes():
    rng = np.random.default_rng(3)
    tastes = rng.gamma(0.3, size=(120, 8)) @ rng.gamma(0.3, size=(8, 60))
    return np.argwhere(rng.random(tastes.shape) < 10 * tastes / tastes.sum(axis=1, keepdims=True))
