"""Jobs that clients watch: what happened so far, who listens, and results for who asks in time."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any

from edgefill.serve.answers import Encoded
from edgefill.serve.limits import Limits
from edgefill.serve.problems import Problem

_ALIVE_SECONDS = 10.0  # between signs of life; a client that has gone is noticed then
_MOST_EVENTS = 512  # that are kept for who listens late


@dataclass(eq=False)
class Watched:
    """One job. Everything happens in the event loop's thread."""

    cancel: Callable[[], None]
    patience: float  # seconds without a listener, after there was one, until it is cancelled
    id: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    result: Encoded | None = None
    problem: Problem | None = None
    ended_at: float = 0.0
    told: float = 0.0  # how far it was when that was last told
    _events: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    _listeners: set[asyncio.Event] = field(default_factory=set)
    task: asyncio.Task[None] | None = None  # that follows it; a loop holds its tasks weakly
    _giving_up: asyncio.TimerHandle | None = None

    @property
    def ended(self) -> bool:
        return self.result is not None or self.problem is not None

    def tell(self, event: str, **data: Any) -> None:
        """Adds an event, as long as there is room, which there always is for the last."""
        if len(self._events) < _MOST_EVENTS or event in ("done", "failed"):
            self._events.append((event, data))
        for listener in self._listeners:
            listener.set()

    def finish(self, result: Encoded) -> None:
        self.result, self.ended_at = result, time.monotonic()
        self.tell("done", **self.about())

    def fail(self, problem: Problem, request_id: str) -> None:
        self.problem, self.ended_at = problem, time.monotonic()
        self.tell("failed", **problem.document(request_id))

    def about(self) -> dict[str, Any]:
        """What is known of it, and where the rest is."""
        place = f"/v1/jobs/{self.id}"
        document: dict[str, Any] = {"id": self.id, "events": f"{place}/events", "state": self._state()}
        if self.result:
            document |= self.result.about
            document["result"] = f"{place}/result"
            for number, each in enumerate(document.get("candidates", ()), start=1):
                each["result"] = f"{place}/result?candidate={number}"
            if self.result.confidence is not None:
                document["confidence"] = f"{place}/confidence"
        if self.problem:
            document["problem"] = {"detail": self.problem.detail, "status": self.problem.status}
        return document

    async def listen(self) -> AsyncIterator[tuple[str, dict[str, Any]] | None]:
        """Every event from the first one on, to the end; None where nothing has happened for a while."""
        news = asyncio.Event()
        self._listeners.add(news)
        self._keep_on()
        seen = 0
        try:
            while True:
                while seen < len(self._events):
                    seen += 1
                    yield self._events[seen - 1]
                if self.ended:
                    return
                news.clear()
                try:
                    await asyncio.wait_for(news.wait(), _ALIVE_SECONDS)
                except asyncio.TimeoutError:
                    yield None
        finally:
            self._listeners.discard(news)
            if not (self._listeners or self.ended):
                loop = asyncio.get_running_loop()
                self._giving_up = loop.call_later(self.patience, self.cancel)

    def _keep_on(self) -> None:
        if self._giving_up is not None:
            self._giving_up.cancel()
            self._giving_up = None

    def _state(self) -> str:
        return "done" if self.result else "failed" if self.problem else "going"


class Kept:
    """The jobs that may still be asked for."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._jobs: dict[str, Watched] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    def add(self, job: Watched) -> None:
        self.forget_old()
        self._jobs[job.id] = job

    def find(self, id: str) -> Watched:
        """The job ``id``. Raises Problem where there is none, or no more."""
        self.forget_old()
        if id not in self._jobs:
            raise Problem("not-found", "there is no such job; results are kept for a few minutes only")
        return self._jobs[id]

    def remove(self, job: Watched) -> None:
        """Ends ``job`` where it is still going, and forgets it."""
        job.cancel()
        self._jobs.pop(job.id, None)

    def forget_old(self) -> None:
        """Forgets those that ended long ago, and the first that ended where there are too many."""
        now, limits = time.monotonic(), self._limits
        ended = sorted((job for job in self._jobs.values() if job.ended), key=lambda job: job.ended_at)
        size = sum(job.result.bytes for job in ended if job.result)
        for count, job in zip(range(len(ended), 0, -1), ended, strict=True):
            late = now - job.ended_at > limits.kept_seconds
            if not (late or count > limits.kept_jobs or size > limits.kept_bytes):
                return
            size -= job.result.bytes if job.result else 0
            del self._jobs[job.id]
