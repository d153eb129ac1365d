"""What the numerics ask of an engine, asked of every engine; and where the local one cuts."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

from segcli import progress
from segcli.engine import LocalEngine, local, sums
from segcli.engine.local import LocalBlocks
from segcli.errors import ChoiceError


def column_sums(block):
    return np.asarray(block.matrix.sum(axis=0)).ravel(), np.array(block.matrix.shape[0])


def row_facts(block, factor):
    sums = np.asarray(block.matrix.sum(axis=1)).ravel()
    return sums * factor, np.arange(block.start, block.stop)


def gram(block):
    return (np.asarray(block.matrix.T @ block.matrix),)


def doubled(block):
    return block.matrix * 2


def part_of(block, rows):
    return (rows[block.rows].sum(keepdims=True),)


def leading_share(X, n):
    s = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)
    return float((s[:n] ** 2).sum() / (s**2).sum())


def talkative(n):
    progress.report("a step within a task", 0, n)
    return n


def blas_threads():
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def refuse(n):
    msg = f"{n} is too large."
    raise ChoiceError(msg)


def dense(matrix):
    return matrix.toarray() if sp.issparse(matrix) else matrix


def wait_for(path):
    end = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.01)


def begin_and_wait(begun, go_on):
    begun.touch()
    wait_for(go_on)
    return "done"


class TestEveryEngine:
    def test_shape_is_the_matrix_shape(self, engine, matrix):
        assert engine.blocks(matrix).shape == matrix.shape

    def test_map_sum_is_the_sum_over_all_rows(self, engine, matrix):
        sums, n = engine.blocks(matrix).map_sum(column_sums)
        assert sums.tolist() == dense(matrix).sum(axis=0).tolist()
        assert n == matrix.shape[0]

    def test_map_sum_keeps_integers(self, engine, matrix):
        """Fingerprints are 64-bit sums, exact only as integers."""

        def large(block):
            return (np.full(2, 2**63 + 1, dtype=np.uint64) * np.uint64(block.stop - block.start),)

        (sums,) = engine.blocks(matrix).map_sum(large)
        assert sums.dtype == np.uint64
        assert sums.tolist() == [(2**63 + 1) * matrix.shape[0] % 2**64] * 2

    def test_map_sum_leaves_the_blocks_alone(self, engine, matrix):
        """A block function may return a view of the block: adding must not write into it."""
        before = dense(matrix).copy()
        engine.blocks(matrix).map_sum(lambda block: (dense(block.matrix)[:1],))
        assert np.array_equal(dense(matrix), before)

    def test_map_rows_is_in_row_order(self, engine, matrix):
        tripled, positions = engine.blocks(matrix).map_rows(row_facts, 3.0)
        assert positions.tolist() == list(range(matrix.shape[0]))
        assert tripled.tolist() == (3 * dense(matrix).sum(axis=1)).tolist()

    def test_a_block_knows_its_rows(self, engine, matrix):
        weights = np.random.default_rng(0).integers(0, 99, matrix.shape[0])
        (total,) = engine.blocks(matrix).map_sum(part_of, weights)
        assert total == weights.sum()

    def test_transform_is_row_for_row_and_can_be_mapped_again(self, engine, matrix):
        twice = engine.blocks(matrix).transform(doubled)
        assert twice.shape == matrix.shape
        sums, _ = twice.map_sum(column_sums)
        assert sums.tolist() == (2 * dense(matrix).sum(axis=0)).tolist()
        assert np.array_equal(dense(twice.take(np.arange(5))), 2 * dense(matrix)[:5])

    def test_take_follows_the_order_given(self, engine, matrix):
        rows = np.array([7, 0, matrix.shape[0] - 1, 7])
        assert np.array_equal(dense(engine.blocks(matrix).take(rows)), dense(matrix)[rows])

    def test_an_error_in_a_block_comes_through(self, engine, matrix):
        def broken(block):
            msg = "block is broken"
            raise ValueError(msg)

        with pytest.raises(ValueError, match="block is broken"):
            engine.blocks(matrix).map_sum(broken)

    def test_one_row_one_column(self, engine):
        blocks = engine.blocks(sp.csr_array([[4.0]]))
        assert [part.tolist() for part in blocks.map_sum(column_sums)] == [[4.0], 1]

    def test_a_matrix_without_entries(self, engine):
        blocks = engine.blocks(sp.csr_array((5, 3)))
        sums, n = blocks.map_sum(column_sums)
        assert (sums.tolist(), n) == ([0, 0, 0], 5)

    def test_tasks_come_back_in_order_with_the_bits_of_one_process(self, engine, ratings):
        tasks = [partial(leading_share, ratings.toarray(), n) for n in (5, 1, 3)]
        assert engine.run_tasks(tasks, "shares") == [task() for task in tasks]

    def test_tasks_are_counted_and_their_own_steps_are_not_heard(self, engine):
        heard = []
        with progress.listening(lambda *step: heard.append(step)):
            engine.run_tasks([partial(talkative, n) for n in range(3)], "talks")
        assert heard == [("talks", 1, 3), ("talks", 2, 3), ("talks", 3, 3)]

    def test_a_users_error_in_a_task_comes_through(self, engine):
        with pytest.raises(ChoiceError, match="3 is too large"):
            engine.run_tasks([partial(talkative, 1), partial(refuse, 3)], "refusals")

    def test_a_task_has_blas_on_one_thread(self, engine):
        """Its sums would depend on how many cores there are."""
        with threadpool_limits(2, user_api="blas"):
            assert set(*engine.run_tasks([blas_threads], "threads")) == {1}
            assert set(blas_threads()) == {2}

    def test_no_tasks(self, engine):
        assert engine.run_tasks([], "nothing") == []

    def test_what_is_to_be_done_meanwhile_is_done_once(self, engine):
        done = []
        assert engine.run_tasks([abs] * 0, "nothing", meanwhile=lambda: done.append(0)) == []
        tasks = [partial(talkative, n) for n in range(3)]
        assert engine.run_tasks(tasks, "talks", meanwhile=lambda: done.append(1)) == [0, 1, 2]
        assert done == [0, 1]

    def test_an_error_in_what_is_done_meanwhile_comes_through(self, engine):
        with pytest.raises(ChoiceError, match="7 is too large"):
            engine.run_tasks([partial(talkative, 1)] * 2, "talks", meanwhile=partial(refuse, 7))


class TestProcesses:
    def test_long_tasks_run_in_processes_with_the_same_bits(self, ratings, monkeypatch):
        monkeypatch.setattr(local, "LONG", 0)
        monkeypatch.setattr(local, "_have_started", threading.Event())
        here, *there = LocalEngine(2).run_tasks([os.getpid] * 3, "processes")
        assert here == os.getpid()
        assert os.getpid() not in there
        tasks = [partial(leading_share, ratings.toarray(), n) for n in (5, 1, 3)]
        assert LocalEngine(2).run_tasks(tasks, "shares") == [task() for task in tasks]

    def test_tasks_that_are_surely_long_start_in_processes_at_once(self):
        tasks = [os.getpid] * 2
        both = LocalEngine(2).run_tasks(tasks, "processes", seconds=local.SURELY_LONG)
        assert os.getpid() not in both
        here = LocalEngine(1).run_tasks(tasks, "processes", seconds=local.SURELY_LONG)
        assert here == [os.getpid()] * 2

    def test_processes_that_there_are_take_any_tasks(self, monkeypatch):
        monkeypatch.setattr(local, "LONG", 1000)
        monkeypatch.setattr(local, "_have_started", threading.Event())
        assert LocalEngine(2).run_tasks([os.getpid] * 3, "processes") == [os.getpid()] * 3
        LocalEngine(2).run_tasks([os.getpid] * 2, "processes", seconds=local.SURELY_LONG)
        assert os.getpid() not in LocalEngine(2).run_tasks([os.getpid] * 3, "processes")
        assert LocalEngine(1).run_tasks([os.getpid] * 3, "processes") == [os.getpid()] * 3

    def test_no_more_processes_are_started_than_there_is_memory_for(self, monkeypatch):
        run = partial(LocalEngine(4).run_tasks, [os.getpid] * 3, "pids", seconds=local.SURELY_LONG)
        monkeypatch.setattr(local, "available_memory", lambda: 2 * local.PROCESS - 1)
        assert run() == [os.getpid()] * 3
        monkeypatch.setattr(local, "available_memory", lambda: 2 * local.PROCESS)
        assert os.getpid() not in run()
        assert run(room=1) == [os.getpid()] * 3

    def test_meanwhile_is_while_processes_are_at_work(self, tmp_path):
        """Each task waits for the other side: neither comes first."""
        begun, go_on = [tmp_path / "begun", tmp_path / "begun too"], tmp_path / "go on"

        def meanwhile():
            for each in begun:
                wait_for(each)
            go_on.touch()

        def fail():
            for each in begun:
                wait_for(each)
            refuse(7)

        tasks = [partial(begin_and_wait, each, go_on) for each in begun]
        run = partial(LocalEngine(2).run_tasks, tasks, "waiting", seconds=local.SURELY_LONG)
        with pytest.raises(ChoiceError, match="7 is too large"):
            run(meanwhile=fail)  # those that wait are not waited for
        for each in begun:
            each.unlink()
        assert run(meanwhile=meanwhile) == ["done"] * 2

    def test_tasks_dropped_on_their_way_are_no_error_of_a_thread(self):
        """joblib's thread trips over some one time in ten; pytest fails a test whose threads do."""
        run = partial(LocalEngine(2).run_tasks, [partial(abs, 1)] * 2, "abs")
        run(seconds=local.SURELY_LONG)
        for _ in range(60):
            with pytest.raises(ChoiceError, match="7 is too large"):
                run(seconds=local.SURELY_LONG, meanwhile=partial(refuse, 7))

    def test_processes_do_not_hear_ctrl_c(self):
        """They would each write a traceback; the one that they work for ends them."""
        program = """
import signal
from functools import partial
from segcli.engine import LocalEngine, local
ask = partial(signal.getsignal, signal.SIGINT)
there = LocalEngine(2).run_tasks([ask] * 2, "handlers", seconds=local.SURELY_LONG)
print(there == [signal.SIG_IGN] * 2, ask() is signal.default_int_handler)
"""
        command = [sys.executable, "-c", program]
        ran = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True)
        assert ran.stdout.split() == ["True", "True"]

    def test_an_error_in_a_process_comes_through(self, monkeypatch):
        monkeypatch.setattr(local, "LONG", 0)
        tasks = [partial(talkative, 1), partial(talkative, 2), partial(refuse, 3)]
        with pytest.raises(ChoiceError, match="3 is too large"):
            LocalEngine(2).run_tasks(tasks, "refusals")

    def test_processes_end_with_the_one_they_work_for(self):
        program = """
import os, signal, sys, time
from segcli.engine import LocalEngine, local, sums
local.LONG = 0
def kill(parent=os.getpid()):
    if os.getpid() != parent:
        os.kill(parent, signal.SIGKILL)
        time.sleep(600)
LocalEngine(2).run_tasks([kill] * 3, "kill")
"""
        # The processes hold the pipe open: run() returns when the last of them has ended.
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
        assert done.returncode == -signal.SIGKILL

    def test_a_process_that_is_killed_is_told_of_in_one_line(self):
        program = """
import os, signal, time
from functools import partial
from segcli.engine import LocalEngine, local
from segcli.errors import ResourceError
def die(signal_or_none):
    os.kill(os.getpid(), signal_or_none) if signal_or_none else time.sleep(600)
tasks = [partial(die, each) for each in (signal.SIGKILL, None)]
try:
    LocalEngine(2).run_tasks(tasks, "die", seconds=local.SURELY_LONG)
except ResourceError as error:
    print(error)
"""
        words = [sys.executable, "-c", program]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.startswith("a process that gathered evidence was killed")
        assert len(done.stdout.splitlines()) == 1
        # joblib's own tracker may miss a semaphore that the killed process had, and says so.
        of_tracker = ("resource_tracker", "warnings.warn(")
        assert not [
            line for line in done.stderr.splitlines() if not any(w in line for w in of_tracker)
        ]

    def test_a_process_that_grows_is_replaced_without_a_word(self):
        program = """
import sys, time
from functools import partial
from segcli.engine import LocalEngine, local
local.LONG = 0
def grow(i):
    import numpy as np
    from joblib.externals.loky import process_executor as executor
    executor._MAX_MEMORY_LEAK_SIZE, executor._MEMORY_LEAK_CHECK_DELAY = 1e6, 0
    sys.__dict__.setdefault("kept", []).append(np.ones(1_000_000))
    time.sleep(0.05)
    return i
print(*LocalEngine(2).run_tasks([partial(grow, i) for i in range(12)], "grow"))
"""
        words = [sys.executable, "-c", program]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=True)
        assert (done.stdout.split(), done.stderr) == ([str(i) for i in range(12)], "")

    def test_where_the_system_has_no_semaphores_none_is_started(self):
        """joblib would run the tasks here, and what ends a process with its parent would end this one."""
        program = """
import _multiprocessing, os, time
from segcli.engine import LocalEngine, local
def no_semaphore(*args, **kwargs):
    raise OSError(28, "No space left on device")
_multiprocessing.SemLock = no_semaphore
def pid():
    time.sleep(0.05)
    return os.getpid()
tasks = [pid] * 4
print(set(LocalEngine(2).run_tasks(tasks, "here", seconds=local.SURELY_LONG)) == {os.getpid()})
"""
        words = [sys.executable, "-c", program]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (0, "True\n")


