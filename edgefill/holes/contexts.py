"""Which frames of a picture a network is shown, and which part of the hole it draws in each.

A network sees best at the picture's own resolution, with as much around a hole as its size allows. So each
hole gets a frame of the network's size around it; a hole that is too large for one, a larger frame, which is
then scaled down; a long thin one, several frames side by side. Holes that one frame has room for share it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgefill.holes.boxes import Part, extents, grown, times, united
from edgefill.holes.frames import Frame, placed, scale_for
from edgefill.holes.islands import any_of_blocks, components, depths, tight

_STRETCH = 1.5  # By so much a frame may be larger than the network's size before holes are taken apart.
_EIGHTH = 1 / 8  # of a frame's side: holes closer than this belong together, no deeper ones may be parted


class Context(NamedTuple):
    """A frame in whole pixels, which may exceed the picture, and the part of the picture that it draws."""

    frame: Frame
    core: Part


def contexts(known: np.ndarray, cells: tuple[int, int], reach: int | None = None) -> list[Context]:
    """The contexts that draw all that is not ``known [H, W]``, for a network of ``cells`` (rows, columns).

    ``reach`` is how far it sees, in cells; None is as far as the frame goes.
    """
    size = (known.shape[0], known.shape[1])
    small: list[Part] = []
    found: list[Context] = []
    for part in _clusters(~known, cells):
        if _scale(part, cells, size) <= _STRETCH:
            _take_in(part, small, cells, size)
        else:
            found += _of_large(part, known, cells, reach)
    return [*(_around(part, cells, size) for part in small), *found]


def whole(size: tuple[int, int], cells: tuple[int, int]) -> Context:
    """The one context that shows all of a picture of ``size``."""
    everything = slice(0, size[0]), slice(0, size[1])
    return Context(_placed(everything, max(size[0] / cells[0], size[1] / cells[1]), cells, size), everything)


def weight(core: Part) -> np.ndarray:
    """How much is made of each pixel of what is drawn in ``core``, [h, w]: the less the nearer its edge.

    Where cores overlap, one drawing fades into the other.
    """
    ramps = []
    for extent in extents(core):
        place = np.arange(extent, dtype=np.float32)
        ramps.append(np.minimum(place + 1, extent - place) / np.float32(extent))
    return np.outer(*ramps)


def _scale(part: Part, cells: tuple[int, int], size: tuple[int, int]) -> float:
    return float(scale_for(_sides(extents(part)), _sides(size), cells))


def _around(part: Part, cells: tuple[int, int], size: tuple[int, int]) -> Context:
    return Context(_placed(part, _scale(part, cells, size), cells, size), part)


def _placed(part: Part, scale: float, cells: tuple[int, int], size: tuple[int, int]) -> Frame:
    begin, end = (_sides(corner) for corner in zip(*((run.start, run.stop) for run in part), strict=True))
    return Frame(*map(int, placed(begin, end, np.float32(scale), _sides(size), cells)))


def _sides(pair: tuple[int, ...]) -> tuple[np.float32, np.float32]:
    rows, columns = map(np.float32, pair)
    return rows, columns


def _clusters(hole: np.ndarray, cells: tuple[int, int]) -> list[Part]:
    """The boxes of what of ``hole [H, W]`` hangs together, where gaps of about a block do not count."""
    block = max(1, int(min(cells) * _EIGHTH))
    return [tight(hole, times(part, block)) for part in components(any_of_blocks(hole, block))]


def _take_in(part: Part, groups: list[Part], cells: tuple[int, int], size: tuple[int, int]) -> None:
    """Puts ``part`` into the first of ``groups`` whose frame has room for it too, or into one of its own."""
    for number, group in enumerate(groups):
        both = united(group, part)
        if _scale(both, cells, size) <= max(_STRETCH, _scale(group, cells, size)):
            groups[number] = both
            return
    groups.append(part)


def _of_large(part: Part, known: np.ndarray, cells: tuple[int, int], reach: int | None) -> list[Context]:
    """The contexts of a hole that is too large for one frame near the picture's own resolution.

    Where it is deep it is seen smaller, and what is thin beside that for itself, as if the deep were known.
    """
    size = (known.shape[0], known.shape[1])
    around, deepest = grown(part, 1, size), max(1, int(min(cells) * _EIGHTH))
    depth = depths(~known[around])
    coarse = _coarseness(int(depth.max()), deepest)
    rest = np.ones_like(known)
    rest[part] = known[part]
    deep = _deep_parts(depth > deepest, around, 2 * deepest)
    for each in deep:
        rest[each] = True
    if rest.all() or not deep:
        return _of_deep(part, known, coarse, cells, reach)
    found = [context for each in deep for context in _of_deep(each, known, coarse, cells, reach)]
    return [*found, *contexts(rest, cells, reach)]


def _deep_parts(deep: np.ndarray, around: Part, margin: int) -> list[Part]:
    """The boxes of what is ``deep`` in the part ``around`` of a picture, with ``margin`` more on each side.

    None reaches beyond ``around``, where other holes may be, and no two have a pixel in common.
    """
    boxes: list[Part] = []
    for part in components(any_of_blocks(deep, margin)):
        box = grown(tight(deep, times(part, margin)), margin, deep.shape)
        while near := [other for other in boxes if _touch(box, other)]:
            for other in near:
                boxes.remove(other)
                box = united(box, other)
        boxes.append(box)
    top, left = around[0].start, around[1].start
    return [(_moved(rows, top), _moved(columns, left)) for rows, columns in boxes]


def _moved(run: slice, by: int) -> slice:
    return slice(run.start + by, run.stop + by)


def _touch(one: Part, other: Part) -> bool:
    return all(a.start <= b.stop and b.start <= a.stop for a, b in zip(one, other, strict=True))


def _of_deep(
    part: Part, known: np.ndarray, coarse: int, cells: tuple[int, int], reach: int | None
) -> list[Context]:
    """The contexts of ``part`` that is seen smaller by about ``coarse``: one, or windows side by side."""
    size = (known.shape[0], known.shape[1])
    if _scale(part, cells, size) <= _STRETCH * coarse:
        return [_around(part, cells, size)]
    return [
        Context(_placed(window, coarse, cells, size), window)
        for window in _windows(part, coarse, cells, reach)
        if not known[window].all()
    ]


def _windows(part: Part, scale: int, cells: tuple[int, int], reach: int | None) -> list[Part]:
    """Windows that cover ``part``, each overlapping the next, with context around them in their frames."""
    runs = []
    for run, count in zip(part, cells, strict=True):
        overlap = margin = int(count * _EIGHTH)
        if reach is not None:
            margin = min(reach, margin)
        side, overlap = scale * (count - 2 * margin), scale * overlap
        extent = run.stop - run.start
        number = max(1, -(-(extent - overlap) // (side - overlap)))
        edges = np.linspace(run.start, run.stop - min(side, extent), number).astype(int).tolist()
        runs.append([slice(start, min(start + side, run.stop)) for start in edges])
    return [(rows, columns) for rows in runs[0] for columns in runs[1]]


def _coarseness(depth: int, deepest: int) -> int:
    """By how much a hole of ``depth`` has to shrink, a power of two, to be no deeper than ``deepest``."""
    scale = 1
    while depth > scale * deepest:
        scale *= 2
    return scale
