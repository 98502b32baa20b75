"""What cannot complete pictures is refused by names, types and shapes, with the reason and the next."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgefill.errors import ModelError
from edgefill.export.importing.importer import import_network
from edgefill.export.importing.ports import Port
from edgefill.export.importing.recognition import recognised
from edgefill.export.importing.told import Told
from edgefill.model.interface import Input, Mask
from tests.export.importing.zoo import CONVENTIONS, network

PICTURE = ("N", 3, 64, 64)


def found(inputs: dict, outputs: dict, **told):
    """Of inputs and outputs by name, each a shape or a dtype and a shape."""

    def ports(these):
        return [
            Port(name, *(each if isinstance(each[0], str) and each[0] in TYPES else ("float32", each)))
            for name, each in these.items()
        ]

    return recognised(ports(inputs), ports(outputs), Told(**told), "it")


TYPES = ("float32", "float16", "uint8", "int64", "bool", "float64")


@pytest.mark.parametrize(
    ("inputs", "outputs", "words"),
    [
        ({"data": PICTURE}, {"scores": ("N", 1000)}, r"a picture of 3 channel\(s\) and no mask .*classif"),
        ({"images": (1, 3, 640, 640)}, {"boxes": (1, 84, 8400)}, "no mask .*detectors.*is it a network"),
        ({"x": PICTURE}, {"y": PICTURE}, "no mask"),
        ({"ids": ("int64", ("N", 77))}, {"y": PICTURE}, "input 'ids' of type int64; expected float32"),
        ({"x": ("N", 512)}, {"y": PICTURE}, "takes no picture|no mask"),
        ({"a": PICTURE, "b": PICTURE}, {"y": PICTURE}, "two inputs of unknown meaning .*--mask-input b"),
        ({"a": PICTURE, "b": ("N", 512)}, {"y": PICTURE}, "two inputs of unknown meaning"),
        (
            {"image": PICTURE, "mask": ("N", 1, 64, 64), "prompt": ("N", 77)}, {"y": PICTURE},
            r"takes 3 inputs \(image float32 N×3×64×64, mask .*prompt",
        ),
        (
            {"image": PICTURE, "mask": ("N", 1, 64, 64)}, {"alpha": ("N", 1, 64, 64)},
            r"draws a mask instead of a picture \(alpha float32 N×1×64×64\)",
        ),
        ({"image": PICTURE, "mask": ("N", 1, 64, 64)}, {"score": ("N", 2)}, "as classifiers do"),
        (
            {"image": PICTURE, "mask": ("N", 1, 64, 64)}, {"boxes": ("N", 84, 8400)},
            "draws no picture of the size and channels of its input .*detectors do",
        ),
        (
            {"image": PICTURE, "mask": ("N", 1, 64, 64)}, {"small": ("N", 3, 32, 32)},
            "draws no picture of the size and channels of its input",
        ),
        (
            {"image": ("N", "C", "H", "W"), "mask": ("N", "c", "H", "W")}, {"y": ("N", "C", "H", "W")},
            "may be NCHW or NHWC with .*give --layout NCHW or NHWC",
        ),
        ({"x": ("N", "C", "H", "W")}, {"y": ("N", 3, "H", "W")}, "leaves its channels open"),
        ({"image": ("N", 3, 64, "W"), "mask": ("N", 1, 64, "W")}, {"y": ("N", 3, 64, "W")}, "fixes one side"),
    ],
)  # fmt: skip
def test_what_is_no_completion_network_is_refused_with_the_reason(inputs, outputs, words):
    with pytest.raises(ModelError, match=words):
        found(inputs, outputs)


def test_what_is_told_must_be_there():
    both = {"image": PICTURE, "mask": ("N", 1, 64, 64)}
    with pytest.raises(ModelError, match="has no input 'hole'; expected one of image, mask"):
        found(both, {"y": PICTURE}, mask_input="hole")
    with pytest.raises(ModelError, match="has no output 'z'; expected one of y"):
        found(both, {"y": PICTURE}, output="z")
    with pytest.raises(ModelError, match=r"takes 4 channels; --join picture,ones,mask has another number"):
        found({"x": ("N", 4, 64, 64)}, {"y": PICTURE}, parts=("picture", "ones", "mask"))
    with pytest.raises(ModelError, match=r"may be no layout with 1 or 3 channels|give --layout"):
        found(both, {"y": PICTURE}, layout="NHWC")


def test_roles_are_told_by_channels_by_names_and_by_the_option():
    by_channels = found({"b": ("N", 1, 64, 64), "a": PICTURE}, {"y": PICTURE}).interface
    assert by_channels.inputs == (Input("b", ("mask",)), Input("a", ("picture",)))
    by_name = found({"rgb": PICTURE, "hole_mask": PICTURE}, {"y": PICTURE}).interface
    assert by_name.inputs[1] == Input("hole_mask", ("mask",)) and by_name.mask.channels == 3
    told = found({"a": PICTURE, "b": PICTURE}, {"y": PICTURE}, mask_input="a").interface
    assert told.inputs == (Input("a", ("mask",)), Input("b", ("picture",)))


def test_layouts_are_told_by_shapes_and_by_the_option():
    both = {"image": ("N", "H", "W", 3), "mask": ("N", "H", "W", 1)}
    assert {each.layout for each in found(both, {"y": ("N", "H", "W", 3)}).interface.inputs} == {"NHWC"}
    flat = {"image": ("uint8", ("H", "W", 3)), "mask": ("uint8", ("H", "W"))}
    assert [each.layout for each in found(flat, {"y": ("uint8", ("H", "W", 3))}).interface.inputs] == [
        "HWC",
        "HW",
    ]
    open_shapes = {"image": ("N", "C", "H", "W"), "mask": ("N", "c", "H", "W")}
    told = found(open_shapes, {"y": ("N", "C", "H", "W")}, layout="NCHW").interface
    assert told.channels == 3 and told.mask.channels == 1


def test_the_last_of_several_outputs_is_the_likeliest():
    several = {"coarse": PICTURE, "flow": ("N", 2, 64, 64), "refined": PICTURE}
    assert found({"x": ("N", 5, 64, 64)}, several).open["output"] == ["refined", "coarse"]
    assert "output" not in found({"x": ("N", 5, 64, 64)}, several, output="coarse").open


def test_the_generator_of_mi_gan_is_likely_by_its_shape():
    likely = found({"x": ("N", 4, 512, 512)}, {"y": ("N", 3, 512, 512)}).likely
    assert likely.mask == Mask(0.5, -0.5) and str(likely.range) == str(likely.output.range) == "-1..1"
    assert found({"x": ("N", 5, 512, 512)}, {"y": ("N", 3, 512, 512)}).likely is None


def test_nothing_is_written_for_a_detector(tmp_path):
    """As a file: a convolution and a sum over the picture."""
    weight = numpy_helper.from_array(np.ones((8, 3, 3, 3), np.float32), "w")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["images", "w"], ["c"]), helper.make_node("Flatten", ["c"], ["boxes"])],
        "detector",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("boxes", TensorProto.FLOAT, [1, 7200])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (tmp_path / "yolo.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"yolo\.onnx takes a picture of 3 channel\(s\) and no mask"):
        import_network(tmp_path / "yolo.onnx", tmp_path / "yolo.edgefill")
    assert [path.name for path in tmp_path.iterdir()] == ["yolo.onnx"]


def test_a_size_that_it_draws_otherwise_is_refused_when_it_is_tried(tmp_path):
    model = network(CONVENTIONS["ailia's LaMa"])
    model.graph.node[-1].output[0] = "large"
    scales = numpy_helper.from_array(np.float32([1, 1, 2, 2]), "scales")
    model.graph.initializer.append(scales)
    model.graph.node.append(helper.make_node("Resize", ["large", "", "scales"], ["output"]))
    (tmp_path / "it.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(
        ModelError, match=r"draws 'output' of shape \[1, 3, 512, 512\]; expected \[1, 3, 256, 256\]"
    ):
        import_network(tmp_path / "it.onnx", tmp_path / "it.edgefill")
