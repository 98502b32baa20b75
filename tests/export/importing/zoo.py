"""One small network that completes pictures, in each of the conventions that public networks have.

It puts the mean of the known pixels around into the hole, and knows that pictures are warm: red is never less
than blue in what it draws.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from edgefill.export.importing.aspects import IMAGENET
from edgefill.model.interface import SEES, Input, Interface, Mask, Output, Range, Sizes

SIDE = 64
_AROUND = 15  # pixels of a side of what a hole's pixel is the mean of
_TYPES = {"float32": TensorProto.FLOAT, "float16": TensorProto.FLOAT16, "uint8": TensorProto.UINT8}
ZERO_ONE, BYTES, SIGNED = (Range.named(each) for each in ("0..1", "0..255", "-1..1"))


@dataclass(frozen=True)
class Convention:
    """An interface, and what a file has besides."""

    interface: Interface
    blanks: bool = True  # whether it hides the hole itself
    decoy: str = ""  # the name of a coarse output before the picture
    opset: int = 17


def two_inputs(picture: str = "image", called: str = "mask", **values) -> Interface:
    """A float32 network of one size with a picture and a mask where 1 is missing, all in [0, 1]."""
    layout, dtype = values.pop("layout", "NCHW"), values.pop("dtype", "float32")
    mask_layout = values.pop("mask_layout", layout)
    output = values.pop("output", Output("output", layout, dtype, ZERO_ONE, pasted=True))
    return Interface(
        inputs=(Input(picture, ("picture",), layout, dtype), Input(called, ("mask",), mask_layout, dtype)),
        output=output,
        **{
            "trained_side": SIDE, "range": ZERO_ONE, "mask": Mask(0, 1), "sizes": Sizes(fixed=(SIDE, SIDE)),
            **values,
        },
    )  # fmt: skip


def joined(parts: tuple[str, ...], **values) -> Interface:
    return Interface(
        inputs=(Input("input", parts),),
        **{"trained_side": SIDE, "sizes": Sizes(fixed=(SIDE, SIDE)), "output": Output("drawn"), **values},
    )


ANY = Sizes()
CONVENTIONS = {
    "MI-GAN's pipeline": Convention(
        two_inputs(
            dtype="uint8", range=BYTES, mask=Mask(255, 0), sizes=ANY,
            output=Output("result", "NCHW", "uint8", BYTES, pasted=True),
        )
    ),
    "MI-GAN's generator": Convention(joined(("mask", "picture"), mask=Mask(0.5, -0.5)), blanks=False),
    "Carve's LaMa": Convention(two_inputs(output=Output("output", range=BYTES, pasted=True))),
    "OpenCV's LaMa": Convention(
        two_inputs(order="BGR", output=Output("output", range=BYTES, pasted=True)),
    ),
    "Qualcomm's LaMa": Convention(two_inputs(output=Output("painted_image", range=ZERO_ONE, pasted=True))),
    "Qualcomm's compiled": Convention(two_inputs(layout="NHWC")),
    "ailia's LaMa": Convention(two_inputs(sizes=Sizes(8, 8), output=Output("output", range=BYTES))),
    "DeepFill": Convention(
        joined(("picture", "ones", "mask"), order="BGR", mask=Mask(0, 1)), blanks=False, decoy="coarse"
    ),
    "GMCNN": Convention(
        two_inputs(
            layout="NHWC", order="BGR", range=BYTES, sees="white",
            output=Output("output", "NHWC", range=BYTES),
        ),
        blanks=False,
    ),
    "partial convolutions": Convention(
        two_inputs(range=IMAGENET, mask=Mask(1, 0, 3), output=Output("output", range=IMAGENET))
    ),
    "DeepCreamPy": Convention(
        two_inputs(
            "input_image", "input_mask", layout="NHWC", range=SIGNED, mask=Mask(1, 0),
            output=Output("output_image", "NHWC", range=SIGNED),
        )
    ),
    "a pipeline of edgefill's": Convention(
        two_inputs(
            "picture", layout="HWC", mask_layout="HW", dtype="uint8", range=BYTES, mask=Mask(0, 255),
            sizes=ANY, output=Output("completed", "HWC", "uint8", BYTES, pasted=True),
            batch=1,
        )
    ),
    "masked picture, then mask": Convention(
        joined(("picture", "mask"), mask=Mask(0, 1), range=ZERO_ONE, output=Output("o", range=ZERO_ONE))
    ),
    "in fp16": Convention(
        two_inputs(dtype="float16", output=Output("output", "NCHW", "float16", ZERO_ONE, pasted=True))
    ),
    "grey": Convention(two_inputs(order="L")),
}  # fmt: skip


def crops_by_its_mask(model: ModelProto) -> ModelProto:
    """``model``, two inputs to one output, with a look at where its mask is, as packagings have that crop."""
    made, graph = ModelProto(), _Graph()
    made.CopyFrom(model)
    output = made.graph.output[0].name
    made.graph.node[-1].output[0] = "drawn_inside"
    places = graph.add("Cast", graph.add("NonZero", made.graph.input[1].name), to=TensorProto.FLOAT)
    nothing = graph.add("Mul", graph.add("ReduceMax", places, keepdims=0), graph.weight(np.float32(0)))
    graph.add("Add", "drawn_inside", nothing, output=output)
    made.graph.node.extend(graph.nodes)
    for tensor in graph.weights:
        tensor.name += "_of_the_mask"
    for node in made.graph.node[-len(graph.nodes) :]:
        node.input[:] = [f"{each}_of_the_mask" if each == "weight_0" else each for each in node.input]
    made.graph.initializer.extend(graph.weights)
    onnx.checker.check_model(made)
    return made


class _Graph:
    """Nodes and weights of a network as it is written."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.weights: list[TensorProto] = []

    def add(self, kind: str, *inputs, output: str | None = None, **attributes) -> str:
        names = [each if isinstance(each, str) else self.weight(each) for each in inputs]
        output = output or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, names, [output], **attributes))
        return output

    def weight(self, values) -> str:
        values = np.asarray(values)
        if values.dtype == np.float64:
            values = values.astype(np.float32)
        self.weights.append(numpy_helper.from_array(values, f"weight_{len(self.weights)}"))
        return self.weights[-1].name


