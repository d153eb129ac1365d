"""Which k the evidence supports: the rule, case by case, and its words."""

import re
from dataclasses import replace

import numpy as np
import pytest

from segcli.numerics.evidence import KEvidence
from segcli.numerics.recipe import Recipe
from segcli.numerics.verdict import gain_peak, verdict, verdict_for
from segcli.page import words


def table(**changes):
    """A table for k = 2, 3, 4 in which every k is supported, but for the changes."""
    columns = {
        "jaccard_min": [0.95, 0.9, 0.9],
        "transfer_ari": [0.9, 0.9, 0.9],
        "transfer_ari_se": [0.005] * 3,
        "transfer_ari_null_max": [0.1, 0.1, 0.1],
        "held_out_gain": [0.1, 0.2, 0.3],
        "held_out_gain_se": [0.01, 0.01, 0.01],
        "held_out_gain_null_max": [0.0, 0.0, 0.0],
        "held_out_step": [0.1, 0.1, 0.1],
        "held_out_step_se": [0.01, 0.01, 0.01],
        "activity_share": [0.0, 0.0, 0.0],
        "activity_share_null": [0.01, 0.01, 0.01],
    }
    columns.update(changes)
    return {"k": np.array([2, 3, 4])} | {name: np.array(cells) for name, cells in columns.items()}


def evidence(**changes):
    return KEvidence(Recipe("tfidf", 5), table(**changes), 100, False, 3, 1)


def judge(**changes):
    return verdict(evidence(**changes))


@pytest.mark.parametrize(("transfer", "shown"), [(0.6468, "0.647"), (0.64999, "0.64999")])
def test_what_is_missed_by_little_does_not_read_as_reached(transfer, shown):
    near = evidence(
        jaccard_min=[0.9, 0.9, 0.7496],
        transfer_ari=[0.9, 0.9, transfer],
        transfer_ari_se=[0.01] * 3,
    )
    reason = verdict_for(near, 4).reason
    assert f"(transfer ARI {shown}, 0.65 is needed" in reason
    assert "similarity is 0.7496, 0.75 is needed" in reason
    as_is = replace(near, table=near.table | {"jaccard_min": np.full(3, 0.9)})
    assert verdict_for(as_is, 4).reason.endswith(
        f"k = 4 (transfer ARI {shown}); another seed, or --evidence full, may say otherwise."
    )


def test_the_segments_at_hand_are_found_again_too():
    found = verdict_for(evidence(), 4, [0.9, 0.7496, None, np.nan])
    assert (found.supported, found.all_but) == (False, (1,))
    assert found.reason == (
        "k = 4 is not supported: other customers would not lead to all of these segments again (Jaccard "
        "similarity of segment 1: 0.7496; 0.75 is needed)."
    )
    assert verdict_for(evidence(), 4, [0.75, 0.9, None, np.nan]) == verdict_for(evidence(), 4)
    two = verdict_for(evidence(), 4, [0.5, 0.9, 0.6, 0.9])
    assert "segment 0: 0.50, segment 2: 0.60; 0.75 is needed" in two.reason
    assert two.all_but == (0, 2)


def test_with_all_else_the_stability_of_the_segments_at_hand_is_told():
    found = verdict_for(evidence(held_out_step=[0.1, 0.1, 0.0]), 4, [0.5, 0.9, 0.9, 0.9])
    assert found.all_but == ()  # without that one it would not be supported either
    assert "all of these segments again (Jaccard similarity of segment 0: 0.50" in found.reason
    assert "0.75 is needed); fewer segments predict" in found.reason
    just = evidence(jaccard_min=[0.9, 0.9, 0.75])
    assert not verdict_for(just, 4, [0.5, 1, 1, 1]).supported
    unstable = evidence(jaccard_min=[0.9, 0.9, 0.7])
    assert verdict_for(unstable, 4, [0.5, 1, 1, 1]) == verdict_for(unstable, 4)  # told once


