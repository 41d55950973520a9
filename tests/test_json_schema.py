"""The committed JSON Schemas: made from the tables, named by each file, and true of it."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from sim.json_schema import schemas

ROOT = Path(__file__).parents[1]
COMMITTED = {
    "board": ROOT / "devices/schema/board.json",
    "core": ROOT / "devices/schema/core.json",
    "storage": ROOT / "devices/schema/storage.json",
    "scenario": ROOT / "scenarios/schema.json",
}
FILES = [
    (path, kind)
    for folder, kind in (
        ("devices/boards", "board"),
        ("devices/cores", "core"),
        ("devices/storage", "storage"),
        ("scenarios", "scenario"),
    )
    for path in sorted((ROOT / folder).glob("*.yaml"))
]


@pytest.mark.parametrize("kind", COMMITTED)
def test_the_committed_schema_is_the_one_of_the_tables(kind: str) -> None:
    """Else: sim schema KIND, into the file."""
    assert json.loads(COMMITTED[kind].read_text()) == schemas()[kind]
    jsonschema.Draft7Validator.check_schema(schemas()[kind])


@pytest.mark.parametrize(("path", "kind"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_each_file_names_its_schema_and_keeps_to_it(path: Path, kind: str) -> None:
    first, _, rest = path.read_text().partition("\n")
    named = first.removeprefix("# yaml-language-server: $schema=")
    assert (path.parent / named).resolve() == COMMITTED[kind]
    jsonschema.Draft7Validator(schemas()[kind]).validate(yaml.safe_load(rest))


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("scenario", "{model: m, board: b}"),
        ("scenario", "{model: m, board: b, policies: []}"),
        ("scenario", "{model: m, board: b, policies: [plan], period: 5}"),
        ("scenario", "{model: m, board: b, policies: [plan], goal: {sram: 64 K}}"),
        ("scenario", "{model: m, board: b, policies: [plan], faults: [{kind: fire}]}"),
        ("scenario", "{model: m, board: b, policies: [plan], colour: red}"),
        ("storage", "{kind: floppy}"),
        ("board", "{title: t}"),
    ],
)
def test_what_the_loader_refuses_the_schema_does_too(kind: str, text: str) -> None:
    assert list(jsonschema.Draft7Validator(schemas()[kind]).iter_errors(yaml.safe_load(text)))
