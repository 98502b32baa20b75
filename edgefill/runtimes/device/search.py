"""The search of one batch size: its buffers, the step bound to them, and a CUDA graph of several steps."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from edgefill.kernels.arguments import search_arguments
from edgefill.kernels.buffers import Buffers, Shapes
from edgefill.kernels.device import CaptureFailed, Device, Graph
from edgefill.kernels.launcher import Kernels
from edgefill.kernels.solvers.solver import Solver
from edgefill.methods.latent.elsewhere import Elsewhere
from edgefill.methods.latent.search import COMMON, CONVERGED, NUMBERS, RUNNING, SearchState
from edgefill.methods.latent.settings import SearchSettings
from edgefill.model.manifest import Manifest
from edgefill.runtimes.device.executors import Executor, tensor_shapes
from edgefill.runtimes.device.room import check_room

STEPS_A_GRAPH = 4  # a row that stops leaves at most three for nothing
_RUNS_BEFORE_CAPTURE = 2  # ONNX Runtime still allocates in its second run
_TASK = ("target", "weight", "block_weight", "power", "lam", "anchor", "pull")
_OUTPUTS = ("grad_z", "generated", "contextual", "perceptual")


class DeviceSearch:
    """The buffers of ``batch`` rows and what runs on them: ``graph`` and the updates.

    ``graph`` is "step" or "fit", or the wide fit of a latent that has ``features`` numbers beside z. The
    numbers of the ``solver`` may be others from search to search, but for those that say how much it
    remembers. The device's context is current in every call.
    """

    def __init__(
        self,
        model: Manifest,
        graph: str,
        batch: int,
        solver: Solver,
        device: Device,
        executor: Executor,
        kernels: Kernels,
        features: int = 0,
    ) -> None:
        self._batch, self._device, self._kernels = batch, device, kernels
        kernels.check(solver)
        own_tensors = tensor_shapes(model, graph, batch, features=features)
        tensors = {**tensor_shapes(model, "step", batch), **own_tensors}  # of which a fit has a part
        (_, width), _ = own_tensors["z"]
        common: dict[str, Any] = {each.name: each.row(width) for each in COMMON}
        numbers = {name: common.pop(name) for name in NUMBERS}
        ledger = [_of_rows(batch, rows) for rows in (numbers, common, solver.shapes(width))]
        shapes = [*ledger, *({name: tensors[name] for name in names} for names in (_TASK, _OUTPUTS))]
        check_room(device, batch, shapes)
        self._numbers, self._vectors, self._own, self._task, self._outputs = (
            Buffers(device, each) for each in shapes
        )
        self._schedule = Buffers(device, {})
        self._answer = device.pinned(4 * batch).view(np.int32)
        self.left: weakref.WeakSet[Elsewhere] = weakref.WeakSet()  # of what is on the device
        self._last: Callable[[], Elsewhere | None] = _nobody  # what was left by the last search
        self._there: dict[str, np.ndarray] = {}  # the numbers of its state, as they are on the device
        self._slots = np.zeros(0, np.intp)  # which rows of the buffers those of its state are
        self._settings: SearchSettings | None = None  # its
        self._rates = np.zeros(0)
        self._solver, self._arguments = solver, np.zeros(())
        self._graph: Graph | None = None
        self._graph_is_of: tuple[bool, int, bytes] | None = None
        addresses = {**self._ledger_addresses, **self._task.address, **self._outputs.address}
        self._executable = executor.bind(graph, batch, {name: addresses[name] for name in own_tensors})
        self._outputs.clear()  # the fit leaves "perceptual" alone

    @property
    def bytes(self) -> int:
        """On the device."""
        return sum(buffers.bytes for buffers in self._buffers)

    def upload(self, state: SearchState) -> None:
        """Enqueues copies of what of ``state`` is not on the device: between two turns that is the limit.

        Rows that were parted from what is there stay where they are; those that were joined take free places.
        """
        left = state.left
        if state.elsewhere is not None and state.elsewhere is self._last():
            self._settle(others_than=state.elsewhere)
            self._upload_changes(state)
        elif left is not None and left.place is self and self._continues(state):
            self._settle(others_than=left)
            self._upload_fresh(state, left)
        else:
            self._settle()
            self._upload_all(state)

    def download(self) -> None:
        """Enqueues a copy of each row's numbers; when it has run, ``take`` puts them into the state."""
        self._numbers.download()

    def take(self, state: SearchState) -> None:
        """Puts what was downloaded into ``state``, whose z, best_z and solver's arrays stay on the device."""
        self._there = {name: array[self._slots] for name, array in self._numbers.host.items()}
        for before in list(self.left):  # nobody reads what was overwritten
            before.place = None
        self.left.clear()
        left = Elsewhere(self, self._slots)
        self._last = weakref.ref(left)
        state.leave(self._there, left)

    def bring(self, field: str) -> dict[str, np.ndarray]:
        """The arrays of z, best_z or "own", the solver's, of every row of the buffers."""
        with self._device:
            if field == "own":
                self._own.download()
            else:
                self._vectors.download_only(field)
            self._device.synchronize()
        return self._own.host if field == "own" else {field: self._vectors.host[field]}

    def _continues(self, state: SearchState) -> bool:
        """Whether ``state`` has the schedule that is on the device."""
        return not state.drawn and state.rates is self._rates and state.settings == self._settings

    def _upload_all(self, state: SearchState) -> None:
        self._slots = np.arange(len(state.status))
        self._upload_numbers(state)
        self._vectors.upload(z=state.z, best_z=state.best_z)
        if state.steps.any():
            self._own.upload(**state.own)
        else:  # a solver remembers 0 before the first step
            self._own.clear()
        self._task.upload(**state.task._asdict())
        self._upload_schedule(state)
        self._arguments = self._arguments_of(state)
        self._settings, self._rates = state.settings, state.rates

    def _upload_changes(self, state: SearchState) -> None:
        numbers = {name: getattr(state, name) for name in NUMBERS}
        changed = {name: array for name, array in numbers.items() if array is not self._there[name]}
        for name, array in {**changed, **state.changed}.items():
            (buffers,) = (each for each in self._ledger if name in each.shapes)
            buffers.upload_only(name, array, self._slots)

    def _upload_fresh(self, state: SearchState, left: Elsewhere) -> None:
        """Those rows of ``state`` that came since ``left``, and the numbers of all."""
        came, task = np.flatnonzero(left.came), state.task._asdict()
        free = np.setdiff1d(np.arange(self._batch), left.at)
        self._slots = left.at.copy()
        self._slots[came] = free[: len(came)]
        self._upload_numbers(state)
        for number, row in enumerate(came):
            slot, own = int(self._slots[row]), {name: rows[number] for name, rows in left.fresh.items()}
            for name in self._vectors.shapes:
                self._vectors.upload_row(name, slot, own[name])
            if state.steps[row]:
                for name in self._own.shapes:
                    self._own.upload_row(name, slot, own[name])
            else:
                self._own.clear_row(slot)
            for name in self._task.shapes:
                self._task.upload_row(name, slot, task[name][row])

    def _upload_numbers(self, state: SearchState) -> None:
        host = self._numbers.host
        host["status"][:] = CONVERGED  # what pads the batch never runs
        for name in NUMBERS:
            host[name][self._slots] = getattr(state, name)
        self._numbers.upload()

    def step(self) -> None:
        """Enqueues one step: the step graph, then the update."""
        self._executable.enqueue()
        self._kernels.step(self._solver, self._arguments)

    @property
    def capturable(self) -> bool:
        """Whether the library lets its engine be captured."""
        return self._executable.capturable

    def captured(self, *, loops: bool) -> Callable[[], None]:
        """What enqueues STEPS_A_GRAPH steps in one call, or all that any row takes. Raises CaptureFailed."""
        if not self.capturable:
            raise CaptureFailed("the library says that this engine cannot be captured as a CUDA graph")
        wanted = loops, self._executable.scratch, self._arguments.tobytes()
        if self._graph is None or self._graph_is_of != wanted:
            self._drop_graph()
            if loops:
                self._kernels.load_loop()
            for _ in range(_RUNS_BEFORE_CAPTURE):  # a library may allocate in them, which no capture allows
                self._executable.enqueue()
            self._device.synchronize()
            self._graph = (
                self._device.capture_loop(self._body) if loops else self._device.capture(self._several_steps)
            )
            self._graph_is_of = wanted
        launch: Callable[[], None] = self._graph.launch
        return launch

    def runs(self) -> bool:
        """Waits for the device: does any row still search?"""
        self._device.download(self._answer, self._numbers.address["status"])
        self._device.synchronize()
        return bool((self._answer == RUNNING).any())

    def close(self) -> None:
        """Frees what was allocated; a state that is still used keeps what it has here."""
        self._settle()
        self._drop_graph()
        for buffers in self._buffers:
            buffers.free()

    def _settle(self, others_than: Elsewhere | None = None) -> None:
        """Brings what is still to be had of what is on the device, before it is used for ``others_than``."""
        for each in list(self.left):
            if each is not others_than:
                each.settle()
                self.left.discard(each)

    @property
    def _ledger(self) -> tuple[Buffers, ...]:
        """All that a search changes: SearchState's ``arrays``."""
        return self._numbers, self._vectors, self._own

    @property
    def _ledger_addresses(self) -> dict[str, int]:
        return {name: address for each in self._ledger for name, address in each.address.items()}

    @property
    def _buffers(self) -> tuple[Buffers, ...]:
        return *self._ledger, self._task, self._outputs, self._schedule

    def _several_steps(self) -> None:
        for _ in range(STEPS_A_GRAPH):
            self.step()

    def _body(self, handle: int) -> None:
        """Of a loop: one step, and whether there is another."""
        self.step()
        self._kernels.search_again(self._arguments, handle)

    def _drop_graph(self) -> None:
        if self._graph is not None:
            self._graph.close()
        self._graph = None

    def _upload_schedule(self, state: SearchState) -> None:
        """Rates, and the solver's random numbers."""
        shapes: Shapes = {
            "rates": (state.rates.shape, state.rates.dtype),
            **{
                name: ((len(array), self._batch, *array.shape[2:]), array.dtype)
                for name, array in state.drawn.items()
            },
        }
        self._schedule = self._fitting(self._schedule, shapes)
        for name, array in state.drawn.items():
            self._schedule.host[name][:, : len(state.status)] = array
        self._schedule.upload(rates=state.rates)

    def _fitting(self, buffers: Buffers, shapes: Shapes) -> Buffers:
        """``buffers`` while they have these shapes, for the sake of the graph that has their addresses."""
        if buffers.shapes == shapes:
            return buffers
        buffers.free()
        return Buffers(self._device, shapes)

    def _arguments_of(self, state: SearchState) -> np.ndarray:
        outputs = self._outputs.address
        addresses = {
            **self._ledger_addresses,
            **self._schedule.address,
            "gradient": outputs["grad_z"],
            "contextual": outputs["contextual"],
            "perceptual": outputs["perceptual"],
        }
        shape = {"rows": self._batch, "z_dim": state.width}
        arguments: np.ndarray = search_arguments(state.settings, addresses, **shape, bound=state.bound)
        return arguments


def _of_rows(batch: int, rows: Shapes) -> Shapes:
    """The shapes of ``batch`` such rows."""
    return {name: ((batch, *shape), dtype) for name, (shape, dtype) in rows.items()}


def _nobody() -> None:
    """No state."""
