"""Rows that search together: where one has ended the next takes its place, and none depends on the others."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from edgefill.jobs.job import Order
from edgefill.methods.latent.graphs import generate
from edgefill.methods.latent.latents import Seed
from edgefill.methods.latent.recording import Recording
from edgefill.methods.latent.search import OUT_OF_TIME, RUNNING, SearchState
from edgefill.methods.latent.settings import SearchSettings
from edgefill.methods.latent.start import begin
from edgefill.model.manifest import Manifest
from edgefill.pictures.evidence import Evidence
from edgefill.runtimes import Runtime

_FIRST_TURN = 2  # steps: a row that ends within a turn waits for its end
_FIRST_LOOP = 16  # where a turn ends when no row runs; most searches of one picture are this one turn
_TURN = 0.02  # seconds of steps, at least, between two looks at who has ended and who has come
_IDLE, _BUSY = 0.04, 0.01  # shares of places of rows that wait for a turn's end: shorter turns, or longer
_MEMORY = 0.9  # of a turn's share, at the next
_LONGEST_TURN = 1024  # steps
_SAME_RATES = 1024  # steps: searches of up to so many share their schedule


@dataclass(frozen=True, eq=False)
class Found:
    """What a search has found, taken out of the state."""

    z: np.ndarray
    generated: np.ndarray  # G(z), [C, H, W]
    expected: np.ndarray  # the same of the encoder's z; G(z) where there is none
    loss: float  # inf where no step was taken; so are its parts
    contextual: float
    perceptual: float
    prior: float
    steps: int
    status: int


@dataclass(eq=False)
class Search:
    """One row, from when it waits for its place until something is ``found``."""

    order: Order
    evidence: Evidence  # of one picture
    settings: SearchSettings
    seed: Seed
    recording: Recording
    ends_at: float = math.inf  # of time.perf_counter; known when it has its place
    seconds: float = 0.0  # its share of its batch's time
    found: Found | None = None

    def starts_at(self, now: float) -> None:
        """Its time runs from ``now``."""
        limit = self.settings.milliseconds
        self.ends_at = min(self.order.ends_at, math.inf if limit is None else now + limit / 1e3)


class Turn(NamedTuple):
    """What a batch did in a turn."""

    steps: int  # of the row that took most
    used: int  # steps of all rows


def common(settings: SearchSettings) -> SearchSettings:
    """What searches must have in common to share a batch: the settings that belong to all of its rows.

    Each row has its own start, objective, time and number of steps, up to those of what comes back; but D is
    asked for all rows or for none.
    """
    steps = settings.steps
    if not settings.lr_falls and not settings.solver.drawn:  # else each step depends on how many there are
        steps = max(_SAME_RATES, steps)
    return replace(
        settings, start="random", starts=1, steps=steps, lam=float(settings.lam > 0), pull=0.0, power=1,
        importance=0, milliseconds=None, features=settings.moves_features,
    )  # fmt: skip


class Batch:
    """Searches with the same ``common`` settings, and the state of their rows."""

    def __init__(self, settings: SearchSettings, model: Manifest, runtime: Runtime) -> None:
        self._settings, self._model, self._runtime = settings, model, runtime
        width = model.z_dim + runtime.features * settings.features
        self._rates = settings.rates(model.z_dim / width)
        self.searches: list[Search] = []  # one for each row of the state
        self._state: SearchState | None = None
        self._least = runtime.info.steps_at_once  # fewer are hardly quicker
        self._turn_length = max(_FIRST_LOOP if runtime.info.loops else _FIRST_TURN, self._least)
        self._step_seconds = 0.0  # of the last turn
        self._used, self._there = 0.0, 0.0  # steps of rows, and what they could have been, of late

    @property
    def steps(self) -> list[tuple[Search, int]]:
        """Each search, and how many steps it has taken."""
        taken = self._state.steps if self._state else np.zeros(0, np.int32)
        return list(zip(self.searches, map(int, taken), strict=True))

    def admit(self, searches: Sequence[Search]) -> None:
        """Begins ``searches``."""
        started = time.perf_counter()
        for settings in dict.fromkeys(search.settings for search in searches):
            same = [search for search in searches if search.settings == settings]
            for search in same:
                search.starts_at(started)
            evidence = Evidence.stacked([search.evidence for search in same])
            seeds = [search.seed for search in same]
            state = begin(evidence, settings, seeds, self._model, self._runtime)
            state = replace(state, settings=self._settings, rates=self._rates)
            self._state = SearchState.joined(self._state, state) if self._state else state
            self.searches += same
        self._share(time.perf_counter() - started, searches)

    def take_turn(self, until: float) -> Turn:
        """Some steps of every row: as many as nothing else has to be done between, one at least.

        ``until`` is when somebody else's time is up, of ``time.perf_counter``.
        """
        state = self._state
        assert state is not None
        started, before = time.perf_counter(), state.steps
        for row, search in enumerate(self.searches):
            search.recording.before(state, row)
        turn = self._length(started, until)
        self._runtime.solve(state, turn)
        for row, search in enumerate(self.searches):
            search.recording.after(state, row)
        elapsed = time.perf_counter() - started
        self._share(elapsed, self.searches)
        taken = state.steps - before
        done = Turn(int(taken.max(initial=0)), int(taken.sum()))
        self._step_seconds = elapsed / max(done.steps, 1)
        self._choose_length(elapsed, done)
        return done

    def end_those_out_of_time(self) -> None:
        """A step that would end after a row's time is not begun, but for its first."""
        state, now = self._state, time.perf_counter()
        if state is None:
            return
        left = np.array([search.ends_at - now for search in self.searches])
        overdue = np.array([search.order.ends_at <= now for search in self.searches])
        late = overdue | ((left < self._step_seconds) & (state.steps > 0))
        stopped = late & (state.status == RUNNING) & ~self._finished(state)
        if stopped.any():  # a device compares what it has: another array is copied there
            state.status = np.where(stopped, np.int32(OUT_OF_TIME), state.status)

    def dismiss(self) -> list[Search]:
        """The searches that have ended, with what they found; their places are free."""
        state = self._state
        if state is None:
            return []
        ended = (state.status != RUNNING) | self._finished(state)
        if not ended.any():
            return []
        rows = np.flatnonzero(ended)
        generated = generate(self._runtime, state.best_z[ended])
        expected = generated
        if any(self.searches[row].settings.start == "encoder" for row in rows):
            expected = generate(self._runtime, state.task.anchor[ended])
        for number, row in enumerate(rows):
            encoded = self.searches[row].settings.start == "encoder"
            pictures = generated[number], (expected if encoded else generated)[number]
            self.searches[row].found = _found(state, int(row), *pictures)
        gone = [search for search, has_ended in zip(self.searches, ended, strict=True) if has_ended]
        self._keep(~ended)
        return gone

    def drop(self) -> list[Search]:
        """Searches that nobody wants any more; their places are free."""
        off = np.array([search.order.is_off() for search in self.searches], bool)
        if not off.any():
            return []
        gone = [search for search, is_off in zip(self.searches, off, strict=True) if is_off]
        self._keep(~off)
        return gone

    def _keep(self, rows: np.ndarray) -> None:
        self.searches = [search for search, stays in zip(self.searches, rows, strict=True) if stays]
        self._state = self._state.rows(rows) if self._state and self.searches else None

    def _finished(self, state: SearchState) -> np.ndarray:
        finished: np.ndarray = state.steps >= [search.settings.steps for search in self.searches]
        return finished

    def _length(self, now: float, until: float) -> int:
        """Steps of the next turn: until a row ends or has something to record, or time is up."""
        left = min(search.settings.steps - taken for search, taken in self.steps)
        recorded = min(search.recording.steps_to_next(taken) for search, taken in self.steps)
        soonest = min(until, *(search.ends_at for search in self.searches))
        in_time = self._turn_length
        if soonest < math.inf:
            in_time = int((soonest - now) / self._step_seconds) if self._step_seconds else 1
        return max(1, min(self._turn_length, left, recorded, in_time))

    def _choose_length(self, elapsed: float, done: Turn) -> None:
        """Turns grow to what is worth their trouble, as long as few rows stand idle until their end."""
        self._used = _MEMORY * self._used + done.used
        self._there = _MEMORY * self._there + done.steps * len(self.searches)
        idle = 1 - self._used / max(self._there, 1)
        if idle > _IDLE:
            self._turn_length = max(self._least, self._turn_length // 2)
        elif idle < _BUSY and elapsed < _TURN:
            self._turn_length = min(2 * self._turn_length, _LONGEST_TURN)

    def _share(self, elapsed: float, searches: Sequence[Search]) -> None:
        """Charges ``elapsed`` seconds to those that were searched for in them."""
        for search in searches:
            search.seconds += elapsed / len(searches)


def _found(state: SearchState, row: int, generated: np.ndarray, expected: np.ndarray) -> Found:
    z = state.best_z[row]
    distance = float(np.square(z - state.task.anchor[row]).sum())
    return Found(
        z,
        generated,
        expected,
        float(state.best_loss[row]),
        float(state.best_contextual[row]),
        float(state.best_perceptual[row]),
        float(state.task.pull[row]) * distance,
        int(state.steps[row]),
        int(state.status[row]),
    )
