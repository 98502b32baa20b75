"""Jobs in, results out: pictures of any number of clients share the batches of one model on one runtime.

A thread of its own takes the turns of the model's method, and others read and finish pictures beside it; they
are there while there are jobs. What becomes of a job does not depend on the others.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np

from edgefill.completion.future import JobFuture
from edgefill.completion.line import Entry, Line
from edgefill.errors import Busy
from edgefill.holes.boxes import Box
from edgefill.jobs.job import Job, Order, Progress, Watcher
from edgefill.jobs.photograph import Photograph, prepare
from edgefill.jobs.request import Request, Result
from edgefill.limits import check
from edgefill.memory import BYTES_TO_COMPLETE, enough_memory
from edgefill.methods import FEED_FORWARD, LATENT_SEARCH, SMOOTH, Method
from edgefill.methods.feed_forward.method import FeedForward
from edgefill.methods.latent.method import LatentSearch
from edgefill.methods.smooth import Smooth
from edgefill.model.manifest import Manifest
from edgefill.pictures.images import read_picture
from edgefill.runtimes import Runtime

_METHODS: dict[str, Callable[[Manifest, Runtime, int], Method]] = {
    LATENT_SEARCH: LatentSearch,
    FEED_FORWARD: FeedForward,
    SMOOTH: Smooth,
}
_AHEAD_BYTES = 64 << 20  # of pictures that are read before their turn, about
_GATHER = 0.01  # seconds that the first of some pictures waits for those that are being read
_FIRST_ROOM = 2  # before it is known how large pictures are
_HELPERS = 4  # threads that read and finish, at most


@dataclass(frozen=True)
class Load:
    """What a scheduler has to do, and what it has done since it is there."""

    waiting: int  # jobs that have no place yet
    running: int  # jobs that have
    steps: int  # that batches took, or passes
    rows_used: int  # of those steps, with something to do
    rows_there: int  # of those steps: places
    seconds: dict[str, float]  # by phase: read, prepare, search, finish
    finished: dict[str, int]  # jobs by what ended them: Result.ended, "failed" or "cancelled"


class Scheduler:
    """Completes the pictures of jobs with ``model`` on ``runtime``, up to ``batch`` at once.

    Any thread may submit any number of jobs; those that wait cost no more memory than their source. No more
    than ``waiting`` wait, if that is given. The runtime belongs to the scheduler while there are jobs.
    """

    def __init__(
        self, model: Manifest, runtime: Runtime, *, batch: int = 16, waiting: int | None = None
    ) -> None:
        check("batch", batch)
        self.model, self.runtime, self._most = model, runtime, waiting
        self._method: Method = _METHODS[model.method](model, runtime, batch)
        self._changed = threading.Condition()
        self._entries: dict[Order, Entry] = {}  # that have not ended
        self._line = Line()
        self._running: dict[Order, Entry] = {}  # that the method has
        self._finishing = 0
        self._room = _FIRST_ROOM
        self._number, self._coming = 0, 0
        self._is_working, self._is_closed = False, False
        self._seconds = dict.fromkeys(("read", "prepare", "search", "finish"), 0.0)
        self._finished: Counter[str] = Counter()
        self._worker = ThreadPoolExecutor(1, "edgefill-scheduler")
        self._helpers = ThreadPoolExecutor(min(_HELPERS, os.cpu_count() or 1), "edgefill-pictures")

    def resolved(self, request: Request) -> Request:
        """``request`` as this model understands it. Raises EdgefillError for what cannot be asked of it."""
        _ = request.mask_spec
        return self._method.resolved(request)

    def submit(self, job: Job) -> JobFuture[Result]:
        """What will become of ``job``. Raises Busy where too many wait, EdgefillError for a wrong request."""
        request = self.resolved(job.request)
        future: JobFuture[Result] = JobFuture()
        ends_at = math.inf if job.deadline is None else time.perf_counter() + job.deadline
        watcher = job.on_progress and partial(_watched, future, job.on_progress)
        order = Order(job.source, request, ends_at, (-job.priority, 0), future.done, watcher)

        def accept(photograph: Photograph | None) -> None:
            assert photograph is not None
            self._method.accept(order, photograph)

        self._enter(Entry(order, future, partial(self._read, order, future), accept))
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

        entry = Entry(order, future, lambda: None, accept, is_read=True)
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
        return min(self.batch, self._room)

    @property
    def load(self) -> Load:
        """How much it has to do and has done."""
        with self._changed:
            waiting = len(self._line)
            tally = self._method.tally
            return Load(
                waiting, len(self._entries) - waiting, tally.steps, tally.used, tally.there,
                dict(self._seconds), dict(self._finished),
            )  # fmt: skip

    @contextmanager
    def more_to_come(self) -> Iterator[None]:
        """While this lasts somebody is about to submit more: a batch waits a moment before it begins."""
        self._expect(1)
        try:
            yield
        finally:
            self._expect(-1)

    def drain(self, timeout: float | None = None) -> bool:
        """Takes no more jobs, and waits until those that are there are done; False where time is up."""
        with self._changed:
            self._is_closed = True
            return self._changed.wait_for(lambda: not self._entries, timeout)

    def close(self) -> None:
        """Takes no more jobs, cancels those that are there and ends its threads."""
        with self._changed:
            self._is_closed = True
            futures = [entry.future for entry in self._entries.values()]
        for future in futures:
            future.cancel()
        self._worker.shutdown()
        self._helpers.shutdown()

    def __enter__(self) -> Scheduler:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()

    def _enter(self, entry: Entry) -> None:
        with self._changed:
            if self._is_closed:
                raise Busy(f"the scheduler of {self.model.name} takes no more jobs: it is closing")
            waiting = len(self._line)
            if self._most is not None and waiting >= self._most:
                raise Busy(
                    f"{waiting} jobs wait for {self.model.name}, expected fewer than {self._most}; try later"
                )
            self._number += 1
            entry.order.rank = (entry.order.rank[0], self._number)
            self._entries[entry.order] = entry
            self._line.add(entry)
            self._read_on()
            if not self._is_working:
                self._is_working = True
                self._worker.submit(self._work)
            self._changed.notify_all()
        entry.future.add_done_callback(partial(self._ended, entry))

    def _expect(self, clients: int) -> None:
        with self._changed:
            self._coming += clients
            self._changed.notify_all()

    def _ended(self, entry: Entry, future: Future[Any]) -> None:
        """Counts what became of it; one that was cancelled is forgotten."""
        if future.cancelled():
            outcome = "cancelled"
        elif future.exception():
            outcome = "failed"
        else:
            outcome = getattr(future.result(), "ended", "filled")
        with self._changed:
            self._entries.pop(entry.order, None)
            self._running.pop(entry.order, None)
            self._finished[outcome] += 1
            if outcome in ("cancelled", "failed"):
                self._line.forget(entry)
            self._changed.notify_all()

    # Reading, in helpers.

    def _read_on(self) -> None:
        """Has the next pictures read, as far as there is room for them before those that they go before."""
        while self._finishing <= 2 * self.room:
            entry = self._line.next_to_read(self.room)
            if entry is None:
                return
            self._have_help(self._take, entry)

    def _have_help(self, task: Callable[..., None], *arguments: Any) -> None:
        """Has a helper do ``task``; it is done here where the interpreter ends and starts no thread."""
        try:
            self._helpers.submit(task, *arguments)
        except RuntimeError:
            task(*arguments)

    def _take(self, entry: Entry) -> None:
        photograph, error = None, None
        if not entry.future.done():
            try:
                photograph = entry.take()
            except BaseException as raised:  # noqa: BLE001  it belongs to who waits for the job
                error = raised
        with self._changed:
            self._line.was_read(entry, photograph, time.perf_counter())
            if photograph is not None:
                self._room = max(1, _AHEAD_BYTES // max(photograph.picture.values.nbytes, 1))
            self._read_on()
            self._changed.notify_all()
        if error is not None:
            entry.future.settle(error=error)

    def _read(self, order: Order, future: JobFuture[Result]) -> Photograph | None:
        """What is to be completed; None where nothing is, and that is the result."""
        request, started = order.request, time.perf_counter()
        with enough_memory(order.source):
            picture = read_picture(order.source, bytes_a_pixel=BYTES_TO_COMPLETE)
            read = time.perf_counter()
            photograph = prepare(
                picture,
                request.mask_spec,
                self.model,
                seed=request.seed,
                box=Box(*request.box) if request.box else None,
                resize_mask=request.resize_mask,
                align=request.aligns,
                eyes=request.given_eyes,
            )
            if photograph.needs_search and self.model.latent:
                _ = photograph.evidence  # computed here, beside the search
        self._spend(read=read - started, prepare=time.perf_counter() - read)
        if photograph.needs_search:
            return photograph
        future.settle(Result(order.source, photograph, photograph.picture))
        return None

    def _spend(self, **seconds: float) -> None:
        with self._changed:
            for phase, spent in seconds.items():
                self._seconds[phase] += spent

    # Searching, in the worker.

    def _work(self) -> None:
        """Takes turns until there is nothing to do."""
        while self._has_work():
            try:
                self._turn()
            except BaseException as error:  # noqa: BLE001  it belongs to who waits for the jobs
                self._give_up(error)

    def _has_work(self) -> bool:
        """Waits until there is something to take a turn with; False where no job is left that could be."""
        with self._changed:
            while not (self._method.is_busy or self._fits(time.perf_counter())):
                if not self._line:
                    self._is_working = False
                    return False
                self._changed.wait(self._patience())
            return True

    def _turn(self) -> None:
        started = time.perf_counter()
        while (entry := self._admitted()) is not None:
            try:
                entry.accept(entry.photograph)
            except BaseException as error:  # noqa: BLE001  it belongs to who waits for the job
                entry.future.settle(error=error)
            entry.photograph = None
        for order, finish in self._method.turn(self._soonest()):
            self._have_finished(order, finish)
        self._spend(search=time.perf_counter() - started)

    def _admitted(self) -> Entry | None:
        """The next job that has a place now, taken from those that are read."""
        with self._changed:
            entry = self._fits(time.perf_counter())
            if entry is not None:
                self._line.take(entry)
                self._running[entry.order] = entry
                self._read_on()
            return entry

    def _fits(self, now: float) -> Entry | None:
        """The next job that has a place, or whose time is up."""
        for entry in self._line.overdue(now):
            self._have_help(self._take, entry)
        gathers = self._gathers_until() > now
        for entry in self._line.ready:
            if entry.order.ends_at <= now or (not gathers and self._method.has_room(entry.order)):
                return entry
        return None

    def _gathers_until(self) -> float:
        """Until when those that are read wait for those that are being read, to begin with them together."""
        more = self._line.is_reading or self._coming
        if self._method.is_busy or not more or len(self._line.ready) >= self.batch:
            return -math.inf
        return self._line.ready_since + _GATHER

    def _soonest(self) -> float:
        """When the next deadline is."""
        with self._changed:
            return self._line.soonest

    def _patience(self) -> float | None:
        """Seconds until something may have to be done though nothing happens."""
        soonest = min(self._line.soonest, self._gathers_until() if self._line.ready else math.inf)
        return max(0.0, soonest - time.perf_counter()) if math.isfinite(soonest) else None

    def _give_up(self, error: BaseException) -> None:
        """Ends all that is under way: the runtime has failed."""
        self._method.withdraw()
        with self._changed:
            entries = list(self._running.values())
        for entry in entries:
            entry.future.concerns_all = True
            entry.future.settle(error=error)

    # Finishing, in helpers.

    def _have_finished(self, order: Order, finish: Callable[[], Any]) -> None:
        with self._changed:
            entry = self._running.pop(order, None)
            if entry is not None:
                self._finishing += 1
                self._have_help(self._finish, entry, finish)

    def _finish(self, entry: Entry, finish: Callable[[], Any]) -> None:
        started = time.perf_counter()
        value, error = None, None
        try:
            with enough_memory(entry.order.source):
                value = finish()
        except BaseException as raised:  # noqa: BLE001  it belongs to who waits for the job
            error = raised
        self._spend(finish=time.perf_counter() - started)
        entry.future.settle(value, error)
        with self._changed:
            self._finishing -= 1
            self._read_on()
            self._changed.notify_all()


def _watched(future: JobFuture[Any], watcher: Watcher, progress: Progress) -> None:
    """Calls ``watcher``; what goes wrong there is its own job's."""
    try:
        watcher(progress)
    except BaseException as error:  # noqa: BLE001  it belongs to who waits for the job
        future.settle(error=error)
