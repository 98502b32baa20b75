"""A network of one size for pictures of another one: what fixes the size is cut, where that is all there is.

Networks of convolutions alone are exported for one size when constants lie over their maps: noise that was
drawn once, or a pattern. A part of such a constant is as good for a smaller map. Whether the network still
completes pictures is for the trial to say.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from edgefill.errors import InputError, ModelError
from edgefill.export.importing.declaring import declared
from edgefill.export.importing.simplification.graph import Graph, Kind, attribute
from edgefill.model.interface import Interface, Sizes

_LAID_OVER = ("Add", "Sub", "Mul", "Div")


def resized(model: ModelProto, interface: Interface, side: int, name: str) -> tuple[ModelProto, Interface]:
    """``model``, which takes pictures of one size, for those of ``side`` by ``side``; and its interface.

    Raises InputError where it takes any size, or a smaller one; ModelError where a map of it would end
    within a cell.
    """
    fixed = interface.sizes.fixed
    if fixed is None:
        raise InputError(f"{name} takes pictures of any size; found --size {side}: leave it out")
    if side > min(fixed):
        raise InputError(
            f"{name} takes pictures of {fixed[0]}×{fixed[1]}; found --size {side}: what lies over its maps "
            f"can be cut, and not made larger; expected {min(fixed)} at most"
        )
    graph = Graph(declared(model, interface))
    constants, kinds = _constants(graph), graph.kinds()
    for node in graph.nodes:
        if node.op_type in _LAID_OVER:
            _cut(graph, node, constants, kinds, fixed, side, name)
    smaller = replace(interface, sizes=Sizes(fixed=(side, side)), trained_side=side)
    return declared(graph.model(), smaller), smaller


def _constants(graph: Graph) -> dict[str, np.ndarray]:
    """By their names; also those that a node holds, or passes on."""
    found = dict(graph.constants)
    for node in graph.nodes:
        if node.op_type == "Constant" and (held := attribute(node, "value")) is not None:
            found[node.output[0]] = numpy_helper.to_array(held)
        elif node.op_type == "Identity" and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def _cut(
    graph: Graph,
    node: NodeProto,
    constants: Mapping[str, np.ndarray],
    kinds: Mapping[str, Kind],
    fixed: tuple[int, int],
    side: int,
    name: str,
) -> None:
    """Where ``node`` lays a constant over a map, puts the constant's part for ``side`` in its place."""
    shape = kinds.get(node.output[0], (0, None))[1]
    for place, constant in enumerate(node.input):
        whole = constants.get(constant)
        if whole is None or shape is None or whole.ndim < 2 or list(whole.shape[-2:]) != shape[-2:]:
            continue
        sides = [each * side / old for each, old in zip(whole.shape[-2:], fixed, strict=True)]
        if not all(each.is_integer() for each in sides):
            raise ModelError(
                f"{name} cannot take pictures of {side}×{side}: its map of {'×'.join(map(str, shape[-2:]))} "
                f"would be {sides[0]:g}×{sides[1]:g}; choose a --size that divides {min(fixed)}"
            )
        rows, columns = (slice(int(each)) for each in sides)
        node.input[place] = graph.add_constant(whole[..., rows, columns])
