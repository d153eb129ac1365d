"""The user's files, read: dialect, values, pairs, ids; by relation and by hand-made case."""

import datetime as dt
import decimal
import gzip
import hashlib
import math
import random
import re
import string
import uuid
import weakref

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from segcli.engine.scratch import Scratch
from segcli.errors import InputError, OptionError
from segcli.inputs import distributed, distributed_sources, exact_sums, pairs, parquet_table
from segcli.inputs.dialect import delimiter_from, find_dialect, separated
from segcli.inputs.first_rows import _regularity, split_row
from segcli.inputs.form import Form, columns_of, open_file
from segcli.inputs.grouped_rows import read_groups, unpacked, write_groups
from segcli.inputs.item_names import read_item_names
from segcli.inputs.keys import NONE, Keys, words_of
from segcli.inputs.pairs import Pairs, group_rows
from segcli.inputs.parallel import open_threads
from segcli.inputs.rejects import Rejects
from segcli.inputs.streams import PIECE, whole_lines
from segcli.inputs.triplets import read_triplets
from segcli.inputs.values import (
    LARGEST,
    OUT_OF_RANGE,
    REASONS,
    SMALLEST,
    is_number,
    is_number_somehow,
    read_times,
    read_values,
)
from segcli.inputs.vocabulary import Vocabulary

ROWS = [("bo", "x", "3"), ("al", "y", "1"), ("bo", "y", "2.5"), ("al", "x", "4"), ("cy", "z", "5")]


def written(path, rows, delimiter=",", header=None, end="\n", encoding="utf-8"):
    lines = [delimiter.join(row) for row in ([header] if header else []) + list(rows)]
    path.write_bytes((end.join(lines) + end).encode(encoding))
    return path


def read(path, **form):
    rejects = Rejects()
    return read_triplets(path, Form(**form), rejects), rejects


def whole(triplets):
    return sp.csr_array(sp.vstack(triplets.blocks).astype(np.float64))


def facts(triplets):
    m = whole(triplets)
    arrays = (m.data.tobytes(), m.indices.tobytes(), m.indptr.tobytes(), m.shape)
    return triplets.customers.to_pylist(), triplets.items.to_pylist(), arrays


def dense(path, **form):
    return whole(read(path, **form)[0]).toarray().tolist()


@pytest.fixture
def plain(tmp_path):
    return facts(read(written(tmp_path / "plain.csv", ROWS))[0])


