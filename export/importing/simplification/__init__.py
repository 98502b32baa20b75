"""The same function to rounding with fewer passes over memory: what an exporter leaves for others to do."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import ModelProto

from edgefill.export.importing.simplification.clips import drop_clips
from edgefill.export.importing.simplification.constants import drop_no_ops, fold_constants
from edgefill.export.importing.simplification.graph import Graph
from edgefill.export.importing.simplification.scales import fold_scales
from edgefill.export.importing.simplification.upsampling import narrow_upsampling


def simplified(model: ModelProto, feed: Mapping[str, np.ndarray] | None = None) -> ModelProto:
    """A copy of ``model``, one flat graph, that computes the same to rounding.

    Constants are folded, what changes nothing is dropped, factors go into the weights before them, and 4×4
    kernels on zeros become 3×3 kernels on repeated cells. By ``feed``, which should hold more than any
    picture asks for, Clips are dropped that stay far from it; without one only those that cannot bite.
    """
    graph = Graph(model)
    fold_constants(graph)
    drop_no_ops(graph)
    drop_clips(graph, feed)
    narrow_upsampling(graph)
    fold_scales(graph)
    fold_constants(graph)
    drop_no_ops(graph)
    found: ModelProto = graph.model()
    return found
