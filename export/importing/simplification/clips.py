"""Clips that never bite: by what is before them, or by far more than any picture asks for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
from onnx import NodeProto, TensorProto, helper

from edgefill.export.importing.network import Network
from edgefill.export.importing.simplification.graph import Graph

_MARGIN = 4.0  # times what the feed makes, which a Clip has to leave room for
_FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.DOUBLE}
_ENDS = {"Sigmoid": (0.0, 1.0), "HardSigmoid": (0.0, 1.0), "Softmax": (0.0, 1.0), "Tanh": (-1.0, 1.0)}
_SAME_VALUES = {"Flatten", "MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"}
_DEPTH = 8  # nodes before a Clip that are looked at
Ends = tuple[float, float]


def drop_clips(graph: Graph, feed: Mapping[str, np.ndarray] | None) -> None:
    """Takes out the Clips that cannot bite, and those that stay _MARGIN away from biting on ``feed``."""
    kinds = graph.kinds()
    clips = [
        node
        for node in graph.nodes
        if node.op_type == "Clip"
        and _bounds(graph, node)
        and kinds.get(node.input[0], (0, None))[0] in _FLOATS
    ]
    producers = graph.producers()
    left = []
    for node in clips:
        bounds = _bounds(graph, node)
        least, most = _proven(graph, node.input[0], producers)
        if bounds and bounds[0] <= least and most <= bounds[1]:
            graph.remove(node)
        else:
            left.append(node)
    if feed is None or not left:
        return
    found = _measured(graph, [node.input[0] for node in left], feed)
    for node in left:
        bounds = _bounds(graph, node)
        if bounds and _is_far(found[node.input[0]], bounds):
            graph.remove(node)


def _bounds(graph: Graph, node: NodeProto) -> Ends | None:
    """What a Clip keeps its input within; None where that is not the same for every picture."""
    ends = []
    for name, open_end in zip([*node.input[1:], "", ""], (-np.inf, np.inf), strict=False):
        end = graph.number(name) if name else open_end
        if end is None:
            return None
        ends.append(end)
    return ends[0], ends[1]


def _proven(graph: Graph, name: str, producers: Mapping[str, NodeProto], depth: int = _DEPTH) -> Ends:
    """Between what the value ``name`` lies, whatever the picture."""
    node = producers.get(name)
    if node is None or depth == 0:
        return -np.inf, np.inf
    if node.op_type in _ENDS:
        return _ENDS[node.op_type]
    if node.op_type == "Relu":
        return max(0.0, _proven(graph, node.input[0], producers, depth - 1)[0]), np.inf
    if node.op_type in _SAME_VALUES:
        return _proven(graph, node.input[0], producers, depth - 1)
    bounds = _bounds(graph, node) if node.op_type == "Clip" else None
    if bounds is None:
        return -np.inf, np.inf
    inner = _proven(graph, node.input[0], producers, depth - 1)
    least, most = (float(np.clip(end, *bounds)) for end in inner)
    return least, most


def _measured(graph: Graph, names: list[str], feed: Mapping[str, np.ndarray]) -> dict[str, Ends]:
    """The least and the most of each of ``names`` when the network is given ``feed``."""
    probe, wanted = graph.model(), set(names)
    own = list(probe.graph.node)
    given = [value.name for value in probe.graph.input]
    del probe.graph.output[:], probe.graph.node[:]

    def probed(values: Iterable[str]) -> None:  # where they are made, so that none is held for longer
        for name in wanted.intersection(values):
            for kind in ("ReduceMin", "ReduceMax"):
                output = f"{kind} of {name}"
                probe.graph.node.append(helper.make_node(kind, [name], [output], keepdims=0))
                probe.graph.output.append(helper.make_empty_tensor_value_info(output))

    probed(given)
    for node in own:
        probe.graph.node.append(node)
        probed(node.output)
    found = Network(probe, "the network").run(feed)
    return {
        name: (float(found[f"ReduceMin of {name}"]), float(found[f"ReduceMax of {name}"])) for name in names
    }


def _is_far(found: Ends, bounds: Ends) -> bool:
    """Whether ``bounds`` leave room for _MARGIN times ``found``; a bound at 0 says what a value means."""
    (least, most), (low, high) = found, bounds
    below = low == -np.inf or (low < 0 and -least * _MARGIN <= -low)
    above = high == np.inf or (high > 0 and most * _MARGIN <= high)
    return bool(np.isfinite(found).all()) and below and above
