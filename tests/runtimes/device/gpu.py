"""A GPU without one: the fake driver, kernels that are their own specification, an executor of functions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np

from edgefill.errors import EngineError
from edgefill.kernels.arguments import RATES
from edgefill.methods.latent.search import Evaluation, SearchState, Task, take_step
from edgefill.methods.latent.settings import SearchSettings
from edgefill.model.manifest import Manifest, graph_signatures
from edgefill.pictures.images import from_unit
from edgefill.runtimes import Footprint
from edgefill.runtimes.device.executors import padded, tensor_shapes
from edgefill.runtimes.host import HostRuntime
from tests.fakes.cuda import FakeCuda, array, floats, memory

_WIDE = ("z", "first", "second", "best_z")
_COUNTS = ("marked_at", "steps", "limit", "status")
_ROW = ("loss", "best_loss", "best_contextual", "best_perceptual", "mark", "energy")


def specified_kernels(settings: SearchSettings, bound: float = 1.0):
    """A kernel for FakeCuda that does with NumPy, in device memory, what the specification says."""

    def launch(name: str, struct: Any, grid: int, block: int) -> None:
        if name == "compose":
            _compose(struct)
            return
        assert name == f"{settings.solver}_step" and grid == struct["rows"]
        rows, z_dim = int(struct["rows"]), int(struct["z_dim"])
        views = {field: floats(int(struct[field]), rows, z_dim) for field in _WIDE}
        views |= {field: floats(int(struct[field]), rows) for field in _ROW}
        views |= {field: memory(int(struct[field]), 4 * rows).view(np.int32) for field in _COUNTS}
        trajectories = settings.trajectories
        remembered = settings.memory if settings.solver == "lbfgs" else 0
        views |= {name: floats(int(struct[name]), rows, remembered, z_dim) for name in ("moves", "changes")}
        views["curvatures"] = floats(int(struct["curvatures"]), rows, remembered)
        views["pairs"] = memory(int(struct["pairs"]), 4 * rows * bool(remembered)).view(np.int32)
        state = SearchState(
            task=Task(*[np.zeros(0)] * len(Task._fields)),
            settings=settings,
            bound=bound,
            rates=memory(int(struct["rates"]), RATES.itemsize * settings.steps).view(RATES),
            noise=floats(int(struct["noise"]), trajectories, rows, z_dim),
            uniform=floats(int(struct["uniform"]), trajectories, rows),
            **{name: view.copy() for name, view in views.items()},
        )
        found = Evaluation(
            state.loss,
            floats(int(struct["gradient"]), rows, z_dim).copy(),
            floats(int(struct["contextual"]), rows).copy(),
            floats(int(struct["perceptual"]), rows).copy(),
        )
        take_step(state, found)
        for field, view in views.items():
            if field != "loss":
                view[...] = getattr(state, field)

    return launch


def _compose(struct: Any) -> None:
    rows, channels, height, width = (int(struct[name]) for name in ("rows", "channels", "height", "width"))
    known = memory(int(struct["known"]), rows * height * width).reshape(rows, 1, height, width)
    planes = [floats(int(struct[name]), rows, channels, height, width) for name in ("target", "generated")]
    composed = from_unit(np.where(known, *planes).transpose(0, 2, 3, 1))
    memory(int(struct["composed"]), composed.size)[:] = composed.ravel()


class FunctionExecutor:
    """An executor whose graphs ``host`` runs, on device memory, in the order of the stream."""

    runtime = "functions, fp32"

    def __init__(self, cuda: FakeCuda, model: Manifest, host: HostRuntime) -> None:
        self._cuda, self._model, self._host = cuda, model, host
        self.bound: list[tuple[str, int]] = []
        self.refuses = False
        self.capturable = True

    def capacity(self, graph: str, rows: int) -> int:
        return padded(rows)

    def ready(self, graph: str) -> int | None:
        return None

    def bind(
        self, graph: str, batch: int, addresses: Mapping[str, int], size: tuple[int, int] | None = None
    ) -> _Run:
        assert set(addresses) == {name for side in graph_signatures(self._model)[graph] for name in side}
        self.bound.append((graph, batch))
        shapes = tensor_shapes(self._model, graph, batch, size)
        tensors = {name: array(addresses[name], *shapes[name]) for name in shapes}
        return _Run(self, graph, tensors)

    def footprint(self) -> Footprint:
        return Footprint(plan_bytes=7)

    def close(self) -> None:
        self.bound.clear()

    def run(self, graph: str, tensors: Mapping[str, np.ndarray]) -> None:
        inputs, _ = graph_signatures(self._model)[graph]
        for name, value in self._host.run(graph, {name: tensors[name].copy() for name in inputs}).items():
            tensors[name][...] = value


class _Run:
    def __init__(self, executor: FunctionExecutor, graph: str, tensors: Mapping[str, np.ndarray]) -> None:
        self._executor, self._graph, self._tensors = executor, graph, tensors
        self.capturable = executor.capturable

    def enqueue(self) -> None:
        if self._executor.refuses:
            raise EngineError("the library refuses to run step")
        run, graph, tensors = self._executor.run, self._graph, self._tensors
        self._executor._cuda.enqueue(f"run {self._graph}", lambda: run(graph, tensors))


def arrays(state: SearchState) -> dict[str, np.ndarray]:
    """Every array of ``state`` that a search changes."""
    names = [field.name for field in fields(SearchState)]
    return {name: getattr(state, name) for name in names if name in (*_WIDE, *_ROW, *_COUNTS)}
