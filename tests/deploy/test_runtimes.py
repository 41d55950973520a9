"""Both runtimes: same outputs, clear refusals, nothing on stdout, and a crash that is survived."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from sim.deploy import runtimes
from sim.deploy.inputs import input_sets
from sim.deploy.runtime_process import RuntimeProcess, runtime_process
from sim.deploy.runtime_protocol import LITERT, TFLM, Answer, Arrays, Request, receive, send
from sim.deploy.runtimes import InputSets, RuntimeRefusal, run_litert, run_tflm, tflm_fits
from sim.errors import MissingToolError, ModelError
from sim.graph.graph import Graph, Quantization, Tensor
from sim.graph.tflite_reader import read_bytes
from sim.graph.tflite_writer import to_bytes
from tests.deploy.material import NAMES, SHARED, chain, custom_model, shared_model, spilled
from tests.graphs import Net, unet

Run = Callable[[bytes, InputSets], object]

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite_micro")


def assert_same(found: list[Arrays], wanted: list[Arrays]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        for a, b in zip(one, other, strict=True):
            np.testing.assert_array_equal(a, b)


def several(graph: Graph, count: int = 6) -> list[Arrays]:
    return input_sets(graph, count, seed=0)


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared/models is not there")
@pytest.mark.parametrize("name", NAMES)
def test_both_runtimes_agree_on_shared_models(name: str) -> None:
    model = shared_model(name)
    sets = several(read_bytes(model))
    outputs = run_litert(model, sets)
    assert len({array.tobytes() for arrays in outputs for array in arrays}) > 1
    assert_same(run_tflm(model, sets).outputs, outputs)


@pytest.mark.skipif(not SHARED.is_dir(), reason="shared/models is not there")
@pytest.mark.parametrize(
    ("name", "head"),
    [("vww_96_int8", 73_728), ("pretrainedResnet_quant", 49_152), ("kws_ref_model", 16_000),
     ("person_detect", 55_296)],
)  # fmt: skip
def test_recorded_head_is_the_known_figure(name: str, head: int) -> None:
    run = run_tflm(shared_model(name), ())
    assert run.head_bytes == head
    assert run.total_bytes == run.head_bytes + run.tail_bytes


@pytest.mark.parametrize(
    "graph", [chain(), spilled(), unet(16, 24)], ids=["chain", "spill", "unet"]
)
def test_both_runtimes_agree_on_generated_models(graph: Graph) -> None:
    model, sets = to_bytes(graph), several(graph)
    outputs = run_litert(model, sets)
    assert len({array.tobytes() for arrays in outputs for array in arrays}) == len(sets)
    assert_same(run_tflm(model, sets).outputs, outputs)


def two_inputs() -> Graph:
    """Inputs of different shapes, listed against the order of their ids; two outputs likewise."""
    net = Net()
    narrow, wide = net.input(1, 4, 4, 2), net.input(1, 4, 4, 3)
    a, b = net.conv(narrow, 2), net.conv(wide, 3)
    return replace(net.graph(b, a), inputs=(wide, narrow))


def test_inputs_and_outputs_keep_the_order_of_the_subgraph() -> None:
    graph = two_inputs()
    sets = several(graph, 1)
    outputs = run_litert(to_bytes(graph), sets)
    assert [a.shape for a in outputs[0]] == [(1, 4, 4, 3), (1, 4, 4, 2)]
    assert_same(run_tflm(to_bytes(graph), sets).outputs, outputs)


def test_float_models_run() -> None:
    floats = [Tensor(i, f"t{i}", (1, 5), "FLOAT32") for i in range(3)]
    net = Net()
    net.tensors = floats
    net.op("ADD", [0, 1], [2])
    net.inputs = [0, 1]
    graph = net.graph(2)
    sets = several(graph, 2)
    wanted = [[a + b] for a, b in sets]
    assert_same(run_litert(to_bytes(graph), sets), wanted)
    assert_same(run_tflm(to_bytes(graph), sets).outputs, wanted)


def test_each_set_starts_from_the_initial_state() -> None:
    """A variable that is read before it is assigned holds what the last inference left."""
    graph = spilled()
    kinds = [op.kind for op in graph.ops]
    handle, spill, fetch = (
        kinds.index(k) for k in ("VAR_HANDLE", "ASSIGN_VARIABLE", "READ_VARIABLE")
    )
    ops = list(graph.ops)
    ops.insert(handle + 1, ops.pop(fetch))
    assert ops[spill + 1].kind == "ASSIGN_VARIABLE"
    model = to_bytes(replace(graph, ops=tuple(ops)))
    one, other = several(graph, 2)
    together = run_tflm(model, [one, other, one]).outputs
    assert_same(together[2:], together[:1])
    assert_same(together[1:2], run_tflm(model, [other]).outputs)


def test_unknown_op_is_refused_with_the_runtime_s_message() -> None:
    model = custom_model()
    sets = several(read_bytes(model), 1)
    with pytest.raises(RuntimeRefusal, match=r"LiteRT: .*nobody_knows"):
        run_litert(model, sets)
    with pytest.raises(RuntimeRefusal, match=r"TFLM: .*CUSTOM") as caught:
        run_tflm(model, sets)
    assert not caught.value.crashed
    assert caught.value.exit_code == 1


def test_too_small_an_arena_is_refused_with_tflm_s_message() -> None:
    model = to_bytes(unet(16, 24))
    run = run_tflm(model, ())
    with pytest.raises(RuntimeRefusal, match="Failed to resize buffer") as caught:
        run_tflm(model, (), run.total_bytes - run.head_bytes // 2)
    assert not caught.value.crashed
    assert tflm_fits(model, 2 * run.total_bytes)
    assert not tflm_fits(model, run.total_bytes - run.head_bytes // 2)


def test_a_crash_is_told_and_survived() -> None:
    model = to_bytes(chain())
    with pytest.raises(RuntimeRefusal, match=r"crashed \(SIG\w+\); Failed to allocate") as caught:
        run_tflm(model, (), 64)
    assert caught.value.crashed
    assert not tflm_fits(model, 64)
    assert run_tflm(model, ()).head_bytes > 0


def test_a_crash_of_litert_is_told_and_survived() -> None:
    """An infinite scale makes LiteRT abort."""
    graph = chain()
    tensors = list(graph.tensors)
    out = tensors[graph.outputs[0]]
    tensors[out.id] = replace(out, quantization=Quantization((float("inf"),), (0,)))
    broken, sets = to_bytes(replace(graph, tensors=tuple(tensors))), several(graph, 1)
    with pytest.raises(RuntimeRefusal, match=r"LiteRT: its process crashed \(SIGABRT\)") as caught:
        run_litert(broken, sets)
    assert caught.value.crashed
    assert len(run_litert(to_bytes(graph), sets)) == 1


def test_one_process_serves_many_requests_and_a_killed_one_is_replaced() -> None:
    model = to_bytes(chain())
    process = runtime_process(TFLM, os.getpid())
    run_tflm(model, ())
    before = process._process
    run_tflm(model, ())
    assert before is not None
    assert process._process is before
    os.kill(before.pid, signal.SIGKILL)
    before.wait()
    assert run_tflm(model, ()).head_bytes > 0
    assert process._process is not before


def test_a_process_that_does_not_answer_is_ended() -> None:
    process = RuntimeProcess(patience_s=0.0)
    answer, log = process.ask(Request(TFLM, to_bytes(chain()), [], 1, 2**20))
    process.close()
    assert answer is None
    assert "SIGKILL" in log


def test_nothing_reaches_stdout(capfd: pytest.CaptureFixture[str]) -> None:
    graph = chain()
    model, sets = to_bytes(graph), several(graph, 1)
    run_litert(model, sets)
    run_tflm(model, sets)
    for bad in (custom_model(), model):
        assert not tflm_fits(bad, 64)
    with pytest.raises(RuntimeRefusal):
        run_litert(custom_model(), several(read_bytes(custom_model()), 1))
    assert capfd.readouterr().out == ""


@pytest.mark.parametrize("runtime", [LITERT, TFLM])
def test_what_is_printed_in_python_or_c_stays_out_of_the_answers(runtime: str) -> None:
    """The worker's stdout carries answers only, though something in it prints."""
    noisy = (
        "import ctypes, sim.deploy.runtime_worker as worker\n"
        "serve = worker.serve\n"
        "def chatty(request):\n"
        "    print('from Python', flush=True)\n"
        "    ctypes.CDLL(None).puts(b'from C')\n"
        "    ctypes.CDLL(None).fflush(None)\n"
        "    return serve(request)\n"
        "worker.serve = chatty\n"
        "worker.main()\n"
    )
    graph = chain()
    question = io.BytesIO()
    send(question, Request(runtime, to_bytes(graph), several(graph, 1), 1, 2**20))
    done = subprocess.run(
        [sys.executable, "-c", noisy], input=question.getvalue(), capture_output=True, check=True
    )
    answer = receive(io.BytesIO(done.stdout))
    assert isinstance(answer, Answer)
    assert_same(answer.output_sets, run_tflm(to_bytes(graph), several(graph, 1)).outputs)
    assert b"from Python" in done.stderr
    assert b"from C" in done.stderr


@pytest.mark.parametrize("run", [run_litert, run_tflm])
def test_a_missing_runtime_says_how_to_install_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtimes, "find_spec", lambda _: None)
    with pytest.raises(MissingToolError, match=r"pip install 'spillway-mcu\[verify\]'"):
        run(b"", ())


@pytest.mark.parametrize("run", [run_litert, run_tflm])
def test_bytes_that_are_no_model_are_refused_before_a_runtime_sees_them(run: Run) -> None:
    with pytest.raises(ModelError, match="not a TFLite model"):
        run(b"nothing of the kind", ())
