"""The command line: light, in order, documented; JSON alone on stdout; a bar on terminals only."""

import io
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import click
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from run_dirs import (
    STAGES,
    assert_one_line,
    assert_whole,
    digests,
    environment,
    invoke,
    ok,
    process,
)

from segcli import __version__, progress, terminal
from segcli.cli import main
from segcli.engine import LocalEngine
from segcli.errors import InputError

HEAVY = ("numpy", "scipy", "pandas", "sklearn", "matplotlib", "joblib", "pyarrow", "jinja2")


def python(code, folder, **variables):
    """Run a program in a process of its own, which must succeed."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env=environment(**variables),
        capture_output=True,
        text=True,
        check=True,
    )


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["cluster", "--help"]])
def test_help_loads_nothing_heavier_than_click(tmp_path, args):
    code = (
        "import sys\nfrom segcli.cli import main\n"
        f"main({args}, standalone_mode=False)\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)"
    )
    found = python(code, tmp_path)
    loaded = set(found.stderr.split())
    assert "click" in loaded
    assert loaded.isdisjoint({*HEAVY, "threadpoolctl", "pyspark"})


@pytest.mark.parametrize(
    ("command", "unneeded"),
    [
        (
            "ingest ratings.csv new",
            ("pandas", "joblib", "pyarrow.parquet", "matplotlib", "sklearn"),
        ),
        *(
            (
                f"{stage} --evidence {evidence} --threads 2",
                ("pandas", "pyarrow", "matplotlib", "sklearn"),
            )
            for evidence in ("none", "quick")
            for stage in (
                "explore-pca run",
                "explore-k run --n-components 3 --k-max 4",
                "cluster run --n-components 3 --n-clusters 4",
                "validate run",
                "report run",
            )
        ),
        ("label run --segments-from other", ("pandas", "pyarrow", "matplotlib", "sklearn")),
        (
            "explore-pca run --compare-weightings --threads 2",
            ("pandas", "pyarrow", "matplotlib", "sklearn"),
        ),
        (
            "explore-pca run --compare-score-norms --threads 2",
            ("pandas", "pyarrow", "matplotlib", "sklearn"),
        ),
        (
            "explore-pca run --compare-components --max-components 3 --threads 2",
            ("pandas", "pyarrow", "matplotlib", "sklearn"),
        ),
    ],
)
def test_a_stage_loads_only_what_it_needs(place, command, unneeded):
    """What is not needed takes longer to load than a small file to work on."""
    shutil.copytree(place.run, "other")
    code = (
        "import sys\nfrom segcli.cli import main\n"
        f"main({command.split()}, standalone_mode=False)\n"
        f"print(*sorted({{*{unneeded}}} & {{*sys.modules}}), file=sys.stderr)"
    )
    assert python(code, place.folder).stderr.strip() == ""


def test_no_kind_of_file_needs_pandas(tmp_path):
    """It takes a third of a second to load, and pyarrow would do so for the smallest of reasons."""
    rows = ['"a, b",7,1,"x ""y"""', "c,8,2,z", "c,,3,z", '"a, b",8,1.5,z', "d,7,-1,"]
    (tmp_path / "quoted.csv").write_text("\n".join(["customer,item,value,name", *rows]))
    columns = {"customer": [1.0, 2.0, None], "item": ["x", "y", None], "value": [1, 2, 3]}
    pq.write_table(pa.table(columns), tmp_path / "packed.parquet")
    code = (
        "import sys\nfrom segcli.cli import main\n"
        "args = ['ingest', 'quoted.csv', 'a', '--items', 'quoted.csv', '--items-name', 'name']\n"
        "main(args, standalone_mode=False)\n"
        "main(['ingest', 'packed.parquet', 'b'], standalone_mode=False)\n"
        "print('pandas' in sys.modules, file=sys.stderr)"
    )
    assert python(code, tmp_path).stderr == "False\n"
    assert pd.read_csv(tmp_path / "a" / "rejects.csv")["row"].tolist() == [4, 6]
    assert pd.read_csv(tmp_path / "b" / "items.csv")["item"].tolist() == ["x", "y"]


def test_on_its_way_out_python_need_not_look_through_all_that_was_loaded(tmp_path):
    code = (
        "import atexit, gc\natexit.register(lambda: print(gc.get_freeze_count()))\n"
        "import segcli.cli\nprint(gc.get_freeze_count())"
    )
    found = python(code, tmp_path)
    before, at_exit = map(int, found.stdout.split())
    assert at_exit > before + 1000  # some Pythons freeze a few things themselves


