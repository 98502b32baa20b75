"""What is the same for every picture becomes a constant; what changes nothing goes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from edgefill.export.importing.simplification.graph import Graph, Kind, attribute, constant_second

_LARGEST = 1 << 20  # values of a folded constant, unless what it is made of has as many
_KEPT = {"Bernoulli", "DequantizeLinear", "Dropout", "Multinomial", "QuantizeLinear"}  # and what is random
_NEUTRAL = {"Add": 0, "Sub": 0, "Mul": 1, "Div": 1}


def fold_constants(graph: Graph) -> None:
    """Every node that is made of constants becomes one, unless it grows large."""
    for node in list(graph.nodes):
        if len(node.output) != 1 or node.output[0] in graph.results or not _is_constant(graph, node):
            continue
        value = _own_value(node) if node.op_type == "Constant" else _computed(graph, node)
        if value is None or value.size > max(
            _LARGEST, *(graph.constants[name].size for name in _inputs(node)), 0
        ):
            continue
        graph.constants[node.output[0]] = value
        graph.nodes = [each for each in graph.nodes if each is not node]


def _inputs(node: NodeProto) -> list[str]:
    return list(dict.fromkeys(name for name in node.input if name))


def _is_constant(graph: Graph, node: NodeProto) -> bool:
    if node.op_type == "Constant":
        return True
    varies = node.op_type in _KEPT or node.op_type.startswith("Random")
    return not varies and bool(node.input) and all(name in graph.constants for name in _inputs(node))


def _own_value(node: NodeProto) -> np.ndarray | None:
    (found,) = node.attribute
    value = helper.get_attribute_value(found)
    if found.name == "value":
        return numpy_helper.to_array(value)
    dtypes = {
        "value_float": np.float32,
        "value_floats": np.float32,
        "value_int": np.int64,
        "value_ints": np.int64,
    }
    return np.asarray(value, dtypes[found.name]) if found.name in dtypes else None


def _computed(graph: Graph, node: NodeProto) -> np.ndarray | None:
    """What ``node`` makes of constants; None where the reference cannot compute it."""
    weights = [
        numpy_helper.from_array(np.asarray(graph.constants[name], order="C"), name) for name in _inputs(node)
    ]
    output = helper.make_empty_tensor_value_info(node.output[0])
    model = helper.make_model(helper.make_graph([node], "constant", [], [output], weights), **graph.versions)
    try:
        (value,) = ReferenceEvaluator(model).run(None, {})
    except Exception:  # noqa: BLE001  (an operator that it lacks stays in the graph)
        return None
    return np.asarray(value)


def drop_no_ops(graph: Graph) -> None:
    """Takes out the nodes that return what they are given."""
    kinds = graph.kinds()
    for node in list(graph.nodes):
        if node.input and _is_no_op(graph, node, kinds):
            graph.remove(node)


def _is_no_op(graph: Graph, node: NodeProto, kinds: Mapping[str, Kind]) -> bool:
    kind = node.op_type
    if kind == "Identity":
        return True
    if kind == "Dropout":
        return len(node.output) == 1 and (len(node.input) < 3 or graph.number(node.input[2]) == 0)
    if kind == "Cast":
        return bool(kinds.get(node.input[0], (None, None))[0] == attribute(node, "to"))
    if kind == "Pad":
        pads = graph.constants.get(node.input[1])
        return pads is not None and not pads.any()
    if kind == "Transpose":
        order = attribute(node, "perm")
        return order is not None and list(order) == sorted(order)
    return kind in _NEUTRAL and _adds_nothing(graph, node, kinds)


def _adds_nothing(graph: Graph, node: NodeProto, kinds: Mapping[str, Kind]) -> bool:
    """Whether ``node`` adds 0 or multiplies by 1 without making its first input wider."""
    value = constant_second(graph, node)
    if value is None or not value.size or not np.all(value == _NEUTRAL[node.op_type]):
        return False
    shape = kinds.get(node.input[0], (0, None))[1]
    if shape is None or value.ndim > len(shape):
        return False
    sides = zip(value.shape[::-1], shape[::-1], strict=False)
    return all(own in (1, other) for own, other in sides)
