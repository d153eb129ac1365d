"""Arrays and matrices in files that processes share: what is read is what was written."""

import numpy as np
import pytest
import scipy.sparse as sp

from segcli.engine import scratch
from segcli.engine.places import lay_out, stacked, take_rows, write_blocks
from segcli.engine.scratch import Scratch, Writer, loads, place_of


@pytest.fixture
def folder(tmp_path):
    return Scratch(tmp_path / "scratch")


def pieces(array):
    yield array
    yield array[2:5]
    yield array[2:5][1:]
    yield array.reshape(-1)[7:]


def test_an_array_that_is_mapped_from_a_file_is_known_by_its_place(folder, tmp_path):
    array = np.arange(24.0).reshape(6, 4)
    np.save(tmp_path / "array.npy", array)
    for mapped in (folder.spill(array).open(), np.load(tmp_path / "array.npy", mmap_mode="r")):
        for piece, expected in zip(pieces(mapped), pieces(array), strict=True):
            place = place_of(piece)
            assert np.array_equal(place.open(), expected)
            assert np.array_equal(place.read(1, 2), expected[1:2])
        assert [place_of(piece) for piece in (mapped[:, 1:], mapped.T, mapped + 1)] == [None] * 3


def test_an_array_without_entries_keeps_its_shape_and_type(folder):
    place = folder.spill(np.zeros((0, 3), np.float32))
    for found in (place.open(), place.read(0, 0)):
        assert (found.shape, found.dtype) == ((0, 3), np.float32)


@pytest.mark.parametrize("large", [1, 1 << 40], ids=["by files", "in messages"])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(6).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(24.0).reshape(4, 6)[::2, ::2],
        np.zeros((0, 3), np.float32),
        np.array("a number of no dimension"),
        np.array(["text", None, 1], dtype=object),
    ],
    ids=["C", "Fortran", "strides", "empty", "scalar", "objects"],
)
def test_a_message_holds_what_was_sent(spark_installed, folder, monkeypatch, array, large):
    monkeypatch.setattr(scratch, "LARGE", large)
    message = Writer(folder).dumps({"array": array})
    for copied in (False, True):
        found = loads(message, copied=copied)["array"]
        assert np.array_equal(found, array)
        assert (found.dtype, found.shape) == (array.dtype, array.shape)
        if array.flags.forc:
            assert found.flags.f_contiguous == array.flags.f_contiguous


def test_arrays_that_come_and_go_are_not_taken_for_one_another(spark_installed, folder):
    """One may get the address of another that is gone."""
    writer = Writer(folder)
    assert [int(loads(writer.dumps(np.array(i)))) for i in range(9)] == list(range(9))


@pytest.mark.parametrize("in_place", [True, False])
def test_a_mapped_array_is_written_anew_unless_it_may_stay(
    spark_installed, folder, tmp_path, monkeypatch, in_place
):
    monkeypatch.setattr(scratch, "LARGE", 1)
    array = np.arange(6)
    mapped = folder.spill(array).open()
    other = Scratch(tmp_path / "other")
    message = Writer(other, in_place).dumps(mapped)
    assert other.folder.exists() is not in_place
    assert np.array_equal(loads(message), array)


BLOCKS = {
    "sparse": [sp.random_array((n, 5), density=0.4, rng=n, format="csr") for n in (3, 1, 4)],
    "dense": [np.arange(5.0 * n).reshape((n, 5), order="F") for n in (3, 1, 4)],
}


@pytest.mark.parametrize("kind", ["sparse", "dense"])
def test_rows_are_read_and_taken_as_they_were_written(folder, kind):
    blocks = BLOCKS[kind]
    stack = sp.vstack if kind == "sparse" else np.vstack
    whole = stack(blocks)
    if kind == "sparse":
        whole = sp.csr_array(whole)
    parts = (write_blocks(blocks[:2], folder), lay_out(blocks[2], folder))
    assert stacked(parts).shape == (8, 5)
    for place, first in ((stacked(parts), 0), (parts[1], 4)):
        for start, stop in ((4, 8), (5, 7), (6, 6)):
            found = place.read(start - first, stop - first)
            assert abs(found - whole[start:stop]).sum() == 0
        for rows in ([], [6], [7, 4, 7], [4, 5, 6, 7]):
            found = take_rows(place, np.array(rows, dtype=int) - first)
            assert found.shape == (len(rows), 5)
            assert abs(found - whole[rows]).sum() == 0


def test_blocks_of_another_type_than_the_first_are_not_cut_to_it(folder):
    with pytest.raises(TypeError):
        write_blocks([np.ones((1, 2), np.float32), np.full((1, 2), 1 / 3)], folder)