# the same rows, however they are written


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", "::", " ", "\x01"])
@pytest.mark.parametrize("header", [None, ("user", "item", "rating")])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_any_delimiter_header_and_line_end_give_the_same_matrix(
    tmp_path, plain, delimiter, header, end
):
    triplets, rejects = read(written(tmp_path / "f.txt", ROWS, delimiter, header, end))
    assert facts(triplets) == plain
    assert len(rejects) == 0
    assert triplets.dialect["header"] == (header is not None)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1", "cp1252"]
)
def test_any_encoding_gives_the_same_ids(tmp_path, encoding):
    euro = "é€" if encoding != "latin-1" else "éü"
    path = written(tmp_path / "f.csv", [(euro, "x", "1"), ("b", "ß", "2")], encoding=encoding)
    triplets, _ = read(path)
    assert set(triplets.customers.to_pylist()) == {euro, "b"}
    assert triplets.items.to_pylist() == ["x", "ß"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
def test_an_unmarked_wide_encoding_is_named_and_then_read(tmp_path, plain, encoding):
    path = written(tmp_path / "f.csv", ROWS, encoding=encoding)
    for options in ({}, {"encoding": "latin-1"}):
        with pytest.raises(InputError, match=f"Say so: --encoding {encoding}."):
            read(path, **options)
    assert facts(read(path, encoding=encoding)[0]) == plain


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32"])
def test_a_marked_wide_encoding_stated_otherwise_is_named(tmp_path, encoding):
    path = written(tmp_path / "f.csv", ROWS, encoding=encoding)
    with pytest.raises(InputError, match=f"Say so: --encoding {encoding}."):
        read(path, encoding="latin-1")


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("before", ["", "é", "aaaaé"])  # the last is cut in two
def test_what_is_not_in_the_stated_encoding_is_told_by_byte_and_line(
    tmp_path, monkeypatch, encoding, end, before
):
    monkeypatch.setattr("segcli.inputs.streams.PIECE", 7)
    path = written(tmp_path / "f.csv", ROWS, end=end)
    good = path.read_bytes() + (before.encode() if encoding == "utf-8" else b"")
    path.write_bytes(good + b"\xff,x,1\n")
    message = f"is not {encoding}: .* at byte {len(good) + 1}, in line {len(ROWS) + 1}"
    with pytest.raises(InputError, match=message):
        read(path, encoding=encoding)


def test_of_numbers_of_fields_that_are_as_common_the_larger_counts():
    rows = (("a", "1"), ("b", "2", "3"), ("c",))
    assert _regularity(rows) == _regularity(rows[::-1]) == (1 / 3, False, 3, 3)


def test_encoding_is_decided_on_the_whole_file(tmp_path):
    rows = [(f"c{i % 50}", f"i{i % 70}", "1") for i in range(3 * PIECE // 10)]
    path = written(tmp_path / "f.csv", [*rows, ("é", "x", "1")], encoding="latin-1")
    triplets, _ = read(path)
    assert triplets.dialect["encoding"] == "latin-1"
    assert "é" in triplets.customers.to_pylist()


@pytest.mark.parametrize("text", [b"1,aaa\n2,\xe9", b"1,aaa\n2\xc3,bbbbbbb\xa9,c\n"])
def test_what_begins_a_letter_of_utf_8_and_does_not_end_it_makes_it_latin_1(
    tmp_path, monkeypatch, text
):
    monkeypatch.setattr("segcli.inputs.streams.PIECE", 8)  # one is all of ASCII
    (tmp_path / "f.csv").write_bytes(text)
    assert find_dialect(tmp_path / "f.csv").encoding == "latin-1"


def test_the_digest_is_that_of_the_bytes_read(tmp_path):
    path = written(tmp_path / "f.csv", ROWS, encoding="utf-16")
    assert read(path)[0].sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    packed = tmp_path / "f.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert read(packed)[0].sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()


@pytest.mark.parametrize("pack", [gzip.compress, lambda b: pa.compress(b, "zstd", asbytes=True)])
def test_packed_files_read_as_unpacked_ones(tmp_path, plain, pack):
    source = written(tmp_path / "f.csv", ROWS)
    packed = tmp_path / "packed"
    packed.write_bytes(pack(source.read_bytes()))
    assert facts(read(packed)[0]) == plain


def test_parquet_reads_as_text(tmp_path, plain):
    columns = list(zip(*ROWS, strict=True))
    table = pa.table(
        {"user": columns[0], "item": columns[1], "rating": [float(v) for v in columns[2]]}
    )
    pq.write_table(table, tmp_path / "f.parquet")
    assert facts(read(tmp_path / "f.parquet")[0]) == plain


def test_parquet_float_ids_and_missing_cells(tmp_path):
    table = pa.table({"user": [2.0, 10.0, None, 2.0], "item": [7, 8, 7, 8], "n": [1, 2, 3, None]})
    pq.write_table(table, tmp_path / "f.parquet")
    triplets, rejects = read(tmp_path / "f.parquet", value="n")
    assert triplets.customers.to_pylist() == ["10", "2"]
    assert rejects.by_reason() == {"no customer": 1, "no value": 1}
    assert rejects.table()["row"].tolist() == [3, 4]


@pytest.mark.parametrize("role", ["customer", "item", "value"])
@pytest.mark.parametrize(
    ("cell", "kind"),
    [
        ([1, 2], "list<element: int64>"),
        ({"a": "x"}, "struct<a: string>"),
        (dt.timedelta(1), r"duration\[us\]"),
    ],
)
def test_a_nested_parquet_column_or_one_of_durations_is_refused_by_name_and_type(
    tmp_path, role, cell, kind
):
    columns = {"customer": ["a", "b"], "item": ["x", "y"], "value": [1, 2], role: [cell, cell]}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    with pytest.raises(InputError, match=f"column '{role}' holds {kind}, not text or numbers"):
        read(tmp_path / "f.parquet")
    columns = {"customer": ["a", "b"], "item": ["x", "y"], "value": [1, 2], "more": [cell, cell]}
    pq.write_table(pa.table(columns), tmp_path / "g.parquet")
    assert dense(tmp_path / "g.parquet") == [[1, 0], [0, 2]]


def test_parquet_columns_of_one_name_are_told_apart_by_position(tmp_path):
    columns = [["a", "b"], [1, 2], ["x", "y"], [3, 4]]
    names = ["customer", "value", "item", "value"]
    table = pa.Table.from_arrays([pa.array(column) for column in columns], names)
    pq.write_table(table, tmp_path / "f.parquet")
    assert dense(tmp_path / "f.parquet", value="2") == [[1, 0], [0, 2]]
    assert dense(tmp_path / "f.parquet", value="4") == [[3, 0], [0, 4]]


def test_whole_decimal_ids_of_parquet_lose_their_point_if_all_are(tmp_path):
    numbers = [decimal.Decimal(n) for n in (10, 7, 100)] + [None]
    columns = {"customer": pa.array(numbers, pa.decimal128(38, 10)), "item": ["x", "y", "x", "y"]}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    assert read(tmp_path / "f.parquet")[0].customers.to_pylist() == ["10", "100", "7"]
    columns["customer"] = pa.array([*numbers[:3], decimal.Decimal("2.50")], pa.decimal128(38, 10))
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    found = read(tmp_path / "f.parquet")[0].customers.to_pylist()
    assert found == ["10.0", "100.0", "2.5", "7.0"]


def test_parquet_uuids_are_texts_as_everywhere_else(tmp_path):
    uuids = [uuid.UUID(int=n << 64 | n) for n in (0xFE00_0000_00FF, 7)]
    stored = pa.array([*(one.bytes for one in uuids), None], pa.binary(16))
    ids = pa.ExtensionArray.from_storage(pa.uuid(), stored)
    pq.write_table(pa.table({"customer": ids, "item": ["x", "y", "y"]}), tmp_path / "f.parquet")
    triplets, rejects = read(tmp_path / "f.parquet")
    assert triplets.customers.to_pylist() == sorted(map(str, uuids))
    assert rejects.by_reason() == {"no customer": 1}


def test_parquet_ids_of_bytes_are_texts(tmp_path):
    ids = pa.array([b"ab", b"cd"], pa.binary(2))
    pq.write_table(pa.table({"customer": ids, "item": ["x", "y"]}), tmp_path / "f.parquet")
    assert read(tmp_path / "f.parquet")[0].customers.to_pylist() == ["ab", "cd"]
    ids = pa.array([b"a\xff", b"cd"], pa.binary(2))
    pq.write_table(pa.table({"customer": ids, "item": ["x", "y"]}), tmp_path / "f.parquet")
    with pytest.raises(InputError, match="column 'customer' holds bytes that are no UTF-8"):
        read(tmp_path / "f.parquet")


def test_parquet_texts_that_are_numbers_otherwise_are_told_so(tmp_path):
    columns = {"value": ["1,5", "2,5"], "more": ["", ""], "item": ["x", "y"], "user": ["a", "b"]}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    with pytest.raises(InputError, match="Numbers are written like"):
        read(tmp_path / "f.parquet")


def test_shuffled_rows_give_the_same_bytes(tmp_path):
    rng = random.Random(0)
    rows = [
        (f"c{rng.randrange(9)}", f"i{rng.randrange(7)}", repr(rng.random())) for _ in range(500)
    ]
    first = facts(read(written(tmp_path / "a.csv", rows))[0])
    for _ in range(3):
        rng.shuffle(rows)
        assert facts(read(written(tmp_path / "b.csv", rows))[0]) == first


# ids

ids = st.text(
    alphabet=st.characters(codec="utf-8", exclude_characters="\0\r\n", exclude_categories=("Cs",)),
    min_size=1,
    max_size=8,
).filter(lambda text: text == text.strip())  # white space around an id is not part of it


@settings(deadline=None, max_examples=60)
@given(pairs=st.lists(st.tuples(ids, ids), min_size=2, max_size=20))
def test_ids_come_back_as_they_were_written(tmp_path_factory, pairs):
    path = tmp_path_factory.mktemp("ids") / "f.csv"
    quoted = [['"' + text.replace('"', '""') + '"' for text in pair] for pair in pairs]
    # One id that is not a float column's, so that '.0' stays.
    rows = [("customer", "item", "value"), ('"x"', '"x"', "1"), *((c, i, "1") for c, i in quoted)]
    path.write_bytes("".join(",".join(row) + "\n" for row in rows).encode())
    triplets, rejects = read(path, delimiter=",")
    assert len(rejects) == 0
    assert triplets.customers.to_pylist() == sorted({"x", *(c for c, _ in pairs)})
    assert triplets.items.to_pylist() == sorted({"x", *(i for _, i in pairs)})


def test_a_float_columns_ids_lose_their_point(tmp_path):
    path = written(tmp_path / "f.csv", [("17850.0", "007", "1"), ("9.0", "7", "1")])
    triplets, _ = read(path)
    assert triplets.customers.to_pylist() == ["17850", "9"]
    assert triplets.items.to_pylist() == ["007", "7"]


def test_one_id_of_another_kind_keeps_every_point(tmp_path):
    path = written(tmp_path / "f.csv", [("1.0", "a", "1"), ("v2", "b", "1")])
    assert read(path)[0].customers.to_pylist() == ["1.0", "v2"]


def test_white_space_around_an_id_is_not_part_of_it(tmp_path):
    path = written(tmp_path / "f.csv", [("1", "65", "1"), ("2", "65  ", "1"), (" 2", "q r ", "1")])
    triplets, _ = read(path)
    assert triplets.customers.to_pylist() == ["1", "2"]
    assert triplets.items.to_pylist() == ["65", "q r"]
    assert whole(triplets).toarray().tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize("late", ["007", "+7", " 7", "0x7", "7.0", "-7", "4294967303", "7 ", "é7"])
@pytest.mark.parametrize("block", [20, 10_000])
def test_an_id_is_as_written_whatever_stands_before_it(tmp_path, monkeypatch, late, block):
    rows = [(str(i % 9), str(i % 5), "1") for i in range(200)]
    rows[150] = (late, "00", "1")
    small_steps(monkeypatch, block, 50)
    triplets, rejects = read(written(tmp_path / "f.csv", rows))
    assert len(rejects) == 0
    assert set(triplets.customers.to_pylist()) == {*(str(i) for i in range(9)), late.strip()}
    assert triplets.items.to_pylist() == ["0", "00", *"1234"]


@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("block", [20, 10_000])
def test_a_byte_order_mark_within_a_file_is_part_of_its_id(tmp_path, monkeypatch, block, quote):
    rows = [(f"\ufeff{i % 9}", f"{quote}i{quote}", "1") for i in range(50)]
    small_steps(monkeypatch, block, 50)
    triplets, _ = read(written(tmp_path / "f.csv", [("customer", "item", "value"), *rows]))
    assert triplets.customers.to_pylist() == [f"\ufeff{i}" for i in range(9)]
    assert len(triplets.items) == 1


key_texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs",)), max_size=40)


@settings(deadline=None)
@example(parts=[["a", "a\0", "a\0\0"]])
@given(parts=st.lists(st.lists(key_texts, min_size=1, max_size=40), min_size=1, max_size=4))
def test_keys_are_told_apart(parts):
    keys, known = Keys(), {}
    for texts in parts:
        array = pa.array(["before", *texts])[1:]
        found = keys.find(words_of(array))
        assert found.tolist() == [known.get(text, NONE) for text in texts]
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update((text, len(known)) for text in new)
        keys.add(words_of(pa.array(new, pa.string())), np.array([known[t] for t in new], np.int32))
    every = list(known)
    assert keys.find(words_of(pa.array(every, pa.string()))).tolist() == list(known.values())


@pytest.mark.parametrize("length", [0, 1, 7, 8, 9, 14, 16, 40])
def test_texts_of_one_length_have_the_words_that_they_have_among_others(length):
    texts = [letter * length for letter in "abc"]
    alone = words_of(pa.array(["before", *texts, "after"])[1:-1])
    among = words_of(pa.array([*texts, "d" * 50]))
    for i, words in enumerate(among):
        expected = alone[i].tolist() if i < len(alone) else [0] * 3
        assert words[:3].tolist() == expected


def test_long_keys_are_told_apart_when_room_is_made_for_short_ones():
    keys = Keys()
    keys.add(words_of(pa.array(["customer 1", "customer 2"])), np.array([0, 1], np.int32))
    short = pa.array([str(i) for i in range(2000)])
    keys.add(words_of(short), np.arange(2, 2002, dtype=np.int32))
    found = keys.find(words_of(pa.array(["customer 1", "customer 2", "customer 3"])))
    assert found.tolist() == [0, 1, NONE]


def test_many_keys_are_found():
    keys = Keys()
    texts = [f"{i * 7919}" for i in range(20_000)]
    step = (1 << 10) + 1  # one more than there is room for at first
    for start in range(0, 20_000, step):
        codes = np.arange(start, min(start + step, 20_000), dtype=np.int32)
        keys.add(words_of(pa.array(texts[start : start + step])), codes)
    assert keys.find(words_of(pa.array(texts))).tolist() == list(range(20_000))
    assert (keys.find(words_of(pa.array(["no", "0 "]))) == NONE).all()


@pytest.mark.parametrize("before", range(7))
def test_a_leading_zero_is_seen_wherever_it_stands(tmp_path, monkeypatch, before):
    monkeypatch.setattr("segcli.inputs.text_table._CHECKED", 7)
    rows = [("1", "2" * (1 + before), "1"), ("07", "3", "1")]
    assert read(written(tmp_path / "f.csv", rows))[0].customers.to_pylist() == ["07", "1"]


@settings(deadline=None)
@given(
    runs=st.lists(st.tuples(st.sampled_from(["", "b", "c" * 9, "d", "e" * 200]), st.integers(1, 9)))
)
def test_ids_in_runs_have_a_code_each(runs):
    texts = [text for text, n in runs for _ in range(n)]
    vocabulary = Vocabulary()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("segcli.inputs.vocabulary._AT_ONCE", 7)
        codes = vocabulary.encode(pa.array(texts, pa.string()))
    ids = ["" if code == NONE else vocabulary.texts()[code].as_py() for code in codes]
    assert ids == texts


# quotes


def test_quotes_enclose_fields_between_commas(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text('c,i,value\n1,"a, ""b""\nc",2\n2,d,3\n1,d,4\n')
    triplets, _ = read(path, customer="c", item="i")
    assert triplets.items.to_pylist() == ['a, "b"\nc', "d"]


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (['"a\tb"', '"c"'], ["a\tb", "c"]),
        (['"Weird Al" Yankovic', "Royce 5'9\""], ['"Weird Al" Yankovic', "Royce 5'9\""]),
        (['"Weird Al" Yankovic', '"c"'], ['"Weird Al" Yankovic', '"c"']),
    ],
    ids=["all whole", "none whole", "one not whole"],
)
def test_quotes_between_tabs_enclose_only_if_all_are_whole(tmp_path, written, meant):
    path = tmp_path / "f.tsv"
    path.write_text(f"1\t{written[0]}\t2\n2\t{written[1]}\t3\n")
    assert read(path)[0].items.to_pylist() == meant


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t", "::"])
def test_a_delimiter_in_quotes_is_part_of_a_name(tmp_path, delimiter):
    item = f'"Mission{delimiter}{delimiter}Two"'
    header = ("customer", f'"the{delimiter}item"', "stars")
    path = written(tmp_path / "f", [("al", item, "1"), ("bo", "x", "2")], delimiter, header)
    form = {"delimiter": delimiter, "item": header[1].strip('"')}
    assert sorted(read(path, **form)[0].items.to_pylist()) == [item.strip('"'), "x"]


def test_quoted_fields_across_pieces_are_whole(tmp_path):
    path = tmp_path / "f.csv"
    rows = "".join(f'c{i % 9},"i,{i % 5}\n",1\n' for i in range(2 * PIECE // 12))
    path.write_text(rows)
    found = find_dialect(path, delimiter=",")
    assert found.quoted
    assert len(read(path, delimiter=",")[0].items) == 5


def test_quotes_are_seen_wherever_they_stand(tmp_path, monkeypatch):
    monkeypatch.setattr("segcli.inputs.streams.PIECE", 20)
    path = written(tmp_path / "f.csv", [('"al"', "x", "1"), *[("bo", "y", "1")] * 9])
    assert read(path)[0].customers.to_pylist() == ["al", "bo"]


def test_of_quoted_rows_that_are_read_a_few_at_a_time_the_first_alone_is_the_header(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("segcli.inputs.text_table._PART", 100)
    path = tmp_path / "f.csv"
    path.write_text("user,item,n\n" + "".join(f'c{i},"i,{i % 5}",1\n' for i in range(50)))
    triplets, _ = read(path)
    assert (triplets.n_rows, len(triplets.customers)) == (50, 50)


def test_a_quoted_field_may_be_long_where_empty_lines_are_looked_for(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text(f'al,"y,",2\n\nbo,"{"x" * 300_000}",1\n,,\n')
    triplets, rejects = read(path)
    assert triplets.customers.to_pylist() == ["al", "bo"]
    assert rejects.table()["row"].tolist() == [4]


def test_a_line_without_end_beside_quotes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("segcli.inputs.quoting.LONGEST_FIELD", 1 << 20)
    path = tmp_path / "f.csv"
    path.write_text(f'"al",x,1\nbo,y,{"2" * (3 << 20)}\n')
    with pytest.raises(InputError, match=r"f\.csv cannot be read: a row is longer than 1 MB\."):
        read(path)


def test_an_open_quote_is_refused(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text('1,"a",2\n2,"b,3\n3,c,4\n')
    with pytest.raises(InputError, match="line 2: a quote is opened but never closed: '\"b,3'"):
        read(path)


def test_of_quotes_that_are_closed_far_off_the_first_is_told(tmp_path):
    path = tmp_path / "f.csv"
    far = '{0},"a,1\n' + 60 * "b,c,2\n" + 'd,"e",3\n'
    path.write_text('"w","x",1\n' + far.format("f") + far.format("g"))
    with pytest.raises(InputError, match="line 2: a quote is opened but never closed"):
        read(path)


def test_an_open_quote_is_told_from_one_before_that_is_closed_lines_later(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text('1,"a",2\n2,"b,3\n3,"c",4\n4,"d",5\n5,"e,6\n')
    with pytest.raises(InputError, match="line 5: a quote is opened but never closed: '\"e,6'"):
        read(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("n_before", [3, 70_000])  # in the first piece, and beyond it
def test_a_quote_that_the_next_quoted_field_closes_is_refused_if_far_off(tmp_path, end, n_before):
    lines = [f"c{i % 9},i{i % 7},1" for i in range(n_before)]
    between = [f"c{i % 9},i{i % 7},2" for i in range(200_000)]
    rows = ['"c0",i0,1', *lines, 'c3,"i5,4', *between, '"c1",i2,3']
    path = tmp_path / "f.csv"
    path.write_text(end.join(rows) + end, newline="")
    with pytest.raises(
        InputError, match=rf"line {n_before + 2:,}: a quote is opened but never closed: '\"i5,4'"
    ):
        read(path)


def test_a_text_may_have_a_few_lines_and_quotes_that_are_not_doubled(tmp_path):
    path = tmp_path / "f.csv"
    rows = "".join(f'c{i},"i{i % 2}",{i},"a few\nlines "of" text"\n' for i in range(1, 6))
    path.write_text("customer,item,value,review\n" + rows)
    triplets, rejects = read(path)
    assert (triplets.n_rows, len(rejects)) == (5, 0)
    assert triplets.customers.to_pylist() == [f"c{i}" for i in range(1, 6)]


# header and columns


def test_numbers_in_the_first_row_are_no_header(tmp_path):
    assert not find_dialect(written(tmp_path / "f", [("1", "2"), ("3", "4")])).header


def test_text_above_numbers_is_a_header(tmp_path):
    path = written(tmp_path / "f", ROWS, header=("who", "what", "many"))
    assert find_dialect(path).header


def test_two_text_columns_have_no_header_unless_known(tmp_path):
    rows = [("al", "x"), ("bo", "y")]
    assert not find_dialect(written(tmp_path / "a", rows)).header
    assert find_dialect(written(tmp_path / "b", rows, header=("User ID", "sku"))).header


def test_columns_by_name_and_by_position_agree(tmp_path):
    rows = [(v, i, c) for c, i, v in ROWS]
    path = written(tmp_path / "f", rows, header=("many", "thing", "who"))
    named = facts(read(path, customer="who", item="thing", value="many")[0])
    assert named == facts(read(path, customer="3", item="2", value="1")[0])


def test_a_header_of_digits_wins_over_positions(tmp_path):
    path = written(tmp_path / "f.csv", [("x", "al", "1"), ("y", "bo", "2")], header=("2", "1", "n"))
    triplets, _ = read(path, customer="1", item="2", value="n", header=True)
    assert triplets.customers.to_pylist() == ["al", "bo"]


def test_without_values_each_row_counts_one(tmp_path):
    rows = [("al", "x"), ("al", "x"), ("bo", "y")]
    assert dense(written(tmp_path / "f", rows)) == [[2, 0], [0, 1]]
    more = written(tmp_path / "g", [(*row, "de") for row in rows])
    assert dense(more, value="none") == dense(more, value="") == [[2, 0], [0, 1]]


def test_a_time_in_the_third_column_is_no_value(tmp_path):
    rows = [("al", "x", "881250949"), ("bo", "y", "881250950"), ("al", "x", "881250951")]
    path = written(tmp_path / "f", rows, header=("user", "item", "timestamp"))
    assert dense(path) == [[2, 0], [0, 1]]
    assert dense(path, duplicates="last") == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("role", "place", "time"),
    [
        ("item", 2, "2014-04-07T10:51:09.277Z"),
        ("item", 2, "2014-04-07 10:51"),
        ("customer", 1, "04/07/2014"),
        ("customer", 1, "7.4.2014"),
    ],
)
def test_without_a_header_times_are_no_ids_unless_stated(tmp_path, role, place, time):
    rows = [["al", "x", "1"], ["bo", "y", "2"]]
    for row in rows:
        row[place - 1] = time
    path = written(tmp_path / "f.csv", rows)
    message = f"column {place} holds times, such as '{time}'. Which column is the {role}? State its"
    with pytest.raises(InputError, match=re.escape(message)):
        read(path)
    assert read(path, **{role: str(place)})[0].n_rows == 2
    rows[1][place - 1] = "2014-04"
    assert read(written(path, rows))[0].n_rows == 2


def test_a_delimiter_inside_ids_does_not_mislead(tmp_path):
    path = written(tmp_path / "f", [("a|p", "x|q", "1"), ("b|p", "y|q", "2")])
    assert find_dialect(path).delimiter == ","


@pytest.mark.parametrize(("n_longer", "is_refused"), [(9, False), (10, True)])
def test_a_first_row_is_one_of_many_if_one_in_ten_has_as_many_fields(
    tmp_path, n_longer, is_refused
):
    path = written(tmp_path / "f", [("al", "x"), ("bo", "y"), *[("cy", "z", "1")] * n_longer])
    if is_refused:
        with pytest.raises(
            InputError, match=r"line has 2 fields.*; 10 of the next 11 rows have 3\."
        ):
            read(path, delimiter=",")
    else:
        triplets, rejects = read(path, delimiter=",")
        assert (triplets.n_rows, len(rejects)) == (11, 9)


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", "::", " ", "~"])
def test_zeros_before_a_number_belong_to_an_id(tmp_path, delimiter):
    rows = [("1", "7", "1"), ("1", "007", "1"), ("2", "7", "1")]
    triplets, _ = read(written(tmp_path / "f", rows, delimiter), delimiter=delimiter)
    assert triplets.items.to_pylist() == ["007", "7"]
    rows = [("01", "7", "1"), ("1", "8", "1")]
    triplets, _ = read(written(tmp_path / "f", rows, delimiter), delimiter=delimiter, header=False)
    assert triplets.customers.to_pylist() == ["01", "1"]


@pytest.mark.parametrize("position", ["0", "4"])
def test_a_position_that_the_table_does_not_have_is_refused(tmp_path, position):
    path = written(tmp_path / "f", ROWS)
    with pytest.raises(InputError, match=f"--customer {position} is not from 1 to 3"):
        read(path, customer=position)


def test_two_unknown_names_are_asked_for(tmp_path):
    path = written(tmp_path / "r.csv", ROWS, header=("who", "what", "many"))
    with pytest.raises(
        InputError, match=r"It has: who, what, many\. Name them with --customer, --item"
    ):
        read(path)


@pytest.mark.parametrize(("n_columns", "end"), [(20, "name19. Name"), (21, "name19, …. Name")])
def test_of_many_columns_twenty_are_named(tmp_path, n_columns, end):
    rows = [["a"] * n_columns, ["b"] * n_columns]
    header = [f"name{i}" for i in range(n_columns)]
    path = written(tmp_path / "f.csv", rows, header=header)
    with pytest.raises(InputError, match=re.escape(end)):
        read(path, customer="nobody", header=True)


def test_of_a_long_name_the_beginning_is_told(tmp_path):
    path = written(tmp_path / "f.csv", ROWS, header=("w" * 80, "x" * 81, "n"))
    with pytest.raises(InputError, match=rf"It has: {'w' * 80}, {'x' * 79}…, n\. Name"):
        read(path)


def test_a_column_that_is_stated_as_nothing_is_not_found_out(tmp_path):
    path = written(tmp_path / "f.csv", ROWS, header=("user", "item", "value"))
    with pytest.raises(InputError, match="has no column ''"):
        read(path, customer="")


def test_an_unknown_name_is_the_item_where_there_is_no_third_column(tmp_path):
    path = written(tmp_path / "f.csv", [("al", "x"), ("bo", "y")], header=("user", "thing"))
    assert dense(path) == [[1, 0], [0, 1]]


@pytest.mark.parametrize(
    ("header", "asked"),
    [
        ("Order ID,Client No.,SKU,Quantity", "customer"),
        ("customer,order_id,what,quantity", "item"),
        ("session,customer,much,item", "value"),
        (",who,item,value", "customer"),
        ("customer,item,,much", "value"),
        ("customer,item,category_id,much", "value"),
        ("Unnamed: 0,who,item,value", "customer"),
        ("customer,item,sessionId,much", "value"),
        ("customer,productid,Page,much", "value"),
    ],
)
def test_an_unknown_name_that_only_its_place_tells_is_asked_for(tmp_path, header, asked):
    names = header.split(",")
    rows = [[f"{10 * i + j}" for j in range(len(names))] for i in range(1, 4)]
    path = written(tmp_path / "f.csv", rows, header=names)
    message = f"which column is the {asked}? It has: {', '.join(names)}. Name it with --{asked}"
    none = "; '--value none' counts each row as 1" if asked == "value" else ""
    with pytest.raises(InputError, match=re.escape(f"{message}{none}.")):
        read(path)


@pytest.mark.parametrize(
    ("header", "columns"),
    [
        ("who,item,value,shop", ("who", "item", "value")),
        ("customer,item,paid,shop", ("customer", "item", "paid")),
        ("item,category_id,much,customer", ("customer", "item", "much")),
        ("who,quantity,item", ("who", "item", "quantity")),
        ("customer,item,much,", ("customer", "item", "much")),
        ("customer,item,sessionId", ("customer", "item")),
        ("customer,item,title", ("customer", "item")),
        ("customer,item,__index_level_0__", ("customer", "item")),
        ("customer,item,", ("customer", "item")),
    ],
)
def test_an_unknown_name_is_what_its_place_says_in_order_or_if_no_other_is_left(
    tmp_path, header, columns
):
    names = header.split(",")
    rows = [[f"{10 * i + j}" for j in range(len(names))] for i in range(1, 4)]
    found = read(written(tmp_path / "f.csv", rows, header=names))[0].dialect["columns"]
    assert found == dict(zip(("customer", "item", "value"), columns, strict=False))


@pytest.mark.parametrize(
    ("header", "role", "places"),
    [
        (("customer", "item", "item"), "item", (2, 3)),
        (("customer", "item", "value", "value"), "value", (3, 4)),
        (("item", "User ID", "x", "user_id"), "customer", (2, 4)),
    ],
)
def test_a_known_name_that_two_columns_have_is_asked_for(tmp_path, header, role, places):
    rows = [(f"{i}" for i in range(len(header))), (f"1{i}" for i in range(len(header)))]
    path = written(tmp_path / "f.csv", rows, header=header)
    first, second = (f"column {i} ('{header[i - 1]}')" for i in places)
    message = f"the {role} may be {first} or {second}. State its position with --{role}."
    with pytest.raises(InputError, match=re.escape(message)):
        read(path)
    assert read(path, **{role: str(places[1])})[0].dialect["columns"][role] == header[places[1] - 1]


def test_a_stated_name_that_two_columns_have_is_asked_for(tmp_path):
    path = written(tmp_path / "f.csv", ROWS, header=("who", "what", "what"))
    message = r"the item may be column 2 \('what'\) or column 3 \('what'\)\. State its position"
    with pytest.raises(InputError, match=message):
        read(path, customer="who", item="what")


def test_two_columns_of_times_matter_only_where_times_do(tmp_path):
    rows = [("al", "x", "1", "5", "6"), ("bo", "y", "2", "7", "8")]
    path = written(tmp_path / "f.csv", rows, header=("user", "item", "value", "time", "time"))
    assert dense(path) == [[1, 0], [0, 2]]
    with pytest.raises(InputError, match=r"the timestamp may be .* with --timestamp"):
        read(path, duplicates="last")


# values


@pytest.mark.parametrize(
    ("text", "reason"),
    [("", 3), ("  ", 3), ("x", 4), ("1,5", 4), ("0x1", 4), ("1_0", 4), ("nan", 5), ("NaN", 5),
     ("-inf", 6), ("Infinity", 6), ("1e999", 6), ("-2", 7), ("-1e200", 7), ("0", 8), ("-0.0", 8),
     ("1e200", 9), ("1.01e50", 9), ("0.99e-50", 9), ("1e-310", 9)],
)  # fmt: skip
def test_a_value_that_cannot_be_used_says_why(text, reason):
    _, reasons = read_values(pa.array([text]), negatives=False)
    assert REASONS[reasons[0]] == REASONS[reason]


def test_values_that_can_be_used():
    texts = ["1e3", " 5 ", "+3", ".5", "5.", "-2", "1e50", "-1e-50"]
    values, reasons = read_values(pa.array(texts), negatives=True)
    assert values.tolist() == [1000, 5, 3, 0.5, 5, -2, 1e50, -1e-50]
    assert not reasons.any()


@pytest.mark.parametrize(
    "kind", [pa.uint8(), pa.int64(), pa.float32(), pa.float64(), pa.decimal128(21, 2)], ids=str
)
@pytest.mark.parametrize("last", [3, None])
def test_numbers_of_any_type_become_floats(kind, last):
    values, reasons = read_values(pa.array([1, last]).cast(kind), negatives=False)
    assert values.dtype == np.float64  # their sums must not overflow
    np.testing.assert_array_equal(values, np.array([1, last], dtype=float))
    assert [REASONS[reason] for reason in reasons] == ["", "" if last else "no value"]


def test_values_of_which_no_squares_can_be_made_are_rejected(tmp_path):
    values = [1e200, 2.0, 1e-310, -1e200, 0.0, float("nan"), float("inf"), 3.0]
    others = {"value is zero": 1, "value is NaN": 1, "value is infinite": 1}
    rows = [(f"c{i}", f"i{i}", repr(value)) for i, value in enumerate(values)]
    columns = dict(zip(("customer", "item", "value"), zip(*rows, strict=True), strict=True))
    pq.write_table(pa.table({**columns, "value": values}), tmp_path / "f.parquet")
    for path in (written(tmp_path / "f.csv", rows), tmp_path / "f.parquet"):
        _, rejects = read(path)
        assert rejects.by_reason() == {**others, "value is negative": 1, OUT_OF_RANGE: 2}
        for negative in ("keep", "net"):
            assert read(path, negative=negative)[1].by_reason() == {**others, OUT_OF_RANGE: 3}


@pytest.mark.parametrize("text", ["1", " -2.5e3 ", ".5", "5.", "+7", "٣", "1e", ".", "1\n2", "１"])
def test_where_a_field_reads_as_a_number_it_is_one(text):
    _, (reason,) = read_values(pa.array([text]), negatives=True)
    assert is_number(text) == (reason == 0)


def test_times_are_numbers_or_dates():
    times = read_times(pa.array(["881250949", "1970-01-02", "1970-01-01T00:00:01Z", "soon", ""]))
    np.testing.assert_array_equal(times, [881250949, 86400, 1, np.nan, np.nan])


def test_times_in_nanoseconds_are_read_though_no_float_holds_them_to_the_last_digit():
    assert read_times(pa.array([1_700_000_000_000_000_001])).tolist() == [1.7e18]


@pytest.mark.parametrize("kind", [pa.timestamp("s"), pa.timestamp("ns"), pa.date32()], ids=str)
def test_a_date_is_as_late_whatever_its_type(kind):
    """The Parquet files of one folder may differ in it."""
    texts = pa.array(["1969-12-31", "2020-02-29", None])
    np.testing.assert_array_equal(read_times(texts.cast(kind)), [-86400, 1582934400, np.nan])
    np.testing.assert_array_equal(read_times(texts.fill_null("")), [-86400, 1582934400, np.nan])


def test_what_a_date_says_does_not_depend_on_those_beside_it():
    texts = ["9999-12-31", "2020-01-01T00:00:00.123456789Z", "2020-01-01T02:00:00.25+02:00"]
    alone = [read_times(pa.array([text])).item() for text in texts]
    np.testing.assert_array_equal(read_times(pa.array(texts)), alone)
    assert alone[1:] == pytest.approx([1577836800.123456, 1577836800.25], rel=0, abs=1e-5)


def test_a_date_far_off_stands_among_the_others(tmp_path):
    """As databases write where there is no end; whether it is read hangs on pandas."""
    rows = [
        ("al", "x", "1", "2024-01-01"),
        ("al", "x", "2", "2023-01-01"),
        ("bo", "y", "3", "9999-12-31"),
    ]
    path = written(tmp_path / "f", rows, header=("user", "item", "n", "time"))
    triplets, rejects = read(path, duplicates="last")
    assert triplets.customers.to_pylist()[0] == "al"
    assert whole(triplets)[[0], [0]].tolist() == [1]
    assert set(rejects.by_reason()) <= {"timestamp is not a number or an ISO date"}


# rejects


def test_rejects_know_their_row(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text(
        "\nuser,item,value\nal,x,1\n\nal,y\n,x,1\nbo, ,2\n"
        'bo,"y\nz",-1\nbo,x,2,3\ncy,x,"1,5"\nbo,x,nan\nbo,y,3\n'
    )
    triplets, rejects = read(path)
    table = rejects.table()
    assert list(zip(table["row"], table["reason"], strict=True)) == [
        (5, "wrong number of fields"),
        (6, "no customer"),
        (7, "no item"),
        (8, "value is negative"),
        (9, "wrong number of fields"),
        (10, "value is not a number"),
        (11, "value is NaN"),
    ]
    assert table["text"].tolist()[3:6] == ['bo,"y\nz",-1', "bo,x,2,3", 'cy,x,"1,5"']
    assert triplets.n_rows == 9
    assert whole(triplets).nnz == 2


@pytest.mark.parametrize("delimiter", [",", "\t", ";", "|", "::", " "])
@pytest.mark.parametrize("quote", ["", '"'])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_row_of_nothing_but_delimiters_is_rejected_and_a_blank_line_is_not(
    tmp_path, delimiter, quote, end
):
    first = [f"{quote}{field}{quote}" for field in ("al", "x\n\ny" if quote else "x", "1")]
    empty = [("", "", ""), ("",), ("  ",), ("bo", "y", "2"), ("",)]
    empty += [(" ", " ", "")] if delimiter not in " \t" else []
    empty += [('""', '""', '""')] if quote and delimiter != " " else []
    path = written(tmp_path / "f.csv", [first, *empty], delimiter, end=end)
    triplets, rejects = read(path, delimiter=delimiter)
    assert triplets.customers.to_pylist() == ["al", "bo"]
    expected = [i for i, row in enumerate(empty, start=2) if len(row) > 1 and "bo" not in row]
    if delimiter == " ":  # a line of white space
        expected = []
    assert rejects.table()["row"].tolist() == expected
    assert set(rejects.by_reason()) <= {"no customer"}
    assert triplets.n_rows == 2 + len(expected)


@pytest.mark.parametrize(
    ("pieces", "lines"),
    [
        ([b"ab\n", b"cd\n"], [b"ab\n", b"cd\n"]),
        ([b"a\nb\rc", b"d"], [b"a\n", b"b\rcd"]),
        ([b"a\rb", b"c\rd"], [b"a\r", b"bc\r", b"d"]),
        ([b"ab\r", b"\ncd"], [b"ab\r\n", b"cd"]),
        ([b"ab", b"cde", b"fgh", b"i\n", b"j\n"], [b"abcdefghi\n", b"j\n"]),
    ],
)
def test_pieces_are_joined_to_whole_lines(pieces, lines):
    assert [bytes(text) for text in whole_lines(pieces, 3)] == lines


def test_rows_are_numbered_in_the_whole_of_a_long_file(tmp_path):
    n = 400_000
    lines = [f"customer{i % 11},item{i % 7},1" for i in range(n)]
    bad = [5, 1000, 150_000, 300_001, n - 1]
    for row in bad:
        lines[row] = "one,two" if row % 2 else ",item0,1"
    path = tmp_path / "f.csv"
    path.write_text("\n".join(lines) + "\n")
    assert read(path)[1].table()["row"].tolist() == [row + 1 for row in bad]


@pytest.mark.parametrize("above", ["", "\n\n"])
@pytest.mark.parametrize("stated", [None, ","])
def test_the_first_row_may_be_longer_than_a_sample(tmp_path, above, stated):
    path = tmp_path / "f.csv"
    rows = [("note", "customer", "item", "value"), *(("", *row) for row in ROWS)]
    rows[0] = ("x" * 600_000, *rows[0][1:])
    written(path, rows)
    path.write_text(above + path.read_text())
    plain = facts(read(written(tmp_path / "g.csv", ROWS))[0])
    assert facts(read(path, delimiter=stated)[0]) == plain


@pytest.mark.parametrize("stated", [None, ","])
def test_a_first_row_that_does_not_end_is_said_to_be_too_long(tmp_path, stated):
    path = tmp_path / "f.csv"
    path.write_text("x" * 6_000_000)
    with pytest.raises(InputError, match=r"f\.csv cannot be read: a row is longer than 4 MB\."):
        read(path, delimiter=stated)


def test_a_row_may_be_longer_than_what_is_parsed_at_once(tmp_path, monkeypatch):
    """Rejects before it are not told twice."""
    lines = [f"customer{i % 11},item{i % 7},1" for i in range(100)]
    lines[3] = "one,two"
    lines[70] = f"customer0,{'long' * 200},1"
    path = tmp_path / "f.csv"
    path.write_text("\n".join(lines) + "\n")
    monkeypatch.setattr("segcli.inputs.text_table._PARSED", 300)
    triplets, rejects = read(path)
    assert "long" * 200 in triplets.items.to_pylist()
    assert rejects.table()["row"].tolist() == [4]


# repeated pairs and negative values


@pytest.mark.parametrize(("way", "value"), [("sum", 9), ("last", 3), ("mean", 3), ("max", 4)])
def test_repeated_pairs(tmp_path, way, value):
    rows = [("al", "x", "2"), ("al", "x", "4"), ("bo", "y", "1"), ("al", "x", "3")]
    assert dense(written(tmp_path / "f", rows), duplicates=way)[0][0] == value


def test_a_fourth_column_of_which_only_some_are_times_is_none(tmp_path):
    rows = [("al", "x", "1", "9"), ("al", "x", "2", "late"), ("bo", "y", "1", "7")]
    assert dense(written(tmp_path / "f", rows), duplicates="last")[0][0] == 2


def test_last_is_the_latest_in_any_order(tmp_path):
    rows = [("al", "x", "1", "2020-02-01"), ("al", "x", "9", "2020-01-01"),
            ("al", "x", "3", "2020-02-01"), ("bo", "y", "1", "2020-01-01")]  # fmt: skip
    header = ("user", "item", "value", "date")
    for order in (rows, rows[::-1]):
        path = written(tmp_path / "f", order, header=header)
        assert dense(path, duplicates="last")[0][0] == 3
        assert dense(written(tmp_path / "g", order), duplicates="last")[0][0] == 3


sizes = st.just(0.0) | st.floats(SMALLEST, LARGEST)
numbers = sizes | sizes.map(lambda size: -size)


@given(values=st.lists(numbers, min_size=1, max_size=30), seed=st.integers(0, 99))
def test_a_sum_is_the_exact_one_rounded_in_any_order_and_grouping(values, seed):
    rng = np.random.default_rng(seed)
    whole = exact_sums.cut(np.array(values))
    np.testing.assert_array_equal(exact_sums.rounded(whole, len(values)), values)
    once = {place: limb.sum(keepdims=True) for place, limb in whole.items()}
    parts = [exact_sums.cut(part) for part in np.array_split(rng.permutation(values), 3)]
    twice = {}
    for part in parts:
        summed = {place: limb.sum(keepdims=True) for place, limb in part.items()}
        for place, limb in exact_sums.carry(summed).items():
            twice[place] = twice.get(place, 0.0) + limb
    total = exact_sums.rounded(once, 1)
    np.testing.assert_array_equal(total, exact_sums.rounded(twice, 1))
    exact = math.fsum(values)
    assert abs(total[0] - exact) <= math.ulp(exact)


@given(values=st.lists(st.integers(-(2**20), 2**20), min_size=1, max_size=30))
def test_sums_of_halves_are_exact_without_limbs(values):
    halves = np.array(values) / 2
    assert exact_sums.plain_are_exact(halves)
    limbs = {place: limb.sum(keepdims=True) for place, limb in exact_sums.cut(halves).items()}
    assert exact_sums.rounded(limbs, 1)[0] == halves.sum()
    assert not exact_sums.plain_are_exact(np.array([0.1]))


def messy(n, seed):
    """Rows with repeats, ids of all kinds, values that do not add up exactly, and rejects."""
    rng = random.Random(seed)
    customers = [
        *map(str, range(1, 40)),
        "007",
        "7.0",
        " 7",
        "x",
        "x ",
        "é",
        "4000000000",
        "y" * 200,
    ]
    items = [*map(str, range(90000000, 90000020)), "a", "b", "0", "00"]
    values = ["1", "2.5", "0.1", "12.99", "1e-20", "3e15", "7"]
    rows = [(rng.choice(customers), rng.choice(items), rng.choice(values)) for _ in range(n)]
    for row in range(n // 2, n, 97):
        rows[row] = rng.choice(
            [("1", "", "2"), ("", "", ""), ("1", "a", "nan"), ("1",), (" ", "a", "1")]
        )
    return rows


def small_steps(monkeypatch, block, held):
    monkeypatch.setattr("segcli.inputs.streams.PIECE", max(block // 3, 1))
    monkeypatch.setattr("segcli.inputs.text_table._PART", block)
    monkeypatch.setattr("segcli.inputs.text_table._PARSED", max(block // 4, 1))
    monkeypatch.setattr("segcli.inputs.vocabulary._AT_ONCE", 7)
    monkeypatch.setattr("segcli.inputs.pairs._LEAST_MERGED", held)
    monkeypatch.setattr("segcli.inputs.pairs._RANGE", max(held // 4, 1))


def as_lists(table):
    return {name: column.tolist() for name, column in table.items()}


@pytest.mark.parametrize("way", ["sum", "last", "mean", "max"])
@pytest.mark.parametrize(("block", "held"), [(100, 50), (1000, 300), (20_000, 1 << 23)])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_any_size_of_step_gives_the_same(tmp_path, monkeypatch, way, block, held, end):
    path = written(tmp_path / "f.csv", messy(3000, 1), end=end)
    whole, rejects = read(path, duplicates=way, delimiter=",")
    small_steps(monkeypatch, block, held)
    parts, more = read(path, duplicates=way, delimiter=",")
    assert facts(parts) == facts(whole)
    assert as_lists(more.table()) == as_lists(rejects.table())
    assert (parts.n_rows, parts.n_merged) == (whole.n_rows, whole.n_merged)
    assert parts.sha256 == whole.sha256


@pytest.mark.parametrize("block", [100, 1000, 1 << 22])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_rows_in_quotes_are_read_as_those_without(tmp_path, monkeypatch, block, end):
    rows = messy(3000, 1)
    plain = written(tmp_path / "plain.csv", rows, end=end)
    in_quotes = [tuple(f'"{field}"' for field in row) for row in rows]
    quoted = written(tmp_path / "quoted.csv", in_quotes, end=end)
    expected, rejects = read(plain, delimiter=",")
    small_steps(monkeypatch, block, 1 << 23)
    found, more = read(quoted, delimiter=",")
    assert facts(found) == facts(expected)
    assert (found.n_rows, found.n_merged) == (expected.n_rows, expected.n_merged)
    for name in ("row", "reason"):
        assert more.table()[name].tolist() == rejects.table()[name].tolist()
    bad = [row - 1 for row in more.table()["row"]]
    assert more.table()["text"].tolist() == [",".join(in_quotes[i]) for i in bad]


def test_a_line_break_in_quotes_stays_whole_between_what_is_parsed_at_once(tmp_path, monkeypatch):
    path = written(tmp_path / "f.csv", [("al", '"a\r\nb"', "1")] * 20, end="\r\n")
    for size in range(20, 40):
        monkeypatch.setattr("segcli.inputs.text_table._PARSED", size)
        triplets, _ = read(path)
        assert triplets.items.to_pylist() == ["a\r\nb"]
        assert triplets.n_rows == 20


def test_a_leading_zero_is_seen_behind_a_quote(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text('"1","2","1"\n"07","3","1"\n"7","3","1"\n')
    assert read(path)[0].customers.to_pylist() == ["07", "1", "7"]


def test_a_row_may_be_of_many_lines_and_longer_than_a_part(tmp_path, monkeypatch):
    path = tmp_path / "f.csv"
    text = "a line of a long text\n" * 300
    rows = [f'c{i % 5},i{i % 3},1,"{text if i == 40 else "short"}"' for i in range(100)]
    path.write_text('customer,item,value,"what it\nsays"\n' + "\n".join([*rows, "one,two"]) + "\n")
    small_steps(monkeypatch, 500, 1 << 23)
    triplets, rejects = read(path)
    assert (triplets.n_rows, len(triplets.customers), len(triplets.items)) == (101, 5, 3)
    assert rejects.table()["row"].tolist() == [102]


@pytest.mark.parametrize("way", ["sum", "mean", "max"])
@pytest.mark.parametrize("order", ["shuffled", "sorted", "by item"])
def test_any_order_and_size_of_step_give_the_same(tmp_path, monkeypatch, way, order):
    rows = messy(3000, 2)
    whole = facts(read(written(tmp_path / "f.csv", rows), duplicates=way, delimiter=",")[0])
    if order == "shuffled":
        random.Random(3).shuffle(rows)
    else:
        rows.sort(key=(lambda row: row) if order == "sorted" else (lambda row: row[::-1]))
    small_steps(monkeypatch, 400, 200)
    assert facts(read(written(tmp_path / "g.csv", rows), duplicates=way, delimiter=",")[0]) == whole


@pytest.mark.parametrize("way", ["sum", "last", "mean", "max"])
def test_a_matrix_is_what_its_definition_says(tmp_path, monkeypatch, way):
    rows = [row for row in messy(3000, 4) if len(row) == 3 and row[0].strip() and row[1]]
    rows = [row for row in rows if row[2] != "nan"]
    small_steps(monkeypatch, 300, 100)
    triplets, rejects = read(written(tmp_path / "f.csv", rows), duplicates=way, delimiter=",")
    assert len(rejects) == 0
    found = {}
    for customer, item, value in rows:
        found.setdefault((customer.strip(), item), []).append(float(value))
    define = {"sum": math.fsum, "last": lambda v: v[-1], "max": max,
              "mean": lambda v: math.fsum(v) / len(v)}  # fmt: skip
    matrix = whole(triplets).tocoo()
    customers, items = triplets.customers.to_pylist(), triplets.items.to_pylist()
    pairs = [(customers[r], items[c]) for r, c in zip(*matrix.coords, strict=True)]
    assert set(pairs) == set(found)
    expected = [define[way](found[pair]) for pair in pairs]
    np.testing.assert_allclose(matrix.data, expected, rtol=4e-16)
    assert triplets.n_merged == len(rows) - len(found)


def test_what_is_held_follows_the_pairs_not_the_rows(monkeypatch):
    monkeypatch.setattr("segcli.inputs.pairs._LEAST_MERGED", 2000)
    rng = np.random.default_rng(0)
    with open_threads() as threads:
        gathered = Pairs("sum", threads)
        for _ in range(100):
            customers = rng.integers(0, 50, 1000).astype(np.int32)
            items = rng.integers(0, 20, 1000).astype(np.int32)
            gathered.add(group_rows(customers, items, np.ones(1000), None))
            assert sum(len(part.items) for part in gathered._parts) <= 4000
        blocks = gathered.finish(*(np.arange(n, dtype=np.int32) for n in (50, 20)), (50, 20))
    matrix = sp.vstack(blocks)
    assert matrix.nnz == 1000
    assert matrix.sum() == gathered.n_rows == 100_000


@pytest.fixture
def needs(monkeypatch):
    """Return the needs for memory that are asked for, after every part."""
    asked = []
    monkeypatch.setattr(pairs, "require_memory", lambda need, **_: asked.append(need))
    monkeypatch.setattr(pairs, "_LEAST_MORE", 1)
    return asked


def test_the_need_for_memory_is_that_of_the_distinct_pairs_however_often_they_come(
    needs, monkeypatch
):
    monkeypatch.setattr(pairs, "_LEAST_MERGED", 2000)
    customers, items = (part.ravel().astype(np.int32) for part in np.mgrid[:50, :20])
    with open_threads() as threads:
        gathered = Pairs("sum", threads)
        for n in (1000, 1000, 100, 100):
            gathered.add(group_rows(customers[:n], items[:n], np.ones(n), None))
    assert len(needs) == 4
    assert min(needs) >= 12 * 1000  # the value of a pair and where it stands
    assert max(needs[2:]) <= 12 * 1200


def test_pairs_that_came_again_and_wait_to_be_merged_need_no_memory(needs, monkeypatch):
    monkeypatch.setattr(pairs, "_LEAST_MERGED", 3500)
    customers, items = (part.ravel().astype(np.int32) for part in np.mgrid[:100, :20])
    with open_threads() as threads:
        gathered = Pairs("sum", threads)
        for n in (2000, 1500, 300):
            gathered.add(group_rows(customers[:n], items[:n], np.ones(n), None))
    assert sum(len(part.items) for part in gathered._parts) == 3800
    assert needs[-1] <= 12 * 0.75 * 3800


@pytest.mark.parametrize("values", [["1e50", "-1e50"], ["1e-48", "0.1"]])
def test_values_that_half_the_digits_do_not_hold_keep_all(tmp_path, values):
    rows = [("al", "x", values[0]), ("bo", "x", values[1])]
    found = dense(written(tmp_path / "f", rows), negative="keep")
    assert found == [[float(value)] for value in values]


def test_what_is_merged_is_let_go(monkeypatch):
    monkeypatch.setattr(pairs, "_RANGE", 8)
    held = []
    with open_threads() as threads:
        gathered = Pairs("sum", threads)
        for first in range(0, 100, 10):
            customers = np.arange(first, first + 10, dtype=np.int32)
            block = group_rows(customers, np.zeros(10, np.int32), np.ones(10), None)
            held.append(weakref.ref(block.items))
            gathered.add(block)
        del block
        every = np.arange(100, dtype=np.int32)
        left = []
        for part in gathered._merged(every, every[:1], (100, 1)):
            left.append(sum(one() is not None for one in held))
            del part
    assert max(left) == left[0] >= 8
    assert left[len(left) // 2] <= 7
    assert left[-1] <= 1


def test_pairs_cancel_out_in_any_block_of_the_matrix(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "_RANGE", 2)
    rows = [("al", "x", "1"), ("al", "x", "-1"), ("bo", "y", "2"), ("bo", "z", "1"),
            ("cy", "y", "0.1"), ("cy", "w", "-3")]  # fmt: skip
    found, _ = read(written(tmp_path / "f", rows), negative="net")
    assert len(found.blocks) > 1
    assert whole(found).toarray().tolist() == [[2, 1], [0.1, 0]]
    assert (found.customers.to_pylist(), found.items.to_pylist()) == (["bo", "cy"], ["y", "z"])
    assert found.n_cancelled == 2


def test_a_range_of_customers_keeps_values_that_need_all_their_digits(tmp_path, monkeypatch):
    monkeypatch.setattr(pairs, "_RANGE", 2)  # the first customers' values fit in single precision
    values = np.array([1, 2, 3, 0.1])
    codes = np.arange(4, dtype=np.int32)
    rows = group_rows(codes, codes, values, None)
    ids = pa.array(["a", "b", "c", "d"])
    write_groups(tmp_path / "groups", [rows], ids, is_timed=False)
    ((keys, content),) = read_groups(str(tmp_path / "groups"))
    part = pa.array(np.zeros(4, dtype=np.int64))
    table = pa.table([keys, part, content], names=["key", "part", "rows"])
    scratch = Scratch(tmp_path / "scratch")
    source = distributed._Customers((), (codes,), 4, "sum", False, scratch)
    matrix = source.make(table).matrix.take(codes)
    assert matrix.toarray().tolist() == np.diag(values).tolist()


def test_rows_of_a_long_file_come_before_those_of_the_next(tmp_path, monkeypatch):
    """However many parts a worker reads it in."""
    monkeypatch.setattr(parquet_table, "_PARQUET_ROWS", 1)
    n_rows, paths = (1_500, 3), (tmp_path / "0.parquet", tmp_path / "1.parquet")
    for n, path in zip(n_rows, paths, strict=True):
        columns = {"customer": ["al"] * n, "item": ["x"] * n, "value": [1.0] * n}
        pq.write_table(pa.table(columns), path)
    form = Form(duplicates="last")
    table = open_file(paths[0], form)
    reading = distributed_sources._Reading(form, columns_of(table, form), Scratch(tmp_path / "s"))
    files = distributed_sources._Files(reading, table, ("0", "1"), tuple(map(str, paths)))
    times = []
    for task, n in enumerate(n_rows):
        groups = read_groups(files.run(task).groups)
        rows, _ = unpacked(pa.chunked_array([content for _, content in groups]), is_timed=True)
        assert len(rows) == n
        times += rows["time"].tolist()
    assert (np.diff(times) > 0).all()


def test_negative_values_can_be_kept_or_netted(tmp_path):
    rows = [("al", "x", "3"), ("al", "x", "-1"), ("bo", "x", "2"), ("bo", "x", "-2"),
            ("cy", "y", "-1"), ("cy", "x", "1")]  # fmt: skip
    path = written(tmp_path / "f", rows)
    rejected, rejects = read(path)
    assert rejects.by_reason() == {"value is negative": 3}
    assert whole(rejected).toarray().tolist() == [[3], [2], [1]]
    netted, _ = read(path, negative="net")
    assert (netted.customers.to_pylist(), netted.items.to_pylist()) == (["al", "cy"], ["x"])
    assert netted.n_cancelled == 2
    kept, _ = read(path, negative="keep")
    assert whole(kept).toarray().tolist() == [[2, 0], [1, -1]]


def test_netting_goes_with_sums_alone(tmp_path):
    with pytest.raises(OptionError, match="cannot go with --duplicates max"):
        read(written(tmp_path / "f", ROWS), negative="net", duplicates="max")


# names


def test_a_name_that_is_there_wins_over_none_however_often_it_is_missing(tmp_path):
    rows = [("x", ""), ("x", "Ex"), ("x", ""), ("x", " ")]
    path = written(tmp_path / "names", rows, header=("id", "name"))
    assert read_item_names(path, pa.array(["x"]), Rejects()).names == ["Ex"]


def test_the_commonest_name_wins_then_the_first(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("id,title\na,two\na, one \na,one\nb,z\nb,y\nc,\n,lost\nd,w\n")
    rejects = Rejects()
    found = read_item_names(path, pa.array(["a", "b", "c", "e"]), rejects)
    assert found.names == ["one", "y", "", ""]
    assert rejects.by_reason() == {"no item": 1}


# what separates fields


@pytest.mark.parametrize(
    ("word", "found"), [("tab", "\t"), (r"\t", "\t"), ("::", "::"), ("|", "|")]
)
def test_a_delimiter_is_a_word_or_itself(word, found):
    assert delimiter_from(word) == found


@pytest.mark.parametrize(
    ("delimiter", "words"),
    [(",", "comma-separated"), ("\t", "tab-separated"), ("::", "separated by '::'"),
     (":", "separated by ':'"), ("^", "separated by '^'")],
)  # fmt: skip
def test_a_delimiter_without_a_name_is_told_as_it_is_written(tmp_path, delimiter, words):
    path = written(tmp_path / "f.dat", ROWS, delimiter)
    assert separated(read(path, delimiter=delimiter)[0].dialect["delimiter"]) == words


@pytest.mark.parametrize("word", ["", "ab", ";;", "é", '"', "1", "\n"])
def test_what_cannot_separate_is_refused(word):
    with pytest.raises(OptionError, match="cannot separate fields"):
        delimiter_from(word)


@pytest.mark.parametrize("run", range(1, 6))
def test_double_colons_are_found_across_pieces(tmp_path, run):
    path = tmp_path / "f.dat"
    first = f"1::b::3\n2::{string.ascii_letters}::2\n1::"
    name = "x" * (PIECE - len(first) - run + 3)  # the piece ends around the delimiter after it
    path.write_text(f"{first}{name}::1\n")
    assert name in read(path, delimiter="::")[0].items.to_pylist()


def test_ids_that_a_parquet_file_lacks_are_rejected_whatever_their_kind(tmp_path):
    found = {}
    for kind in (pa.uint32(), pa.int64(), pa.uint8()):
        columns = {
            "customer": pa.array([1, 2, None, 1], kind),
            "item": pa.array([7, 8, 8, None], kind),
            "value": [1.0, 2, 3, 4],
        }
        pq.write_table(pa.table(columns), tmp_path / "ids.parquet")
        triplets, rejects = read(tmp_path / "ids.parquet")
        found[kind] = triplets.customers.to_pylist(), dict(rejects.by_reason())
    assert set(map(str, found.values())) == {"(['1', '2'], {'no customer': 1, 'no item': 1})"}


def test_of_a_parquet_file_some_row_groups_can_be_read(tmp_path):
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"id": list("abcdef")}), path, row_group_size=2)
    parts = list(parquet_table.open_parquet(path).parts([0], row_groups=[1, 2]))
    assert [one for part in parts for one in part.columns[0].to_pylist()] == list("cdef")


@pytest.mark.parametrize("name", ["f.parquet", "F.PARQUET"])
def test_what_is_named_parquet_and_is_none_is_refused_as_such(tmp_path, name):
    with pytest.raises(InputError, match="cannot be read as Parquet"):
        read(written(tmp_path / name, ROWS))


def test_a_parquet_file_without_columns_is_told_to_have_none(tmp_path):
    pq.write_table(pa.table({}), tmp_path / "f.parquet")
    with pytest.raises(InputError, match="has no columns; it needs customer and item"):
        read(tmp_path / "f.parquet")


def test_a_parquet_file_is_not_kept_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(parquet_table, "_PARQUET_ROWS", 2_000)
    path, rng = tmp_path / "f.parquet", random.Random(3)
    ids = [rng.randbytes(30).hex() for _ in range(60_000)]
    columns = {"customer": ids, "item": ids[::-1], "value": [1.0] * len(ids)}
    pq.write_table(pa.table(columns), path, row_group_size=2_000, use_dictionary=False)
    before = pa.total_allocated_bytes()
    table = parquet_table.open_parquet(path)
    held = [pa.total_allocated_bytes() - before for _ in table.parts([0, 1, 2])]
    assert len(held) == 30
    assert max(held) < path.stat().st_size / 4


@pytest.mark.parametrize("kind", ["uint8", "int16", "int64", "uint64", "string"])
@pytest.mark.parametrize(
    "ids",
    [[7, 12, 7, 100], [7, -12, 7, 100], [7, 2**40, 7, 100], [2**32, 2**32 - 1, 7, 2**24]],
    ids=["small", "negative", "beyond 32 bits", "at the limits"],
)
def test_whole_parquet_ids_are_what_they_are_as_texts(tmp_path, kind, ids):
    if kind not in ("int64", "string"):
        ids = [abs(n) % 120 for n in ids]
    column = pa.array([str(n) for n in ids]).cast(kind)
    columns = {"customer": column, "item": column, "value": [1.0, 2, 3, 4]}
    pq.write_table(pa.table(columns), tmp_path / "ids.parquet", row_group_size=2)
    expected = sorted({str(n) for n in ids})
    triplets = read(tmp_path / "ids.parquet")[0]
    assert triplets.customers.to_pylist() == triplets.items.to_pylist() == expected
    sums = [
        sum(value for n, value in zip(ids, (1, 2, 3, 4), strict=True) if str(n) == one)
        for one in expected
    ]
    assert whole(triplets).diagonal().tolist() == sums


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        *(
            (text, True)
            for text in ("1,5", "-2,25", "1.234,5", "1,234.50", "1 234", "1'234'567", "$1")
        ),
        *((text, True) for text in ("12 EUR", "USD 3.50", "€1.5", "5.6%", "5,6 %")),
        *((text, True) for text in ("12.00-", "1.234,50-", "(12.50)", "($1,234.50)", "(5)")),
        *((text, True) for text in ("1.5", "12", "1e3")),
        *((text, False) for text in ("", "15)", "(15")),
        *(
            (text, False)
            for text in ("01.02.2020", "2024-01-03", "2020 01 01", "10.0.0.1", "1,2,3")
        ),
        *((text, False) for text in ("SKU 12", "ABC123", "good", "(a)", "-", "%", "()")),
    ],
)
def test_a_number_however_it_is_written_is_told_from_what_is_none(text, is_one):
    assert is_number_somehow(text) == is_one


@pytest.mark.parametrize("delimiter", [",", ";"])
def test_the_text_of_a_quoted_reject_reads_as_its_row(tmp_path, delimiter):
    field = f'y{delimiter}"z"'
    quoted = '"' + field.replace('"', '""') + '"'
    path = written(tmp_path / "f.csv", [("bo", quoted, "nan"), *ROWS], delimiter)
    text = read(path, delimiter=delimiter, header=False)[1].table()["text"][0]
    assert split_row(text, delimiter) == ("bo", field, "nan")


@pytest.mark.parametrize("name", ["A", '"A, B"'], ids=["plain", "quoted"])
def test_rejects_of_a_table_of_names_know_their_row(tmp_path, name):
    path = tmp_path / "items.csv"
    path.write_text(f"id,title\na,{name}\n\nb\n,lost\nc,C\n")
    rejects = Rejects()
    read_item_names(path, pa.array(["a", "c"]), rejects)
    table = rejects.table()
    assert table["row"].tolist() == [4, 5]
    assert table["reason"].tolist() == ["wrong number of fields", "no item"]


def test_rejects_stand_file_by_file():
    rejects = Rejects()
    rejects.add("b.csv", np.array([7, 2]), np.array([1, 1]), ["seven", "two"])
    rejects.add("a.csv", np.array([3]), np.array([2]), ["three"])
    table = rejects.table()
    assert list(zip(table["file"], table["row"], table["text"], strict=True)) == [
        ("b.csv", 2, "two"),
        ("b.csv", 7, "seven"),
        ("a.csv", 3, "three"),
    ]


@pytest.mark.parametrize("nothing", ["", " "])
def test_no_value_is_no_name_that_a_first_row_could_hold(tmp_path, nothing):
    path = written(tmp_path / "f.csv", [("al", "x", nothing), ("bo", "y", "")])
    assert read(path, value="")[0].customers.to_pylist() == ["al", "bo"]


def test_a_column_may_be_named_without_the_white_space_around_it(tmp_path):
    path = written(tmp_path / "f.csv", ROWS, header=(" who ", " what", "n"))
    found = read(path, customer="who", item="what", value="n")[0]
    assert found.customers.to_pylist() == ["al", "bo", "cy"]
    texts = [("al", "x"), ("bo", "y")]  # among which nothing else tells a header
    path = written(tmp_path / "t.csv", texts, header=(" who ", " what"))
    assert read(path, customer="who", item="what")[0].customers.to_pylist() == ["al", "bo"]
    path = written(tmp_path / "g.csv", ROWS, header=("what ", "what", "n"))
    found = read(path, customer="1", item="what", value="n")[0]
    assert found.dialect["columns"] == {"customer": "what ", "item": "what", "value": "n"}


def test_two_columns_of_unknown_names_are_asked_for_even_beside_a_known_one(tmp_path):
    path = written(
        tmp_path / "f.csv", [row[::-1] for row in ROWS], header=("rating", "what", "who")
    )
    with pytest.raises(InputError, match="Name them with --customer, --item"):
        read(path)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("first", [[], ["sep=;"], ["", " "]], ids=["none", "sep", "blank"])
def test_what_stands_before_the_first_row_is_counted_whatever_ends_a_line(tmp_path, end, first):
    lines = [*first, "customer;item;value", "al;x;1", "bo;y;nan", "cy;y;2", "cy;x,1,2,3;2"]
    path = tmp_path / "f.csv"
    path.write_bytes((end.join(lines) + end).encode())
    triplets, rejects = read(path)
    assert triplets.customers.to_pylist() == ["al", "cy"]
    assert rejects.table()["row"].tolist() == [len(first) + 3]


def test_sep_says_what_the_delimiter_is(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("sep=|\nal,1|x,2|1\nbo,1|y,2|2\n")
    assert read(path)[0].customers.to_pylist() == ["al,1", "bo,1"]


def test_rows_of_a_parquet_file_are_numbered_across_batches(tmp_path, monkeypatch):
    monkeypatch.setattr("segcli.inputs.parquet_table._PARQUET_ROWS", 2)
    columns = {
        "customer": ["a", None, "b", "c", None],
        "item": list("xyxyx"),
        "value": [1, 2, 3, 4, 5],
    }
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    assert read(tmp_path / "f.parquet")[1].table()["row"].tolist() == [2, 5]


def test_texts_that_a_parquet_file_lacks_are_rejected(tmp_path):
    columns = {"customer": ["a", None, "b"], "item": ["x", "y", "y"], "value": ["1", "2", None]}
    pq.write_table(
        pa.table({**columns, "customer": pa.array(columns["customer"]).dictionary_encode()}),
        tmp_path / "f.parquet",
    )
    _, rejects = read(tmp_path / "f.parquet")
    assert rejects.by_reason() == {"no customer": 1, "no value": 1}
    assert rejects.table()["text"].tolist() == [",y,2", "b,y,"]


@pytest.mark.parametrize("block", [40, 100, 1 << 22])
def test_rejects_of_a_file_with_quotes_know_their_row_in_any_part(tmp_path, monkeypatch, block):
    monkeypatch.setattr("segcli.inputs.text_table._PART", block)
    rows = [(f"c{i % 5}", f'"i\n{i % 3}"', "1") for i in range(60)]
    bad = {3: ("", "x", "1"), 20: ("one", "two"), 41: ("c1", '"i\n1"', "nan"), 59: ("one",)}
    for place, row in bad.items():
        rows[place] = row
    triplets, rejects = read(
        written(tmp_path / "f.csv", rows, header=("customer", "item", "value"))
    )
    assert rejects.table()["row"].tolist() == [place + 2 for place in bad]
    assert triplets.n_rows == 60


@pytest.mark.parametrize(("byte", "encoding"), [(b"\x93", "cp1252"), (b"\x81", "latin-1")])
def test_a_byte_that_windows_1252_lacks_makes_it_latin_1(tmp_path, byte, encoding):
    path = tmp_path / "f.csv"
    path.write_bytes(b"\xe9" + byte + b",x,1\nb,y,2\n")
    assert find_dialect(path).encoding == encoding


DAYS = pa.array([dt.date(2020, 1, day) for day in (1, 5, 2)])
MIDNIGHTS = DAYS.cast(pa.timestamp("ns"))


@pytest.mark.parametrize(
    "times",
    [
        DAYS,
        *(
            MIDNIGHTS.cast(k)
            for k in (pa.timestamp("ns", "Europe/Berlin"), pa.string(), pa.int64())
        ),
        pa.array([1, 5_000_000_001, 2_000_000_001], pa.timestamp("ns")),  # finer than is told apart
    ],
    ids=lambda times: str(times.type),
)
def test_times_of_a_parquet_file_choose_the_last(tmp_path, times):
    columns = {
        "customer": ["a", "b", "b"],
        "item": ["x", "y", "y"],
        "value": [1, 2, 3],
        "date": times,
    }
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    assert dense(tmp_path / "f.parquet", duplicates="last") == [[1, 0], [0, 2]]


def test_sep_decides_where_another_delimiter_would_be_found(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("sep=,\nal;1;2,x\nbo;1;3,y\n")
    assert read(path)[0].customers.to_pylist() == ["al;1;2", "bo;1;3"]


def test_a_column_that_is_stated_is_no_other_of_a_known_name(tmp_path):
    path = written(tmp_path / "f.csv", ROWS, header=("item", "product", "value"))
    found = read(path, customer="item")[0]
    assert found.dialect["columns"] == {"customer": "item", "item": "product", "value": "value"}


def test_a_known_name_that_stands_below_too_is_no_header(tmp_path):
    rows = [("al", "game"), ("bo", "book"), ("al", "book"), ("bo", "game")]
    assert not find_dialect(written(tmp_path / "f.csv", rows)).header


def test_names_of_customer_and_item_are_a_header_also_if_they_stand_below_too_or_beside_a_number(
    tmp_path,
):
    """Files that were joined with their headers, and one whose value is named by a year."""
    rows = [("x", "al", "1"), ("y", "bo", "2"), ("product", "user", "n"), ("y", "al", "3")]
    found, rejects = read(written(tmp_path / "f.csv", rows, header=("product", "user", "n")))
    assert found.customers.to_pylist() == ["al", "bo"]
    assert rejects.table()["row"].tolist() == [4]
    found, _ = read(written(tmp_path / "f.csv", rows[:2], header=("product", "user", "2014")))
    assert found.dialect["columns"] == {"customer": "user", "item": "product", "value": "2014"}


def test_a_comma_in_every_name_does_not_outdo_tabs_that_one_row_lacks(tmp_path):
    rows = [(f"c{i}", f"Doe, John {i % 3}", "1") for i in range(20)]
    rows[7] = ("c7 Doe, John 1",)
    assert find_dialect(written(tmp_path / "f.tsv", rows, "\t")).delimiter == "\t"


def test_a_row_whose_time_cannot_be_read_is_rejected_where_times_matter(tmp_path):
    rows = [("al", "x", "1", "2020-02-01"), ("al", "x", "9", "soon"), ("bo", "y", "2", ""),
            ("bo", "z", "nan", "soon"), ("bo", "z", "3", "2020-01-01")]  # fmt: skip
    path = written(tmp_path / "f.csv", rows, header=("user", "item", "value", "date"))
    rejects = read(path, duplicates="last")[1]
    why = "timestamp is not a number or an ISO date"
    table = rejects.table()
    assert list(zip(table["row"], table["reason"], strict=True)) == [
        (3, why), (4, why), (5, "value is NaN"),
    ]  # fmt: skip
    assert dense(path, duplicates="last") == [[1, 0], [0, 3]]
    assert len(read(path)[1]) == 1  # elsewhere only the value matters


def test_a_parquet_files_categories_are_what_they_stand_for(tmp_path):
    columns = {"customer": ["a", "b", "a"], "item": [7, 8, 8], "value": [1.5, 2.0, 1.5]}
    table = {name: pa.array(column).dictionary_encode() for name, column in columns.items()}
    pq.write_table(pa.table(table), tmp_path / "f.parquet")
    assert dense(tmp_path / "f.parquet") == [[1.5, 1.5], [0, 2]]
    table["value"] = pa.array(["1.5", "much", None]).dictionary_encode()
    pq.write_table(pa.table(table), tmp_path / "f.parquet")
    assert read(tmp_path / "f.parquet")[1].by_reason() == {
        "no value": 1,
        "value is not a number": 1,
    }


def test_what_a_parquet_file_has_a_type_of_its_own_for_is_read_as_it_is_stored(tmp_path):
    ids = pa.ExtensionArray.from_storage(pa.opaque(pa.float64(), "id", "shop"), pa.array([1, 2.5]))
    pq.write_table(pa.table({"customer": ids, "item": ["x", "y"]}), tmp_path / "f.parquet")
    assert read(tmp_path / "f.parquet")[0].customers.to_pylist() == ["1.0", "2.5"]


def test_whole_values_of_a_parquet_file_may_need_more_digits_than_a_float_has(tmp_path):
    columns = {"customer": ["a", "b"], "item": ["x", "y"], "value": [2**60 + 1, 1]}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    assert dense(tmp_path / "f.parquet") == [[2.0**60, 0], [0, 1]]


def test_an_id_that_is_no_number_in_a_parquet_file_is_none(tmp_path):
    columns = {"customer": [1.0, float("nan"), 2.0], "item": ["x", "y", "y"], "value": [1, 2, 3]}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    found, rejects = read(tmp_path / "f.parquet")
    assert found.customers.to_pylist() == ["1", "2"]
    assert rejects.by_reason() == {"no customer": 1}


def test_names_are_found_by_the_ids_of_a_float_column(tmp_path):
    path = tmp_path / "items.csv"
    path.write_text("id,title\n1.0,One\n2.0,Two\n")
    found = read_item_names(path, pa.array(["1", "2"]), Rejects())
    assert (found.names, found.n_listed) == (["One", "Two"], 2)


def test_a_quote_that_no_field_closes_is_a_character_between_commas(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text('al,"x,1\nbo,"y,2\n')
    assert read(path)[0].items.to_pylist() == ['"x', '"y']


def test_a_column_called_none_is_a_column(tmp_path):
    path = written(
        tmp_path / "f.csv", [("al", "x", "3"), ("bo", "y", "2")], header=("user", "item", "none")
    )
    assert dense(path, value="none") == [[3, 0], [0, 2]]


def test_large_whole_numbers_of_a_float_column_are_ids_as_text_has_them(tmp_path):
    columns = {"customer": [12345678901.0, 2.0], "item": ["x", "y"], "value": [1, 2]}
    pq.write_table(pa.table(columns), tmp_path / "f.parquet")
    assert read(tmp_path / "f.parquet")[0].customers.to_pylist() == ["12345678901", "2"]


# Pivot tables

PIVOT = (("", "tea", "rye", "jam"), ("ann", 1, "", 2), ("bob", "", 3, 0), ("cat", 2, 2, ""))
NUMBERED = (("customer", 101, 102, 103), *PIVOT[1:])


@pytest.mark.parametrize(
    "rows",
    [
        PIVOT,
        NUMBERED,
        PIVOT[1:],
        (("user", "item", "book", "page"), *PIVOT[1:]),
        (("", *map(str, range(200))), *((c, *[0, c] * 100) for c in "123"), (4, *[4, 0] * 100)),
    ],
    ids=["header", "numbers as header", "no header", "well-known names", "many"],
)
def test_a_table_of_customers_by_items_is_refused_with_a_way_out(tmp_path, rows):
    path = tmp_path / "pivot.csv"
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    with pytest.raises(
        InputError, match=r"^pivot\.csv looks .* a column for each item.* table\.melt\("
    ):
        read(path)


def test_a_log_that_looks_like_one_is_read_once_its_columns_are_stated(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text("1,0,2,0\n2,5,0,0\n3,0,1,1\n")
    with pytest.raises(
        InputError, match="If these are such rows, name their columns with --customer"
    ):
        read(path)
    assert read(path, customer="1", item="2", value="3")[0].n_rows == 3
    assert read(path, item="2")[0].n_rows == read(path, value="3")[0].n_rows == 3


def test_the_line_of_pandas_unpivots_it(tmp_path):
    path = tmp_path / "pivot.csv"
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in NUMBERED))
    table = pd.read_csv(path)
    table.to_parquet(tmp_path / "pivot.parquet")
    for each in (path, tmp_path / "pivot.parquet"):
        with pytest.raises(InputError, match=r"table\.melt") as refused:
            read(each)
    line = re.search(r"table\.melt.*'\)", str(refused.value))
    assert line is not None
    eval(line[0], {"table": table}).to_csv(path, index=False)
    assert read(path)[0].items.to_pylist() == ["101", "102", "103"]
    assert dense(path) == [[1, 0, 2], [0, 3, 0], [2, 2, 0]]


@pytest.mark.parametrize(
    "rows",
    [
        (("user", "item", "value", "gift"), (1, 0, 2, 0), (2, 5, 0, 0), (3, 0, 1, 1)),
        ((1, 7, 0, 0, 0), (2, 8, 3, 0, 0), (3, 9, 1, 1, 1)),
        ((1, 0, 1), (2, 3, 0), (3, 0, 2)),
        ((1, "x", 0, 0), (2, "y", 0, 1), (3, "z", 3, 0)),
        ((1, 0, 2, 0), (1, 5, 0, 0), (3, 0, 1, 1)),
        ((1, 0, 2, 0), (2, 5, 0, 0)),
        ((1, 0, 2, 0), (2, 5, 0, "n/a"), (3, 0, 1, "n/a")),
    ],
    ids=[
        *("known names", "items without 0", "three columns", "text", "a customer twice"),
        *("two rows", "text among numbers"),
    ],
)
def test_a_log_with_zeros_is_no_pivot_table(tmp_path, rows):
    path = tmp_path / "log.csv"
    path.write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    assert read(path)[0].n_rows == len(rows) - isinstance(rows[0][0], str)
