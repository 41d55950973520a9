"""The command that shows two results side by side."""

from __future__ import annotations

import argparse

from sim.commands import OK
from sim.diff.difference import diff as compare_results
from sim.diff.difference import document
from sim.diff.read import read_result
from sim.result import dumps
from sim.terminal import write


def diff(options: argparse.Namespace) -> int:
    """What changed from one result to another, and what the changes are made of."""
    found = compare_results(read_result(options.a), read_result(options.b))
    if options.json:
        write(dumps(document(found, options.a, options.b)))
    else:
        from sim.render.diff import show_diff

        show_diff(found, options.a, options.b)
    return OK
