"""A segmentation labels the customers it was made from, and new ones, alike."""

import re
from dataclasses import replace

import joblib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from segcli.engine import LocalEngine
from segcli.errors import InputError
from segcli.numerics.kmeans import fit_all
from segcli.numerics.pca import fit_pca, score
from segcli.numerics.ranks import rank
from segcli.numerics.segmentation import Segmentation
from segcli.numerics.weighting import fit_weighting, weigh


@pytest.fixture(params=["raw", "tfidf"])
def made(request, ratings):
    """A segmentation of the ratings, the labels and the distances it was made with."""
    blocks = LocalEngine(1).blocks(ratings)
    ranks = rank(blocks)
    weighting = fit_weighting(blocks, request.param)
    weighted = weigh(blocks, weighting)
    pca = fit_pca(weighted, weighting, 6, item_ranks=ranks.items, seed=0)
    scores = score(weighted, pca)
    (fit,) = fit_all(LocalEngine(1).blocks(scores), [5], customer_ranks=ranks.customers, seed=0)
    items = tuple(f"item {j}" for j in range(ratings.shape[1]))
    distances = np.linalg.norm(scores - fit.centers[fit.labels], axis=1)
    return Segmentation(items, pca, fit.centers), fit.labels, distances


def weighted_by(name, segmentation):
    weighting = replace(segmentation.pca.weighting, name=name)
    return replace(segmentation, pca=replace(segmentation.pca, weighting=weighting))


def triplets(matrix):
    rows, columns = matrix.nonzero()
    return pd.DataFrame(
        {
            "customer": [f"c{i:03}" for i in rows],
            "item": [f"item {j}" for j in columns],
            "value": matrix[rows, columns],
        }
    )


def test_predict_gives_the_labels_it_was_made_with(made, ratings):
    segmentation, labels, _ = made
    assert segmentation.k == 5
    assert segmentation.predict(ratings).tolist() == labels.tolist()
    assert segmentation.predict(ratings[[7, 3, 7]]).tolist() == labels[[7, 3, 7]].tolist()


@pytest.mark.parametrize("form", [sp.csc_array, sp.coo_array, sp.csr_matrix, lambda X: X.toarray()])
def test_predict_takes_a_matrix_of_any_form(made, ratings, form):
    segmentation, labels, _ = made
    assert segmentation.predict(form(ratings)).tolist() == labels.tolist()


@pytest.mark.parametrize("kind", [np.int8, np.uint8, np.int64, np.float16, np.float32, object])
def test_predict_takes_numbers_of_any_type(made, ratings, kind):
    segmentation, labels, _ = made
    assert segmentation.predict(ratings.toarray().astype(kind)).tolist() == labels.tolist()
    if kind not in (np.float16, object):  # of which there are no sparse matrices
        assert segmentation.predict(ratings.astype(kind)).tolist() == labels.tolist()


def test_predict_takes_values_that_single_precision_does_not_hold(made, ratings):
    X = ratings.copy()
    X.data[:] = 1e40
    assert made[0].predict(X).max() < 5


def test_predict_takes_who_has_what_without_values(made, ratings):
    segmentation = made[0]
    ones = (ratings.toarray() > 0).astype(np.float64)
    expected = segmentation.predict(ones).tolist()
    assert segmentation.predict(ones > 0).tolist() == expected
    assert segmentation.predict(sp.csr_array(ones > 0)).tolist() == expected


def test_predict_sums_what_is_stored_twice_and_leaves_it_as_it_was(made, ratings):
    segmentation, labels, _ = made
    halves, twice = np.repeat(ratings.data / 2, 2), np.repeat(ratings.indices, 2)
    X = sp.csr_array((halves, twice, 2 * ratings.indptr), shape=ratings.shape)
    assert segmentation.predict(X).tolist() == labels.tolist()
    assert X.nnz == 2 * ratings.nnz
    assert X.data.tolist() == halves.tolist()


