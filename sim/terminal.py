"""What the commands share of the terminal: stdout, progress on stderr, interrupts."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sim import progress


def write(text: str) -> None:
    """Text on stdout, as it is."""
    sys.stdout.write(text)


@contextmanager
def progress_shown() -> Iterator[Callable[[str], None]]:
    """Shows on stderr what is under way; nothing where stderr is not a terminal.

    The first interrupt ends the search with what it has, the second one ends the program.
    """

    def interrupted(_: int, __: object) -> None:
        if progress.stopped():
            raise KeyboardInterrupt
        progress.stop()
        sys.stderr.write("\nsim: ending with the best so far; once more to stop\n")

    before = signal.signal(signal.SIGINT, interrupted)
    try:
        with _listener() as show, progress.listening(show):
            yield show
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _listener() -> Iterator[Callable[[str], None]]:
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from sim.render.status import status

    with status() as show:
        yield show
