"""Workloads as scenarios say them, and one wrong line for each error message."""

from __future__ import annotations

from pathlib import Path

import pytest

from sim.errors import ConfigError, SpillwayError
from sim.scenario import Scenario, load_scenario
from sim.workload.arrivals import PERIODIC, POISSON, TRACE, Arrivals
from sim.workload.workload import IDLE, Camera, Fault, User, Workload

MS = 10**9
HEAD = "model: m.tflite\nboard: arduino_portenta_h7\npolicies: [plan]\n"
WHOLE = (
    HEAD
    + """\
frames: 50
warm_up: 5
period: 40 ms
workload:
  jitter: 2 ms
  deadline: 30 ms
  queue: unlimited
  drop: oldest
  late: skip
  fallback: recompute
  attempts: 2
  priority: 3
camera: {buffers: 2, fill: 5 ms, size: 9600 B, memory: sram_d2}
background:
  tick: {uses: core, period: 1 ms, work: 4 us, interrupt: true}
  log: {uses: sd, arrivals: poisson, period: 1 s, writes: 4 KiB, priority: 2, queue: 9}
  show: {uses: bus, period: 33 ms, moves: 150 KB, rate: 40 MB/s}
storages:
  wifi: {loss: 0.1, timeout: 20 ms, retries: 2, back_off: 1.5}
faults:
  - {kind: crc, storage: sd, probability: 0.01}
  - {kind: removed, storage: sd, at: [1 s, 2 s], lasts: 300 ms}
  - {kind: brown_out, every: 10 s, lasts: 1 s}
also:
  detect: {model: d.tflite, passes: 0.5}
  words: {model: w.tflite, policy: "spill(storage=sd)", period: 1 s, arena: own, priority: 1}
"""
)


def load(tmp_path: Path, text: str) -> Scenario:
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return load_scenario(path)


def test_without_any_of_it_the_board_is_idle(tmp_path: Path) -> None:
    found = load(tmp_path, HEAD)
    assert found.workload == IDLE and not found.workload.eventful
    assert not found.companions and not found.moods


def test_a_workload_says_what_stands_in_it(tmp_path: Path) -> None:
    found = load(tmp_path, WHOLE)
    assert found.workload == Workload(
        arrivals=Arrivals(PERIODIC, 40 * MS, 2 * MS),
        warm_up=5, deadline_ps=30 * MS, queue=None, drop="oldest", late="skip",
        fallback="recompute", attempts=2, priority=3,
        camera=Camera(2, 5 * MS, 9600, "sram_d2"),
        background=(
            User("tick", "core", Arrivals(PERIODIC, MS), work_ps=4 * 10**6, interrupt=True),
            User("log", "sd", Arrivals(POISSON, 1000 * MS), size_bytes=4096, writes=True,
                 priority=2, queue=9),
            User("show", "bus", Arrivals(PERIODIC, 33 * MS), size_bytes=150_000,
                 bytes_per_s=40_000_000),
        ),
        faults=(
            Fault("crc", "sd", probability=0.01),
            Fault("removed", "sd", at_ps=(1000 * MS, 2000 * MS), lasts_ps=300 * MS),
            Fault("brown_out", every_ps=10_000 * MS, lasts_ps=1000 * MS),
        ),
    )  # fmt: skip
    moods = {"loss": 0.1, "timeout_ps": 20 * MS, "retries": 2, "back_off": 1.5}
    assert found.moods == {"wifi": moods}
    detect, words = found.companions
    assert (detect.name, detect.role.gates, detect.choice.name) == ("detect", 0.5, "plan")
    assert words.role.arrivals == Arrivals(PERIODIC, 1000 * MS)
    assert (words.role.arena, words.role.priority, words.choice.name) == ("own", 1, "spill")


