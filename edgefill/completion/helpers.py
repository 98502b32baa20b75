"""What is done beside the turns of the model: pictures are read, finished, and answered when time is up."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from edgefill.completion.alarm import Alarm
from edgefill.completion.line import Entry
from edgefill.completion.state import State
from edgefill.jobs.job import Order
from edgefill.jobs.photograph import Photograph
from edgefill.jobs.request import Result
from edgefill.memory import enough_memory

_THREADS = 4  # at most


class Helpers:
    """Threads that read and finish the pictures of the jobs in ``state``, and one that watches the clock."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._alarm = Alarm(self._ring)
        self._threads = ThreadPoolExecutor(min(_THREADS, os.cpu_count() or 1), "edgefill-pictures")

    def close(self) -> None:
        """Waits for what is being done, and ends the threads."""
        self._alarm.close()
        self._threads.shutdown()

    def expect(self, ends_at: float) -> None:
        """Has those answered at ``ends_at``, of ``time.perf_counter``, whose time is up then."""
        self._alarm.set(ends_at - time.perf_counter())

    def read_on(self) -> None:
        """Has the next pictures read, as far as there is room for them. The lock of the state is held."""
        while (entry := self._state.next_to_read()) is not None:
            self._have(self._take, entry)

    def read_overdue(self, now: float) -> None:
        """Has those read whose time is up, whether there is room or not. The lock of the state is held."""
        for entry in self._state.line.overdue(now):
            self._have(self._take, entry)

    def finish(self, order: Order, finish: Callable[[], Any]) -> None:
        """Has ``finish`` called for ``order``, which leaves its place."""
        with self._state.changed:
            entry = self._state.to_be_finished(order)
            if entry is not None:
                self._have(self._finish, entry, finish)

    def _have(self, task: Callable[..., None], *arguments: Any) -> None:
        """Has a thread do ``task``; it is done here where the interpreter ends and starts no thread."""
        try:
            self._threads.submit(task, *arguments)
        except RuntimeError:
            task(*arguments)

    # Reading.

    def _take(self, entry: Entry) -> None:
        photograph, answer, error = None, None, None
        if not entry.future.done():
            try:
                assert entry.take is not None
                photograph = entry.take()
                answer = self._at_once(entry.order, photograph)
            except BaseException as raised:  # noqa: BLE001  it belongs to who waits for the job
                error = raised
        state = self._state
        with state.changed:
            if photograph is not None:
                state.expect_like(photograph)
                self._leave_time_to_finish(entry.order, photograph)
                self.expect(entry.order.ends_at)
            state.line.was_read(entry, None if answer else photograph, time.perf_counter())
            state.finishing += bool(answer)
            self.read_on()
            state.changed.notify_all()
        if error is not None:
            entry.future.settle(error=error)
        elif answer is not None:
            self._finish(entry, answer)

    def _at_once(self, order: Order, photograph: Photograph) -> Callable[[], Any] | None:
        """What answers it without the model, where nothing is missing or its time is up."""
        if not photograph.needs_search:
            return lambda: Result(order.source, photograph, photograph.picture)
        if order.ends_at <= time.perf_counter():
            return self._state.method.without_model(order, photograph)
        return None

    def _leave_time_to_finish(self, order: Order, photograph: Photograph) -> None:
        """What has to be drawn by a deadline has to be drawn before it; by half of the time that is left."""
        left = order.ends_at - time.perf_counter()
        if 0 < left < math.inf:
            order.ends_at -= min(left / 2, self._state.pace.finishing(_pixels(photograph)))

    # Finishing.

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
        ended, state = time.perf_counter(), self._state
        with state.changed:
            state.books.spend(finish=ended - started)
            state.pace.ended(ended - (entry.placed_at or started), len(state.running) + state.finishing)
            if pixels:
                state.pace.finished(pixels, ended - started)
        entry.future.settle(value, error)
        with state.changed:
            state.finishing -= 1
            self.read_on()
            state.changed.notify_all()

    # When time is up while the model is busy, in the alarm's thread.

    def _ring(self) -> None:
        """Has those answered whose time is up, as far as that needs no model that is in use."""
        now, state = time.perf_counter(), self._state
        with state.changed:
            self.read_overdue(now)
            late = [entry for entry in state.line.ready if entry.order.ends_at <= now]
        for entry in late:
            self._have(self._answer, entry)
        for order, finish in state.method.late(now):
            self.finish(order, finish)
        with state.changed:
            if state.entries:
                self._alarm.set(state.line.soonest - now)

    def _answer(self, entry: Entry) -> None:
        """Answers one that waits for its place, without the model; unless it has it by now."""
        photograph, state = entry.photograph, self._state
        finish = photograph and state.method.without_model(entry.order, photograph)
        with state.changed:
            if not (finish and state.line.has_ready(entry)):
                return
            state.line.take(entry)
            state.finishing += 1
        self._finish(entry, finish)


def _pixels(photograph: Photograph) -> int:
    height, width = photograph.picture.size
    return height * width
