"""The kernels of this package on a device: one launch is one step of every row, or one batch of pictures."""

from __future__ import annotations

import numpy as np

from edgefill.kernels.device import Device
from edgefill.kernels.solvers import SOLVER_NAMES, kernel_of

_STEP_BLOCK = 128  # threads to a row: a latent of 100 numbers in one go
_COMPOSE_BLOCK = 256


class Kernels:
    """The shipped kernels, loaded into the context of ``device``."""

    def __init__(self, device: Device) -> None:
        self._device = device
        module = device.load_kernels()  # which its functions keep
        names = (*map(kernel_of, SOLVER_NAMES), "compose")
        self._functions = {name: module.get_function(name) for name in names}

    def step(self, solver: str, arguments: np.ndarray) -> None:
        """Enqueues one step of ``solver`` for every row of ``arguments``, a SEARCH struct."""
        self._device.launch(
            self._functions[kernel_of(solver)], int(arguments["rows"]), _STEP_BLOCK, arguments
        )

    def compose(self, arguments: np.ndarray) -> None:
        """Enqueues the composition that ``arguments``, a COMPOSE struct, describes."""
        pixels = int(arguments["rows"]) * int(arguments["height"]) * int(arguments["width"])
        self._device.launch(
            self._functions["compose"], -(-pixels // _COMPOSE_BLOCK), _COMPOSE_BLOCK, arguments
        )

    def close(self) -> None:
        """Unloads them, in their context: whoever drops them last may be in another thread, without one."""
        self._functions.clear()
