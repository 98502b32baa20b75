"""Pictures of one batch size: G(z), and its composition with what is known, on the device."""

from __future__ import annotations

import numpy as np

from edgefill.kernels.arguments import compose_arguments
from edgefill.kernels.device import Buffers, Device, Shapes
from edgefill.kernels.launcher import Kernels
from edgefill.model.manifest import Manifest
from edgefill.runtimes.device.executors import Executor, tensor_shapes
from edgefill.runtimes.device.room import check_room


class DevicePictures:
    """The generator bound to buffers of ``batch`` rows; the device's context is current in every call."""

    def __init__(
        self, model: Manifest, batch: int, device: Device, executor: Executor, kernels: Kernels
    ) -> None:
        self._device, self._kernels = device, kernels
        tensors = tensor_shapes(model, "generator", batch)
        channels, height, width = model.picture_shape
        inputs: Shapes = {"z": (tensors["z"], np.float32)}
        picture: Shapes = {
            "target": (tensors["generated"], np.float32),
            "known": ((batch, height, width), np.uint8),
        }
        drawn: Shapes = {"generated": (tensors["generated"], np.float32)}
        composed: Shapes = {"composed": ((batch, height, width, channels), np.uint8)}
        check_room(device, batch, [inputs, picture, drawn, composed])
        self._z, self._picture = Buffers(device, inputs), Buffers(device, picture)
        self._drawn, self._composed = Buffers(device, drawn), Buffers(device, composed)
        addresses = {**self._z.address, **self._picture.address, **self._drawn.address}
        self._arguments = compose_arguments(
            {**addresses, **self._composed.address}, rows=batch, channels=channels, height=height, width=width
        )
        tensor_addresses = {name: addresses[name] for name in tensors}
        self._executable = executor.bind("generator", batch, tensor_addresses)

    @property
    def bytes(self) -> int:
        """On the device."""
        return sum(buffers.bytes for buffers in self._all)

    def generate(self, z: np.ndarray) -> np.ndarray:
        """G(z), [N, C, H, W], of at most ``batch`` rows."""
        self._z.upload(z=z)
        self._executable.enqueue()
        self._drawn.download()
        self._device.synchronize()
        generated: np.ndarray = self._drawn.host["generated"][: len(z)].copy()
        return generated

    def compose(self, z: np.ndarray, target: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Pictures, uint8 [N, H, W, C], of at most ``batch`` rows."""
        self._z.upload(z=z)
        self._picture.upload(target=target, known=known)
        self._executable.enqueue()
        self._kernels.compose(self._arguments)
        self._composed.download()
        self._device.synchronize()
        composed: np.ndarray = self._composed.host["composed"][: len(z)].copy()
        return composed

    def close(self) -> None:
        """Frees what was allocated."""
        for buffers in self._all:
            buffers.free()

    @property
    def _all(self) -> tuple[Buffers, ...]:
        return self._z, self._picture, self._drawn, self._composed
