"""The kernels of this package on a device: one launch is one step of every row, or one batch of pictures."""

from __future__ import annotations

import numpy as np

from edgefill.errors import InputError
from edgefill.kernels.arguments import loop_arguments
from edgefill.kernels.device import Device
from edgefill.kernels.solvers import SHIPPED
from edgefill.kernels.solvers.solver import Solver

_STEP_BLOCKS = (128, 512)  # threads to a row, at least and at most; each may have 128 registers then
_COMPOSE_BLOCK = 256
_LOOP_BLOCK = 64  # as many rows as run together
_AGAIN = "search_again"


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

    def load_loop(self) -> None:
        """Gets ``search_again`` ready, which no capture allows. Raises CaptureFailed."""
        if _AGAIN not in self._functions:
            self._functions[_AGAIN] = self._device.load_loop().get_function(_AGAIN)

    def search_again(self, arguments: np.ndarray, handle: int) -> None:
        """Enqueues what sets the ``handle`` of a loop to whether a row takes another step.

        ``arguments`` are those of a step.
        """
        self._device.launch(self._functions[_AGAIN], 1, _LOOP_BLOCK, loop_arguments(arguments, handle))

    def compose(self, arguments: np.ndarray) -> None:
        """Enqueues the composition that ``arguments``, a COMPOSE struct, describes."""
        pixels = int(arguments["rows"]) * int(arguments["height"]) * int(arguments["width"])
        self._device.launch(
            self._functions["compose"], -(-pixels // _COMPOSE_BLOCK), _COMPOSE_BLOCK, arguments
        )

    def close(self) -> None:
        """Unloads them, in their context: whoever drops them last may be in another thread, without one."""
        self._functions.clear()
