"""Characters that stdout can't encode: people lose them, documents don't; and interrupts."""

from __future__ import annotations

import io
import json
import signal
import sys
from pathlib import Path

import pytest

from sim import progress
from sim.cli import main
from sim.graph.tflite_writer import write
from sim.terminal import progress_shown
from tests.graphs import unet

PARTS = "split(start=0, stop=1, parts=2, axis=channels)"
ENCODINGS = ["ascii", "latin-1", "utf-8"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "Übung 模型 😀.tflite"
    write(unet(16, 24, (4, 8)), path)
    return path


def printed(monkeypatch: pytest.MonkeyPatch, encoding: str, *arguments: str) -> str:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    assert main(["compare", *arguments, "--board", "arduino_portenta_h7"]) == 0
    sys.stdout.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_document_keeps_every_character(
    encoding: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = printed(monkeypatch, encoding, str(model), "--policy", "plan", "--json")
    assert json.loads(text)["model"]["path"] == str(model)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_table_comes_to_its_end(
    encoding: str, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = printed(monkeypatch, encoding, str(model), "--policy", "plan", PARTS)
    assert "split(…)" in text or "split(?)" in text
    assert text.splitlines()[-1].endswith(".")


@pytest.mark.parametrize("searching", [True, False])
def test_an_interrupt_ends_a_search_but_stops_all_else(searching: bool) -> None:
    reached = False
    try:
        with progress_shown(searching=searching):
            signal.raise_signal(signal.SIGINT)
            reached = True
            assert progress.stopped()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt:
        assert not searching
    assert reached == searching
    assert not progress.stopped()
