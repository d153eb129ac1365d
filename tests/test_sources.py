"""A folder of files that are written alike is read as one file."""

import errno
import gzip
import hashlib
import json
import os
from pathlib import Path

import pandas as pd
import pytest
from parts import (
    ARTIFACTS,
    OPTIONS,
    assert_same_as_whole,
    ingested,
    interactions,
    write_parts,
    write_rows,
)
from run_dirs import assert_one_line, invoke, ok
from test_inputs import ROWS, read, written

from segcli import progress
from segcli.errors import InputError
from segcli.inputs.rejects import Rejects
from segcli.inputs.sources import is_hidden
from segcli.inputs.triplets import Form, read_triplets
from segcli.stages import ingest

HEADER = "customer,item,value\n"


@pytest.fixture
def folder(tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "a.csv").write_text(f"{HEADER}ann,x,1\nbob,y,2\n")
    (parts / "b.csv").write_text(f"{HEADER}ann,y,4\n,y,8\nann,x,3\n")
    return parts


def digest(run):
    manifest = json.loads((run / "manifest.json").read_text())
    return manifest["stages"]["ingest"]["inputs"]["interactions"]["sha256"]


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_parts_are_read_as_one_file_is(tmp_path, kind, options):
    table, parts = interactions(), tmp_path / "parts"
    write_parts(table, parts, kind)
    write_rows(table, tmp_path / f"whole.{kind}")
    whole = ingested(tmp_path / f"whole.{kind}", tmp_path / "whole", *options)
    assert_same_as_whole(whole, ingested(parts, tmp_path / "run", *options))


def test_parts_may_be_packed_and_of_both_kinds(tmp_path, folder):
    before = ingested(folder, tmp_path / "before")
    (folder / "b.csv.gz").write_bytes(gzip.compress((folder / "b.csv").read_bytes()))
    (folder / "b.csv").unlink()
    table = interactions(0)[["customer", "item", "value"]]
    write_rows(table, folder / "none.parquet")
    after = ingested(folder, tmp_path / "after")
    assert digest(after) != digest(before)
    for artifact in ARTIFACTS:
        assert (after / artifact).read_bytes() == (before / artifact).read_bytes()


def test_the_summary_says_how_many_files_there_were(tmp_path, folder, monkeypatch):
    lines = ok("ingest", folder, tmp_path / "run").stdout.splitlines()
    assert lines[0] == "parts: 2 files, comma-separated, with a header, utf-8"
    assert "Rows: 5 read, 1 merged into another of the same pair, 1 rejected" in lines
    assert "b.csv,3,no customer" in (tmp_path / "run" / "rejects.csv").read_text()
    monkeypatch.chdir(folder)
    assert ok("ingest", ".", "../run").stdout.startswith("parts: 2 files")
    found = json.loads(ok("ingest", "a.csv", "../run", "--json").stdout)
    assert (found["interactions"], found["n_files"]) == ("a.csv", 1)


def test_whoever_watches_sees_which_file_is_read(folder):
    seen = []
    with progress.listening(lambda what, done, total: seen.append(what)):
        read_triplets(folder, Form(), Rejects())
        read_triplets(folder / "a.csv", Form(), Rejects())
    read = [what for what in dict.fromkeys(seen) if what.startswith("reading")]
    assert read == ["reading a.csv, file 1 of 2", "reading b.csv, file 2 of 2", "reading a.csv"]


def test_parts_without_rows_and_what_is_no_part_change_nothing(tmp_path, folder):
    before = ingested(folder, tmp_path / "before")
    (folder / "_tmp").mkdir()
    (folder / "_tmp" / "c.csv").write_text(f"{HEADER}cy,x,9\n")
    (folder / "empty.csv").touch()
    (folder / "again").symlink_to(folder, target_is_directory=True)
    assert digest(ingested(folder, tmp_path / "same")) == digest(before)
    (folder / "0.csv").write_text(HEADER)
    (folder / "z.csv").write_text(HEADER)
    after = ingested(folder, tmp_path / "after")
    for artifact in ARTIFACTS:
        assert (after / artifact).read_bytes() == (before / artifact).read_bytes()
    assert digest(after) != digest(before)


