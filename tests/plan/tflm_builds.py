"""Two real builds of TFLM that tests can ask: the PyPI wheel, and mcufit's wasm32."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sim.graph.graph import Graph
from sim.graph.tflite_writer import to_bytes

PEERS = Path(__file__).parents[3] / "peers"

WORKER = r"""
import hashlib, json, os, re, sys, tempfile
import numpy as np
from tflite_micro import runtime
answers, log = os.fdopen(os.dup(1), "w"), tempfile.TemporaryFile()
os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
for line in sys.stdin:
    path, arena, inputs, outputs = json.loads(line)
    log.seek(0), log.truncate()
    digest = None
    try:
        interpreter = runtime.Interpreter.from_file(path, arena_size=arena)
        for i in range(inputs):
            about = interpreter.get_input_details(i)
            interpreter.set_input(np.ones(about["shape"], about["dtype"]), i)
        interpreter.invoke()
        interpreter.print_allocations()
        made = [np.ascontiguousarray(interpreter.get_output(i)).tobytes() for i in range(outputs)]
        digest = hashlib.sha1(b"".join(made)).hexdigest()
    except RuntimeError:
        pass
    sys.stdout.flush()
    log.seek(0)
    text = log.read().decode("utf-8", "replace")
    sizes = [int(n) for n in re.findall(r"allocation (?:head|tail) (\d+)", text)]
    print(json.dumps([digest, *sizes] if digest else text), file=answers, flush=True)
    interpreter = None
"""

WASM_RUNNER = r"""
const fs = require("fs"), make = require(process.argv[1]);
const table = /NonPersistent \|\s*(\d+)[^]*?\n\s*Persistent \|\s*(\d+)/;
(async () => { for (const path of process.argv.slice(2)) {
  const lines = [], add = (line) => lines.push(line);
  const tflm = await make({print: add, printErr: add});
  tflm.FS.writeFile("/model.tflite", fs.readFileSync(path));
  try { tflm.callMain(["/model.tflite"]); } catch (error) { add(String(error)); }
  const sizes = lines.join("\n").match(table);
  console.log(JSON.stringify(sizes ? [+sizes[1], +sizes[2]] : lines.slice(-4).join(" ")));
} })();
"""


class Run(NamedTuple):
    """A run that went well: a digest of the outputs, and what TFLM reports of its arena."""

    digest: str
    head_bytes: int
    tail_bytes: int


class Wheel:
    """Runs models in a process of their own, which is begun again when an arena is too small.

    Where TFLM does not notice that its arena is full it writes out of bounds, and may crash.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / "model.tflite"
        self.process: subprocess.Popen[str] | None = None
        self.said = ""

    def run(self, graph: Graph, arena_bytes: int) -> Run | None:
        """None if it fails or crashes, as with an arena too small; `said` tells why."""
        self.path.write_bytes(to_bytes(graph))
        request = [str(self.path), arena_bytes, len(graph.inputs), len(graph.outputs)]
        answer = self._ask(json.dumps(request))
        if isinstance(answer, list):
            return Run(*answer)
        self.said = answer or "crashed"
        return None

    def _ask(self, request: str) -> Any:
        if self.process is None:
            self.process = subprocess.Popen(
                [sys.executable, "-c", WORKER],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(request + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.close()
        return None

    def close(self) -> None:
        if self.process is not None:
            self.process.communicate()
        self.process = None


def run_on_wasm(graphs: list[Graph], folder: Path) -> list[tuple[int, int]]:
    """Head and tail of each graph in TFLM compiled to wasm32. Skips without mcufit or Node.js."""
    node, script = shutil.which("node"), _mcufit_script()
    if node is None or script is None:
        pytest.skip("needs Node.js and mcufit")
    paths = [folder / f"{i}.tflite" for i in range(len(graphs))]
    for path, graph in zip(paths, graphs, strict=True):
        path.write_bytes(to_bytes(graph))
    command = [node, "-e", WASM_RUNNER, str(script), *map(str, paths)]
    output = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600).stdout
    answers = [json.loads(line) for line in output.splitlines()]
    for answer, graph in zip(answers, graphs, strict=True):
        assert isinstance(answer, list), f"{graph.name}: {answer}"
    return [(head, tail) for head, tail in answers]


def _mcufit_script() -> Path | None:
    spec = importlib.util.find_spec("mcufit")
    homes = [Path(spec.origin).parent] if spec and spec.origin else []
    homes += PEERS.glob("lib/python3*/site-packages/mcufit")
    scripts = (home / "wasm" / "tflm.js" for home in homes)
    return next((script for script in scripts if script.exists()), None)
