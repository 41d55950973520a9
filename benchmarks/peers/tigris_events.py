"""Prints a TiGrIS plan and every event of its run as JSON; for the peers' own interpreter.

python tigris_events.py MODEL BUDGET_BYTES. It needs tigris-ml 0.12 and nothing of this project:
`tigris analyze --trace` makes the same events, but has no words for all of them.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from tigris.cli import _run_pipeline
from tigris.cli.trace import _plan_bytes, _run, check
from tigris.emitters.binary import defs
from tigris.emitters.binary.reader import read_binary_plan


def main(model: str, budget: str) -> dict[str, Any]:
    analyzed, _ = _run_pipeline(model, (budget,), report_bindings=False)
    data = _plan_bytes(analyzed)
    if data is None:
        sys.exit("no plan at this budget")
    plan = read_binary_plan(data, decompress_weights=False)
    events, counters, memory, info = _run(data, (), traced=True)
    problems = check(events, counters)
    if problems:
        sys.exit(problems[0])
    kinds = {code: name for name, code in defs.OP_TYPE_MAP.items()}
    keys = ("kernel", "stride", "dilation")
    return {
        "runtime": info["version"],
        "memory": memory,
        "tensors": [{"name": t["name"], "shape": t["shape"]} for t in plan["tensors"]],
        "ops": [
            {
                "kind": kinds.get(op["op_type"], "unknown"),
                "inputs": op["inputs"],
                "outputs": op["outputs"],
                **{key: [op["spatial"][f"{key}_{axis}"] for axis in "hw"] for key in keys},
                "pad": [op["spatial"]["pad_top"], op["spatial"]["pad_left"]],
            }
            for op in plan["ops"]
        ],
        "events": [
            {key: value for key, value in event.items() if value is not None} for event in events
        ],
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:3])))
