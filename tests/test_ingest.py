"""`segcli ingest` as a stage: what it writes, what it refuses, and the real files as they are."""

import gzip
import hashlib
import io
import json
import os
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from test_inputs import written

from segcli.artifacts import read_artifact
from segcli.artifacts.catalogue import CUSTOMERS, ITEMS, MATRIX, REJECTS
from segcli.errors import InputError, OptionError
from segcli.inputs import pairs, streams
from segcli.inputs.form import Form
from segcli.inputs.locations import Url
from segcli.inputs.triplets import read_triplets
from segcli.stages import ingest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason="the real data are not beside the repository")
OF_OTHERS = b"who,item,rating\nbo,x,3\nal,y,1\nbo,y,2\nal,x,nan\n"
GOOD = "user,item,rating\nbo,x,3\nal,y,1\nbo,y,2\nal,x,nan\n"


@pytest.fixture
def good(tmp_path):
    path = tmp_path / "ratings.csv"
    path.write_text(GOOD)
    return path


def run(interactions, run_dir, *, items=None, items_id=None, items_name=None, strict=False, **form):
    names = {"items": items, "items_id": items_id, "items_name": items_name}
    return ingest.run(interactions, run_dir, Form(**form), **names, strict=strict)


def table(run_dir, artifact):
    return {name: column.tolist() for name, column in read_artifact(run_dir, artifact).items()}


def test_it_writes_four_artifacts(good, tmp_path):
    names = tmp_path / "names.csv"
    names.write_text("id,name\nx,Ex\ny,Why\n")
    found = run(good, tmp_path / "run", items=names)
    matrix = read_artifact(tmp_path / "run", MATRIX)
    assert matrix.toarray().tolist() == [[0, 1], [3, 2]]
    assert matrix.indices.dtype.itemsize == 4
    assert table(tmp_path / "run", CUSTOMERS) == {
        "customer": ["al", "bo"],
        "interactions": [1, 2],
        "total": [1.0, 5.0],
    }
    assert table(tmp_path / "run", ITEMS) == {
        "item": ["x", "y"],
        "name": ["Ex", "Why"],
        "customers": [1, 2],
        "total": [3.0, 3.0],
    }
    assert table(tmp_path / "run", REJECTS) == {
        "file": ["ratings.csv"],
        "row": [5],
        "reason": ["value is NaN"],
        "text": ["al,x,nan"],
    }
    assert found.wrote == ("matrix.npz", "customers.csv", "items.csv", "rejects.csv")
    assert (found.n_rows, found.n_interactions, found.density) == (4, 3, 0.75)
    assert json.loads(json.dumps(asdict(found)))["rejects"] == {"value is NaN": 1}


def test_the_summary_is_short_and_says_what_was_set_aside(good, tmp_path):
    lines = run(good, tmp_path / "run").lines()
    assert len(lines) <= 10
    assert "2 customers × 2 items, 3 interactions (75.00% of all pairs)" in lines
    assert "  value is NaN: 1" in lines


def test_of_negative_values_it_says_where_to_look(good, tmp_path):
    good.write_text(f"{GOOD.rstrip()}\nal,x,-1\n")
    lines = run(good, tmp_path / "run").lines()
    assert "  value is negative: 1 (refunds? see --negative)" in lines
    assert not any(
        "--negative" in line for line in run(good, tmp_path / "net", negative="net").lines()
    )


def test_ordinary_tools_read_the_artifacts(good, tmp_path):
    run(good, tmp_path / "run")
    assert sp.load_npz(tmp_path / "run" / "matrix.npz").sum() == 6
    assert list(pd.read_csv(tmp_path / "run" / "customers.csv")["customer"]) == ["al", "bo"]


def test_shuffled_rows_and_another_folder_give_the_same_bytes(good, tmp_path, monkeypatch):
    run(good, tmp_path / "one")
    rows = GOOD.splitlines()
    (tmp_path / "b").mkdir()
    again = tmp_path / "b" / "ratings.csv"
    again.write_text("\n".join([rows[0], *rows[:0:-1]]) + "\n")
    monkeypatch.chdir(tmp_path / "b")
    run(Path("ratings.csv"), Path("two"))
    for name in ("matrix.npz", "customers.csv", "items.csv"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "b/two" / name).read_bytes()


@pytest.mark.parametrize("block", [2, 1 << 20])
@pytest.mark.parametrize(
    "values", ["1", "3", "1.5", "0.1", "32768", "70000", "1.7014118346046923e38"]
)
def test_least_median_and_largest_value_are_those_of_the_matrix(
    tmp_path, monkeypatch, values, block
):
    monkeypatch.setattr(pairs, "_RANGE", block)
    rows = [f"c{i},i{i % 2},{v}" for i, v in enumerate(["1", "2", values, "4", values, "0.5"])]
    (tmp_path / "f.csv").write_text("\n".join(rows) + "\n")
    found = run(tmp_path / "f.csv", tmp_path / "run")
    data = read_artifact(tmp_path / "run", MATRIX).data
    told = found.value_min, found.value_median, found.value_max
    assert told == (data.min(), np.median(data), data.max())


@pytest.mark.parametrize("name", ["f.csv", "f.csv.gz"])
def test_the_manifest_knows_the_file_by_its_bytes(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(GOOD.encode()) if name.endswith("gz") else GOOD.encode())
    run(path, tmp_path / "run")
    record = json.loads((tmp_path / "run" / "manifest.json").read_text())["stages"]["ingest"]
    assert record["inputs"]["interactions"] == {
        "name": name,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }


def test_the_manifest_holds_what_a_rerun_needs_and_no_folder(good, tmp_path):
    run(good, tmp_path / "run", items=good, items_id="item", items_name="rating", header=True)
    text = (tmp_path / "run" / "manifest.json").read_text()
    record = json.loads(text)["stages"]["ingest"]
    assert str(tmp_path) not in text
    assert record["parameters"]["items"] == "ratings.csv"
    assert record["parameters"]["header"] is True
    assert set(record["inputs"]) == {"interactions", "items"}


def test_a_column_without_a_name_is_called_by_its_position(tmp_path):
    path = tmp_path / "merged.csv"
    path.write_text("Client,,\nal,x,1\nbo,y,2\n")
    found = run(path, tmp_path / "run", customer="1", item="2", value="3")
    assert found.lines()[1] == "  customer = Client, item = column 2, value = column 3"


def test_ids_that_csv_must_quote_survive(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text('user,item,value\n"a,b",x,1\n"c\nd",NA,1\n"e""f",y,1\n007,y,1\n')
    run(path, tmp_path / "run")
    customers = table(tmp_path / "run", CUSTOMERS)["customer"]
    assert customers == ["007", "a,b", "c\nd", 'e"f']
    assert table(tmp_path / "run", ITEMS)["item"] == ["NA", "x", "y"]


WRITTEN = (
    "Numbers are written like -1234.5: with a decimal point, without thousands separators, currency or "
    "percent signs."
)


def zipped(name):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, GOOD)
    return content.getvalue()