def test_the_largest_supported_k_is_recommended():
    found = judge()
    assert (found.supported, found.recommended, found.gain_peak) == ((2, 3, 4), 4, 4)
    assert "k = 4 is the largest number of segments that the evidence supports" in found.reason
    assert found.reason.endswith(" More than 4 were not tried.")
    assert "not tried" not in judge(jaccard_min=[0.95, 0.9, 0.5]).reason


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"jaccard_min": [0.95, 0.9, 0.74]}, "would not lead to all of these segments again"),
        ({"transfer_ari": [0.9, 0.9, 0.64]}, "does not tell those of others"),
        ({"transfer_ari_null_max": [0.1, 0.1, 0.86]}, "no better than without any segments"),
        ({"held_out_gain_null_max": [0, 0, 0.29]}, "does not help to predict"),
        (
            {"held_out_step": [0.1, 0.1, 0.019]},
            "fewer segments predict hidden interactions as well",
        ),
        ({"jaccard_min": [0.95, 0.9, np.nan]}, "too few customers differ"),
        ({"transfer_ari": [0.9, 0.9, np.nan]}, "too few customers differ"),
        ({"held_out_gain_null_max": [0, 0, np.nan]}, "does not help to predict"),
        (
            {"held_out_gain": [0.1, 0.2, np.nan]},
            "could be hidden, so whether the segment helps to predict is not known",
        ),
    ],
)
def test_each_condition_alone_can_refuse_a_k(changes, reason):
    assert judge(**changes).supported == (2, 3)
    judged = verdict_for(evidence(**changes), 4)
    assert not judged.supported
    assert reason in judged.reason


def test_the_nulls_figure_in_words_is_said_to_be_the_largest():
    """The table beside it has the mean over nulls."""
    assert "(transfer ARI 0.90, at most 0.10 without any segments)" in judge().reason
    judged = verdict_for(evidence(transfer_ari=[0.9, 0.9, 0.64]), 4)
    assert "0.65 is needed; at most 0.10 without any segments)" in judged.reason


def test_segments_that_help_no_more_than_without_any_are_not_said_to_be_of_no_help():
    """Where popularity is very uneven, how active customers are helps to predict, in nulls too."""
    judged = verdict_for(evidence(held_out_gain_null_max=[0, 0, 0.29]), 4)
    assert (
        "knowing the segment does not help to predict hidden interactions more than it does without any "
        "segments (0.300 bits; at most 0.290 there)."
    ) in judged.reason
    just = evidence(held_out_gain=[0.1, 0.2, 0.03], held_out_gain_null_max=[0, 0, 0.02])
    assert "(0.030 bits; at most 0.020 there)" in verdict_for(just, 4).reason
    judged = verdict_for(evidence(held_out_gain=[0.1, 0.2, 0.019]), 4)
    assert "interactions (0.019 bits, at most 0.000 without any segments)." in judged.reason


def test_a_transfer_that_is_too_low_is_one_failure_however_high_the_nulls_is():
    poor = evidence(transfer_ari=[0.9, 0.9, 0.1])
    assert verdict_for(poor, 4).reason.count("transfer ARI") == 1


def test_figures_that_nulls_lack_are_not_made_up():
    lacking = evidence(transfer_ari_null_max=[np.nan] * 3)
    assert verdict(lacking).supported == (2, 3, 4)
    assert "without any segments" not in verdict(lacking).reason
    lacking = evidence(held_out_gain_null_max=[np.nan] * 3, transfer_ari_null_max=[np.nan] * 3)
    assert all("nan" not in verdict_for(lacking, k).reason for k in (2, 3, 4))


def test_no_figure_in_words_is_a_zero_below_zero():
    changes = {"held_out_gain": [0.1, 0.2, -0.0001], "held_out_gain_null_max": [0, 0, -0.0002]}
    nothing = evidence(
        **changes, transfer_ari=[0.9, 0.9, -0.001], transfer_ari_null_max=[0, 0, -0.002]
    )
    reason = verdict_for(nothing, 4).reason
    assert "(0.000 bits, at most 0.000 without any segments)" in reason
    assert "transfer ARI 0.00, 0.65 is needed; at most 0.00 without" in reason


