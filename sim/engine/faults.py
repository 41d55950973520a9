"""Makes things break when the workload says so."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from heapq import merge

from sim.engine.clock import Clock, Process
from sim.engine.frames import Stream
from sim.engine.outage import Outages
from sim.engine.storage import StorageActor
from sim.trace import OUTAGES
from sim.workload.arrivals import POISSON, Arrivals
from sim.workload.workload import BROWN_OUT, CRC, Fault


def start_faults(
    env: Clock,
    faults: Sequence[Fault],
    storages: Mapping[str, StorageActor],
    streams: Sequence[Stream],
    seed: int,
) -> None:
    """Starts a process for each fault; those of a storage that nobody uses do nothing."""
    for number, fault in enumerate(faults):
        instants = _instants(fault, random.Random(f"{seed}/fault {number}"))
        if fault.kind == BROWN_OUT:
            env.process(_brown_outs(env, fault, instants, streams))
        elif fault.on in storages:
            outages = storages[fault.on].outages
            outages.on = True
            if fault.kind == CRC:
                outages.damage_probability += fault.probability
            env.process(_breaks(env, fault, instants, outages))


def _instants(fault: Fault, chance: random.Random) -> Iterator[int]:
    """Those that are given and those at random, in order."""
    at_random = Arrivals(POISSON, fault.every_ps).instants(chance) if fault.every_ps else iter(())
    return merge(sorted(fault.at_ps), at_random)


def _brown_outs(
    env: Clock, fault: Fault, instants: Iterator[int], streams: Sequence[Stream]
) -> Process:
    for at_ps in instants:
        yield env.until(at_ps)
        for stream in streams:
            stream.brown_out(fault.lasts_ps)


def _breaks(env: Clock, fault: Fault, instants: Iterator[int], outages: Outages) -> Process:
    for at_ps in instants:
        yield env.until(at_ps)
        if fault.kind == CRC:
            outages.damage_next += 1
        else:
            outages.begin(OUTAGES[fault.kind], env.now_ps + fault.lasts_ps)
            env.process(_mend(env, fault.lasts_ps, outages))


def _mend(env: Clock, lasts_ps: int, outages: Outages) -> Process:
    yield env.timeout(lasts_ps)
    outages.end()
