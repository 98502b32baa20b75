"""A network of one pass on the device: one picture of one size, in and out."""

from __future__ import annotations

import numpy as np

from edgefill.bundle import COMPLETION, Manifest
from edgefill.completion.backends.device.executors import Executor, tensor_shapes
from edgefill.completion.backends.device.room import check_room
from edgefill.kernels.device import Buffers, Device, Shapes


class DeviceCompletion:
    """The network bound to buffers of ``size``; the device's context is current in every call."""

    def __init__(self, model: Manifest, size: tuple[int, int], device: Device, executor: Executor) -> None:
        self._device = device
        tensors: Shapes = {
            name: (shape, np.float32) for name, shape in tensor_shapes(model, COMPLETION, 1, size).items()
        }
        drawn = {"completed": tensors.pop("completed")}
        check_room(device, 1, [tensors, drawn])
        self._seen, self._drawn = Buffers(device, tensors), Buffers(device, drawn)
        addresses = {**self._seen.address, **self._drawn.address}
        self._executable = executor.bind(COMPLETION, 1, addresses, size)

    @property
    def bytes(self) -> int:
        """On the device."""
        return sum(buffers.bytes for buffers in (self._seen, self._drawn))

    def complete(self, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        """The completed ``picture [1, C, H, W]``."""
        self._seen.upload(picture=picture, known=known)
        self._executable.enqueue()
        self._drawn.download()
        self._device.synchronize()
        completed: np.ndarray = self._drawn.host["completed"].copy()
        return completed

    def close(self) -> None:
        """Frees what was allocated."""
        for buffers in (self._seen, self._drawn):
            buffers.free()