REFUSED = {
    "missing": (None, {}, "does not exist"),
    "empty": (b"", {}, "is empty"),
    "blank": (b"\n \n\n", {}, "nothing but blank lines"),
    "header only": (b"user,item,rating\n", {}, "a header and no rows"),
    "wrong column": (GOOD, {"customer": "who"}, "has no column 'who'. It has: user, item, rating. "
                     "Name it with --customer."),
    "position": (GOOD, {"value": "7"}, "has 3 columns; --value 7 is not from 1 to 3"),
    "position 0": (GOOD, {"item": "0"}, "--item 0 is not from 1 to 3"),
    "name, no header": (b"1,2,3\n4,5,6\n", {"item": "sku"}, "has no header, so no column 'sku'"),
    "same column": (GOOD, {"customer": "item", "item": "item"}, "name the same column"),
    "one customer": (b"a,x,1\na,y,2\n", {}, "has 1 customer; segments need at least 2"),
    "one item": (b"a,x,1\nb,x,2\n", {}, "has 1 item; segments need at least 2"),
    "one customer once": (b"a,x,1\na,y,2\nb,x,\n", {}, "has 1 customer once 1 row is rejected; segments "
                          "need at least 2. Is the column right? Name it with --customer. The first row "
                          "rejected is row 3 of ratings.csv, no value: 'b,x,'."),
    "decimal commas": (b"who;what;much\na;x;1,5\nb;y;2,5\n", {}, "It has: who, what, much. Name them"),
    "one customer not cancelled": (b"a,x,1\na,x,-1\nb,y,2\nb,x,3\n", {"negative": "net"}, "has 1 customer "
                                   "once 1 pair cancels out; segments need at least 2. Leave out negative "
                                   "values instead: --negative reject."),
    "one item not cancelled": (b"a,x,1\na,y,-1\na,y,1\nb,y,-1\nb,y,1\nb,x,3\nb,,3\nb,y,\n",
                               {"negative": "keep"}, "has 1 item once 2 rows are rejected and 2 "
                               "pairs cancel out; segments need"),
    "text": (b"a,x,much\nb,y,more\n", {}, "None of the 2 rows of"),
    "nan": (b"a,x,nan\nb,y,NaN\n", {}, "value is NaN: 2"),
    "inf": (b"a,x,inf\nb,y,-inf\n", {}, "value is infinite: 2"),
    "negative": (b"a,x,-1\nb,y,-2\n", {}, "'--negative keep' keeps them"),
    "one row": (b"user,item,rating\na,x,\n", {}, "ratings.csv cannot be used: row 2 of ratings.csv, no "
                "value: 'a,x,'."),
    "decimal comma": (b"a;x;1,5\nb;y;2,5\n", {}, f"{WRITTEN} For decimal commas say --decimal comma."),
    "no decimal comma": (b"a;x;1.5\nb;y;2.5\n", {"decimal": "comma"}, "With --decimal comma numbers are "
                         "written like -1.234,5 or -1234,5, without currency or percent signs."),
    "quoted decimal comma": (b'user,item,n\na,x,"1,5"\nb,y,"2,5"\n', {}, WRITTEN),
    "decimal comma, not first": (b"user;item;n\n;x;1\na;x;1,5\nb;y;2,5\n", {}, WRITTEN),
    "thousands": (b'user,item,n\na,x,"1,000"\nb,y,"2,000"\n', {}, WRITTEN),
    "thousands, spaced": ("user;item;n\na;x;1\u202f000,5\nb;y;2 000,0\n", {}, WRITTEN),
    "currency": (b"user,item,n\na,x,$1\nb,y,$2\n", {}, WRITTEN),
    "currency after": ("user|item|n\na|x|1,5 €\nb|y|2,5 €\n", {}, WRITTEN),
    "ids with commas": (b"user;item;n\n1,5;x;much\n2,5;y;more\n", {"value": "n"}, "Name the column with "
                        "--value; '--value none' counts each row as 1."),
    "dates": (b"user,item,n\na,x,2024-01-03\nb,y,2024-01-04\n", {"value": "n"}, "--value none"),
    "one column": (b"a\nb\nc\n", {}, "no delimiter splits its rows into two or more columns; the first "
                   "is 'a'. State what separates them: --delimiter."),
    "rows in quotes": (b'"user,item,n"\n"a,""x"",1"\n"b,""y"",1"\n', {}, "the first is '\"user,item,n\"'. "
                       "Each row is in quotes as a whole: remove those."),
    "one column in quotes": (b'"a"\n"b"\n', {}, "State what separates them"),
    "one column, stated": (b"a\nb\nc\n", {"delimiter": ",", "item": "2"}, "has one column; it needs "
                           "customer and item. State what separates them: --delimiter."),
    "nul": (b"a,b\0,c\n", {}, "is a binary file, or damaged: it holds NUL bytes, the first in line 1."),
    "late nul": (b"a,b,1\n" * 300_000 + b"a,b,\0\n", {}, "the first in line 300,001."),
    "nul in utf-16": ("a,b,1\nc,\0d,1\n".encode("utf-16"), {}, "is a binary file, or damaged: it holds "
                      "NUL characters, the first in line 2."),
    "nul in stated utf-16": ("a,b,1\n\u0a0a,\0,1\n".encode("utf-16-be"), {"encoding": "utf-16-be"},
                             "the first in line 2."),
    "zeros": (bytes(5000), {}, "is a binary file"),
    "integers": (np.arange(500).astype("<i4").tobytes(), {}, "is a binary file"),
    "feather": (b"ARROW1\0\0rest", {}, "looks like a Feather (Arrow) file"),
    "xlsx": (zipped("[Content_Types].xml"), {}, "looks like an Excel workbook (.xlsx). Export the rows"),
    "xlsx of another program": (zipped("xl/workbook.xml"), {}, "looks like an Excel workbook (.xlsx)"),
    "ods": (zipped("mimetype"), {}, "looks like an OpenDocument workbook (.ods). Export the rows"),
    "zip": (zipped("ratings.csv"), {}, "looks like a zip archive. Unpack it and use the file in it."),
    "zip, encoded": (zipped("xl.csv"), {"encoding": "latin-1"}, "looks like a zip archive"),
    "bzip2": (b"BZh91AY", {}, "looks like a bzip2 archive. Unpack it and use the file in it."),
    "pointer": (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 7\n", {}, "looks like a "
                "Git LFS pointer. Fetch the file itself: git lfs pull."),
    "png": (b"\x89PNG\r\n\x1a\nrest", {}, "looks like a PNG picture"),
    "json": (b'[{"user": 1}]', {}, "looks like JSON"),
    "json of lists": (b'[["a", "x", 1]]', {}, "looks like JSON"),
    "json, indented": (b'[\n  {\n    "user": 1\n  }\n]', {}, "looks like JSON"),
    "json, indented object": (b'{\n "data": []}', {}, "looks like JSON"),
    "json lines, spaced": (b'{ "user": 1, "item": 2 }\n{ "user": 1, "item": 3 }\n', {}, "looks like JSON"),
    "json lines of lists": (b'["a", "x", 1]\n["b", "y", 2]\n', {}, "looks like JSON"),
    "table of a page": (b"<table border=1>\n<tr><td>a</td>", {}, "looks like a web page or XML"),
    "answer in xml": (b"<Error><Code>AccessDenied</Code></Error>", {}, "looks like a web page or XML"),
    "page": (b"\n <!DOCTYPE html>", {}, "looks like a web page or XML"),
    "xml": (b'\xef\xbb\xbf<?xml version="1.0"?>', {}, "looks like a web page or XML"),
    "tar": (b"ratings.csv".ljust(257, b"\0") + b"ustar", {}, "looks like a tar archive"),
    "utf-16": (GOOD.encode("utf-16-le"), {}, "--encoding utf-16-le"),
    "utf-16 of other letters": ("ж,x,1\nб,y,2\n".encode("utf-16-le"), {}, "--encoding utf-16-le"),
    "truncated gz": (gzip.compress(GOOD.encode() * 99)[:-20], {}, "is cut short"),
    "damaged gz": (b"\x1f\x8bnot really", {}, "cannot be read"),
    "damaged gz, later": (gzip.compress(b"")[:10] + b"\xff" * 20, {}, "cannot be read"),
    "damaged parquet": (b"PAR1 but no more PAR1", {}, "cannot be read as Parquet"),
    "undecodable": ("é,x,1\n".encode("latin-1"), {"encoding": "utf-8"}, "is not utf-8"),
    "cut within a letter": (b"a,x,1\nb,y\xc3", {"encoding": "utf-8"}, "at byte 10, in line 2."),
    "marked as utf-8": (b"\xef\xbb\xbfa,x,1\n\xe9,y,2\n", {}, "begins as UTF-8 but does not stay so"),
    "strict": (GOOD, {"strict": True}, "1 row cannot be used; the first is row 5 of ratings.csv, "
               "value is NaN: 'al,x,nan'"),
    "ragged": (b"user,item,n\n1,2\n3,4\n", {}, "ratings.csv: the first line has 3 fields, "
               "'user', 'item', 'n'; 2 of the next 2 rows have 2. Remove it if it is neither a header "
               "nor a row."),
    "delimiters at the end of most": (b"user;item\n1;2;\n" + 10 * b"3;4;\n" + b"5;6\n", {}, "They end in"),
    "a name too few": (b"user,item\n1,2,3\n3,4,5\n", {}, "2 of the next 2 rows have 3. Remove it if it is "
                        "neither"),
    "a delimiter too many": (b"user,item,n,\n1,2,3\n3,4,5\n", {}, "It ends in ',': remove that."),
    "comment": (b"# from 2024\n" + OF_OTHERS, {}, "has 1 field, '# from 2024'; 5 of the next 5 "
                "rows have 3. Remove it if it is"),
    "two comments": (b"# from 2024\n# for us\n" + OF_OTHERS, {}, "rows have 3. Remove it and the next "
                     "1 row if they are neither a header nor a row."),
    "three comments": (b"# from 2024\n\n# for us\n# a, b\n" + OF_OTHERS, {}, "Remove it and the next 2 "
                       "rows if they are"),
    "comment with a delimiter": (b"# from 2024, for us\n" + OF_OTHERS, {}, "has 2 fields"),
    "title": (b"Sales,,\n" + GOOD.encode(), {}, "ratings.csv: a header stands below its first row, "
              "'user', 'item', 'rating'. Remove the row above it, or say --no-header."),
    "titles": (b"Sales,2024,\n\n,,\n" + GOOD.encode(), {}, "Remove the 2 rows above it, or"),
    "names of groups": (b"Customer,Sales,\n" + GOOD.encode(), {}, "a header stands below its first row, "
                        "'user', 'item', 'rating'. Remove the row above it"),
    "names of groups, an option": (b"Customer,Sales,\n" + GOOD.encode(), {"item": "item"},
                                   "a header stands below its first row"),
    "title of one field": (b"# from 2024\n" + GOOD.encode(), {}, "Remove the row above it, or"),
    "aligned": (b"user  item  n\na     x     1\nbee   y    22\n", {}, "columns are aligned with "
                "spaces. Put one comma or tab between them; if each space separates, say --delimiter "
                "space."),
    "aligned to the right": (b"  a x 1\n bb y 2\n", {}, "columns are aligned with spaces."),
    "delimiters at the end": (b"user;item;n\n1;2;3;\n3;4;5;\n", {}, "They end in ';': add one to the "
                              "first line."),
    "cancelled": (b"a,x,1\na,x,-1\nb,y,2\nb,y,-2\n", {"negative": "net"}, "values cancel out"),
    "huge": (b"a,x,1e308\na,x,1e308\nb,y,1e200\n", {}, "value is beyond 1e50 or nearer to 0 than "
             "1e-50: 3"),
    "tiny": (b"a,x,1e-310\nb,y,-1e-200\n", {"negative": "keep"}, "nearer to 0 than 1e-50: 2"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(tmp_path, case):
    content, options, message = REFUSED[case]
    path = tmp_path / "ratings.csv"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = sorted(tmp_path.iterdir())
    with pytest.raises(InputError) as caught:
        run(path, tmp_path / "run", **options)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before


def test_the_line_of_the_first_nul_is_told_however_long_the_file_is(tmp_path, monkeypatch):
    monkeypatch.setattr(streams, "PIECE", 8)
    path = tmp_path / "r.csv"
    path.write_bytes(b"user,item\nal,\0\n" + 20 * b"bo,x\n")
    with pytest.raises(InputError, match=r"the first in line 2\."):
        run(path, tmp_path / "run")


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may read all")
def test_an_unreadable_file_is_refused(good, tmp_path):
    good.chmod(0)
    with pytest.raises(InputError, match="cannot be read: permission denied"):
        run(good, tmp_path / "run")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"negative": "net", "duplicates": "last"}, "cannot go with --duplicates last"),
        ({"items_id": "x"}, "Name the table with --items"),
        ({"delimiter": "and"}, "cannot separate fields"),
        ({"encoding": "utf-99"}, "not the name of an encoding"),
        ({"encoding": "rot13"}, "not the name of an encoding"),
        ({"encoding": "undefined"}, "not the name of an encoding"),
    ],
)
def test_choices_that_do_not_go_are_refused(good, tmp_path, options, message):
    with pytest.raises(OptionError, match=message):
        run(good, tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_failing_ingest_leaves_the_last_one_whole(good, tmp_path):
    run(good, tmp_path / "run")
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    with pytest.raises(InputError):
        run(good, tmp_path / "run", strict=True)
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_a_table_of_names_that_is_not_there_is_refused(good, tmp_path):
    with pytest.raises(InputError, match=r"names.csv does not exist"):
        run(good, tmp_path / "run", items=tmp_path / "names.csv")


def test_names_that_match_nothing_are_told(good, tmp_path):
    names = tmp_path / "names.csv"
    names.write_text("id,name\n1,Ex\n2,Why\n")
    lines = run(good, tmp_path / "run", items=names).lines()
    assert any("names none of the items" in line for line in lines)


def test_a_table_that_names_no_item_is_told_from_one_of_other_items(good, tmp_path):
    names = tmp_path / "names.csv"
    names.write_text("id,name\nx,\n1,Ex\ny, \n")
    found = run(good, tmp_path / "run", items=names)
    assert (found.n_named, found.n_unnamed, found.n_listed) == (0, 2, 2)
    message = "names.csv has 2 of the items, all without a name. Is column name the name?"
    assert any(message in line for line in found.lines())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "names.csv is empty: it holds no rows"),
        ("id,name\n", "It needs rows of item id and name"),
        ("id\nx\ny\n", "Write id and name with a comma, a semicolon or a tab between them"),
        ("# our items\nid,name\nx,Ex\n", "the first line has 1 field, '# our items'"),
        ("id,name,name\nx,Ex,E\n", "State its position with --items-name"),
    ],
)
def test_a_table_of_names_that_cannot_be_used_is_refused_in_its_own_words(
    good, tmp_path, content, message
):
    names = tmp_path / "names.csv"
    names.write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        run(good, tmp_path / "run", items=names)
    assert "customer" not in str(caught.value)
    assert "--delimiter" not in str(caught.value)


