"""How much evidence: asked for, possible, and said."""

import numpy as np
import pytest
import scipy.sparse as sp

from segcli.errors import ChoiceError
from segcli.numerics import component_evidence, evidence
from segcli.numerics.levels import (
    choose_level,
    customers_in_words,
    quick_sample_size,
    trouble_with_negatives,
)

LEVELS = {"quick": 1, "full": 2}


@pytest.mark.parametrize(("asked", "level"), [(None, 1), ("quick", 1), ("full", 2), ("none", None)])
def test_a_level_is_as_asked_and_quick_unless_asked(asked, level):
    assert choose_level(asked, LEVELS, None) == (level, None)


def test_data_that_bear_none_get_none_and_the_reason_unless_asked():
    assert choose_level(None, LEVELS, "too few") == (None, "No evidence was gathered: too few.")
    assert choose_level("none", LEVELS, "too few") == (None, None)
    with pytest.raises(ChoiceError, match="too few"):
        choose_level("full", LEVELS, "too few")


def test_a_sample_is_called_one_and_how_to_have_a_larger():
    assert customers_in_words(900, is_sample=False) == "900 customers"
    assert customers_in_words(5_000, is_sample=True) == (
        "5,000 customers (a sample; --evidence full takes up to 20,000)"
    )
    assert customers_in_words(20_000, is_sample=True) == "20,000 customers (a sample)"


@pytest.mark.parametrize("module", [evidence, component_evidence])
def test_full_is_more_of_everything(module):
    many = sp.csr_array(np.ones((10_000, 250)))
    quick, full = vars(module.quick_level(many)), vars(module.FULL)
    assert (quick["n_customers"], full["n_customers"]) == (8_000, 20_000)
    assert all(full[name] > quick[name] for name in quick)


@pytest.mark.parametrize(
    ("n_customers", "n_interactions", "quick"),
    [
        (943, 100_000, 18_860),  # whoever has fewer takes all
        (32_711, 98_654, 20_000),
        (162_541, 25_000_000, 13_003),
        (480_189, 100_000_000, 9_603),
        (1_000_000, 1_000_000_000, 5_000),
        (1, 0, 20_000),
    ],
)
def test_a_sample_has_customers_up_to_a_number_of_interactions(n_customers, n_interactions, quick):
    assert quick_sample_size(n_customers, n_interactions) == quick


def test_values_are_negative_below_0_and_not_below_1():
    assert trouble_with_negatives(sp.csr_array([[0.2, 0], [0.7, 3]])) is None
    assert "negative values" in trouble_with_negatives(sp.csr_array([[0.2, -0.1]]))
