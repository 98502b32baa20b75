"""The kernels of this package on a device: one launch is one step of every row, or one batch of pictures."""

from __future__ import annotations

import numpy as np

from edgefill.errors import InputError
from edgefill.kernels.device import Device
from edgefill.kernels.solvers import SHIPPED
from edgefill.kernels.solvers.solver import Solver

_STEP_BLOCKS = (128, 512)  # threads to a row, at least and at most; each may have 128 registers then
_COMPOSE_BLOCK = 256


class Kernels:
    """The shipped kernels, loaded into the context of ``device``."""

    def __init__(self, device: Device) -> None:
        self._device = device
        module = device.load_kernels()  # which its functions keep
        names = (*(solver.kernel() for solver in SHIPPED), "compose")
        self._functions = {name: module.get_function(name) for name in names}

    def check(self, solver: Solver) -> None:
        """Raises InputError for a solver without a kernel here."""
        if solver.kernel() not in self._functions:
            raise InputError(
                f"cannot search with {solver.name} on a GPU: the kernels that ship are those of "
                f"{', '.join(each.name for each in SHIPPED)}; complete with --backend cpu"
            )

    def step(self, solver: Solver, arguments: np.ndarray) -> None:
        """Enqueues one step of ``solver`` for every row of ``arguments``, its struct."""
        rows, numbers = (int(arguments["search"][name]) for name in ("rows", "z_dim"))
        least, most = _STEP_BLOCKS
        block = min(max(least, 1 << (numbers - 1).bit_length()), most)
        self._device.launch(self._functions[solver.kernel()], rows, block, arguments)

    def compose(self, arguments: np.ndarray) -> None:
        """Enqueues the composition that ``arguments``, a COMPOSE struct, describes."""
        pixels = int(arguments["rows"]) * int(arguments["height"]) * int(arguments["width"])
        self._device.launch(
            self._functions["compose"], -(-pixels // _COMPOSE_BLOCK), _COMPOSE_BLOCK, arguments
        )

    def close(self) -> None:
        """Unloads them, in their context: whoever drops them last may be in another thread, without one."""
        self._functions.clear()
