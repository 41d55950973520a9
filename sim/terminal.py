"""What the commands share of the terminal: stdout, progress on stderr, interrupts."""

from __future__ import annotations

import io
import json
import re
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sim import progress

_OUTSIDE_ASCII = re.compile(r"[^\x00-\x7f]")


def replace_what_cannot_be_shown() -> None:
    """From now on a character that stdout can't encode is a question mark, not an error."""
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def write(document: str) -> None:
    """A JSON document on stdout; where stdout can't encode all of it, escaped as JSON has it."""
    if not encodes(sys.stdout.encoding or "utf-8", document):
        document = _OUTSIDE_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], document)
    sys.stdout.write(document)


def warn(text: str) -> None:
    """A line on stderr."""
    sys.stderr.write(f"sim: {text}\n")


def encodes(encoding: str, text: str) -> bool:
    """Whether all characters exist in an encoding."""
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


@contextmanager
def progress_shown(*, searching: bool = True) -> Iterator[Callable[[str], None]]:
    """Shows on stderr what is under way; nothing where stderr is not a terminal.

    The first interrupt ends a search with what it has, the second one ends the program; so does the
    first where nothing is searched.
    """

    def interrupted(_: int, __: object) -> None:
        if progress.stopped() or not searching:
            raise KeyboardInterrupt
        progress.stop()
        sys.stderr.write("\n")
        warn("ending with the best so far; once more to stop")

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
