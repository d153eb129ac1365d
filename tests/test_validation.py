"""The validation of one segmentation: every measure beside its null."""

import numpy as np
import pytest
from planted import DESIGNS, plant
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.naive_bayes import MultinomialNB

from segcli.engine import LocalEngine
from segcli.numerics.agreement import Agreement
from segcli.numerics.evidence import MEASURES, KEvidence
from segcli.numerics.naive_bayes import stratified_folds
from segcli.numerics.nulls import null_of
from segcli.numerics.recipe import Recipe, fit_recipe
from segcli.numerics.validation import (
    N_FOLDS,
    WORDS,
    agreement_on_null,
    evaluate_naive_bayes,
    judge_segment,
    measure,
    no_evidence_in_words,
    share_trusted,
    unassigned_in_words,
)

DESIGN = DESIGNS["equal, uneven, counts"]


@pytest.fixture(scope="module")
def planted():
    return plant(DESIGN, 1)


def test_both_evaluations_are_scikit_learns(planted, engine):
    X, truth = planted
    ranks = np.arange(len(truth))
    found = evaluate_naive_bayes(engine.blocks(X), truth, 4, customer_ranks=ranks, seed=0)
    model = MultinomialNB().fit(X, truth)
    assert found["in_sample"].accuracy == pytest.approx(model.score(X, truth))
    folds = stratified_folds(truth, N_FOLDS, customer_ranks=ranks, seed=0)
    predicted = cross_val_predict(MultinomialNB(), X, truth, cv=PredefinedSplit(folds))
    assert found["cross_validated"].accuracy == pytest.approx((predicted == truth).mean())


def test_in_sample_agreement_is_as_high_without_segments(planted):
    """The finding behind the tool: the figure of 2015 carries no information."""
    null = null_of(planted[0], 0, seed=0)
    full = fit_recipe(null, Recipe("tfidf", 10), [2, 8], seed=0)
    found = agreement_on_null(null, full, k=8, seed=0)
    assert found["in_sample"] > 0.8
    assert found["cross_validated"] < found["in_sample"] - 0.2
    assert agreement_on_null(null, full, k=9, seed=0) is None


def test_a_value_stands_beside_the_smallest_and_largest_null():
    agreement = Agreement(np.diag([3, 1]))
    table = {"k": np.array([2])}
    for end, value in (("", 0.5), ("_null_min", 0.1), ("_null_max", 0.2)):
        table |= {f"{name}{end}": np.array([value]) for name in MEASURES}
    nulls = (
        {"in_sample": 0.9, "cross_validated": 0.4},
        None,  # with fewer distinct customers than segments
        {"in_sample": 1.0, "cross_validated": 0.3},
    )
    evidence = KEvidence(Recipe("raw", 2), table, 10, False, 1, 3, nulls)
    evaluations = {"in_sample": agreement, "cross_validated": agreement}
    found = measure(evaluations, evidence, 2)
    assert [one.measure for one in found] == list(WORDS)
    assert [(one.value, one.null_low, one.null_high) for one in found[:3]] == [
        (1.0, 0.9, 1.0),
        (1.0, 0.3, 0.4),
        (0.5, 0.1, 0.2),
    ]


def test_without_evidence_nothing_is_made_up():
    evaluations = {"in_sample": Agreement(np.eye(2)), "cross_validated": Agreement(np.eye(2))}
    found = measure(evaluations, None, 2)
    assert [(one.measure, one.null_low, one.null_high) for one in found] == [
        ("in_sample", None, None),
        ("cross_validated", None, None),
    ]


