"""An ONNX graph to a TensorRT plan."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edgefill.errors import EngineError
from edgefill.export.engines.library import Library, open_library
from edgefill.export.engines.progress import Progress, silent, watched
from edgefill.export.engines.recipe import Recipe, Shapes
from edgefill.export.engines.timing import attach_timings, keep_timings

_SHARE = 2  # A build may use one part in this of the memory that is free: weights and others need some too.


@dataclass(frozen=True)
class Plan:
    """A serialised engine, how long it took, and what TensorRT warned of."""

    content: bytes
    seconds: float
    complaints: tuple[str, ...]


def build_plan(
    graph: bytes,
    recipe: Recipe,
    *,
    shapes: Mapping[str, Shapes] | None = None,
    level: int | None = None,
    free: int | None = None,
    timings: Path | None = None,
    progress: Progress = silent,
) -> Plan:
    """The plan of the ONNX model ``graph`` as ``recipe`` wants it.

    Args:
        shapes: of the inputs, as ``input_shapes`` says them; unless given, only the rows are open.
        level: how hard to optimise, 0 to 5; TensorRT's own default unless given.
        free: bytes that are free on the GPU that builds; the build is held to a part of them.
        timings: the file of earlier measurements, where the library keeps such.
        progress: told the phase, the steps done and the steps in all.

    Raises EngineError with TensorRT's own lines, BackendUnavailable where it is not installed.
    """
    begin = time.perf_counter()
    library = open_library(recipe.library)
    builder = library.create_builder()
    network = library.create_network(builder)
    parser = library.create_parser(network)  # owns the weights: it has to live until the build has ended
    complaints = _parse(library, parser, graph, recipe)
    memory = None if free is None else free // _SHARE
    config = library.create_config(builder, sm=recipe.sm, level=level, memory=memory)
    _set_shapes(library, builder, network, config, recipe, shapes)
    if timings and library.keeps_timings:
        attach_timings(config, timings)
    with watched(library.trt, progress) as monitor:
        config.progress_monitor = monitor
        plan = _build(library, builder, network, config, recipe, memory)
    complaints += library.complaints
    if timings and library.keeps_timings:
        keep_timings(config, timings)
    return Plan(bytes(plan), time.perf_counter() - begin, complaints)


def _parse(library: Library, parser: Any, graph: bytes, recipe: Recipe) -> tuple[str, ...]:
    """What the parser warned of."""
    what = f"read the graph {recipe.graph} ({recipe.precision})"
    try:
        library.call(what, parser.parse, graph)
    except EngineError as error:
        found = [str(parser.get_error(index)) for index in range(parser.num_errors)]
        raise library.failure(what, *found) from error
    complaints: tuple[str, ...] = library.complaints
    return complaints


def _set_shapes(
    library: Library,
    builder: Any,
    network: Any,
    config: Any,
    recipe: Recipe,
    shapes: Mapping[str, Shapes] | None,
) -> None:
    """Fixes the size of every input, or leaves it open between the smallest and the largest."""
    inputs = [network.get_input(index) for index in range(network.num_inputs)]
    ranges = shapes or {
        tensor.name: tuple((rows, *tuple(tensor.shape)[1:]) for rows in recipe.batch) for tensor in inputs
    }
    fixed = all(smallest == largest for smallest, _, largest in ranges.values())
    profile = None if fixed else builder.create_optimization_profile()
    for tensor in inputs:
        if profile is None:
            tensor.shape = ranges[tensor.name][0]
        else:
            profile.set_shape(tensor.name, *ranges[tensor.name])
    if profile is not None and config.add_optimization_profile(profile) < 0:
        raise library.failure(f"run {recipe.graph} at {recipe.batch[0]} to {recipe.batch[2]} rows")


def _build(
    library: Library, builder: Any, network: Any, config: Any, recipe: Recipe, memory: int | None
) -> Any:
    what = f"build {recipe.graph} ({recipe.precision}) for batch {recipe.batch[2]}"
    try:
        return library.call(what, builder.build_serialized_network, network, config)
    except EngineError as error:
        if memory is None or "memory" not in str(error).lower():
            raise
        advice = f"{memory / 1e6:.0f} MB were allowed, half of what is free: close what else uses the GPU"
        raise EngineError(f"{error}\n{advice}, or build for a smaller --batch") from error
