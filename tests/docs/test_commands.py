"""Every command of the documentation runs, and prints what its page shows.

A page's commands run one after the other in a folder of its own, with the files that the page has
its reader write. What is shortened: `git`, `pip` and the like are left out; of the benchmarks and
the training only `--help` is run, or that they are there is looked at; a scenario of more than a
hundred frames is played for 20 with the policy `plan` beside its own, and what it prints is not
compared. README.md's commands are run with ds_cnn.tflite as model.tflite, what they print is not
compared, since it stands elsewhere there, and the second result of its `sim diff` is a copy of the
first.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sim.cli import parser
from tests.docs.pages import README, ROOT, Command, TextFile, difference, mentioned, pages, steps
from tests.docs.running import LONG, _module, prepare, run, write

PAGES = [page for page in pages() if any(isinstance(step, Command) for step in steps(page))]
EVERYWHERE = [*pages(), README]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A page's folder, where its policies are found and lines are 80 characters long."""
    prepare(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "path", ["", *sys.path])
    known = set(sys.modules)
    yield tmp_path
    for module in set(sys.modules) - known:
        if Path(getattr(sys.modules[module], "__file__", None) or "/").is_relative_to(tmp_path):
            del sys.modules[module]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_commands_of_a_page(
    page: Path, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for step in steps(page):
        if isinstance(step, TextFile):
            write(step, folder)
            continue
        code, printed, complete = run(step, capsys)
        assert code == step.exit_code, f"{step.text}\n{printed}"
        wrong = difference(step.shown, printed) if complete and step.shown else ""
        assert not wrong, f"$ {step.text}\n{wrong}"


def test_the_commands_of_the_readme(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copy("scenarios/models/ds_cnn.tflite", "model.tflite")
    found = [step for step in steps(README) if isinstance(step, Command)]
    assert len(found) > 5
    for step in found:
        if step.text.startswith("sim diff "):
            first, second = step.text.split()[2:4]
            shutil.copytree(first, second)
        code, printed, _ = run(step, capsys)
        assert code == step.exit_code, f"{step.text}\n{printed}"


@pytest.mark.parametrize("page", EVERYWHERE, ids=name)
def test_commands_within_sentences_exist(page: Path) -> None:
    for text in mentioned(page):
        words = text.split()
        if words[0] == "python":
            assert words[2].startswith((*LONG, "pytest")), text
            if words[2] != "pytest":
                _module(words[2].rstrip(","))
            continue
        commands = parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
        if words[1] not in ("COMMAND", "--help", "--version"):
            assert words[1] in commands, text
            known = commands[words[1]].format_help()
            assert all(word.split("=")[0] in known for word in words if word.startswith("--")), text
