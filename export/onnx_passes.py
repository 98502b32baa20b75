"""What is done to an exported ONNX model before it is anybody's: small passes, each of one purpose."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgefill.errors import ModelError

# Operators that add many numbers: in fp16 they run in fp32 between two casts.
REDUCTIONS = {
    "AveragePool", "GlobalAveragePool", "GroupNormalization", "InstanceNormalization", "LayerNormalization",
    "LogSoftmax", "ReduceL1", "ReduceL2", "ReduceMean", "ReduceSum", "ReduceSumSquare", "Softmax",
}  # fmt: skip
_FORBIDDEN = {"Col2Im", "Loop", "If", "Scan"}
_SCATTERING = {"ScatterND", "ScatterElements"}
_STORED_IN_HALF = 1024  # Tensors with at least this many elements are stored in fp16 when asked.


def strip_traces(model: ModelProto) -> None:
    """Removes stack traces, paths and producer notes: equal networks give equal bytes."""
    model.doc_string = ""
    model.producer_name, model.producer_version = "edgefill", ""
    graph = model.graph
    del graph.value_info[:]
    graph.doc_string = ""
    for part in (graph, *graph.node, *graph.input, *graph.output, *graph.initializer):
        part.doc_string = ""
        del part.metadata_props[:]
    for index, node in enumerate(graph.node):
        node.name = f"{node.op_type}_{index}"


def write_metadata(model: ModelProto, metadata: Mapping[str, str]) -> None:
    del model.metadata_props[:]
    for key in sorted(metadata):
        model.metadata_props.add(key=key, value=metadata[key])


def batch_of_first_input(model: ModelProto) -> None:
    """The batch size is read once, from the first input that has one, wherever tracing took it from.

    So no graph needs an input for its shape alone.
    """
    shapes = {value.name: value.type.tensor_type.shape.dim for value in model.graph.input}
    inputs = [name for name, shape in shapes.items() if shape and shape[0].dim_param == "N"]
    read: list[str] = []  # the first that reads it, and those in whose place it is taken
    kept = []
    for node in model.graph.node:
        node.input[:] = [read[0] if name in read else name for name in node.input]
        sizes = {item.name: item.i for item in node.attribute}
        if node.op_type == "Shape" and node.input[0] in inputs and sizes == {"start": 0, "end": 1}:
            node.input[0] = inputs[0]
            read.append(node.output[0])
            if len(read) > 1:
                continue
        kept.append(node)
    replace_nodes(model, kept)


def without_identities(model: ModelProto) -> None:
    """Whoever reads a copy reads the original: TensorRT copies no uint8."""
    outputs = {value.name for value in model.graph.output}
    originals: dict[str, str] = {}
    kept = []
    for node in model.graph.node:
        node.input[:] = [originals.get(name, name) for name in node.input]
        if node.op_type == "Identity" and node.output[0] not in outputs:
            originals[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    replace_nodes(model, kept)


def without_output_padding(model: ModelProto) -> None:
    """``output_padding`` of a ConvTranspose becomes shorter end pads: the same numbers, in TensorRT too.

    What exceeds the end pads lies beyond every input and holds the bias alone: it is padded afterwards.
    """
    nodes = []
    for node in model.graph.node:
        nodes.append(node)
        extra = _attribute(node, "output_padding", [])
        if node.op_type != "ConvTranspose" or not extra:
            continue
        pads = _attribute(node, "pads", [0] * (2 * len(extra)))
        ends = [pad - more for pad, more in zip(pads[len(extra) :], extra, strict=True)]
        _remove_attribute(node, "output_padding")
        _set_attribute(node, "pads", pads[: len(extra)] + [max(end, 0) for end in ends])
        if min(ends) < 0:
            nodes += _pad_behind(model, node, [max(-end, 0) for end in ends])
    replace_nodes(model, nodes)


def _pad_behind(model: ModelProto, node: NodeProto, excess: list[int]) -> list[NodeProto]:
    """The nodes that grow the output of a ConvTranspose at its end, by zeros to which its bias is added."""
    output, bias = node.output[0], node.input[2] if len(node.input) > 2 else ""
    padded = f"{output}_padded" if bias else output
    node.output[0] = f"{output}_cropped"
    sizes = np.array([0] * (2 + len(excess)) + [0, 0, *excess], np.int64)
    model.graph.initializer.append(numpy_helper.from_array(sizes, f"{output}_pads"))
    nodes = [helper.make_node("Pad", [node.output[0], f"{output}_pads"], [padded])]
    if bias:
        del node.input[2]
        axes = np.array([0, *range(2, 2 + len(excess))], np.int64)
        model.graph.initializer.append(numpy_helper.from_array(axes, f"{output}_axes"))
        column = f"{output}_bias"
        nodes.append(helper.make_node("Unsqueeze", [bias, f"{output}_axes"], [column]))
        nodes.append(helper.make_node("Add", [padded, column], [output]))
    return nodes


def reductions_in_fp32(model: ModelProto) -> None:
    """Every reduction over fp16 values is done in fp32."""
    types = element_types(model)
    nodes = []
    for node in model.graph.node:
        if node.op_type not in REDUCTIONS or types.get(node.output[0]) != TensorProto.FLOAT16:
            nodes.append(node)
            continue
        for index, name in enumerate(node.input):
            if types.get(name) == TensorProto.FLOAT16:
                wide = f"{name}_fp32_for_{node.output[0]}"
                nodes.append(helper.make_node("Cast", [name], [wide], to=TensorProto.FLOAT))
                node.input[index] = wide
        narrow = node.output[0]
        node.output[0] = f"{narrow}_fp32"
        nodes += [node, helper.make_node("Cast", [node.output[0]], [narrow], to=TensorProto.FLOAT16)]
    replace_nodes(model, nodes)


def store_weights_in_half(model: ModelProto) -> None:
    """Large fp32 weights are stored in fp16 with a cast behind them; runtimes fold it when they load.

    Loses nothing where the weights were rounded to fp16 before, which the caller is to do.
    """
    casts = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type != TensorProto.FLOAT or values.size < _STORED_IN_HALF:
            continue
        half = values.astype(np.float16)
        if not np.array_equal(half.astype(np.float32), values):
            continue
        name = tensor.name
        tensor.CopyFrom(numpy_helper.from_array(half, f"{name}_fp16"))
        casts.append(helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    replace_nodes(model, casts + list(model.graph.node))


def check_standard(model: ModelProto) -> None:
    """Raises ModelError unless the graph is flat, valid and made of operators that every backend takes."""
    refused = first_not_standard(model)
    if refused:
        raise ModelError(
            f"{refused} becomes an operator that not every backend runs; replace the layer that uses it, or "
            "give edgefill.export.decompositions a form of it"
        )


def first_not_standard(model: ModelProto, *, allow_scatter: bool = False) -> str:
    """The PyTorch operator, such as aten.col2im, that became a node which not every backend runs; or "".

    Raises onnx's own error where the graph is not valid.
    """
    for node in model.graph.node:
        scatters = node.op_type in _SCATTERING and not allow_scatter
        if node.domain not in ("", "ai.onnx") or node.op_type in _FORBIDDEN or scatters:
            return _torch_operator(node)
    onnx.checker.check_model(model)
    return ""


def _torch_operator(node: NodeProto) -> str:
    """The PyTorch operator that the exporter noted behind the node's name scopes."""
    scopes = next((entry.value for entry in node.metadata_props if entry.key == "namespace"), node.name)
    return scopes.rpartition(": ")[2] or f"{node.domain}.{node.op_type}"


