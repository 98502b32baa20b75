"""Pictures of one batch size: G(z) composed with what is known, on the device."""

from __future__ import annotations

import numpy as np

from edgefill.kernels.arguments import compose_arguments
from edgefill.kernels.buffers import Buffers, Shapes
from edgefill.kernels.device import Device
from edgefill.kernels.launcher import Kernels
from edgefill.model.manifest import Manifest
from edgefill.runtimes.device.forward import DeviceForward
from edgefill.runtimes.device.room import check_room


class DevicePictures:
    """What composes as many rows as ``generator`` draws; the device's context is current in every call."""

    def __init__(self, model: Manifest, generator: DeviceForward, device: Device, kernels: Kernels) -> None:
        self._device, self._kernels, self._generator = device, kernels, generator
        batch, (channels, height, width) = generator.batch, model.picture_shape
        picture: Shapes = {
            "target": ((batch, channels, height, width), np.float32),
            "known": ((batch, height, width), np.uint8),
        }
        composed: Shapes = {"composed": ((batch, height, width, channels), np.uint8)}
        check_room(device, batch, [picture, composed])
        self._picture, self._composed = Buffers(device, picture), Buffers(device, composed)
        addresses = {**generator.address, **self._picture.address, **self._composed.address}
        self._arguments = compose_arguments(
            addresses, rows=batch, channels=channels, height=height, width=width
        )

    @property
    def bytes(self) -> int:
        """On the device, without the generator's."""
        return sum(buffers.bytes for buffers in (self._picture, self._composed))

    def compose(self, z: np.ndarray, target: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Pictures, uint8 [N, H, W, C], of at most ``batch`` rows."""
        self._picture.upload(target=target, known=known)
        self._generator.enqueue({"z": z})
        self._kernels.compose(self._arguments)
        self._composed.download()
        self._device.synchronize()
        composed: np.ndarray = self._composed.host["composed"][: len(z)].copy()
        return composed

    def close(self) -> None:
        """Frees what was allocated."""
        for buffers in (self._picture, self._composed):
            buffers.free()
