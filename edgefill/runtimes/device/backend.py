"""A backend on a GPU: steps and updates are enqueued there, and the host only asks whether they are done."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np

from edgefill.kernels.device import CaptureFailed, Device
from edgefill.kernels.launcher import Kernels
from edgefill.methods.latent.search import Evaluation, SearchState, Task
from edgefill.model.bundle import Bundle
from edgefill.model.manifest import COMPLETION, ENCODER, Manifest
from edgefill.runtimes import BackendInfo, Footprint, StepTimes
from edgefill.runtimes.device.executors import Executor, open_executor
from edgefill.runtimes.device.forward import DeviceForward
from edgefill.runtimes.device.pictures import DevicePictures
from edgefill.runtimes.device.search import STEPS_A_GRAPH, DeviceSearch

_PICTURES_AT_ONCE = 64  # that are generated or composed together
_SIZES_AT_ONCE = 4  # of tiles that stay ready to be completed: inner ones and those at the edges


class DeviceBackend:
    """A backend that keeps the whole search on ``device``, with ``executor`` running the graphs."""

    def __init__(
        self,
        name: str,
        model: Manifest,
        device: Device,
        executor: Executor,
        *,
        graph: bool = True,
        say: Callable[[str], None] = warnings.warn,
    ) -> None:
        self._model, self._device, self._executor, self._say = model, device, executor, say
        self._wants_graph = graph
        self._searches: dict[tuple[str, int], DeviceSearch] = {}  # by graph and batch
        self._pictures: dict[int, DevicePictures] = {}
        self._encoders: dict[int, DeviceForward] = {}
        self._completions: dict[tuple[int, int], DeviceForward] = {}  # by height and width
        with device:
            self._kernels = Kernels(device)
        self._name = name

    @classmethod
    def open(
        cls,
        name: str,
        bundle: Bundle,
        precision: str,
        *,
        graph: bool,
        engines: Path | None,
        say: Callable[[str], None],
    ) -> DeviceBackend:
        """The backend ``name`` on the first GPU. Raises BackendUnavailable that says what is missing."""
        device = Device()
        executor = open_executor(name, bundle, device, precision, engines=engines, say=say)
        executor.check()
        return cls(name, bundle.manifest, device, executor, graph=graph, say=say)

    @property
    def info(self) -> BackendInfo:
        """What it runs on, and how many steps it replays at once."""
        at_once = STEPS_A_GRAPH if self._wants_graph else 1
        return BackendInfo(self._name, self._executor.runtime, self._device.name, at_once)

    def solve(self, state: SearchState, n: int) -> None:
        """Takes ``n`` steps of the search in place; fewer where every row stops before."""
        self.timed(state, n)

    def timed(self, state: SearchState, n: int) -> StepTimes:
        """Takes ``n`` steps as ``solve`` does, with a clock around them."""
        with self._device as device:
            search = self._search_for(state.task, len(state.z))
            state.allow(n)
            n = int(np.max(state.limit - state.steps, where=state.pending, initial=0))
            events = [device.record()]
            search.upload(state)
            events.append(device.record())
            replay = self._replay(search) if n >= STEPS_A_GRAPH else None
            events.append(device.record())
            begin = time.perf_counter()
            _enqueue(search, replay, n)
            host = time.perf_counter() - begin
            events.append(device.record())
            search.download(state)
            events.append(device.record())
            device.synchronize()
            uploading, _, stepping, downloading = (a.time_till(b) / 1e3 for a, b in pairwise(events))
        return StepTimes(host, stepping, copies=uploading + downloading)

    def encode(self, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        """The encoder's z, [N, Z], of what ``Evidence.seen`` gives, on the host."""
        portions = zip(_portions(picture), _portions(known), strict=True)
        with self._device:
            encoded = [self._encoder_for(len(rows))(picture=rows, known=shares) for rows, shares in portions]
        return np.concatenate(encoded)

    def complete(self, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
        """The completed ``picture [N, C, H, W]`` of a network of one pass, on the host."""
        with self._device:
            size = (picture.shape[2], picture.shape[3])
            completed = [
                self._completion_for(size)(picture=picture[row : row + 1], known=known[row : row + 1])
                for row in range(len(picture))
            ]
        return np.concatenate(completed)

    def evaluate(self, z: np.ndarray, task: Task) -> Evaluation:
        """What the step graph says of ``z [N, Z]``: loss, gradient and parts, on the host."""
        with self._device:
            return self._search_for(task, len(z)).evaluate(z, task)

    def generate(self, z: np.ndarray) -> np.ndarray:
        """G(z), [N, C, H, W] in [-1, 1], of ``z [N, Z]``."""
        with self._device:
            drawn = [self._pictures_for(len(rows)).generate(rows) for rows in _portions(z)]
        return np.concatenate(drawn)

    def compose(self, z: np.ndarray, target: np.ndarray, known: np.ndarray) -> np.ndarray:
        """Pictures, uint8 [N, H, W, C]: ``target [N, C, H, W]`` where ``known [N, H, W]``, else G(z)."""
        portions = zip(_portions(z), _portions(target), _portions(known), strict=True)
        with self._device:
            composed = [self._pictures_for(len(rows)).compose(rows, *rest) for rows, *rest in portions]
        return np.concatenate(composed)

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
            for arenas in (self._searches, self._pictures, self._encoders, self._completions):
                arenas.clear()
            self._executor.close()

    @property
    def _arenas(self) -> list[DeviceSearch | DevicePictures | DeviceForward]:
        searches, pictures = self._searches.values(), self._pictures.values()
        return [*searches, *pictures, *self._encoders.values(), *self._completions.values()]

    def _replay(self, search: DeviceSearch) -> Callable[[], None] | None:
        """What enqueues STEPS_A_GRAPH steps in one call; None where graphs are not wanted or not possible."""
        if not self._wants_graph:
            return None
        try:
            return search.captured()
        except CaptureFailed as error:
            self._wants_graph = False
            self._say(f"{error}; every step is enqueued by itself, which is slower")
            return None

    def _search_for(self, task: Task, rows: int) -> DeviceSearch:
        graph = task.graph
        batch = self._batch_for(graph, rows, [size for kind, size in self._searches if kind == graph])
        if (graph, batch) not in self._searches:
            parts = (self._device, self._executor, self._kernels)
            self._searches[graph, batch] = DeviceSearch(self._model, graph, batch, *parts)
        return self._searches[graph, batch]

    def _pictures_for(self, rows: int) -> DevicePictures:
        batch = self._batch_for("generator", rows, self._pictures)
        if batch not in self._pictures:
            parts = (self._device, self._executor, self._kernels)
            self._pictures[batch] = DevicePictures(self._model, batch, *parts)
        return self._pictures[batch]

    def _encoder_for(self, rows: int) -> DeviceForward:
        batch = self._batch_for(ENCODER, rows, self._encoders)
        if batch not in self._encoders:
            parts = (self._device, self._executor)
            self._encoders[batch] = DeviceForward(self._model, ENCODER, batch, *parts)
        return self._encoders[batch]

    def _completion_for(self, size: tuple[int, int]) -> DeviceForward:
        if size not in self._completions:
            if len(self._completions) == _SIZES_AT_ONCE:
                self._completions.pop(next(iter(self._completions))).close()
            batch = self._executor.capacity(COMPLETION, 1)  # more, where an engine was built for more
            parts = (self._device, self._executor)
            self._completions[size] = DeviceForward(self._model, COMPLETION, batch, *parts, size)
        return self._completions[size]

    def _batch_for(self, graph: str, rows: int, sizes: Iterable[int]) -> int:
        """The smallest of ``sizes``, which are there, that holds ``rows``; or what the executor has.

        The last pictures of a run are few: nothing is built or captured for them.
        """
        holding = [size for size in sizes if size >= rows]
        return min(holding) if holding else self._executor.capacity(graph, rows)


def _enqueue(search: DeviceSearch, replay: Callable[[], None] | None, n: int) -> None:
    """Enqueues ``n`` steps, two portions ahead of the device at most; fewer where all rows have stopped."""
    before: Callable[[], bool] | None = None
    for number, portion in enumerate(_portion_sizes(n)):
        if replay and portion == STEPS_A_GRAPH:
            replay()
        else:
            for _ in range(portion):
                search.step()
        running = search.ask(number % 2)
        if before and not before():
            return
        before = running


def _portion_sizes(n: int) -> Iterator[int]:
    for start in range(0, n, STEPS_A_GRAPH):
        yield min(STEPS_A_GRAPH, n - start)


def _portions(rows: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(rows), _PICTURES_AT_ONCE):
        yield rows[start : start + _PICTURES_AT_ONCE]
