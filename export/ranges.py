"""What the values within a graph are, by samples of them: one run at a time, in little more than its memory.

All values of a network for one picture of 512×512 are gigabytes. So the graph itself is made to thin out each
of them where it is made, and only the samples leave it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

_SAMPLES = 2**18  # of a value over all feeds, about
_FEWEST = 1024  # of a value for one feed
_SHARE = 0.9999  # of what a value holds lies within its range: with all, it is 0.2 dB worse
_LEAST = 1e-6  # a range of nothing but zeros
_PREFIX = "edgefill_sample_"


def ranges(
    model: ModelProto, names: Sequence[str], feeds: Iterable[Mapping[str, np.ndarray]], count: int
) -> dict[str, float]:
    """The magnitude below which nearly all of each value ``names`` of ``model`` is, in ``count`` feeds."""
    found: dict[str, list[np.ndarray]] = {name: [] for name in names}
    for sampled in samples(model, names, feeds, max(_FEWEST, _SAMPLES // count)):
        for name, values in sampled.items():
            found[name].append(np.abs(values))
    return {name: max(float(np.quantile(np.concatenate(found.pop(name)), _SHARE)), _LEAST) for name in names}


def samples(
    model: ModelProto, names: Sequence[str], feeds: Iterable[Mapping[str, np.ndarray]], count: int
) -> Iterator[dict[str, np.ndarray]]:
    """For each of ``feeds``, about ``count`` to twice as many numbers of each value ``names`` of ``model``.

    They are the same places of a value each time.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    # In the order of the graph, each value is thinned out at once and then forgotten.
    options.execution_order = onnxruntime.ExecutionOrder.PRIORITY_BASED
    graph = _thinned_out(model, names, count).SerializeToString()
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    outputs = [f"{_PREFIX}{name}" for name in names]
    for each in feeds:
        yield dict(zip(names, session.run(outputs, dict(each)), strict=True))


def _thinned_out(model: ModelProto, names: Sequence[str], count: int) -> ModelProto:
    """``model`` with nothing but samples of ``names`` for its outputs, each taken where its value is made."""
    found = ModelProto()
    found.CopyFrom(model)
    graph, wanted = found.graph, set(names)
    constants = {
        "all": [-1],
        "first": [0],
        "end": [2**62],
        "axis": [0],
        "one": 1,
        "two": 2,
        "count": 2 * count,
    }
    for key, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.int64), f"{_PREFIX}:{key}"))
    nodes = [node for value in graph.input if value.name in wanted for node in _sampling(value.name)]
    for node in model.graph.node:
        nodes += [node, *(each for name in node.output if name in wanted for each in _sampling(name))]
    del graph.node[:], graph.output[:]
    graph.node.extend(nodes)
    for name in names:
        graph.output.append(helper.make_tensor_value_info(f"{_PREFIX}{name}", TensorProto.FLOAT, [None]))
    return found


def _sampling(name: str) -> list[NodeProto]:
    """The nodes that take every n-th number of a value; n is odd, as the sides of pictures are even."""
    own = f"{_PREFIX}{name}"
    size, part, twice, odd, step, flat = (
        f"{own}:{each}" for each in ("size", "part", "2", "odd", "n", "flat")
    )
    all_, first, end, axis, one, two, count = (
        f"{_PREFIX}:{key}" for key in ("all", "first", "end", "axis", "one", "two", "count")
    )
    return [
        helper.make_node("Size", [name], [size]),
        helper.make_node("Div", [size, count], [part]),
        helper.make_node("Mul", [part, two], [twice]),
        helper.make_node("Add", [twice, one], [odd]),
        helper.make_node("Unsqueeze", [odd, first], [step]),
        helper.make_node("Reshape", [name, all_], [flat]),
        helper.make_node("Slice", [flat, first, end, axis, step], [own]),
    ]
