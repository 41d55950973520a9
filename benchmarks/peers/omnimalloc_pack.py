"""Prints the smallest peak that omnimalloc's planners find; for the peers' own interpreter.

python omnimalloc_pack.py BUFFERS, where BUFFERS is JSON: [size, start, stop] for each buffer.
"""

from __future__ import annotations

import json
import sys

from omnimalloc import Allocation, Pool, allocate, available_allocators


def main(buffers: str) -> dict[str, int | str]:
    held = [
        Allocation(id=number, size=size, start=start, end=stop)
        for number, (size, start, stop) in enumerate(json.loads(buffers))
    ]
    found: dict[str, int] = {}
    for name in available_allocators():
        try:
            found[name] = allocate(Pool.from_allocations(held), name, validate=True).size
        except ImportError:
            continue
    best = min(found, key=lambda name: found[name])
    return {"bytes": found[best], "planner": best, "planners": len(found)}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1])))
