"""The search of one batch size: its buffers, the step bound to them, and a CUDA graph of several steps."""

from __future__ import annotations

from collections.abc import Callable

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
        shapes: list[Shapes] = [
            _ledger_shapes(batch, width, solver),
            {name: tensors[name] for name in _TASK},
            {name: tensors[name] for name in _OUTPUTS},
        ]
        check_room(device, batch, shapes)
        self._ledger, self._task = Buffers(device, shapes[0]), Buffers(device, shapes[1])
        self._outputs = Buffers(device, shapes[2])
        self._schedule = Buffers(device, {})
        self._answer = device.pinned(4 * batch).view(np.int32)
        self._state: SearchState | None = None  # whose task and schedule are on the device
        self._there: dict[str, np.ndarray] = {}  # the arrays of that state that are on the device as they are
        self._solver, self._arguments = solver, np.zeros(())
        self._graph: Graph | None = None
        self._graph_is_of = b""
        own = {name: self._ledger.address[name] for name in ("z", "loss")}
        addresses = {**own, **self._task.address, **self._outputs.address}
        self._executable = executor.bind(graph, batch, {name: addresses[name] for name in own_tensors})
        self._outputs.upload(perceptual=np.zeros(batch, np.float32))  # which the fit leaves alone

    @property
    def bytes(self) -> int:
        """On the device."""
        return sum(buffers.bytes for buffers in self._buffers)

    def upload(self, state: SearchState) -> None:
        """Enqueues copies of what of ``state`` is not on the device: between two turns that is the limit."""
        if self._state is state and self._is_there(state):
            self._ledger.upload_only("limit", state.limit)
            return
        self._ledger.host["status"][len(state.z) :] = CONVERGED  # what pads the batch never runs
        self._ledger.upload(**state.arrays)
        if self._state is not state:
            self._task.upload(**state.task._asdict())
            self._upload_schedule(state)
            self._arguments = self._arguments_of(state)
            self._state = state

    def download(self) -> None:
        """Enqueues a copy of where the search stands; when it has run, ``take`` puts it into the state."""
        self._ledger.download()

    def take(self, state: SearchState) -> None:
        """Puts what was downloaded into ``state``."""
        rows = len(state.z)
        self._there = {name: array[:rows].copy() for name, array in self._ledger.host.items()}
        state.put(self._there)

    def step(self) -> None:
        """Enqueues one step: the step graph, then the update."""
        self._executable.enqueue()
        self._kernels.step(self._solver, self._arguments)

    def captured(self) -> Callable[[], None]:
        """What enqueues STEPS_A_GRAPH steps in one call. Raises CaptureFailed."""
        if not self._executable.capturable:
            raise CaptureFailed("the library says that this engine cannot be captured as a CUDA graph")
        wanted = self._arguments.tobytes()
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
        self._device.download(self._answer, self._ledger.address["status"])
        self._device.synchronize()
        return bool((self._answer == RUNNING).any())

    def close(self) -> None:
        """Frees what was allocated."""
        self._drop_graph()
        for buffers in self._buffers:
            buffers.free()

    def _is_there(self, state: SearchState) -> bool:
        """Whether ``state`` has the arrays that it was given, all but its limit."""
        arrays = state.arrays
        return all(arrays[name] is array for name, array in self._there.items() if name != "limit")

    @property
    def _buffers(self) -> tuple[Buffers, ...]:
        return self._ledger, self._task, self._outputs, self._schedule

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
            self._schedule.host[name][:, : len(state.z)] = array
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
            **self._ledger.address,
            **self._schedule.address,
            "gradient": outputs["grad_z"],
            "contextual": outputs["contextual"],
            "perceptual": outputs["perceptual"],
        }
        shape = {"rows": self._batch, "z_dim": state.z.shape[1]}
        arguments: np.ndarray = search_arguments(state.settings, addresses, **shape, bound=state.bound)
        return arguments


def _ledger_shapes(batch: int, z_dim: int, solver: Solver) -> Shapes:
    """Of all that a search changes: SearchState's ``arrays``."""
    rows = {**{each.name: each.row(z_dim) for each in COMMON}, **solver.shapes(z_dim)}
    return {name: ((batch, *shape), dtype) for name, (shape, dtype) in rows.items()}
