"""Matrices and engines that many tests need."""

import importlib.util
import signal
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from run_dirs import workplace_in

from segcli import control_groups as groups
from segcli.engine import LocalEngine, single_threaded_blas
from segcli.engine.session import find_java
from segcli.errors import ResourceError
from segcli.plots import drawing

ML100K = Path(__file__).parents[2] / "shared" / "data" / "ml-100k" / "u.data"


@pytest.fixture(scope="session", autouse=True)
def _one_blas_thread():
    with single_threaded_blas():
        yield


@pytest.fixture(scope="session", autouse=True)
def _hear_ctrl_c():
    """`make test &` in a script lets all that it starts ignore Ctrl-C; some tests send it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _draw_here():
    """Draw in the process of the tests, which has loaded matplotlib, and not in one more per command."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(drawing, "n_cores", lambda: 1)
        yield


@pytest.fixture
def control_groups(tmp_path, monkeypatch):
    """Return what puts this process in a control group and writes files of groups, by path."""

    def put(group, files):
        (tmp_path / "of_process").write_text(f"1:blkio:/else\n{group}\n")
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(f"{text}\n")

    monkeypatch.setattr(groups, "ROOT", tmp_path)
    monkeypatch.setattr(groups, "OF_PROCESS", tmp_path / "of_process")
    return put


@pytest.fixture(
    params=[LocalEngine(1), LocalEngine(2, block_entries=64)],
    ids=["one thread, one block", "two threads, small blocks"],
)
def engine(request):
    return request.param


@pytest.fixture(scope="session")
def ratings():
    """300 customers of uneven activity, 20 items, whole values 1 to 5; no two rows are equal."""
    rng = np.random.default_rng(20)
    activity = rng.beta(1.5, 3, 300)
    have = rng.random((300, 20)) < 0.1 + 0.8 * activity[:, None] * np.linspace(1, 0.2, 20)
    dense = np.where(have, rng.integers(1, 6, have.shape), 0)
    return sp.csr_array(np.unique(dense, axis=0).astype(np.float64))


@pytest.fixture(params=["sparse", "dense"])
def matrix(request, ratings):
    return ratings if request.param == "sparse" else ratings.toarray()


@pytest.fixture(scope="session")
def ml100k():
    """MovieLens 100K as it comes, 943 customers × 1682 items."""
    if not ML100K.exists():
        pytest.skip(f"MovieLens 100K is not at {ML100K}")
    user, item, value = np.loadtxt(ML100K, dtype=np.int64, usecols=(0, 1, 2), unpack=True)
    return sp.csr_array((value.astype(np.float64), (user - 1, item - 1)))


@pytest.fixture(scope="session")
def spark_installed():
    """pyspark and a Java for it."""
    if importlib.util.find_spec("pyspark") is None:
        pytest.skip("pyspark is not installed: pip install 'segcli[spark]'")
    try:
        find_java()
    except ResourceError as error:
        pytest.skip(str(error))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A run directory in which all stages have run; the current folder is the one that holds it."""
    monkeypatch.chdir(tmp_path)
    return workplace_in(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The same for all tests of a module, which only look at it."""
    return workplace_in(tmp_path_factory.mktemp("finished"))