def test_frames_may_come_as_a_file_says(tmp_path: Path) -> None:
    (tmp_path / "t.txt").write_text("# three frames\n0 ms\n12.5 ms\n\n1 s  # late\n")
    found = load(tmp_path, HEAD + "workload: {arrivals: trace, times: t.txt}\n")
    assert found.frames == 3
    assert found.workload.arrivals == Arrivals(TRACE, times_ps=(0, 12_500_000_000, 1000 * MS))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0 ms\nsoon\n", "t.txt:2: time: found 'soon'"),
        ("5 ms\n1 ms\n", "t.txt:2: time: found '1 ms', wanted none before the line above"),
        ("# nothing\n", "t.txt: file: found 'no times'"),
    ],
)
def test_a_wrong_file_of_times(tmp_path: Path, text: str, wanted: str) -> None:
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(ConfigError) as error:
        load(tmp_path, HEAD + "workload: {arrivals: trace, times: t.txt}\n")
    assert wanted in str(error.value)


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("workload: {arrivals: poisson}", "workload.arrivals: found 'poisson', wanted a period"),
        ("workload: {arrivals: periodc}", "did you mean periodic?"),
        ("workload: {jitter: 1 ms}", "workload.jitter"),
        ("workload: {arrivals: trace}", "times: a file"),
        ("workload: {queue: -1}", "workload.queue: found -1, wanted a whole number"),
        ("workload: {dedline: 1 ms}", "did you mean deadline?"),
        ("workload: {deadline: 0 ms}", "workload.deadline: found '0 ms'"),
        ("warm_up: 1", "s.yaml:4: warm_up: found 1, wanted fewer than the frames"),
        ("camera: {buffers: 0, fill: 1 ms}", "camera.buffers: found 0, wanted a whole number, 1"),
        ("camera: {buffers: 1}", "camera.fill: found 'nothing'"),
        ("background: {a: {uses: core, period: 1 s}}", "wanted work:"),
        ("background: {a: {uses: bus, period: 1 s, moves: 1 KB}}", "wanted moves: and rate:"),
        ("background: {a: {uses: sd, period: 1 s}}", "wanted reads: or writes: a size"),
        ("background: {a: {uses: sd, reads: 1 KB}}", "wanted a period"),
        (
            "background: {a: {uses: sd, period: 1 s, reads: 1 B, interrupt: true}}",
            "wanted uses: core",
        ),
        ("faults: [{kind: crc, storage: sd}]", "wanted at:, every: or, for crc, probability:"),
        ("faults: [{kind: removed, at: [1 s]}]", "wanted storage:"),
        ("faults: [{kind: brown_out, storage: sd, at: [1 s]}]", "a brown-out is the board's"),
        ("faults: [{kind: removed, storage: sd, probability: 0.1}]", "kind: crc"),
        ("faults: [{kind: fire, at: [1 s]}]", "faults.0.kind: found 'fire'"),
        ("faults: {kind: crc}", "faults: found 'a mapping', wanted a list"),
        ("faults: [{kind: crc, storage: sd, at: 1 s}]", "wanted a list of times"),
        ("storages: {sd: {loss: 2}}", "storages.sd.loss: found 2, wanted a number from 0 to 1"),
        ("also: {a: {model: x.tflite}}", "wanted either passes:, or a period"),
        ("also: {a: {model: x, passes: 1, policy: pln}}", "also.a.policy"),
    ],
)
def test_each_error_names_line_and_field(tmp_path: Path, line: str, wanted: str) -> None:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, HEAD + line + "\n")
    assert wanted in str(error.value)
    assert "s.yaml:4: " in str(error.value)


MODEL = Path(__file__).parents[2] / "scenarios/models/ds_cnn.tflite"


@pytest.mark.parametrize(
    ("line", "wanted"),
    [
        ("storages: {floppy: {loss: 0.1}}", "storage: found 'floppy'"),
        ("background: {sd: {uses: core, period: 1 s, work: 1 us}}", "name: found 'sd', wanted one"),
        ("also: {core: {model: m.tflite, passes: 1}}", "name: found 'core', wanted one"),
        ("background: {DMA: {uses: core, period: 1 s, work: 1 us}}", "name: found 'DMA', wanted"),
        ("background: {frames: {uses: core, period: 1 s, work: 1 us}}", "found 'frames', wanted"),
        ("background: {a: {uses: floppy, period: 1 s, reads: 1 B}}", "storage: found 'floppy'"),
        ("faults: [{kind: removed, storage: floppy, at: [1 s]}]", "storage: found 'floppy'"),
        ("camera: {buffers: 2, fill: 1 ms, memory: attic}", "memory: found 'attic'"),
        ("camera: {buffers: 2, fill: 1 ms, memory: dtcm}", "wanted one that DMA reaches"),
        ("camera: {buffers: 2, fill: 1 ms, size: 1 MiB}", "camera: found 2 buffers"),
        ("goal: {sram: 1 KB}\ncamera: {buffers: 3, fill: 1 ms}", "SRAM: cameras and other models"),
    ],
)
def test_what_the_board_lacks_is_refused(tmp_path: Path, line: str, wanted: str) -> None:
    from sim.engine.run import play
    from sim.prepare import prepare

    text = HEAD.replace("m.tflite", str(MODEL)) + line + "\n"
    with pytest.raises(SpillwayError) as error:
        prepare(load(tmp_path, text), play, lambda _: None)
    assert wanted in str(error.value)


def test_what_others_take_is_not_left_to_the_model(tmp_path: Path) -> None:
    from sim.engine.run import play
    from sim.prepare import prepare

    text = HEAD.replace("m.tflite", str(MODEL)) + (
        "goal: {sram: 100 KB}\n"
        "camera: {buffers: 2, fill: 1 ms, size: 1000 B}\n"
        f"also:\n  own: {{model: {MODEL}, period: 1 s, arena: own}}\n"
        f"  shared: {{model: {MODEL}, passes: 0.5}}\n"
    )
    ready = prepare(load(tmp_path, text), play, lambda _: None)
    own, shared = (resident.program.arena() for resident in ready.residents)
    assert ready.goal.sram_bytes == 100_000 - (2000 + own.required + shared.persistent)
