"""The sample is what its README says: made by its script, separable, uneven in activity."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from run_dirs import ok
from scipy.sparse import csr_array
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.metrics import adjusted_rand_score

FOLDER = Path(__file__).resolve().parents[1] / "sample_data"
FILES = ("stars.csv", "counts.csv", "items.csv", "truth.csv")
SIZES = {
    "detectives": 680,
    "romantics": 480,
    "stargazers": 320,
    "homemakers": 240,
    "families": 180,
    "wanderers": 100,
}


def read(name):
    return pd.read_csv(FOLDER / name)


def read_usable(name):
    """The rows of a log that have a customer and a value above 0."""
    log = read(name)
    return log[log["customer"].notna() & (log.iloc[:, 2] > 0)]


@pytest.fixture(scope="module")
def items():
    return read("items.csv")


@pytest.fixture(scope="module")
def truth():
    return read("truth.csv")


@pytest.fixture(scope="module", params=["stars.csv", "counts.csv"])
def log(request):
    return read_usable(request.param)


@pytest.fixture(scope="module")
def matrix(log, items, truth):
    """Customers in the order of truth.csv, items in the order of items.csv."""
    rows = pd.Index(truth["customer"]).get_indexer(log["customer"])
    columns = pd.Index(items["item"]).get_indexer(log["item"])
    return csr_array((log.iloc[:, 2].astype(float), (rows, columns)), (len(truth), len(items)))


def weight(matrix):
    return TfidfTransformer().fit_transform(matrix.log1p())


def find_segments(matrix, n_components=8, seed=0):
    scores = PCA(n_components, svd_solver="full").fit_transform(matrix.toarray())
    return KMeans(len(SIZES), n_init=10, random_state=seed).fit_predict(scores)


def share_explained(values, labels):
    """Eta squared: the variance between the labels as a share of all of it."""
    between = pd.Series(values).groupby(labels).transform("mean")
    return between.var() / np.var(values, ddof=1)


# --- the files ------------------------------------------------------------------------------------


def test_script_rewrites_the_files_byte_for_byte(tmp_path):
    script = FOLDER / "make_sample.py"
    subprocess.run([sys.executable, script, tmp_path / "new"], cwd=tmp_path, check=True)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(FILES)
    for name in FILES:
        assert (tmp_path / "new" / name).read_bytes() == (FOLDER / name).read_bytes(), name


def test_another_seed_gives_another_sample(tmp_path):
    script = FOLDER / "make_sample.py"
    subprocess.run([sys.executable, script, tmp_path, "--seed", "1"], check=True)
    assert (tmp_path / "truth.csv").read_bytes() != (FOLDER / "truth.csv").read_bytes()


def test_files_are_small_and_plain():
    texts = [(FOLDER / name).read_bytes() for name in FILES]
    assert sum(map(len, texts)) < 2_000_000
    for text in texts:
        assert text.isascii()
        assert text.endswith(b"\n")
        assert b"\r" not in text


def test_readme_states_the_segments_and_row_counts(truth, items):
    readme = (FOLDER / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\d+) \| \w+[\w ]* \d+,", readme, flags=re.MULTILINE)
    assert {name: int(size) for name, size in rows} == SIZES
    assert f"{len(read('stars.csv')):,} ratings" in readme
    assert f"{len(truth):,} customers" in readme
    assert f"{len(items)} items in {items['genre'].nunique()} genres" in readme
    assert f"from 1 to {read('counts.csv')['plays'].max():,} " in readme


# --- the items and the truth ----------------------------------------------------------------------


def test_items_are_distinct(items):
    assert list(items.columns) == ["item", "title", "genre"]
    assert items["item"].is_unique
    assert items["item"].str.fullmatch(r"B\d{4}").all()
    assert items["title"].str.lower().is_unique
    assert items["genre"].nunique() == 10


def test_truth_has_the_planted_sizes(truth):
    assert list(truth.columns) == ["customer", "segment"]
    assert truth["customer"].is_unique
    assert truth["customer"].str.fullmatch(r"C\d{5}").all()
    assert truth["segment"].value_counts().to_dict() == SIZES


def test_ids_tell_nothing_about_segments_and_genres(items, truth):
    assert share_explained(np.arange(len(truth)), truth["segment"]) < 0.02
    assert share_explained(np.arange(len(items)), items["genre"]) < 0.1


# --- the logs -------------------------------------------------------------------------------------


def test_every_id_is_known_and_used(log, items, truth):
    assert set(log["customer"]) == set(truth["customer"])
    assert set(log["item"]) == set(items["item"])


def test_pairs_are_unique_and_in_no_order(log):
    assert not log.duplicated(["customer", "item"]).any()
    assert abs(np.corrcoef(np.arange(len(log)), log["customer"].str[1:].astype(int))[0, 1]) < 0.02


def test_stars_and_counts_hold_the_same_pairs():
    stars, counts = (
        set(zip(log["customer"], log["item"], strict=True))
        for log in (read_usable("stars.csv"), read_usable("counts.csv"))
    )
    assert stars == counts


def test_stars_are_clean():
    stars = read("stars.csv")
    assert list(stars.columns) == ["customer", "item", "stars"]
    assert stars.notna().all(axis=None)
    assert set(stars["stars"]) == {1, 2, 3, 4, 5}


def test_counts_have_a_heavy_tail_and_ten_bad_rows():
    counts = read("counts.csv")
    assert list(counts.columns) == ["customer", "item", "plays"]
    assert counts["customer"].isna().sum() == 5
    assert (counts["plays"] < 0).sum() == 5
    assert len(counts) - len(read_usable("counts.csv")) == 10
    assert counts["plays"].max() > 100 * counts["plays"].median()


def test_activity_is_uneven_and_not_explained_by_the_segment(log, truth):
    n_items = log.groupby("customer").size().reindex(truth["customer"])
    tenth, ninetieth = np.percentile(n_items, [10, 90])
    assert n_items.min() == 5
    assert n_items.max() == 150
    assert ninetieth / tenth >= 8
    assert share_explained(np.log(n_items.to_numpy()), truth["segment"]) < 0.05


# --- the segments ---------------------------------------------------------------------------------


@pytest.mark.parametrize("n_components", [6, 8, 10])
@pytest.mark.parametrize("seed", [0, 1])
def test_weighted_recipe_finds_the_truth(matrix, truth, n_components, seed):
    labels = find_segments(weight(matrix), n_components, seed)
    assert adjusted_rand_score(truth["segment"], labels) >= 0.95


@pytest.mark.parametrize("n_components", [6, 10])
def test_raw_recipe_does_not(matrix, truth, n_components):
    assert adjusted_rand_score(truth["segment"], find_segments(matrix, n_components)) < 0.3


@pytest.mark.parametrize("name", ["stars", "counts"])
def test_following_what_the_tool_recommends_finds_the_truth(name, truth, tmp_path):
    """explore-pca recommends the components, explore-k the segments: nothing else is known."""
    run = tmp_path / "run"
    ok("ingest", FOLDER / f"{name}.csv", run)
    ok("explore-pca", run)
    n_components = json.loads((run / "components_verdict.json").read_text())["recommended"]
    options = ("--n-components", n_components)
    ok("explore-k", run, *options, "--k-max", 8)
    k = json.loads((run / "k_verdict.json").read_text())["recommended"]
    ok("cluster", run, *options, "--n-clusters", k, "--evidence", "none")
    found = pd.read_csv(run / "segments.csv").merge(truth, on="customer")
    assert k == 6
    assert adjusted_rand_score(found["segment_x"], found["segment_y"]) > 0.95
