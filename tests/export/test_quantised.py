"""INT8 by calibration: what is quantised, what stays in fp32 for the picture's sake, what is refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from edgefill.errors import ModelError
from edgefill.export.calibration import cases_of_pictures
from edgefill.export.importing.network import Network
from edgefill.export.quantised import drawings, quantised
from edgefill.model.interface import Output
from tests.export.importing.zoo import CONVENTIONS, SIDE, network

INTERFACE = replace(CONVENTIONS["Qualcomm's LaMa"].interface, output=Output("drawn", range=CONVENTIONS[
    "Qualcomm's LaMa"].interface.range))  # fmt: skip
FAR = 1000.0  # beside which nothing of a picture is left in eight bits


def with_layers(*offsets: float) -> onnx.ModelProto:
    """A network that completes, and behind it convolutions that add each of ``offsets`` and else nothing."""
    model = network(replace(CONVENTIONS["Qualcomm's LaMa"], interface=replace(INTERFACE, output=Output(
        "layer_0", range=INTERFACE.output.range))))  # fmt: skip
    graph = model.graph
    same = np.zeros((3, 3, 3, 3), np.float32)
    same[range(3), range(3), 1, 1] = 1
    for number, offset in enumerate(offsets):
        weights = {f"same_{number}": same, f"offset_{number}": np.full(3, offset, np.float32)}
        graph.initializer.extend(numpy_helper.from_array(each, name) for name, each in weights.items())
        output = "drawn" if number + 1 == len(offsets) else f"layer_{number + 1}"
        graph.node.append(
            helper.make_node("Conv", [f"layer_{number}", *weights], [output], pads=[1, 1, 1, 1])
        )
    graph.output[0].name = "drawn"
    onnx.checker.check_model(model, full_check=True)
    return model


def cases(count: int = 18):
    rows, columns = np.mgrid[:SIDE, :SIDE] / SIDE
    phase = np.arange(count)[:, None, None, None]
    waves = np.sin(9 * rows + np.array([1, 2, 3])[:, None, None] * columns + phase)
    return cases_of_pictures(np.uint8(np.rint(127.5 + 120 * waves)))


def made(model: onnx.ModelProto):
    given = cases()
    exact = list(drawings(Network(model, "it"), INTERFACE, given))
    return quantised(model, INTERFACE, given, exact, "it")


def in_int8(model: onnx.ModelProto) -> list[bool]:
    """Whether each of its convolutions is, the two that fill a hole first: which is first, is chance."""
    makers = {node.output[0]: node.op_type for node in model.graph.node}
    found = [
        makers.get(node.input[1]) == "DequantizeLinear" for node in model.graph.node if node.op_type == "Conv"
    ]
    return [*sorted(found[:2]), *found[2:]]


def test_all_but_the_first_and_the_last_convolution_are():
    found, ruin = made(with_layers(0, 0, 0))
    assert in_int8(found) == [False, True, True, True, False]
    assert 0 < ruin.noise < 0.03 and not ruin.is_one


def test_the_last_ones_stay_in_fp32_where_the_picture_is_lost_in_them():
    found, ruin = made(with_layers(0, 0, 0, FAR, -FAR))
    assert in_int8(found) == [False, True, True, True, True, False, False]
    assert ruin.noise < 0.03


def test_a_network_that_is_ruined_all_the_same_is_refused():
    with pytest.raises(ModelError, match=r"in int8 it draws worse: \d+\.\d\d dB are lost.*--precision fp32"):
        made(with_layers(FAR, -FAR, 0, 0, 0, 0, 0))


def test_nothing_is_left_between_a_first_and_a_last_convolution():
    with pytest.raises(ModelError, match="it cannot be made int8: found 2 convolutions, expected three"):
        made(network(replace(CONVENTIONS["Qualcomm's LaMa"], interface=INTERFACE)))


def test_the_same_cases_give_the_same_bytes():
    first, second = (made(with_layers(0, 0))[0] for _ in range(2))
    assert first.SerializeToString(deterministic=True) == second.SerializeToString(deterministic=True)
