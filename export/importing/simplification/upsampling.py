"""Doubling as StyleGAN's descendants export it, in a quarter of the memory's way.

They repeat each cell 2×2, multiply by a grid that leaves one of four, and smooth with a 4×4 kernel. Where
that kernel is (1, 3, 3, 1) in both directions, or of its kind, a 3×3 kernel on the repeated cells does the
same, at the border too.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto, helper

from edgefill.export.importing.simplification.graph import Graph, attribute

_EXACT = 1e-6  # of a kernel's largest weight
_AROUND = [2, 2, 1, 1]  # zeros before and after rows and columns, which keep the size


def narrow_upsampling(graph: Graph) -> None:
    """Each Resize, Mul, (Pad,) Conv of that form becomes Resize, Conv."""
    producers, consumers, kinds = graph.producers(), graph.consumers(), graph.kinds()
    for conv in list(graph.nodes):
        weight = graph.constants.get(conv.input[1]) if conv.op_type == "Conv" else None
        if weight is None or weight.shape[1:] != (1, 4, 4) or weight.dtype != np.float32:
            continue
        chain = _chain(graph, conv, producers)
        if chain is None or any(len(consumers[node.output[0]]) > 1 for node in chain):
            continue
        resize, stuffing = chain[0], chain[1]
        if not _doubles(graph, resize) or not _leaves_one_of_four(
            graph, stuffing, kinds.get(resize.input[0])
        ):
            continue
        kernel = _on_repeated(weight)
        if kernel is not None and not {node.output[0] for node in chain} & graph.results:
            _replace(conv, resize.output[0], graph.add_constant(kernel))


def _chain(graph: Graph, conv: NodeProto, producers: Mapping[str, NodeProto]) -> list[NodeProto] | None:
    """The Resize, the Mul and, where there is one, the Pad before ``conv``; None for any other form."""
    plain = {"auto_pad": b"NOTSET", "strides": [1, 1], "dilations": [1, 1]}
    plain["group"] = graph.constants[conv.input[1]].shape[0]
    if any(attribute(conv, name, value) != value for name, value in plain.items()):
        return None
    pads, node, chain = list(attribute(conv, "pads", [0] * 4)), producers.get(conv.input[0]), []
    if node is not None and node.op_type == "Pad":
        around = _zeros(graph, node)
        if around is None:
            return None
        chain.append(node)
        pads = [own + more for own, more in zip(pads, around, strict=True)]
        node = producers.get(node.input[0])
    if node is None or node.op_type != "Mul" or pads != _AROUND:
        return None
    if node.input[0] in graph.constants:
        node.input[0], node.input[1] = node.input[1], node.input[0]
    resize = producers.get(node.input[0])
    return None if resize is None or resize.op_type != "Resize" else [resize, node, *chain]


def _zeros(graph: Graph, pad: NodeProto) -> list[int] | None:
    """How many zeros ``pad`` puts before and after rows and columns: [top, left, bottom, right]."""
    around = graph.constants.get(pad.input[1])
    value = graph.number(pad.input[2]) if len(pad.input) > 2 and pad.input[2] else 0
    if around is None or around.size != 8 or value != 0 or attribute(pad, "mode", b"constant") != b"constant":
        return None
    sides = [int(each) for each in around]
    return None if any(sides[:2] + sides[4:6]) else sides[2:4] + sides[6:]


def _doubles(graph: Graph, resize: NodeProto) -> bool:
    """Whether ``resize`` repeats each cell 2×2."""
    scales = graph.constants.get(resize.input[2]) if len(resize.input) > 2 else None
    return (
        scales is not None
        and scales.tolist() == [1, 1, 2, 2]
        and attribute(resize, "mode", b"nearest") == b"nearest"
        and attribute(resize, "coordinate_transformation_mode") == b"asymmetric"
        and attribute(resize, "nearest_mode") == b"floor"
    )


def _leaves_one_of_four(
    graph: Graph, stuffing: NodeProto, before: tuple[int, list[int | None] | None] | None
) -> bool:
    """Whether ``stuffing`` multiplies by 1 at even rows and columns and by 0 elsewhere."""
    grid = graph.constants.get(stuffing.input[1])
    shape = before[1] if before else None
    if grid is None or not shape or len(shape) != 4 or shape[2] is None or shape[3] is None:
        return False
    expected = np.zeros((2 * shape[2], 2 * shape[3]))
    expected[::2, ::2] = 1
    return (
        grid.ndim <= 4
        and grid.size == expected.size
        and np.array_equal(grid.reshape(expected.shape), expected)
    )


def _on_repeated(weight: np.ndarray) -> np.ndarray | None:
    """The kernels [C, 1, 3, 3] that do on repeated cells what ``weight [C, 1, 4, 4]`` does among zeros.

    None where there are none.
    """
    wide, narrow = _reached(4, stuffed=True), _reached(3, stuffed=False)
    wanted = wide @ weight.reshape(len(weight), 16).T.astype(np.float64)
    kernels = np.linalg.lstsq(narrow, wanted, rcond=None)[0]
    if np.abs(narrow @ kernels - wanted).max() > _EXACT * np.abs(weight).max():
        return None
    found: np.ndarray = kernels.T.reshape(len(weight), 1, 3, 3).astype(weight.dtype)
    return found


def _reached(taps: int, *, stuffed: bool) -> np.ndarray:
    """Which of a cell's 3×3 neighbours each of taps² taps reads, for each of its four pixels: [36, taps²]."""
    reached = np.zeros((2, taps, 3))
    for phase in range(2):
        for tap in range(taps):
            at = phase + tap - taps // 2  # in pixels from the cell's first
            if not stuffed or at % 2 == 0:
                reached[phase, tap, at // 2 + 1] = 1
    both: np.ndarray = np.einsum("pai,qbj->pqijab", reached, reached)
    return both.reshape(36, taps * taps)


def _replace(conv: NodeProto, source: str, kernel: str) -> None:
    conv.input[0], conv.input[1] = source, kernel
    for each in [each for each in conv.attribute if each.name in ("pads", "kernel_shape")]:
        conv.attribute.remove(each)
    conv.attribute.extend(
        [helper.make_attribute("pads", [1] * 4), helper.make_attribute("kernel_shape", [3, 3])]
    )
