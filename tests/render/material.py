"""A program over an SD card, and what happens beside it: what pictures and tables are made of."""

from __future__ import annotations

from sim.device.loader import load_board
from sim.policy import Goal, parse_choice
from sim.program import pack_graph, place
from sim.system import Resident, Role
from sim.workload.arrivals import PERIODIC, Arrivals
from sim.workload.workload import Camera, Fault, User, Workload
from tests.graphs import unet

MS = 10**9
BOARD = load_board("arduino_portenta_h7")
CHOICE = parse_choice("spill(storage=sd)")
GRAPH = unet(16, 24, (4, 8, 16))
GOAL = Goal(int(0.6 * pack_graph(GRAPH)[0].arena().required))
PROGRAM, _ = pack_graph(
    next(CHOICE.policies[0].candidates(GRAPH, BOARD, GOAL)).apply(GRAPH, BOARD, GOAL)
)
WORKLOAD = Workload(
    arrivals=Arrivals(PERIODIC, 30 * MS),
    camera=Camera(2, 3 * MS),
    background=(
        User("tick", "core", Arrivals(PERIODIC, MS), work_ps=MS // 100, interrupt=True),
        User("log", "sd", Arrivals(PERIODIC, 7 * MS), size_bytes=512, writes=True),
    ),
    faults=(Fault("removed", "sd", at_ps=(100 * MS,), lasts_ps=40 * MS),),
)
WORDS = Resident(
    "words",
    place(unet(8, 8, (2, 4))),
    Role("own", arrivals=Arrivals(PERIODIC, 50 * MS), priority=1),
)
