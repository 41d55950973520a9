"""Verification finds what is wrong: a weight, a plan, an arena, a signature."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

import sim.deploy.verify as module
from sim.deploy.inputs import input_sets
from sim.deploy.runtime_protocol import Arrays
from sim.deploy.runtimes import RuntimeRefusal, run_tflm
from sim.deploy.verify import Verification, verify
from sim.errors import ModelError
from sim.graph.graph import Graph, Op
from sim.graph.tflite_writer import to_bytes
from tests.deploy.material import chain, custom_model, spilled, with_offsets
from tests.graphs import Net

pytest.importorskip("ai_edge_litert")
pytest.importorskip("tflite_micro")


def other_weight(graph: Graph) -> Graph:
    """One weight of the first convolution, changed by 40."""
    weights = graph.tensors[graph.ops[0].inputs[1]]
    assert weights.data is not None
    data = bytes([(weights.data[0] + 40) % 256]) + weights.data[1:]
    tensors = list(graph.tensors)
    tensors[weights.id] = replace(weights, data=data)
    return replace(graph, tensors=tuple(tensors))


def honest_offsets(graph: Graph) -> dict[int, int]:
    """Each activation at a place of its own."""
    offsets, end = {}, 0
    for tensor in graph.tensors:
        if not tensor.is_constant:
            offsets[tensor.id] = end
            end += -(-tensor.nbytes // 16) * 16
    return offsets


def planned(graph: Graph, offsets: dict[int, int]) -> bytes:
    return to_bytes(with_offsets(graph, *[offsets.get(t.id, -1) for t in graph.tensors]))


def test_a_spilled_model_is_equal_in_both_runtimes() -> None:
    optimized = to_bytes(spilled())
    run = run_tflm(optimized, ())
    found = verify(
        to_bytes(chain()), optimized, planned_bytes=run.head_bytes,
        promised_arena_bytes=run.total_bytes + 4096,
    )  # fmt: skip
    assert found == Verification(True, 0, True, True, run.head_bytes, run.head_bytes)
    assert found.passed


def test_a_changed_weight_is_found() -> None:
    found = verify(to_bytes(chain()), to_bytes(other_weight(chain())))
    assert (found.equal, found.litert, found.tflm) == (False, False, False)
    assert found.max_abs_diff is not None
    assert found.max_abs_diff > 0
    assert [p.split(":")[0] for p in found.problems] == ["LiteRT", "TFLM"]
    assert not found.passed


def test_an_honest_plan_passes_and_overlapping_offsets_are_found() -> None:
    graph, offsets = chain(), honest_offsets(chain())
    first, second = graph.ops[0].outputs[0], graph.ops[1].outputs[0]
    head = max(offsets.values()) + graph.tensors[max(offsets)].nbytes
    good = verify(to_bytes(graph), planned(graph, offsets), planned_bytes=head)
    assert good.passed
    assert good.tflm_head_bytes == head
    bad = verify(to_bytes(graph), planned(graph, offsets | {second: offsets[first]}))
    assert (bad.equal, bad.litert, bad.tflm) == (False, True, False)


def test_a_head_that_was_not_planned_is_a_problem() -> None:
    model = to_bytes(chain())
    head = run_tflm(model, ()).head_bytes
    found = verify(model, model, planned_bytes=head - 16)
    assert found.equal is True
    assert found.problems == (f"TFLM records a head of {head} B, planned {head - 16} B",)
    assert not found.passed


def test_a_promise_that_tflm_can_t_keep_is_a_problem() -> None:
    model = to_bytes(chain())
    total = run_tflm(model, ()).total_bytes
    (problem,) = verify(model, model, promised_arena_bytes=total - 64).problems
    assert problem.startswith(f"the promised arena of {total - 64} B is too small: TFLM: ")


@pytest.mark.parametrize("crashed", [False, True])
def test_an_arena_that_is_too_small_must_not_be_accepted(
    crashed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stock TFLM may crash after it has said that it can't allocate; that is no acceptance."""
    model = to_bytes(chain())
    monkeypatch.setattr(module, "_refusal", lambda *_: None)
    (problem,) = verify(model, model).problems
    assert "is accepted, though the model takes" in problem
    monkeypatch.setattr(
        module, "_refusal", lambda *_: RuntimeRefusal("TFLM", "gone", crashed=crashed)
    )
    assert not verify(model, model).problems


