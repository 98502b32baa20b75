"""Completion by a network that draws a hole in one pass: of frames around the holes, several at once.

What is seen of a picture, where a drawing belongs and how it joins what is known is geometry
(``edgefill.holes``); how the network wants to see it is its interface. Here the two meet.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import NamedTuple

import numpy as np

from edgefill.errors import EdgefillError, InputError, ModelError
from edgefill.holes.boxes import Part, grown
from edgefill.holes.contexts import Context, contexts, weight, whole
from edgefill.holes.frames import Frame, Sight, enlarged, joined, pasted, seen
from edgefill.holes.scaling import as_channels
from edgefill.holes.smooth import deep_parts, thin_pixels
from edgefill.jobs.photograph import Photograph
from edgefill.jobs.request import Failure, Request, Result, Source
from edgefill.model.interface import Interface
from edgefill.model.manifest import COMPLETION, Manifest
from edgefill.pictures.images import from_unit, to_unit
from edgefill.runtimes import Runtime

_CELLS_AT_ONCE = 2**20  # of frames that go through a network together: four of 512×512
_HAIR = 2  # steps to the deepest pixel of what is filled smoothly, without the network: 4 pixels wide
_BYTES_AT_ONCE = 64 << 20  # of pictures that are completed together, about

Prepare = Callable[[Source], Photograph | EdgefillError]
# (photographs, model, runtime, blend) → each one's region as it is drawn; see ``draw_regions``.
Draw = Callable[[Sequence[Photograph], Manifest, Runtime, str], list[np.ndarray | EdgefillError]]


def check_feed_forward(request: Request, model: Manifest) -> None:
    """Raises InputError where ``request`` asks for what only a search can give."""
    asked = {
        "settings of a search": request.settings is not None,
        "a trace": request.trace,
        "the frames of a search": bool(request.frames),
        "candidates": request.candidates > 1,
        "a confidence": request.confidence,
        "the mask lowres": request.mask_spec.kind == "lowres",
    }
    for what, is_asked in asked.items():
        if is_asked:
            raise InputError(
                f"the model {model.name} completes in one pass, without a search; {what} cannot be asked of "
                "it: leave it out, or use a model that searches, such as faces64"
            )


def outcomes(
    sources: Iterable[Source],
    prepare: Prepare,
    request: Request,
    model: Manifest,
    runtime: Runtime,
    *,
    draw: Draw,
    batch: int,
    progress: Callable[[float], None],
) -> Iterator[Result | Failure]:
    """What becomes of each of ``sources`` by ``draw``, in their order; up to ``batch`` pictures together.

    Another thread reads the next pictures while the network draws.
    """
    for portion in _portions(sources, prepare, batch):
        photographs = [item for _, item in portion if isinstance(item, Photograph) and item.needs_search]
        started = time.perf_counter()
        drawn = iter(draw(photographs, model, runtime, request.blend))
        share = (time.perf_counter() - started) / max(len(photographs), 1)
        for source, item in portion:
            if isinstance(item, EdgefillError):
                yield Failure(source, item)
            elif not item.needs_search:
                yield Result(source, item, item.picture)
            else:
                yield _finished(source, item, next(drawn), share)
                progress(1.0)


def _finished(
    source: Source, photograph: Photograph, drawn: np.ndarray | EdgefillError, seconds: float
) -> Result | Failure:
    if isinstance(drawn, EdgefillError):
        return Failure(source, drawn)
    started = time.perf_counter()
    try:
        picture = photograph.finished(drawn, "none")  # it is joined in its frame
    except EdgefillError as error:
        return Failure(source, error)
    seconds += time.perf_counter() - started
    return Result(source, photograph, picture, ended="pass", seconds=seconds)


def draw(runtime: Runtime, model: Manifest, picture: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What the network of ``model`` draws, [N, C, H, W] in [-1, 1].

    It sees ``picture [N, C, H, W]`` where ``known [N, 1, H, W]`` is 1; H and W are of a size that it takes.
    Raises ModelError where it draws NaN or Inf.
    """
    interface = model.passed
    outputs = runtime.run(COMPLETION, interface.feeds(picture, known))
    if not np.isfinite(outputs[interface.output.name]).all():
        raise ModelError(
            f"the network of {model.name} drew NaN or Inf; expected finite values. Where it computes in "
            "fp16, complete with --precision fp32, or export or import it again in fp32"
        )
    drawn: np.ndarray = interface.drawn(outputs)
    return drawn


