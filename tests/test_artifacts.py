"""The formats: what goes in comes out, in the same bytes, and nothing else is let in."""

import csv
import itertools
import os
import struct
from dataclasses import dataclass, replace

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segcli.artifacts import catalogue, formats
from segcli.numerics.pca import PCA
from segcli.numerics.weighting import Weighting

quick = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
ids = st.one_of(
    st.sampled_from(
        ["", "NA", "nan", "None", "null", " a ", "1.0", "007", "-", '"', ",", "\n", "\r"]
    ),
    st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8),
)
numbers = st.floats(allow_nan=False, allow_infinity=False, width=64)


def both_ways(artifact_format, path, value):
    """Write twice, insist on equal bytes, and return what is read back."""
    artifact_format.write(path, value)
    first = path.read_bytes()
    artifact_format.write(path, value)
    assert path.read_bytes() == first
    return artifact_format.read(path)


@quick
@given(rows=st.lists(st.tuples(ids, ids, numbers), min_size=1, max_size=6))
def test_a_table_keeps_ids_and_numbers_as_they_are(tmp_path, rows):
    table = dict(
        zip(("customer", "name", "value"), map(list, zip(*rows, strict=True)), strict=True)
    )
    found = both_ways(formats.Table(text=("customer", "name")), tmp_path / "t.csv", table)
    assert {name: column.tolist() for name, column in found.items()} == table


@quick
@given(rows=st.lists(ids, min_size=1, max_size=6))
def test_a_table_of_ids_alone_keeps_each_row(tmp_path, rows):
    table = {"customer": rows}
    found = both_ways(formats.Table(text=("customer",)), tmp_path / "t.csv", table)
    assert found["customer"].tolist() == rows


@pytest.mark.parametrize("ids", [["a", 'b "c"', "d,e"], ["a", "b\rc", "d"]])
def test_a_table_is_written_as_pandas_writes_it(tmp_path, ids):
    table = pd.DataFrame(
        {
            "customer": ids,
            "n": [1, -2, 3],
            "x": [0.1, np.nan, 1e-20],
            "y": [1e22, 0.5, 3.0],
            "is": [True, False, True],
            "none": [None, "f", None],
        }
    )
    formats.Table(text=("customer",)).write(
        tmp_path / "t.csv", {name: table[name].to_numpy() for name in table}
    )
    quoting = csv.QUOTE_NONNUMERIC if "\r" in "".join(ids) else csv.QUOTE_MINIMAL
    table.to_csv(tmp_path / "p.csv", index=False, lineterminator="\n", quoting=quoting)
    assert (tmp_path / "t.csv").read_bytes() == (tmp_path / "p.csv").read_bytes()