def test_what_a_link_leads_to_is_read_once(tmp_path, folder):
    before = ingested(folder, tmp_path / "before")
    below, elsewhere = folder / "below", tmp_path / "elsewhere"
    below.mkdir()
    (folder / "b.csv").rename(below / "b.csv")
    (folder / "latest").symlink_to(below, target_is_directory=True)
    (folder / "newest.csv").symlink_to(below / "b.csv")
    elsewhere.mkdir()
    (folder / "a.csv").rename(elsewhere / "a.csv")
    (folder / "more").symlink_to(elsewhere, target_is_directory=True)
    after = ingested(folder, tmp_path / "after")
    for artifact in (*ARTIFACTS, "rejects.csv"):
        text = (after / artifact).read_bytes().replace(b"below/", b"")
        assert text == (before / artifact).read_bytes()


def test_a_link_that_leads_nowhere_is_refused(tmp_path, folder):
    (folder / "c.csv").symlink_to(tmp_path / "nowhere.csv")
    result = invoke("ingest", folder, tmp_path / "run")
    assert_one_line(result, "c.csv cannot be read: No such file or directory")


def test_the_last_of_a_pair_is_the_last_of_the_last_file(tmp_path, folder):
    ingested(folder, tmp_path / "run", "--duplicates", "last")
    assert "ann,2,7.0" in (tmp_path / "run" / "customers.csv").read_text()
    (folder / "a.csv").rename(folder / "c.csv")
    ingested(folder, tmp_path / "run", "--duplicates", "last")
    assert "ann,2,5.0" in (tmp_path / "run" / "customers.csv").read_text()


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("c.csv", "customer,value\nann,1\n", "customer, value instead of customer, item, value"),
        ("c.csv", "cy,x,1\ndee,y,2\n", "cy, x, 1 instead of customer, item, value"),
        ("c.tsv", "customer\titem\tvalue\ncy\tx\t1\n", "instead of customer, item, value"),
    ],
)
def test_parts_that_are_not_written_alike_are_refused(tmp_path, folder, name, text, words):
    (folder / name).write_text(text)
    result = invoke("ingest", folder, tmp_path / "run")
    assert_one_line(result, f"{name} has different columns from a.csv: ", words, "the same format.")
    assert not (tmp_path / "run").exists()


def test_a_folder_with_nothing_to_read_is_refused(tmp_path):
    (tmp_path / "parts" / "below").mkdir(parents=True)
    (tmp_path / "parts" / "empty.csv").touch()
    assert_one_line(invoke("ingest", tmp_path / "parts", tmp_path / "run"), "holds no files")
    (tmp_path / "parts" / "a.csv").write_text(HEADER)
    result = invoke("ingest", tmp_path / "parts", tmp_path / "run")
    assert_one_line(result, "parts has a header and no rows")
    assert not (tmp_path / "run").exists()


def test_a_run_directory_in_the_folder_is_refused(folder, monkeypatch):
    """Its tables would be read as parts the next time."""
    for run in (folder / "run", folder):
        result = invoke("ingest", folder, run)
        assert (result.exit_code, result.stdout) == (2, "")
        assert f"{run} lies in {folder}, all of whose files are read" in result.stderr
    assert sorted(path.name for path in folder.iterdir()) == ["a.csv", "b.csv"]


@pytest.mark.skipif(not hasattr(os, "getuid") or os.getuid() == 0, reason="root may read all")
def test_a_folder_that_cannot_be_listed_is_refused(tmp_path, folder):
    """It may hold parts."""
    (folder / "below").mkdir(mode=0)
    assert_one_line(invoke("ingest", folder, tmp_path / "run"), "below cannot be read")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.txt", "Orders\n"),
        ("README", "Orders of the shop.\nFrom the till.\n"),
        ("README.txt", "Orders, of the shop.\nTaken, from the till.\n"),
        ("z.txt", "Orders, of the shop.\nTaken, from the till.\n"),
        ("z.xlsx", "PK\3\4"),
    ],
    ids=["no columns", "unlike rows", "other columns", "last", "an archive"],
)
def test_how_to_leave_out_what_is_no_table_is_told(tmp_path, folder, name, text):
    (folder / name).write_text(text)
    result = invoke("ingest", folder, tmp_path / "run")
    assert_one_line(result, name, "move it, or let its name begin with '_' or '.'.")
    (folder / name).rename(folder / f"_{name}")
    ok("ingest", folder, tmp_path / "run")


