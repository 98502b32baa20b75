"""An exported search in fp16: the networks compute in it, the loss head around them stays in fp32."""

from __future__ import annotations

from collections.abc import Set

from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgefill.export.onnx_passes import REDUCTIONS, element_types, replace_nodes, without_unused

CONVOLUTIONS = frozenset({"Conv", "ConvTranspose"})
PRODUCTS = CONVOLUTIONS | {"Gemm", "MatMul"}
_ENDING = "_half"


def networks_in_half(model: ModelProto, multiplying: Set[str] = PRODUCTS) -> ModelProto:
    """A copy of ``model``, one of our own graphs in fp32, whose ``multiplying`` operators are in fp16.

    So does what lies between two of them; sums over many numbers, inputs and outputs stay float32.
    """
    copied = ModelProto()
    copied.CopyFrom(model)
    types = element_types(copied)
    weights = _weights(copied)
    halved = _in_half(copied, types, set(weights), multiplying)
    nodes: list[NodeProto] = []
    narrow: set[str] = set()  # names that have an fp16 form by now
    for number, node in enumerate(copied.graph.node):
        if number not in halved:
            nodes.append(node)
            continue
        for place, name in enumerate(node.input):
            if types.get(name) == TensorProto.FLOAT:
                if name not in narrow:
                    nodes += _narrowed(copied, name, weights)
                    narrow.add(name)
                node.input[place] = f"{name}{_ENDING}"
        results = [name for name in node.output if types.get(name) == TensorProto.FLOAT]
        node.output[:] = [f"{name}{_ENDING}" if name in results else name for name in node.output]
        nodes.append(node)
        narrow.update(results)
        nodes += [_cast(f"{name}{_ENDING}", name, TensorProto.FLOAT) for name in results]
    replace_nodes(copied, nodes)
    without_unused(copied)
    return copied


def _weights(model: ModelProto) -> dict[str, TensorProto]:
    """The constants by name, those that are stored in fp16 by the name of their cast too."""
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    casts = {
        node.output[0]: stored[node.input[0]]
        for node in model.graph.node
        if node.op_type == "Cast" and node.input[0] in stored
    }
    return {**stored, **casts}


def _in_half(model: ModelProto, types: dict[str, int], constant: set[str], multiplying: Set[str]) -> set[int]:
    """The numbers of the nodes that may compute in fp16: what multiplies, and what passes on its results.

    What nothing in fp16 reads, such as the end of D, is part of the loss head.
    """
    nodes, made, halved = list(model.graph.node), set[str](), set[int]()
    for number, node in enumerate(nodes):
        given = [name for name in node.input if types.get(name) == TensorProto.FLOAT and name not in constant]
        passes_on = node.op_type not in REDUCTIONS | {"Cast", "Shape"} and made.issuperset(given)
        if node.op_type in multiplying or (given and passes_on):
            halved.add(number)
            made.update(node.output)
    read = {name for node in nodes if node.op_type in multiplying for name in node.input}
    for number, node in reversed(list(enumerate(nodes))):
        if number in halved and (node.op_type in multiplying or read.intersection(node.output)):
            read.update(node.input)
        else:
            halved.discard(number)
    return halved


def _narrowed(model: ModelProto, name: str, weights: dict[str, TensorProto]) -> list[NodeProto]:
    """The nodes that make the fp16 form of ``name``; none for a constant, which is stored in it."""
    if name not in weights:
        return [_cast(name, f"{name}{_ENDING}", TensorProto.FLOAT16)]
    values = numpy_helper.to_array(weights[name]).astype("float16")
    model.graph.initializer.append(numpy_helper.from_array(values, f"{name}{_ENDING}"))
    return []


def _cast(source: str, target: str, kind: int) -> NodeProto:
    return helper.make_node("Cast", [source], [target], to=kind)
