"""Any number of sources through a scheduler, and what becomes of them in their order."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future

from edgefill.completion.future import JobFuture
from edgefill.completion.scheduler import Scheduler
from edgefill.errors import EdgefillError
from edgefill.jobs.job import Job, Progress
from edgefill.jobs.request import Failure, Request, Result, Source

_WINDOW = 4  # times the pictures that are held together: results that may wait for one before them
_LAST_BREATH = 0.2  # seconds for the sources to give way; one that blocks is left behind


class InOrder:
    """One run of ``sources``: another thread takes them, as far as there is room for what becomes of them."""

    def __init__(
        self,
        scheduler: Scheduler,
        sources: Iterable[Source],
        request: Request,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        self._scheduler, self._sources, self._request = scheduler, sources, request
        self._progress = progress
        self._changed = threading.Condition()
        self._order: deque[tuple[Source, JobFuture[Result]]] = deque()
        self._error: BaseException | None = None  # of the sources
        self._is_fed, self._is_stopped = False, False
        self._done = 0.0  # pictures' worth, not yet reported

    def outcomes(self) -> Iterator[Result | Failure]:
        """What becomes of each, as soon as those before it have been given away.

        When this ends before its time, what is under way is cancelled.
        """
        feeder = threading.Thread(target=self._feed, name="edgefill-sources", daemon=True)
        feeder.start()
        try:
            while True:
                with self._changed:
                    self._changed.wait_for(lambda: self._done or self._is_next_there)
                    done, self._done = self._done, 0.0
                    source, future = self._order.popleft() if self._is_head_done else (None, None)
                    is_over = self._is_fed and not self._order
                    self._changed.notify_all()
                if done and self._progress:
                    self._progress(done)
                if future is not None and source is not None:
                    yield _outcome(source, future)
                elif is_over:
                    break
            if self._error is not None:
                raise self._error
        finally:
            self._stop()
            feeder.join(_LAST_BREATH)

    @property
    def _is_head_done(self) -> bool:
        return bool(self._order) and self._order[0][1].done()

    @property
    def _is_next_there(self) -> bool:
        return self._is_head_done or (self._is_fed and not self._order)

    def _feed(self) -> None:
        try:
            with self._scheduler.more_to_come():
                self._feed_all()
        except BaseException as error:  # noqa: BLE001  it belongs to who waits for the outcomes
            self._error = error
        finally:
            self._is_fed = True
            self._wake()

    def _feed_all(self) -> None:
        for source in self._sources:
            with self._changed:
                self._changed.wait_for(lambda: self._is_stopped or len(self._order) < self._most)
                if self._is_stopped:
                    return
                future = self._submitted(source)
                self._order.append((source, future))
            future.add_done_callback(self._wake)

    @property
    def _most(self) -> int:
        """How many may be under way, or wait for one before them."""
        return _WINDOW * self._scheduler.room

    def _submitted(self, source: Source) -> JobFuture[Result]:
        told = _Told(self._add)
        watcher = told.progress if self._progress else None
        future = self._scheduler.submit(Job(source, self._request, on_progress=watcher))
        future.add_done_callback(told.end)
        return future

    def _add(self, share: float) -> None:
        with self._changed:
            self._done += share
            self._changed.notify_all()

    def _wake(self, _: Future[Result] | None = None) -> None:
        with self._changed:
            self._changed.notify_all()

    def _stop(self) -> None:
        with self._changed:
            self._is_stopped = True
            left = [future for _, future in self._order]
            self._changed.notify_all()
        for future in left:
            future.cancel()


class _Told:
    """How much of one picture has been reported."""

    def __init__(self, add: Callable[[float], None]) -> None:
        self._add, self._share = add, 0.0

    def progress(self, progress: Progress) -> None:
        self._tell(progress.done)

    def end(self, _: Future[Result]) -> None:
        self._tell(1.0)

    def _tell(self, share: float) -> None:
        self._add(share - self._share)
        self._share = share


def _outcome(source: Source, future: JobFuture[Result]) -> Result | Failure:
    try:
        return future.result()
    except EdgefillError as error:
        if future.concerns_all:
            raise
        return Failure(source, error)
