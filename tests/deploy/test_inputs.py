"""The inputs of a verification: seeded, of the right type, with the extremes among them."""

from __future__ import annotations

import numpy as np
import pytest

from sim.deploy.inputs import (
    LEAST_SETS,
    MACS_TO_SPEND,
    MOST_SETS,
    input_sets,
    set_count,
    unknown_types,
)
from sim.graph.graph import Graph, Quantization, Tensor
from tests.deploy.material import chain
from tests.graphs import Net


def one_input(dtype: str, shape: tuple[int, ...] = (1, 3, 4)) -> Graph:
    quantization = Quantization((0.1,), (3,)) if dtype == "INT8" else None
    tensor = Tensor(0, "x", shape, dtype, quantization)
    return Graph("one", (tensor,), (), (0,), (0,))


def test_int8_inputs_hold_the_extremes() -> None:
    made = [arrays[0] for arrays in input_sets(one_input("INT8"), 8, seed=5)]
    random, ramp, board, high, low, zero, *more = made
    assert random.dtype == np.int8
    assert ramp.ravel()[0] == -128
    assert ramp.ravel()[-1] == 127
    assert (np.diff(ramp.ravel().astype(int)) > 0).all()
    assert set(board.ravel()) == {-128, 127}
    assert board[0, 0, 0] != board[0, 0, 1] != board[0, 1, 1]
    assert (high == 127).all()
    assert (low == -128).all()
    assert (zero == 3).all()
    assert len(more) == 2
    assert not np.array_equal(more[0], more[1])


def test_random_inputs_reach_both_ends_of_the_range() -> None:
    (values,) = input_sets(one_input("INT8", (100_000,)), 1, seed=0)[0]
    assert (values.min(), values.max()) == (-128, 127)


def test_the_seed_decides() -> None:
    graph = one_input("INT16")
    first, again, other = (input_sets(graph, 9, seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a[0], b[0]) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0][0], other[0][0])


@pytest.mark.parametrize(
    ("dtype", "low", "high"),
    [("FLOAT32", -1, 1), ("UINT8", 0, 255), ("INT32", 0, 1), ("INT64", 0, 1), ("BOOL", 0, 1)],
)
def test_limits_of_the_types(dtype: str, low: int, high: int) -> None:
    made = np.stack([arrays[0] for arrays in input_sets(one_input(dtype), 7, seed=0)])
    assert made.dtype.name.upper() == dtype
    assert (float(made.min()), float(made.max())) == (low, high)


def test_scalars_have_inputs_too() -> None:
    assert [arrays[0].shape for arrays in input_sets(one_input("INT8", ()), 6, 0)] == [()] * 6


def test_large_models_get_fewer_sets() -> None:
    assert set_count(chain()) == MOST_SETS
    net = Net()
    x = net.input(1, 512, 512, 8)
    large = net.graph(net.conv(x, 64, kernel=7))
    assert large.tensors[large.outputs[0]].elements * 7 * 7 * 8 > MACS_TO_SPEND
    assert set_count(large) == LEAST_SETS


def test_types_that_can_t_be_handed_over_are_named() -> None:
    assert unknown_types(one_input("INT4")) == ("INT4",)
    assert unknown_types(one_input("INT8")) == ()
