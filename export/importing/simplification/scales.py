"""Multiplications by one positive number, folded back into the weights that made what they multiply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto

from edgefill.export.importing.simplification.graph import Graph, Kind, attribute, constant_second

# f(c x) = c f(x) for c > 0; what else these take says where, not how much
_HOMOGENEOUS = {
    "Abs", "AveragePool", "DepthToSpace", "Expand", "Flatten", "Gather", "GlobalAveragePool", "GlobalMaxPool",
    "Identity", "LeakyRelu", "MaxPool", "Neg", "PRelu", "ReduceMax", "ReduceMean", "ReduceSum", "Relu",
    "Reshape", "Resize", "Slice", "SpaceToDepth", "Squeeze", "Tile", "Transpose", "Unsqueeze",
}  # fmt: skip
_SUMS = {"Add", "Sub", "Sum", "Concat"}
_WEIGHTED = {"Conv": (1, 2), "ConvTranspose": (1, 2), "Gemm": (1, 2), "MatMul": (1,)}  # weights and biases


@dataclass(frozen=True)
class _Fold:
    """A constant input of a node that is to be multiplied."""

    node: NodeProto
    place: int


def fold_scales(graph: Graph) -> None:
    """Takes out every factor that can go into weights, biases and other constants before it."""
    kinds = graph.kinds()
    found = True
    while found:
        found = False
        for node in list(graph.nodes):
            factor = _factor(graph, node, kinds)
            if factor is None:
                continue
            folds = _Search(graph).folds(node.input[0], node)
            if folds is not None and graph.remove(node):
                _multiply(graph, folds, factor)
                found = True


def _factor(graph: Graph, node: NodeProto, kinds: Mapping[str, Kind]) -> float | None:
    """The positive number by which ``node`` multiplies its first input, where it does nothing else."""
    if node.op_type not in ("Mul", "Div"):
        return None
    value = constant_second(graph, node)
    if value is None or value.size != 1 or value.dtype.kind != "f":
        return None
    shape = kinds.get(node.input[0], (0, None))[1]
    widens = value.ndim > 0 and (shape is None or value.ndim > len(shape))
    number = float(value.reshape(()))
    if widens or not np.isfinite(number) or number <= 0:
        return None
    return number if node.op_type == "Mul" else 1 / number


def _multiply(graph: Graph, folds: list[_Fold], factor: float) -> None:
    for fold in folds:
        array = graph.constants[fold.node.input[fold.place]]
        scaled = (array.astype(np.float64) * factor).astype(array.dtype)
        fold.node.input[fold.place] = graph.add_constant(scaled)


class _Search:
    """Looks for the constants by which all that makes a value can be multiplied."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._producers, self._consumers = graph.producers(), graph.consumers()
        self._seen: set[str] = set()

    def folds(self, name: str, user: NodeProto) -> list[_Fold] | None:
        """Those that multiply ``name``, which ``user`` alone may read; None where there is no such way."""
        if name in self._seen:
            return None  # reached twice, it would be multiplied twice
        self._seen.add(name)
        if name in self._graph.constants:
            return self._constants(user, [list(user.input).index(name)])
        node = self._producers.get(name)
        is_only_here = len(self._consumers.get(name, ())) == 1 and name not in self._graph.results
        if node is None or not is_only_here or len(node.output) != 1:
            return None
        return self._through(node)

    def _through(self, node: NodeProto) -> list[_Fold] | None:
        kind = node.op_type
        if kind in _WEIGHTED:
            return self._constants(node, [place for place in _WEIGHTED[kind] if _has(node, place)])
        if kind in _SUMS:
            return self._all_of(node)
        if kind in ("Mul", "Div"):
            constant = next((place for place in self._factors(node) if self._is_constant(node, place)), None)
            return self.folds(node.input[0], node) if constant is None else self._constants(node, [constant])
        if kind == "Pad":
            value = self._graph.number(node.input[2]) if _has(node, 2) else 0
            zeros = attribute(node, "mode", b"constant") != b"constant" or value == 0
            return self.folds(node.input[0], node) if zeros else None
        if kind == "Resize" and attribute(node, "coordinate_transformation_mode") == b"tf_crop_and_resize":
            return None  # it draws a value of its own outside
        return self.folds(node.input[0], node) if kind in _HOMOGENEOUS else None

    @staticmethod
    def _factors(node: NodeProto) -> tuple[int, ...]:
        """The inputs of which one, multiplied, multiplies a product or a quotient."""
        return (0, 1) if node.op_type == "Mul" else (0,)

    def _is_constant(self, node: NodeProto, place: int) -> bool:
        return node.input[place] in self._graph.constants

    def _all_of(self, node: NodeProto) -> list[_Fold] | None:
        """Each term of a sum has to be multiplied."""
        found: list[_Fold] = []
        for name in node.input:
            folds = self.folds(name, node)
            if folds is None:
                return None
            found += folds
        return found

    def _constants(self, node: NodeProto, places: list[int]) -> list[_Fold] | None:
        """Those inputs of ``node``, if all are constants of a type with room for a factor."""
        for place in places:
            array = self._graph.constants.get(node.input[place])
            if array is None or array.dtype not in (np.float32, np.float64):
                return None
        return [_Fold(node, place) for place in places]


def _has(node: NodeProto, place: int) -> bool:
    return len(node.input) > place and bool(node.input[place])
