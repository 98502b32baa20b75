"""The encoder of one batch size, on the device."""

from __future__ import annotations

import numpy as np

from edgefill.bundle import ENCODER, Manifest
from edgefill.completion.backends.device.executors import Executor, tensor_shapes
from edgefill.completion.backends.device.room import check_room
from edgefill.kernels.device import Buffers, Device, Shapes


class DeviceEncoder:
    """The encoder bound to buffers of ``batch`` rows; the device's context is current in every call."""

    def __init__(self, model: Manifest, batch: int, device: Device, executor: Executor) -> None:
        self._device = device
        tensors: Shapes = {
            name: (shape, np.float32) for name, shape in tensor_shapes(model, ENCODER, batch).items()
        }
        latent = {"z": tensors.pop("z")}
        check_room(device, batch, [tensors, latent])
        self._seen, self._latent = Buffers(device, tensors), Buffers(device, latent)
        addresses = {**self._seen.address, **self._latent.address}
        self._executable = executor.bind(ENCODER, batch, addresses)

    @property
    def bytes(self) -> int:
        """On the device."""
        return sum(buffers.bytes for buffers in (self._seen, self._latent))

    def encode(self, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        """z, [N, Z], of at most ``batch`` rows of what is seen."""
        self._seen.upload(picture=picture, known=known)
        self._executable.enqueue()
        self._latent.download()
        self._device.synchronize()
        z: np.ndarray = self._latent.host["z"][: len(picture)].copy()
        return z

    def close(self) -> None:
        """Frees what was allocated."""
        for buffers in (self._seen, self._latent):
            buffers.free()
