"""What the threads of a scheduler share."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from edgefill.completion.books import Books, Load
from edgefill.completion.line import Entry, Line
from edgefill.completion.pace import Pace
from edgefill.jobs.job import Order
from edgefill.jobs.photograph import Photograph
from edgefill.methods import Method

_AHEAD_BYTES = 64 << 20  # of pictures that are read before their turn, about
_FIRST_ROOM = 2  # before it is known how large pictures are


@dataclass
class State:
    """The jobs of one model by how far they are, and what is known of them.

    Whoever reads or changes it holds ``changed``, and notifies it of what others may wait for; the methods
    without a word on it are called by those who do.
    """

    method: Method
    changed: threading.Condition = field(default_factory=threading.Condition)
    entries: dict[Order, Entry] = field(default_factory=dict)  # that have not ended
    line: Line = field(default_factory=Line)  # that have no place yet
    running: dict[Order, Entry] = field(default_factory=dict)  # that the method has
    finishing: int = 0  # how many the method had
    books: Books = field(default_factory=Books)
    pace: Pace = field(default_factory=Pace)
    _room: int = _FIRST_ROOM

    @property
    def room(self) -> int:
        """How many pictures like the last that was read may lie in memory before their turn."""
        return min(self.method.places, self._room)

    @property
    def load(self) -> Load:
        """How much there is to do and was done."""
        waiting, tally = len(self.line), self.method.tally
        return Load(
            waiting, len(self.entries) - waiting, tally.steps, tally.used, tally.there,
            dict(self.books.seconds), dict(self.books.finished),
        )  # fmt: skip

    def next_to_read(self) -> Entry | None:
        """What is to be read now, where there is room for it before those that it goes before."""
        return self.line.next_to_read(self.room) if self.finishing <= 2 * self.room else None

    def expect_like(self, photograph: Photograph) -> None:
        """The next are taken to be as large as ``photograph``."""
        self._room = max(1, _AHEAD_BYTES // max(photograph.picture.values.nbytes, 1))

    def to_be_finished(self, order: Order) -> Entry | None:
        """The job of ``order``, which leaves its place; None where it has ended meanwhile."""
        entry = self.running.pop(order, None)
        self.finishing += entry is not None
        return entry

    def ended(self, entry: Entry, outcome: str) -> None:
        """``entry`` is done with, in the way that ``outcome`` names."""
        self.entries.pop(entry.order, None)
        self.running.pop(entry.order, None)
        self.books.finished[outcome] += 1
        self.line.forget(entry)
        if not self.entries:
            self.pace.forget()

    def spend(self, **seconds: float) -> None:
        """Adds ``seconds`` by phase to the books; it takes the lock itself."""
        with self.changed:
            self.books.spend(**seconds)
