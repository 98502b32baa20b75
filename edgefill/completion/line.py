"""The jobs that have no place yet: to be read, being read, and read; the best rank is first."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edgefill.completion.future import JobFuture
from edgefill.jobs.job import Order
from edgefill.jobs.photograph import Photograph


@dataclass(eq=False)
class Entry:
    """A job on its way."""

    order: Order
    future: JobFuture[Any]
    take: Callable[[], Photograph] | None  # reads it; None where there is nothing to read
    accept: Callable[[Photograph | None], None]
    then: Callable[[Any], Any] | None = None  # what is made of its result
    photograph: Photograph | None = None
    is_read: bool = False
    ready_at: float = 0.0  # of time.perf_counter
    placed_at: float | None = None  # when it got its place
    ended: str = "filled"  # or what its Result says

    def __lt__(self, other: Entry) -> bool:
        return self.order.rank < other.order.rank


class Line:
    """Who waits for what. One thread at a time uses it."""

    def __init__(self) -> None:
        self._unread: list[Entry] = []  # a heap
        self._reading: set[Entry] = set()
        self._ready: list[Entry] = []
        self._deadlines: list[tuple[float, int, Entry]] = []  # a heap
        self._number = 0  # of those

    def __len__(self) -> int:
        return len(self._unread) + len(self._reading) + len(self._ready)

    @property
    def is_reading(self) -> bool:
        return bool(self._reading)

    @property
    def ready(self) -> list[Entry]:
        """Those that are read, the best rank first."""
        return sorted(self._ready)

    @property
    def ready_since(self) -> float:
        """Since when the first of them waits; inf where there is none."""
        return min((entry.ready_at for entry in self._ready), default=math.inf)

    def ahead_of(self, urgency: int) -> int:
        """How many go before one of that ``urgency`` (the least is first) who comes now."""
        waiting = (*self._unread, *self._reading, *self._ready)
        return sum(entry.order.rank[0] <= urgency for entry in waiting)

    def has_ready(self, entry: Entry) -> bool:
        """Whether ``entry`` is read and waits for its place."""
        return entry in self._ready

    @property
    def soonest(self) -> float:
        """When the next deadline is; inf where there is none."""
        return self._deadlines[0][0] if self._deadlines else math.inf

    def add(self, entry: Entry) -> None:
        if entry.is_read:
            self._ready.append(entry)
        else:
            heapq.heappush(self._unread, entry)
        self._expect_end(entry)

    def next_to_read(self, room: int) -> Entry | None:
        """The next to be read, where less than ``room`` that are or will be read go before it."""
        if not self._unread:
            return None
        before = sum(entry < self._unread[0] for entry in (*self._reading, *self._ready))
        if before >= room:
            return None
        entry = heapq.heappop(self._unread)
        self._reading.add(entry)
        return entry

    def overdue(self, now: float) -> list[Entry]:
        """Those to be read at once, whether there is room or not: their time is up."""
        found = []
        while self._deadlines and (self._deadlines[0][0] <= now or self._deadlines[0][2].future.done()):
            entry = heapq.heappop(self._deadlines)[2]
            if entry in self._unread:
                self._remove_unread(entry)
                self._reading.add(entry)
                found.append(entry)
        return found

    def was_read(self, entry: Entry, photograph: Photograph | None, now: float) -> None:
        """``entry`` is read; it waits for its place if it has a ``photograph`` and is still wanted."""
        self._reading.discard(entry)
        if photograph is not None and not entry.future.done():
            entry.photograph, entry.ready_at = photograph, now
            self._ready.append(entry)
            self._expect_end(entry)  # which may be earlier by now

    def take(self, entry: Entry) -> None:
        """``entry``, which was ready, has its place."""
        self._ready.remove(entry)

    def forget(self, entry: Entry) -> None:
        """``entry`` has ended, or nobody wants it any more; what is being read of it is not waited for."""
        self._reading.discard(entry)
        if entry in self._unread:
            self._remove_unread(entry)
        if entry in self._ready:
            self._ready.remove(entry)
        while self._deadlines and self._deadlines[0][2].future.done():
            heapq.heappop(self._deadlines)

    def _expect_end(self, entry: Entry) -> None:
        if entry.order.ends_at < math.inf:
            self._number += 1
            heapq.heappush(self._deadlines, (entry.order.ends_at, self._number, entry))

    def _remove_unread(self, entry: Entry) -> None:
        self._unread.remove(entry)
        heapq.heapify(self._unread)
