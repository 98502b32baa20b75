"""What the routes of a server share."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from edgefill.completion import JobFuture
from edgefill.errors import Busy
from edgefill.jobs.job import Job, Watcher
from edgefill.jobs.request import Result
from edgefill.serve.answers import Encoded, encode
from edgefill.serve.asking import Asked, Urgency
from edgefill.serve.bodies import Held
from edgefill.serve.kept import Kept
from edgefill.serve.limits import Limits
from edgefill.serve.metrics import Metrics
from edgefill.serve.models import Models, Served
from edgefill.serve.problems import Problem

Value = TypeVar("Value")
_LONGEST_RETRY = 60


@dataclass
class Service:
    """The models, the limits, and what is going on."""

    models: Models
    limits: Limits = field(default_factory=Limits)
    token: str = ""  # that clients have to send; empty where none is needed
    hosts: frozenset[str] = frozenset()  # names, beside those that are always right
    draining: bool = False  # no new work is taken

    def __post_init__(self) -> None:
        self.held = Held(self.limits.held_bytes)
        self.kept = Kept(self.limits)
        self.metrics = Metrics(self.models)
        self._answers = ThreadPoolExecutor(2, "edgefill-answers")

    @property
    def ready(self) -> bool:
        return self.models.work and not self.draining

    async def aside(self, function: Callable[..., Value], *arguments: Any) -> Value:
        """What ``function`` returns, from a thread beside the loop; for what takes more than a moment."""
        return await asyncio.get_running_loop().run_in_executor(self._answers, function, *arguments)

    def check_room(self, served: Served, urgency: Urgency) -> None:
        """Raises Problem where a job with that ``urgency`` would not be taken, before anything is decoded."""
        if self.draining:
            raise Problem("unavailable", "the server is about to end", {"Retry-After": "5"})
        with self._busy_told(served):
            served.scheduler.check_room(urgency.left, urgency.priority)

    def submit(self, served: Served, asked: Asked, on_progress: Watcher | None = None) -> JobFuture[Encoded]:
        """The future of the answer, whose files are encoded beside the loop. Raises as ``check_room``."""
        self.check_room(served, asked.urgency)
        job = Job(
            asked.picture, asked.request, deadline=asked.urgency.left, priority=asked.urgency.priority,
            on_progress=on_progress,
        )  # fmt: skip

        def encoded(result: Result) -> Encoded:
            started = time.perf_counter()
            answer = encode(result, served.name, asked.format)
            self.metrics.phase("encode", time.perf_counter() - started)
            return answer

        with self._busy_told(served):
            future = served.scheduler.submit(job, encoded)
        future.add_done_callback(lambda done: None if done.cancelled() else served.judge(done.exception()))
        return future

    async def completed(self, served: Served, asked: Asked, request: Request) -> Encoded:
        """The answer to what ``request`` asked for; the job ends where its client goes away.

        Raises what the job raised, ClientDisconnect, and Problem as ``submit`` does.
        """
        future = self.submit(served, asked)
        result = asyncio.wrap_future(future)
        gone = asyncio.ensure_future(_gone(request))
        try:
            waited: set[asyncio.Future[Any]] = {result, gone}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if not result.done():
                raise ClientDisconnect
            return result.result()
        finally:
            gone.cancel()
            if not result.done():
                future.cancel()
                result.cancel()

    @contextmanager
    def _busy_told(self, served: Served) -> Iterator[None]:
        try:
            yield
        except Busy as error:
            self.metrics.rejected("busy")
            retry = str(min(_LONGEST_RETRY, max(1, math.ceil(error.seconds))))
            detail = f"{served.name} has as many jobs as it can do in time"
            raise Problem("busy", detail, {"Retry-After": retry}) from error

    def close(self) -> None:
        """Waits for what runs, then gives everything back."""
        self.models.drain(self.limits.drain_seconds)
        self._answers.shutdown()
        self.models.close()


async def _gone(request: Request) -> None:
    """Returns when the client has closed its connection."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