@pytest.mark.parametrize(
    ("grade", "precision", "supported", "words"),
    [
        (None, 1.0, True, "not known"),
        ("not trusted", 1.0, True, "Do not act on it alone"),
        ("pattern", 1.0, True, "doubtful"),
        ("stable", 0.7, True, "does not tell well"),
        ("highly stable", 0.9, False, "as a whole is not supported"),
        (
            "highly stable",
            0.9,
            None,
            "validate gathered no evidence on the segmentation as a whole",
        ),
        ("stable", 0.75, True, "can be trusted"),
    ],
)
def test_a_segment_is_judged_in_words(grade, precision, supported, words):
    assert words in judge_segment(grade, precision, 0.9, supported=supported)


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"was_sought": True}, "no trial had customers of it"),
        ({"was_sought": True}, "Fewer segments, with more customers in each, may tell."),
        ({}, "run segcli cluster with --evidence quick"),
        ({"can_be_graded": False}, "cannot be known"),
    ],
)
def test_of_a_segment_without_a_grade_it_is_said_why(about, words):
    assert words in judge_segment(None, 1.0, 1.0, supported=True, **about)


@pytest.mark.parametrize(
    ("nulls", "words"),
    [
        ({"silhouette": 0.4}, None),
        ({"silhouette": None}, None),
        ({"transfer_ari": 0.9, "activity_share": 0.9}, None),
        (
            {"silhouette": 0.5},
            "Silhouette is as high without segments, and so no evidence by itself:",
        ),
        (
            {"jaccard_min": 0.9, "prediction_strength": 1.0, "silhouette": 0.9},
            "Least stable segment, prediction strength and silhouette are as high without segments, and",
        ),
    ],
)
def test_what_is_as_high_without_segments_is_said_to_be_no_evidence(nulls, words):
    rows = [
        {"measure": name, "title": WORDS[name][0], "value": 0.5, "null_high": null}
        for name, null in nulls.items()
    ]
    said = no_evidence_in_words(rows)
    assert said is None if words is None else said.startswith(words)


@pytest.mark.parametrize("supported", [True, False, None])
def test_of_nobody_it_is_not_said_whether_they_can_be_told(supported):
    for precision in (np.nan, 0.0):
        said = judge_segment("stable", precision, np.nan, supported=supported)
        assert said.startswith("It is found again, but no customer ")


def test_where_there_can_be_no_evidence_no_command_is_named():
    said = judge_segment(None, 1.0, 1.0, supported=False, can_be_graded=False)
    assert said == "Its stability cannot be known."
    assert "--evidence quick" in judge_segment(None, 1.0, 1.0, supported=False)


def test_share_of_customers_in_stable_segments():
    grades = ["highly stable", "stable", "pattern", None]
    assert share_trusted(grades, [4, 3, 2, 1], n_customers=10) == 0.7
    assert share_trusted(grades, [4, 3, 2, 1], n_customers=14) == 0.5  # four are unassigned


def test_the_unassigned_are_told_of_where_there_are_some():
    assert unassigned_in_words(0, beside_nulls=True) is None
    alone = unassigned_in_words(1, beside_nulls=False)
    assert "leave out 1 unassigned customer, the hardest to tell" in alone
    assert alone.endswith("so flatter.")
    beside = unassigned_in_words(7, beside_nulls=True)
    assert beside.endswith("flatter; agreement without segments is of all customers.")


def test_blocks_change_nothing(planted):
    X, truth = planted
    ranks = np.arange(len(truth))
    one, two = (
        evaluate_naive_bayes(engine.blocks(X), truth, 4, customer_ranks=ranks, seed=0)
        for engine in (LocalEngine(1), LocalEngine(2, block_entries=100))
    )
    assert np.array_equal(one["cross_validated"].confusion, two["cross_validated"].confusion)


def test_a_null_is_asked_with_the_seed_of_the_data():
    null = null_of(plant(DESIGNS["equal, uneven, counts"], 1)[0], 0, seed=3)
    full = fit_recipe(null, Recipe("tfidf", 10), [8], seed=3)
    found = agreement_on_null(null, full, k=8, seed=3)
    asked = evaluate_naive_bayes(
        LocalEngine(1).blocks(null), full.partitions[0].labels, 8,
        customer_ranks=np.arange(null.shape[0]), seed=3,
    )  # fmt: skip
    assert found == {name: one.accuracy for name, one in asked.items()}