def replace_nodes(model: ModelProto, nodes: list[NodeProto]) -> None:
    """Puts copies of ``nodes`` in place of the graph's: protobuf lists copy what they are given."""
    copies = [NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)


def _attribute(node: NodeProto, name: str, default: list[int]) -> list[int]:
    return next((list(item.ints) for item in node.attribute if item.name == name), default)


def _set_attribute(node: NodeProto, name: str, values: list[int]) -> None:
    _remove_attribute(node, name)
    node.attribute.append(helper.make_attribute(name, values, attr_type=AttributeProto.INTS))


def _remove_attribute(node: NodeProto, name: str) -> None:
    kept = [item for item in node.attribute if item.name != name]
    del node.attribute[:]
    node.attribute.extend(kept)


def without_unused(model: ModelProto) -> None:
    """Leaves out nodes and constants that no output depends on."""
    read = {value.name for value in model.graph.output}
    kept = []
    for node in reversed(model.graph.node):
        if read.intersection(node.output):
            read.update(node.input)
            kept.append(node)
    replace_nodes(model, kept[::-1])
    constants = [tensor for tensor in model.graph.initializer if tensor.name in read]
    copies = [TensorProto.FromString(tensor.SerializeToString()) for tensor in constants]
    del model.graph.initializer[:]
    model.graph.initializer.extend(copies)


def element_types(model: ModelProto) -> dict[str, int]:
    """The type of each value of the graph, where it can be told."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    values = (*graph.value_info, *graph.input, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    return types | {tensor.name: tensor.data_type for tensor in graph.initializer}