def test_groups_that_come_again_and_predict_nothing_more_are_told_from_none():
    found = judge(held_out_step=[0.0] * 3)
    assert "other customers would lead to the same groups (k = 2, 3, 4), but" in found.reason
    assert "not in groups" in judge(jaccard_min=[0.5] * 3).reason
    assert "not in groups" in judge(jaccard_min=[0.5] * 3, activity_share=[0.5] * 3).reason
    assert "not in groups" in judge(transfer_ari=[0.5] * 3).reason


def test_groups_that_come_again_without_segments_too_are_not_said_to_predict_nothing():
    found = judge(transfer_ari_null_max=[0.89] * 3)
    assert (
        "the same groups (k = 2, 3, 4), but what customers have tells them no better than without any "
        "segments. Segments help to predict (k = 4: 0.30 bits"
    ) in found.reason
    some = judge(transfer_ari_null_max=[0.89, 0.89, 0.1], held_out_step=[0.1, 0.1, 0.0])
    assert "the same groups (k = 4), but those predict" in some.reason


def test_a_gain_that_goes_on_beyond_the_supported_k_is_named():
    found = judge(jaccard_min=[0.95, 0.5, 0.5])
    assert (found.recommended, found.gain_peak) == (2, 4)
    assert "choose 2 to name and follow segments" in found.reason
    assert "Held-out gain still rises at k = 4, the last looked at (0.30 bits" in found.reason
    assert "choose 4 or more to predict" in found.reason
    found = judge(jaccard_min=[0.95, 0.5, 0.5], held_out_gain=[0.1, 0.3, 0.3])
    assert "Held-out gain levels off at k = 3 (0.30 bits" in found.reason
    assert "choose 3 to predict" in found.reason


def test_fewer_segments_are_not_proposed_to_predict_with_where_more_are_supported():
    """For more are supported only if they predict better, by the errors of the difference."""
    found = judge(held_out_gain_se=[0.15] * 3)
    assert (found.recommended, found.gain_peak) == (4, 3)
    assert "choose" not in found.reason


def test_no_gain_and_no_supported_k_is_said_plainly():
    found = judge(held_out_gain=[0.01, 0.0, 0.0], jaccard_min=[0.5] * 3)
    assert (found.supported, found.recommended, found.gain_peak) == ((), None, None)
    assert found.reason == (
        "no supported k from 2 to 4: segments predict hidden interactions no better than without any "
        "segments. What is predicted is who has what, not the values. Another weighting, "
        "score norm or number of components may do better."
    )
    found = judge(held_out_gain=[0.01, 0.0, 0.0], jaccard_min=[0.5] * 3, activity_share=[0, 0.1, 0])
    assert (
        "no supported k from 2 to 4: these customers differ in activity, not in taste, as far as "
        "segments on these components show. "
    ) in found.reason


def test_supported_segments_that_tell_activity_are_said_to():
    """Three tastes that share no item come back as five segments, two of them cut by activity."""
    assert "activity" not in judge(activity_share=[0.0, 0.5, 0.09]).reason
    assert (
        "activity" not in judge(activity_share=[0.5] * 3, activity_share_null=[0.45] * 3).reason
    )  # as any partition of them would
    assert (
        "between them): some"
        in judge(activity_share=[0.1] * 3, activity_share_null=[np.nan] * 3).reason
    )
    found = judge(activity_share=[0.0, 0.0, 0.41])
    assert found.recommended == 4
    assert (
        "(0.41 of its variance lies between them, 0.01 without segments): some may be the heavy and the "
        "light customers of one taste."
    ) in found.reason


@pytest.mark.parametrize(
    ("n_customers", "is_sample", "words"),
    [
        (
            5_000,
            True,
            " A sample of 5,000 customers may miss small segments; --evidence full takes more.",
        ),
        (20_000, True, " A sample of 20,000 customers may miss small segments."),
        (5_000, False, "components may do better."),
    ],
)
def test_where_a_sample_shows_no_segments_there_may_be_small_ones(n_customers, is_sample, words):
    none = evidence(jaccard_min=[0.5] * 3)
    looked_at = replace(none, n_customers=n_customers, is_sample=is_sample)
    assert verdict(looked_at).reason.endswith(words)


def test_a_gain_that_one_k_lacks_does_not_speak_for_all():
    found = judge(jaccard_min=[0.5] * 3, held_out_gain=[0.1, 0.2, np.nan])
    assert "no customer has two interactions" not in found.reason
    assert "Segments help to predict (k = 3:" in found.reason


