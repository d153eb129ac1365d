"""What would not fit in memory is refused in time, with the figures and a way out."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest
from run_dirs import STAGES, invoke, name_segments, ok, workplace_in

from segcli.artifacts.formats import MatrixSize
from segcli.engine import memory
from segcli.engine.memory import available_memory, require_memory
from segcli.errors import ResourceError
from segcli.stages.explore_k import KEPT_PER_CUSTOMER
from segcli.stages.memory import require_memory_for


def files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "ingest"])
def test_a_stage_that_would_not_fit_is_refused_and_changes_nothing(stage, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = workplace_in(tmp_path)
    for name, options in STAGES.items():
        if name == stage:
            break
        ok(*options)
    before = files(place.run)
    monkeypatch.setattr(memory, "available_memory", lambda: 100_000_000)
    result = invoke(*STAGES[stage])
    assert result.exit_code == 1
    assert (
        f"{stage} of 269 interactions of 60 customers with 12 items needs about 0.4 GB of memory, but "
        "0.1 GB is free. "
    ) in result.stderr
    assert ("Ask for fewer --max-components." in result.stderr) == (stage == "explore-pca")
    assert "Ingest a sample of the customers" in result.stderr
    assert files(place.run) == before


def test_an_ingest_that_would_not_fit_is_refused_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("views.csv").write_text("".join(f"c{i % 40},i{i},1\n" for i in range(1_000)))
    monkeypatch.setattr(memory, "available_memory", lambda: 11_999)
    result = invoke("ingest", "views.csv", "run")
    assert result.exit_code == 1
    assert "ingest, after 1,000 rows, needs about 0.0 GB of memory" in result.stderr
    assert "Ingest a sample of the customers" in result.stderr
    assert not Path("run").exists()
    monkeypatch.setattr(memory, "available_memory", lambda: 12_000)
    ok("ingest", "views.csv", "run")


def test_the_need_grows_with_the_matrix(monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda: 2_000_000_000)
    require_memory(1.9e9, work="a run", way_out="Buy more.")
    with pytest.raises(ResourceError, match=r"a run needs about 2\.1 GB .* 2\.0 GB is free\. Buy"):
        require_memory(2.1e9, work="a run", way_out="Buy more.")


@pytest.mark.parametrize(
    ("holds_matrix", "n_bytes"),
    [(True, 400e6 + 30 * 1000 + 8 * (50 * 3 + 7 * 7)), (False, 400e6 + 8 * (50 * 3 + 7 * 7))],
)
def test_the_need_is_of_what_is_held(monkeypatch, holds_matrix, n_bytes):
    """For each of the 7 items no more columns than there are items."""
    needs = []
    monkeypatch.setattr("segcli.stages.memory.require_memory", lambda need, **_: needs.append(need))
    stage = SimpleNamespace(name="explore-pca", size_of_matrix=lambda: MatrixSize(50, 7, 1000))
    engine = SimpleNamespace(holds_matrix=holds_matrix)
    require_memory_for(stage, engine, per_customer=3, per_item=100)
    assert needs == [n_bytes]


@pytest.mark.parametrize(
    ("chosen", "n_ks"),
    [
        (("--n-components", "2"), 49),
        (("--n-components", "5"), 49),
        (("--n-components", "5", "--k-max", "7"), 6),
        (("--n-components", "5", "--k-max", "30", "--k-step", "10"), 3),
    ],
)
def test_scores_and_loadings_of_both_kinds_and_labels_for_each_k_are_reckoned_with(
    tmp_path, monkeypatch, chosen, n_ks
):
    monkeypatch.chdir(tmp_path)
    workplace_in(tmp_path)
    ok(*STAGES["ingest"])
    ok("explore-pca", "run", "--max-components", "7", "--evidence", "none")
    asked = []
    monkeypatch.setattr(
        "segcli.stages.explore_k.require_memory_for",
        lambda stage, engine, per_customer, per_item: asked.append((per_customer, per_item)),
    )
    ok("explore-k", "run", *chosen, "--evidence", "none")
    n_numbers = 7 + int(chosen[1])
    assert asked == [(n_numbers + n_ks + KEPT_PER_CUSTOMER, n_numbers + 5)]


@pytest.mark.parametrize("k", [10**9, 10**30])
def test_a_k_that_no_data_bear_is_no_matter_of_memory(tmp_path, monkeypatch, k):
    monkeypatch.chdir(tmp_path)
    workplace_in(tmp_path)
    ok(*STAGES["ingest"])
    ok(*STAGES["explore-pca"])
    result = invoke(*STAGES["explore-k"][:4], "--k-max", str(k))
    assert result.exit_code == 1
    assert f"k = {k} is too large" in result.stderr


@pytest.mark.parametrize(
    ("stage", "n_numbers", "of_customer"), [("validate", 8, 20), ("report", 16, 40)]
)
def test_figures_of_each_customer_and_of_each_item_in_each_segment_are_reckoned_with(
    stage, n_numbers, of_customer, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    workplace_in(tmp_path)
    for name in ("ingest", "explore-pca", "cluster"):
        ok(*STAGES[name])
    asked = []
    monkeypatch.setattr(
        f"segcli.stages.{stage}.require_memory_for",
        lambda stage, engine, per_item, per_customer: asked.append((per_customer, per_item)),
    )
    ok(*STAGES[stage], "--evidence", "none")
    n_segments = int(STAGES["cluster"][STAGES["cluster"].index("--n-clusters") + 1])
    assert asked == [(of_customer, n_numbers * n_segments)]


@pytest.mark.parametrize(("evidence", "n_halves"), [("none", 0), ("quick", 20), ("full", 100)])
def test_the_models_of_halves_are_reckoned_with(tmp_path, monkeypatch, evidence, n_halves):
    monkeypatch.chdir(tmp_path)
    workplace_in(tmp_path)
    for name in ("ingest", "explore-pca"):
        ok(*STAGES[name])
    asked = []
    monkeypatch.setattr(
        "segcli.stages.cluster.require_memory_for",
        lambda stage, engine, per_item, per_customer, way_out: asked.append(
            (per_customer, per_item)
        ),
    )
    ok("cluster", "run", "--n-components", "2", "--n-clusters", "3", "--evidence", evidence)
    assert asked == [(2 + 30, n_halves * (2 + 5))]


def test_customers_of_an_earlier_run_are_reckoned_with(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    place = workplace_in(tmp_path)
    shutil.copytree(place.run, tmp_path / "earlier")
    name_segments(tmp_path / "earlier", ["A", "B", "C"])
    asked = []
    monkeypatch.setattr(
        "segcli.stages.report.require_memory_for",
        lambda stage, engine, per_item, per_customer: asked.append(per_customer),
    )
    ok(*STAGES["report"])
    ok(*STAGES["report"], "--segment-names-from", "earlier")
    assert asked == [40, 70]


@pytest.mark.parametrize(
    ("group", "place", "limit", "usage"),
    [
        ("0::/", "", "memory.max", "memory.current"),
        ("0::/user/job", "user/job/", "memory.max", "memory.current"),
        ("0::/user/job", "user/", "memory.max", "memory.current"),
        ("0::/seen/from/outside", "", "memory.max", "memory.current"),
        ("4:memory:/job", "memory/job/", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        ("4:hugetlb,memory:/a:b", "memory/", "memory.limit_in_bytes", "memory.usage_in_bytes"),
    ],
)
def test_the_limit_of_a_control_group_counts(control_groups, group, place, limit, usage):
    control_groups(group, {})
    free = available_memory()
    assert free > 0
    control_groups(group, {place + limit: "max"})
    assert available_memory() == pytest.approx(free, rel=0.5)
    control_groups(group, {place + limit: 3_000_000, place + usage: 1_000_000})
    assert available_memory() == 2_000_000
    control_groups(group, {place + usage: 4_000_000})
    assert available_memory() == 0


def test_without_control_groups_there_is_what_the_machine_has(tmp_path, monkeypatch):
    monkeypatch.setattr("segcli.control_groups.OF_PROCESS", tmp_path / "none")
    assert available_memory() > 0


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ("virtual_memory", FileNotFoundError(2, "No such file", "/proc/meminfo")),
        ("Process", psutil.NoSuchProcess(1)),
    ],
)
def test_a_system_that_does_not_say_what_is_free_stops_nothing(
    control_groups, monkeypatch, function, error
):
    """Such as a chroot without /proc."""

    def fail():
        raise error

    monkeypatch.setattr(psutil, function, fail)
    control_groups("0::/", {})
    assert available_memory() > 0
    control_groups("0::/", {"memory.max": 3_000_000})
    assert available_memory() == 3_000_000


@pytest.mark.parametrize("line", [b"", b"memory", b"0:", b"0::job", b"4:memory:", b"0::/caf\xe9"])
def test_lines_that_name_no_control_group_are_passed_over(control_groups, tmp_path, line):
    control_groups("0::/", {"memory.max": 3_000_000})
    known = (tmp_path / "of_process").read_bytes()
    (tmp_path / "of_process").write_bytes(line + b"\n" + known)
    assert available_memory() == 3_000_000


@pytest.mark.parametrize("stat", ["anon", "a b c", "active_file many", "\xe9 1", ""])
def test_figures_that_cannot_be_read_count_as_none(control_groups, stat):
    files = {"memory.max": 3_000_000, "memory.current": 1_000_000, "memory.stat": stat}
    control_groups("0::/", files)
    assert available_memory() == 2_000_000


LIMITED = """
import mmap
import resource
from segcli.engine.memory import available_memory

