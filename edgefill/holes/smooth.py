"""Filling without a network: thin holes go on with the slopes around them, what is deep is even."""

from __future__ import annotations

import numpy as np

from edgefill.holes.blending import harmonic_fill
from edgefill.holes.boxes import grown, within
from edgefill.holes.islands import islands
from edgefill.holes.thin import biharmonic_pixels, with_corners, with_neighbours
from edgefill.pictures.images import from_unit, to_unit

THIN = 10  # pixels: what is no wider is filled biharmonically


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
        # Where the hole goes on, it is thin: there it ends freely.
        around = grown(part, THIN // 2, known.shape)
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


def deep_parts(hole: np.ndarray, width: int) -> np.ndarray:
    """What of ``hole [H, W]`` is wider than ``width`` pixels, and what lies no farther than that around it.

    It is where an octagon of ``width`` + 1 pixels finds room, so that a slanting stroke is as wide as an
    upright one. The picture's border is no end of a hole.
    """
    deep = hole
    if width % 2:
        deep = deep.copy()
        deep[:, :-1] &= deep[:, 1:]
        deep[:-1] &= deep[1:]
    for step in range(width // 2):
        deep = ~(with_corners if step % 2 else with_neighbours)(~deep)
        if not deep.any():
            return deep
    for _ in range(width + width % 2):  # as far as from where it is deep to a square's corner
        deep = hole & with_neighbours(deep)
    return deep
