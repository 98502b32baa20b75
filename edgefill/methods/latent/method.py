"""The latent search as the scheduler knows it: orders are rows of batches, and a row's end answers them."""

from __future__ import annotations

import time
from bisect import insort
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from edgefill.errors import InputError
from edgefill.faces.portraits import check_alignment
from edgefill.jobs.job import Order
from edgefill.jobs.photograph import Photograph
from edgefill.jobs.request import Request
from edgefill.methods import Ended, Tally
from edgefill.methods.latent.answers import Answer, ArraysAnswer, PictureAnswer
from edgefill.methods.latent.batch import Batch, Search, common
from edgefill.methods.latent.candidates import Alternatives
from edgefill.methods.latent.pixels import pixel_evidence
from edgefill.methods.latent.recording import Recording
from edgefill.methods.latent.settings import SearchSettings
from edgefill.methods.latent.start import check_settings
from edgefill.model.manifest import Manifest
from edgefill.runtimes import Runtime

_BATCHES = 4  # times the places of one, for all rows that search


class LatentSearch:
    """Completes pictures by searching z, with ``places`` rows in each batch; see ``Method``."""

    def __init__(self, model: Manifest, runtime: Runtime, places: int) -> None:
        self._model, self._runtime, self.places = model, runtime, places
        self._batches: dict[SearchSettings, _Queue] = {}  # by what their rows have in common
        self._turns: deque[SearchSettings] = deque()  # whose is next
        self._answers: dict[Order, Answer] = {}
        self.tally = Tally()

    @property
    def is_busy(self) -> bool:
        return bool(self._answers)

    def resolved(self, request: Request) -> Request:
        """With settings. Raises ModelError where they need an encoder or a D and there is none.

        InputError where it cannot align faces.
        """
        check_alignment(request.aligns, request.given_eyes, self._model)
        settings = (request.settings or SearchSettings()).suited(encoder=self._model.has_encoder)
        check_settings(settings, self._model)
        return replace(request, settings=settings)

    def has_room(self, order: Order) -> bool:
        queue = self._batches.get(common(_settings(order)))
        rows = sum(len(each) for each in self._batches.values())
        return (queue is None or len(queue) < self.places) and rows < _BATCHES * self.places

    def accept(self, order: Order, photograph: Photograph) -> None:
        settings, request = _settings(order), order.request
        rows = photograph.evidence.rows()
        if len(rows) > 1 and (request.wants_others or request.trace or request.frames):
            raise InputError(
                f"cannot keep candidates, a confidence, a trace or frames of {len(rows)} faces at once; "
                "expected one face: give its eyes alone (--eyes x,y,x,y), or leave these out"
            )
        searches = [
            Search(order, row, settings, request.seed, Recording(request, self._runtime)) for row in rows
        ]
        others = Alternatives.of(order, photograph, self._runtime) if request.wants_others else None
        self._enter(PictureAnswer(order, searches, self._model, self._runtime, photograph, others))

    def accept_arrays(
        self, order: Order, pictures: np.ndarray, known: np.ndarray, seeds: Sequence[int]
    ) -> None:
        evidence, settings = pixel_evidence(pictures, known, self._model), _settings(order)
        recording = Recording(order.request, self._runtime)
        rows = [
            Search(order, row, settings, seed, recording)
            for row, seed in zip(evidence.rows(), seeds, strict=True)
        ]
        self._enter(ArraysAnswer(order, rows, self._model, self._runtime, evidence.target, known))

    def turn(self, until: float) -> list[Ended]:
        self._drop()
        queue = self._next()
        if queue is None:
            return []
        queue.fill(self.places)
        ended = self._end()
        if queue.batch.searches:
            others = (search.ends_at for each in self._batches.values() for search in each.batch.searches)
            done = queue.batch.take_turn(min([until, *others]))
            self.tally.steps += done.steps
            self.tally.used += done.used
            self.tally.there += done.steps * self.places
            self._report(queue.batch)
            ended += self._end()
        return ended

    def late(self, now: float) -> list[Ended]:
        """None: a turn is as short as a step."""
        return []

    def without_model(self, order: Order, photograph: Photograph) -> None:
        """None: even the first z is drawn by the generator."""

    def withdraw(self) -> None:
        self._batches.clear()
        self._turns.clear()
        self._answers.clear()

    def _enter(self, answer: Answer) -> None:
        self._answers[answer.order] = answer
        for search in answer.rows:
            kind = common(search.settings)
            if kind not in self._batches:
                self._batches[kind] = _Queue(Batch(kind, self._model, self._runtime))
                self._turns.append(kind)
            insort(self._batches[kind].waiting, search, key=lambda each: each.order.rank)

    def _next(self) -> _Queue | None:
        """The batch whose turn it is, of those in which something searches or waits."""
        for _ in range(len(self._turns)):
            kind = self._turns.popleft()
            if len(self._batches[kind]):
                self._turns.append(kind)
                return self._batches[kind]
            del self._batches[kind]
        return None

    def _drop(self) -> None:
        """Forgets orders that are off."""
        off = [order for order in self._answers if order.is_off()]
        for order in off:
            del self._answers[order]
        if off:
            for queue in self._batches.values():
                queue.batch.drop()
                queue.waiting = [search for search in queue.waiting if not search.order.is_off()]

    def _end(self) -> list[Ended]:
        """The orders all of whose rows have found what they could."""
        ended = []
        for queue in self._batches.values():
            queue.batch.end_those_out_of_time()
            for search in queue.batch.dismiss():
                answer = self._answers.get(search.order)
                if answer and answer.has_ended:
                    del self._answers[search.order]
                    ended.append(Ended(search.order, answer.finishing()))
        return ended

    def _report(self, batch: Batch) -> None:
        """Lets those who watch know how far their first rows are."""
        for search, steps in batch.steps:
            answer = self._answers[search.order]
            if search.order.watcher is not None and search is answer.own[0]:
                answer.report(steps)


def _settings(order: Order) -> SearchSettings:
    settings = order.request.settings
    assert settings is not None
    return settings


@dataclass(eq=False)
class _Queue:
    """A batch, and the rows that wait for a place in it."""

    batch: Batch
    waiting: list[Search] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.waiting) + len(self.batch.searches)

    def fill(self, places: int) -> None:
        """Gives free places to those that wait, and a beginning to those whose time is up."""
        now, free = time.perf_counter(), max(0, places - len(self.batch.searches))
        chosen, left = self.waiting[:free], self.waiting[free:]
        chosen += [search for search in left if search.order.ends_at <= now]
        self.waiting = [search for search in left if search.order.ends_at > now]
        if chosen:
            self.batch.admit(chosen)
