"""Builds an ONNX graph with TensorRT for RTX, whose builder needs no GPU."""

from __future__ import annotations

import functools

import pytest


@functools.cache
def _logger():
    trt = pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx builds engines; it is x86-64 only")

    class Logger(trt.ILogger):
        def __init__(self) -> None:
            super().__init__()
            self.complaints: list[str] = []

        def log(self, severity, message) -> None:
            if severity <= trt.ILogger.Severity.WARNING:
                self.complaints.append(message)

    return Logger()


def build_engine(graph: bytes, batches: tuple[int, int, int] = (1, 4, 8)) -> int:
    """The size of the plan in bytes; fails with TensorRT's own words."""
    logger = _logger()
    import tensorrt_rtx as trt

    logger.complaints.clear()
    builder = trt.Builder(logger)
    network = builder.create_network()
    parser = trt.OnnxParser(network, logger)
    assert parser.parse(graph), [str(parser.get_error(index)) for index in range(parser.num_errors)]
    config, profile = builder.create_builder_config(), builder.create_optimization_profile()
    for index in range(network.num_inputs):
        tensor = network.get_input(index)
        profile.set_shape(tensor.name, *((batch, *tuple(tensor.shape)[1:]) for batch in batches))
    config.add_optimization_profile(profile)
    plan = builder.build_serialized_network(network, config)
    assert plan is not None, logger.complaints
    return plan.nbytes
