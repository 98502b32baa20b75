"""The search for a batch of photographs, and the Result or Failure of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from edgefill.completion.backends import Backend
from edgefill.completion.latents import Prior
from edgefill.completion.photograph import Photograph
from edgefill.completion.request import Failure, Request, Result, Source, Trace
from edgefill.completion.search import CONVERGED, FAILED, REACHED, SearchState, Task, search_failed
from edgefill.errors import EdgefillError

_FIRST_TURN = 10  # steps
_TURN = 0.05  # seconds of steps, at least, between two looks at the keyboard and the progress bar
_ENDS = {REACHED: "goal", CONVERGED: "plateau"}


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
    recording = _Recording(request, backend)
    turn, total = _FIRST_TURN, request.settings.steps
    while not state.ended:
        turn_begin, before = time.perf_counter(), state.step
        recording.before(state)
        backend.solve(state, min(turn, recording.steps_to_next(state)))
        recording.after(state)
        progress(len(jobs) * (state.step - before) / total)
        if time.perf_counter() - turn_begin < _TURN:
            turn *= 2
    progress(len(jobs) * (total - state.step) / total)
    generated = backend.generate(state.best_z)
    seconds = (time.perf_counter() - begin) / len(jobs)
    for row, (source, photograph) in enumerate(jobs):
        yield _outcome(source, photograph, request, state, row, generated[row], recording, seconds)


def _start(photographs: Sequence[Photograph], request: Request) -> SearchState:
    settings = request.settings
    tasks = [photograph.task(settings.importance) for photograph in photographs]
    target, weight, block_weight = (np.stack(arrays) for arrays in zip(*tasks, strict=True))
    anchor = np.zeros((len(tasks), photographs[0].model.z_dim), np.float32)
    task = Task.of(target, weight, block_weight, settings, anchor)
    return SearchState.start(task, settings, [request.seed] * len(tasks), Prior.of(photographs[0].model))


class _Recording:
    """What is kept of a search on its way: loss and z of each step, and frames of G(z), if asked for."""

    def __init__(self, request: Request, backend: Backend) -> None:
        self._every = max(1, round(request.settings.steps / request.frames)) if request.frames else 0
        self._traced = request.trace
        self._backend = backend
        self._losses: list[np.ndarray] = []
        self._latents: list[np.ndarray] = []
        self._frames: list[np.ndarray] = []

    def steps_to_next(self, state: SearchState) -> int:
        """Steps until something is to be kept, or to the end."""
        if self._traced:
            return 1
        left = len(state.rates) - state.step
        return min(left, self._every - state.step % self._every) if self._every else left

    def before(self, state: SearchState) -> None:
        """Keeps where the next step starts from."""
        if self._traced:
            self._latents.append(state.z)
        if not self._frames and self._every:
            self._frames.append(self._backend.generate(state.z))

    def after(self, state: SearchState) -> None:
        """Keeps what the last step found."""
        if self._traced:
            self._losses.append(state.loss)
        if self._every and state.step % self._every == 0:
            self._frames.append(self._backend.generate(state.z))

    def trace(self, row: int, steps: int) -> Trace | None:
        """What the first ``steps`` steps of a row found, all that it took."""
        if not self._traced:
            return None
        losses, latents = self._losses[:steps], self._latents[:steps]
        return Trace(loss=np.array([loss[row] for loss in losses]), z=np.stack([z[row] for z in latents]))

    def frames(self, row: int) -> tuple[np.ndarray, ...]:
        return tuple(frame[row] for frame in self._frames)


def _outcome(
    source: Source,
    photograph: Photograph,
    request: Request,
    state: SearchState,
    row: int,
    generated: np.ndarray,
    recording: _Recording,
    seconds: float,
) -> Result | Failure:
    steps, status = int(state.steps[row]), int(state.status[row])
    if status == FAILED:
        name = photograph.picture.name or "the picture"
        return Failure(source, search_failed(name, steps))
    try:
        picture = photograph.finished(generated, request.blend)
    except EdgefillError as error:
        return Failure(source, error)
    return Result(
        source,
        photograph,
        picture,
        loss=float(state.best_loss[row]),
        contextual=float(state.best_contextual[row]),
        perceptual=float(state.best_perceptual[row]),
        prior=float(state.task.pull[row] * np.square(state.best_z[row] - state.task.anchor[row]).sum()),
        steps=steps,
        ended=_ENDS.get(status, "steps"),
        seconds=seconds,
        z=state.best_z[row],
        generated=generated,
        trace=recording.trace(row, steps),
        frames=recording.frames(row),
    )
