"""Many seeds side by side are the same runs one by one."""

from __future__ import annotations

from statistics import fmean

from sim.engine.run import play
from sim.seeds import spreads
from sim.system import System
from sim.usage import Usage
from sim.workload.arrivals import POISSON, Arrivals
from sim.workload.workload import Workload
from tests.engine.toy import RELU_PS, board, fork, laid_out


def test_processes_change_nothing() -> None:
    workload = Workload(arrivals=Arrivals(POISSON, 5 * RELU_PS), deadline_ps=9 * RELU_PS)
    system, on, usage = System(laid_out(fork()), workload), board(), Usage(9 * RELU_PS)
    (found,) = spreads([system], on, usage, play, frames=200, seed=3, seeds=5)
    single = [play(system, on, frames=200, seed=3 + n) for n in range(5)]
    assert found.seeds == 5
    assert found.mean_ps.mean == fmean(r.latency.mean_ps for r in single)
    assert found.p99_ps.most == max(r.latency.p99_ps for r in single)
    assert found.lost.least == min(r.fate.lost_frames / 200 for r in single)
    assert found.frame_pj.mean == fmean(usage.frame_pj(r, on) for r in single)
    assert found.missed.error > 0 and found.lost.error > 0
