"""A graph that is run once, not step by step, on the device: the encoder, or a network of one pass."""

from __future__ import annotations

import numpy as np

from edgefill.kernels.device import Buffers, Device, Shapes
from edgefill.model.manifest import Manifest, graph_signatures
from edgefill.runtimes.device.executors import Executor, tensor_shapes
from edgefill.runtimes.device.room import check_room


class DeviceForward:
    """``graph`` bound to buffers of ``batch`` rows; the device's context is current in every call.

    ``size`` is the height and width for a graph that takes any.
    """

    def __init__(
        self,
        model: Manifest,
        graph: str,
        batch: int,
        device: Device,
        executor: Executor,
        size: tuple[int, int] | None = None,
    ) -> None:
        self._device = device
        (self._result,) = graph_signatures(model)[graph][1]
        shapes = tensor_shapes(model, graph, batch, size)
        tensors: Shapes = {name: (shape, np.float32) for name, shape in shapes.items()}
        result = {self._result: tensors.pop(self._result)}
        check_room(device, batch, [tensors, result])
        self._given, self._found = Buffers(device, tensors), Buffers(device, result)
        addresses = {**self._given.address, **self._found.address}
        self._executable = executor.bind(graph, batch, addresses, size)

    @property
    def bytes(self) -> int:
        """On the device."""
        return sum(buffers.bytes for buffers in (self._given, self._found))

    def __call__(self, **inputs: np.ndarray) -> np.ndarray:
        """The graph's one output for at most ``batch`` rows of each of its inputs, on the host."""
        self._given.upload(**inputs)
        self._executable.enqueue()
        self._found.download()
        self._device.synchronize()
        rows = len(next(iter(inputs.values())))
        found: np.ndarray = self._found.host[self._result][:rows].copy()
        return found

    def close(self) -> None:
        """Frees what was allocated."""
        for buffers in (self._given, self._found):
            buffers.free()
