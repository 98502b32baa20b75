"""What is measured of a network of one pass: a pass takes the place of a step, and one finishes a picture."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from edgefill.bench.board import Board
from edgefill.bench.measure import Figures, finished, first_run, weighed
from edgefill.bench.timing import Rule, Spread, repeated
from edgefill.completion import Completer
from edgefill.completion.arrays import planes
from edgefill.runtimes import Backend


@dataclass(frozen=True)
class PassTrial:
    """What a backend drew, to be compared with a reference."""

    picture: np.ndarray  # [N, C, H, W]
    known: np.ndarray
    completed: np.ndarray

    def differences(self, reference: Backend) -> dict[str, Any]:
        """The largest difference of a pixel from ``reference``, on [-1, 1], under its name in Figures."""
        found = np.abs(self.completed - reference.complete(self.picture, self.known))
        return {"picture_difference": float(found.max())}


class Passes:
    """One backend at one batch size, with pictures of waves whose centre is missing."""

    def __init__(self, completer: Completer, batch: int) -> None:
        self._completer, self._backend, self._batch = completer, completer.backend, batch
        model = completer.model
        rows, columns = np.mgrid[: model.height, : model.width] / model.height
        turns = np.arange(batch * model.channels).reshape(batch, 1, 1, model.channels)
        waves = np.sin(6 * rows[:, :, None] + (1 + turns % 5) * columns[:, :, None] + turns)
        self._pictures = np.uint8(np.rint(127.5 + 100 * waves))
        self._known = np.ones((batch, model.height, model.width), bool)
        top, left = model.height // 4, model.width // 4
        self._known[:, top : model.height - top, left : model.width - left] = False
        self._seen = planes(self._pictures), self._known[:, None].astype(np.float32)

    def measured(
        self, rule: Rule, board: Board, progress: Callable[[str, float], None]
    ) -> tuple[Figures, PassTrial]:
        """The figures, without the difference, and what that is computed from."""
        first = first_run(self._backend, self._pass)
        seconds = repeated(self._pass, rule, progress=lambda share: progress("passes", share))
        self._complete()  # warms up what completions need beyond passes
        figures = Figures(
            self._batch,
            step_ms=Spread.of([1e3 * each for each in seconds]),
            enqueue_ms=None,
            copies_ms=None,
            steps_per_picture=None,
            first_run_seconds=first,
            **finished(self._complete, self._batch, rule, board, progress),
            **weighed(self._backend),
        )
        return figures, PassTrial(*self._seen, self._backend.complete(*self._seen))

    def _pass(self) -> float:
        """Seconds of one pass of all rows."""
        begin = time.perf_counter()
        self._backend.complete(*self._seen)
        return time.perf_counter() - begin

    def _complete(self) -> None:
        """One batch, pictures in to pictures out."""
        self._completer.fill(self._pictures, self._known)
