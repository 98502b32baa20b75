"""What is measured of a feed-forward network: a pass takes the place of a step, and finishes a picture."""

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
from edgefill.model.interface import Interface
from edgefill.model.manifest import COMPLETION
from edgefill.pictures.images import planes
from edgefill.runtimes import Runtime


@dataclass(frozen=True)
class PassTrial:
    """What a runtime drew, to be compared with a reference."""

    interface: Interface
    feeds: dict[str, np.ndarray]
    drawn: np.ndarray  # [N, C, H, W]

    def differences(self, reference: Runtime) -> dict[str, Any]:
        """The largest difference of a pixel from ``reference``, on [-1, 1], under its name in Figures."""
        found = np.abs(self.drawn - self.interface.drawn(reference.run(COMPLETION, self.feeds)))
        return {"picture_difference": float(found.max())}


class Passes:
    """One runtime at one batch size, with pictures of waves whose centre is missing."""

    def __init__(self, completer: Completer, batch: int) -> None:
        self._completer, self._runtime, self._batch = completer, completer.backend, batch
        model, self._interface = completer.model, completer.model.passed
        self._pictures, self._known = _waves(batch, (model.height, model.width), model.channels)
        pictures, known = _waves(batch, self._interface.cells, model.channels)
        self._feeds = self._interface.feeds(planes(pictures), known[:, None].astype(np.float32))

    def measured(
        self, rule: Rule, board: Board, progress: Callable[[str, float], None]
    ) -> tuple[Figures, PassTrial]:
        """The figures, without the difference, and what that is computed from."""
        first = first_run(self._runtime, self._pass)
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
            **weighed(self._runtime),
        )
        drawn = self._interface.drawn(self._runtime.run(COMPLETION, self._feeds))
        return figures, PassTrial(self._interface, self._feeds, drawn)

    def _pass(self) -> float:
        """Seconds of one pass of all rows."""
        begin = time.perf_counter()
        self._runtime.run(COMPLETION, self._feeds)
        return time.perf_counter() - begin

    def _complete(self) -> None:
        """One batch, pictures in to pictures out."""
        self._completer.fill(self._pictures, self._known)


def _waves(batch: int, size: tuple[int, int], channels: int) -> tuple[np.ndarray, np.ndarray]:
    """Pictures, uint8 [N, H, W, C], and what is known of them, bool [N, H, W]."""
    height, width = size
    rows, columns = np.mgrid[:height, :width] / height
    turns = np.arange(batch * channels).reshape(batch, 1, 1, channels)
    waves = np.sin(6 * rows[:, :, None] + (1 + turns % 5) * columns[:, :, None] + turns)
    known = np.ones((batch, height, width), bool)
    top, left = height // 4, width // 4
    known[:, top : height - top, left : width - left] = False
    return np.uint8(np.rint(127.5 + 100 * waves)), known