# The real files. Each figure is the data's README's, or its difference is explained.


def ingest_real(tmp_path, interactions, items, **options):
    return run(DATA / interactions, tmp_path / "run", items=DATA / items, **options)


@real
def test_movielens(tmp_path):
    found = ingest_real(tmp_path, "ml-100k/u.data", "ml-100k/u.item")
    assert (found.n_customers, found.n_items, found.n_interactions) == (943, 1682, 100_000)
    assert (found.value_min, found.value_max, found.n_named) == (1, 5, 1682)


@real
def test_lastfm(tmp_path):
    found = ingest_real(tmp_path, "lastfm-2k/user_artists.dat", "lastfm-2k/artists.dat")
    # One row has the id 65 with two spaces after it.
    assert (found.n_customers, found.n_items, found.n_interactions) == (1892, 17_632, 92_834)
    assert (found.value_median, found.value_max, found.n_unnamed) == (260, 352_698, 0)
    items = table(tmp_path / "run", ITEMS)
    names = dict(zip(items["item"], items["name"], strict=True))
    assert names["1686"] == '"Weird Al" Yankovic'


@real
def test_msweb(tmp_path):
    found = ingest_real(tmp_path, "msweb/visits.csv", "msweb/items.csv")
    assert (found.n_customers, found.n_items, found.n_interactions) == (32_711, 285, 98_654)
    assert (found.value_max, found.n_unnamed) == (1, 0)


