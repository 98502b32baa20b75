"""What becomes of a job, for whoever waits for it."""

from __future__ import annotations

import threading
from concurrent.futures import Future, InvalidStateError
from typing import TypeVar

T = TypeVar("T")


class JobFuture(Future[T]):
    """What becomes of a job: ``result()`` is its Result, or raises EdgefillError."""

    concerns_all = False  # whether what went wrong is not this job's alone

    def __init__(self) -> None:
        super().__init__()
        self._cancelling = threading.Lock()

    def cancel(self) -> bool:
        """Ends the job, also while it runs: its place is free at the next turn. False where it is done."""
        with self._cancelling:
            if self.cancelled():
                return True
            if not super().cancel():
                return False
            self.set_running_or_notify_cancel()  # who waits for several is told here
            return True

    def settle(self, value: T | None = None, error: BaseException | None = None) -> bool:
        """Sets the result or the ``error``; False where it was cancelled before."""
        try:
            if error is None:
                self.set_result(value)  # type: ignore[arg-type]  # None is a value where T has it
            else:
                self.set_exception(error)
        except InvalidStateError:
            return False
        return True
