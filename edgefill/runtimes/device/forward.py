"""A graph that is run once, not step by step, on the device."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from edgefill.kernels.buffers import Buffers
from edgefill.kernels.device import Device
from edgefill.model.manifest import Manifest, graph_signatures
from edgefill.runtimes.device.executors import Executor, tensor_shapes
from edgefill.runtimes.device.room import check_room


class DeviceForward:
    """``graph`` bound to buffers of ``batch`` rows; the device's context is current in every call.

    ``size`` is the height and width for a graph that takes any, ``features`` how many numbers the latent of a
    wide one has beside z.
    """

    def __init__(
        self,
        model: Manifest,
        graph: str,
        batch: int,
        device: Device,
        executor: Executor,
        size: tuple[int, int] | None = None,
        features: int = 0,
    ) -> None:
        self._device, self.batch = device, batch
        inputs, _ = graph_signatures(model, features)[graph]
        shapes = tensor_shapes(model, graph, batch, size, features)
        given = {name: shapes[name] for name in inputs}
        found = {name: shapes[name] for name in shapes if name not in inputs}
        check_room(device, batch, [given, found])
        self._given, self._found = Buffers(device, given), Buffers(device, found)
        self.address = {**self._given.address, **self._found.address}
        self._executable = executor.bind(graph, batch, self.address, size)

    @property
    def bytes(self) -> int:
        """On the device."""
        return sum(buffers.bytes for buffers in (self._given, self._found))

    def __call__(self, feeds: Mapping[str, np.ndarray], rows: int) -> dict[str, np.ndarray]:
        """Every output of the graph for ``feeds`` of ``rows``, at most ``batch``, on the host."""
        self.enqueue(feeds)
        self._found.download()
        self._device.synchronize()
        found = self._found.host.items()
        return {name: (values[:rows] if rows < self.batch else values).copy() for name, values in found}

    def enqueue(self, feeds: Mapping[str, np.ndarray]) -> None:
        """Enqueues one run, whose outputs stay on the device."""
        self._given.upload(**feeds)
        self._executable.enqueue()

    def close(self) -> None:
        """Frees what was allocated."""
        for buffers in (self._given, self._found):
            buffers.free()