@real
def test_online_retail(tmp_path):
    file = "online-retail/online_retail.csv.gz"
    columns = {"customer": "CustomerID", "item": "StockCode", "value": "Quantity"}
    names = {"items_id": "StockCode", "items_name": "Description"}
    found = ingest_real(tmp_path, file, file, **columns, **names)
    assert found.n_rows == 541_909
    assert found.rejects == {"no customer": 135_080, "value is negative": 8_905}
    assert found.n_unnamed == 0
    customers = table(tmp_path / "run", CUSTOMERS)["customer"]
    assert not any("." in customer for customer in customers)

    raw = pd.read_csv(DATA / file, usecols=list(columns.values()), dtype={"StockCode": str})
    known = raw.dropna(subset="CustomerID")
    assert (known["CustomerID"].nunique(), known["StockCode"].nunique()) == (4372, 3684)
    bought = known[known["Quantity"] > 0]  # the rest only ever sent something back
    assert found.n_customers == bought["CustomerID"].nunique()
    assert found.n_items == bought["StockCode"].nunique()
    assert found.n_merged == bought.duplicated(["CustomerID", "StockCode"]).sum()


def test_rejects_of_the_table_of_names_are_none_of_the_interactions(good, tmp_path):
    names = tmp_path / "names.csv"
    names.write_text("id,name\nx,Ex\n,one\n,two\n")
    found = run(good, tmp_path / "run", items=names)
    assert (found.rejects, found.n_bad_names) == ({"value is NaN": 1}, 2)
    assert "Rows: 4 read, 0 merged into another of the same pair, 1 rejected" in found.lines()
    assert found.lines()[-1] == (
        "Names: 1 item named from names.csv, 1 without a name; 2 rows of it rejected"
    )
    assert len(table(tmp_path / "run", REJECTS)["row"]) == 3
    with pytest.raises(InputError, match="3 rows cannot be used"):
        run(good, tmp_path / "run", items=names, strict=True)
    alone = written(tmp_path / "g.csv", [("al", "x", "1"), ("al", "y", "2")])
    with pytest.raises(InputError, match=r"has 1 customer; .*Name it with --customer\.$"):
        run(alone, tmp_path / "other", items=names)


@pytest.mark.parametrize("items", [("1.0", "2.0"), ("1", "2"), ("1.0", "SKU9")])
@pytest.mark.parametrize("listed", [("1.0", "2.0", "SKU9"), ("1", "2", "SKU9"), ("1.0", "2.0")])
def test_names_are_found_however_a_float_columns_ids_are_written(tmp_path, items, listed):
    path, names = tmp_path / "f.csv", tmp_path / "names.csv"
    path.write_text(f"customer,item\na,{items[0]}\nb,{items[1]}\n")
    names.write_text("id,name\n" + "".join(f"{item},N{item[0]}\n" for item in listed))
    run(path, tmp_path / "run", items=names)
    known = "NS" if "SKU9" in listed else ""
    expected = ["N1", known if items[1] == "SKU9" else "N2"]
    assert table(tmp_path / "run", ITEMS)["name"] == expected


def test_what_is_said_of_the_interactions_holds_for_names_in_the_same_file(tmp_path):
    """What would be found out is another delimiter, a header, another encoding and another column."""
    path = tmp_path / "f.txt"
    text = "al;game;é, a, b, c, d\nbo;page;ü, a, b, c, d\ncy;;ö, a, b, c, d\n"
    path.write_bytes(text.encode("cp437"))
    columns = {"customer": "1", "item": "2", "value": "none", "items_name": "3"}
    form = {"delimiter": ";", "header": False, "encoding": "cp437"}
    found = run(path, tmp_path / "run", items=path, **columns, **form)
    names = dict(zip(*(table(tmp_path / "run", ITEMS)[c] for c in ("item", "name")), strict=True))
    assert names == {"game": "é, a, b, c, d", "page": "ü, a, b, c, d"}
    assert (found.rejects, found.n_bad_names) == ({"no item": 1}, 0)
    assert list(table(tmp_path / "run", REJECTS)["row"]) == [3]


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_url_and_a_path_of_the_same_place_are_told_to_be_the_same(tmp_path, kind):
    """Its bad rows are rejected once, and what is stated of it holds for names, too."""
    folder = tmp_path / "days"
    folder.mkdir()
    path = folder / "1.csv"
    path.write_text("al; a, b;x\nbo; c;y\ncy; d;\n")
    place = path if kind == "file" else folder

    def read(url, form, rejects):
        assert str(url) == f"file://{place}"
        return read_triplets(place, form, rejects)

    form = Form(customer="1", item="3", value="none", delimiter=";", header=False)
    url = Url(f"file://{place}")
    found = ingest.run(url, tmp_path / "run", form, read=read, items=place, items_name="2")
    assert table(tmp_path / "run", ITEMS)["name"] == ["a, b", "c"]
    assert (found.rejects, found.n_bad_names) == ({"no item": 1}, 0)
    assert table(tmp_path / "run", REJECTS)["row"] == [3]


