"""Pictures through a batch of fixed size, in which a finished one's place is taken by the next at once.

Another thread reads the pictures ahead and finishes those that were searched for, so that the search, which
keeps every core busy, hardly waits. What becomes of a picture does not depend on the others.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from edgefill.errors import EdgefillError
from edgefill.jobs.photograph import Photograph
from edgefill.jobs.request import Failure, Request, Result, Source
from edgefill.memory import enough_memory, too_large
from edgefill.methods.latent.drawing import check_drawn
from edgefill.methods.latent.graphs import generate
from edgefill.methods.latent.recording import Recording
from edgefill.methods.latent.search import (
    CONVERGED,
    FAILED,
    OUT_OF_TIME,
    REACHED,
    RUNNING,
    SearchState,
    search_failed,
)
from edgefill.methods.latent.settings import SearchSettings
from edgefill.methods.latent.start import begin
from edgefill.model.manifest import Manifest
from edgefill.pictures.evidence import Evidence
from edgefill.runtimes import Runtime

_AHEAD_BYTES = 64 << 20  # of pictures that are read before their turn, about
_WINDOW = 4  # batches that may wait, finished, for one before them
_FIRST_TURN = 2  # steps: a row that ends within a turn waits for its end
_TURN = 0.02  # seconds of steps, at least, between two looks at who has ended, the keyboard and the bar
_ENDS = {REACHED: "goal", CONVERGED: "plateau", OUT_OF_TIME: "time"}

Prepare = Callable[[Source], Photograph | EdgefillError]


class Stream:
    """One run of pictures through ``runtime``; ``request`` has settings."""

    def __init__(
        self,
        model: Manifest,
        runtime: Runtime,
        request: Request,
        prepare: Prepare,
        *,
        batch: int,
        progress: Callable[[float], None],
    ) -> None:
        self._model, self._runtime, self._request = model, runtime, request
        self._prepare, self._batch, self._progress = prepare, batch, progress
        self._settings = request.settings or SearchSettings()
        self._searching: list[_Search] = []  # one for each row of the state
        self._state: SearchState | None = None
        self._turn_length = _FIRST_TURN
        self._step_seconds = 0.0  # of the last turn

    def outcomes(self, sources: Iterable[Source]) -> Iterator[Result | Failure]:
        """What becomes of each of ``sources``, in their order."""
        order: deque[Future[Result | Failure]] = deque()
        with ThreadPoolExecutor(1, "edgefill-pictures") as helper:
            ahead = _ReadAhead(sources, self._read, helper, self._batch)
            while True:
                self._admit(ahead, order)
                while order and (order[0].done() or not self._searching):
                    yield order.popleft().result()
                if self._searching:
                    self._take_turn()
                    self._dismiss(helper)
                elif not order and not ahead:
                    return

    def _read(self, source: Source) -> Photograph | EdgefillError:
        item = self._prepare(source)
        try:
            if isinstance(item, Photograph) and item.needs_search:
                _ = item.evidence  # computed here, beside the search
        except MemoryError:
            return too_large(source)
        return item

    def _admit(self, ahead: _ReadAhead, order: deque[Future[Result | Failure]]) -> None:
        """Fills the places that are free with the next pictures."""
        new: list[_Search] = []
        while len(self._searching) + len(new) < self._batch and len(order) < _WINDOW * self._batch and ahead:
            source, item = ahead.pop()
            order.append(Future())
            if isinstance(item, EdgefillError):
                order[-1].set_result(Failure(source, item))
            elif not item.needs_search:
                order[-1].set_result(Result(source, item, item.picture))
            else:
                new.append(_Search(source, item, order[-1], Recording(self._request, self._runtime)))
        if new:
            started = time.perf_counter()
            evidence = Evidence.stacked([search.photograph.evidence for search in new])
            seeds = [self._request.seed] * len(new)
            state = begin(evidence, self._settings, seeds, self._model, self._runtime)
            self._state = SearchState.joined(self._state, state) if self._state else state
            self._searching += new
            self._share(time.perf_counter() - started, new)

    def _take_turn(self) -> None:
        """Some steps of every row: as many as nothing else has to be done between."""
        state, total = self._state, self._settings.steps
        assert state is not None
        started, before = time.perf_counter(), state.steps
        for row, search in enumerate(self._searching):
            search.recording.before(state, row)
        left = total - int(state.steps.max())
        recorded = min(
            search.recording.steps_to_next(int(taken))
            for search, taken in zip(self._searching, state.steps, strict=True)
        )
        turn = max(1, min(self._turn_length, left, recorded, self._steps_in_time()))
        self._runtime.solve(state, turn)
        self._progress(float((state.steps - before).sum()) / total)
        for row, search in enumerate(self._searching):
            search.recording.after(state, row)
        elapsed = time.perf_counter() - started
        self._share(elapsed, self._searching)
        self._step_seconds = elapsed / turn
        if elapsed < _TURN:
            self._turn_length *= 2
        self._end_those_out_of_time(state)

    def _steps_in_time(self) -> int:
        """How many steps the row with the least time left has time for."""
        limit = self._settings.milliseconds
        if limit is None:
            return self._settings.steps
        if not self._step_seconds:
            return 1
        left = limit / 1e3 - max(search.elapsed for search in self._searching)
        return int(left / self._step_seconds)

    def _end_those_out_of_time(self, state: SearchState) -> None:
        limit = self._settings.milliseconds
        if limit is not None:
            # A step that would end after the limit is not begun.
            late = [search.elapsed + self._step_seconds > limit / 1e3 for search in self._searching]
            stopped = np.array(late) & (state.status == RUNNING) & (state.steps < self._settings.steps)
            state.status = np.where(stopped, np.int32(OUT_OF_TIME), state.status)

    def _dismiss(self, helper: ThreadPoolExecutor) -> None:
        """Hands the rows that have ended over to be finished, and frees their places."""
        state = self._state
        assert state is not None
        ended = state.ended_rows
        if not ended.any():
            return
        generated = generate(self._runtime, state.best_z[ended])
        for row, picture in zip(np.flatnonzero(ended), generated, strict=True):
            search = self._searching[row]
            self._progress(1 - int(state.steps[row]) / self._settings.steps)
            found = _Found.of(state, int(row), search.seconds)
            helper.submit(self._finish, search, found, picture)
        self._searching = [search for search, gone in zip(self._searching, ended, strict=True) if not gone]
        self._state = state.rows(~ended) if self._searching else None

    def _finish(self, search: _Search, found: _Found, generated: np.ndarray) -> None:
        try:
            search.outcome.set_result(self._result(search, found, generated))
        except BaseException as error:  # noqa: BLE001  it belongs to who waits for the outcome
            search.outcome.set_exception(error)

    def _result(self, search: _Search, found: _Found, generated: np.ndarray) -> Result | Failure:
        photograph, settings = search.photograph, self._settings
        name, frames = photograph.picture.name or "the picture", search.recording.frames()
        if found.status == FAILED:
            return Failure(search.source, search_failed(name, found.steps))
        try:
            check_drawn(np.stack([generated, *frames]), self._model, name)
            with enough_memory(search.source):
                picture = photograph.finished(generated, self._request.blend)
        except EdgefillError as error:
            return Failure(search.source, error)
        return Result(
            search.source,
            photograph,
            picture,
            loss=found.loss,
            contextual=found.contextual,
            perceptual=found.perceptual if settings.lam else None,
            prior=found.prior,
            steps=found.steps,
            ended=_ENDS.get(found.status, "steps"),
            seconds=found.seconds,
            z=found.z,
            generated=generated,
            trace=search.recording.trace(),
            frames=frames,
        )

    def _share(self, elapsed: float, searches: Sequence[_Search]) -> None:
        """Charges ``elapsed`` seconds to those that were searched for in them."""
        for search in searches:
            search.elapsed += elapsed
            search.seconds += elapsed / len(searches)


@dataclass(eq=False)
class _Search:
    """A picture that has a place in the batch."""

    source: Source
    photograph: Photograph
    outcome: Future[Result | Failure]
    recording: Recording
    elapsed: float = 0.0  # since it has its place
    seconds: float = 0.0  # its share of that


@dataclass(frozen=True, eq=False)
class _Found:
    """What a search has found, taken out of the state."""

    z: np.ndarray
    loss: float
    contextual: float
    perceptual: float
    prior: float
    steps: int
    status: int
    seconds: float

    @classmethod
    def of(cls, state: SearchState, row: int, seconds: float) -> _Found:
        z = state.best_z[row]
        distance = float(np.square(z - state.task.anchor[row]).sum())
        return cls(
            z,
            float(state.best_loss[row]),
            float(state.best_contextual[row]),
            float(state.best_perceptual[row]),
            float(state.task.pull[row]) * distance,
            int(state.steps[row]),
            int(state.status[row]),
            seconds,
        )


@dataclass(eq=False)
class _ReadAhead:
    """The next pictures, read in another thread; true while there is one."""

    sources: Iterable[Source]
    prepare: Prepare
    helper: ThreadPoolExecutor
    most: int
    waiting: deque[tuple[Source, Future[Photograph | EdgefillError]]] = field(default_factory=deque)

    def __post_init__(self) -> None:
        self._left = iter(self.sources)

    def __bool__(self) -> bool:
        self._read_on(1)
        return bool(self.waiting)

    def pop(self) -> tuple[Source, Photograph | EdgefillError]:
        """The next picture, for which it waits, or why there is none."""
        source, future = self.waiting.popleft()
        item = future.result()
        self._read_on(self._room(item))
        return source, item

    def _room(self, item: Photograph | EdgefillError) -> int:
        """How many pictures like ``item`` may be read before their turn."""
        size = 0 if isinstance(item, EdgefillError) else item.picture.values.nbytes
        return max(1, min(self.most, _AHEAD_BYTES // max(size, 1)))

    def _read_on(self, most: int) -> None:
        for source in islice(self._left, max(0, most - len(self.waiting))):
            self.waiting.append((source, self.helper.submit(self.prepare, source)))
