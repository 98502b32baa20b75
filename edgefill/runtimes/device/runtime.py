"""A runtime on a GPU: steps and updates are enqueued there, and the host only asks whether they are done."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import astuple, fields, replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgefill.kernels.device import CaptureFailed, Device, open_device
from edgefill.kernels.launcher import Kernels
from edgefill.methods.latent.search import SearchState
from edgefill.model.bundle import Bundle
from edgefill.model.manifest import Manifest, wide_form
from edgefill.runtimes import Footprint, RuntimeInfo, StepTimes
from edgefill.runtimes.device.executors import Executor, open_executor, tensor_shapes
from edgefill.runtimes.device.forward import DeviceForward
from edgefill.runtimes.device.pictures import DevicePictures
from edgefill.runtimes.device.search import STEPS_A_GRAPH, DeviceSearch
from edgefill.runtimes.registry import Row
from edgefill.runtimes.rows import in_portions, row_count, sides_of

_ROWS_AT_ONCE = 64  # that run or are composed together
_VALUES_AT_ONCE = 1 << 23  # of a network's largest input or output: eight pictures with masks of 512 × 512


class _SearchKey(NamedTuple):
    graph: str
    batch: int
    solver: str
    remembered: tuple[object, ...]  # how much of a row


class _Replay(NamedTuple):
    """What enqueues STEPS_A_GRAPH steps; where it ``loops``, as many as a row takes."""

    launch: Callable[[], None]
    loops: bool


class DeviceRuntime:
    """A runtime that keeps the whole search on ``device``, with ``executor`` running the graphs.

    ``features`` are those of the bundle's graphs in that precision.
    """

    def __init__(
        self,
        name: str,
        model: Manifest,
        device: Device,
        executor: Executor,
        *,
        precision: str = "fp32",
        features: int = 0,
        graph: bool = True,
        say: Callable[[str], None] = warnings.warn,
    ) -> None:
        self._model, self._device, self._executor, self._say = model, device, executor, say
        self._wants_graph, self._wants_loop = graph, device.loops
        self._searches: dict[_SearchKey, DeviceSearch] = {}
        self._pictures: dict[tuple[int, int], DevicePictures] = {}  # width of the latent, batch
        self._forwards: dict[tuple[str, int, tuple[int, int] | None], DeviceForward] = {}  # batch, size
        with device:
            self._kernels = Kernels(device)
        self._name, self._precision, self.features = name, precision, features

    @classmethod
    def open(
        cls,
        row: Row,
        bundle: Bundle,
        precision: str,
        *,
        graph: bool,
        engines: Path | None,
        say: Callable[[str], None],
    ) -> DeviceRuntime:
        """The runtime ``row`` on the first GPU. Raises BackendUnavailable that says what is missing."""
        device = open_device()
        executor = open_executor(row, bundle, device, precision, engines=engines, say=say)
        executor.check()
        model, features = bundle.manifest, bundle.features(precision)
        return cls(
            row.name, model, device, executor, precision=precision, features=features, graph=graph, say=say
        )

    @property
    def info(self) -> RuntimeInfo:
        """What it runs on, and how many steps it replays at once."""
        at_once = STEPS_A_GRAPH if self._wants_graph else 1
        loops = self._wants_graph and self._wants_loop
        runs_on = self._executor.runtime, self._device.name
        return RuntimeInfo(self._name, *runs_on, at_once, self._precision, loops)

    @property
    def one_size(self) -> bool:
        """An engine is built for frames of one size, and a graph captured."""
        return True

    def solve(self, state: SearchState, n: int) -> None:
        """Takes ``n`` steps of the search in place; fewer where every row stops before."""
        self.timed(state, n)

    def timed(self, state: SearchState, n: int) -> StepTimes:
        """Takes ``n`` steps as ``solve`` does, with a clock around them."""
        rows = len(state.status)
        if rows <= _ROWS_AT_ONCE:
            return self._timed(state, n)
        numbers = np.arange(rows) // _ROWS_AT_ONCE
        parts = [state.rows(numbers == number) for number in range(numbers[-1] + 1)]
        times = [self._timed(part, n) for part in parts]
        whole = SearchState.joined(*parts)
        for field in fields(state):
            setattr(state, field.name, getattr(whole, field.name))
        return StepTimes(*map(sum, zip(*map(astuple, times), strict=True)))

    def _timed(self, state: SearchState, n: int) -> StepTimes:
        """``timed`` for as many rows as run together."""
        with self._device as device:
            search = self._search_for(state)
            state.allow(n)
            n = int(np.max(state.limit - state.steps, where=state.pending, initial=0))
            events = [device.record("begin")]
            search.upload(state)
            events.append(device.record("uploaded"))
            stops, taken_before = state.settings.stops, state.steps
            replay = self._replay(search, stops=stops) if n >= STEPS_A_GRAPH else None
            events.append(device.record("captured"))
            begin = time.perf_counter()
            steps = _enqueue(search, replay, n, stops=stops)
            host = time.perf_counter() - begin
            events.append(device.record("stepped"))
            search.download()
            events.append(device.record("downloaded"))
            device.synchronize()
            search.take(state)
            if replay and replay.loops:
                steps = int((state.steps - taken_before).max())
            uploading, _, stepping, downloading = (a.time_till(b) / 1e3 for a, b in pairwise(events))
        return StepTimes(host, stepping, copies=uploading + downloading, steps=steps)

    def run(self, graph: str, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of ``graph`` by name, on the host, for ``feeds`` of any number of rows."""
        size = sides_of(self._model, graph, feeds)
        forward = partial(self._forward, graph, size)
        with self._device:
            return in_portions(forward, self._model, graph, feeds, self._most(graph, size))

    def compose(self, z: np.ndarray, target: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Pictures, uint8 [N, H, W, C]: ``target [N, C, H, W]`` where ``known [N, H, W]``, else G(z)."""
        portions = zip(_portions(z), _portions(target), _portions(known), strict=True)
        with self._device:
            composed = [self._pictures_for(rows).compose(rows, *rest) for rows, *rest in portions]
        return np.concatenate(composed)

    def interrupt(self) -> None:
        """Nothing: what a device was given runs to its end."""

    def footprint(self) -> Footprint:
        """What the executor's plans weigh, and all that was allocated beside them."""
        own = sum(each.bytes for each in self._arenas)
        plans = self._executor.footprint()
        return replace(plans, device_bytes=plans.device_bytes + own)

    def close(self) -> None:
        """Gives every buffer, graph and engine back."""
        with self._device:
            for each in self._arenas:
                each.close()
            for arenas in (self._searches, self._pictures, self._forwards):
                arenas.clear()
            self._executor.close()
            self._kernels.close()

    @property
    def _arenas(self) -> list[DeviceSearch | DevicePictures | DeviceForward]:
        return [*self._searches.values(), *self._pictures.values(), *self._forwards.values()]

    def _replay(self, search: DeviceSearch, *, stops: bool) -> _Replay | None:
        """What enqueues many steps in one call; None where graphs are not wanted or not possible.

        Where the host would have to ask whether a row still runs, the device does, if it can.
        """
        while self._wants_graph:
            loops = stops and self._wants_loop
            try:
                return _Replay(search.captured(loops=loops), loops)
            except CaptureFailed as error:
                self._fall_back(error, to_portions=loops and search.capturable)
        return None

    def _fall_back(self, error: CaptureFailed, *, to_portions: bool) -> None:
        if to_portions:
            self._wants_loop = False
            instead = f"every {STEPS_A_GRAPH} steps the host asks whether one more is needed"
        else:
            self._wants_graph = False
            instead = "every step is enqueued by itself"
        self._say(f"{error}; {instead}, which is slower")

    def _search_for(self, state: SearchState) -> DeviceSearch:
        rows, width, solver = len(state.status), state.width, state.settings.solver
        graph, generator = (wide_form(self._model, each, width) for each in (state.task.graph, "generator"))
        batch = self._batch_for(graph, rows, [key.batch for key in self._searches if key.graph == graph])
        key = _SearchKey(graph, batch, solver.name, tuple(solver.shapes(width).items()))
        if key not in self._searches:
            parts = (self._device, self._executor, self._kernels, self.features)
            self._searches[key] = DeviceSearch(self._model, graph, batch, solver, *parts)
            if self._executor.at_hand(generator, rows) is None:  # it is built now, not when one has ended
                self._forward_for(generator, batch, None)
        return self._searches[key]

    def _pictures_for(self, z: np.ndarray) -> DevicePictures:
        rows, width = z.shape
        generator = self._forward_for(wide_form(self._model, "generator", width), rows, None)
        key = (width, generator.batch)
        if key not in self._pictures:
            self._pictures[key] = DevicePictures(self._model, generator, self._device, self._kernels)
        return self._pictures[key]

    def _forward(
        self, graph: str, size: tuple[int, int] | None, feeds: Mapping[str, np.ndarray]
    ) -> dict[str, np.ndarray]:
        rows = row_count(self._model, graph, feeds)
        form = wide_form(self._model, graph, feeds["z"].shape[1]) if "z" in feeds else graph
        return self._forward_for(form, rows, size)(feeds, rows)

    def _forward_for(self, graph: str, rows: int, size: tuple[int, int] | None) -> DeviceForward:
        interface = self._model.interface
        if interface:  # a row that only pads costs as much as another
            batch = interface.rows or self._executor.capacity(graph, rows)
        else:
            batch = self._batch_for(graph, rows, [own for kind, own, _ in self._forwards if kind == graph])
        key = (graph, batch, size)
        if key not in self._forwards:
            parts = (self._device, self._executor, size, self.features)
            self._forwards[key] = DeviceForward(self._model, graph, batch, *parts)
        return self._forwards[key]

    def _most(self, graph: str, size: tuple[int, int] | None) -> int:
        """How many rows of ``graph`` run together."""
        interface = self._model.interface
        if interface is None:
            return _ROWS_AT_ONCE
        if interface.rows:
            return interface.rows
        values = max(math.prod(shape) for shape, _ in tensor_shapes(self._model, graph, 1, size).values())
        most = max(1, min(_ROWS_AT_ONCE, _VALUES_AT_ONCE // values))
        return min(most, self._executor.ready(graph) or most)

    def _batch_for(self, graph: str, rows: int, sizes: Iterable[int]) -> int:
        """The smallest of ``sizes``, which are bound, where it is at most twice ``rows``; or what is at hand.

        The last pictures of a run are few: nothing is built for them while a larger size is bound.
        """
        holding = min((size for size in sizes if size >= rows), default=None)
        if holding is not None and (holding <= 2 * rows or self._executor.at_hand(graph, rows) is None):
            return holding
        return self._executor.capacity(graph, rows)


def _enqueue(search: DeviceSearch, replay: _Replay | None, n: int, *, stops: bool) -> int:
    """Enqueues ``n`` steps; where rows may stop before, portion by portion while one still runs. How many."""
    at_once = n if replay and replay.loops else STEPS_A_GRAPH
    for start in range(0, n, at_once):
        if start and stops and not search.runs():
            return start
        portion = min(at_once, n - start)
        if replay and portion == at_once:
            replay.launch()
        else:
            for _ in range(portion):
                search.step()
    return n


def _portions(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        yield rows[start : start + _ROWS_AT_ONCE]