def test_of_a_gain_that_is_not_the_largest_it_is_said_that_no_other_is_surely_larger():
    found = judge(
        jaccard_min=[0.5] * 3, held_out_gain=[0.1, 0.4, 0.41], held_out_gain_se=[0.02] * 3
    )
    assert "(k = 3: 0.40 bits per hidden interaction, and no k surely more)" in found.reason


def test_where_too_few_customers_differ_it_is_not_said_that_they_have_too_little():
    """Then there is no gain either, whatever could be hidden."""
    unknown = [0.5, np.nan, np.nan]
    few = evidence(jaccard_min=unknown, transfer_ari=unknown, held_out_gain=[0.1, 0.2, np.nan])
    reason = verdict_for(few, 4).reason
    assert "this many segments; whether the segment helps to predict is not known." in reason
    assert "no customer" not in reason
    none = judge(jaccard_min=[np.nan] * 3, held_out_gain=[np.nan] * 3).reason
    assert none.startswith("no supported k from 2 to 4: too few customers differ for each half")
    some = judge(jaccard_min=unknown, transfer_ari=unknown, held_out_gain=[np.nan] * 3).reason
    assert some.startswith("no supported k from 2 to 4: no customer has two interactions")


def test_groups_that_differ_in_values_alone_are_said_to_come_again():
    """Customers who have the same items and rate them the other way round: nothing to be hidden tells."""
    found = judge(held_out_gain=[0.0] * 3)
    assert "other customers would lead to the same groups (k = 2, 3, 4), but" in found.reason
    assert "who has what, not the values" in found.reason


@pytest.mark.parametrize(
    ("ks", "words"),
    [
        ([2, 3, 4], "from 2 to 4"),
        ([5, 10, 15], "from 5 to 15 in steps of 5"),
        ([2, 4, 6], "from 2 to 6 in steps of 2"),
        ([7], "(only k = 7 was tried)"),
    ],
)
def test_what_was_not_looked_at_is_not_said_to_be_unsupported(ks, words):
    few = {name: cells[: len(ks)] for name, cells in table(jaccard_min=[0.5] * 3).items()}
    few["k"] = np.array(ks)
    found = verdict(KEvidence(Recipe("tfidf", 5), few, 100, False, 3, 1))
    assert found.reason.startswith(f"no supported k {words}: ")


def test_the_peak_is_the_smallest_k_within_one_error_of_the_best():
    assert gain_peak(evidence(held_out_gain=[0.1, 0.291, 0.3])) == 3
    assert gain_peak(evidence(held_out_gain=[0.1, 0.289, 0.3])) == 4
    assert gain_peak(evidence(held_out_gain=[np.nan] * 3)) is None
    just = evidence(held_out_gain=[0.1, 0.25, 0.5], held_out_gain_se=[0.25] * 3)
    assert gain_peak(just) == 3
    within = evidence(held_out_gain=[0.01, 0.04, 0.05], held_out_gain_se=[0.025] * 3)
    assert gain_peak(within) == 3  # the first that gains at all


def test_of_gains_that_chance_may_have_made_there_is_no_peak():
    unsure = {"held_out_gain": [0.1, 0.2, 0.3], "held_out_gain_null_max": [0.02, 0.02, 0.1]}
    assert gain_peak(evidence(**unsure, held_out_gain_se=[0.099] * 3)) == 4
    assert gain_peak(evidence(**unsure, held_out_gain_se=[0.1, 0.1, 0.101])) is None
    found = judge(**unsure, held_out_gain_se=[0.15] * 3, jaccard_min=[0.5] * 3)
    assert (
        "segments predict hidden interactions no better than without any segments" in found.reason
    )
    found = judge(**unsure, held_out_gain_se=[0.15] * 3)  # what each gains over fewer is surer
    assert (found.recommended, found.gain_peak) == (4, None)
    assert "Held-out gain" not in found.reason