def test_predict_refuses_a_row_that_is_no_matrix(made, ratings):
    segmentation, labels, _ = made
    row = ratings.toarray()[7]
    with pytest.raises(InputError, match="X has one dimension"):
        segmentation.predict(row)
    assert segmentation.predict(row[None]).tolist() == [labels[7]]


@pytest.mark.parametrize(
    ("value", "said"), [(np.nan, "1 value not finite"), (-1, "which tfidf does not take")]
)
def test_predict_refuses_what_has_no_answer(made, ratings, value, said):
    segmentation = weighted_by("tfidf", made[0])
    with pytest.raises(InputError, match="3 columns, and the segmentation has"):
        segmentation.predict(ratings[:, :3])
    X = ratings.copy()
    X.data[0] = value
    with pytest.raises(InputError, match=said):
        segmentation.predict(X)


def test_interactions_give_the_labels_they_were_made_with(made, ratings):
    segmentation, labels, distances = made
    table = triplets(ratings).sample(frac=1, random_state=0)
    found = segmentation.predict_interactions(table)
    assert found.columns.tolist() == ["customer", "segment", "distance", "known_items"]
    known = [int(customer[1:]) for customer in found["customer"]]
    assert known == sorted(known)
    assert set(known) == set(np.flatnonzero(np.diff(ratings.indptr)))
    assert found["segment"].tolist() == labels[known].tolist()
    assert np.allclose(found["distance"], distances[known], atol=1e-9)
    assert found["known_items"].tolist() == np.diff(ratings.indptr)[known].tolist()


def test_repeated_pairs_are_summed(made):
    segmentation, *_ = made
    once = pd.DataFrame({"customer": ["a", "a"], "item": ["item 1", "item 2"], "value": [3.0, 1]})
    split = pd.DataFrame(
        {
            "customer": ["a", "a", "a"],
            "item": ["item 1", "item 2", "item 1"],
            "value": [2.0, 1, 1],
        }
    )
    pd.testing.assert_frame_equal(
        segmentation.predict_interactions(once), segmentation.predict_interactions(split)
    )


def test_without_values_each_row_counts_one(made):
    segmentation, *_ = made
    bare = pd.DataFrame({"customer": ["a", "b", "a"], "item": ["item 1", "item 4", "item 1"]})
    valued = bare.assign(value=[1.0, 1.0, 1.0])
    pd.testing.assert_frame_equal(
        segmentation.predict_interactions(bare), segmentation.predict_interactions(valued)
    )


def test_unknown_items_are_left_out_and_said_to_be(made):
    segmentation, *_ = made
    table = pd.DataFrame(
        {
            "customer": ["unknown", "both", "both", "known"],
            "item": ["no such item", "no such item", "item 3", "item 3"],
            "value": [5.0, 5, 4, 4],
        }
    )
    found = segmentation.predict_interactions(table).set_index("customer")
    assert found["known_items"].to_dict() == {"both": 1, "known": 1, "unknown": 0}
    assert found.loc["both", "segment"] == found.loc["known", "segment"]
    assert found.loc["both", "distance"] == found.loc["known", "distance"]
    nothing = sp.csr_array((1, len(segmentation.items)))
    assert found.loc["unknown", "segment"] == segmentation.predict(nothing)[0]


def test_a_row_of_nothing_gets_the_segment_nearest_to_it(made):
    """Its score is that of the origin: minus the mean, on the loadings."""
    segmentation, *_ = made
    pca = segmentation.pca
    origin = -pca.loadings @ pca.mean
    nearest = np.linalg.norm(segmentation.centers - origin, axis=1).argmin()
    nothing = sp.csr_array((2, len(segmentation.items)))
    assert segmentation.predict(nothing).tolist() == [nearest, nearest]


def test_ids_are_compared_as_strings(made):
    segmentation, *_ = made
    numbered = Segmentation(
        tuple(str(j) for j in range(len(segmentation.items))),
        segmentation.pca,
        segmentation.centers,
    )
    table = pd.DataFrame({"customer": [10, 9], "item": [1, 2], "value": [1.0, 1]})
    found = numbered.predict_interactions(table)
    assert found["customer"].tolist() == ["10", "9"]
    assert found["known_items"].tolist() == [1, 1]


