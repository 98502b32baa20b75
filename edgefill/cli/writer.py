"""Writing beside the search, in another thread and in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

_WAITING = 16  # that are to be written, at most


class Writer:
    """Does what it is given, one after the other; everything is done when the block ends.

    What goes wrong there is raised here, by the next ``put`` or at the end.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "edgefill-writer")
        self._waiting: deque[Future[None]] = deque()

    def put(self, write: Callable[[], None]) -> None:
        """Has ``write`` called soon; waits where too much waits already."""
        self._waiting.append(self._thread.submit(write))
        while len(self._waiting) > _WAITING or self._waiting[0].done():
            self._waiting.popleft().result()
            if not self._waiting:
                break

    def __enter__(self) -> Writer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True)
        if error is None:
            for each in self._waiting:
                each.result()
