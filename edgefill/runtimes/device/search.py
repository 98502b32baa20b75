"""The search of one batch size: its buffers, the step bound to them, and a CUDA graph of several steps."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from edgefill.kernels.arguments import search_arguments
from edgefill.kernels.buffers import Buffers, Shapes
from edgefill.kernels.device import CaptureFailed, Device, Graph
from edgefill.kernels.launcher import Kernels
from edgefill.kernels.solvers.solver import Solver
from edgefill.methods.latent.search import COMMON, CONVERGED, RUNNING, SearchState
from edgefill.model.manifest import Manifest
from edgefill.runtimes.device.executors import Executor, tensor_shapes
from edgefill.runtimes.device.room import check_room

STEPS_A_GRAPH = 4  # a row that stops leaves at most three for nothing
_RUNS_BEFORE_CAPTURE = 2  # ONNX Runtime still allocates in its second run
_TASK = ("target", "weight", "block_weight", "power", "lam", "anchor", "pull")
_OUTPUTS = ("grad_z", "generated", "contextual", "perceptual")
_ELSEWHERE = np.zeros(0)  # stands for an array that the host has not


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
        numbers = {name: row for name, row in common.items() if not row[0]}
        vectors = {name: row for name, row in common.items() if row[0]}
        ledger = [_of_rows(batch, rows) for rows in (numbers, vectors, solver.shapes(width))]
        shapes = [*ledger, *({name: tensors[name] for name in names} for names in (_TASK, _OUTPUTS))]
        check_room(device, batch, shapes)
        self._numbers, self._vectors, self._own, self._task, self._outputs = (
            Buffers(device, each) for each in shapes
        )
        self._schedule = Buffers(device, {})
        self._answer = device.pinned(4 * batch).view(np.int32)
        self._state: Callable[[], SearchState | None] = _nobody  # whose task and ledger are on the device
        self._there: dict[str, np.ndarray] = {}  # the arrays of that state that are on the device as they are
        self._bring: Callable[[str], Any] | None = None  # what was left there
        self._solver, self._arguments = solver, np.zeros(())
        self._graph: Graph | None = None
        self._graph_is_of: tuple[int, bytes] | None = None
        addresses = {**self._ledger_addresses, **self._task.address, **self._outputs.address}
        self._executable = executor.bind(graph, batch, {name: addresses[name] for name in own_tensors})
        self._outputs.clear()  # the fit leaves "perceptual" alone

    @property
    def bytes(self) -> int:
        """On the device."""
        return sum(buffers.bytes for buffers in self._buffers)

    def upload(self, state: SearchState) -> None:
        """Enqueues copies of what of ``state`` is not on the device: between two turns that is the limit."""
        if self._state() is state and state.elsewhere is self._bring:
            changed = {name: array for name, array in state.here.items() if self._there[name] is not array}
            for name, array in changed.items():
                self._buffers_of(name).upload_only(name, array)
            return
        self._settle()
        self._numbers.host["status"][len(state.status) :] = CONVERGED  # what pads the batch never runs
        arrays = state.arrays
        self._numbers.upload(**{name: arrays[name] for name in self._numbers.shapes})
        self._vectors.upload(**{name: arrays[name] for name in self._vectors.shapes})
        if state.steps.any():
            self._own.upload(**state.own)
        else:  # a solver remembers 0 before the first step
            self._own.clear()
        self._task.upload(**state.task._asdict())
        self._upload_schedule(state)
        self._arguments = self._arguments_of(state)
        self._state, self._there = weakref.ref(state), arrays

    def download(self) -> None:
        """Enqueues a copy of each row's numbers; when it has run, ``take`` puts them into the state."""
        self._numbers.download()

    def take(self, state: SearchState) -> None:
        """Puts what was downloaded into ``state``, whose z, best_z and solver's arrays stay on the device."""
        numbers = {name: array[: len(state.status)].copy() for name, array in self._numbers.host.items()}
        self._there = {**dict.fromkeys(self._ledger_addresses, _ELSEWHERE), **numbers}
        self._bring = partial(self._brought, len(state.status))
        state.leave(numbers, self._bring)

    def step(self) -> None:
        """Enqueues one step: the step graph, then the update."""
        self._executable.enqueue()
        self._kernels.step(self._solver, self._arguments)

    def captured(self) -> Callable[[], None]:
        """What enqueues STEPS_A_GRAPH steps in one call. Raises CaptureFailed."""
        if not self._executable.capturable:
            raise CaptureFailed("the library says that this engine cannot be captured as a CUDA graph")
        wanted = self._executable.scratch, self._arguments.tobytes()
        if self._graph is None or self._graph_is_of != wanted:
            self._drop_graph()
            for _ in range(_RUNS_BEFORE_CAPTURE):  # a library may allocate in them, which no capture allows
                self._executable.enqueue()
            self._device.synchronize()
            self._graph, self._graph_is_of = self._device.capture(self._several_steps), wanted
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

    def _settle(self) -> None:
        """Brings to the state that is on the device what it left there."""
        state, self._state = self._state(), _nobody
        if state is not None:
            state.arrays  # noqa: B018  reading them brings them

    def _brought(self, rows: int, name: str) -> Any:
        """z, best_z or the solver's arrays, as "own", of ``rows``."""
        with self._device:
            buffers = self._own if name == "own" else self._vectors
            buffers.download() if name == "own" else buffers.download_only(name)
            self._device.synchronize()
        names = self._own.shapes if name == "own" else [name]
        arrays = {each: buffers.host[each][:rows].copy() for each in names}
        self._there.update(arrays)
        return arrays if name == "own" else arrays[name]

    def _buffers_of(self, name: str) -> Buffers:
        return next(each for each in self._ledger if name in each.shapes)

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
