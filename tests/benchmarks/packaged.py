"""A network in a packaging like that of the public pipelines: it paints all of the picture in one grey."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

GREY = 90


def packaged_network(path: Path) -> Path:
    """Writes the file: uint8 ``image`` and ``mask``, NCHW, and ``result``."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, ["N", channels, "H", "W"])
        for name, channels in (("image", 3), ("mask", 1))
    ]
    outputs = [helper.make_tensor_value_info("result", TensorProto.UINT8, ["N", 3, "H", "W"])]
    grey = helper.make_tensor("grey", TensorProto.UINT8, [1], [GREY])
    nodes = [
        helper.make_node("Shape", ["image"], ["shape"]),
        helper.make_node("ConstantOfShape", ["shape"], ["result"], value=grey),
        helper.make_node("Identity", ["mask"], ["unused"]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "packaged", inputs, outputs),
        opset_imports=[helper.make_opsetid("", 21)],
        ir_version=10,
    )
    onnx.save(model, path)
    return path
