"""model_ops.h: exactly the ops of the model, as TFLM's own header calls them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from sim.deploy.op_resolver import ops_header, own_custom_ops, unsupported_ops
from sim.deploy.tflm_ops import BUILTIN, CUSTOM
from sim.graph.graph import Graph, Op
from sim.graph.tflite_reader import read_bytes
from tests.deploy.material import chain, custom_model, spilled
from tests.graphs import unet

TFLM_HEADER = Path("/work/ref/tensorflow/lite/micro/micro_mutable_op_resolver.h")

STUB = """\
#pragma once
enum TfLiteStatus {{ kTfLiteOk = 0, kTfLiteError = 1 }};
struct TFLMRegistration {{ int id; }};
namespace tflite {{
inline TFLMRegistration Register_VAR_HANDLE() {{ return {{1}}; }}
inline TFLMRegistration Register_ASSIGN_VARIABLE() {{ return {{2}}; }}
inline TFLMRegistration Register_READ_VARIABLE() {{ return {{3}}; }}
template <unsigned int N>
class MicroMutableOpResolver {{
 public:
  unsigned int added = 0;
  int own = 0;
  TfLiteStatus Count() {{ return added++ < N ? kTfLiteOk : kTfLiteError; }}
  TfLiteStatus AddCustom(const char*, const TFLMRegistration* r) {{ own = r->id; return Count(); }}
{methods}}};
}}  // namespace tflite
"""

MAIN = """\
#include "model_ops.h"
#include <cstdio>
int main() {{
  {setup}
  spillway::OpResolver resolver;
  int status = spillway::RegisterOps(resolver{arguments});
  std::printf("%d %u %u %d\\n", status, spillway::kOpCount, resolver.added, resolver.own);
}}
"""


def stub() -> str:
    """A resolver with the methods of TFLM's that counts and refuses what is too much."""
    lines = []
    for kind, method in [*BUILTIN.items(), *CUSTOM.items()]:
        if kind in ("VAR_HANDLE", "ASSIGN_VARIABLE", "READ_VARIABLE"):
            body = f"{method}(const TFLMRegistration& r) {{ own += r.id; return Count(); }}"
        else:
            body = f"{method}() {{ return Count(); }}"
        lines.append(f"  TfLiteStatus {body}\n")
    return STUB.format(methods="".join(lines))


def run(graph: Graph, folder: Path, setup: str = "", arguments: str = "") -> list[int]:
    """status, kOpCount, ops added and the sum of own registrations, of the compiled header."""
    if shutil.which("g++") is None:
        pytest.skip("no g++")
    place = folder / "tensorflow" / "lite" / "micro"
    place.mkdir(parents=True)
    (place / "micro_mutable_op_resolver.h").write_text(stub())
    (folder / "model_ops.h").write_text(ops_header(graph))
    (folder / "main.cc").write_text(MAIN.format(setup=setup, arguments=arguments))
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-pedantic", "-I", str(folder)]
    program = folder / "main"
    subprocess.run(["g++", *flags, str(folder / "main.cc"), "-o", str(program)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    return [int(word) for word in done.stdout.split()]


@pytest.mark.skipif(not TFLM_HEADER.is_file(), reason="TFLM's sources are not there")
def test_the_tables_are_what_tflm_s_header_says() -> None:
    source = TFLM_HEADER.read_text()
    methods = re.findall(r"TfLiteStatus (Add\w+)\(.*?\{(.*?)\n  \}", source, re.DOTALL)
    found = {}
    for method, body in methods:
        kind = re.search(r"BuiltinOperator_(\w+)", body) or re.search(r'Custom\(\s*"(\w+)"', body)
        if kind is not None and kind[1] != "CUSTOM":
            found[kind[1]] = method
    assert {**found, "ethos-u": "AddEthosU"} == {**BUILTIN, **CUSTOM}


def test_every_kind_is_added_once(tmp_path: Path) -> None:
    graph = unet(16, 24)
    kinds = {op.kind for op in graph.ops}
    assert len(kinds) < len(graph.ops)
    assert run(graph, tmp_path) == [0, len(kinds), len(kinds), 0]


def test_kernels_of_variables_can_be_replaced(tmp_path: Path) -> None:
    graph = spilled()
    kinds = {op.kind for op in graph.ops}
    assert run(graph, tmp_path / "stock") == [0, len(kinds), len(kinds), 1 + 2 + 3]
    own = "TFLMRegistration own{100};"
    assert run(graph, tmp_path / "own", own, ", own, own, own") == [0, len(kinds), len(kinds), 300]


def test_a_custom_op_of_the_user_is_a_parameter(tmp_path: Path) -> None:
    graph = read_bytes(custom_model('no "body"*/ knows'))
    assert own_custom_ops(graph) == ('no "body"*/ knows',)
    assert unsupported_ops(graph) == ()
    assert run(graph, tmp_path, "TFLMRegistration own{7};", ", &own") == [0, 1, 1, 7]


def test_a_custom_op_that_tflm_brings_along_needs_nothing(tmp_path: Path) -> None:
    graph = read_bytes(custom_model("SignalFramer"))
    assert own_custom_ops(graph) == ()
    assert "resolver.AddFramer()" in ops_header(graph)
    assert run(graph, tmp_path) == [0, 1, 1, 0]


def test_a_kind_that_tflm_lacks_is_listed_and_left_out(tmp_path: Path) -> None:
    graph = chain()
    x = graph.outputs[0]
    ops = (*graph.ops, Op("SIGN", (x,), ()), Op("BUILTIN_213", (x,), ()))
    odd = replace(graph, ops=ops)
    assert unsupported_ops(odd) == ("BUILTIN_213", "SIGN")
    assert "// TFLM has no kernel for SIGN.\n" in ops_header(odd)
    assert run(odd, tmp_path) == [0, 2, 2, 0]


def test_the_header_is_the_same_every_time() -> None:
    assert ops_header(unet(16, 24)) == ops_header(unet(16, 24))
