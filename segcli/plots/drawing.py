"""Draw pictures in a process of its own, while the stage that needs them goes on.

matplotlib takes longer to load than most stages take to work, and drawing holds the interpreter. A
second process does both on another core. What it draws is the same, bit for bit.
"""

from __future__ import annotations

import logging
import os
import pickle
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import partial
from typing import TYPE_CHECKING, Any, ParamSpec

from segcli.cores import n_cores
from segcli.plots.figure import new_figure, png

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")


class Drawing:
    """A picture that is being drawn."""

    def __init__(self, draw: Callable[[], bytes], helper: Helper | None) -> None:
        self._draw = draw
        self._helper = helper
        self._png: bytes | None = None

    def png(self) -> bytes:
        """Return the picture as PNG bytes, once it is drawn."""
        if self._png is None:
            drawn = self._helper.receive() if self._helper else None
            self._png = self._draw() if drawn is None else drawn
        return self._png


class Helper:
    """A process that draws, one picture after the other."""

    def __init__(self) -> None:
        # Not multiprocessing's: it would load the caller's main module, which may be anything. In a
        # session of its own the process never hears Ctrl-C; it ends with the pipe that it reads from.
        start = f"import sys; sys.path[:] = {sys.path!r}; from {__name__} import serve; serve()"
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-c", start],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._last: Drawing | None = None

    def start(self, draw: Callable[[], bytes]) -> Drawing:
        """Let it draw a picture, once the one before is done: two that both send would wait for ever."""
        if self._last is not None:
            self._last.png()
        requests = self._process.stdin
        try:
            pickle.dump(draw, requests)  # type: ignore[arg-type]
            requests.flush()  # type: ignore[union-attr]
        except OSError:
            return Drawing(draw, None)
        self._last = Drawing(draw, self)
        return self._last

    def receive(self) -> bytes | None:
        """Return the picture asked for last; None if the process has died."""
        try:
            drawn: bytes = pickle.load(self._process.stdout)  # type: ignore[arg-type]
        except (EOFError, pickle.UnpicklingError):
            return None
        return drawn

    def stop(self) -> None:
        """End the process, whatever it does."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            with suppress(OSError):  # what was not yet written cannot be any more
                pipe.close()  # type: ignore[union-attr]


_helper: ContextVar[Helper | None] = ContextVar("helper", default=None)


def _new_helper() -> Helper | None:
    """Return a process that draws; None where none can be started, such as at a container's limit."""
    try:
        return Helper()
    except OSError:
        return None


@contextmanager
def drawing_beside(*, n_threads: int | None = None) -> Iterator[None]:
    """Draw in another process within the block, if there is a core for it, and one can be started.

    Parameters
    ----------
    n_threads : how many threads may work in all; every core if None
    """
    wanted = _helper.get() is None and (n_threads or n_cores()) >= 2
    helper = _new_helper() if wanted else None
    if helper is None:
        yield
        return
    token = _helper.set(helper)
    try:
        yield
    finally:
        _helper.reset(token)
        helper.stop()


def draw(picture: Callable[P, Figure], *args: P.args, **kwargs: P.kwargs) -> Drawing:
    """Begin to draw a picture: a function of `segcli.plots`, and what it takes."""
    work = partial(_draw, picture, *args, **kwargs)
    helper = _helper.get()
    return Drawing(work, None) if helper is None else helper.start(work)


def _draw(picture: Callable[..., Figure], *args: Any, **kwargs: Any) -> bytes:
    """Return a picture as it looks for everybody: a matplotlibrc is for the user's own."""
    # That it finds no folder to keep its fonts in changes no picture.
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    import matplotlib as mpl  # noqa: PLC0415 (a stage loads none of it)

    with mpl.rc_context(mpl.rcParamsDefault):
        return png(picture(*args, **kwargs))


def _titled() -> Figure:
    figure, (ax,) = new_figure(1, 1)
    ax.set_title("fonts are looked up for the first text")
    return figure


def serve() -> None:
    """Draw what standard input asks for, until nobody is there to ask: what the process does."""
    requests, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # nothing else may come between the answers
    _draw(_titled)
    while True:
        try:
            draw = pickle.load(requests)
        except (EOFError, pickle.UnpicklingError):  # it ended, perhaps in the middle of a request
            return
        drawn = draw()
        try:
            pickle.dump(drawn, answers)
            answers.flush()
        except BrokenPipeError:
            os._exit(1)  # on its way out, Python would try to send what is left, and complain
