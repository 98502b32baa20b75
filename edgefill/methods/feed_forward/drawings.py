"""What is ordered of a network: the frames that it must be shown for it, and what is made of its drawings."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from edgefill.errors import EdgefillError
from edgefill.holes.frames import Sight
from edgefill.jobs.job import Order, Progress
from edgefill.jobs.photograph import Photograph
from edgefill.jobs.request import Result
from edgefill.methods.feed_forward.canvas import Canvas
from edgefill.methods.feed_forward.faces import FaceCanvas
from edgefill.model.interface import Interface
from edgefill.pictures.images import from_unit, planes


class Shown(NamedTuple):
    """What the network sees, and who takes its drawing, [C, h, w]."""

    sight: Sight
    put: Callable[[np.ndarray], None]


class Drawing:
    """An order under way."""

    def __init__(self, order: Order, shown: Iterator[Shown], count: int, bytes: int) -> None:
        self.order, self.bytes, self._count = order, bytes, count
        self._shown = shown
        self._next = next(shown, None)
        self._under_way, self._passes = 0, 0
        self.seconds = 0.0  # its share of the passes, and its finishing
        self._error: EdgefillError | None = None
        self._drawing, self._is_closed = threading.Lock(), False

    @property
    def next(self) -> Shown | None:
        """What has to be seen next; None where that was all."""
        return None if self._error or self._is_closed else self._next

    @property
    def is_wanted(self) -> bool:
        """Whether somebody still waits for what will be drawn."""
        return not (self._is_closed or self.order.is_off())

    @property
    def is_over(self) -> bool:
        """Whether everything is drawn, or nothing can be."""
        if self._is_closed:
            return False
        return self._error is not None or (self._next is None and not self._under_way)

    def close(self) -> None:
        """What comes from now on comes too late."""
        with self._drawing:
            self._is_closed = True

    def taken(self) -> Shown:
        """What has to be seen next, which ``done`` answers."""
        shown = self._next
        assert shown is not None
        self._under_way += 1
        self._next = next(self._shown, None)
        return shown

    def done(self, shown: Shown, drawn: np.ndarray | EdgefillError) -> None:
        """Takes what was drawn of ``shown``."""
        with self._drawing:
            if self._is_closed:
                return
            self._under_way -= 1
            self._passes += 1
            if isinstance(drawn, EdgefillError):
                self._error = drawn
            else:
                shown.put(drawn)

    def finish(self) -> Any:
        """What was ordered. Raises EdgefillError."""
        if self._error:
            raise self._error
        return self._finished()

    def report(self) -> None:
        """Lets who watches know that it went on."""
        if self._is_closed:
            return
        self.order.tell(Progress(self._passes / max(self._count, 1)))

    def _finished(self) -> Any:
        raise NotImplementedError


class PictureDrawing(Drawing):
    """A Result."""

    def __init__(self, order: Order, photograph: Photograph, interface: Interface) -> None:
        self._photograph = photograph
        self._canvas: Any = (
            FaceCanvas(photograph, photograph.portraits, interface, order.request.blend)
            if photograph.portraits
            else Canvas(photograph, interface, order.request.blend)
        )
        super().__init__(order, self._views(), self._canvas.count, photograph.picture.values.nbytes)

    def _views(self) -> Iterator[Shown]:
        for view in self._canvas.views():
            yield Shown(view.sight, partial(self._canvas.put, view))

    def _finished(self) -> Result:
        # It is joined in its frame. Where there was no time for that it is as smooth as can be.
        blend, ended = ("none", "pass") if self.is_over else ("poisson", "time")
        started = time.perf_counter()
        self._canvas.finish()
        picture = self._photograph.filled(self._canvas.values, blend)
        seconds = self.seconds + time.perf_counter() - started
        return Result(self.order.source, self._photograph, picture, ended=ended, seconds=seconds)


class ArraysDrawing(Drawing):
    """Pictures of the size that the network is shown, as an array."""

    def __init__(self, order: Order, pictures: np.ndarray, known: np.ndarray) -> None:
        self._pictures, self._known = pictures, known
        self._drawn: list[np.ndarray] = []
        super().__init__(order, self._rows(), len(pictures), pictures.nbytes)

    def _rows(self) -> Iterator[Shown]:
        rows = zip(planes(self._pictures), self._known[:, None].astype(np.float32), strict=True)
        for picture, known in rows:
            yield Shown(Sight(picture, known), self._drawn.append)

    def _finished(self) -> np.ndarray:
        completed = from_unit(np.stack(self._drawn).transpose(0, 2, 3, 1))
        return np.where(self._known[:, :, :, None], self._pictures, completed)