@pytest.mark.parametrize("kind", ["list", "numpy"])
def test_columns_are_written_as_a_frame_of_them_is(tmp_path, kind):
    columns = {
        "customer": ["a", None, "\r"],
        "n": [1, None, 3],
        "x": [0.1, float("nan"), 3.0],
        "is": [True, False, True],
    }
    frame = pd.DataFrame(columns).astype({"n": "Int64"})
    if kind == "numpy":
        columns = {name: np.array(column) for name, column in columns.items()}
    formats.Table(text=("customer",)).write(tmp_path / "c.csv", columns)
    frame.to_csv(tmp_path / "p.csv", index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    assert (tmp_path / "c.csv").read_bytes() == (tmp_path / "p.csv").read_bytes()
    expected = frame.astype(object).where(frame.notna(), None).to_dict("records")
    assert formats.records(columns) == expected


@quick
@given(rows=st.lists(st.tuples(ids, ids, st.one_of(st.integers(-9, 9), numbers)), min_size=1))
def test_a_table_is_read_as_pandas_reads_it(tmp_path, rows):
    table = dict(zip(("a", "customer", "x"), map(list, zip(*rows, strict=True)), strict=True))
    format_ = formats.Table(text=("a", "customer"))
    found = both_ways(format_, tmp_path / "t.csv", table)
    text = {"a": str, "customer": str}
    read = pd.read_csv(tmp_path / "t.csv", dtype=text, keep_default_na=False)
    assert [found[name].tolist() for name in text] == [read[name].tolist() for name in text]
    assert found["x"].tolist() == table["x"]
    assert found["x"] == pytest.approx(
        read["x"].to_numpy(), rel=1e-12, abs=0
    )  # so well pandas 2 does
    assert found["x"].dtype == read["x"].dtype


def test_a_number_that_is_missing_comes_back_missing(tmp_path):
    table = {"customer": ["NA", ""], "value": [1.5, float("nan")], "n": [1, None]}
    found = both_ways(formats.Table(text=("customer",)), tmp_path / "t.csv", table)
    assert found["customer"].tolist() == ["NA", ""]
    assert np.isnan(found["value"]).tolist() == np.isnan(found["n"]).tolist() == [False, True]


def test_numbers_are_whole_only_where_all_of_a_long_column_are(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "_ROWS", 2)
    table = {"n": [1, 2, 3, 4, 5], "x": [1, 2, 0.5, 4, 5]}
    found = both_ways(formats.Table(), tmp_path / "t.csv", table)
    assert [column.dtype for column in found.values()] == [np.int64, np.float64]
    assert {name: column.tolist() for name, column in found.items()} == table


def test_a_text_may_be_of_any_length(tmp_path):
    table = {"customer": ["a" * 200_000, "b"]}
    found = both_ways(formats.Table(text=("customer",)), tmp_path / "t.csv", table)
    assert found["customer"].tolist() == table["customer"]


def test_an_empty_table_keeps_its_columns(tmp_path):
    found = both_ways(
        formats.Table(text=("customer",)), tmp_path / "t.csv", {"customer": [], "value": []}
    )
    assert {name: len(column) for name, column in found.items()} == {"customer": 0, "value": 0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"customer,n\na,1\nb\n", "shorter"),
        (b"customer,n\na,1,2\n", "longer"),
        (b'customer,n\n"a,1\n', "unexpected end of data"),
        (b"customer,n\na,x\n", "could not convert string to float: 'x'"),
        (b"customer,n\n\xff,1\n", "can't decode byte 0xff"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path, content, message):
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        formats.Table(text=("customer",)).read(tmp_path / "t.csv")


@quick
@given(
    data=st.lists(st.tuples(st.integers(0, 4), st.integers(0, 3), numbers), max_size=8),
)
def test_a_sparse_matrix_keeps_every_entry(tmp_path, data):
    rows, columns, values = zip(*data, strict=True) if data else ((), (), ())
    matrix = sp.csr_array((np.array(values, float), (rows, columns)), shape=(5, 4))
    found = both_ways(formats.SparseMatrix(), tmp_path / "m.npz", [matrix])
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(found, part), getattr(matrix, part))


def test_a_matrix_with_many_items_has_indices_of_64_bits(tmp_path):
    parts = np.ones(2), np.array([0, 2**31 - 1]), np.array([0, 1, 2])
    matrix = sp.csr_array(parts, shape=(2, 2**31))
    found = both_ways(formats.SparseMatrix(), tmp_path / "m.npz", [matrix[:1], matrix[1:]])
    assert (found.indices.dtype, found.indptr.dtype) == (np.int64, np.int64)
    assert found.shape == matrix.shape
    np.testing.assert_array_equal(found.indices, matrix.indices)


@pytest.mark.parametrize("cuts", [[], [20], [0, 7, 7, 50]])
@pytest.mark.parametrize("n", [0, 7, 3000])
def test_a_sparse_matrix_is_written_as_scipy_writes_it(tmp_path, monkeypatch, n, cuts):
    monkeypatch.setattr(formats, "_WRITTEN", 1000)
    matrix = sp.random_array((50, 90), density=n / 4500, format="csr", rng=0)
    matrix.data = matrix.data.astype(np.float32).astype(np.float64)
    limits = [0, *cuts, 50]
    blocks = [matrix[a:b] for a, b in itertools.pairwise(limits)]
    blocks[0].data = blocks[0].data.astype(np.float32)
    formats.SparseMatrix().write(tmp_path / "m.npz", blocks)
    with (tmp_path / "s.npz").open("wb") as file:
        sp.save_npz(file, matrix, compressed=False)
    assert (tmp_path / "m.npz").read_bytes() == (tmp_path / "s.npz").read_bytes()


