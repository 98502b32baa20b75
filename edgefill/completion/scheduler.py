"""Jobs in, results out: pictures of any number of clients share the batches of one model on one runtime.

A worker takes the turns of the model's method, and helpers read and finish pictures beside it; their threads
are there while there are jobs. What becomes of a job does not depend on the others.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, overload

import numpy as np

from edgefill.completion.books import Load
from edgefill.completion.door import Door
from edgefill.completion.future import JobFuture
from edgefill.completion.helpers import Helpers
from edgefill.completion.line import Entry
from edgefill.completion.reading import read
from edgefill.completion.state import State
from edgefill.completion.worker import Worker
from edgefill.jobs.job import Job, Order, Progress, Watcher
from edgefill.jobs.photograph import Photograph
from edgefill.jobs.request import Request, Result
from edgefill.limits import check
from edgefill.methods import FEED_FORWARD, LATENT_SEARCH, SMOOTH, Method
from edgefill.methods.feed_forward.method import FeedForward
from edgefill.methods.latent.method import LatentSearch
from edgefill.methods.smooth import Smooth
from edgefill.model.manifest import Manifest
from edgefill.runtimes import Runtime

T = TypeVar("T")

_METHODS: dict[str, Callable[[Manifest, Runtime, int], Method]] = {
    LATENT_SEARCH: LatentSearch,
    FEED_FORWARD: FeedForward,
    SMOOTH: Smooth,
}


class Scheduler:
    """Completes the pictures of jobs with ``model`` on ``runtime``, up to ``batch`` at once.

    Any thread may submit any number of jobs; those that wait cost no more memory than their source. No more
    than ``waiting`` wait, if that is given, and none that would not have its turn before its deadline: those
    are refused. The runtime belongs to the scheduler while there are jobs.
    """

    def __init__(
        self, model: Manifest, runtime: Runtime, *, batch: int = 16, waiting: int | None = None
    ) -> None:
        check("batch", batch)
        self.model, self.runtime = model, runtime
        self._method: Method = _METHODS[model.method](model, runtime, batch)
        self._state = State(self._method)
        self._helpers = Helpers(self._state)
        self._worker = Worker(self._state, self._helpers)
        self._door = Door(model.name, waiting, self._state.line, self._state.pace)
        self._number = 0  # of jobs so far

    def resolved(self, request: Request) -> Request:
        """``request`` as this model understands it. Raises EdgefillError for what cannot be asked of it."""
        _ = request.mask_spec
        return self._method.resolved(request)

    @overload
    def submit(self, job: Job) -> JobFuture[Result]: ...
    @overload
    def submit(self, job: Job, then: Callable[[Result], T]) -> JobFuture[T]: ...
    def submit(self, job: Job, then: Callable[[Result], Any] | None = None) -> JobFuture[Any]:
        """What will become of ``job``: its Result, or what ``then`` makes of that in the thread that has it.

        Raises Busy where too many wait, EdgefillError for a wrong request.
        """
        request = self.resolved(job.request)
        future: JobFuture[Any] = JobFuture()
        ends_at = math.inf if job.deadline is None else time.perf_counter() + job.deadline
        watcher = job.on_progress and partial(_watched, future, job.on_progress)
        order = Order(job.source, request, ends_at, (-job.priority, 0), future.done, watcher)

        def accept(photograph: Photograph | None) -> None:
            assert photograph is not None
            self._method.accept(order, photograph)

        take = partial(read, order, self.model, self._state.spend)
        self._enter(Entry(order, future, take, accept, then))
        return future

    def fill(
        self, pictures: np.ndarray, known: np.ndarray, seeds: Sequence[int], request: Request
    ) -> JobFuture[np.ndarray]:
        """Arrays of the model's size, filled; see ``Completer.fill``. They are checked."""
        request = self.resolved(request)
        future: JobFuture[np.ndarray] = JobFuture()
        order = Order(pictures, request, math.inf, (0, 0), future.done)

        def accept(_: Photograph | None) -> None:
            self._method.accept_arrays(order, pictures, known, seeds)

        entry = Entry(order, future, None, accept, is_read=True)
        self._enter(entry)
        return future

    @property
    def batch(self) -> int:
        """Places of a batch. It may be set at any time, and counts for pictures that come."""
        return self._method.places

    @batch.setter
    def batch(self, batch: int) -> None:
        check("batch", batch)
        self._method.places = batch

    @property
    def room(self) -> int:
        """How many pictures like the last that was read may lie in memory before their turn."""
        return self._state.room

    @property
    def load(self) -> Load:
        """How much it has to do and has done."""
        with self._state.changed:
            return self._state.load

    @contextmanager
    def more_to_come(self) -> Iterator[None]:
        """While this lasts somebody is about to submit more: a batch waits a moment before it begins."""
        self._worker.expect(1)
        try:
            yield
        finally:
            self._worker.expect(-1)

    def drain(self, timeout: float | None = None) -> bool:
        """Takes no more jobs, and waits until those that are there are done; False where time is up."""
        with self._state.changed:
            self._door.is_closed = True
            return self._state.changed.wait_for(lambda: not self._state.entries, timeout)

    def close(self) -> None:
        """Takes no more jobs, cancels those that are there and ends its threads."""
        with self._state.changed:
            self._door.is_closed = True
            futures = [entry.future for entry in self._state.entries.values()]
        for future in futures:
            future.cancel()
        self._worker.close()
        self._helpers.close()

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def check_room(self, deadline: float, priority: int = 0) -> None:
        """Raises Busy where a job with that ``deadline`` would not be taken now."""
        with self._state.changed:
            self._door.check(-priority, deadline)

    def _enter(self, entry: Entry) -> None:
        state, order = self._state, entry.order
        with state.changed:
            self._door.check(order.rank[0], order.ends_at - time.perf_counter())
            self._number += 1
            order.rank = (order.rank[0], self._number)
            state.entries[order] = entry
            state.line.add(entry)
            self._helpers.expect(order.ends_at)
            self._helpers.read_on()
            self._worker.wake()
            state.changed.notify_all()
        entry.future.add_done_callback(partial(self._ended, entry))

    def _ended(self, entry: Entry, future: Future[Any]) -> None:
        """Counts what became of it; one that was cancelled is forgotten, and leaves its room to the next."""
        if future.cancelled():
            outcome = "cancelled"
        elif future.exception():
            outcome = "failed"
        else:
            outcome = entry.ended
        with self._state.changed:
            self._state.ended(entry, outcome)
            self._helpers.read_on()
            self._state.changed.notify_all()


def _watched(future: JobFuture[Any], watcher: Watcher, progress: Progress) -> None:
    """Calls ``watcher``; what goes wrong there is its own job's."""
    try:
        watcher(progress)
    except BaseException as error:  # noqa: BLE001  it belongs to who waits for the job
        future.settle(error=error)
