"""Filling a hole with what was drawn for it, in the channels of the picture, without a seam.

Each part of it on its own, and a part in bands where it is so large that this would take a gigabyte. Where a
band is cut off, the hole goes on: there it joins the same filling of the picture made smaller. So does what
lies deep in the hole of a large picture, where all is smooth: only what is near an edge is solved for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from PIL import Image

from edgefill.holes.blending import poisson_blend
from edgefill.holes.boxes import Part, grown, within
from edgefill.holes.islands import islands
from edgefill.holes.scaling import scale, scale_known
from edgefill.pictures.images import join_luminance, luminance, split_luminance, to_unit

AT_ONCE = 2**22  # pixels that are filled together
_WORTHWHILE = 16  # parts of such a size in a picture, from which on one is filled outright
_BLOCK, _DEEP = 16, 2  # pixels of a block's side, and blocks from the edge, from which on a hole is deep


@dataclass(frozen=True, eq=False)
class Hole:
    """What is not ``known [h, w]`` of a picture's ``values [h, w, C]``, uint8 or uint16.

    ``drawn [h, w, 1 or 3]`` in [-1, 1] is what fills it, ``colours [h, w, 2]`` the chroma of a grey drawing
    in a colour picture: none unless given. ``blend`` is "poisson" or "none".
    """

    drawn: np.ndarray
    values: np.ndarray
    known: np.ndarray
    colours: np.ndarray | None
    blend: str

    def filled(self) -> Iterator[tuple[Part, np.ndarray]]:
        """Parts that hold all that is missing, and each of them filled, [h, w, C] in [-1, 1]."""
        for part in parts_of(self.known):
            seen = grown(part, 1, self.known.shape)
            source, target = np.clip(self.drawn[seen], -1, 1), to_unit(self.values[seen])
            chroma, known = self._chroma(seen), self.known[seen]
            inside = within(part, seen)
            cut = ~known
            cut[inside] &= self._is_worth_cutting(cut) and _deep(cut)[inside]
            if cut.any():
                rows, columns = np.nonzero(cut)
                places = rows + seen[0].start, columns + seen[1].start
                there = source[rows, columns][:, None], chroma[rows, columns][:, None]
                plain = _in_channels(*there, target.shape[2])[:, 0]
                target[rows, columns] = plain + _sampled(self._coarse_correction, places, self.known.shape)
                known = known | cut
            yield part, _filled(source, target, known, chroma, self.blend)[inside]

    def _is_worth_cutting(self, part: np.ndarray) -> bool:
        """Whether a ``part`` is large enough for the coarse correction, which is of the whole picture."""
        return _WORTHWHILE * part.size > self.known.size > AT_ONCE

    @cached_property
    def _coarse_correction(self) -> np.ndarray:
        """How far the filling is from what was drawn, in the picture's channels, at a smaller size."""
        height, width = self.known.shape
        factor = math.ceil(math.sqrt(height * width / AT_ONCE))
        size = -(-height // factor), -(-width // factor)
        target, share = scale_known(self.values, self.known, size)
        drawn = scale(self.drawn, size, Image.Resampling.BOX)
        colours = self.colours
        chroma = (
            np.zeros((*size, 2), np.float32)
            if colours is None
            else scale(colours, size, Image.Resampling.BOX)
        )
        source = np.clip(drawn, -1, 1)
        plain = _in_channels(source, chroma, target.shape[2])
        correction: np.ndarray = _filled(source, target, share > 0, chroma, self.blend) - plain
        return correction

    def _chroma(self, part: Part) -> np.ndarray:
        if self.colours is None:
            return np.zeros((*self.known[part].shape, 2), np.float32)
        return self.colours[part]


def _deep(hole: np.ndarray) -> np.ndarray:
    """What of ``hole [h, w]`` is in a block that is two blocks and more from all that is none."""
    height, width = hole.shape
    blocks: np.ndarray = np.pad(hole, [(0, -side % _BLOCK) for side in hole.shape])
    blocks = np.logical_and.reduce(blocks.reshape(-(-height // _BLOCK), _BLOCK, -1, _BLOCK), axis=(1, 3))
    for _ in range(_DEEP):
        beside = np.pad(blocks, 1)
        blocks = beside[1:-1, :-2] & beside[1:-1, 1:-1] & beside[1:-1, 2:]
        beside = np.pad(blocks, 1)
        blocks = beside[:-2, 1:-1] & beside[1:-1, 1:-1] & beside[2:, 1:-1]
    return blocks.repeat(_BLOCK, 0)[:height].repeat(_BLOCK, 1)[:, :width]


def parts_of(known: np.ndarray) -> list[Part]:
    """Parts that hold all that is missing and what is next to it: each island, or bands of it."""
    return [band for box, _ in islands(~known) for band in _bands(box)]


def _bands(box: Part) -> list[Part]:
    rows, columns = box
    sides = rows.stop - rows.start, columns.stop - columns.start
    count = -(-sides[0] * sides[1] // AT_ONCE)
    along = rows if sides[0] >= sides[1] else columns
    edges = np.linspace(along.start, along.stop, count + 1).astype(int).tolist()
    runs = [slice(begin, end) for begin, end in pairwise(edges)]
    return [(run, columns) if along is rows else (rows, run) for run in runs]


def _filled(
    source: np.ndarray, target: np.ndarray, known: np.ndarray, chroma: np.ndarray, blend: str
) -> np.ndarray:
    """``target [h, w, C]`` whose hole is ``source [h, w, 1 or 3]``, with ``chroma`` if only that is grey."""
    if source.shape[2] == target.shape[2]:
        return _blended(source, target, known, blend)
    if target.shape[2] == 1:
        return _blended(luminance(source), target, known, blend)
    y, colours = split_luminance(target)
    return join_luminance(_blended(source, y, known, blend), poisson_blend(chroma, colours, known))


def _blended(source: np.ndarray, target: np.ndarray, known: np.ndarray, blend: str) -> np.ndarray:
    if blend == "poisson":
        return poisson_blend(source, target, known)
    return np.where(known[:, :, None], target, source)


def _in_channels(source: np.ndarray, chroma: np.ndarray, channels: int) -> np.ndarray:
    """``source [h, w, 1 or 3]`` in the channels of the picture, as it was drawn."""
    if source.shape[2] == channels:
        return source
    return luminance(source) if channels == 1 else join_luminance(source, chroma)


def _sampled(coarse: np.ndarray, places: tuple[np.ndarray, ...], size: tuple[int, ...]) -> np.ndarray:
    """``coarse [h, w, C]``, which stands for a picture of ``size``, at ``places`` (rows, columns), [N, C]."""
    low, high, share = [], [], []
    for place, side, own in zip(places, size, coarse.shape[:2], strict=True):
        exact = np.clip((place + 0.5) * own / side - 0.5, 0, own - 1)
        low.append(exact.astype(int))
        high.append(np.minimum(low[-1] + 1, own - 1))
        share.append((exact - low[-1]).astype(coarse.dtype)[:, None])
    above = coarse[low[0], low[1]] * (1 - share[1]) + coarse[low[0], high[1]] * share[1]
    below = coarse[high[0], low[1]] * (1 - share[1]) + coarse[high[0], high[1]] * share[1]
    between: np.ndarray = above * (1 - share[0]) + below * share[0]
    return between