def test_a_k_on_which_chance_in_the_splits_may_have_decided_is_named():
    """On Last.fm quick evidence supports up to 2, 3 or 4 segments, by the seed, and full always 4."""
    near = {"transfer_ari": [0.9, 0.68, 0.6], "transfer_ari_se": [0.005, 0.05, 0.06]}
    found = judge(**near)
    assert found.recommended == 3
    assert (
        "within a standard error: k = 3, 4 (transfer ARI 0.68, 0.60); another seed" in found.reason
    )
    assert "k = 4 (transfer ARI 0.60)" in verdict_for(evidence(**near), 4).reason
    assert "k = 3 (transfer ARI 0.68)" in verdict_for(evidence(**near), 3).reason
    assert "Close to" not in verdict_for(evidence(**near), 2).reason
    assert found.reason.endswith("; another seed, or --evidence full, may say otherwise.")
    full = verdict(replace(evidence(**near), n_splits=8)).reason
    assert full.endswith("; another seed may say otherwise.")
    below = {"transfer_ari": [0.66, 0.9, 0.9], "transfer_ari_se": [0.05, 0.005, 0.005]}
    assert "Close to" not in judge(**below).reason  # 4 is supported, whatever is said of 2
    only = judge(**near, jaccard_min=[0.95, 0.9, 0.5])  # that would not do for 4
    assert "within a standard error: k = 3 (transfer ARI 0.68)" in only.reason


@pytest.mark.parametrize("n_splits", [3, 8])
def test_that_chance_may_have_decided_is_told_on_the_page_in_plain_words(n_splits):
    near = {"transfer_ari": [0.9, 0.68, 0.6], "transfer_ari_se": [0.005, 0.05, 0.06]}
    looked_at = replace(evidence(**near), n_splits=n_splits)
    for k in (3, 4):
        judged = verdict_for(looked_at, k)
        assert judged.near_limit == (k,)
        said = words.verdict({"verdict": vars(judged)}, None, k)
        assert said.plain.endswith(
            ". The verdict was a close call: the same tests with other random draws may say otherwise."
        )
        assert not re.search(r"\d|ARI|seed|--", said.plain)
        assert "Close to the limit of 0.65" in said.reason
    table = vars(verdict(looked_at)) | {"k_scores": {"k": 2}}
    plain = words.verdict(None, {"on_the_table": table}, 2).plain
    assert "The verdict was a close call for 3 and 4 segments: the same tests" in plain
    assert "limit of" not in plain


def test_the_verdict_is_told_without_its_figures_too():
    supported, failed = (
        verdict_for(evidence(), 4),
        verdict_for(evidence(jaccard_min=[0.9, 0.9, 0.5]), 4),
    )
    assert re.search(r"\d", supported.reason)
    assert supported.plain == (
        "other customers lead to the same segments, what customers have tells their segment, and the "
        "segment helps to predict hidden interactions."
    )
    assert failed.plain == "other customers would not lead to all of these segments again."
    assert judge().plain == (
        "k = 4 is the largest number of segments that the evidence supports: "
        + supported.plain
        + " More than 4 were not tried."
    )
    assert supported.near_limit == failed.near_limit == judge().near_limit == ()


def test_what_is_just_enough_is_enough():
    assert judge(transfer_ari=[0.9, 0.9, 0.65]).supported == (2, 3, 4)
    assert judge(jaccard_min=[0.95, 0.9, 0.75]).supported == (2, 3, 4)
    assert judge(transfer_ari_null_max=[0.9 - 0.05] * 3).supported == (2, 3, 4)
    assert judge(held_out_gain=[0.02, 0.02, 0.02]).supported == (2, 3, 4)
    assert judge(held_out_step=[0.1, 0.1, 0.021]).supported == (2, 3, 4)
    just = judge(jaccard_min=[0.75] * 3, transfer_ari=[0.65] * 3, held_out_step=[0.0] * 3)
    assert "the same groups (k = 2, 3, 4)" in just.reason


def test_two_errors_of_the_difference_are_not_yet_a_gain():
    assert judge(held_out_step=[0.1, 0.1, 0.02]).supported == (2, 3)


def test_to_gain_more_than_nulls_that_lose_is_not_enough():
    lost = judge(held_out_gain=[-0.1, 0.019, 0.3], held_out_gain_null_max=[-0.5] * 3)
    assert lost.supported == (4,)
