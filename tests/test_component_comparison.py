"""Several numbers of components, by the segments that they support."""

import json
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from planted import Design, plant
from run_dirs import invoke, left_alone, ok, table

from segcli.engine import LocalEngine
from segcli.numerics.component_comparison import choose_numbers, compare_components, recommend
from segcli.numerics.evidence import quick_level
from segcli.numerics.ranks import rank
from segcli.stages.compare_components import ComponentsCompared


def candidate(n, k, gain=None, se=0.01):
    return {"n_components": n, "k": k, "held_out_gain": gain, "held_out_gain_se": se}


@pytest.mark.parametrize(
    ("found", "taken"),
    [
        ([candidate(2, 3, 0.3), candidate(3, 4, 0.5), candidate(4, 2, 0.4)], 3),
        ([candidate(2, 3, 0.492), candidate(3, 4, 0.5), candidate(4, 4, 0.499)], 2),
        ([candidate(2, 3, 0.488), candidate(3, 4, 0.491), candidate(4, 4, 0.5)], 3),
        ([candidate(2, None), candidate(3, 2, 0.1), candidate(4, None)], 3),
        ([candidate(2, None), candidate(3, None)], None),
    ],
)
def test_the_fewest_whose_supported_segments_predict_as_well_as_any_are_recommended(found, taken):
    assert recommend(found)[0] == taken


def test_the_reason_says_what_the_number_was_taken_for():
    assert recommend([candidate(2, 3, 0.3), candidate(3, 4, 0.5)])[1] == (
        "3 components: the 4 segments supported there predict hidden interactions best (0.50 "
        "bits). The best of several is partly luck: see whether another --seed agrees."
    )
    assert recommend([candidate(2, 3, 0.495), candidate(3, 4, 0.5)])[1].startswith(
        "2 components: the 3 segments supported there predict hidden interactions as well as any, within "
        "a standard error (0.49 bits)."
    )
    assert "luck" not in recommend([candidate(2, 3, 0.3)])[1]
    assert "Another weighting may do better" in recommend([candidate(2, None)])[1]


@pytest.mark.parametrize(
    ("most", "shape", "numbers"),
    [
        (None, (500, 300), [2, 3, 4, 6, 8, 10, 15, 20, 30, 40, 50]),
        (8, (500, 300), [2, 3, 4, 6, 8]),
        (9, (500, 300), [2, 3, 4, 6, 8, 9]),
        (70, (500, 300), [2, 3, 4, 6, 8, 10, 15, 20, 30, 40, 50, 70]),
        (None, (500, 5), [2, 3, 4, 5]),
        (None, (5, 500), [2, 3, 4]),
        (None, (500, 1), [1]),
    ],
)
def test_numbers_go_up_to_the_most_that_are_asked_for_or_there(most, shape, numbers):
    assert choose_numbers(most, *shape) == numbers


def test_of_planted_segments_enough_components_are_recommended():
    """Five equal tastes lie on four components: fewer do not tell them apart, more do no better."""
    X, _ = plant(Design((0.2,) * 5, 0.5, "stars"), 0)
    found = compare_components(
        X,
        "pearson",
        None,
        [2, 4, 10],
        ranks=rank(LocalEngine(1).blocks(X)),
        seed=0,
        level=quick_level(X),
        ks=range(2, 9),
    )
    assert [one["k"] for one in found.candidates][1:] == [5, 5]
    assert found.recommended == 4
    assert found.candidates[0]["held_out_gain"] is None or (
        found.candidates[0]["held_out_gain"] < found.candidates[1]["held_out_gain"]
    )


def test_without_segments_no_number_is_recommended():
    rng = np.random.default_rng(1)
    X = sp.csr_array((rng.random((200, 40)) < 0.2).astype(float) + np.eye(200, 40))
    found = compare_components(
        X,
        "pearson",
        None,
        [2, 3],
        ranks=rank(LocalEngine(1).blocks(X)),
        seed=0,
        level=quick_level(X),
        ks=[2, 3, 4],
    )
    assert found.recommended is None
    assert [one["supported"] for one in found.candidates] == [[], []]
    assert [one["held_out_gain"] for one in found.candidates] == [None, None]


