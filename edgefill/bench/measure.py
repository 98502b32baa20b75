"""What is measured of a runtime at one batch size.

The pictures are the model's own, drawn from seeds, and their centre is filled: the bench needs no data. A
step costs the same whatever z is, so steps are timed in a search that never stops early.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from edgefill.bench.board import Board
from edgefill.bench.timing import Rule, Spread, repeated
from edgefill.completion import Completer, SearchSettings
from edgefill.methods.latent.graphs import evaluate, generate
from edgefill.methods.latent.latents import Prior
from edgefill.methods.latent.pixels import pixel_evidence
from edgefill.methods.latent.search import FAILED, Evaluation, SearchState, Task, search_failed
from edgefill.methods.latent.start import begin
from edgefill.pictures.images import from_unit
from edgefill.runtimes import Footprint, Runtime, StepTimes

_STEPS = 1000  # of the search that steps are timed in, before it starts anew
_COPIES = 5  # searches whose copies are timed


@dataclass(frozen=True)
class Figures:
    """What one batch size costs; times that are spreads are in milliseconds."""

    batch: int
    step_ms: Spread  # one step of all rows, where it runs: between events on a GPU; or one pass, in and out
    enqueue_ms: Spread | None  # the host's part of a step
    copies_ms: float | None  # of a search, in and out together, median
    completion_ms: Spread  # a batch of pictures in to finished pictures out
    picture_ms: float  # the median of it, for each picture
    pictures_per_second: float  # all that were finished, by wall clock
    steps_per_picture: float | None  # evaluations until a picture's search ended, mean
    build_seconds: float  # of its engines, when they were built
    load_seconds: float
    first_run_seconds: float  # of the first steps, without building and loading
    memory_bytes: int | None  # allocated on the device; on a CPU the peak of the process so far
    plan_bytes: int
    picture_joules: float | None
    clock_mhz: int | None  # of the GPU, right after the completions
    loss_difference: float | None = None  # from the fp32 reference: relative, the largest of any row
    gradient_difference: float | None = None  # norm of the difference by norm of the gradient, likewise
    picture_difference: float | None = None  # of a pass: the largest of any pixel, on [-1, 1]


@dataclass(frozen=True)
class Trial:
    """What a runtime said at some places, to be compared with a reference."""

    task: Task
    places: list[np.ndarray]  # each [N, Z]
    found: list[Evaluation]

    def differences(self, reference: Runtime) -> dict[str, Any]:
        """The largest relative differences from ``reference``, under their names in Figures."""
        pairs = [
            (found, evaluate(reference, z, self.task))
            for z, found in zip(self.places, self.found, strict=True)
        ]
        loss = max(_relative(found.loss[:, None], right.loss[:, None]) for found, right in pairs)
        gradient = max(_relative(found.gradient, right.gradient) for found, right in pairs)
        return {"loss_difference": loss, "gradient_difference": gradient}


class Subject:
    """One runtime at one batch size, with its pictures."""

    def __init__(self, completer: Completer, batch: int, settings: SearchSettings) -> None:
        self._completer, self._runtime, model = completer, completer.backend, completer.model
        self._settings, self._batch = settings, batch
        self._prior = Prior.of(model)
        self._seeds = range(batch, 2 * batch)  # not those of the pictures, where the loss would be 0
        drawn = generate(self._runtime, self._prior.latents(range(batch)))
        self._pictures = from_unit(drawn.transpose(0, 2, 3, 1))
        self._known = np.ones((batch, model.height, model.width), bool)
        top, left = model.height // 4, model.width // 4
        self._known[:, top : model.height - top, left : model.width - left] = False
        evidence = pixel_evidence(self._pictures, self._known, model)
        state = begin(evidence, settings, self._seeds, model, self._runtime)
        self._task, self._first = state.task, state.z
        self._endless = replace(settings, steps=_STEPS, goal=None, patience=0)
        self._state = self._started(self._endless)

    def measured(
        self, rule: Rule, board: Board, progress: Callable[[str, float], None]
    ) -> tuple[Figures, Trial]:
        """The figures, without the differences, and what those are computed from."""
        first = first_run(self._runtime, self._launch)
        at_once = self._runtime.info.steps_at_once
        launches = replace(rule, iterations=math.ceil(rule.iterations / at_once))
        times = repeated(self._launch, launches, progress=lambda share: progress("steps", share))
        copies = statistics.median(self._launch(fresh=True).copies for _ in range(_COPIES))
        ended = self._searched()  # which also warms up what completions need beyond steps
        figures = Figures(
            self._batch,
            step_ms=Spread.of([1e3 * each.device / at_once for each in times]),
            enqueue_ms=Spread.of([1e3 * each.host / at_once for each in times]),
            copies_ms=1e3 * copies,
            steps_per_picture=float(ended.steps.mean()),
            first_run_seconds=first,
            **finished(self._complete, self._batch, rule, board, progress),
            **weighed(self._runtime),
        )
        return figures, self._trial(ended)

    def _started(self, settings: SearchSettings) -> SearchState:
        return SearchState.start(self._task, settings, self._seeds, self._prior, self._first)

    def _launch(self, *, fresh: bool = False) -> StepTimes:
        """As many steps as start together, in a search that is begun anew where it has ended."""
        if fresh or self._state.ended:
            self._state = self._started(self._endless)
        times = self._runtime.timed(self._state, self._runtime.info.steps_at_once)
        _check(self._state)
        return times

    def _searched(self) -> SearchState:
        """Where the search of a completion ends; a time that the settings give it holds to within a step."""
        state, limit = self._started(self._settings), self._settings.milliseconds
        ends_at = math.inf if limit is None else time.perf_counter() + limit / 1e3
        at_once = self._settings.steps if limit is None else 1
        self._runtime.solve(state, at_once)
        while not state.ended and time.perf_counter() < ends_at:
            self._runtime.solve(state, at_once)
        _check(state)
        return state

    def _complete(self) -> None:
        """One batch, pictures in to pictures out."""
        self._completer.fill(self._pictures, self._known, seeds=self._seeds, settings=self._settings)

    def _trial(self, ended: SearchState) -> Trial:
        """What is said where a search begins and where it ends."""
        places = [self._first, ended.best_z]
        return Trial(self._task, places, [evaluate(self._runtime, z, self._task) for z in places])


def first_run(runtime: Runtime, run: Callable[[], object]) -> float:
    """Seconds of the first ``run``, without building and loading."""
    before, begin = runtime.footprint(), time.perf_counter()
    run()
    elapsed, after = time.perf_counter() - begin, runtime.footprint()
    return max(0.0, elapsed - (_preparation(after) - _preparation(before)))


def finished(
    complete: Callable[[], object],
    batch: int,
    rule: Rule,
    board: Board,
    progress: Callable[[str, float], None],
) -> dict[str, Any]:
    """What Figures say of whole batches, of which ``complete`` finishes one; it has run before."""

    def timed() -> float:
        begin = time.perf_counter()
        complete()
        return time.perf_counter() - begin

    once = replace(rule, warm_up=0.0, iterations=1)
    joules, begin = board.joules(), time.perf_counter()
    seconds = repeated(timed, once, progress=lambda share: progress("pictures", share))
    elapsed, pictures = time.perf_counter() - begin, len(seconds) * batch
    clock, spent = board.clock_mhz(), _since(joules, board.joules())
    completion = Spread.of([1e3 * each for each in seconds])
    return {
        "completion_ms": completion,
        "picture_ms": completion.median / batch,
        "pictures_per_second": pictures / elapsed,
        "picture_joules": None if spent is None else spent / pictures,
        "clock_mhz": clock,
    }


def weighed(runtime: Runtime) -> dict[str, Any]:
    """What Figures say of preparation and memory."""
    weight = runtime.footprint()
    return {
        "build_seconds": weight.build_seconds,
        "load_seconds": weight.load_seconds,
        "memory_bytes": weight.device_bytes or _process_peak(),
        "plan_bytes": weight.plan_bytes,
    }


def _check(state: SearchState) -> None:
    """Raises ModelError where a row has failed: it would stand still, and look quick."""
    for row in np.flatnonzero(state.status == FAILED):
        raise search_failed(f"picture {row}", int(state.steps[row]))


def _preparation(footprint: Footprint) -> float:
    return footprint.build_seconds + footprint.load_seconds


def _relative(found: np.ndarray, right: np.ndarray) -> float:
    """The largest of any row: norm of the difference by norm."""
    scale = np.maximum(np.linalg.norm(right, axis=1), np.finfo(np.float32).tiny)
    return float(np.max(np.linalg.norm(found - right, axis=1) / scale))


def _since(before: float | None, now: float | None) -> float | None:
    return None if before is None or now is None else now - before


def _process_peak() -> int | None:
    """The most memory that this process has held, in bytes; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10
