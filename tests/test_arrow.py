"""Arrays from numpy to Arrow and back: as pyarrow does it."""

import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from segcli.inputs.arrow import scalar, strings, to_arrow, to_numpy

ARRAYS = [
    np.array([], dtype=bool),
    np.array([], dtype=np.float64),
    np.arange(21) % 3 == 0,
    np.arange(5, dtype=np.int32),
    np.arange(5, dtype=np.uint32) * 10**9,
    np.arange(9, dtype=np.int64)[::2],
    np.array([0.1, np.nan, np.inf]),
]


@pytest.mark.parametrize("values", ARRAYS, ids=lambda values: f"{len(values)} {values.dtype}")
def test_there_and_back(values):
    array = to_arrow(values)
    assert array.equals(pa.array(values)) or np.isnan(values).any()
    found = to_numpy(array)
    assert found.dtype == values.dtype
    assert np.array_equal(found, values, equal_nan=values.dtype.kind == "f")


@pytest.mark.parametrize("start", [0, 1, 7, 8, 9, 20])
@pytest.mark.parametrize("values", [np.arange(21) % 3 == 0, np.arange(21, dtype=np.uint32)])
def test_a_part_of_an_array(values, start):
    part = to_arrow(values).slice(start, 11)
    assert to_numpy(part).tolist() == values[start : start + 11].tolist()


@pytest.mark.parametrize("kind", [pa.bool_(), pa.uint32(), pa.float64()])
def test_what_pyarrow_makes_of_nothing(kind):
    assert to_numpy(pa.nulls(0, kind)).dtype == pa.nulls(0, kind).to_numpy(False).dtype


def test_numbers_are_not_copied():
    values = np.arange(100.0)
    assert np.shares_memory(values, to_numpy(to_arrow(values)))


def test_nulls_are_no_numbers():
    with pytest.raises(ValueError, match="2 entries are null"):
        to_numpy(pa.array([1, None, None]))


@pytest.mark.parametrize("texts", [[], [""], ["a", "", "bé", "日本", "\n"]])
def test_texts(texts):
    assert strings(texts).equals(pa.array(texts, pa.string()))


def test_a_number_or_a_text_by_itself():
    assert scalar("é") == pa.scalar("é")
    assert scalar(1.5) == pa.scalar(1.5)
    assert pc.equal(strings(["a", "b"]), scalar("b")).to_pylist() == [False, True]


def test_nothing_of_it_loads_pandas():
    code = (
        "import sys, numpy as np\n"
        "from segcli.inputs.arrow import scalar, strings, to_arrow, to_numpy\n"
        "to_numpy(to_arrow(np.arange(3)))\nto_numpy(to_arrow(np.arange(3) > 1))\n"
        "strings(['a']), scalar('a'), scalar(1.5)\n"
        "sys.exit('pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
