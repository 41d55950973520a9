"""Runs a page's commands in a folder of its own, `sim` in this process, the rest by the shell."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from sim.cli import main
from sim.scenario import load_scenario
from tests.docs.pages import ROOT, Command, TextFile

LEFT_OUT = ("git ", "cd ", ". ", "pip ", "python3 -m venv", "python -m pytest", "mkdocs ")
"""What fetches, installs, or is a test by itself."""
LONG = ("benchmarks.", "scenarios.")
"""Modules that take minutes: that they are there, and start, is all that is looked at."""
MANY_FRAMES = 100
SHORTENED = ("--frames", "20", "--policy", "plan")
"""How a scenario with so many frames is run."""


def prepare(folder: Path) -> None:
    """What the repository's own folder has that a page's commands name."""
    ignored = shutil.ignore_patterns("train", "__pycache__", "results")
    shutil.copytree(ROOT / "scenarios", folder / "scenarios", ignore=ignored)


def write(file: TextFile, folder: Path) -> None:
    path = folder / file.name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(file.text)


def run(command: Command, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, bool]:
    """Exit code, what was printed, and whether that is all that the command prints."""
    text = command.text
    if text.startswith(LEFT_OUT):
        return command.exit_code, "", False
    words = shlex.split(text, comments=True)
    if words[:2] == ["python", "-m"]:
        return _module(words[2])
    if words[0] != "sim" or _needs_a_shell(text):
        return _in_a_shell(text)
    shortened = _is_long(words)
    capsys.readouterr()
    code = _sim([*words[1:], *(SHORTENED if shortened else ())])
    out, err = capsys.readouterr()
    return code, out + err, not shortened


def _sim(words: list[str]) -> int:
    try:
        return main(words)
    except SystemExit as end:  # of argparse, after --help
        return int(end.code or 0)


def _needs_a_shell(text: str) -> bool:
    return any(word in shlex.split(text, comments=True) for word in (">", "|", "&&"))


def _is_long(words: list[str]) -> bool:
    if words[1] != "run" or "--frames" in words:
        return False
    return load_scenario(words[2]).frames > MANY_FRAMES


def _in_a_shell(text: str) -> tuple[int, str, bool]:
    found = {**os.environ, "PYTHONPATH": str(ROOT)}
    found["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{found['PATH']}"
    done = subprocess.run(
        ["bash", "-c", text], capture_output=True, text=True, check=False, env=found
    )
    return done.returncode, done.stdout + done.stderr, True


def _module(name: str) -> tuple[int, str, bool]:
    """`python -m NAME`, as far as it is cheap: its help if it has one, else that it is there."""
    spec = find_spec(name)
    assert spec is not None and spec.origin is not None, f"there is no module {name}"
    assert name.startswith(LONG), f"python -m {name}: not known whether it is long"
    if "argparse" not in Path(spec.origin).read_text():
        return 0, "", False
    return *_in_a_shell(f"python -m {name} --help")[:2], False
