"""Fields in quotes, found at once or one after another, and the ends of records that are not in them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segcli.inputs import quoting
from segcli.inputs.quoting import blocks, find_fields

TEXTS = st.lists(
    st.sampled_from(['"', '"', '""', ",", ",", '","', "\n", '"\n"', "\r\n", "\r", "a", "é"]),
    max_size=30,
).map("".join)


def plainly(text):
    """Return start, end and whether whole of each field in quotes, byte by byte."""
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
        found.append((start, i, closed and data[i : i + 1] in (b"", b",", b"\n", b"\r")))
        begins = False
    return found


def listed(fields):
    return list(
        zip(fields.starts.tolist(), fields.ends.tolist(), fields.is_whole.tolist(), strict=True)
    )


@given(TEXTS)
def test_fields_are_those_found_byte_by_byte(text):
    fields = find_fields(text.encode(), b",")
    assert listed(fields) == plainly(text)
    places = np.arange(len(text.encode()))
    inside = {p for start, end, _ in plainly(text) for p in range(start + 1, end)}
    assert set(places[~fields.outside(places)].tolist()) == inside


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
    assert listed(fields) == expected
    assert fields.is_open == text.endswith('"c')


@given(TEXTS, st.integers(1, 9), st.integers(1, 9))
def test_blocks_are_whole_records_and_know_their_fields(text, piece, size):
    data = text.encode()
    pieces = [data[i : i + piece] for i in range(0, len(data), piece)]
    found = list(blocks(pieces, size, b","))
    assert b"".join(block for block, _ in found) == data
    done, expected = 0, []
    for block, fields in found:
        assert block
        expected += [(done + start, done + end, whole) for start, end, whole in listed(fields)]
        done += len(block)
        if done < len(data):
            end = (
                data[done - 2 : done] if data[done - 2 : done] == b"\r\n" else data[done - 1 : done]
            )
            assert end in (b"\n", b"\r\n", b"\r")
            assert not fields.is_open
            assert find_fields(data, b",").outside(np.array([done - 1])).all()
            assert data[done - 1 : done + 1] != b"\r\n"
    assert expected == plainly(text)


def test_blocks_are_cut_as_often_as_their_size_says():
    rows = [f'"a\n{i}",b\n'.encode() for i in range(100)]
    found = [block for block, _ in blocks(rows, 50, b",")]
    assert max(map(len, found)) < 70
    assert all(block.startswith(b'"a\n') and block.endswith(b",b\n") for block in found)


def test_what_nothing_closes_is_not_waited_for_without_end(monkeypatch):
    monkeypatch.setattr(quoting, "LONGEST_FIELD", 100)
    pieces = [b'a,b\nc,"d\n', *[b"e,f\n"] * 100]
    found = list(blocks(pieces, 4, b","))
    assert b"".join(block for block, _ in found) == b"".join(pieces)
    assert [(block[:4], fields.is_open) for block, fields in found[:2]] == [
        (b"a,b\n", False),
        (b'c,"d', True),
    ]
    assert 100 < len(found[1][0]) < 110
    assert not any(fields.is_open for _, fields in found[2:])