def network(convention: Convention) -> ModelProto:
    """The network as a file of ``convention`` holds it."""
    interface, graph = convention.interface, _Graph()
    parts = _parts(graph, interface)
    mask = interface.mask
    if mask.channels == 3:
        parts["mask"] = graph.add("Slice", parts["mask"], [0], [1], [1])
    known = graph.add(
        "Div", graph.add("Sub", parts["mask"], float(mask.missing)), float(mask.known - mask.missing)
    )
    picture = _in_colours(graph, parts["picture"], interface.range, interface)
    seen = graph.add("Mul", picture, known)
    if not convention.blanks:
        colour = _colour_in_the_hole(interface)
        missing = graph.add("Sub", 1.0, known)
        seen = graph.add("Sub", picture, graph.add("Mul", missing, colour))
    drawn = _completed(graph, picture, seen, known, interface)
    outputs = [_written(graph, drawn, interface, interface.output.name)]
    if convention.decoy:
        coarse = graph.add("Mul", drawn, 0.5)
        outputs.insert(0, _written(graph, coarse, interface, convention.decoy))
    inputs, declared = interface.signature
    shape = next(iter(declared.values()))
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "zoo",
            [
                helper.make_tensor_value_info(name, _TYPES[interface.dtypes[name]], each)
                for name, each in inputs.items()
            ],
            [helper.make_tensor_value_info(name, _TYPES[interface.output.dtype], shape) for name in outputs],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", convention.opset)],
        ir_version=8,
    )
    onnx.checker.check_model(model)
    return model