@settings(max_examples=30, deadline=None)
@given(
    cuts=st.lists(st.integers(1, 59), max_size=12, unique=True),
    n_threads=st.integers(1, 3),
)
def test_cut_anywhere_the_sums_are_the_same(cuts, n_threads):
    dense_rows = np.random.default_rng(1).standard_normal((60, 7))
    bounds = (0, *sorted(cuts), 60)
    (sums,) = LocalBlocks(dense_rows, bounds, n_threads).map_sum(gram)
    assert np.allclose(sums, dense_rows.T @ dense_rows, rtol=1e-12, atol=1e-12)
    (_, positions) = LocalBlocks(dense_rows, bounds, n_threads).map_rows(row_facts, 1.0)
    assert positions.tolist() == list(range(60))


@pytest.mark.parametrize("n_blocks", [1, 2, 3, 7, 8, 13])
def test_subtotals_of_any_shares_have_the_same_total(n_blocks):
    """However the blocks are shared out, the sums have the same bits, and blocks stay as they were."""
    parts = [(part,) for part in np.random.default_rng(6).standard_normal((n_blocks, 5))]
    before = [part.copy() for (part,) in parts]
    (total,) = sums.add_blocks(parts).total()
    for cut in range(n_blocks + 1):
        for end in range(cut, n_blocks + 1):
            found = sums.Subtotals()
            for first, last in ((0, cut), (cut, end), (end, n_blocks)):
                kept = sums.add_blocks(parts[first:last], first).kept
                assert len(kept) <= 2 * max(last - first, 1).bit_length()
                for one in kept:
                    found.add(one)
            assert found.total()[0].tobytes() == total.tobytes()
    assert np.array_equal(before, [part for (part,) in parts])
    assert not any(np.shares_memory(total, part) for (part,) in parts)


