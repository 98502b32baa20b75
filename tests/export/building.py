"""Builds an ONNX graph with TensorRT for RTX, whose builder needs no GPU."""

from __future__ import annotations

import pytest

from edgefill.export.engines.builder import Plan, build_plan
from edgefill.export.engines.library import open_library
from edgefill.export.engines.recipe import Batch, Recipe, Shapes
from edgefill.model.interface import Interface


def build_engine(graph: bytes, batch: Batch = (1, 4, 8), shapes: dict[str, Shapes] | None = None) -> Plan:
    """The plan of ``graph``; ``shapes`` where sides are open. Fails where TensorRT complains of anything."""
    _needs_tensorrt()
    plan = build_plan(graph, Recipe("step", "as in the graph", "rtx", batch), shapes=shapes)
    assert plan.complaints == ()
    return plan


def build_completion(graph: bytes, interface: Interface) -> bytes:
    """The plan of a completion network for one to four pictures of the sizes of ``interface``."""
    _needs_tensorrt()
    library = open_library("rtx")
    builder = library.create_builder()
    network = library.create_network(builder)
    parser = library.create_parser(network)
    library.call("read the network", parser.parse, graph)
    profile, side = builder.create_optimization_profile(), interface.trained_side
    for name, shape in interface.signature[0].items():
        open_sizes = zip((1, 2, 4), (interface.sizes.smallest, side, 3 * side), strict=True)
        profile.set_shape(
            name,
            *(
                tuple(size if isinstance(size, int) else rows if size == "N" else pixels for size in shape)
                for rows, pixels in open_sizes
            ),
        )
    config = library.create_config(builder, sm=(86,))
    assert config.add_optimization_profile(profile) >= 0
    plan = library.call("build the network", builder.build_serialized_network, network, config)
    assert not library.complaints
    return bytes(plan)


def _needs_tensorrt() -> None:
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx builds engines; it is x86-64 only")
