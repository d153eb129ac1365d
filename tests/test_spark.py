"""The Spark engine: what every engine must do, the local engine's bits, and one line for each failure."""

import importlib.util
import sys

import numpy as np
import pytest
import test_engine
from test_engine import TestEveryEngine as EveryEngine

from segcli.engine import LocalEngine, sums
from segcli.engine.session import find_java, open_session
from segcli.engine.spark import SparkEngine
from segcli.errors import ResourceError

pytestmark = pytest.mark.xdist_group("spark")  # one session for all of them


@pytest.fixture(scope="session")
def spark():
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: pip install 'segcli[spark]'")
    try:
        find_java()
    except ResourceError as error:
        pytest.skip(str(error))
    from pyspark import cloudpickle

    # The workers find segcli, and not the tests.
    for module in (test_engine, sys.modules[__name__]):
        cloudpickle.register_pickle_by_value(module)
    with open_session("local[2]") as session:
        yield session


@pytest.fixture(params=[(1, 1 << 18), (3, 64)], ids=["one task, one block", "three, small blocks"])
def engine(request, spark, tmp_path):
    n_partitions, block_entries = request.param
    with SparkEngine("local[2]", tmp_path, n_partitions, block_entries) as opened:
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
    from segcli.engine import scratch
    from segcli.engine import spark as spark_engine

    monkeypatch.setattr(scratch, "LARGE", large)
    monkeypatch.setattr(spark_engine, "AT_DRIVER", large)
    rng = np.random.default_rng(4)
    X, W = rng.standard_normal((900, 7)), rng.standard_normal((7, 3))
    factors = rng.standard_normal(900)
    local_blocks = LocalEngine(1, 150).blocks(X)
    with SparkEngine("local[2]", tmp_path, n_partitions, 150) as engine:
        blocks = engine.blocks(X)
        assert blocks.bounds == local_blocks.bounds
        assert len(blocks.bounds) - 1 > 4 * sums.LEAF_BLOCKS
        for ours, theirs in (
            (blocks, local_blocks),
            (blocks.transform(scaled, factors), local_blocks.transform(scaled, factors)),
        ):
            for mine, other in zip(
                ours.map_sum(product, W), theirs.map_sum(product, W), strict=True
            ):
                assert mine.tobytes() == other.tobytes()