@pytest.mark.parametrize(
    "form", [np.float32, "Float64", "double[pyarrow]", pd.CategoricalDtype([1.0, 2.0])], ids=str
)
def test_whole_ids_lose_their_point_in_any_column_of_floats(made, form):
    segmentation = replace(made[0], items=tuple(str(j) for j in range(len(made[0].items))))
    ids = pd.Series([2.0, 1.0], dtype=form)
    found = segmentation.predict_interactions(pd.DataFrame({"customer": ids, "item": ids}))
    assert found["customer"].tolist() == ["1", "2"]
    assert found["known_items"].tolist() == [1, 1]
    with_gap = pd.DataFrame({"customer": ids, "item": ids.mask([True, False])})
    with pytest.raises(InputError, match="1 row without item"):
        segmentation.predict_interactions(with_gap)


def test_ids_of_many_digits_keep_them_all_in_a_column_of_floats(made):
    table = pd.DataFrame({"customer": [12345678901.0, 2.0], "item": "item 1"})
    assert made[0].predict_interactions(table)["customer"].tolist() == ["12345678901", "2"]


def test_text_that_is_all_whole_numbers_with_a_point_is_read_as_ingest_does(made):
    table = pd.DataFrame({"customer": [" 10.0", "-9.0"], "item": "item 1"})
    assert made[0].predict_interactions(table)["customer"].tolist() == ["-9", "10"]
    for other in ("9", "9.00", "v9.0", "9.5"):
        table["customer"] = ["10.0", other]
        found = made[0].predict_interactions(table)["customer"]
        assert found.tolist() == sorted(["10.0", other])


@pytest.mark.parametrize("other", [1.5, 2.0**53])
def test_beside_a_float_that_is_no_id_of_digits_none_is_changed(made, other):
    table = pd.DataFrame({"customer": [2.0, other], "item": "item 1"})
    found = made[0].predict_interactions(table)
    assert found["customer"].tolist() == sorted(["2.0", str(other)])


def test_a_value_of_zero_is_taken_and_counts_for_nothing(made):
    segmentation = weighted_by("tfidf", made[0])
    table = pd.DataFrame({"customer": ["a", "a"], "item": ["item 1", "item 2"], "value": [0, 3]})
    with_it, without = (segmentation.predict_interactions(part) for part in (table, table[1:]))
    pd.testing.assert_frame_equal(with_it, without)


def test_no_interactions_no_customers(made):
    segmentation, *_ = made
    empty = pd.DataFrame({"customer": [], "item": [], "value": []})
    assert len(segmentation.predict_interactions(empty)) == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"value": [np.nan, 1]}, "1 value not finite, first nan"),
        ({"value": [1, -np.inf]}, "1 value not finite, first -inf"),
        ({"value": [-2.0, -3]}, "2 values negative, which tfidf does not take, first -2"),
        ({"value": ["four", "5"]}, "values are not all numbers"),
        ({"value": [{}, 5]}, "values are not all numbers"),
        ({"value": pd.to_datetime(["2026-01-01", "2026-01-02"])}, "numbers: they are datetime64"),
        ({"value": pd.to_timedelta([1, 2], "D")}, "numbers: they are timedelta64"),
        ({"value": pd.Series([10**400, 5], dtype=object)}, "values are not all numbers"),
        ({"item": ["item 1", None]}, "1 row without item"),
        ({"customer": [" ", "b"]}, "1 row without customer"),
        (
            {"customer": None},
            "there is no column 'customer'. Name the columns customer, item and value",
        ),
        ({"value": None, "plays": [1, 2]}, "no column 'value', and there are numbers in 'plays'"),
        (
            {"value": None, "plays": pd.array([1, 2], dtype="UInt8"), "hours": [0.5, 1]},
            "there are numbers in 'plays', 'hours'. Name the column of values value, or drop the others",
        ),
        (
            {"value": None, "plays": pd.array([1, 2], dtype="int64[pyarrow]")},
            "there are numbers in 'plays'",
        ),
    ],
)
def test_what_cannot_be_used_is_refused(made, change, said):
    segmentation = weighted_by("tfidf", made[0])
    table = {"customer": ["a", "b"], "item": ["item 1", "item 2"], "value": [1, 2]} | change
    table = pd.DataFrame({name: column for name, column in table.items() if column is not None})
    with pytest.raises(InputError, match=re.escape(said)):
        segmentation.predict_interactions(table)