@pytest.mark.parametrize("stated", [None, "2"])
def test_openblas_starts_no_threads_that_stay_idle(place, monkeypatch, stated):
    code = (
        "import os, sys\nfrom segcli.cli import main\n"
        "main(['ingest', 'ratings.csv', 'run'], standalone_mode=False)\n"
        "from threadpoolctl import ThreadpoolController\n"
        "found = ThreadpoolController().select(internal_api='openblas').info()\n"
        "most = max((library['num_threads'] for library in found), default=1)\n"
        "print(os.environ['OPENBLAS_NUM_THREADS'], most, file=sys.stderr)"
    )
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    if stated is None:
        assert python(code, place.folder).stderr == "1 1\n"
    else:  # it holds, if to no use
        found = python(code, place.folder, OPENBLAS_NUM_THREADS=stated)
        assert found.stderr.startswith(f"{stated} ")


def test_a_backend_that_matplotlib_does_not_know_stops_no_command(place):
    env = environment(MPLBACKEND="nonsense")
    ended = process("explore-pca", "run", "--evidence", "none", cwd=place.folder, env=env)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_commands_stand_in_the_order_of_the_pipeline():
    lines = ok("--help").stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == [*STAGES, "label", "run", "status"]
    assert all(len(line.split()) > 1 and line.endswith(".") for line in lines)
    assert "..." not in "".join(lines)  # what click makes of a description that is too long


@pytest.mark.parametrize("name", [*STAGES, "label", "run", "status"])
def test_each_command_has_help_with_an_example(name):
    text = ok(name, "--help").stdout
    assert f"Example:\n    segcli {name} " in text
    assert ok(name, "-h").stdout == text
    command = main.commands[name]
    for option in command.params:
        assert isinstance(option, click.Argument) or option.help, option.name
    # What follows "||" is the shell's.
    shown = [line.partition("||")[0] for line in text.splitlines()]
    examples = [shlex.split(line)[1:] for line in shown if line.startswith("    segcli ")]
    for example in examples:  # the example is a command line that parses
        command.make_context(name, example[1:], resilient_parsing=False)


def test_every_option_has_no_double():
    for command in main.commands.values():
        names = [name for option in command.params for name in option.opts]
        assert len(names) == len(set(names))


@pytest.mark.parametrize("name", [*STAGES, "status"])
def test_json_is_one_object_alone_on_stdout(place, name):
    result = ok(*STAGES.get(name, ("status", "run")), "--json")
    assert isinstance(json.loads(result.stdout), dict)
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr == ""


@pytest.mark.parametrize("name", STAGES)
def test_the_summary_names_the_files_written_and_json_says_the_same(place, name):
    text = ok(*STAGES[name]).stdout
    document = json.loads(ok(*STAGES[name], "--json").stdout)
    assert text.splitlines()[-1] == f"Wrote to run: {', '.join(document['wrote'])}"
    assert all((place.run / wrote).is_file() for wrote in document["wrote"])


def test_module_version_and_bare_call(tmp_path):
    found = process("--version", cwd=tmp_path)
    assert (found.returncode, found.stdout) == (0, f"segcli, version {__version__}\n")
    assert process(cwd=tmp_path).stderr.startswith("Usage: segcli ")
    assert invoke("--version").stdout == found.stdout


CHOSEN = ("--n-components", "2", "--n-clusters", "3")
needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")


@needs_full
@pytest.mark.parametrize("args", [["--help"], ["--version"], ["ingest", "--help"]])
def test_a_full_disk_under_the_output_is_one_line(args):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "segcli", *args],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "Error: No space left on device\n")


@needs_full
def test_a_full_disk_under_the_summary_leaves_done_what_is_done(place):
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "segcli", *STAGES["report"][:-1], "4"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        "Error: standard output cannot be written to: No space left on device. What was done before "
        "is in run.\n",
    )
    assert "top 4" in ok("status", "run").stdout


