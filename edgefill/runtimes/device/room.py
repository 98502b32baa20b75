"""Whether a batch has room on the device, asked before anything is allocated."""

from __future__ import annotations

from collections.abc import Sequence

from edgefill.errors import InputError
from edgefill.kernels.buffers import Buffers, Shapes
from edgefill.kernels.device import Device


def check_room(device: Device, batch: int, shapes: Sequence[Shapes]) -> None:
    """Raises InputError that names the batch size that fits, where buffers of ``shapes`` do not."""
    copies = 2 if device.integrated else 1  # what the host has of them is of the same memory there
    needed, free = copies * sum(Buffers.size(each) for each in shapes), device.free_memory()
    if needed > free:
        fits = 1 << (free * batch // needed).bit_length() >> 1  # batches are padded to powers of two
        advice = (
            f"at most {fits} fit: use --batch {fits}" if fits else "not one fits: close what else runs there"
        )
        raise InputError(
            f"a batch of {batch} pictures needs {needed / 1e6:.1f} MB on {device.name}, where "
            f"{free / 1e6:.1f} MB are free; {advice}"
        )
