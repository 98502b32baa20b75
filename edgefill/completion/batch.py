"""The search for a batch of photographs, and the Result or Failure of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from edgefill.completion.backends import Backend
from edgefill.completion.latents import Prior
from edgefill.completion.photograph import Photograph
from edgefill.completion.request import Failure, Request, Result, Source, Trace
from edgefill.completion.search import SearchState, Task
from edgefill.completion.settings import SearchSettings
from edgefill.errors import EdgefillError, ModelError

_STEPS_AT_ONCE = 10  # between two looks at the keyboard and the progress bar


def search_batch(
    jobs: Sequence[tuple[Source, Photograph]],
    request: Request,
    backend: Backend,
    progress: Callable[[float], None],
) -> Iterator[Result | Failure]:
    """The outcome of each of ``jobs``, in their order; each photograph is finished when it is asked for.

    ``progress`` is told how many pictures' worth of search was just done.
    """
    begin = time.perf_counter()
    photographs = [photograph for _, photograph in jobs]
    state = _start(photographs, request)
    recording = _Recording(request)
    for step in recording.stops:
        z, taken = state.z, step - state.step
        backend.solve(state, taken)
        recording.record(z, state)
        progress(len(jobs) * taken / request.settings.steps)
    seconds = (time.perf_counter() - begin) / len(jobs)
    for row, (source, photograph) in enumerate(jobs):
        yield _outcome(source, photograph, request, state, row, recording, seconds)


def _start(photographs: Sequence[Photograph], request: Request) -> SearchState:
    settings, rows = request.settings, len(photographs)
    tasks = [photograph.task(settings.importance) for photograph in photographs]
    target, weight, block_weight = (np.stack(arrays) for arrays in zip(*tasks, strict=True))
    power, lam = np.full(rows, settings.power, np.float32), np.full(rows, settings.lam, np.float32)
    task = Task(target, weight, block_weight, power, lam)
    return SearchState.start(task, settings, [request.seed] * rows, Prior.of(photographs[0].model))


class _Recording:
    """What is kept of a search on its way: loss and z of each step, and frames of G(z), if asked for."""

    def __init__(self, request: Request) -> None:
        settings: SearchSettings = request.settings
        every = max(1, round(settings.steps / request.frames)) if request.frames else 0
        self.frame_steps = {1, *range(every, settings.steps + 1, every)} if every else set()
        at_once = 1 if request.trace else _STEPS_AT_ONCE
        self.stops = sorted({*range(at_once, settings.steps, at_once), *self.frame_steps, settings.steps})
        self._traced = request.trace
        self._losses: list[np.ndarray] = []
        self._latents: list[np.ndarray] = []
        self._frames: list[np.ndarray] = []

    def record(self, z: np.ndarray, state: SearchState) -> None:
        """Keeps the last evaluation of ``state``; it was at ``z`` where every step is traced."""
        if self._traced:
            self._losses.append(state.last.loss)
            self._latents.append(z)
        if state.step in self.frame_steps:
            self._frames.append(state.last.generated)

    def trace(self, row: int) -> Trace | None:
        if not self._traced:
            return None
        return Trace(
            loss=np.array([loss[row] for loss in self._losses]), z=np.stack([z[row] for z in self._latents])
        )

    def frames(self, row: int) -> tuple[np.ndarray, ...]:
        return tuple(frame[row] for frame in self._frames)


def _outcome(
    source: Source,
    photograph: Photograph,
    request: Request,
    state: SearchState,
    row: int,
    recording: _Recording,
    seconds: float,
) -> Result | Failure:
    failed_at, best = int(state.failed_at[row]), state.best
    if failed_at:
        name = photograph.picture.name or "the picture"
        error = ModelError(
            f"the search for {name} stopped at step {failed_at}: its loss or gradient is not finite; "
            "expected numbers; try another seed or a lower learning rate, or a model exported in fp32"
        )
        return Failure(source, error)
    generated = best.generated[row]
    try:
        picture = photograph.finished(generated, request.blend)
    except EdgefillError as error:
        return Failure(source, error)
    return Result(
        source,
        photograph,
        picture,
        loss=float(best.loss[row]),
        contextual=float(best.contextual[row]),
        perceptual=float(best.perceptual[row]),
        steps=state.step,
        seconds=seconds,
        z=state.best_z[row],
        generated=generated,
        trace=recording.trace(row),
        frames=recording.frames(row),
    )
