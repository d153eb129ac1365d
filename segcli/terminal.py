"""How segcli speaks to a terminal: errors as one line, summaries as text or JSON, a progress bar.

With the command line, the only module that knows click.
"""

from __future__ import annotations

import atexit
import gc
import io
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar, Protocol

import click

from segcli.errors import ResourceError, SegcliError
from segcli.jsontext import to_json
from segcli.words import printable

# On its way out, Python would look through all that the libraries made, which takes longer than to load
# some of them. Frozen, it goes with the process.
atexit.register(gc.freeze)

_QUIET_SECONDS = 1.5
_REDRAW_SECONDS = 0.1
_BAR_WIDTH = 24

_NO_MORE_THREADS = ("can't start new thread", "Failed to launch worker thread")
"""How Python and pyarrow say it, in errors of classes that say no more."""


class Summary(Protocol):
    """What a stage returns: a dataclass of JSON-able facts that can also say them in words."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def wrote(self) -> tuple[str, ...]:
        """The files written."""

    def lines(self) -> list[str]:
        """Return the summary for a person."""


class Group(click.Group):
    """Commands in the order of the pipeline; an error ends in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands in the order in which they were added."""
        return list(self.commands)

    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """Read the command line; ``--help`` and ``--version`` answer here."""
        _open_what_is_closed()
        with _in_one_line():
            return super().make_context(*args, **kwargs)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        _print_anything()
        with _in_one_line(), _clearing_up_on_sigterm():
            return super().invoke(ctx)


@contextmanager
def _in_one_line() -> Iterator[None]:
    """Let a mistake of the user's, or what the machine lacks, end in one line and exit status 1."""
    try:
        yield
    except SegcliError as error:
        raise click.ClickException(_one_line(str(error))) from error
    except (BrokenPipeError, click.exceptions.NoArgsIsHelpError):
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(_one_line(f"{where}{error.strerror or error}")) from error
    except MemoryError as error:
        msg = (
            "there is too little memory on this machine, or within a limit such as ulimit -v. "
            "This stage changed nothing. Ingest a sample of the customers, or allow more memory."
        )
        raise click.ClickException(msg) from error
    except ImportError as error:  # not whole, of another version, or more than the memory allowed
        why = _last_line(str(error))
        msg = f"a library cannot be loaded: {why}. Reinstall segcli, or allow it more memory."
        raise click.ClickException(_one_line(msg)) from error
    except click.UsageError as error:  # click shows some of what was typed as it is
        raise click.UsageError(_one_line(error.format_message()), error.ctx) from error
    except Exception as error:
        if not _lacks_threads(error):
            raise
        msg = (
            "no more threads can be started, because of a limit such as a container's or ulimit -u. "
            "This stage changed nothing. Raise the limit, or choose --threads 1 where the stage takes it."
        )
        raise click.ClickException(msg) from error


@contextmanager
def _clearing_up_on_sigterm() -> Iterator[None]:
    """Let SIGTERM, such as ``docker stop`` sends, end the block as Ctrl-C does: what is half done goes."""
    is_main = threading.current_thread() is threading.main_thread()
    is_free = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # not ignored, nor another's
    if not (is_main and is_free):
        yield
        return

    def end(number: int, _frame: object) -> None:
        sys.exit(128 + number)  # as shells say it

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def show(summary: Summary, run_dir: Path, *, as_json: bool) -> None:
    """Print a stage's summary: text for a person, or one JSON object.

    Raises
    ------
    ResourceError
        If standard output cannot be written to.
    """
    lines = summary.lines()
    if summary.wrote:
        lines.append(f"Wrote to {run_dir}: {', '.join(summary.wrote)}")
    shown = [to_json(asdict(summary))] if as_json else map(printable, lines)
    for line in shown:
        say(line, done_in=run_dir if summary.wrote else None)


def say(line: str, *, done_in: Path | None = None) -> None:
    """Print a line; ``done_in`` is the run directory that holds what was done before.

    Raises
    ------
    ResourceError
        If standard output cannot be written to: a full disk there is not one of the run directory.
    """
    try:
        click.echo(line)
    except BrokenPipeError:
        raise
    except OSError as error:
        done = f" What was done before is in {done_in}." if done_in is not None else ""
        msg = f"standard output cannot be written to: {error.strerror}.{done}"
        raise ResourceError(msg) from error


def show_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows in aligned columns."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        say("  ".join(cells).rstrip())


class ProgressBar:
    """A line on stderr that shows how far work has come.

    Drawn on a terminal only, and only once the work has gone on for more than a moment.
    """

    def __init__(self) -> None:
        self._enabled = sys.stderr.isatty()
        self._begun = time.monotonic()
        self._drawn = 0.0
        self._what = ""
        self._what_begun = self._begun

    def __call__(self, what: str, done: int, total: int | None) -> None:
        """Draw ``done`` of ``total`` steps of ``what``, if it is time to."""
        now = time.monotonic()
        if what != self._what:
            self._what, self._what_begun = what, now
        if not self._enabled or now - self._begun < _QUIET_SECONDS:
            return
        if now - self._drawn < _REDRAW_SECONDS:
            return
        self._drawn = now
        click.echo(f"\r\x1b[2K{self._line(what, done, total, now)}", nl=False, err=True)

    def clear(self) -> None:
        """Wipe the line."""
        if self._drawn:
            click.echo("\r\x1b[2K", nl=False, err=True)

    def _line(self, what: str, done: int, total: int | None, now: float) -> str:
        if not total:
            return f"{what}: step {done}"
        share = min(done / total, 1.0)
        filled = round(share * _BAR_WIDTH)
        bar = "#" * filled + "-" * (_BAR_WIDTH - filled)
        elapsed = now - self._what_begun
        left = f"  {elapsed * (1 - share) / share:.0f} s left" if share > 0.02 else ""
        return f"{what} [{bar}] {share:4.0%}{left}"


def _open_what_is_closed() -> None:
    """Let what is written to a closed standard stream (``2>&-``) be lost, and no more.

    The next file that is opened would take its number, and what a library writes there would end up in it.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= 2:
        os.set_inheritable(opened, True)
    os.close(opened)
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", closefd=False))


def _print_anything() -> None:
    """Let a name that the terminal's encoding lacks come out escaped; it must not stop a command.

    On standard error Python does so by itself.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _lacks_threads(error: BaseException | None) -> bool:
    """Return whether an error, or one that led to it, is that no more threads can be started."""
    if error is None:
        return False
    said = any(words in str(error) for words in _NO_MORE_THREADS)
    return said or _lacks_threads(error.__context__)


def _last_line(message: str) -> str:
    """Return the last line that says something: NumPy explains itself at length before the reason."""
    return message.rstrip().rpartition("\n")[2].rstrip(".")


def _one_line(message: str) -> str:
    """Return a message without line breaks; spaces are left, for there may be two in a file's name."""
    return printable(" ".join(message.splitlines()))
