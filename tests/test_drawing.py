"""Pictures drawn by another process are the pictures drawn here, whatever becomes of it."""

import errno
import os
import signal
import subprocess
import sys

import matplotlib as mpl
import numpy as np
import pytest

from segcli import plots
from segcli.plots import drawing

SIZES = np.array([0.5, 0.3, 0.2]), np.array([0.2, 0.3, 0.5])
CURVE = {
    "k": np.array([2, 3, 5]),
    "inertia_reduced_share": np.array([0.8, 0.6, 0.4]),
    "inertia_full_share": np.array([0.95, 0.9, 0.85]),
}


@pytest.fixture
def helper(monkeypatch):
    """Let another process draw, on a machine with one core too."""
    monkeypatch.setattr(drawing, "n_cores", lambda: 2)
    with plots.drawing_beside():
        yield drawing._helper.get()


def test_the_bytes_are_the_same(helper):
    curve = plots.draw(plots.inertia, CURVE, 10, "raw")
    sizes = plots.draw(plots.segment_sizes, *SIZES)
    assert sizes.png() == plots.png(plots.segment_sizes(*SIZES))
    assert curve.png() == curve.png() == plots.png(plots.inertia(CURVE, 10, "raw"))


def test_a_matplotlibrc_of_the_users_changes_no_picture(tmp_path, monkeypatch):
    path = tmp_path / "matplotlibrc"
    path.write_text("text.usetex: True\nfont.size: 30\n")  # nor needs what it asks for
    monkeypatch.setenv("MATPLOTLIBRC", str(path))
    monkeypatch.setattr(drawing, "n_cores", lambda: 2)
    expected = plots.png(plots.segment_sizes(*SIZES))
    with plots.drawing_beside():
        assert plots.draw(plots.segment_sizes, *SIZES).png() == expected
        assert drawing._helper.get()._process.poll() is None
    with mpl.rc_context({"text.usetex": True, "font.size": 30}):
        assert plots.draw(plots.segment_sizes, *SIZES).png() == expected


@pytest.mark.parametrize("cores", [1, 2])
def test_a_home_that_cannot_be_written_to_is_not_spoken_of(tmp_path, cores):
    (tmp_path / "home").write_text("not a folder")
    script = (
        "from segcli import plots\nfrom segcli.plots import drawing\n"
        f"drawing.n_cores = lambda: {cores}\n"
        "with plots.drawing_beside():\n"
        "    drawn = plots.draw(plots.segment_sizes, [0.5, 0.5], [0.4, 0.6]).png()\n"
        "print(drawn[1:4].decode())\n"
    )
    unset = ("MPLCONFIGDIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
    env = {name: value for name, value in os.environ.items() if name not in unset}
    env["HOME"] = str(tmp_path / "home")
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("PNG\n", "")


def test_a_process_that_is_killed_leaves_the_drawing_to_this_one(helper):
    drawn = plots.draw(plots.segment_sizes, *SIZES)
    helper._process.kill()
    helper._process.wait()
    later = plots.draw(plots.inertia, CURVE, 10, "raw")
    assert drawn.png() == plots.png(plots.segment_sizes(*SIZES))
    assert later.png() == plots.png(plots.inertia(CURVE, 10, "raw"))


def test_what_cannot_be_drawn_is_an_error_of_this_process(helper, capfd):
    with pytest.raises(KeyError, match="k"):
        plots.draw(plots.inertia, {}, 10, "raw").png()


def test_the_process_ends_with_the_block(monkeypatch):
    monkeypatch.setattr(drawing, "n_cores", lambda: 2)
    with plots.drawing_beside():
        process = drawing._helper.get()._process
        with plots.drawing_beside():
            assert drawing._helper.get()._process is process
        assert process.poll() is None
    assert process.returncode == -signal.SIGKILL
    assert drawing._helper.get() is None


@pytest.mark.parametrize(("cores", "threads"), [(1, None), (2, 1)])
def test_one_core_is_not_shared_with_another_process(monkeypatch, cores, threads):
    monkeypatch.setattr(drawing, "n_cores", lambda: cores)
    with plots.drawing_beside(n_threads=threads):
        assert drawing._helper.get() is None
        assert plots.draw(plots.segment_sizes, *SIZES).png().startswith(b"\x89PNG")


def test_where_no_process_can_be_started_this_one_draws(monkeypatch):
    def fail(*_args, **_options):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(drawing, "n_cores", lambda: 2)
    monkeypatch.setattr(subprocess, "Popen", fail)
    with plots.drawing_beside():
        assert plots.draw(plots.segment_sizes, *SIZES).png().startswith(b"\x89PNG")


def test_nothing_is_left_running_when_the_command_is_killed():
    """The process reads from a pipe that closes with whoever asked, and answers nobody."""
    program = (
        "import time; from segcli.plots import drawing;"
        "helper = drawing.Helper(); helper.start(drawing._titled); print(flush=True); time.sleep(60)"
    )
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as command:
        assert command.stdout.readline() == b"\n"
        command.kill()
        # until the last process that inherited them is gone
        assert command.communicate(timeout=30) == (b"", b"")


def test_a_script_without_a_main_guard_may_draw_beside(tmp_path):
    """Processes of multiprocessing would run the whole script again."""
    script = tmp_path / "script.py"
    script.write_text(
        "import numpy as np; from segcli import plots; from segcli.plots import drawing\n"
        "print('once', flush=True); drawing.n_cores = lambda: 2\n"
        "with plots.drawing_beside():\n"
        "    assert drawing._helper.get() is not None\n"
        "    plots.draw(plots.segment_sizes, np.ones(1), np.ones(1)).png()\n"
    )
    command = [sys.executable, script]
    ran = subprocess.run(command, capture_output=True, check=True, timeout=60, text=True)
    assert (ran.stdout, ran.stderr) == ("once\n", "")


def test_modules_in_the_working_directory_are_not_taken_for_the_library(tmp_path, monkeypatch):
    monkeypatch.setattr(drawing, "n_cores", lambda: 2)
    (tmp_path / "pickle.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    with plots.drawing_beside():
        assert plots.draw(plots.segment_sizes, *SIZES).png().startswith(b"\x89PNG")
        assert drawing._helper.get()._process.poll() is None


def test_stages_load_no_matplotlib():
    program = (
        "import sys; from segcli.stages import explore_pca, explore_k, validate, report;"
        "sys.exit('matplotlib' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