def draw_regions(
    photographs: Sequence[Photograph], model: Manifest, runtime: Runtime, blend: str
) -> list[np.ndarray | EdgefillError]:
    """The region of each of ``photographs`` as it is drawn where it is missing, [C, h, w] in [-1, 1].

    Elsewhere it means nothing. An error stands in the place of what could not be drawn.
    """
    interface = model.passed
    canvases = [_Canvas(photograph, interface, blend) for photograph in photographs]
    views = ((canvas, view) for canvas in canvases for view in canvas.views())
    height, width = interface.cells
    while portion := list(islice(views, max(1, _CELLS_AT_ONCE // (height * width)))):
        drawn = _drawn([view for _, view in portion], model, runtime)
        for (canvas, view), each in zip(portion, drawn, strict=True):
            canvas.put(view, each)
    return [canvas.finished() for canvas in canvases]


def _drawn(views: Sequence[_View], model: Manifest, runtime: Runtime) -> list[np.ndarray | EdgefillError]:
    """The drawing of each of ``views``; together, or where that fails one by one to know which."""
    picture, known = (np.stack(parts) for parts in zip(*(view.sight for view in views), strict=True))
    try:
        return list(draw(runtime, model, picture, known))
    except ModelError as error:
        if len(views) == 1:
            return [error]
        return [drawn for view in views for drawn in _drawn([view], model, runtime)]


class _View(NamedTuple):
    """A context of a photograph, and what the network is shown of it."""

    context: Context
    sight: Sight


class _Canvas:
    """What is drawn of one photograph's region, from as many views as it takes."""

    def __init__(self, photograph: Photograph, interface: Interface, blend: str) -> None:
        self._photograph, self._interface, self._blend = photograph, interface, blend
        height, width = photograph.known.shape
        # Zeros that are never touched take no memory: of a large picture, only what is near its holes.
        self._values = np.zeros((interface.channels, height, width), np.float32)
        hole = ~photograph.known
        self._deep = hole if blend == "none" else deep_parts(hole, _HAIR)
        self._thin = hole & ~self._deep
        self._weight = np.zeros((height, width), np.float32)
        self._error: EdgefillError | None = None

    def views(self) -> Iterator[_View]:
        """What the network has to be shown. A region that was cut out is seen as one, as it was asked for."""
        known, cells = ~self._deep, self._interface.cells
        if known.all():
            return
        if self._photograph.is_cut_out:
            found = [whole((known.shape[0], known.shape[1]), cells)]
        else:
            found = contexts(known, cells, self._interface.reach)
        for context in found:
            yield _View(context, self._seen(context.frame))

    def put(self, view: _View, drawn: np.ndarray | EdgefillError) -> None:
        """Adds what was ``drawn`` in ``view``, joined to what is known there unless that is not wanted."""
        if isinstance(drawn, EdgefillError):
            self._error = drawn
            return
        if self._blend == "none":
            finished = pasted(view.sight, drawn)
        else:
            finished = joined(view.sight, drawn, hole_only=self._interface.output.draws_holes_only)
        frame, core = view.context
        values, share = self._values[:, core[0], core[1]], weight(core)
        self._weight[core] += share  # With what was drawn before, where cores overlap, it is a mean.
        step = enlarged(finished, _from(frame, core), share.shape) - values
        values += step * (share / self._weight[core])

    def finished(self) -> np.ndarray | EdgefillError:
        """The region, [C, h, w], or why there is none; what is thin joins what was drawn, too."""
        if not self._error and self._thin.any():
            values = self._photograph.region
            if values.shape[2] != self._interface.channels:
                values = from_unit(as_channels(to_unit(values), self._interface.channels), values.dtype)
            values = values.copy()
            values[self._deep] = from_unit(self._values[:, self._deep].T, values.dtype)
            rows, columns, filled = thin_pixels(values, self._thin)
            self._values[:, rows, columns] = filled.T
        return self._error or self._values

    def _seen(self, frame: Frame) -> Sight:
        photograph, interface = self._photograph, self._interface
        everything = slice(frame.top, frame.top + frame.height), slice(frame.left, frame.left + frame.width)
        part = grown(everything, 0, photograph.known.shape)
        values = as_channels(to_unit(photograph.region[part]), interface.channels).transpose(2, 0, 1)
        known = photograph.known[part].astype(np.float32)
        return seen(values, known, _from(frame, part), interface.cells)


def _from(frame: Frame, part: Part) -> Frame:
    """``frame`` as counted from the start of ``part``."""
    top, left = frame.top - part[0].start, frame.left - part[1].start
    return Frame(*(np.float32(each) for each in (top, left, frame.height, frame.width)))


def _portions(
    sources: Iterable[Source], prepare: Prepare, batch: int
) -> Iterator[list[tuple[Source, Photograph | EdgefillError]]]:
    """``sources``, prepared, up to ``batch`` together and fewer where they are large; the next one ahead."""
    left = iter(sources)
    with ThreadPoolExecutor(1, "edgefill-pictures") as helper:

        def ahead() -> tuple[Source, Future[Photograph | EdgefillError]] | None:
            for source in left:
                return source, helper.submit(prepare, source)
            return None

        following = ahead()
        while following:
            portion: list[tuple[Source, Photograph | EdgefillError]] = []
            weighs = 0
            while following and len(portion) < batch and weighs < _BYTES_AT_ONCE:
                source, future = following
                item = future.result()
                following = ahead()
                portion.append((source, item))
                weighs += 0 if isinstance(item, EdgefillError) else item.picture.values.nbytes
            yield portion
