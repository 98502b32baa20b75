"""A clock that calls when somebody's time is up, in a thread that is there only while it is waited for."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from weakref import WeakMethod

LONGEST_WAIT = 3600.0  # seconds at once, of any thread: a lock takes no time without bounds


class Alarm:
    """Calls the method ``ring`` at the times that were set; the method's object is not kept alive by it."""

    def __init__(self, ring: Callable[[], None]) -> None:
        self._ring = WeakMethod(ring)
        self._changed = threading.Condition()
        self._at, self._wakes_at = math.inf, math.inf  # of time.monotonic
        self._is_there = False  # the thread

    def set(self, seconds: float) -> None:
        """Rings in ``seconds``, or before that where it was set to ring earlier; never where they are inf."""
        with self._changed:
            self._at = min(self._at, time.monotonic() + seconds)
            if self._at == math.inf:
                return
            if not self._is_there:
                self._is_there = _started(self._run)
            elif self._at < self._wakes_at:
                self._changed.notify()

    def close(self) -> None:
        """Rings no more."""
        with self._changed:
            self._at = math.inf
            self._changed.notify()

    def _run(self) -> None:
        while self._is_due():
            ring = self._ring()
            if ring is not None:
                ring()
            del ring  # or its object would live as long as the next time is waited for

    def _is_due(self) -> bool:
        """Waits until it is time, and then no more for that; False where there is nothing to wait for."""
        with self._changed:
            while (left := self._at - time.monotonic()) > 0:
                if left == math.inf:
                    self._is_there = False
                    return False
                self._wakes_at = self._at
                self._changed.wait(min(left, LONGEST_WAIT))
            self._at = self._wakes_at = math.inf
            return True


def _started(run: Callable[[], None]) -> bool:
    """Whether ``run`` has a thread now; an interpreter that is about to end starts none."""
    try:
        threading.Thread(target=run, name="edgefill-alarm", daemon=True).start()
    except RuntimeError:
        return False
    return True