@pytest.mark.parametrize(
    "url", ["s3a://days", "file://host/days", "hdfs:///days", "file:///nowhere/days"]
)
def test_a_url_of_elsewhere_is_no_path_here(tmp_path, url):
    names = tmp_path / "days"
    names.write_text("item,name\nx,Ex\n,Nil\n")
    rows = written(tmp_path / "f.csv", [("a", "x", "2"), ("b", "y", "2")])

    def read(_, form, rejects):
        return read_triplets(rows, form, rejects)

    found = ingest.run(Url(url), tmp_path / "run", Form(), read=read, items=names)
    assert (found.n_named, found.n_bad_names) == (1, 1)


def test_the_id_that_is_stated_for_names_holds_also_in_the_same_file(tmp_path):
    path = tmp_path / "f.csv"
    path.write_text("user,item,of,title\nal,x,y,Why\nbo,y,x,Ex\n")
    run(path, tmp_path / "run", value="none", items=path, items_id="of", items_name="title")
    assert table(tmp_path / "run", ITEMS)["name"] == ["Ex", "Why"]


def test_items_that_the_table_of_names_lacks_are_without_a_name(tmp_path):
    path = written(tmp_path / "f.csv", [(c, i, "2") for c, i in ("ax", "ay", "by", "bz")])
    names = tmp_path / "names.csv"
    names.write_text("id,name\nx,Ex\ny,\n")
    found = run(path, tmp_path / "run", items=names)
    assert (found.n_named, found.n_unnamed, found.n_listed) == (1, 2, 2)
    assert found.lines()[-1] == "Names: 1 item named from names.csv, 2 without a name"


@pytest.mark.parametrize("before", [("i", "I"), ("i", '"I, i"')], ids=["plain", "quoted"])
def test_a_row_of_a_long_table_of_names_is_rejected_as_it_stands(
    good, tmp_path, monkeypatch, before
):
    monkeypatch.setattr("segcli.inputs.streams.PIECE", 50)
    monkeypatch.setattr("segcli.inputs.text_table._LEAST_PART", 50)
    rows = [before] * 20 + [(" ", "nobody")] + [before] * 20
    names = written(tmp_path / "names.csv", rows, header=("id", "name"))
    run(good, tmp_path / "run", items=names)
    rejects = table(tmp_path / "run", REJECTS)
    assert (rejects["row"][-1], rejects["text"][-1]) == (22, " ,nobody")


def test_the_manifest_knows_the_table_of_names_by_its_bytes(tmp_path):
    path = written(tmp_path / "f.csv", [("al", "x", "1"), ("bo", "y", "2")])
    names = tmp_path / "names.csv"
    names.write_text("id,name\nx,Ex\n")
    run(path, tmp_path / "run", items=names)
    record = json.loads((tmp_path / "run" / "manifest.json").read_text())["stages"]["ingest"]
    sha256 = hashlib.sha256(names.read_bytes()).hexdigest()
    assert record["inputs"]["items"] == {"name": "names.csv", "sha256": sha256}


@pytest.mark.parametrize(
    ("header", "value", "said"),
    [
        (
            "date,customer_id,sku,margin",
            None,
            "each row counts 1 (unused: margin; --value names the value)",
        ),
        ("date,customer_id,sku,margin", "none", "each row counts 1"),
        ("date,customer_id,sku,qty", None, "value = qty"),
        ("date,buyer_id,sku,revenue", None, "value = revenue"),
    ],
)
def test_columns_that_may_be_the_value_are_named_where_none_is_known(tmp_path, header, value, said):
    path = tmp_path / "f.csv"
    path.write_text(f"{header}\n2020-01-01,a,x,2\n2020-01-02,b,y,3\n")
    found = run(path, tmp_path / "run", value=value)
    assert found.lines()[1].endswith(f", {said}")
    assert ("unused" in found.dialect) == ("unused" in said)


def test_of_many_columns_that_may_be_the_value_ten_are_named(tmp_path):
    path = tmp_path / "f.csv"
    for n, more in ((10, ""), (11, ", …")):
        unused = [f"c{i}" for i in range(n)]
        cells = ",1" * n
        path.write_text(f"date,user,item,{','.join(unused)}\n1,a,x{cells}\n2,b,y{cells}\n")
        said = run(path, tmp_path / f"run{n}").lines()[1]
        assert f"(unused: {', '.join(unused[:10])}{more}; --value names the value)" in said


@pytest.mark.parametrize(
    "word",
    [
        r"\N",
        "NULL",
        "null",
        "NA",
        "#N/A",
        "nan",
        "None",
        "<NA>",
        "(not set)",
        "-",
        "guest",
        "00000000-0000-0000-0000-000000000000",
    ],
)
def test_ids_that_stand_for_none_stay_and_are_told(tmp_path, word):
    path = tmp_path / "r.csv"
    path.write_text(f"user,item,n\na,x,1\n{word},x,1\n{word},y,1\nb,{word},2\n")
    found = run(path, tmp_path / "run")
    assert table(tmp_path / "run", CUSTOMERS)["customer"] == sorted(["a", "b", word])
    way_out = "If so, leave the field empty: the row is then rejected."
    assert found.doubts == (
        f"No real customer? '{word}' (2 interactions). {way_out}",
        f"No real item? '{word}' (1 interaction). {way_out}",
    )
    assert found.lines()[-2:] == [*found.doubts]


