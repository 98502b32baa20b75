"""An ONNX file as a PyTorch module that has gradients, in batches of any size."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from onnx import ModelProto, NodeProto, helper
from torch import Tensor, nn

from edgefill.errors import ModelError
from edgefill.export.importing.simplification.constants import drop_no_ops, fold_constants
from edgefill.export.importing.simplification.graph import Graph, Kind, attribute
from edgefill.export.weights.onnx_maps import OPERATORS_OF_MAPS
from edgefill.export.weights.onnx_operators import OPERATORS, Node

KNOWN = OPERATORS | OPERATORS_OF_MAPS
_SHORT = 64  # numbers of a constant that may be an argument, such as a shape
INSTEAD = "export it from PyTorch with edgefill.export.export_bundle"


class OnnxNetwork(nn.Module):
    """The network in ``graph``, with one input and one output; ``rows`` is the batch that its file is of.

    Raises ModelError for operators that are not among KNOWN, by the names of their nodes.
    """

    def __init__(self, graph: Graph, rows: int, name: str) -> None:
        super().__init__()
        (self._input,), (self._output,) = graph.inputs, graph.results
        _check_known(graph, name)
        self._name = name
        self._nodes = [_node(graph, node, rows) for node in graph.nodes]
        self._last = _last_uses(self._nodes, self._output)
        used = {each for node in self._nodes for each in node.inputs if each in graph.constants}
        self._buffer_of = {each: f"weight{at}" for at, each in enumerate(sorted(used))}
        for each, buffer in self._buffer_of.items():
            self.register_buffer(buffer, _tensor(graph.constants[each]))

    def forward(self, x: Tensor) -> Tensor:
        """The output for ``x``, with the batch first."""
        values: dict[str, Tensor] = {self._input: x}
        for at, node in enumerate(self._nodes):
            found = self._run(node, values)
            values.update(zip(node.outputs, found, strict=False))
            for each in self._last.get(at, ()):
                values.pop(each, None)
        return values[self._output]

    def _run(self, node: Node, values: Mapping[str, Tensor]) -> tuple[Tensor, ...]:
        tensors = [self._value(each, values) for each in node.inputs]
        try:
            found = KNOWN[node.kind](node, *tensors)
        except ModelError as error:
            raise ModelError(f"{self._name}: {error}; {INSTEAD}") from error
        return (found,) if isinstance(found, Tensor) else tuple(found)

    def _value(self, name: str, values: Mapping[str, Tensor]) -> Tensor | None:
        if not name:
            return None
        return values[name] if name in values else self.get_buffer(self._buffer_of[name])


def _check_known(graph: Graph, name: str) -> None:
    foreign = {node.op_type: node.name or node.output[0] for node in graph.nodes if node.op_type not in KNOWN}
    if foreign:
        listed = ", ".join(f"{kind} ({where!r})" for kind, where in list(foreign.items())[:5])
        raise ModelError(
            f"{name} has operators that are not converted to PyTorch, where a search's gradient is made: "
            f"{listed}; {INSTEAD}"
        )


def _node(graph: Graph, node: NodeProto, rows: int) -> Node:
    short = {
        at: graph.constants[each]
        for at, each in enumerate(node.input)
        if each in graph.constants and graph.constants[each].size <= _SHORT
    }
    attributes = {each.name: helper.get_attribute_value(each) for each in node.attribute}
    where = node.name or node.output[0]
    return Node(node.op_type, where, tuple(node.input), tuple(node.output), attributes, short, rows)


def _last_uses(nodes: list[Node], output: str) -> dict[int, list[str]]:
    """By the place of each node the values that nothing reads behind it."""
    last = {each: at for at, node in enumerate(nodes) for each in node.inputs if each != output}
    found: dict[int, list[str]] = {}
    for each, at in last.items():
        found.setdefault(at, []).append(each)
    return found


def _tensor(array: np.ndarray) -> Tensor:
    if np.issubdtype(array.dtype, np.floating) or array.dtype.name == "bfloat16":
        array = array.astype(np.float32)
    return torch.from_numpy(np.array(array))  # a copy, which may be written to


def fixed(model: ModelProto, shape: tuple[int, ...]) -> ModelProto:
    """``model`` with an input of ``shape``, and no word of its outputs' sizes."""
    found = ModelProto()
    found.CopyFrom(model)
    (value,) = found.graph.input
    kind = value.type.tensor_type.elem_type
    value.CopyFrom(helper.make_tensor_value_info(value.name, kind, shape))
    for output in found.graph.output:
        output.type.tensor_type.ClearField("shape")
    return found


def with_sizes_folded(model: ModelProto) -> Graph:
    """The graph of ``model``, whose input has known sizes, with all that is made of sizes as constants."""
    graph = Graph(model)
    fold_constants(graph)
    while _fold_shapes(graph):
        fold_constants(graph)
    drop_no_ops(graph)
    return graph


def _fold_shapes(graph: Graph) -> bool:
    """Whether any size that is asked for became a constant."""
    if not any(node.op_type in ("Shape", "Size") for node in graph.nodes):
        return False
    kinds = graph.kinds()
    folded = {
        node.output[0]: value
        for node in graph.nodes
        if node.op_type in ("Shape", "Size") and (value := _size(node, kinds)) is not None
    }
    graph.constants.update(folded)
    graph.nodes = [node for node in graph.nodes if node.output[0] not in folded]
    return bool(folded)


def _size(node: NodeProto, kinds: Mapping[str, Kind]) -> np.ndarray | None:
    shape = kinds.get(node.input[0], (0, None))[1]
    sizes = [size for size in shape or () if size is not None]
    if shape is None or len(sizes) < len(shape):
        return None
    if node.op_type == "Size":
        return np.asarray(math.prod(sizes), np.int64)
    return np.asarray(sizes[attribute(node, "start", 0) : attribute(node, "end")], np.int64)
