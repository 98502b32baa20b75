"""Jobs in, results out: pictures of any number of clients share the batches of one model on one runtime.

A thread of its own takes the turns of the model's method, and others read and finish pictures beside it; they
are there while there are jobs. What becomes of a job does not depend on the others.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from types import TracebackType
from typing import Any, TypeVar, overload

import numpy as np

from edgefill.completion.alarm import LONGEST_WAIT, Alarm
from edgefill.completion.books import Books, Load
from edgefill.completion.door import Door
from edgefill.completion.future import JobFuture
from edgefill.completion.line import Entry, Line
from edgefill.completion.pace import Pace
from edgefill.completion.reading import read
from edgefill.jobs.job import Job, Order, Progress, Watcher
from edgefill.jobs.photograph import Photograph
from edgefill.jobs.request import Request, Result
from edgefill.limits import check
from edgefill.memory import enough_memory
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
_AHEAD_BYTES = 64 << 20  # of pictures that are read before their turn, about
_GATHER = 0.01  # seconds that the first of some pictures waits for those that are being read
_FIRST_ROOM = 2  # before it is known how large pictures are
_HELPERS = 4  # threads that read and finish, at most


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
        self._changed = threading.Condition()
        self._entries: dict[Order, Entry] = {}  # that have not ended
        self._line = Line()
        self._running: dict[Order, Entry] = {}  # that the method has
        self._finishing = 0
        self._room = _FIRST_ROOM
        self._number, self._coming = 0, 0
        self._is_working = False
        self._books, self._pace = Books(), Pace()
        self._door = Door(model.name, waiting, self._line, self._pace)
        self._alarm = Alarm(self._ring)
        self._worker = ThreadPoolExecutor(1, "edgefill-scheduler")
        self._helpers = ThreadPoolExecutor(min(_HELPERS, os.cpu_count() or 1), "edgefill-pictures")

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

        take = partial(read, order, self.model, self._spend)
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
        return min(self.batch, self._room)

    @property
    def load(self) -> Load:
        """How much it has to do and has done."""
        with self._changed:
            waiting = len(self._line)
            tally = self._method.tally
            return Load(
                waiting, len(self._entries) - waiting, tally.steps, tally.used, tally.there,
                dict(self._books.seconds), dict(self._books.finished),
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
            self._door.is_closed = True
            return self._changed.wait_for(lambda: not self._entries, timeout)

    def close(self) -> None:
        """Takes no more jobs, cancels those that are there and ends its threads."""
        with self._changed:
            self._door.is_closed = True
            futures = [entry.future for entry in self._entries.values()]
        self._alarm.close()
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

    def check_room(self, deadline: float, priority: int = 0) -> None:
        """Raises Busy where a job with that ``deadline`` would not be taken now."""
        with self._changed:
            self._door.check(-priority, deadline)

    def _enter(self, entry: Entry) -> None:
        with self._changed:
            left = entry.order.ends_at - time.perf_counter()
            self._door.check(entry.order.rank[0], left)
            self._number += 1
            entry.order.rank = (entry.order.rank[0], self._number)
            self._entries[entry.order] = entry
            self._line.add(entry)
            self._alarm.set(left)
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
            outcome = entry.ended
        with self._changed:
            self._entries.pop(entry.order, None)
            self._running.pop(entry.order, None)
            self._books.finished[outcome] += 1
            self._line.forget(entry)
            if not self._entries:
                self._pace.forget()
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
        photograph, answer, error = None, None, None
        if not entry.future.done():
            try:
                assert entry.take is not None
                photograph = entry.take()
                answer = self._at_once(entry, photograph)
            except BaseException as raised:  # noqa: BLE001  it belongs to who waits for the job
                error = raised
        with self._changed:
            if photograph is not None:
                self._room = max(1, _AHEAD_BYTES // max(photograph.picture.values.nbytes, 1))
                self._leave_time_to_finish(entry.order, photograph)
                self._alarm.set(entry.order.ends_at - time.perf_counter())
            self._line.was_read(entry, None if answer else photograph, time.perf_counter())
            self._finishing += bool(answer)
            self._read_on()
            self._changed.notify_all()
        if error is not None:
            entry.future.settle(error=error)
        elif answer is not None:
            self._finish(entry, answer)

    def _at_once(self, entry: Entry, photograph: Photograph) -> Callable[[], Any] | None:
        """What answers it without the model, where nothing is missing or its time is up."""
        order = entry.order
        if not photograph.needs_search:
            return lambda: Result(order.source, photograph, photograph.picture)
        if order.ends_at <= time.perf_counter():
            return self._method.without_model(order, photograph)
        return None

    def _leave_time_to_finish(self, order: Order, photograph: Photograph) -> None:
        """What has to be drawn by a deadline has to be drawn before it; by half of the time that is left."""
        left = order.ends_at - time.perf_counter()
        if 0 < left < math.inf:
            order.ends_at -= min(left / 2, self._pace.finishing(_pixels(photograph)))

    def _spend(self, **seconds: float) -> None:
        with self._changed:
            self._books.spend(**seconds)

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
                entry.placed_at = time.perf_counter()
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
        return max(0.0, min(soonest - time.perf_counter(), LONGEST_WAIT)) if soonest < math.inf else None

    def _give_up(self, error: BaseException) -> None:
        """Ends all that is under way: the runtime has failed."""
        self._method.withdraw()
        with self._changed:
            entries = list(self._running.values())
        for entry in entries:
            entry.future.concerns_all = True
            entry.future.settle(error=error)

    # When time is up while the worker is away, in the alarm's thread.

    def _ring(self) -> None:
        """Has those answered whose time is up, as far as that needs no model that is in use."""
        now = time.perf_counter()
        with self._changed:
            for entry in self._line.overdue(now):
                self._have_help(self._take, entry)
            late = [entry for entry in self._line.ready if entry.order.ends_at <= now]
        for entry in late:
            self._have_help(self._answer, entry)
        for order, finish in self._method.late(now):
            self._have_finished(order, finish)
        with self._changed:
            if self._entries:
                self._alarm.set(self._line.soonest - now)

    def _answer(self, entry: Entry) -> None:
        """Answers one that waits for its place, without the model; unless it has it by now."""
        photograph = entry.photograph
        finish = photograph and self._method.without_model(entry.order, photograph)
        with self._changed:
            if not (finish and self._line.has_ready(entry)):
                return
            self._line.take(entry)
            self._finishing += 1
        self._finish(entry, finish)

    # Finishing, in helpers.

    def _have_finished(self, order: Order, finish: Callable[[], Any]) -> None:
        with self._changed:
            entry = self._running.pop(order, None)
            if entry is not None:
                self._finishing += 1
                self._have_help(self._finish, entry, finish)

    def _finish(self, entry: Entry, finish: Callable[[], Any]) -> None:
        started = time.perf_counter()
        value, error, pixels = None, None, 0
        try:
            with enough_memory(entry.order.source):
                value = finish()
                if isinstance(value, Result):
                    entry.ended, pixels = value.ended, _pixels(value.photograph)
                value = entry.then(value) if entry.then else value
        except BaseException as raised:  # noqa: BLE001  it belongs to who waits for the job
            error = raised
        ended = time.perf_counter()
        with self._changed:
            self._books.spend(finish=ended - started)
            self._pace.ended(ended - (entry.placed_at or started), len(self._running) + self._finishing)
            if pixels:
                self._pace.finished(pixels, ended - started)
        entry.future.settle(value, error)
        with self._changed:
            self._finishing -= 1
            self._read_on()
            self._changed.notify_all()


def _pixels(photograph: Photograph) -> int:
    height, width = photograph.picture.size
    return height * width


def _watched(future: JobFuture[Any], watcher: Watcher, progress: Progress) -> None:
    """Calls ``watcher``; what goes wrong there is its own job's."""
    try:
        watcher(progress)
    except BaseException as error:  # noqa: BLE001  it belongs to who waits for the job
        future.settle(error=error)
