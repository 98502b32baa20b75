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
    take: Callable[[], Photograph | None]  # reads it; None where nothing is missing
    accept: Callable[[Photograph | None], None]
    photograph: Photograph | None = None
    is_read: bool = False
    ready_at: float = 0.0  # of time.perf_counter

    def __lt__(self, other: Entry) -> bool:
        return self.order.rank < other.order.rank


class Line:
    """Who waits for what. One thread at a time uses it."""

    def __init__(self) -> None:
        self._unread: list[Entry] = []  # a heap
        self._reading: set[Entry] = set()
        self._ready: list[Entry] = []
        self._deadlines: list[tuple[float, int, Entry]] = []  # a heap

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

    @property
    def soonest(self) -> float:
        """When the next deadline is; inf where there is none."""
        return self._deadlines[0][0] if self._deadlines else math.inf

    def add(self, entry: Entry) -> None:
        if entry.is_read:
            self._ready.append(entry)
        else:
            heapq.heappush(self._unread, entry)
        if entry.order.ends_at < math.inf:
            heapq.heappush(self._deadlines, (entry.order.ends_at, entry.order.rank[1], entry))

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

    def take(self, entry: Entry) -> None:
        """``entry``, which was ready, has its place."""
        self._ready.remove(entry)

    def forget(self, entry: Entry) -> None:
        """Nobody wants ``entry`` any more."""
        if entry in self._unread:
            self._remove_unread(entry)
        if entry in self._ready:
            self._ready.remove(entry)

    def _remove_unread(self, entry: Entry) -> None:
        self._unread.remove(entry)
        heapq.heapify(self._unread)
