"""Builds an ONNX graph with TensorRT for RTX, whose builder needs no GPU."""

from __future__ import annotations

import pytest

from edgefill.export.engines.builder import Plan, build_plan
from edgefill.export.engines.recipe import Batch, Recipe, Shapes


def build_engine(graph: bytes, batch: Batch = (1, 4, 8), shapes: dict[str, Shapes] | None = None) -> Plan:
    """The plan of ``graph``; ``shapes`` where sides are open. Fails where TensorRT complains of anything."""
    pytest.importorskip("tensorrt_rtx", reason="tensorrt_rtx builds engines; it is x86-64 only")
    plan = build_plan(graph, Recipe("step", "as in the graph", "rtx", batch), shapes=shapes)
    assert plan.complaints == ()
    return plan
