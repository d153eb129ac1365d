"""A standalone cluster, a master and two workers in processes of their own, of which one is killed."""

import json
import re
import shutil
import subprocess
import sys
import time
from contextlib import ExitStack, chdir, suppress
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import psutil
import pytest
from planted import EQUAL, Design, plant
from run_dirs import digests, environment, ok

from segcli.engine.session import find_java, launch_environment

pytestmark = pytest.mark.xdist_group("spark")

DATA = Design(EQUAL, 0.2, "stars", n_customers=3600, median_items=90)
"""Two blocks, so that both workers have a task in a pass."""

STAGES = {
    "ingest": ("ratings.csv", "run"),
    "explore-pca": ("run", "--max-components", "4", "--evidence", "none"),
    "explore-k": ("run", "--n-components", "3", "--k-max", "4", "--evidence", "none"),
    "cluster": ("run", "--n-components", "3", "--n-clusters", "4", "--evidence", "none"),
    "validate": ("run", "--evidence", "none"),
    "report": ("run", "--evidence", "none"),
}

# Commands join the session that is open: Spark starts once for all of them.
IN_ONE_SESSION = """
import json, sys
from segcli.cli import main
from segcli.engine.session import open_session
with open_session(sys.argv[1]):
    for words in json.loads(sys.argv[2]):
        main([*words, "--engine", "spark", "--master", sys.argv[1]], standalone_mode=False)
"""

JAVA_OPTIONS = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
"""Java starts sooner."""

SETTINGS = f"""
spark.driver.extraJavaOptions {JAVA_OPTIONS}
spark.executor.extraJavaOptions {JAVA_OPTIONS}
spark.eventLog.enabled true
spark.eventLog.compress false
spark.eventLog.rolling.enabled false
"""

SECONDS = 180
"""How long anything may take on a busy machine."""


def wait_for(look, what):
    """Return what ``look()`` finds, as soon as it finds something."""
    end = time.monotonic() + SECONDS
    while not (found := look()):
        assert time.monotonic() < end, f"not within {SECONDS} seconds: {what}"
        time.sleep(0.02)
    return found


def kill(process):
    """Kill a process and all that it started with SIGKILL, and wait until they are gone."""
    tree = [process, *process.children(recursive=True)] if process.is_running() else []
    for one in tree:
        with suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(tree)


def has_python(worker):
    """Return whether an executor of a worker has handed a task to Python, which its daemon forks."""
    with suppress(psutil.NoSuchProcess):
        return any(
            process.name().startswith("python") and process.children()
            for process in worker.children(recursive=True)
        )
    return False


@dataclass
class Cluster:
    """Processes on loopback, and what they write."""

    folder: Path
    env: dict[str, str]
    url: str = ""
    workers: list[psutil.Popen] = field(default_factory=list)
    opened: ExitStack = field(default_factory=ExitStack)

    def __enter__(self):
        _, self.url = self.launch("master", "Master", r"Starting Spark master at (\S+)")
        return self

    def __exit__(self, *_):
        self.opened.close()

    def have_workers(self, n):
        """Start workers until ``n`` are alive."""
        self.workers = [worker for worker in self.workers if worker.is_running()]
        while len(self.workers) < n:
            name = f"worker-{time.monotonic_ns()}"
            words = ("--cores", "1", "--memory", "1g", "--work-dir", self.folder / name, self.url)
            worker, _ = self.launch(name, "Worker", "(Successfully registered)", *words)
            self.workers.append(worker)

    def launch(self, name, program, ready, *words):
        """Start a program of Spark's; return it and what its log says once it is ready."""
        import pyspark

        log = self.folder / f"{name}.log"
        with log.open("wb") as file:
            process = psutil.Popen(
                [
                    Path(pyspark.__file__).parent / "bin" / "spark-class",
                    f"org.apache.spark.deploy.{program.lower()}.{program}",
                    *("--host", "127.0.0.1", "--port", "0", "--webui-port", "0"),
                    *words,
                ],
                env=self.env,
                stdout=file,
                stderr=file,
            )
        self.opened.callback(kill, process)
        found = wait_for(lambda: re.search(ready, log.read_text()), f"{name} is ready")
        return process, found[1]

    def lost_tasks(self):
        """Return how many tasks Spark has started again because their executor was lost."""
        logs = [path.read_text() for path in (self.folder / "events").iterdir()]
        return sum(
            event["Event"] == "SparkListenerTaskEnd"
            and event["Task End Reason"]["Reason"] == "ExecutorLostFailure"
            for log in logs
            for event in map(json.loads, log.splitlines())
        )


@pytest.fixture(scope="module")
def cluster(spark_installed, tmp_path_factory):
    folder = tmp_path_factory.mktemp("cluster")
    (folder / "events").mkdir()
    events = f"spark.eventLog.dir {(folder / 'events').as_uri()}\n"
    (folder / "spark-defaults.conf").write_text(SETTINGS + events)
    with launch_environment(find_java()):
        env = environment(
            SPARK_CONF_DIR=str(folder),
            SPARK_LOCAL_IP="127.0.0.1",
            SPARK_DAEMON_JAVA_OPTS=f"{JAVA_OPTIONS} -Dspark.master.rest.enabled=false",
        )
        with Cluster(folder, env) as opened:
            yield opened


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A folder with interactions, and the run directory that the local engine makes of them."""
    folder = tmp_path_factory.mktemp("local")
    matrix = plant(DATA, seed=0)[0].tocoo()
    table = {"customer": matrix.row, "item": matrix.col, "value": matrix.data}
    pd.DataFrame(table).to_csv(folder / "ratings.csv", index=False)
    with chdir(folder):
        for stage, words in STAGES.items():
            ok(stage, *words)
    return folder


def remove_artifacts(run, stages):
    """Remove what stages wrote; return the names."""
    records = json.loads((run / "manifest.json").read_text())["stages"]
    names = [name for stage in stages for name in records[stage]["writes"]]
    for name in names:
        (run / name).unlink()
    return names


@pytest.mark.parametrize(
    "stages",
    [("ingest",), ("explore-pca",), ("explore-k", "cluster", "validate", "report")],
    ids=lambda stages: stages[0],
)
def test_a_worker_killed_in_the_first_stage_changes_no_artifact(cluster, local, tmp_path, stages):
    """The stages run on the cluster, all in all the six; a task is lost with the worker."""
    shutil.copytree(local, tmp_path, dirs_exist_ok=True)
    artifacts = remove_artifacts(tmp_path / "run", stages)
    cluster.have_workers(2)
    n_lost = cluster.lost_tasks()
    commands = json.dumps([(stage, *STAGES[stage]) for stage in stages])
    with subprocess.Popen(
        [sys.executable, "-c", IN_ONE_SESSION, cluster.url, commands],
        cwd=tmp_path,
        env=cluster.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        # Python imports segcli for its first task: the worker does not live to see the end of it.
        (at_work, *_) = wait_for(lambda: list(filter(has_python, cluster.workers)), "a task")
        kill(at_work)
        assert running.poll() is None
        assert not any((tmp_path / "run" / name).exists() for name in artifacts)
        _, stderr = running.communicate(timeout=SECONDS)
    assert running.returncode == 0, stderr
    assert cluster.lost_tasks() > n_lost
    assert digests(tmp_path) == digests(local)
