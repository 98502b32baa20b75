"""The inputs and outputs of a graph as an interface has them: what a bundle checks when it is opened."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, helper

from edgefill.model.interface import Interface

_LARGE = 4096  # bytes; smaller weights may be shapes


def declared(model: ModelProto, interface: Interface) -> ModelProto:
    """A copy of ``model`` whose inputs and one output are declared as those of ``interface``.

    Nodes and weights that this output does not need are left out.
    """
    found = ModelProto()
    found.CopyFrom(model)
    graph = found.graph
    inputs, outputs = interface.signature
    for field, shapes in ((graph.input, inputs), (graph.output, outputs)):
        del field[:]
        for name, shape in shapes.items():
            kind = helper.np_dtype_to_tensor_dtype(np.dtype(interface.dtypes[name]))
            field.append(helper.make_tensor_value_info(name, kind, shape))
    del graph.value_info[:]
    keep_what_is_needed(found)
    return found


def without_large_weights(model: ModelProto) -> ModelProto:
    """A copy of ``model`` whose large weights are inputs: all that shapes need, and quick to copy."""
    found = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = found.graph
    graph.name = model.graph.name
    graph.node.extend(model.graph.node)
    graph.input.extend(model.graph.input)
    graph.output.extend(model.graph.output)
    for tensor in model.graph.initializer:
        if len(tensor.raw_data) > _LARGE:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            graph.initializer.append(tensor)
    return found


def keep_what_is_needed(model: ModelProto) -> None:
    """Removes from ``model`` the nodes and weights that none of its outputs needs."""
    needed = {value.name for value in model.graph.output}
    nodes = []
    for node in reversed(model.graph.node):
        if needed.intersection(node.output):
            needed.update(node.input)
            nodes.append(node)
    weights = [tensor for tensor in model.graph.initializer if tensor.name in needed]
    for field, kept in ((model.graph.node, nodes[::-1]), (model.graph.initializer, weights)):
        del field[:]
        field.extend(kept)
