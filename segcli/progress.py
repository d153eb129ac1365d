"""Report how far long work has come, without the worker knowing who listens.

Numerics call :func:`report`; the command line listens with :func:`listening`. Nobody listening costs
nothing. Listeners are called on the main thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str, int, int | None], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)


def report(what: str, done: int, total: int | None = None) -> None:
    """Tell the listener, if any, that ``done`` of ``total`` steps of ``what`` are finished."""
    listener = _listener.get()
    if listener is not None:
        listener(what, done, total)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Send every report made inside the block to ``listener(what, done, total)``."""
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)


@contextmanager
def unheard() -> Iterator[None]:
    """Drop the reports made inside the block: the steps of a step."""
    token = _listener.set(None)
    try:
        yield
    finally:
        _listener.reset(token)
