"""An ONNX graph that is being changed: its nodes in order, its constants as arrays."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper, shape_inference

from edgefill.export.importing.declaring import keep_what_is_needed, without_large_weights

Kind = tuple[int, list[int | None] | None]  # a value's element type, and its shape as far as it is known


class Graph:
    """``model`` with one flat graph whose weights are no inputs."""

    def __init__(self, model: ModelProto) -> None:
        self._model = ModelProto()
        self._model.CopyFrom(model)
        self.nodes: list[NodeProto] = list(self._model.graph.node)
        self.constants = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
        self.inputs = {value.name for value in model.graph.input}
        self.results = {value.name for value in model.graph.output}
        self.versions = {"opset_imports": model.opset_import, "ir_version": model.ir_version}
        self._fresh = 0

    def producers(self) -> dict[str, NodeProto]:
        """By the name of each value the node that makes it."""
        return {name: node for node in self.nodes for name in node.output if name}

    def consumers(self) -> dict[str, list[NodeProto]]:
        """By the name of each value the nodes that read it, once for each time."""
        found: dict[str, list[NodeProto]] = {}
        for node in self.nodes:
            for name in node.input:
                found.setdefault(name, []).append(node)
        return found

    def kinds(self) -> dict[str, Kind]:
        """The type and shape of each value that can be told."""
        model = without_large_weights(self.model())
        with suppress(shape_inference.InferenceError, ValueError, RuntimeError):  # then less is known
            model = shape_inference.infer_shapes(model)
        found: dict[str, Kind] = {}
        for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
            tensor = value.type.tensor_type
            shape = [each.dim_value if each.HasField("dim_value") else None for each in tensor.shape.dim]
            found[value.name] = (tensor.elem_type, shape if tensor.HasField("shape") else None)
        for name, array in self.constants.items():
            found[name] = helper.np_dtype_to_tensor_dtype(array.dtype), list(array.shape)
        return found

    def number(self, name: str) -> float | None:
        """The one number that the constant ``name`` is, or None."""
        array = self.constants.get(name)
        return float(array.reshape(())) if array is not None and array.size == 1 else None

    def add_constant(self, array: np.ndarray) -> str:
        """Its name, a new one: constants that others share are never changed."""
        self._fresh += 1
        name = f"simplified_{self._fresh}"
        self.constants[name] = array
        return name

    def remove(self, node: NodeProto) -> bool:
        """Takes out ``node``, whose output is its first input; False where a name stands in the way."""
        source, name = node.input[0], node.output[0]
        if name in self.results and source in {*self.inputs, *self.results, *self.constants}:
            return False
        self.nodes = [each for each in self.nodes if each is not node]
        old, new = (source, name) if name in self.results else (name, source)
        for each in self.nodes:
            each.input[:] = [new if value == old else value for value in each.input]
            each.output[:] = [new if value == old else value for value in each.output]
        return True

    def model(self) -> ModelProto:
        """The model as it is now, with what its outputs need only."""
        found = ModelProto()
        found.CopyFrom(self._model)
        graph = found.graph
        for field in (graph.node, graph.initializer, graph.value_info):
            del field[:]
        graph.node.extend(self.nodes)
        used = {name for node in self.nodes for name in node.input}
        graph.initializer.extend(
            numpy_helper.from_array(np.asarray(array, order="C"), name)
            for name, array in self.constants.items()
            if name in used
        )
        keep_what_is_needed(found)
        return found


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """The value of ``node``'s attribute ``name``."""
    found = (onnx.helper.get_attribute_value(each) for each in node.attribute if each.name == name)
    return next(found, default)


def constant_second(graph: Graph, node: NodeProto) -> np.ndarray | None:
    """The constant that ``node`` takes, as its second input; None unless just one of both is constant."""
    first, second = node.input
    if node.op_type in ("Add", "Mul") and first in graph.constants and second not in graph.constants:
        node.input[0], node.input[1] = second, first
    if node.input[0] in graph.constants:
        return None
    return graph.constants.get(node.input[1])