def _parts(graph: _Graph, interface: Interface) -> dict[str, str]:
    """Picture and mask as float [N, C, H, W], whatever they come in."""
    found = {}
    counts = {"picture": interface.channels, "mask": interface.mask.channels, "ones": 1}
    for each in interface.inputs:
        value = graph.add("Cast", each.name, to=TensorProto.FLOAT)
        absent = [axis for axis in range(4) if "NCHW"[axis] not in each.layout]
        order = [each.layout.index(axis) for axis in "NCHW" if axis in each.layout]
        value = graph.add("Transpose", value, perm=order)
        if absent:
            value = graph.add("Unsqueeze", value, np.array(absent))
        start = 0
        for part in each.parts:
            end = start + counts[part]
            found[part] = graph.add("Slice", value, [start], [end], [1])
            start = end
    return found


def _in_colours(graph: _Graph, picture: str, values: Range, interface: Interface) -> str:
    """In [0, 1], RGB; what lies outside is cut off, as a network knows nothing beyond its range."""
    scaled = graph.add("Add", graph.add("Mul", picture, _row(values.deviation)), _row(values.mean))
    cut = graph.add("Clip", scaled, np.float32(0), np.float32(1))
    return graph.add("Gather", cut, np.array([2, 1, 0]), axis=1) if interface.order == "BGR" else cut


def _row(values: tuple[float, ...]) -> np.ndarray:
    return np.float32(values).reshape(1, -1, 1, 1)


def _colour_in_the_hole(interface: Interface) -> np.ndarray:
    """What stands in the hole as it comes in, in [0, 1]."""
    colour = SEES[interface.sees]
    return np.float32(interface.range.mean[0] if colour is None else (colour + 1) / 2)


def _completed(graph: _Graph, picture: str, seen: str, known: str, interface: Interface) -> str:
    """``picture`` where it is known, and means of ``seen``, which should be 0 in the hole."""
    channels = interface.channels
    pads = [_AROUND // 2] * 4
    around = np.ones((channels, 1, _AROUND, _AROUND), np.float32)
    total = graph.add("Conv", seen, around, pads=pads, group=channels)
    count = graph.add("Conv", known, around[:1], pads=pads)
    mean = graph.add("Div", total, graph.add("Add", count, 1e-6))
    if channels == 3:
        red, green, blue = (graph.add("Slice", mean, [i], [i + 1], [1]) for i in range(3))
        mean = graph.add("Concat", graph.add("Max", red, blue), green, graph.add("Min", red, blue), axis=1)
    if interface.sizes.multiple > 1:
        mean = _coarse_where_empty(graph, seen, known, mean, count, interface.sizes.multiple)
    missing = graph.add("Sub", 1.0, known)
    return graph.add("Add", graph.add("Mul", picture, known), graph.add("Mul", mean, missing))


def _coarse_where_empty(graph: _Graph, seen: str, known: str, mean: str, count: str, multiple: int) -> str:
    """Means of large cells where nothing around is known; sides that are no multiples do not fit together."""
    pool = {"kernel_shape": [multiple] * 2, "strides": [multiple] * 2}
    total, cells = graph.add("AveragePool", seen, **pool), graph.add("AveragePool", known, **pool)
    coarse = graph.add("Div", total, graph.add("Add", cells, 1e-6))
    wide = graph.add("Resize", coarse, "", np.float32([1, 1, multiple, multiple]), mode="nearest")
    empty = graph.add("Cast", graph.add("Less", count, 0.5), to=TensorProto.FLOAT)
    return graph.add("Add", mean, graph.add("Mul", graph.add("Sub", wide, mean), empty))


def _written(graph: _Graph, drawn: str, interface: Interface, name: str) -> str:
    output = interface.output
    if interface.order == "BGR":
        drawn = graph.add("Gather", drawn, np.array([2, 1, 0]), axis=1)
    value = graph.add("Div", graph.add("Sub", drawn, _row(output.range.mean)), _row(output.range.deviation))
    absent = [axis for axis in range(4) if "NCHW"[axis] not in output.layout]
    if absent:
        value = graph.add("Squeeze", value, np.array(absent))
    present = [axis for axis in "NCHW" if axis in output.layout]
    value = graph.add("Transpose", value, perm=[present.index(axis) for axis in output.layout])
    if output.dtype == "uint8":
        value = graph.add("Clip", graph.add("Round", value), np.float32(0), np.float32(255))
    return graph.add("Cast", value, output=name, to=_TYPES[output.dtype])