def test_what_no_runtime_knows_can_t_be_judged() -> None:
    found = verify(custom_model(), custom_model(), planned_bytes=64)
    assert (found.equal, found.litert, found.tflm, found.max_abs_diff) == (None,) * 4
    assert not found.passed
    assert not found.problems
    assert [n.split(",")[0] for n in found.notes] == ["not judged in LiteRT", "not judged in TFLM"]


def test_only_the_runtime_that_can_run_the_original_judges() -> None:
    """TFLM has no kernel for SIGN; LiteRT has."""
    net = Net()
    x = net.tensor((1, 8), "FLOAT32", name="x")
    y = net.tensor((1, 8), "FLOAT32")
    net.ops.append(Op("SIGN", (x,), (y,)))
    net.inputs = [x]
    model = to_bytes(net.graph(y))
    found = verify(model, model)
    assert (found.equal, found.litert, found.tflm) == (True, True, None)
    assert found.tflm_head_bytes is None
    assert found.passed


def test_an_optimized_model_that_a_runtime_lost_is_a_problem() -> None:
    net = Net()
    net.input(1, 16)
    original = to_bytes(net.graph(net.requantize(0, 0.05, 0)))
    found = verify(original, custom_model())
    assert (found.equal, found.litert, found.tflm) == (False, False, False)
    assert all("runs the original only" in p for p in found.problems)


def test_types_that_can_t_be_handed_over_are_noted() -> None:
    net = Net()
    net.inputs = [net.tensor((1, 8), "INT4")]
    model = to_bytes(net.graph(0))
    found = verify(model, model)
    assert found.equal is None
    assert found.notes == ("can't be run here: inputs or outputs of type INT4",)


def changed(graph: Graph, **fields: object) -> bytes:
    tensors = list(graph.tensors)
    tensors[graph.inputs[0]] = replace(tensors[graph.inputs[0]], **fields)  # type: ignore[arg-type]
    return to_bytes(replace(graph, tensors=tuple(tensors)))


@pytest.mark.parametrize(
    ("optimized", "message"),
    [
        (changed(chain(), shape=(1, 8, 4, 8)), r"inputs\[0\]: found INT8 \[1, 8, 4, 8\]"),
        (changed(chain(), dtype="INT16"), r"inputs\[0\]: found INT16"),
        (changed(chain(), quantization=None), r"inputs\[0\]: .*wanted INT8 .* scale \(0\.05"),
        (to_bytes(replace(chain(), outputs=chain().outputs * 2)), "outputs: found 2, wanted 1"),
    ],
)
def test_another_signature_is_refused(optimized: bytes, message: str) -> None:
    with pytest.raises(ModelError, match=f"optimized model: {message}"):
        verify(to_bytes(chain()), optimized)


def test_seed_and_samples_reach_the_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def spy(graph: Graph, count: int, seed: int) -> list[Arrays]:
        asked.append((count, seed))
        return input_sets(graph, count, seed)

    monkeypatch.setattr(module, "input_sets", spy)
    verify(to_bytes(chain()), to_bytes(chain()), seed=7, samples=2)
    assert asked == [(2, 7)]


def test_json_holds_what_the_file_promises() -> None:
    found = Verification(False, 3, True, False, 64, 48, ("TFLM: differs",), ("a note",))
    assert json.loads(json.dumps(found.to_json())) == {
        "equal": False,
        "max_abs_diff": 3,
        "litert": True,
        "tflm": False,
        "tflm_head_bytes": 64,
        "planned_bytes": 48,
        "problems": ["TFLM: differs"],
    }
