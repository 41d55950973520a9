"""What long work says while it goes on, and whether it was asked to come to an end.

A search far from the command line reports here; the command listens. Once a stop is asked for, a
search ends with the best that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Listener = Callable[[str], None]

_listener: ContextVar[Listener | None] = ContextVar("listener", default=None)
_stopped = False


def report(text: str) -> None:
    """Tells whoever listens what is under way."""
    listener = _listener.get()
    if listener is not None:
        listener(text)


@contextmanager
def listening(listener: Listener) -> Iterator[None]:
    """Passes reports to the listener; when the outermost one ends, so does a stop asked for."""
    global _stopped  # noqa: PLW0603
    outermost = _listener.get() is None
    token = _listener.set(listener)
    try:
        yield
    finally:
        _listener.reset(token)
        if outermost:
            _stopped = False


def stop() -> None:
    """Asks all searches to end with what they have."""
    global _stopped  # noqa: PLW0603
    _stopped = True


def stopped() -> bool:
    """Whether a stop was asked for."""
    return _stopped
