"""What the tests of engines share: a tiny graph, a Jetson, and a TensorRT that is made up."""

from __future__ import annotations

import pytest
from onnx import TensorProto, helper

from edgefill import machine
from tests.fakes.libcuda import FakeCuda
from tests.fakes.tensorrt import FakeTensorRT

ORIN = ("Orin", (8, 7), 64 << 30)


def tiny_graph(gain: float = 2.0) -> bytes:
    """generated [N, 4] = tanh(gain · z), z [N, 4]."""
    z, generated = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("z", "generated")
    )
    nodes = [
        helper.make_node("Mul", ["z", "gain"], ["scaled"]),
        helper.make_node("Tanh", ["scaled"], ["generated"]),
    ]
    graph = helper.make_graph(
        nodes, "tiny", [z], [generated], [helper.make_tensor("gain", TensorProto.FLOAT, [], [gain])]
    )
    opset = [helper.make_opsetid("", 18)]
    return helper.make_model(graph, opset_imports=opset, ir_version=10).SerializeToString()


@pytest.fixture
def orin(monkeypatch):
    """The driver of a Jetson Orin, 8 GB of whose memory are free."""
    driver = FakeCuda([ORIN], free=8 << 30)
    monkeypatch.setattr(machine, "_driver_library", lambda: driver)
    return driver


@pytest.fixture
def tensorrt(monkeypatch):
    """TensorRT 10.3 as it is on a Jetson Orin."""
    return FakeTensorRT("10.3.0").install(monkeypatch)
