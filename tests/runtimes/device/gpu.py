"""What tests of the GPU path share: an executor whose graphs are functions of the host."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgefill.errors import EngineError
from edgefill.kernels.device import Device
from edgefill.model.manifest import WIDE, Manifest, graph_signatures
from edgefill.runtimes import Footprint
from edgefill.runtimes.device.executors import padded, tensor_shapes
from edgefill.runtimes.host import HostRuntime
from tests.driver import StubDriver, array


class FunctionExecutor:
    """An executor whose graphs ``host`` runs, on device memory, in the order of the stream."""

    runtime = "functions, fp32"

    def __init__(self, driver: StubDriver, device: Device, model: Manifest, host: HostRuntime) -> None:
        self._driver, self._device, self._model, self._host = driver, device, model, host
        self.ran: list[str] = []  # graphs, when their turn on the stream has come
        self.bound: list[tuple[str, int]] = []
        self.refuses = False
        self.capturable = True
        self.calls_host = False  # with a function of the host among what it enqueues

    def capacity(self, graph: str, rows: int) -> int:
        return padded(rows)

    def at_hand(self, graph: str, rows: int) -> int | None:
        return padded(rows)

    def ready(self, graph: str) -> int | None:
        return None

    def bind(
        self, graph: str, batch: int, addresses: Mapping[str, int], size: tuple[int, int] | None = None
    ) -> _Run:
        shapes = tensor_shapes(self._model, graph, batch, size, self._host.features)
        assert set(addresses) == set(shapes)
        self.bound.append((graph, batch))
        tensors = {name: array(addresses[name], *shapes[name]) for name in shapes}
        return _Run(self, graph, tensors)

    def footprint(self) -> Footprint:
        return Footprint(plan_bytes=7)

    def close(self) -> None:
        self.bound.clear()

    def run(self, graph: str, tensors: Mapping[str, np.ndarray]) -> None:
        self.ran.append(graph)
        inputs, _ = graph_signatures(self._model, self._host.features)[graph]
        plain = {wide: plain for plain, wide in WIDE.items()}.get(graph, graph)  # the host goes by its z
        for name, value in self._host.run(plain, {name: tensors[name].copy() for name in inputs}).items():
            tensors[name][...] = value


class _Run:
    scratch = 0

    def __init__(self, executor: FunctionExecutor, graph: str, tensors: Mapping[str, np.ndarray]) -> None:
        self._executor, self._graph, self._tensors = executor, graph, tensors
        self.capturable = executor.capturable

    def enqueue(self) -> None:
        if self._executor.refuses:
            raise EngineError("the library refuses to run step")
        run, graph, tensors = self._executor.run, self._graph, self._tensors
        stream = self._executor._device.stream_handle
        self._executor._driver.enqueue(stream, lambda: run(graph, tensors), of_host=self._executor.calls_host)