def test_after_an_error_the_rest_is_not_begun_and_the_threads_go_on():
    blocks = LocalEngine(2, block_entries=1).blocks(np.arange(1000.0)[:, None])
    begun = []

    def fail(block):
        begun.append(block.start)
        msg = "no"
        raise ValueError(msg)

    n_blocks = len(blocks.bounds) - 1
    with pytest.raises(ValueError, match="no"):
        blocks.map_sum(fail)
    n_begun = len(begun)
    (total,) = blocks.map_sum(lambda block: (block.matrix.sum(axis=0),))
    assert total.tolist() == [499_500.0]
    assert len(begun) == n_begun < n_blocks


def test_the_number_of_threads_changes_no_bit():
    rows = np.random.default_rng(2).standard_normal((5000, 9))
    sums = [LocalEngine(n, block_entries=500).blocks(rows).map_sum(gram)[0] for n in (1, 2, 5)]
    assert sums[0].tobytes() == sums[1].tobytes() == sums[2].tobytes()


def test_rows_that_the_first_block_s_type_cannot_hold_are_refused():
    def half_from_the_second_block_on(block):
        return (np.full(len(block.matrix), 0.5 if block.start else 1),)

    blocks = LocalBlocks(np.zeros((6, 2)), (0, 2, 6), 1)
    with pytest.raises(TypeError, match="Cannot cast"):
        blocks.map_rows(half_from_the_second_block_on)


