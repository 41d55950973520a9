"""What the pages say of policies, commands and headers is what there is."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim.cli import main, parser
from sim.policy import policy_class, policy_names, written
from tests.deploy.test_op_resolver import stub
from tests.docs.pages import DOCS, TextFile, steps

_ROW = re.compile(r"^\| `(\w+)` \| ([^|]+) \|", re.MULTILINE)

STUBS = {
    "micro_mutable_op_resolver.h": stub(),
    "micro_resource_variable.h": """\
#pragma once
namespace tflite {
class MicroResourceVariables {
 public:
  static MicroResourceVariables* Create(class MicroAllocator*, int);
};
}  // namespace tflite
""",
    "micro_interpreter.h": """\
#pragma once
#include <cstddef>
#include <cstdint>
struct TfLiteTensor { union { int8_t* int8; } data; };
namespace tflite {
class Model;
class MicroResourceVariables;
class MicroAllocator {
 public:
  static MicroAllocator* Create(uint8_t*, size_t);
};
class MicroInterpreter {
 public:
  template <class Resolver>
  MicroInterpreter(const Model*, const Resolver&, uint8_t*, size_t);
  template <class Resolver>
  MicroInterpreter(const Model*, const Resolver&, MicroAllocator*, MicroResourceVariables*);
  TfLiteStatus AllocateTensors();
  TfLiteStatus Invoke();
  TfLiteTensor* input(size_t);
  TfLiteTensor* output(size_t);
};
}  // namespace tflite
""",
}
SCHEMA = """\
#pragma once
namespace tflite {
class Model;
const Model* GetModel(const void*);
}  // namespace tflite
"""


def test_every_policy_has_a_page_in_the_index_and_in_the_navigation() -> None:
    index = (DOCS / "policies" / "index.md").read_text()
    navigation = (DOCS.parent / "mkdocs.yml").read_text()
    for name in policy_names():
        assert (DOCS / "policies" / f"{name}.md").is_file()
        assert f"[`{name}`]({name}.md)" in index
        assert f"{name}: policies/{name}.md" in navigation


@pytest.mark.parametrize("name", policy_names())
def test_a_policy_s_page_names_its_parameters_and_their_defaults(name: str) -> None:
    page = (DOCS / "policies" / f"{name}.md").read_text()
    shown = dict(_ROW.findall(page.partition("## Parameters")[2].partition("\n## ")[0]))
    fields: tuple[Any, ...] = dataclasses.fields(policy_class(name))  # type: ignore[arg-type]
    defaults = {f.name: "chosen" if f.default is None else written(f.default) for f in fields}
    assert shown == {key: "()" if value == "[]" else value for key, value in defaults.items()}


def test_every_command_has_a_section() -> None:
    page = (DOCS / "commands.md").read_text()
    listed = [row for row in parser().format_help().splitlines() if row.startswith("    ")]
    commands = {row.split()[0] for row in listed if row[4] != " "}
    assert set(re.findall(r"^## sim (\w+)$", page, re.MULTILINE)) == commands


def test_the_comments_of_policies_pages_ask_for_pictures() -> None:
    for name in policy_names():
        page = (DOCS / "policies" / f"{name}.md").read_text()
        asked = re.search(r"<!-- picture\n(.*?)-->", page, re.DOTALL)
        assert asked is not None
        assert yaml.safe_load(asked[1])["after"].partition("(")[0] == name


@pytest.mark.parametrize(
    ("model", "board", "policy"),
    [
        ("branchy", "nucleo_f446re", "reorder"),
        ("drone_seg", "arduino_portenta_h7", "spill(storage=sdram)"),
    ],
)
def test_the_tutorial_s_main_fits_the_headers(
    model: str, board: str, policy: str, tmp_path: Path
) -> None:
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    found = [step for step in steps(DOCS / "tutorial.md") if isinstance(step, TextFile)]
    (tmp_path / "main.cc").write_text(next(file.text for file in found if file.name == "main.cc"))
    path = str(DOCS.parent / "scenarios" / "models" / f"{model}.tflite")
    assert main(["deploy", path, "--board", board, "--policy", policy, "-o", str(tmp_path)]) == 0
    micro, schema = tmp_path / "tensorflow/lite/micro", tmp_path / "tensorflow/lite/schema"
    for folder in (micro, schema):
        folder.mkdir(parents=True)
    for name, text in STUBS.items():
        (micro / name).write_text(text)
    (schema / "schema_generated.h").write_text(SCHEMA)
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only"]
    command = ["g++", *flags, "-I", str(tmp_path), str(tmp_path / "main.cc")]
    subprocess.run(command, check=True)
