"""The feed-forward network as the scheduler knows it: what pictures show it goes through it together."""

from __future__ import annotations

import math
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from edgefill.errors import EdgefillError, ModelError
from edgefill.jobs.job import Order
from edgefill.jobs.photograph import Photograph
from edgefill.jobs.request import Request
from edgefill.memory import too_large
from edgefill.methods import Ended, Tally
from edgefill.methods.feed_forward.drawings import ArraysDrawing, Drawing, PictureDrawing, Shown
from edgefill.methods.feed_forward.network import check_feed_forward, draw, shown_by
from edgefill.model.manifest import Manifest
from edgefill.runtimes import Interrupted, Runtime

_CELLS_AT_ONCE = 2**20  # of frames that go through a network together: four of 512×512
_BYTES_AT_ONCE = 64 << 20  # of pictures that are completed together, about
_DOUBT = 0.8  # of the time of a pass, where nobody waited for one because of it: the last may have been slow

_Portion: TypeAlias = list[tuple[Drawing, Shown]]


class FeedForward:
    """Completes up to ``places`` pictures together by passes of a network; see ``Method``."""

    def __init__(self, model: Manifest, runtime: Runtime, places: int) -> None:
        self._model, self._runtime, self.places = model, runtime, places
        self._interface = shown_by(runtime, model)
        self._listing = threading.Lock()  # of the next two, and of the end of a pass
        self._drawings: list[Drawing] = []  # by rank
        self._passing: list[Drawing] = []  # whose frames are in the network now
        self._pass_seconds = 0.0  # of one frame, with what is around it, at the last turn
        self.tally = Tally()

    @property
    def is_busy(self) -> bool:
        return bool(self._drawings)

    def resolved(self, request: Request) -> Request:
        """As it is. Raises InputError for what only a search can give."""
        check_feed_forward(request, self._model)
        return request

    def has_room(self, order: Order) -> bool:
        weighs = sum(drawing.bytes for drawing in self._drawings)
        return len(self._drawings) < self.places and weighs < _BYTES_AT_ONCE

    def accept(self, order: Order, photograph: Photograph) -> None:
        self._enter(PictureDrawing(order, photograph, self._interface))

    def accept_arrays(
        self, order: Order, pictures: np.ndarray, known: np.ndarray, seeds: Sequence[int]
    ) -> None:
        self._enter(ArraysDrawing(order, pictures, known))

    def turn(self, until: float) -> list[Ended]:
        with self._listing:
            self._drawings = [drawing for drawing in self._drawings if not drawing.order.is_off()]
        ended, started = self._end(), time.perf_counter()
        portion = self._portion(until)
        if portion:
            drawn = self._passed(portion)
            for (drawing, shown), each in zip(portion, drawn, strict=False):  # none where it was interrupted
                drawing.done(shown, each)
            self._pass_seconds = (time.perf_counter() - started) / len(portion)
            self._count(portion)
            ended += self._end()
        return ended

    def late(self, now: float) -> list[Ended]:
        """Those whose time is up are left as they are; a pass for nobody else is interrupted."""
        with self._listing:
            late = [drawing for drawing in self._drawings if drawing.order.ends_at <= now]
            self._drawings = [drawing for drawing in self._drawings if drawing not in late]
            for drawing in late:
                drawing.close()
            if self._passing and not any(drawing.is_wanted for drawing in self._passing):
                self._runtime.interrupt()
        return [Ended(drawing.order, drawing.finish) for drawing in late]

    def without_model(self, order: Order, photograph: Photograph) -> Callable[[], Any]:
        """The smooth filling."""
        return lambda: PictureDrawing(order, photograph, self._interface).finish()

    def withdraw(self) -> None:
        with self._listing:
            self._drawings = []

    def _enter(self, drawing: Drawing) -> None:
        with self._listing:
            self._drawings.append(drawing)
            self._drawings.sort(key=lambda each: each.order.rank)

    def _passed(self, portion: _Portion) -> list[np.ndarray | EdgefillError]:
        """The drawing of each; none where it was interrupted, as nobody waits for them any more."""
        with self._listing:
            self._passing = [drawing for drawing, _ in portion]
        try:
            return self._drawn([shown for _, shown in portion])
        except Interrupted:
            return []
        finally:
            with self._listing:
                self._passing = []

    def _most(self, shown: Shown) -> int:
        """How many frames of this size go through the network together."""
        return max(1, _CELLS_AT_ONCE // math.prod(_size(shown)))

    def _portion(self, until: float) -> _Portion:
        """The next frames, of one size, and whose they are; as many as there is time for, but one."""
        in_time = self._in_time(until)
        portion: _Portion = []
        for drawing in self._drawings:
            while (shown := drawing.next) is not None:
                most = min(in_time, self._most(shown))
                if portion and (len(portion) >= most or _size(shown) != _size(portion[0][1])):
                    return portion
                portion.append((drawing, drawing.taken()))
        return portion

    def _in_time(self, until: float) -> float:
        soonest = min([until, *(drawing.order.ends_at for drawing in self._drawings)])
        if soonest == math.inf or not self._pass_seconds:
            return soonest if soonest == math.inf else 1
        return (soonest - time.perf_counter()) / self._pass_seconds

    def _drawn(self, portion: Sequence[Shown]) -> list[np.ndarray | EdgefillError]:
        """The drawing of each; together, or where that fails one by one to know which."""
        picture, known = (np.stack(parts) for parts in zip(*(shown.sight for shown in portion), strict=True))
        try:
            return list(draw(self._runtime, self._model, picture, known))
        except (ModelError, MemoryError) as error:
            if len(portion) == 1:
                return [too_large("the picture") if isinstance(error, MemoryError) else error]
            return [drawn for each in portion for drawn in self._drawn([each])]

    def _end(self) -> list[Ended]:
        """The drawings to which nothing is added any more, and those whose time is up."""
        late = time.perf_counter() + self._pass_seconds
        with self._listing:
            ended = [drawing for drawing in self._drawings if drawing.is_over or drawing.order.ends_at < late]
            self._drawings = [drawing for drawing in self._drawings if drawing not in ended]
        if not all(drawing.is_over for drawing in ended):
            self._pass_seconds *= _DOUBT
        return [Ended(drawing.order, drawing.finish) for drawing in ended]

    def _count(self, portion: _Portion) -> None:
        self.tally.steps += 1
        self.tally.used += len(portion)
        self.tally.there += self._most(portion[0][1])
        for drawing, count in Counter(drawing for drawing, _ in portion).items():
            drawing.seconds += count * self._pass_seconds
            drawing.report()


def _size(shown: Shown) -> tuple[int, ...]:
    shape: tuple[int, ...] = shown.sight.known.shape
    return shape
