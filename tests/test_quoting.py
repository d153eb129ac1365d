"""Fields in quotes, found at once or one after another, and the ends of records that are not in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcli.inputs import quoting
from segcli.inputs.quoting import cut_at, find_fields, find_inside, whole_records

# Words of 64 bytes are looked at together: some texts go beyond one, and quotes stand at its edges.
TEXTS = st.lists(
    st.sampled_from(
        ['"', '"', '""', ",", ",", '","', "\n", '"\n"', "\r\n", "\r", "a", "é", "b" * 30, "c" * 61]
    ),
    max_size=30,
).map("".join)
WELL_FORMED = (
    st.lists(
        st.lists(
            st.sampled_from(
                ["", "a", "b" * 31, '""', '"a"', '"\n"', '",\r\n"', '"a ""b"""', f'"{"c" * 62}"']
            ),
            min_size=1,
            max_size=4,
        ).map(",".join),
        max_size=20,
    )
).map("\n".join)


def plainly(text):
    """Return start, end, whether whole and whether closed of each field in quotes, byte by byte."""
    found, i, begins = [], 0, True
    data = text.encode()
    while i < len(data):
        if not (begins and data[i : i + 1] == b'"'):
            begins = data[i : i + 1] in (b",", b"\n", b"\r")
            i += 1
            continue
        start, i = i, i + 1
        while i < len(data) and (data[i : i + 1] != b'"' or data[i : i + 2] == b'""'):
            i += 2 if data[i : i + 2] == b'""' else 1
        closed = i < len(data)
        i = min(i + 1, len(data))
        whole = closed and data[i : i + 1] in (b"", b",", b"\n", b"\r")
        found.append((start, i, whole, closed))
        begins = False
    return found


def listed(fields):
    columns = [fields.starts.tolist(), fields.ends.tolist(), fields.is_whole.tolist()]
    closed = [True] * len(fields.starts)
    closed[-1:] = [not fields.is_open] * len(closed[-1:])
    return list(zip(*columns, closed, strict=True))


def in_quotes(fields, data):
    """Return the places of the bytes in fields, but for quotes."""
    places = (place for start, end, _, _ in fields for place in range(start, end))
    return [place for place in places if data[place] != ord('"')]


def found_in_quotes(is_inside, data):
    return [place for place in np.flatnonzero(is_inside).tolist() if data[place] != ord('"')]


@given(TEXTS | WELL_FORMED)
def test_fields_are_those_found_byte_by_byte(text):
    fields, data = plainly(text), text.encode()
    assert listed(find_fields(data, b",")) == fields
    assert found_in_quotes(find_inside(data, b","), data) == in_quotes(fields, data)


@given(TEXTS | WELL_FORMED)
def test_only_well_formed_quotes_are_looked_at_all_together(text):
    fields, data = plainly(text), text.encode()
    n_quotes = sum(data[start:end].count(b'"') for start, end, _, _ in fields)
    is_well_formed = n_quotes == data.count(b'"') and all(
        whole for _, _, whole, closed in fields if closed
    )
    found = quoting._inside_well_formed(data or b"a", b",")
    assert (found is not None) == is_well_formed
    if found is not None:
        assert found_in_quotes(found, data or b"a") == in_quotes(fields, data)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"a","b"\n', [(0, 3, True), (4, 7, True)]),
        ('"",""""', [(0, 2, True), (3, 7, True)]),
        ('a,"b\n""c"\n', [(2, 9, True)]),
        ('5" x,7"\n', []),
        ('"a" b,"c', [(0, 3, False), (6, 8, False)]),
        ('"a," b",c\n', [(0, 4, False)]),  # what closes a field opens none
    ],
)
def test_fields_of_examples(text, expected):
    fields = find_fields(text.encode(), b",")
    assert [field[:3] for field in listed(fields)] == expected
    assert fields.is_open == text.endswith('"c')


@given(TEXTS | WELL_FORMED, st.integers(1, 90), st.integers(1, 90))
def test_blocks_are_whole_records_and_know_fields_that_are_not_well_formed(text, piece, size):
    data = text.encode()
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)]
    found = list(whole_records(pieces, size, b","))
    assert b"".join(block for block, _ in found) == data
    is_inside, all_fields = find_inside(data, b","), plainly(text)
    done = 0
    for block, fields in found:
        assert block
        begin, done = done, done + len(block)
        expected = [
            (start - begin, end - begin, whole, closed)
            for start, end, whole, closed in all_fields
            if begin <= start < done
        ]
        if fields is not None:
            assert listed(fields) == expected
        else:
            assert all(whole for _, _, whole, _ in expected)
            assert bool(expected) == (b'"' in block)
        if done < len(data):
            assert block.endswith((b"\n", b"\r"))
            assert not is_inside[done - 1]
            assert data[done - 1 : done + 1] != b"\r\n"


@given(WELL_FORMED, st.integers(1, 90), st.integers(1, 200))
def test_what_is_cut_is_whole_records_again(text, piece, size):
    data = text.encode()
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)]
    ends = np.cumsum([len(block) for block, _ in whole_records(pieces, 1, b",")]).tolist()
    found = list(cut_at(pieces, ends, size))
    assert b"".join(found) == data
    assert set(np.cumsum([len(block) for block in found]).tolist()) <= set(ends)
    assert all(len(block) >= size for block in found[:-1])
    assert not ends or found[-1]


def test_blocks_are_cut_as_often_as_their_size_says():
    rows = [f'"a\n{i}",b\n'.encode() for i in range(100)]
    found = [block for block, _ in whole_records(rows, 50, b",")]
    assert max(map(len, found)) < 70
    assert all(block.startswith(b'"a\n') and block.endswith(b",b\n") for block in found)
    ends = np.cumsum([len(block) for block in found]).tolist()
    assert [len(block) for block in cut_at(rows, ends, 100)][:-1] == [
        len(b"".join(found[i : i + 2])) for i in range(0, len(found) - 2, 2)
    ]


@pytest.mark.parametrize("begin", [b'c,"d', b'"c"c,"d'], ids=["alone", "beside one that goes on"])
def test_what_nothing_closes_is_not_waited_for_without_end(monkeypatch, begin):
    monkeypatch.setattr(quoting, "LONGEST_FIELD", 100)
    pieces = [b"a,b\n" + begin + b"\n", *[b"e,f\n"] * 100]
    found = list(whole_records(pieces, 4, b","))
    assert b"".join(block for block, _ in found) == b"".join(pieces)
    assert found[0][0] == b"a,b\n"
    block, fields = found[1]
    assert block.startswith(begin)
    assert fields.is_open
    assert 100 < len(block) < 110
    assert all(fields is None for _, fields in found[2:])