def test_of_tables_that_are_all_alike_none_is_to_be_left_out(tmp_path, folder):
    for path in folder.iterdir():
        path.write_text("who,what,much\nann,x,1\n")
    line = assert_one_line(
        invoke("ingest", folder, tmp_path / "run"), "which column is the customer"
    )
    assert "leave out" not in line


@pytest.mark.parametrize("option", [(), ("--items",)], ids=["interactions", "names"])
def test_a_folder_that_cannot_be_entered_is_named(tmp_path, folder, monkeypatch, option):
    """Whether it is a run directory cannot be told either."""
    is_file = Path.is_file

    def refused(path):
        if path.parent.name == "parts":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return is_file(path)

    (tmp_path / "r.csv").write_text("user,item\na,x\nb,y\n")
    monkeypatch.setattr(Path, "is_file", refused)
    read = (tmp_path / "r.csv",) if option else ()
    result = invoke("ingest", *read, *option, folder, tmp_path / "run")
    assert_one_line(result, f"{folder} cannot be read: Permission denied.")
    assert not (tmp_path / "run").exists()


def test_the_encoding_that_is_stated_is_that_of_every_file_of_a_folder(tmp_path):
    folder = tmp_path / "parts"
    folder.mkdir()
    for name, customer in (("a.csv", "é"), ("b.csv", "ü")):
        written(folder / name, [(customer, "x", "1"), ("b", "y", "2")], encoding="cp437")
    assert read(folder, encoding="cp437")[0].customers.to_pylist() == ["b", "é", "ü"]


def test_parts_of_one_name_in_two_folders_are_told_apart(tmp_path):
    for folder in ("one", "two"):
        (tmp_path / "parts" / folder).mkdir(parents=True)
        written(tmp_path / "parts" / folder / "f.csv", [*ROWS, ("", "x", "1")])
    table = read(tmp_path / "parts")[1].table()
    assert table["file"].tolist() == ["one/f.csv", "two/f.csv"]
    assert table["row"].tolist() == [6, 6]


