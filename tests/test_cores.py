"""How many threads work when nobody says: no more than this process is granted the time for."""

import os

import pytest

from segcli.cores import n_cores


@pytest.fixture
def eight(monkeypatch):
    """Let this process run on any of eight cores."""
    of_processes = {0: set(range(8)), 1: {0}}  # 0 is the one that asks
    monkeypatch.setattr(os, "sched_getaffinity", of_processes.get, raising=False)


@pytest.mark.usefixtures("eight")
def test_every_core_that_the_process_may_run_on_works(control_groups):
    control_groups("0::/", {})
    assert n_cores() == 8


@pytest.mark.parametrize(
    ("group", "files", "granted"),
    [
        ("0::/", {"cpu.max": "max 100000"}, 8),
        ("0::/", {"cpu.max": "200000 100000"}, 2),
        ("0::/", {"cpu.max": "150000 100000"}, 2),
        ("0::/", {"cpu.max": "1000 100000"}, 1),
        ("0::/", {"cpu.max": "1600000 100000"}, 8),
        ("0::/user/job", {"user/job/cpu.max": "max 100000", "user/cpu.max": "300000 100000"}, 3),
        ("0::/user/job", {"user/job/cpu.max": "200000 50000", "cpu.max": "600000 100000"}, 4),
        ("4:cpu,cpuacct:/", {"cpu/cpu.cfs_quota_us": -1, "cpu/cpu.cfs_period_us": 100000}, 8),
        ("4:cpu:/job", {"cpu/cpu.cfs_quota_us": 250000, "cpu/cpu.cfs_period_us": 100000}, 3),
        ("4:cpu:/job", {"cpu/cpu.cfs_quota_us": 250000}, 8),
        ("0::/", {"cpu.max": ""}, 8),
        ("0::/", {"cpu.max": "200000 0"}, 8),
        ("0::/", {"cpu.max": "200000 soon"}, 8),
    ],
)
@pytest.mark.usefixtures("eight")
def test_no_more_threads_than_a_control_group_grants_time_for(
    control_groups, group, files, granted
):
    control_groups(group, files)
    assert n_cores() == granted


def test_where_no_system_says_which_cores_all_work(monkeypatch, control_groups):
    control_groups("0::/", {})
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert n_cores() == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert n_cores() == 1