resource.setrlimit(resource.RLIMIT_AS, (2 << 30, resource.RLIM_INFINITY))
taken = [mmap.mmap(-1, 1 << 29)]  # addresses, of which nothing is in memory yet
free = available_memory()
taken.append(mmap.mmap(-1, free - (1 << 24)))
try:
    mmap.mmap(-1, 1 << 26)
except OSError:
    print(free)
"""


@pytest.mark.skipif(not hasattr(psutil, "RLIMIT_AS"), reason="there is no such limit here")
@pytest.mark.skipif(available_memory() < 3 << 30, reason="less is free than the limit leaves")
def test_no_more_is_free_than_a_limit_leaves():
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    found = subprocess.run(
        [sys.executable, "-c", LIMITED], capture_output=True, check=True, env=environment
    )
    assert 0 < int(found.stdout) < 3 << 29


@pytest.mark.parametrize(
    ("group", "limit", "usage", "total"),
    [
        ("0::/", "memory.max", "memory.current", ""),
        ("4:memory:/", "memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "total_"),
    ],
)
def test_files_that_a_container_keeps_in_memory_are_no_need(
    control_groups, group, limit, usage, total
):
    """Whoever has just read a large file could do nothing else otherwise."""
    stat = f"anon 500000\n{total}active_file 600000\n{total}inactive_file 1400000"
    place = limit.rpartition("/")[0]
    name = f"{place}/memory.stat".lstrip("/")
    control_groups(group, {limit: 3_000_000, usage: 2_500_000, name: stat})
    assert available_memory() == 2_500_000


CLEARED = """
import resource
from segcli.engine.memory import release_freed_memory, reuse_freed_memory