def test_arrays_keep_names_types_and_shapes(tmp_path):
    value = {"scores": np.arange(6.0).reshape(2, 3), "ids": np.array(["é", ""])}
    found = both_ways(formats.Arrays(), tmp_path / "a.npz", value)
    assert list(found) == list(value)
    for name, array in value.items():
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


@quick
@given(text=st.text(st.characters(codec="utf-8", exclude_characters="\r")))
def test_text_is_kept(tmp_path, text):
    assert both_ways(formats.Text(), tmp_path / "t.txt", text) == text


@quick
@given(value=st.recursive(
    st.none() | st.booleans() | st.integers() | numbers | ids,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ids, inner, max_size=3),
    max_leaves=8,
))  # fmt: skip
def test_json_is_kept(tmp_path, value):
    assert both_ways(formats.Json(), tmp_path / "j.json", value) == value


def test_json_writes_null_for_what_is_no_number(tmp_path):
    value = {"a": [float("nan"), 1.0], "b": (float("inf"),)}
    found = both_ways(formats.Json(), tmp_path / "j.json", value)
    assert found == {"a": [None, 1.0], "b": [None]}


def model():
    return PCA(Weighting("raw", np.ones(3)), np.zeros(3), np.eye(2, 3), np.ones(2), 2.5, 7)


def test_a_model_comes_back_and_joblib_reads_it_too(tmp_path):
    path = tmp_path / "pca.joblib"
    for found in (both_ways(catalogue.PCA_MODEL.format, path, model()), joblib.load(path)):
        assert (type(found), found.weighting.name, found.total_variance) == (PCA, "raw", 2.5)
        np.testing.assert_array_equal(found.loadings, np.eye(2, 3))


@dataclass
class Attack:
    """Unpickled, it makes the folder ``target``."""

    target: str

    def __reduce__(self):
        return (os.mkdir, (self.target,))


def as_an_attribute(path, target):
    value = model()
    object.__setattr__(value, "mean", Attack(target))
    joblib.dump(value, path)


def as_the_whole(path, target):
    joblib.dump(Attack(target), path)


def as_an_array_of_objects(path, target):
    """Where joblib itself, before 1.6, goes back to the plain unpickler."""
    joblib.dump(np.array([Attack(target)], dtype=object), path)


@pytest.mark.parametrize("craft", [as_the_whole, as_an_attribute, as_an_array_of_objects])
def test_a_malicious_model_runs_nothing(tmp_path, craft):
    path, target = tmp_path / "pca.joblib", tmp_path / "struck"
    craft(path, str(target))
    with pytest.raises(ValueError, match="which segcli never writes"):
        catalogue.PCA_MODEL.format.read(path)
    assert not target.exists()
    joblib.load(path)  # the attack is a real one
    assert target.exists()


def test_an_array_of_objects_is_refused_whatever_they_are(tmp_path):
    joblib.dump(np.array([None]), tmp_path / "pca.joblib")
    with pytest.raises(ValueError, match="it holds an array of objects, which segcli never writes"):
        catalogue.PCA_MODEL.format.read(tmp_path / "pca.joblib")


@pytest.mark.parametrize(
    ("read", "part"),
    [
        (formats.SparseMatrix().read, "data"),
        (formats.SparseMatrix().read, "shape"),
        (formats.SparseMatrix().size, "shape"),
        (formats.SparseMatrix().size, "indptr"),
        (formats.Arrays().read, "data"),
    ],
)
def test_malicious_arrays_run_nothing(tmp_path, read, part):
    path, target = tmp_path / "matrix.npz", tmp_path / "struck"
    formats.SparseMatrix().write(path, [sp.csr_array(np.eye(4))])
    with np.load(path) as whole:
        parts = dict(whole)
    np.savez(path, **parts | {part: np.array([Attack(str(target))], dtype=object)})
    with pytest.raises(ValueError, match=r"allow_pickle=False|is an array of objects"):
        read(path)
    assert not target.exists()
    with np.load(path, allow_pickle=True) as whole:
        assert whole[part] is not None  # the attack is a real one
    assert target.exists()


