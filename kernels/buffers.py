"""Named arrays on a device, and the same arrays in pinned memory on the host."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import numpy as np
from numpy.typing import DTypeLike

from edgefill.kernels.device import Device

Shapes = Mapping[str, tuple[tuple[int, ...], DTypeLike]]
_ALIGNMENT = 256  # bytes: what cudaMalloc promises, and TensorRT wants of every tensor


class Buffers:
    """Named arrays in one allocation on the device, and the same arrays in pinned memory on the host.

    The host has none of them until some are copied.
    """

    def __init__(self, device: Device, shapes: Shapes) -> None:
        offsets, self.bytes = _layout(shapes)
        self._device, self.shapes = device, shapes
        self._memory = device.allocate(self.bytes)
        self.address = {name: int(self._memory) + offset for name, offset in offsets.items()}

    @cached_property
    def _mirror(self) -> np.ndarray:
        mirror = self._device.pinned(self.bytes)
        mirror.fill(0)
        return mirror

    @cached_property
    def host(self) -> dict[str, np.ndarray]:
        """The arrays on the host, by name."""
        begin, arrays = int(self._memory), {}
        for name, (shape, dtype) in self.shapes.items():
            offset = self.address[name] - begin
            arrays[name] = self._mirror[offset : offset + _bytes(shape, dtype)].view(dtype).reshape(shape)
        return arrays

    @staticmethod
    def size(shapes: Shapes) -> int:
        """How many bytes buffers of ``shapes`` take on the device."""
        return _layout(shapes)[1]

    def upload(self, **arrays: np.ndarray) -> None:
        """Puts each array into the first rows of the mirror of its name; then all is copied in one go."""
        for name, array in arrays.items():
            self.host[name][: len(array)] = array
        self._device.upload(int(self._memory), self._mirror)

    def upload_only(self, name: str, array: np.ndarray, rows: np.ndarray | None = None) -> None:
        """Puts ``array`` into ``rows`` of the mirror of ``name``, or the first, and copies that alone."""
        self.host[name][slice(len(array)) if rows is None else rows] = array
        self._device.upload(self.address[name], self.host[name])

    def upload_row(self, name: str, row: int, array: np.ndarray) -> None:
        """Puts ``array`` into one ``row`` of the mirror of ``name``, and copies that alone."""
        host = self.host[name]
        host[row] = array
        self._device.upload(self.address[name] + row * host[0].nbytes, host[row : row + 1])

    def clear_row(self, row: int) -> None:
        """Enqueues zeros for one ``row`` of every array on the device."""
        for name, (shape, dtype) in self.shapes.items():
            size = _bytes(shape[1:], dtype)
            self._device.clear(self.address[name] + row * size, size)

    def clear(self) -> None:
        """Enqueues zeros for everything on the device."""
        self._device.clear(int(self._memory), self.bytes)

    def download(self) -> None:
        """Enqueues one copy of everything to the mirror."""
        self._device.download(self._mirror, int(self._memory))

    def download_only(self, name: str) -> None:
        """Enqueues a copy of the array of this name alone."""
        self._device.download(self.host[name], self.address[name])

    def free(self) -> None:
        """Gives the device's memory back."""
        self._memory.free()


def _layout(shapes: Shapes) -> tuple[dict[str, int], int]:
    offsets, end = {}, 0
    for name, (shape, dtype) in shapes.items():
        offsets[name] = end
        end += -(-_bytes(shape, dtype) // _ALIGNMENT) * _ALIGNMENT
    return offsets, max(end, _ALIGNMENT)


def _bytes(shape: tuple[int, ...], dtype: DTypeLike) -> int:
    return int(np.prod(shape)) * np.dtype(dtype).itemsize