def test_what_is_no_table_is_refused(made):
    for given, kind in (([("a", "item 1")], "list"), ({"customer": ["a"], "item": ["x"]}, "dict")):
        with pytest.raises(InputError, match=f"expected a pandas DataFrame of .*, got {kind}"):
            made[0].predict_interactions(given)


def test_beside_values_there_may_be_other_columns_and_without_them_what_is_no_number(made):
    table = pd.DataFrame({"customer": [1, 2], "item": ["item 1", "item 2"]})
    beside = table.assign(day=pd.to_datetime("2026-01-01"), is_gift=True, shop="north")
    found = made[0].predict_interactions(beside)
    pd.testing.assert_frame_equal(found, made[0].predict_interactions(table))
    pd.testing.assert_frame_equal(
        found, made[0].predict_interactions(table.assign(value=1, year=2026))
    )


@pytest.mark.parametrize("column", ["customer", "item", "value"])
def test_of_two_columns_of_a_name_neither_is_taken(made, column):
    table = pd.DataFrame({"customer": ["a"], "item": ["item 1"], "value": [1]})
    twice = pd.concat([table, table[[column]]], axis=1)
    with pytest.raises(InputError, match=f"there are 2 columns '{column}'"):
        made[0].predict_interactions(twice)


def test_a_pair_that_adds_up_to_nothing_is_none_and_white_space_no_part_of_an_id(made):
    table = pd.DataFrame({"customer": ["a", "a ", "b"], "item": ["item 1", " item 1", "item 2 "]})
    found = weighted_by("raw", made[0]).predict_interactions(table.assign(value=[5.0, -5, 2]))
    assert found["customer"].tolist() == ["a", "b"]
    assert found["known_items"].tolist() == [0, 1]


def test_the_items_are_indexed_once_however_often_it_is_asked(made, ratings):
    segmentation = replace(made[0], items=Counted(made[0].items))
    first = segmentation.predict_interactions(triplets(ratings))
    assert segmentation.items.n_times == 1
    assert segmentation.predict_interactions(triplets(ratings)).equals(first)
    assert segmentation.items.n_times == 1


class Counted(tuple):
    """A tuple that counts how often somebody goes through it."""

    n_times = 0

    def __iter__(self):
        self.n_times += 1
        return super().__iter__()


def test_the_file_of_a_segmentation_does_not_tell_whether_it_was_used(made, ratings, tmp_path):
    segmentation = made[0]
    joblib.dump(segmentation, tmp_path / "new.joblib")
    expected = segmentation.predict_interactions(triplets(ratings))
    joblib.dump(segmentation, tmp_path / "used.joblib")
    assert (tmp_path / "used.joblib").read_bytes() == (tmp_path / "new.joblib").read_bytes()
    again = joblib.load(tmp_path / "used.joblib")
    assert again.predict_interactions(triplets(ratings)).equals(expected)


def test_it_is_shown_in_a_line_and_equal_to_itself_alone(made):
    segmentation = made[0]
    pca, n_items = segmentation.pca, len(segmentation.items)
    chosen = f"weighting='{pca.weighting.name}', score_norm='{pca.score_norm}'"
    shown = f"Segmentation(k=5, n_items={n_items}, n_components=6, {chosen})"
    assert repr(segmentation) == shown
    assert {segmentation: 1}[segmentation] == 1
    assert segmentation != replace(segmentation)
