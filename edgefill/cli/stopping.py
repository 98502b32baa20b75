"""Ctrl-C and SIGTERM at the right moment: after the current step, or after the current picture."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType, TracebackType

from edgefill.cli.console import say

_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_SHOW_CURSOR = b"\x1b[?25h"  # A progress bar has hidden it, and a second signal leaves no time to show it.


class Interrupted(KeyboardInterrupt):
    """A signal that ends the command came."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.signal = number


@contextmanager
def interrupts_raised() -> Iterator[None]:
    """A Ctrl-C or SIGTERM inside raises Interrupted."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    before = {number: signal.signal(number, interrupt) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interrupts_held() -> Iterator[None]:
    """A Ctrl-C or SIGTERM inside comes when the block has ended: what is written is also counted."""
    held: list[int] = []
    before = {number: signal.signal(number, lambda number, frame: held.append(number)) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if held:
        raise Interrupted(held[0])


class StopRequest:
    """While entered, the first SIGINT or SIGTERM sets ``signal``; a second one ends the process at once."""

    signal = 0

    def __call__(self) -> bool:
        """True after a signal."""
        return self.signal != 0

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.signal(number, self._remember) for number in _SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _remember(self, number: int, frame: FrameType | None) -> None:
        self.signal = number
        for each in _SIGNALS:
            signal.signal(each, signal.SIG_DFL)
        if sys.stderr.isatty():
            os.write(2, _SHOW_CURSOR)
        with suppress(RuntimeError):  # Python's own, where the signal came while something was said
            say("stopping after this step to save it; once more stops at once")