def test_what_was_compared_in_words():
    measures = ("held_out_gain", "transfer_ari", "jaccard_min", "activity_share", "gain_at_peak")
    none = {"n_components": 2, "k": None, "gain_peak": None, **dict.fromkeys(measures)}
    figures = dict(zip(measures, (0.251, 0.81, 0.92, 0.13, 0.37), strict=True))
    some = {"n_components": 4, "k": 3, "gain_peak": 7, **figures}
    found = ComponentsCompared(
        (none, some), 4, "Because.", "l2", "unit", (2, 3, 20), 4000, True, n_splits=3, n_nulls=1
    )
    first, *_, without, with_k, rests_on, reason, how = found.lines()
    assert first == (
        "Segments on 2 to 4 components of the l2 matrix (norms of the scores: unit), k from 2 to 20."
    )
    assert without.split() == ["2", *"––––––"]
    assert with_k.split() == ["4", "3", "0.25", "0.81", "0.92", "0.13", "0.37", "(k", "7)"]
    assert rests_on == (
        "Held-out gain in bits. From 4,000 customers (a sample; --evidence full takes up to 20,000), 3 "
        "splits, 1 null."
    )
    assert (reason, how) == (
        "Because.",
        "To use it: explore-k with --n-components 4, after explore-pca with --weighting l2 --score-norm "
        "unit.",
    )
    alone = replace(found, candidates=(none,), recommended=None, score_norm=None)
    assert alone.lines()[0] == "Segments on 2 components of the l2 matrix, k from 2 to 20."
    assert alone.lines()[-1] == "Because."


COMPARE = ("explore-pca", "run", "--compare-components")


def test_the_comparison_agrees_with_explore_k_and_writes_nothing(place):
    with left_alone(place.run):
        lines = ok(*COMPARE, "--max-components", "3").stdout.splitlines()
        found = json.loads(ok(*COMPARE, "--max-components", "3", "--json").stdout)
    assert lines[0] == "Segments on 2 to 3 components of the pearson matrix, k from 2 to 20."
    assert lines[-1] == (
        f"To use it: explore-k with --n-components {found['recommended']}, after explore-pca with "
        "--weighting pearson."
    )
    assert lines[-3] == "Held-out gain in bits. From 60 customers, 3 splits, 2 nulls."
    assert lines[-2] == found["reason"]
    for line, one in zip(lines[3:5], found["candidates"], strict=True):
        assert line.split()[:2] == [str(one["n_components"]), str(one["k"] or "–")]
        ok("explore-k", "run", "--n-components", str(one["n_components"]), "--k-max", "20")
        verdict = json.loads((place.run / "k_verdict.json").read_text())
        assert verdict["supported"] == one["supported"]
        assert verdict["gain_peak"] == one["gain_peak"]
        gains = table(place, "k_scores.csv").set_index("k")["held_out_gain"]
        if one["k"]:
            assert one["held_out_gain"] == pytest.approx(gains[one["k"]])
    assert found["candidates"][0]["k"] == 3


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (
            ("--evidence", "none"),
            2,
            "--compare-components needs evidence: leave out --evidence none.",
        ),
        (("--compare-weightings",), 2, "are two questions: ask one at a time."),
        (("--compare-score-norms",), 2, "are two questions: ask one at a time."),
        (("--max-components", "99"), 1, "--max-components 99 is too large"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_line(place, words, status, said):
    result = invoke(*COMPARE, *words)
    assert result.exit_code == status
    assert said in result.stderr.splitlines()[-1]


def test_too_few_customers_cannot_be_compared(place):
    place.ratings.write_text(
        "customer,item,value\n" + "".join(f"c{i},i{i % 3},1\n" for i in range(9))
    )
    ok("ingest", "ratings.csv", "run")
    result = invoke(*COMPARE)
    assert result.exit_code == 1
    assert "9 customers are too few to be split into halves" in result.stderr
