"""A GPU and a TensorRT without either: a stub driver, and engines that ONNX Runtime runs."""

from __future__ import annotations

import sys
from functools import cache

import onnxruntime
import pytest

from edgefill import machine
from tests.driver import StubDriver, floats
from tests.fakes.tensorrt import FakeTensorRT


def engines(cuda: StubDriver, monkeypatch, *, wrong: float = 0.0) -> None:
    """TensorRT whose engines are run by ONNX Runtime, with ``wrong`` added to every gradient."""

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1  # others would wait actively, between graphs of microseconds

    @cache
    def opened(graph: bytes) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])

    def execute(graph, addresses, shapes, stream) -> None:
        views = {name: floats(addresses[name], *shapes[name]) for name in shapes}
        session = opened(graph)

        def run() -> None:
            feeds = {value.name: views[value.name].copy() for value in session.get_inputs()}
            names = [value.name for value in session.get_outputs()]
            for name, found in zip(names, session.run(names, feeds), strict=True):
                views[name][...] = found + wrong * (name == "grad_z")

        cuda.enqueue(stream, run)

    FakeTensorRT("10.16.1", sm=89, execute=execute).install(monkeypatch)


def plug() -> None:
    """The same GPU and TensorRT in a process of its own."""
    driver = StubDriver().plug()
    sys.path.insert(0, str(driver.pycuda))
    patch = pytest.MonkeyPatch()
    patch.setattr(machine, "free_memory", lambda: 10**9)
    patch.setattr(machine, "driver", lambda: machine.Driver((machine.Gpu("Fake GPU", (8, 9), 10**9),)))
    engines(driver, patch)