def test_ids_that_hold_such_a_word_are_no_doubt(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(
        "user,item,n\nNADA,x,1\nNADA,y,1\nnull-1,y,1\nNA x,none of it,1\n12E+3x,0E1,2\n"
    )
    assert run(path, tmp_path / "run").doubts == ()


def test_ids_that_a_spreadsheet_has_rounded_are_told(tmp_path):
    path = tmp_path / "r.csv"
    rows = [f"a,{i}.00638E+12,1\n" * i for i in range(1, 5)]
    path.write_text("user,item,n\n" + "".join(rows) + "b,1.00638E+12,1\n")
    assert run(path, tmp_path / "run").doubts == (
        "Rounded? Item '1.00638E+12' (2 interactions), '2.00638E+12' (1 interaction), '3.00638E+12' (1 "
        "interaction) and 1 more. Spreadsheets shorten long numbers so that several become one: export "
        "them as text.",
    )


@pytest.mark.parametrize(
    ("order", "said"),
    [
        (
            "customer",
            "Each customer has only one item, which makes no segments. Is the column right?",
        ),
        ("item", "Each item has only one customer, which makes no segments. Is the column right?"),
    ],
)
def test_a_column_that_has_another_value_in_each_row_is_told(tmp_path, order, said):
    path = tmp_path / "r.csv"
    rows = [f"row {i},{letter},1\n" for i, letter in enumerate("abab")]
    path.write_text(("user,item,n\n" if order == "customer" else "item,user,n\n") + "".join(rows))
    assert run(path, tmp_path / "run").doubts == (f"{said} Name it with --{order}.",)


def test_names_in_angle_brackets_are_a_header(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("<user>,<item>,<value>\na,x,1\nb,y,1\na,y,2\n")
    assert run(path, tmp_path / "run").dialect["columns"]["customer"] == "<user>"


@pytest.mark.parametrize("separator", ["\t", " "])
def test_names_in_angle_brackets_are_no_markup_in_whatever_separates_them(tmp_path, separator):
    path = tmp_path / "r.txt"
    rows = (("<ann>", "<x>", "1"), ("<bo>", "<y>", "2"))
    path.write_text("".join(separator.join(row) + "\n" for row in rows))
    assert run(path, tmp_path / "run").n_customers == 2


@pytest.mark.parametrize("number", ["1,234.50", "$12.50", "12.00-", "5%"])
def test_numbers_that_are_written_otherwise_are_told_where_others_are_read(tmp_path, number):
    path = tmp_path / "r.csv"
    path.write_text(f'user,item,n\na,x,1\na,y,much\na,y,"{number} "\nb,y,2\nb,x,9,9\nb,x,3\n')
    found = run(path, tmp_path / "run")
    assert found.rejects == {"value is not a number": 2, "wrong number of fields": 1}
    assert found.doubts == (f"Values such as '{number}' are rejected. {WRITTEN}",)


def test_a_value_that_is_no_number_may_stand_beside_a_long_text(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text(f"user,item,n\na,x,1\na,y,2\nb,{'y' * 300_000},5%\nb,y,3\n")
    assert run(path, tmp_path / "run").doubts == (f"Values such as '5%' are rejected. {WRITTEN}",)


@pytest.mark.parametrize(
    ("values", "read"),
    [
        (["999", "1.961", "12.000"], "'1.961' is read with a decimal point, not as 1961"),
        (["1", "-123.456", "7"], "'-123.456' is read with a decimal point, not as -123456"),
        (["1", "1.961", "0.125"], ""),
        (["1", "1.961", "2.5"], ""),
        (["1000", "1.961", "2.500"], ""),
        (["1.000", "1.961", "2.500"], ""),
        (["1", "2", "3"], ""),
    ],
)
def test_points_that_may_separate_thousands_are_told(tmp_path, values, read):
    path = tmp_path / "r.csv"
    rows = zip("abb", "xyx", values, strict=True)
    path.write_text("".join(f"{customer},{item},{value}\n" for customer, item, value in rows))
    found = run(path, tmp_path / "run", negative="keep").doubts
    said = f"Value {read}. If points separate thousands, leave them out."
    assert found == ((said,) if read else ())


def test_commas_that_may_separate_thousands_are_not_said_to_be_decimal(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text('a;x;"1,000"\na;y;"1,234,567"\na;y;1\nb;x;20\nb;y;3\n')
    (doubt,) = run(path, tmp_path / "run").doubts
    assert doubt.endswith(WRITTEN)


def test_values_may_have_a_decimal_comma(tmp_path):
    """In a part of a file without any fraction too, and with what separates thousands."""
    path = tmp_path / "r.csv"
    written = ["1,5", "2", ",5", "1.234", "1.234.567,25", "1 234,5", "-0,5", "1,2e2"]
    rows = [f"{row};{row % 2};{value}\n" for row, value in enumerate(written)]
    wrong = ["1.5", "1,5,5", "1.23,5", "12.34", "0.125", "1,234.5", "5 €"]
    path.write_text("user;item;n\n" + "".join(rows) + "".join(f"x;y;{value}\n" for value in wrong))
    found = run(path, tmp_path / "run", decimal="comma", negative="keep")
    assert found.rejects == {"value is not a number": len(wrong)}
    assert "Values such as '1.5' are rejected. With --decimal comma" in found.doubts[0]
    matrix = sp.load_npz(tmp_path / "run" / "matrix.npz")
    assert matrix.sum(axis=1).tolist() == [1.5, 2, 0.5, 1234, 1234567.25, 1234.5, -0.5, 120]
    path.write_text("user;item;n\na;x;1.234\nb;y;2.000\n")
    assert run(path, tmp_path / "run", decimal="comma").value_max == 2000


def test_thousands_are_told_also_beside_millions_which_are_no_numbers(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("a,x,1.234.567\na,y,1.961\nb,x,20\nb,y,3\n")
    assert run(path, tmp_path / "run", header=False).doubts == (
        f"Values such as '1.234.567' are rejected. {WRITTEN}",
        "Value '1.961' is read with a decimal point, not as 1961. If points separate thousands, leave "
        "them out.",
    )
    path.write_text("a,x,1.234.567\na,y,961\nb,x,20\nb,y,3\n")
    assert len(run(path, tmp_path / "run", header=False).doubts) == 1


def test_a_header_below_the_first_row_may_be_said_to_be_none(tmp_path):
    path = tmp_path / "r.csv"
    path.write_text("a,x,1\nb,x,1\nuser,item,n\na,y,1\n")
    assert run(path, tmp_path / "run", header=False).rejects == {"value is not a number": 1}
    path.write_text("a,x,1\nb,x,1\nuser,thing,2\na,y,1\n")
    assert run(path, tmp_path / "run").n_customers == 3
    path.write_text("a,x,1\nb,y,1\n" * 10 + "user,item,n\na,y,1\n")
    assert run(path, tmp_path / "run").rejects == {"value is not a number": 1}


@pytest.mark.parametrize("n_before", [1, 200_000])
def test_a_file_that_is_utf_8_but_for_some_bytes_is_told(tmp_path, n_before):
    path = tmp_path / "r.csv"
    rows = "a,ä,1\na,öö,1\n".encode() * n_before
    path.write_bytes(rows + b"c,Caf\xe9,1\nb,Caf\xe9,1\n")
    assert run(path, tmp_path / "run").doubts == (
        f"r.csv, line {2 * n_before + 1:,}: 2 bytes from here on are not UTF-8, though all else is, so "
        "the file is read as latin-1, and letters beyond ASCII come out wrong. Write all of it as UTF-8.",
    )
    assert run(path, tmp_path / "run", encoding="latin-1").doubts == ()


def test_a_file_of_which_little_happens_to_be_utf_8_is_no_doubt(tmp_path):
    path = tmp_path / "r.csv"
    path.write_bytes(b"a,\xc3\xa4,1\na,\xe4,1\nb,\xe4,1\n")
    assert run(path, tmp_path / "run").doubts == ()


def test_spaces_that_are_said_to_separate_each_may_be_several(tmp_path):
    path = tmp_path / "r.txt"
    path.write_text("a x  1\nb y  2\na y  3\n")
    assert run(path, tmp_path / "run", delimiter="space", value="4").value_max == 3
    path.write_text("a x 1\nb y 2 \na y  3\nb z 3\n")
    assert run(path, tmp_path / "run").rejects == {"wrong number of fields": 2}


@pytest.mark.parametrize(
    ("before", "after"),
    [(' "', '"'), ("'", "'"), ('"=""', '"""')],
    ids=["space", "single", "formula"],
)
def test_quotes_that_are_part_of_most_ids_are_told(tmp_path, before, after):
    path = tmp_path / "r.csv"
    rows = [f"{c},{before}{i}{after},1\n" for c, i in ("ax", "ay", "by")]
    path.write_text("user,item,n\n" + "".join(rows))
    found = run(path, tmp_path / "run")
    ids = table(tmp_path / "run", ITEMS)["item"]
    assert found.doubts == (
        f"Quotes are part of item '{ids[1]}' (2 interactions), '{ids[0]}' (1 interaction). They enclose a "
        "field only if they are double, right after a delimiter, and doubled inside.",
    )
    path.write_text("user,item,n\n" + "".join([*rows, "a,z,1\n", "a,w,1\n"]))
    assert run(path, tmp_path / "run").doubts == ()


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_quote_that_is_closed_lines_later_is_told(tmp_path, end):
    """As a stray one loses the rows up to the next: a text with quotes in it looks the same."""
    path = tmp_path / "r.csv"
    rows = [
        'a,"x",1',
        'b,"y',
        "of two lines",
        '",2',
        "c,x,1",
        'a,"z,3',
        "b,x,1",
        'c,"y",2',
        "a,y,1",
    ]
    path.write_text(end.join(rows) + end, newline="")
    said = (
        "r.csv, line 6: a quote is opened and closed only 2 lines later: '\"z,3'. If it was to be closed "
        "sooner, rows are lost in it."
    )
    assert run(path, tmp_path / "run").doubts == (said,)
    path.write_text(end.join([*rows, *rows]) + end, newline="")
    assert run(path, tmp_path / "run").doubts == (f"{said} So it is with 1 more.",)
    path.write_text(end.join(row.replace('"z', "z") for row in rows) + end, newline="")
    assert run(path, tmp_path / "run").doubts == ()


def test_doubts_are_about_all_files_of_a_folder(tmp_path):
    folder = tmp_path / "days"
    folder.mkdir()
    (folder / "5.csv").write_text('a,"x",1\n')
    for n_days, more in ((3, ()), (4, ("1 more such doubt",)), (5, ("2 more such doubts",))):
        for day in range(n_days):
            (folder / str(day)).mkdir(exist_ok=True)
            (folder / str(day) / "a.csv").write_text('a,"x",1\na,"z,3\nb,"y",1\nb,"x",1\n')
        found = run(folder, tmp_path / "run").doubts
        assert [doubt.split(",")[0] for doubt in found[:3]] == ["0/a.csv", "1/a.csv", "2/a.csv"]
        assert found[3:] == tuple(f"Files give rise to {doubts}." for doubts in more)


def test_ids_that_differ_by_case_alone_are_told(tmp_path):
    path = tmp_path / "r.csv"
    rows = [
        "Ann@x.org,A1",
        "ann@x.org,A2",
        "BO,A2",
        "bo,a2",
        "BoB,É",
        "BoB,A1",
        "Cy,A1",
        "CY,A1",
        "cY,A1",
    ]
    path.write_text("user,item\n" + "\n".join(rows))
    said = "Ids are case-sensitive: write the same id in one way."
    assert run(path, tmp_path / "run").doubts == (
        f"Twice? 3 customers also occur in other capitals, such as 'Ann@x.org'. {said}",
        f"Twice? 1 item also occurs in other capitals, such as 'A2'. {said}",
    )
