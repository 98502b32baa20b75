"""A simplified graph computes the same, with fewer operators; and what is not the same is left alone."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgefill.export.importing.simplification import simplified

rng = np.random.default_rng(0)
node = helper.make_node


def weights(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


def built(nodes, constants, outputs=("y",), side=8) -> onnx.ModelProto:
    """A model from x [N, 4, 8, 8] to ``outputs``."""
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4, side, side])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    model = onnx.shape_inference.infer_shapes(model)
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    return model


def run(model, x):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, {"x": x})


def left(model, feed=None) -> list[str]:
    """The operators of the simplified model, which is shown to compute the same; ``model`` is as it was."""
    before, x = model.SerializeToString(), weights(2, 4, 8, 8)
    found = simplified(model, feed)
    assert model.SerializeToString() == before
    onnx.checker.check_model(found, full_check=True)
    assert [each.name for each in found.graph.output] == [each.name for each in model.graph.output]
    for own, expected in zip(run(found, x), run(model, x), strict=True):
        np.testing.assert_allclose(own, expected, atol=3e-6 * max(1, np.abs(expected).max()))
    return [each.op_type for each in found.graph.node]


CONV = {"w": weights(4, 4, 1, 1)}
FACTOR = {"k": np.float32(2)}


def test_a_factor_goes_through_what_commutes_with_it():
    nodes = [
        node("Conv", ["x", "w", "b"], ["c"], pads=[1] * 4),
        node("Add", ["c", "n"], ["d"]),
        node("LeakyRelu", ["d"], ["e"], alpha=0.2),
        node("Mul", ["e", "k"], ["y"]),
    ]
    constants = {"w": weights(6, 4, 3, 3), "b": weights(6), "n": weights(1, 1, 8, 8), "k": np.float32(2**0.5)}
    assert left(built(nodes, constants)) == ["Conv", "Add", "LeakyRelu"]


def test_a_factor_goes_into_both_sides_of_a_sum():
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Conv", ["x", "v"], ["d"]),
        node("Add", ["c", "d"], ["e"]),
        node("Div", ["e", "k"], ["y"]),
    ]
    assert left(built(nodes, {**CONV, "v": weights(4, 4, 1, 1), **FACTOR})) == ["Conv", "Conv", "Add"]


def test_weights_that_others_share_are_copied():
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Mul", ["c", "k"], ["d"]), node("Conv", ["d", "w"], ["y"])]
    assert left(built(nodes, {**CONV, **FACTOR})) == ["Conv", "Conv"]


@pytest.mark.parametrize("factor", [-2.0, 0.0, np.inf])
def test_a_factor_that_is_not_positive_stays(factor):
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["r"]), node("Mul", ["r", "k"], ["y"])]
    model = built(nodes, {**CONV, "k": np.float32(factor)})
    assert [each.op_type for each in simplified(model).graph.node] == ["Conv", "Relu", "Mul"]


@pytest.mark.parametrize(
    ("nodes", "outputs"),
    [
        (
            [node("Conv", ["x", "w"], ["c"]), node("Sigmoid", ["c"], ["r"]), node("Mul", ["r", "k"], ["y"])],
            ["y"],
        ),
        ([node("Relu", ["x"], ["r"]), node("Mul", ["r", "k"], ["y"])], ["y"]),
        ([node("Conv", ["x", "w"], ["c"]), node("Mul", ["c", "k"], ["y"])], ["y", "c"]),
        (
            [node("Conv", ["x", "w"], ["c"]), node("Mul", ["c", "k"], ["d"]), node("Add", ["c", "d"], ["y"])],
            ["y"],
        ),
        (
            [
                node("Conv", ["x", "w"], ["c"]),
                node("Pad", ["c", "around", "five"], ["d"]),
                node("Mul", ["d", "k"], ["y"]),
            ],
            ["y"],
        ),
    ],
    ids=[
        "through a sigmoid",
        "into the input",
        "at a result",
        "beside another use",
        "through a border of fives",
    ],
)
def test_a_factor_stays_where_it_would_change_something(nodes, outputs):
    constants = {**CONV, **FACTOR, "around": np.array([0, 0, 1, 1, 0, 0, 1, 1]), "five": np.float32(5)}
    assert "Mul" in left(built(nodes, constants, outputs))


def clips() -> onnx.ModelProto:
    nodes = [
        node("Conv", ["x", "w"], ["c"]),
        node("Clip", ["c", "low", "high"], ["d"]),
        node("Tanh", ["d"], ["t"]),
        node("Clip", ["t", "minus", "one"], ["y"]),
    ]
    ends = {"low": -256, "high": 256, "minus": -1, "one": 1}
    return built(nodes, {**CONV, **{name: np.float32(end) for name, end in ends.items()}})


def test_a_clip_that_cannot_bite_goes_and_one_that_might_stays():
    assert left(clips()) == ["Conv", "Clip", "Tanh"]


def test_a_clip_that_is_far_from_biting_goes_by_what_is_fed():
    assert left(clips(), {"x": weights(1, 4, 8, 8)}) == ["Conv", "Tanh"]
    assert left(clips(), {"x": 100 * weights(1, 4, 8, 8)}) == ["Conv", "Clip", "Tanh"]


def test_a_clip_at_zero_says_what_a_value_means_and_stays():
    nodes = [
        node("Abs", ["x"], ["a"]),
        node("Add", ["a", "one"], ["b"]),
        node("Clip", ["b", "zero", "high"], ["y"]),
    ]
    constants = {"one": np.float32(1), "zero": np.float32(0), "high": np.float32(1e6)}
    assert "Clip" in left(built(nodes, constants), {"x": weights(1, 4, 8, 8)})


def test_what_changes_nothing_goes():
    nodes = [
        node("Identity", ["x"], ["a"]),
        node("Cast", ["a"], ["b"], to=TensorProto.FLOAT),
        node("Add", ["b", "zero"], ["c"]),
        node("Mul", ["one", "c"], ["d"]),
        node("Transpose", ["d"], ["e"], perm=[0, 1, 2, 3]),
        node("Pad", ["e", "none"], ["f"]),
        node("Conv", ["f", "w"], ["y"]),
    ]
    constants = {
        **CONV,
        "zero": np.float32(0),
        "one": np.ones((1, 4, 1, 1), np.float32),
        "none": np.zeros(8, int),
    }
    assert left(built(nodes, constants)) == ["Conv"]


def test_a_zero_that_makes_a_value_wider_stays():
    nodes = [node("Conv", ["x", "w"], ["c"]), node("Add", ["c", "zero"], ["y"])]
    assert left(built(nodes, {**CONV, "zero": np.zeros((3, 1, 4, 8, 8), np.float32)})) == ["Conv", "Add"]


def test_what_is_made_of_constants_is_one():
    nodes = [
        node("Shape", ["w"], ["s"]),
        node("Constant", [], ["i"], value_int=0),
        node("Gather", ["s", "i"], ["g"]),
        node("Cast", ["g"], ["h"], to=TensorProto.FLOAT),
        node("Conv", ["x", "w"], ["c"]),
        node("Add", ["c", "h"], ["y"]),
    ]
    assert left(built(nodes, CONV)) == ["Conv", "Add"]


def test_a_constant_that_would_grow_large_is_left():
    nodes = [node("Expand", ["one", "size"], ["wide"]), node("ReduceSum", ["wide"], ["s"], keepdims=0),
             node("Mul", ["x", "s"], ["y"])]  # fmt: skip
    model = built(nodes, {"one": np.full((1,), 1e-6, np.float32), "size": np.array([1 << 21])})
    assert "Expand" in [each.op_type for each in simplified(model).graph.node]


def test_a_copy_of_the_input_stays_one():
    assert left(built([node("Identity", ["x"], ["y"])], {})) == ["Identity"]


def doubling(kernel, grid=None) -> onnx.ModelProto:
    if grid is None:
        grid = np.zeros((1, 1, 16, 16), np.float32)
        grid[..., ::2, ::2] = 1
    repeat = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    nodes = [
        node("Resize", ["x", "", "twice"], ["r"], **repeat),
        node("Mul", ["r", "grid"], ["z"]),
        node("Pad", ["z", "around", ""], ["q"], mode="constant"),
        node("Conv", ["q", "w"], ["y"], group=4),
    ]
    constants = {
        "twice": np.float32([1, 1, 2, 2]), "grid": grid, "around": np.array([0, 0, 2, 2, 0, 0, 1, 1]),
        "w": np.repeat(kernel[None, None], 4, 0).astype(np.float32),
    }  # fmt: skip
    return built(nodes, constants)


SMOOTH = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 16


def test_doubling_by_zeros_is_doubling_by_repeating():
    assert left(doubling(SMOOTH)) == ["Resize", "Conv"]


def test_doubling_with_another_kernel_or_another_grid_stays():
    assert left(doubling(weights(4, 4))) == ["Resize", "Mul", "Pad", "Conv"]
    assert "Mul" in left(doubling(SMOOTH, weights(1, 1, 16, 16)))