def cleared(n):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(n):
        [bytearray(24 << 20) for _ in range(4)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

reuse_freed_memory()
first, nine_more = cleared(1), cleared(9)
release_freed_memory()
print(first, nine_more, cleared(1))
"""


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are"
)
@pytest.mark.parametrize("variable", [None, "MALLOC_TRIM_THRESHOLD_"])
def test_freed_memory_is_kept_until_it_is_released(variable):
    environment = {name: value for name, value in os.environ.items() if "MALLOC" not in name}
    if variable is not None:
        environment[variable] = "0"
    found = subprocess.run(
        [sys.executable, "-c", CLEARED], capture_output=True, check=True, env=environment
    )
    first, nine_more, again = map(int, found.stdout.split())  # pages
    if variable is None:
        assert nine_more < first
    else:  # what the user has set holds
        assert nine_more > 5 * first
    assert again > first / 2


def test_every_stage_keeps_freed_memory_and_then_releases_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    workplace_in(tmp_path)
    called = []
    for name in ("reuse_freed_memory", "release_freed_memory"):
        monkeypatch.setattr(memory, name, lambda name=name: called.append(name))
    for n, options in enumerate(STAGES.values(), start=1):
        ok(*options)
        assert called == ["reuse_freed_memory", "release_freed_memory"] * n


def test_freed_memory_is_released_before_anything_is_refused(monkeypatch):
    free = [100, 300]
    monkeypatch.setattr(memory, "available_memory", lambda: free[0])
    monkeypatch.setattr(memory, "release_freed_memory", lambda: free.pop(0))
    require_memory(200, work="It", way_out="Wait.")
    assert free == [300]
