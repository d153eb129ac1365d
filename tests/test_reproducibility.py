"""The sample through all six stages: the same bytes however, wherever and under whatever name."""

import json
import random
import tempfile
from pathlib import Path

import pandas as pd
import pytest
from run_dirs import SAMPLE, digests, environment, ok, process

SAMPLES = ("stars.csv", "counts.csv")
ENVIRONMENTS = {  # one of each sample's: a process per stage takes its time
    "stars.csv": {"PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"},
    "counts.csv": {"PYTHONHASHSEED": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
}


def stages(interactions, run, items=SAMPLE / "items.csv", threads=1):
    """Return the six command lines."""
    engine = ("--threads", threads)
    return [
        ("ingest", interactions, run, "--items", items),
        ("explore-pca", run, "--max-components", 8, *engine),
        ("explore-k", run, "--n-components", 6, "--k-min", 5, "--k-max", 7, *engine),
        ("cluster", run, "--n-components", 6, "--n-clusters", 6, *engine),
        ("validate", run, *engine),
        ("report", run, *engine),
    ]


def artifacts(run, *, rows_shuffled=False):
    """Return every digest, with the manifest's record of the input's own bytes taken out.

    ``rejects.csv`` tells where in the input the bad rows stand, so a shuffle must change it.
    """
    found = digests(run)
    document = json.loads((run / "manifest.json").read_text())
    document["stages"]["ingest"].pop("inputs")
    if rows_shuffled:
        del found["rejects.csv"], document["stages"]["ingest"]["writes"]["rejects.csv"]
    return {**found, "manifest.json": json.dumps(document)}


def shuffled(source, target, seed):
    """Write the rows of a file in another order."""
    header, *rows = source.read_text().splitlines()
    random.Random(seed).shuffle(rows)
    target.write_text("\n".join([header, *rows]) + "\n")
    return target


@pytest.fixture(scope="module", params=SAMPLES)
def first(request):
    """A sample file and its finished run directory."""
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        for args in stages(SAMPLE / request.param, run):
            ok(*args)
        yield SAMPLE / request.param, run


def test_shuffled_rows_two_threads_another_folder(first, tmp_path, monkeypatch):
    source, run = first
    shuffled(source, tmp_path / source.name, 3)
    shuffled(SAMPLE / "items.csv", tmp_path / "items.csv", 4)
    monkeypatch.chdir(tmp_path)
    for args in stages(source.name, "again", items="items.csv", threads=2):
        ok(*args)
    again = artifacts(tmp_path / "again", rows_shuffled=True)
    assert again == artifacts(run, rows_shuffled=True)


def test_another_process_with_another_environment(first, tmp_path):
    source, run = first
    for args in stages(source, "again", threads=2):
        found = process(*args, cwd=tmp_path, env=environment(**ENVIRONMENTS[source.name]))
        assert (found.returncode, found.stderr) == (0, "")
    assert artifacts(tmp_path / "again") == artifacts(run)


def renamed(ids, prefix, seed):
    """Return new names for ids, in another order."""
    old = sorted(set(ids))
    new = [f"{prefix}{number}" for number in range(len(old))]
    random.Random(seed).shuffle(new)
    return dict(zip(old, new, strict=True))


def test_renamed_customers_and_items_make_the_same_segments(first, tmp_path):
    source, run = first
    table = pd.read_csv(source, dtype=str).dropna()
    customers, items = renamed(table["customer"], "x", 1), renamed(table["item"], "y", 2)
    table["customer"] = table["customer"].map(customers)
    table["item"] = table["item"].map(items)
    table.sample(frac=1, random_state=0).to_csv(tmp_path / "renamed.csv", index=False)
    commands = stages(tmp_path / "renamed.csv", tmp_path / "run", items=tmp_path / "names.csv")
    pd.DataFrame({"item": list(items.values()), "name": "n"}).to_csv(
        tmp_path / "names.csv", index=False
    )
    for args in commands[:4]:
        ok(*args)
    before = pd.read_csv(run / "segments.csv", dtype={"customer": str})
    after = pd.read_csv(tmp_path / "run" / "segments.csv", dtype={"customer": str})
    there = after.set_index("customer")["segment"]
    assert there[before["customer"].map(customers)].tolist() == before["segment"].tolist()
    pd.testing.assert_frame_equal(
        pd.read_csv(run / "k_scores.csv"), pd.read_csv(tmp_path / "run" / "k_scores.csv"), rtol=1e-9
    )