def test_a_folder_is_known_by_its_files_names_and_bytes(tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    for name, rows in (("a.csv", ROWS[:3]), ("b.csv", ROWS[3:])):
        written(parts / name, rows)
    before = read(parts)[0].sha256
    lines = [
        f"{hashlib.sha256((parts / n).read_bytes()).hexdigest()}  {n}\n" for n in ("a.csv", "b.csv")
    ]
    assert before == hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_part_whose_ids_are_floats_has_the_customers_of_the_others(tmp_path, kind):
    """Of a column of which an id is missing, pandas makes floats."""
    parts = tmp_path / "parts"
    parts.mkdir()
    for name, ids in (("a", [7, 8]), ("b", [7, 8, None])):
        rows = pd.DataFrame({"customer": ids, "item": ids[:2] + ids[2:], "value": 1})
        write_rows(rows, parts / f"{name}.{kind}")
    run = ingested(parts, tmp_path / "run")
    assert pd.read_csv(run / "customers.csv", dtype=str)["customer"].tolist() == ["7", "8"]
    assert pd.read_csv(run / "items.csv", dtype=str)["item"].tolist() == ["7", "8"]


def test_a_header_alone_does_not_say_how_the_others_are_written(tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "1.csv").write_text("artikel,kunde,menge\n")
    (parts / "2.csv").write_text("artikel,kunde,menge\na,x,1\nb,y,2\n")
    columns = ("--customer", "kunde", "--item", "artikel")
    for options in (columns, ()):
        result = invoke("ingest", parts, tmp_path / "run", *options)
        alone = invoke("ingest", parts / "2.csv", tmp_path / "alone", *options)
        assert (result.exit_code, result.stderr.replace("1.csv", "2.csv")) == (
            alone.exit_code,
            alone.stderr,
        )
        if not result.exit_code:
            text = (tmp_path / "run" / "customers.csv").read_text()
            assert text == (tmp_path / "alone" / "customers.csv").read_text()


def test_a_header_that_only_a_later_part_has_is_refused(tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "1.csv").write_text("a,x\nb,y\n")
    (parts / "2.csv").write_text("customer,item\nc,z\n")
    assert_one_line(
        invoke("ingest", parts, tmp_path / "run"),
        "2.csv has different columns from 1.csv: customer, item instead of 2 without names",
    )
    ingested(parts, tmp_path / "run", "--no-header")  # then it is a row
    assert "customer,1,1.0" in (tmp_path / "run" / "customers.csv").read_text()


def test_what_lies_in_a_hidden_folder_is_hidden():
    assert all(map(is_hidden, ("_SUCCESS", ".a.crc", "_temporary/0/a.csv", "one/.two/a.csv")))
    assert not any(map(is_hidden, ("a_1.csv", "one_/two.d/a.csv")))


@pytest.mark.parametrize("name", ["0.csv", "z.csv"])
def test_a_part_of_blank_lines_is_left_out(tmp_path, folder, name):
    before = ingested(folder, tmp_path / "before")
    (folder / name).write_text("\n\n")
    (folder / f"{name}.gz").write_bytes(gzip.compress(b""))
    after = ingested(folder, tmp_path / "after")
    for artifact in (*ARTIFACTS, "rejects.csv"):
        assert (after / artifact).read_bytes() == (before / artifact).read_bytes()
    assert digest(after) != digest(before)  # it was read
    for path in folder.iterdir():
        path.write_text("\n")
    assert_one_line(invoke("ingest", folder, tmp_path / "run"), "nothing but blank lines")


def test_names_in_a_part_are_read_as_the_part_is(tmp_path, folder):
    """A row without an item, which is of no use to either, is rejected once."""
    (folder / "b.csv").write_text(f"{HEADER}ann,y,4\nann,,8\nann,x,3\n")
    options = ("--items", folder / "b.csv", "--items-id", "item", "--items-name", "value")
    run = ingested(folder, tmp_path / "run", *options)
    assert len(pd.read_csv(run / "rejects.csv")) == 1


def test_names_in_a_folder_of_parts_are_read_as_the_parts_are(tmp_path, folder):
    """Such as those of one month's items; a row without an item is rejected once."""
    (folder / "b.csv").write_text(f"{HEADER}ann,y,4\nann,,8\nann,x,3\n")
    options = ("--items", folder, "--items-id", "item", "--items-name", "value")
    run = ingested(folder, tmp_path / "run", *options)
    assert len(pd.read_csv(run / "rejects.csv")) == 1
    whole = tmp_path / "whole.csv"
    rows = [(folder / name).read_text().removeprefix(HEADER) for name in ("a.csv", "b.csv")]
    whole.write_text(HEADER + "".join(rows))
    alone = ingested(whole, tmp_path / "alone", "--items", whole, *options[2:])
    assert (run / "items.csv").read_bytes() == (alone / "items.csv").read_bytes()


def test_names_in_a_folder_within_that_of_the_parts_are_read_as_the_parts_are(tmp_path, folder):
    """What is stated of the parts holds there, and a row without an item is rejected once."""
    (folder / "new").mkdir()
    (folder / "new" / "c.csv").write_text(f"{HEADER}ann,y,4\nann,,8\n")
    for path in folder.rglob("*.csv"):
        path.write_text(path.read_text().replace(",", "~"))
    options = ("--items-id", "item", "--items-name", "value", "--delimiter", "~")
    run = ingested(folder, tmp_path / "run", "--items", folder / "new", *options)
    assert pd.read_csv(run / "rejects.csv")["file"].tolist() == ["b.csv", "new/c.csv"]
    assert "y,4,2," in (run / "items.csv").read_text()


def test_tables_of_names_in_a_folder_are_read_as_one(tmp_path, folder):
    names = tmp_path / "names"
    (names / "old").mkdir(parents=True)
    (names / "a.csv").write_text("name;id\nAn x;x\n;z\n")
    (names / "blank.csv").write_text("\n")
    (names / "old" / "b.csv").write_text("name;id\nA y;y\nAlso x;x\nAlso x;x\nwhat?;\n")
    (names / "_notes.txt").write_text("none of ours")
    out = ok("ingest", folder, tmp_path / "run", "--items", names).stdout
    assert "Names: 2 items named from names" in out
    items = pd.read_csv(tmp_path / "run" / "items.csv").set_index("item")["name"]
    assert (items["x"], items["y"]) == ("Also x", "A y")
    rejects = pd.read_csv(tmp_path / "run" / "rejects.csv")
    assert rejects.iloc[-1][["file", "row", "reason"]].tolist() == ["names/old/b.csv", 5, "no item"]
    record = json.loads((tmp_path / "run" / "manifest.json").read_text())["stages"]["ingest"]
    noted = record["inputs"]["items"]
    assert (noted["name"], record["parameters"]["items"]) == ("names", "names")
    (names / "old" / "b.csv").write_text("name;id\nA y;y\n")
    ok("ingest", folder, tmp_path / "other", "--items", names)
    record = json.loads((tmp_path / "other" / "manifest.json").read_text())["stages"]["ingest"]
    assert record["inputs"]["items"]["sha256"] != noted["sha256"]


def test_a_folder_that_holds_no_names_is_refused(tmp_path, folder):
    names = tmp_path / "names"
    names.mkdir()
    words = ("ingest", folder, tmp_path / "run", "--items", names)
    assert_one_line(invoke(*words), f"{names} holds no files with rows")
    (names / "a.csv").write_text("id,name\n")
    assert_one_line(invoke(*words), f"{names} has a header and no rows")
    (names / "b.csv").write_text("id,title,size\nx,An x,4\n")
    assert_one_line(invoke(*words), "names/a.csv has different columns from b.csv")
    inside = invoke("ingest", folder, names / "run", "--items", names)
    assert inside.exit_code == 2
    assert f"{names / 'run'} lies in {names}, all of whose files are read" in inside.stderr
    run = ingested(folder, tmp_path / "done")
    again = ("ingest", folder, tmp_path / "run", "--items", run)
    assert_one_line(
        invoke(*again), "is a run directory. Name a file, or a folder of files, of item names"
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("changed", ["orders/a.csv", "names.csv"])
@pytest.mark.parametrize("is_whole", [True, False])
def test_what_is_written_while_it_is_read_is_refused(tmp_path, monkeypatch, changed, is_whole):
    (tmp_path / "orders").mkdir()
    for name in ("a", "b"):
        (tmp_path / "orders" / f"{name}.csv").write_text(f"customer,item\n{name},x\n{name},y\n")
    (tmp_path / "names.csv").write_text("item,name\nx,An x\n")
    monkeypatch.chdir(tmp_path)

    def read_slowly(*args):
        found = read_triplets(*args)
        (tmp_path / changed).write_text("customer,item\n")  # its writer begins anew
        if not is_whole:
            return read_triplets(*args)  # and this finds the beginning alone
        return found

    with pytest.raises(InputError, match=f"^{changed} changed while it was being read"):
        ingest.run(
            Path("orders"), tmp_path / "run", Form(), read=read_slowly, items=Path("names.csv")
        )
    assert not (tmp_path / "run").exists()


def test_a_file_that_comes_while_others_are_read_waits_for_the_next_time(tmp_path):
    (tmp_path / "orders").mkdir()
    (tmp_path / "orders" / "a.csv").write_text("customer,item\na,x\nb,y\n")

    def read_slowly(*args):
        found = read_triplets(*args)
        (tmp_path / "orders" / "b.csv").write_text("customer,item\nc,z\n")
        return found

    assert (
        ingest.run(tmp_path / "orders", tmp_path / "run", Form(), read=read_slowly).n_customers == 2
    )


@pytest.mark.parametrize(("name", "kind"), [("_delta_log", "Delta Lake"), (".hoodie", "Hudi")])
def test_a_folder_that_keeps_files_of_older_versions_is_told(tmp_path, folder, name, kind):
    assert "older versions" not in invoke("ingest", folder, tmp_path / "run").output
    (folder / name).mkdir()
    (folder / name / "0.json").write_text("{}")
    said = f"parts is a table of {kind}, which keeps files of older versions, too: all were read."
    assert said in invoke("ingest", folder, tmp_path / "run").output
