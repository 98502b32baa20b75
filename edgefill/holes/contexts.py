"""Which frames of a picture a network is shown, and which part of the hole it draws in each.

A network sees best at the picture's own resolution, with as much around a hole as its size allows. So each
hole gets a frame of the network's size around it; a hole that is too large for one, a larger frame, which is
then scaled down; a long thin one, several frames side by side. Holes that one frame has room for share it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from edgefill.holes.boxes import Part, extents, grown, united
from edgefill.holes.frames import Frame

_SHARE = 1 / 2  # of a frame's side that a hole takes where it is as large as the network's size or larger
_ENLARGED = 1.25  # what is smaller than the network's size is enlarged so far; more makes it blurred
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
        if _factor(part, cells, size) <= _STRETCH:
            _take_in(part, small, cells, size)
        else:
            found += _of_large(part, known, cells, reach)
    return [*(_around(part, cells, size) for part in small), *found]


def whole(size: tuple[int, int], cells: tuple[int, int]) -> Context:
    """The one context that shows all of a picture of ``size``."""
    everything = slice(0, size[0]), slice(0, size[1])
    return Context(_placed(everything, max(_ratios(size, cells)), cells, size), everything)


def weight(core: Part) -> np.ndarray:
    """How much is made of each pixel of what is drawn in ``core``, [h, w]: the less the nearer its edge.

    Where cores overlap, one drawing fades into the other.
    """
    ramps = []
    for extent in extents(core):
        place = np.arange(extent, dtype=np.float32)
        ramps.append(np.minimum(place + 1, extent - place) / np.float32(extent))
    return np.outer(*ramps)


def factor(extent: tuple[float, float], cells: tuple[int, int], size: tuple[int, int]) -> float:
    """Pixels of a cell, along each side, of the frame around a hole of ``extent`` in a picture of ``size``.

    One, so that the picture is seen as it is; more for a hole that would leave too little context, as far as
    there is any; a little less where the whole picture is smaller than the network's size.
    """
    wanted = max(1.0, max(_ratios(extent, cells)) / _SHARE)
    return max(min(wanted, max(_ratios(size, cells))), 1 / _ENLARGED)


def _factor(part: Part, cells: tuple[int, int], size: tuple[int, int]) -> float:
    return factor(extents(part), cells, size)


def _ratios(size: tuple[float, float], cells: tuple[int, int]) -> tuple[float, float]:
    return size[0] / cells[0], size[1] / cells[1]


def _around(part: Part, cells: tuple[int, int], size: tuple[int, int]) -> Context:
    return Context(_placed(part, _factor(part, cells, size), cells, size), part)


def _placed(part: Part, scale: float, cells: tuple[int, int], size: tuple[int, int]) -> Frame:
    """The frame of ``scale`` pixels a cell with ``part`` in its middle, moved into the picture if it fits."""
    starts, sides = [], []
    for run, count, end in zip(part, cells, size, strict=True):
        side = max(round(scale * count), 1)
        middle = (run.start + run.stop - side) // 2
        starts.append(min(max(middle, 0), end - side) if side < end else (end - side) // 2)
        sides.append(side)
    return Frame(*starts, *sides)


def _clusters(hole: np.ndarray, cells: tuple[int, int]) -> list[Part]:
    """The boxes of what of ``hole [H, W]`` hangs together, where gaps of about a block do not count."""
    block = max(1, int(min(cells) * _EIGHTH))
    occupied = _by_blocks(hole, block)
    clusters = []
    for rows, columns in _components(occupied):
        cut = slice(rows.start * block, rows.stop * block), slice(columns.start * block, columns.stop * block)
        clusters.append(_tight(hole, cut))
    return clusters


def _by_blocks(hole: np.ndarray, block: int) -> np.ndarray:
    """Whether anything of each block of ``hole`` is missing."""
    edges = [np.arange(0, side, block) for side in hole.shape]
    found: np.ndarray = np.logical_or.reduceat(np.logical_or.reduceat(hole, edges[0], 0), edges[1], 1)
    return found


def _tight(hole: np.ndarray, part: Part) -> Part:
    """``part`` without the rows and columns around it in which nothing of ``hole`` is."""
    runs = []
    for axis, run in enumerate(part):
        places = np.flatnonzero(hole[part].any(1 - axis))
        runs.append(slice(run.start + int(places[0]), run.start + int(places[-1]) + 1))
    return runs[0], runs[1]


def _take_in(part: Part, groups: list[Part], cells: tuple[int, int], size: tuple[int, int]) -> None:
    """Puts ``part`` into the first of ``groups`` whose frame has room for it too, or into one of its own."""
    for number, group in enumerate(groups):
        both = united(group, part)
        if _factor(both, cells, size) <= max(_STRETCH, _factor(group, cells, size)):
            groups[number] = both
            return
    groups.append(part)


def _of_large(part: Part, known: np.ndarray, cells: tuple[int, int], reach: int | None) -> list[Context]:
    """The contexts of a hole that is too large for one frame near the picture's own resolution."""
    size = (known.shape[0], known.shape[1])
    coarse = coarseness(~known[grown(part, 1, size)], max(1, int(min(cells) * _EIGHTH)))
    if _factor(part, cells, size) <= _STRETCH * coarse:
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


def coarseness(hole: np.ndarray, deepest: int) -> int:
    """By how much ``hole [H, W]`` has to shrink, a power of two, until it is no deeper than ``deepest``.

    Or no larger, where all of it is missing.
    """
    scale = 1
    while max(hole.shape) > deepest and _is_deeper(hole, deepest):
        padded = np.pad(hole, [(0, side % 2) for side in hole.shape], mode="edge")
        hole = padded[::2, ::2] & padded[1::2, ::2] & padded[::2, 1::2] & padded[1::2, 1::2]
        scale *= 2
    return scale


def _is_deeper(hole: np.ndarray, steps: int) -> bool:
    """Whether some of ``hole`` is left without ``steps`` pixels along its edges, but not the picture's."""
    left = hole
    for _ in range(steps):
        if not left.any():
            return False
        around = np.pad(left, 1, mode="edge")
        left = left & around[:-2, 1:-1] & around[2:, 1:-1] & around[1:-1, :-2] & around[1:-1, 2:]
    return bool(left.any())


def _components(occupied: np.ndarray) -> list[Part]:
    """The boxes of what hangs together in a small grid, also across corners."""
    left = {(int(row), int(column)) for row, column in np.argwhere(occupied)}
    boxes = []
    while left:
        rows, columns = [], []
        waiting = [min(left)]
        left.discard(waiting[0])
        while waiting:
            row, column = waiting.pop()
            rows.append(row)
            columns.append(column)
            near = {(row + down, column + right) for down in (-1, 0, 1) for right in (-1, 0, 1)} & left
            left -= near
            waiting += near
        boxes.append((slice(min(rows), max(rows) + 1), slice(min(columns), max(columns) + 1)))
    return boxes