@pytest.mark.parametrize("form", [np.asarray, sp.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("block_entries", [1, 500, 1 << 30])
def test_blocks_are_cut_by_content_alone_and_cover_every_row_once(form, block_entries):
    matrix = form(np.random.default_rng(3).random((400, 6)))
    one, two = (LocalEngine(n, block_entries=block_entries).blocks(matrix) for n in (1, 2))
    assert one.bounds == two.bounds
    assert one.bounds[0] == 0
    assert one.bounds[-1] == 400
    assert np.all(np.diff(one.bounds) > 0)
    assert (len(one.bounds) == 2) == (block_entries == 1 << 30)


@pytest.mark.parametrize("n_rows", [1, 100, 101, 102, 199, 203, 999])
def test_blocks_hold_so_many_entries_at_most_and_half_at_least(n_rows):
    """Give or take a row."""
    bounds = LocalEngine(1, block_entries=500).blocks(np.zeros((n_rows, 5))).bounds
    entries = 5 * np.diff(bounds)
    assert entries.max() <= 505
    assert (entries.min() >= 245) if n_rows > 100 else (len(entries) == 1)


def test_blocks_hold_about_equal_numbers_of_entries_whatever_the_rows():
    """One very active customer makes a block of its own; the others still share evenly."""
    dense_rows = np.zeros((1000, 50))
    dense_rows[:, 0] = 1
    dense_rows[500] = 1
    blocks = LocalEngine(1, block_entries=100).blocks(sp.csr_array(dense_rows))
    entries = np.diff(blocks.matrix.indptr[list(blocks.bounds)])
    assert len(entries) == 2  # 16 entries per column are the most: 1049 entries make two blocks
    assert entries.max() <= 1049 / 2 + 50
