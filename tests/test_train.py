"""The models in scenarios/models and the scenes: what they hold, and that all runtimes agree."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tflite

from scenarios.train.scenes import CLASSES, scene, scenes

MODELS = Path(__file__).parents[1] / "scenarios" / "models"
RUNNABLE = ("branchy", "drone_seg", "ds_cnn", "mobilenet_v2_small")
ARENA_BYTES = 4 << 20


def model_bytes(name: str) -> bytes:
    return (MODELS / f"{name}.tflite").read_bytes()


def random_input(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(0).integers(-128, 128, shape).astype(np.int8)


@pytest.mark.parametrize("name", [*RUNNABLE, "unknown_op"])
def test_every_buffer_is_aligned(name: str) -> None:
    root = tflite.Model.GetRootAs(model_bytes(name))
    starts = []
    for index in range(root.BuffersLength()):
        table = root.Buffers(index)._tab
        field = table.Offset(4)
        if field and table.VectorLen(field):
            starts.append(table.Vector(field))
    assert len(starts) > 5
    assert all(start % 16 == 0 for start in starts)


@pytest.mark.parametrize("name", RUNNABLE)
def test_litert_and_tflm_agree_bit_for_bit(name: str) -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    tflm = pytest.importorskip("tflite_micro").runtime
    reference = litert.Interpreter(
        model_content=model_bytes(name),
        experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
    )
    reference.allocate_tensors()
    (entry,), (end,) = reference.get_input_details(), reference.get_output_details()
    micro = tflm.Interpreter.from_bytes(model_bytes(name), arena_size=ARENA_BYTES)
    sample = random_input(tuple(entry["shape"]))
    reference.set_tensor(entry["index"], sample)
    reference.invoke()
    micro.set_input(sample, 0)
    micro.invoke()
    expected = reference.get_tensor(end["index"])
    assert len(np.unique(expected)) > 3
    np.testing.assert_array_equal(micro.get_output(0), expected)


def test_drone_seg_tells_the_classes_apart_on_scenes_it_has_not_seen() -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    interpreter = litert.Interpreter(model_content=model_bytes("drone_seg"), num_threads=1)
    interpreter.allocate_tensors()
    (entry,), (end,) = interpreter.get_input_details(), interpreter.get_output_details()
    unseen = scenes(2_000_000, 8)
    right = 0.0
    for image, truth in zip(unseen.image, unseen.classes, strict=True):
        interpreter.set_tensor(entry["index"], (image.astype(np.int16) - 128).astype(np.int8)[None])
        interpreter.invoke()
        right += float((interpreter.get_tensor(end["index"])[0].argmax(axis=-1) == truth).mean())
    assert right / len(unseen.image) > 0.88


def test_unknown_op_holds_its_options_and_no_runtime_takes_it() -> None:
    litert = pytest.importorskip("ai_edge_litert.interpreter")
    data = model_bytes("unknown_op")
    root = tflite.Model.GetRootAs(data)
    ops = [root.Subgraphs(0).Operators(i) for i in range(root.Subgraphs(0).OperatorsLength())]
    custom = [op for op in ops if root.OperatorCodes(op.OpcodeIndex()).CustomCode()]
    assert [root.OperatorCodes(op.OpcodeIndex()).CustomCode() for op in custom] == [
        b"SpillwayUnknown"
    ]
    assert (
        bytes(custom[0].CustomOptionsAsNumpy()) == b"any bytes, \x00\x01\xfe\xff, kept as they are"
    )
    with pytest.raises(RuntimeError, match="SpillwayUnknown"):
        litert.Interpreter(model_content=data).allocate_tensors()


def test_a_seed_always_draws_the_same_scene_and_another_draws_another() -> None:
    first, again, other = scene(5), scene(5), scene(6)
    np.testing.assert_array_equal(first.image, again.image)
    np.testing.assert_array_equal(first.classes, again.classes)
    assert (first.image != other.image).mean() > 0.5


def test_scenes_show_every_class_often_enough_to_learn_it() -> None:
    drawn = scenes(0, 12)
    assert drawn.image.shape == (12, 80, 120, 3)
    share = np.bincount(drawn.classes.ravel(), minlength=len(CLASSES)) / drawn.classes.size
    assert len(share) == len(CLASSES)
    assert share.min() > 0.03
