"""Samples of what a graph holds within, and the ranges that follow from them."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper

from edgefill.export.ranges import ranges, samples

SIDE = 48


def doubling() -> onnx.ModelProto:
    """x, doubled, then with its negative part cut off; of any size."""
    shape = ["N", 1, "H", "W"]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "x"], ["double"]), helper.make_node("Relu", ["double"], ["y"])],
        "doubling",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def feeds(count: int):
    rng = np.random.default_rng(0)
    return [{"x": rng.standard_normal((1, 1, SIDE, SIDE)).astype(np.float32)} for _ in range(count)]


def test_samples_are_every_nth_number_of_each_value_in_the_same_places():
    (feed,) = feeds(1)
    (found,) = samples(doubling(), ["x", "double", "y"], [feed], 100)
    step = 2 * (SIDE * SIDE // 200) + 1
    np.testing.assert_array_equal(found["x"], feed["x"].ravel()[::step])
    np.testing.assert_array_equal(found["double"], 2 * found["x"])
    np.testing.assert_array_equal(found["y"], np.maximum(found["double"], 0))
    columns = np.arange(0, SIDE * SIDE, step) % SIDE
    assert len(np.unique(columns)) > SIDE // 2, "samples of one column would say nothing of the others"


def test_all_is_sampled_where_that_is_less():
    (feed,) = feeds(1)
    (found,) = samples(doubling(), ["double"], [feed], 10**6)
    np.testing.assert_array_equal(found["double"], 2 * feed["x"].ravel())


def test_a_range_holds_nearly_all_but_not_a_single_outlier():
    given = feeds(6)
    given[3]["x"][0, 0, 5, 7] = 1000
    found = ranges(doubling(), ["x", "double"], given, len(given))
    assert 3 < found["x"] < 6 and found["double"] == 2 * found["x"]


def test_a_value_of_nothing_but_zeros_has_a_range():
    feed = {"x": np.zeros((1, 1, 8, 8), np.float32)}
    assert 0 < ranges(doubling(), ["y"], [feed], 1)["y"] < 1e-5
