"""How much room and time tasks are said to need, beside what they take."""

import tracemalloc
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp

from segcli.numerics import component_evidence, costs, evidence
from segcli.numerics.recipe import Recipe
from segcli.numerics.stability import resample
from segcli.numerics.validation import agreement_on_null

N_COMPONENTS = 8
KS = [2, 12]
RECIPE = Recipe("pearson", N_COMPONENTS, None)


def taken(task):
    """Return the bytes that a task holds at most."""
    tracemalloc.start()
    try:
        task()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.fixture(scope="module", params=[(600, 60_000, 60_000), (6_000, 300, 600_000)])
def matrix(request):
    """Of many items, and of many interactions."""
    n_customers, n_items, n = request.param
    rng = np.random.default_rng(0)
    cells = rng.integers(n_customers, size=n), rng.integers(n_items, size=n)
    return sp.csr_array((np.ones(n), cells), shape=(n_customers, n_items))


@pytest.mark.parametrize("what", ["hidden", "halves", "null", "asked null"])
def test_what_a_recipe_takes_has_room_but_not_many_times_over(matrix, what):
    ask = partial(agreement_on_null, k=KS[-1], seed=0) if what == "asked null" else None
    tasks = {
        "hidden": partial(evidence.predict_hidden, matrix, RECIPE, KS, 0, seed=0),
        "halves": partial(resample, matrix, RECIPE, KS, split=0, seed=0),
        "null": partial(evidence._on_null, matrix, RECIPE, KS, 0, ask),
    }
    task = tasks[what.removeprefix("asked ")]
    room = costs.room_of_fit(matrix, KS, more=evidence._HELD_TO_ANSWER if ask else 0)
    assert room / 4 <= taken(task) <= room


def test_components_of_a_null_have_room(matrix):
    room = costs.room_of_passes(matrix, 30)
    task = partial(component_evidence._on_null, matrix, "pearson", 0, 30, 0, kept=True)
    assert room / 4 <= taken(task) <= room


def test_a_fit_takes_longer_than_a_pass_and_longer_for_more_k(matrix):
    one, more = (costs.seconds_of_fit(matrix, ks) for ks in (KS[:1], KS))
    assert 0.01 < costs.seconds_of_passes(matrix) < one < more < 10
