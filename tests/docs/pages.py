"""What the documentation asks its readers to write and to type, page by page.

A block with a title is a file that the reader writes (```yaml title="watch.yaml"). In a block
```console every line that starts with "$ " is a command, a comment on it may name its exit code
("# exit code 1"), and what follows is what it prints; a line "[...]" stands for lines that are left
out. README.md has its commands in indented lines.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
GAP = "[...]"

_BLOCK = re.compile(
    r'^```(?P<language>\w+)(?: title="(?P<title>[^"]+)")?\n(?P<text>.*?)^```$',
    re.MULTILINE | re.DOTALL,
)
_EXIT_CODE = re.compile(r"# exit code (\d+)")
_INDENTED = re.compile(r"^    (?P<command>(?:sim|python -m) .*)$", re.MULTILINE)
_INLINE = re.compile(r"`((?:sim|python -m) [^`]+)`")


@dataclass(frozen=True)
class TextFile:
    """A file that the reader writes."""

    name: str
    text: str


@dataclass(frozen=True)
class Command:
    """A command, the lines that are shown below it, and the exit code that the page names."""

    text: str
    shown: tuple[str, ...] = ()
    exit_code: int = 0


def pages() -> list[Path]:
    """All pages that are written by hand."""
    return sorted(DOCS.rglob("*.md"))


def steps(page: Path) -> list[TextFile | Command]:
    """The files and the commands of a page, in its order."""
    text = page.read_text()
    if page == README:
        return [Command(found["command"]) for found in _INDENTED.finditer(text)]
    made: list[TextFile | Command] = []
    for block in _BLOCK.finditer(text):
        if block["title"]:
            made.append(TextFile(block["title"], block["text"]))
        elif block["language"] == "console":
            made += _commands(block["text"])
    return made


def mentioned(page: Path) -> list[str]:
    """Commands that stand within a sentence, with words such as NAME in them."""
    return [re.sub(r"\s+", " ", found) for found in _INLINE.findall(page.read_text())]


def _commands(text: str) -> Iterator[Command]:
    lines = text.replace("\\\n", "").splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
    for start, stop in zip(starts, [*starts[1:], len(lines)], strict=True):
        code = _EXIT_CODE.search(lines[start])
        shown = tuple(line.rstrip() for line in lines[start + 1 : stop])
        yield Command(lines[start].removeprefix("$ "), shown, int(code[1]) if code else 0)


def difference(shown: tuple[str, ...], printed: str) -> str:
    """Where what a page shows is not what was printed; empty if it is."""
    lines = [line.rstrip() for line in printed.splitlines()]
    while lines and not lines[-1]:
        lines.pop()
    wanted = list(shown)
    while wanted and not wanted[-1]:
        wanted.pop()
    at, anywhere = 0, False
    for piece, gap_before in _pieces(wanted):
        anywhere = gap_before
        places = range(at, len(lines) - len(piece) + 1) if anywhere else (at,)
        found = next((i for i in places if lines[i : i + len(piece)] == piece), None)
        if found is None:
            return "shown:\n" + "\n".join(piece) + "\nprinted:\n" + "\n".join(lines[at:])
        at = found + len(piece)
    if at < len(lines) and (not wanted or wanted[-1] != GAP):
        return "printed, but not shown:\n" + "\n".join(lines[at:])
    return ""


def _pieces(shown: list[str]) -> Iterator[tuple[list[str], bool]]:
    """Runs of lines without a gap, and whether one comes before."""
    piece: list[str] = []
    gap = False
    for line in shown:
        if line.strip() == GAP:
            if piece:
                yield piece, gap
            piece, gap = [], True
        else:
            piece.append(line)
    if piece:
        yield piece, gap