@needs_full
@pytest.mark.parametrize(
    ("words", "done"),
    [
        (["status", "run"], ""),
        (["status", "run", "--json"], ""),
        (["explore-pca", "run", "--compare-weightings", "--max-components", "2"], ""),
        (["explore-pca", "run", "--compare-components", "--max-components", "2"], ""),
        (["run", "ratings.csv", "new", *CHOSEN], ""),
        (["run", "ratings.csv", "new", *CHOSEN, "--json"], " What was done before is in new."),
    ],
)
def test_a_full_disk_under_the_output_is_not_one_of_the_run_directory(place, words, done):
    with Path("/dev/full").open("w") as full:
        program = [sys.executable, "-m", "segcli", *words]
        found = subprocess.run(program, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    message = f"standard output cannot be written to: No space left on device.{done}"
    assert (found.returncode, found.stderr) == (1, f"Error: {message}\n")
    assert Path("new/matrix.npz").exists() == bool(done)


@pytest.mark.parametrize("words", [["--help"], ["status", "run"], [*STAGES["report"]]])
def test_a_reader_that_has_gone_is_told_nothing(place, words):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as nobody:
        program = [sys.executable, "-m", "segcli", *words]
        done = subprocess.run(
            program, stdout=nobody, stderr=subprocess.PIPE, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
def test_a_closed_stream_stops_no_command(place, monkeypatch, closed):
    """Nor does what is written to it end up in a file that is opened later."""
    before = digests(place.run)
    program = shlex.join([sys.executable, "-m", "segcli", *STAGES["report"]])
    (place.run / "report.html").unlink()
    done = subprocess.run(
        ["sh", "-c", f"{program} {closed}"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert ("Wrote to run" in done.stdout) == (closed == "2>&-")
    assert digests(place.run) == before


def test_a_library_that_cannot_be_loaded_is_one_line(place, monkeypatch):
    def run(*_args, **_options):
        msg = "\nAt length.\n\nlibblas.so: failed to map segment.\n"
        raise ImportError(msg)

    before = digests(place.run)
    monkeypatch.setattr("segcli.stages.report.run", run)
    assert_one_line(
        invoke("report", "run"),
        "a library cannot be loaded: libblas.so: failed to map segment. Reinstall segcli",
    )
    assert digests(place.run) == before


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("can't start new thread"),
        pa.ArrowException("Unknown error: Failed to launch worker thread: Resource unavailable"),
    ],
)
def test_a_limit_on_threads_is_one_line(place, monkeypatch, error):
    def run(*_args, **_options):
        try:
            raise error
        finally:
            threading.Thread().join()  # as joblib does: an error of its own

    before = digests(place.run)
    monkeypatch.setattr("segcli.stages.report.run", run)
    assert_one_line(invoke("report", "run"), "no more threads can be started", "Raise the limit")
    assert digests(place.run) == before


def test_a_system_without_semaphores_is_no_fault_of_the_data(place):
    code = """
import _multiprocessing
def no_semaphore(*args, **kwargs):
    raise OSError(38, "Function not implemented")
_multiprocessing.SemLock = no_semaphore
from segcli.cli import main
main(["cluster", "run", "--n-components", "2", "--n-clusters", "3", "--evidence", "none"])
"""
    assert python(code, place.folder).stderr == ""


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion(tmp_path, shell):
    code = "from segcli.cli import main; main(prog_name='segcli')"
    found = python(code, tmp_path, _SEGCLI_COMPLETE=f"{shell}_source")
    assert "_SEGCLI_COMPLETE" in found.stdout


def test_completion_offers_the_commands(tmp_path):
    words = {"COMP_WORDS": "segcli explore", "COMP_CWORD": "1"}
    code = "from segcli.cli import main; main(prog_name='segcli')"
    found = python(code, tmp_path, _SEGCLI_COMPLETE="bash_complete", **words)
    assert found.stdout.split() == ["plain,explore-pca", "plain,explore-k"]


@pytest.mark.parametrize(("options", "n_threads"), [((), None), (("--threads", "3"), 3)])
def test_as_many_threads_work_as_are_asked_for(place, monkeypatch, options, n_threads):
    engines = []

    def run(*, engine, **_):
        engines.append(engine)
        msg = "seen"
        raise InputError(msg)

    monkeypatch.setattr("segcli.stages.cluster.run", run)
    assert_one_line(invoke(*STAGES["cluster"], *options), "seen")
    assert engines == [LocalEngine(n_threads)]


# The progress bar


class FakeTerminal(io.StringIO):
    """A stream that is, or is not, a terminal."""

    def __init__(self, tty):
        super().__init__()
        self._tty = tty

    def isatty(self):
        return self._tty


@pytest.fixture
def clock(monkeypatch):
    """A clock that stands still until it is set."""
    now = [100.0]
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now[0])
    return now


def drawn(monkeypatch, clock, tty, moments):
    """Return what a bar writes when told, at each moment, that a step of ten is done."""
    stream = FakeTerminal(tty)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(click, "echo", lambda text, nl, err: stream.write(text))
    bar = terminal.ProgressBar()
    for done, moment in enumerate(moments, 1):
        clock[0] = 100.0 + moment
        bar("k-means", done, 10)
    bar.clear()
    return stream.getvalue()


def test_no_bar_where_there_is_no_terminal(monkeypatch, clock):
    assert drawn(monkeypatch, clock, False, [1, 5, 9]) == ""


def test_no_bar_for_short_work(monkeypatch, clock):
    assert drawn(monkeypatch, clock, True, [0.1, 0.5, 1.4]) == ""


def test_a_bar_for_long_work_with_the_time_left(monkeypatch, clock):
    text = drawn(monkeypatch, clock, True, [1, 2, 2.01, 2.02, 8])
    lines = text.split("\r\x1b[2K")
    assert len(lines) == 4  # nothing, two drawings (those between come too soon), the wipe
    assert lines[1] == "k-means [#####-------------------]  20%  4 s left"
    assert lines[2] == "k-means [############------------]  50%  7 s left"
    assert lines[3] == ""


def test_a_bar_guesses_nothing_from_the_first_steps_and_ends_at_all(monkeypatch, clock):
    stream = FakeTerminal(True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(click, "echo", lambda text, nl, err: stream.write(text))
    bar = terminal.ProgressBar()
    for done in (0, 2, 3, 103):
        bar("k-means", done, 100)
        clock[0] += 2
    lines = [line.partition("]")[2] for line in stream.getvalue().split("\r\x1b[2K")]
    assert lines == ["", "   2%", "   3%  129 s left", " 100%  0 s left"]


def test_a_bar_without_a_total_counts_steps(monkeypatch, clock):
    stream = FakeTerminal(True)
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(click, "echo", lambda text, nl, err: stream.write(text))
    bar = terminal.ProgressBar()
    clock[0] += 5
    bar("PCA", 3, None)
    assert stream.getvalue().endswith("PCA: step 3")


def test_steps_of_a_step_are_not_heard_and_nobody_hears_what_comes_after():
    heard = []
    with progress.listening(lambda *step: heard.append(step)):
        progress.report("k-means", 1, 2)
        with progress.unheard():
            progress.report("PCA", 1)
        progress.report("k-means", 2, 2)
    progress.report("k-means", 3, 3)
    assert heard == [("k-means", 1, 2), ("k-means", 2, 2)]


def test_a_bar_is_wiped_before_anything_else_is_said(place, monkeypatch):
    class OnTerminal(terminal.ProgressBar):
        def __init__(self):
            super().__init__()
            self._enabled = True

    def run(**_):
        progress.report("k-means", 1, 2)
        msg = "the data are gone"
        raise InputError(msg)

    monkeypatch.setattr("segcli.cli.ProgressBar", OnTerminal)
    monkeypatch.setattr(terminal, "_QUIET_SECONDS", 0)
    shown = CliRunner().invoke(main, STAGES["cluster"], color=True).stderr
    assert "[#" in shown
    assert shown.endswith("\r\x1b[2K")
    monkeypatch.setattr("segcli.stages.cluster.run", run)
    shown = CliRunner().invoke(main, STAGES["cluster"], color=True).stderr
    assert shown.endswith("\r\x1b[2KError: the data are gone\n")
    assert "50%" in shown


# Ctrl-C and SIGTERM

INTERRUPTED = """
import sys, time
import segcli.artifacts.formats as formats
def slow(self, path, value):
    path.write_text("half")
    print("writing", flush=True)
    time.sleep(30)
formats.Picture.write = formats.Model.write = slow
from segcli.cli import main
from segcli.engine import LocalEngine
main(sys.argv[1:], prog_name="segcli")
"""


@pytest.mark.parametrize(
    ("name", "sent", "status", "said"),
    [
        *(
            (name, signal.SIGINT, 1, "Aborted!")
            for name in ("explore-pca", "explore-k", "validate", "report")
        ),
        ("cluster", signal.SIGTERM, 143, ""),
        ("report", signal.SIGTERM, 143, ""),
    ],
)
def test_whoever_ends_a_stage_finds_the_run_directory_as_it_was(place, name, sent, status, said):
    before = digests(place.run)
    child = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED, *STAGES[name]],
        cwd=place.folder,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert child.stdout.readline() == "writing\n"
        time.sleep(0.05)
        child.send_signal(sent)
        _, errors = child.communicate(timeout=20)
    finally:
        child.kill()
        child.wait()
    assert child.returncode == status
    assert errors.strip() == said
    assert digests(place.run) == before
    assert not any(path.name.startswith(".") for path in place.run.iterdir())
    assert_whole(place.run)
