"""TensorRT and TensorRT for RTX: engines from the user's cache, run at our addresses on our stream."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgefill.export.engines.library import Library, open_library
from edgefill.export.engines.recipe import Recipe
from edgefill.export.engines.store import Engines
from edgefill.runtimes import Footprint
from edgefill.runtimes.device.executors import padded, tensor_shapes
from edgefill.runtimes.device.executors.engine import LoadedEngine, Scratch

if TYPE_CHECKING:
    from edgefill.kernels.device import Device
    from edgefill.model.bundle import Bundle


class TensorRTExecutor:
    """The engines of ``bundle`` for ``library``, "tensorrt" or "rtx", each loaded when it is first needed."""

    def __init__(
        self,
        library: str,
        bundle: Bundle,
        device: Device,
        *,
        precision: str,
        folder: Path | None = None,
        say: Callable[[str], None],
    ) -> None:
        self._library, self._bundle, self._device = open_library(library), bundle, device
        self._precision = precision
        self._engines = Engines(bundle, library, precision=precision, folder=folder, say=say)
        with device:
            self._runtime = self._library.create_runtime()
        self._choices: dict[tuple[str, int], Recipe] = {}  # graph and rows → the engine that holds them
        self._loaded: dict[Recipe, LoadedEngine] = {}
        self._at_hand: dict[tuple[str, int], int | None] = {}  # graph and rows → the batch of what is there
        self._ready: dict[str, int] = {}  # by graph
        self._scratch = Scratch(device)
        self._load_seconds = 0.0
        self.runtime = self._library.title

    def check(self) -> None:
        """Loads an engine of TensorRT for RTX, which builds for GPUs that it does not run on as well."""
        if self._library.names_targets:
            simplest = self._bundle.simplest_graph(self._precision)
            batches = self._engines.batches(simplest)
            self._choose(simplest, batches[0][2] if batches else 1)

    def capacity(self, graph: str, rows: int) -> int:
        """The batch of the engine that ``rows`` run in; a dynamic one runs few sizes, powers of two."""
        smallest, _, largest = self._choose(graph, rows).batch
        return int(max(smallest, min(padded(rows), largest)))

    def at_hand(self, graph: str, rows: int) -> int | None:
        """The batch that ``rows`` run in with the engines that are there; None where one would be built."""
        if (graph, rows) not in self._at_hand:
            there = self._engines.holds(graph, rows)
            self._at_hand[graph, rows] = self.capacity(graph, rows) if there else None
        return self._at_hand[graph, rows]

    def ready(self, graph: str) -> int:
        """As many as the largest engine takes; one where there is none: one is built for it then."""
        if graph not in self._ready:
            self._ready[graph] = max((largest for *_, largest in self._engines.batches(graph)), default=1)
        return self._ready[graph]

    def bind(
        self, graph: str, batch: int, addresses: Mapping[str, int], size: tuple[int, int] | None = None
    ) -> _Bound:
        """``graph`` with its tensors at ``addresses``; see Executor."""
        engine = self._loaded[self._choose(graph, batch)]
        context = engine.create_context()
        call, (inputs, _) = self._library.call, self._bundle.shapes(graph, self._precision)
        features = self._bundle.features(self._precision)
        tensors = tensor_shapes(self._bundle.manifest, graph, batch, size, features)
        for name, (shape, _) in tensors.items():
            if name in inputs:
                call(f"run {graph} with {name} of {list(shape)}", context.set_input_shape, name, shape)
            call(f"put {name} of {graph} in its place", context.set_tensor_address, name, addresses[name])
        unknown = call(f"run {graph} at batch {batch}", context.infer_shapes)
        if unknown:
            missing = f"these inputs have no shape: {', '.join(unknown)}"
            raise self._library.failure(f"run {graph} at batch {batch}", missing)
        return _Bound(self._library, context, self._device.stream_handle, graph, self._scratch)

    def footprint(self) -> Footprint:
        """The plans that were loaded, and what their contexts share on the device."""
        loaded = self._loaded.values()
        return Footprint(
            plan_bytes=sum(each.plan_bytes for each in loaded),
            device_bytes=self._scratch.bytes,
            build_seconds=self._engines.build_seconds,
            load_seconds=self._load_seconds,
        )

    def close(self) -> None:
        """Gives the engines back; the device's context is current."""
        for engine in self._loaded.values():
            engine.close()
        self._scratch.free()
        for known in (self._loaded, self._choices, self._at_hand):
            known.clear()

    def _choose(self, graph: str, rows: int) -> Recipe:
        """The recipe of the engine that ``rows`` run in, which is loaded."""
        if (graph, rows) not in self._choices:
            plan, recipe = self._engines.load(graph, rows)
            self._choices[graph, rows] = recipe
            if recipe not in self._loaded:
                self._loaded[recipe] = self._load(plan, recipe)
                self._at_hand.clear()
        return self._choices[graph, rows]

    def _load(self, plan: bytes, recipe: Recipe) -> LoadedEngine:
        begin = time.perf_counter()
        with self._device:
            engine = self._library.deserialize(self._runtime, plan)
            loaded = LoadedEngine(
                self._library, engine, self._scratch, len(plan), self._engines.kernels(recipe)
            )
        self._load_seconds += time.perf_counter() - begin
        return loaded


def open_executor(
    name: str,
    bundle: Bundle,
    device: Device,
    precision: str,
    *,
    engines: Path | None,
    say: Callable[[str], None],
) -> TensorRTExecutor:
    """The executor of the library ``name``, with its engines in the folder ``engines``."""
    return TensorRTExecutor(name, bundle, device, precision=precision, folder=engines, say=say)


class _Bound:
    def __init__(self, library: Library, context: Any, stream: int, graph: str, scratch: Scratch) -> None:
        self._library, self._context, self._stream, self._graph = library, context, stream, graph
        self._scratch = scratch
        self.capturable = library.is_capturable(context, stream)

    @property
    def scratch(self) -> int:
        return self._scratch.address

    def enqueue(self) -> None:
        if not self._context.execute_async_v3(self._stream):
            raise self._library.failure(f"run {self._graph}")