def test_a_model_that_asks_for_a_file_to_be_mapped_writes_over_none(tmp_path):
    path, target = tmp_path / "pca.joblib", tmp_path / "precious"
    target.write_text("precious")
    # It asks to map the file's first three bytes anew.
    path.write_bytes(f"cnumpy\nmemmap\n(S'{target}'\nS'u1'\nS'w+'\nI0\n(I3\nttR.".encode())
    refuse(catalogue.PCA_MODEL.format, path)
    assert target.read_text() == "precious"
    joblib.load(path)  # the attack is a real one
    assert target.read_bytes() == bytes(3)


def test_an_array_that_was_mapped_from_a_file_comes_back(tmp_path):
    mapped = np.memmap(tmp_path / "mean", float, "w+", shape=(3,))
    joblib.dump(replace(model(), mean=mapped), tmp_path / "pca.joblib")
    found = catalogue.PCA_MODEL.format.read(tmp_path / "pca.joblib")
    assert (type(found.mean), found.mean.tolist()) == (np.ndarray, [0, 0, 0])


@pytest.mark.parametrize("function", ["os.system", "builtins.eval", "numpy.load", "joblib.load"])
def test_a_function_is_no_class_of_ours(tmp_path, function):
    module, name = function.rsplit(".", 1)
    path = tmp_path / "pca.joblib"
    path.write_bytes(f"c{module}\n{name}\n(S'1'\ntR.".encode())
    with pytest.raises(ValueError, match=f"it holds {function}"):
        catalogue.PCA_MODEL.format.read(path)


def refuse(artifact_format, path):
    """Insist on a `ValueError`, whatever it says."""
    with pytest.raises(ValueError):  # noqa: PT011
        artifact_format.read(path)


BINARY = [
    (formats.SparseMatrix(), [sp.csr_array(np.eye(4))]),
    (formats.Arrays(), {"a": np.arange(9.0)}),
    (catalogue.PCA_MODEL.format, model()),
]


@pytest.mark.parametrize(("artifact_format", "value"), BINARY, ids=["matrix", "arrays", "model"])
def test_a_file_cut_short_anywhere_is_a_value_error(tmp_path, artifact_format, value):
    path = tmp_path / "file"
    artifact_format.write(path, value)
    whole = path.read_bytes()
    for length in range(0, len(whole) - 1, 7):
        path.write_bytes(whole[:length])
        refuse(artifact_format, path)


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 64, b"PK\x03\x04 not a zip", struct.pack("<8d", *range(8)), b"{}"],
    ids=["empty", "zeros", "no zip", "numbers", "json"],
)
@pytest.mark.parametrize(
    "artifact_format", [pair[0] for pair in BINARY], ids=["matrix", "arrays", "model"]
)
def test_another_kind_of_file_is_a_value_error(tmp_path, artifact_format, content):
    path = tmp_path / "file"
    path.write_bytes(content)
    refuse(artifact_format, path)


@pytest.mark.parametrize("shape", [(), (2, 2), (0, 3)])
@pytest.mark.parametrize("part", ["data", "indices", "indptr"])
def test_arrays_that_make_no_matrix_are_a_value_error(tmp_path, part, shape):
    path = tmp_path / "matrix.npz"
    formats.SparseMatrix().write(path, [sp.csr_array(np.eye(4))])
    with np.load(path) as whole:
        parts = dict(whole)
    np.savez(path, **parts | {part: np.zeros(shape, parts[part].dtype)})
    refuse(formats.SparseMatrix(), path)


def test_a_compressed_matrix_cannot_be_mapped(tmp_path):
    sp.save_npz(tmp_path / "matrix.npz", sp.csr_array(np.eye(4)))
    with pytest.raises(ValueError, match="data is compressed, which segcli never writes"):
        formats.SparseMatrix().read(tmp_path / "matrix.npz")


def test_every_artifact_has_one_name_and_a_stage():
    artifacts = [a for a in vars(catalogue).values() if isinstance(a, formats.Artifact)]
    assert len({artifact.name for artifact in artifacts}) == len(artifacts)
    stages = {*catalogue.STAGES, catalogue.LABELLING}
    assert {artifact.stage for artifact in artifacts} == stages
