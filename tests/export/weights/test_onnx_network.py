"""Each operator of an ONNX file computes in PyTorch what it does in ONNX Runtime, in batches of any size."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

from edgefill.errors import ModelError
from edgefill.export.importing.network import Network
from edgefill.export.weights.onnx_network import KNOWN, OnnxNetwork, fixed, with_sizes_folded

_MAPS = (1, 4, 6, 5)
_RANDOM = np.random.default_rng(5)


def weights(*shape):
    return _RANDOM.uniform(0.2, 1, shape).astype(np.float32) * np.sign(_RANDOM.uniform(-1, 1, shape)).astype(
        "f"
    )


def ints(*values):
    return np.array(values, np.int64)


def floats(*values):
    return np.array(values, np.float32)


def model_of(nodes, shape, opset=17):
    """A chain of nodes from x to y; each is (operator, constants after its first input, attributes)."""
    made, constants, name = [], [], "x"
    for at, (kind, inputs, attributes) in enumerate(nodes):
        names = [name, *(f"c{at}_{place}" if value is not None else "" for place, value in enumerate(inputs))]
        constants += [
            numpy_helper.from_array(value, each)
            for value, each in zip(inputs, names[1:], strict=True)
            if value is not None
        ]
        name = "y" if at == len(nodes) - 1 else f"v{at}"
        made.append(helper.make_node(kind, names, [name], f"node{at}", **attributes))
    graph = helper.make_graph(
        made, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_empty_tensor_value_info("y")], constants,
    )  # fmt: skip
    graph.output[0].type.tensor_type.elem_type = TensorProto.FLOAT
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def both(model, shape, low=-2.0):
    """What ONNX Runtime makes of three batches, one by one, and PyTorch of them at once."""
    model = fixed(model, shape)
    x = np.random.default_rng(1).uniform(low, 2, (3 * shape[0], *shape[1:])).astype(np.float32)
    network = OnnxNetwork(with_sizes_folded(model), shape[0], "net.onnx")
    session = Network(model, "net.onnx")
    expected = np.concatenate([session.run({"x": each})["y"] for each in np.split(x, 3)])
    return expected, network(torch.from_numpy(x)).numpy()


def one(kind, *inputs, shape=_MAPS, opset=17, low=-2.0, **attributes):
    return [(kind, inputs, attributes)], shape, opset, low


K, T = weights(3, 4, 3, 3), weights(4, 3, 4, 4)  # kernels, plain and transposed
PER_CHANNEL = [weights(4) for _ in range(4)]
UP = dict(mode="nearest", coordinate_transformation_mode="asymmetric", nearest_mode="floor")
CASES = {
    **{kind: one(kind) for kind in (
        "Abs", "Cos", "Dropout", "Elu", "Erf", "Exp", "GlobalAveragePool", "GlobalMaxPool", "HardSigmoid",
        "HardSwish", "Identity", "LeakyRelu", "Neg", "Reciprocal", "Relu", "Selu", "Sigmoid", "Sin",
        "Softmax", "Softplus", "Softsign", "Tanh",
    )},
    **{f"{kind} of channels": one(kind, weights(4, 1, 1)) for kind in (
        "Add", "Sub", "Mul", "Div", "Max", "Min", "PRelu", "Sum",
    )},
    "Log": one("Log", low=0.1), "Sqrt": one("Sqrt", low=0.1),
    "Pow 2": one("Pow", floats(2)[0].reshape(())), "Pow 0.5": one("Pow", floats(0.5), low=0.1),
    "Elu 0.5": one("Elu", alpha=0.5), "LeakyRelu 0.3": one("LeakyRelu", alpha=0.3),
    "HardSigmoid of its own": one("HardSigmoid", alpha=0.1, beta=0.4),
    "Selu of its own": one("Selu", alpha=1.5, gamma=1.1),
    "Gelu": one("Gelu", opset=20), "Gelu by tanh": one("Gelu", opset=20, approximate="tanh"),
    "Clip": one("Clip", floats(-0.5).reshape(()), floats(0.7).reshape(())),
    "Clip above": one("Clip", None, floats(0.7).reshape(())),
    "Cast": ([("Cast", (), {"to": each}) for each in (TensorProto.INT64, TensorProto.FLOAT)], _MAPS, 17, -2),
    "Softmax of channels": one("Softmax", axis=1),
    "Gemm": one("Gemm", weights(7, 5), weights(5), shape=(1, 7)),
    "Gemm scaled": one("Gemm", weights(5, 7), weights(5), shape=(1, 7), transB=1, alpha=0.5, beta=2.0),
    "MatMul": one("MatMul", weights(5, 3)),
    "BatchNormalization": one("BatchNormalization", *PER_CHANNEL[:3], abs(PER_CHANNEL[3]), epsilon=1e-3),
    "BatchNormalization of numbers": one("BatchNormalization", *PER_CHANNEL[:3], abs(PER_CHANNEL[3]),
                                         shape=(1, 4)),
    "InstanceNormalization": one("InstanceNormalization", *PER_CHANNEL[:2], epsilon=1e-3),
    "LayerNormalization": one("LayerNormalization", weights(5), weights(5)),
    "Conv": one("Conv", K, weights(3), pads=[1, 1, 1, 1], strides=[2, 1]),
    "Conv with uneven pads": one("Conv", K, pads=[1, 0, 2, 3], dilations=[2, 1]),
    "Conv in groups": one("Conv", weights(6, 2, 3, 3), group=2),
    "Conv SAME_UPPER": one("Conv", K, auto_pad="SAME_UPPER", strides=[2, 2]),
    "Conv SAME_LOWER": one("Conv", weights(3, 4, 4, 4), auto_pad="SAME_LOWER"),
    "Conv of one axis": one("Conv", weights(3, 4, 3), pads=[1, 1], shape=(1, 4, 9)),
    "ConvTranspose": one("ConvTranspose", T, weights(3), strides=[2, 2], pads=[1, 1, 1, 1]),
    "ConvTranspose with uneven pads": one("ConvTranspose", T, weights(3), strides=[2, 2], pads=[1, 0, 2, 3]),
    "ConvTranspose with output_padding": one("ConvTranspose", weights(4, 3, 3, 3), strides=[2, 2],
                                             pads=[1, 1, 1, 1], output_padding=[1, 1]),
    "ConvTranspose SAME_UPPER": one("ConvTranspose", weights(4, 3, 5, 5), strides=[2, 2],
                                    auto_pad="SAME_UPPER"),
    "ConvTranspose to a size": one("ConvTranspose", weights(4, 3, 5, 5), strides=[2, 2],
                                   output_shape=[12, 10]),
    "ConvTranspose in groups": one("ConvTranspose", weights(4, 3, 2, 2), strides=[2, 2], group=2),
    "MaxPool": one("MaxPool", kernel_shape=[2, 2], strides=[2, 2]),
    "MaxPool SAME_UPPER": one("MaxPool", kernel_shape=[2, 2], auto_pad="SAME_UPPER", strides=[2, 2]),
    "AveragePool": one("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2]),
    "AveragePool that counts its border": one("AveragePool", kernel_shape=[3, 3], pads=[0, 0, 1, 1],
                                              count_include_pad=1),
    "Reshape of one": one("Reshape", ints(1, 8, 15)), "Reshape of the rest": one("Reshape", ints(1, -1)),
    "Reshape of any": one("Reshape", ints(-1, 120)), "Reshape that copies": one("Reshape", ints(0, 2, -1, 5)),
    "Reshape of a file of two": one("Reshape", ints(2, 120), shape=(2, 4, 6, 5)),
    "Flatten": one("Flatten"), "Transpose": one("Transpose", perm=[0, 2, 3, 1]),
    "Unsqueeze": one("Unsqueeze", ints(-1, 1)), "Squeeze": one("Squeeze", ints(2), shape=(1, 4, 1, 5)),
    "Concat": ([("Split", (ints(1, 3),), {"axis": 1})], _MAPS, 17, -2.0),
    "Slice": one("Slice", ints(1, 0), ints(99, -1), ints(2, 3), ints(2, 1)),
    "Slice backwards": one("Slice", ints(-1), ints(-99), ints(3), ints(-1)),
    "Slice of all rows": one("Slice", ints(0, 1), ints(1, 3)),
    "Gather": one("Gather", ints(2, 0, -1), axis=1), "Gather one": one("Gather", np.array(1), axis=2),
    "Expand": one("Expand", ints(1, 4, 6, 5), shape=(1, 4, 1, 1)),
    "Tile": one("Tile", ints(1, 1, 2, 3)),
    "ReduceMean": one("ReduceMean", axes=[1, 3]),
    "ReduceMean 18": one("ReduceMean", ints(-1), opset=18, keepdims=0),
    "ReduceSum": one("ReduceSum", ints(2, 3)),
    "Resize nearest": one("Resize", None, floats(1, 1, 2, 3), **UP),
    "Resize nearest, half pixels": one("Resize", None, floats(1, 1, 2, 2), mode="nearest"),
    "Resize to a size": one("Resize", None, None, ints(1, 4, 12, 10), **UP),
    "Resize linear": one("Resize", None, floats(1, 1, 2, 2), mode="linear"),
    "Resize linear to corners": one("Resize", None, None, ints(1, 4, 9, 9), mode="linear",
                                    coordinate_transformation_mode="align_corners"),
    "Resize cubic": one("Resize", None, floats(1, 1, 2, 2), mode="cubic"),
    "Pad": one("Pad", ints(0, 1, 1, 2, 0, 0, 2, 0), floats(0.5).reshape(())),
    "Pad 18 of axes": one("Pad", ints(1, 2), None, ints(3), opset=18),
    "Pad reflect": one("Pad", ints(0, 0, 1, 2, 0, 0, 2, 0), mode="reflect"),
    "Pad edge": one("Pad", ints(0, 0, 0, 2, 0, 0, 0, 1), mode="edge"),
    "DepthToSpace": one("DepthToSpace", blocksize=2),
    "DepthToSpace CRD": one("DepthToSpace", blocksize=2, mode="CRD"),
}  # fmt: skip


def joined(nodes, shape, opset):
    """A Split's parts are joined again, the other way round."""
    model = model_of(nodes, shape, opset)
    split = model.graph.node[-1]
    if split.op_type == "Split":
        del split.output[:]
        split.output.extend(["a", "b"])
        model.graph.node.append(helper.make_node("Concat", ["b", "a"], ["y"], axis=1))
    return model


