"""A build as it is seen from outside: how far it is, and Ctrl-C, which ends it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

Progress = Callable[[str, int, int], None]  # phase, steps done, steps in all


def silent(phase: str, done: int, total: int) -> None:
    """Progress that nobody looks at."""


@contextmanager
def watched(trt: ModuleType, progress: Progress) -> Iterator[Any]:
    """The progress monitor of one build; phases nest, and ``progress`` is told of every one.

    An exception cannot pass through TensorRT, so a Ctrl-C cancels the build and is raised after the block.
    """
    interrupted: list[int] = []
    totals: dict[str, int] = {}

    class Monitor(trt.IProgressMonitor):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()

        def phase_start(self, phase: str, parent: str | None, steps: int) -> None:
            totals[phase] = steps
            progress(phase, 0, steps)

        def step_complete(self, phase: str, step: int) -> bool:
            progress(phase, step + 1, totals[phase])
            return not interrupted

        def phase_finish(self, phase: str) -> None:
            progress(phase, totals[phase], totals[phase])

    with _interrupts_noted(interrupted):
        yield Monitor()


@contextmanager
def _interrupts_noted(interrupted: list[int]) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread hears signals
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: interrupted.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if interrupted:
            raise KeyboardInterrupt
