"""Filling without a network: thin holes go on with the slopes around them, what is deep is even."""

from __future__ import annotations

import numpy as np

from edgefill.holes.blending import harmonic_fill
from edgefill.holes.boxes import grown, within
from edgefill.holes.islands import islands
from edgefill.holes.thin import biharmonic_pixels, with_neighbours
from edgefill.pictures.images import from_unit, to_unit

THIN = 5  # steps from what is known to the deepest pixel of what is filled biharmonically: 10 pixels wide


def smooth_drawing(values: np.ndarray, known: np.ndarray) -> np.ndarray:
    """What fills the hole of ``values [H, W, C]``, uint8 or uint16, float32 [H, W, C] in [-1, 1].

    0 where ``known [H, W]``, and everywhere where nothing is.
    """
    drawn = np.zeros(values.shape, np.float32)  # What is never touched takes no memory.
    if not known.any():
        return drawn
    hole = ~known
    deep = deep_parts(hole, THIN)
    target = values.copy() if deep.any() else values
    for part, inside in islands(deep):
        around = grown(part, THIN, known.shape)  # Where the hole goes on, it is thin: there it ends freely.
        filled = harmonic_fill(to_unit(values[around]), known[around])[within(part, around)]
        drawn[part][inside] = filled[inside]
        target[part][inside] = from_unit(filled[inside], values.dtype)
    rows, columns, filled = thin_pixels(target, hole & ~deep)
    drawn[rows, columns] = filled
    return drawn


def thin_pixels(values: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows and columns ``[n]`` of the pixels of ``hole [H, W]`` and their biharmonic filling, in [-1, 1].

    ``values [H, W, C]`` are uint8 or uint16.
    """
    rows, columns, filled = biharmonic_pixels(values, hole)
    return rows, columns, np.clip(filled / np.float32(np.iinfo(values.dtype).max / 2) - 1, -1, 1)


def deep_parts(hole: np.ndarray, thin: int) -> np.ndarray:
    """What of ``hole [H, W]`` is deeper than ``thin`` steps, and what of it lies no farther than that around.

    The picture's border is no end of a hole.
    """
    deep = hole
    for _ in range(thin):
        deep = ~with_neighbours(~deep)
        if not deep.any():
            return deep
    for _ in range(2 * thin):
        deep = hole & with_neighbours(deep)
    return deep