@pytest.mark.parametrize("case", CASES)
def test_every_operator_is_onnx_runtimes(case):
    nodes, shape, opset, low = CASES[case]
    expected, found = both(joined(nodes, shape, opset), shape, low)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_every_operator_has_a_case():
    assert set(KNOWN) == {node[0] for nodes, *_ in CASES.values() for node in nodes} | {"Concat"}


def test_what_is_made_of_sizes_is_made_once():
    """Maps to rows by their own size, as tracers write it: Shape, Gather, Mul, Unsqueeze, Concat."""
    text = """
    <ir_version: 8, opset_import: ["" : 17]>
    g (float[N, 4, 6, 5] x) => (float[N, K] y)
    {
        zero = Constant <value_int = 0> ()
        one = Constant <value_int = 1> ()
        two = Constant <value_int = 2> ()
        three = Constant <value_int = 3> ()
        first = Constant <value_ints = [0]> ()
        shape = Shape (x)
        n = Gather (shape, zero)
        c = Gather (shape, one)
        h = Gather (shape, two)
        w = Gather (shape, three)
        hw = Mul (h, w)
        chw = Mul (c, hw)
        n1 = Unsqueeze (n, first)
        k1 = Unsqueeze (chw, first)
        sizes = Concat <axis = 0> (n1, k1)
        y = Reshape (x, sizes)
    }"""
    model = onnx.parser.parse_model(text)
    expected, found = both(model, _MAPS)
    assert np.array_equal(expected, found) and found.shape == (3, 120)
    assert [node.op_type for node in with_sizes_folded(fixed(model, _MAPS)).nodes] == ["Reshape"]


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (([("Cast", (), {"to": TensorProto.INT8}), ("Cast", (), {"to": TensorProto.FLOAT})], _MAPS, 17, -2.0),
         "the type INT8 is not known here"),
        (one("Flatten", axis=2), "its axis is 2; expected 1"),
        (one("ReduceMean"), "'node0' is not converted: it goes over all axes"),
        (one("Resize", None, floats(1, 1, 1.5, 1.5), mode="nearest", nearest_mode="ceil"),
         "picks others than PyTorch does"),
        (one("Resize", None, floats(1, 1, 2, 2), mode="linear", coordinate_transformation_mode="asymmetric"),
         "its mode is linear by asymmetric"),
        (one("Resize", None, floats(1, 2, 2, 2), **UP), "its scales are [1.0, 2.0, 2.0, 2.0]"),
        (one("AveragePool", kernel_shape=[2, 2], pads=[0, 0, 1, 1]), "the same border on both sides"),
        (one("Einsum", equation="nchw->nhwc"), "has operators that are not converted to PyTorch, where a "
         "search's gradient is made: Einsum ('node0'); export it from PyTorch with edgefill.export.export_b"),
    ],
)  # fmt: skip
def test_what_is_not_converted_is_refused_by_name(case, words):
    nodes, shape, opset, low = case
    with pytest.raises(ModelError) as error:
        both(model_of(nodes, shape, opset), shape, low)
    assert words in str(error.value) and "export_bundle" in str(error.value)
