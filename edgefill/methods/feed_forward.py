"""Completion by a network of one pass: at the picture's own resolution, around each hole, tile by tile.

The network sees what lies within its reach of a hole, so that a small hole in a large picture costs little,
and a large one no more memory than a tile. A hole deeper than those that it was trained on is filled in the
picture made smaller by a power of two.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from edgefill.errors import EdgefillError, InputError
from edgefill.holes.islands import islands
from edgefill.holes.scaling import as_channels, scale, scale_known
from edgefill.jobs.photograph import Photograph
from edgefill.jobs.request import Failure, Request, Result, Source
from edgefill.model.manifest import Manifest
from edgefill.pictures.images import to_unit

_REACH = 156  # pixels that an output of the paper's network sees in each direction, in multiples of STRIDE
_TILE = 512  # pixels of a side that are filled at once: with what they see at most LARGEST_SIDE
_DEEPEST = 3 / 8  # of the side of the pictures in training: as deep as the deepest hole there

STRIDE = 4
Network = Callable[[np.ndarray, np.ndarray], np.ndarray]
Prepare = Callable[[Source], Photograph | EdgefillError]


def check_one_pass(request: Request, model: Manifest) -> None:
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
                "it: leave it out, or use a dcgan, such as faces64"
            )


def outcomes(
    sources: Iterable[Source],
    prepare: Prepare,
    request: Request,
    model: Manifest,
    network: Network,
    progress: Callable[[float], None],
) -> Iterator[Result | Failure]:
    """What becomes of each of ``sources``, in their order."""
    for source in sources:
        photograph = prepare(source)
        if isinstance(photograph, EdgefillError):
            yield Failure(source, photograph)
            continue
        if not photograph.needs_search:
            yield Result(source, photograph, photograph.picture)
            continue
        started = time.perf_counter()
        try:
            generated = completed(photograph, model, network)
            picture = photograph.finished(generated, request.blend)
        except EdgefillError as error:
            yield Failure(source, error)
            continue
        seconds = time.perf_counter() - started
        progress(1.0)
        yield Result(source, photograph, picture, ended="pass", seconds=seconds, generated=generated)


def completed(photograph: Photograph, model: Manifest, network: Network) -> np.ndarray:
    """The photograph's region with its holes filled, [C, h, w] in [-1, 1], in the model's channels.

    A region that was cut out of the picture is what the model should see: it sees it no larger than the
    pictures that it was trained on.
    """
    values, known = as_channels(to_unit(photograph.region), model.channels), photograph.known
    shrinks = max(known.shape) / min(model.height, model.width)
    if photograph.is_cut_out and shrinks > 1:
        filled: np.ndarray = values.copy()
        _draw(filled, values, known, _with_neighbours(~known), shrinks, network)
    else:
        filled = complete_values(values, known, model, network)
    drawn: np.ndarray = filled.transpose(2, 0, 1)
    return drawn


def complete_values(values: np.ndarray, known: np.ndarray, model: Manifest, network: Network) -> np.ndarray:
    """``values [h, w, C]`` in [-1, 1] with what the network draws where they are not ``known [h, w]``.

    And at the edge of each hole, by which blending sees how far it is off; the rest as it was.
    """
    filled: np.ndarray = values.copy()
    for (rows, columns), hole in islands(~known):
        factor = _coarseness(hole, known.shape, min(model.height, model.width))
        margin = _REACH * factor
        around = _grown(rows, margin, known.shape[0]), _grown(columns, margin, known.shape[1])
        inner = _within(rows, around[0]), _within(columns, around[1])
        wanted = np.zeros_like(known[around])
        wanted[inner] = _with_neighbours(hole)
        _draw(filled[around], values[around], known[around], wanted, factor, network)
    return filled


def _draw(
    into: np.ndarray,
    values: np.ndarray,
    known: np.ndarray,
    wanted: np.ndarray,
    factor: float,
    network: Network,
) -> None:
    """Puts what ``network`` makes of ``values`` ``into`` the pixels that are ``wanted``.

    It sees them smaller by ``factor``.
    """
    if factor == 1:
        _draw_in_tiles(into, values, known, wanted, network)
        return
    size = math.ceil(known.shape[0] / factor), math.ceil(known.shape[1] / factor)
    means, share = scale_known(values, known, size)
    drawn = means.copy()
    _draw_in_tiles(drawn, means, share > 0, np.ones(size, bool), network)
    into[wanted] = scale(drawn, known.shape)[wanted]


def _draw_in_tiles(
    into: np.ndarray, values: np.ndarray, known: np.ndarray, wanted: np.ndarray, network: Network
) -> None:
    """``_draw`` at full size: of each tile on its own."""
    height, width = known.shape
    for top in range(0, height, _TILE):
        for left in range(0, width, _TILE):
            tile = slice(top, min(top + _TILE, height)), slice(left, min(left + _TILE, width))
            if not wanted[tile].any():
                continue
            around = _grown(tile[0], _REACH, height), _grown(tile[1], _REACH, width)
            piece = _through(values[around], known[around], network)
            seen = _within(tile[0], around[0]), _within(tile[1], around[1])
            into[tile][wanted[tile]] = piece[seen][wanted[tile]]


def _through(values: np.ndarray, known: np.ndarray, network: Network) -> np.ndarray:
    """What ``network`` makes of ``values [h, w, C]``, whose sides it wants as multiples of STRIDE."""
    height, width = known.shape
    more = (0, -height % STRIDE), (0, -width % STRIDE)
    picture = np.pad(values, (*more, (0, 0)), mode="edge").transpose(2, 0, 1)
    weight = np.pad(known, more, mode="edge").astype(np.float32)
    drawn: np.ndarray = network(np.ascontiguousarray(picture[None], np.float32), weight[None, None])[0]
    whole: np.ndarray = drawn.transpose(1, 2, 0)[:height, :width]
    return whole


def _coarseness(hole: np.ndarray, size: tuple[int, ...], trained: int) -> int:
    """By how much a picture of ``size`` is made smaller, a power of two, for the sake of its ``hole``.

    That is then no deeper than those in pictures of side ``trained``, or the picture no larger than they.
    """
    factor = 1
    while max(size) > factor * trained and _is_deeper(hole, int(_DEEPEST * trained)):
        even = [(0, side % 2) for side in hole.shape]
        padded = np.pad(hole, even, mode="edge")
        hole = padded[::2, ::2] & padded[1::2, ::2] & padded[::2, 1::2] & padded[1::2, 1::2]
        factor *= 2
    return factor


def _is_deeper(hole: np.ndarray, steps: int) -> bool:
    """Whether some of ``hole`` is left without ``steps`` pixels along its edges, but not the picture's."""
    left = hole
    for _ in range(steps):
        if not left.any():
            return False
        left = ~_with_neighbours(~left)
    return bool(left.any())


def _with_neighbours(there: np.ndarray) -> np.ndarray:
    """``there [h, w]`` and the up to four pixels next to each."""
    grown: np.ndarray = there.copy()
    grown[1:] |= there[:-1]
    grown[:-1] |= there[1:]
    grown[:, 1:] |= there[:, :-1]
    grown[:, :-1] |= there[:, 1:]
    return grown


def _grown(run: slice, margin: int, end: int) -> slice:
    """``run`` with ``margin`` more at both ends, between 0 and ``end``, from a multiple of STRIDE on."""
    start = max(run.start - margin, 0)
    return slice(start - start % STRIDE, min(run.stop + margin, end))


def _within(run: slice, around: slice) -> slice:
    """``run`` as counted from the start of ``around``."""
    return slice(run.start - around.start, run.stop - around.start)
