"""Ids in an order, whatever room they take."""

import numpy as np
import pyarrow as pa
import pytest

from segcli.inputs import vocabulary
from segcli.inputs.vocabulary import Vocabulary


def test_a_number_beyond_those_met_has_a_code_of_its_own():
    ids = Vocabulary()
    codes = [ids.encode(pa.array([n], pa.uint32())).tolist() for n in (4095, 4096, 4095, 8192)]
    assert codes == [[0], [1], [0], [2]]


@pytest.mark.parametrize("ids", [["b", " a", "c", "b", "a"], ["2.0", "10.0", "2.0"]])
def test_more_text_than_short_offsets_reach_is_put_in_order_alike(monkeypatch, ids):
    found = {}
    for limit in (vocabulary._MOST_BYTES, 0):
        monkeypatch.setattr(vocabulary, "_MOST_BYTES", limit)
        met = Vocabulary()
        codes = met.encode(pa.array(ids))
        in_order, places = met.places(np.ones(len(met), dtype=bool), several=False)
        found[limit] = in_order.to_pylist(), places[codes].tolist(), met.texts().to_pylist()
    ordinary, long = found.values()
    assert long == ordinary
    assert ordinary[0] == sorted({text.strip().removesuffix(".0") for text in ids})
