"""The turns of a model's method, in a thread of their own that is there while there are jobs."""

from __future__ import annotations

import math
import time
from concurrent.futures import ThreadPoolExecutor

from edgefill.completion.alarm import LONGEST_WAIT
from edgefill.completion.helpers import Helpers
from edgefill.completion.line import Entry
from edgefill.completion.state import State

_GATHER = 0.01  # seconds that the first of some pictures waits for those that are being read


class Worker:
    """Gives the jobs in ``state`` their places, takes turns, and has ``helpers`` finish what has ended."""

    def __init__(self, state: State, helpers: Helpers) -> None:
        self._state, self._helpers = state, helpers
        self._is_working = False
        self._coming = 0  # clients that are about to submit more
        self._thread = ThreadPoolExecutor(1, "edgefill-scheduler")

    def wake(self) -> None:
        """There is a job. The lock of the state is held."""
        if not self._is_working:
            self._is_working = True
            self._thread.submit(self._work)

    def expect(self, clients: int) -> None:
        """So many more ``clients`` are about to submit pictures: a batch waits a moment for them."""
        with self._state.changed:
            self._coming += clients
            self._state.changed.notify_all()

    def close(self) -> None:
        """Waits until no job is there, and ends the thread."""
        self._thread.shutdown()

    def _work(self) -> None:
        """Takes turns until there is nothing to do."""
        while self._has_work():
            try:
                self._turn()
            except BaseException as error:  # noqa: BLE001  it belongs to who waits for the jobs
                self._give_up(error)

    def _has_work(self) -> bool:
        """Waits until there is something to take a turn with; False where no job is left that could be."""
        with self._state.changed:
            while not (self._state.method.is_busy or self._fits(time.perf_counter())):
                if not self._state.line:
                    self._is_working = False
                    return False
                self._state.changed.wait(self._patience())
            return True

    def _turn(self) -> None:
        started = time.perf_counter()
        while (entry := self._admitted()) is not None:
            try:
                entry.accept(entry.photograph)
            except BaseException as error:  # noqa: BLE001  it belongs to who waits for the job
                entry.future.settle(error=error)
            entry.photograph = None
        for order, finish in self._state.method.turn(self._soonest()):
            self._helpers.finish(order, finish)
        self._state.spend(search=time.perf_counter() - started)

    def _admitted(self) -> Entry | None:
        """The next job that has a place now, taken from those that are read."""
        state = self._state
        with state.changed:
            entry = self._fits(time.perf_counter())
            if entry is not None:
                state.line.take(entry)
                state.running[entry.order] = entry
                entry.placed_at = time.perf_counter()
                self._helpers.read_on()
            return entry

    def _fits(self, now: float) -> Entry | None:
        """The next job that has a place, or whose time is up."""
        self._helpers.read_overdue(now)
        gathers = self._gathers_until() > now
        for entry in self._state.line.ready:
            if entry.order.ends_at <= now or (not gathers and self._state.method.has_room(entry.order)):
                return entry
        return None

    def _gathers_until(self) -> float:
        """Until when those that are read wait for those that are being read, to begin with them together."""
        line, method = self._state.line, self._state.method
        more = line.is_reading or self._coming
        if method.is_busy or not more or len(line.ready) >= method.places:
            return -math.inf
        return line.ready_since + _GATHER

    def _soonest(self) -> float:
        """When the next deadline is."""
        with self._state.changed:
            return self._state.line.soonest

    def _patience(self) -> float | None:
        """Seconds until something may have to be done though nothing happens."""
        line = self._state.line
        soonest = min(line.soonest, self._gathers_until() if line.ready else math.inf)
        return max(0.0, min(soonest - time.perf_counter(), LONGEST_WAIT)) if soonest < math.inf else None

    def _give_up(self, error: BaseException) -> None:
        """Ends all that is under way: the runtime has failed."""
        self._state.method.withdraw()
        with self._state.changed:
            entries = list(self._state.running.values())
        for entry in entries:
            entry.future.concerns_all = True
            entry.future.settle(error=error)
