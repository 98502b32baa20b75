"""What of a hole is blended together: all of it, or bands where it is so large that this takes a gigabyte."""

from __future__ import annotations

import numpy as np

Part = tuple[slice, slice]  # rows and columns
AT_ONCE = 2**22  # pixels that are blended together
OVERLAP = 256  # pixels over which two bands fade into each other


def parts_of(known: np.ndarray) -> tuple[int, list[Part]]:
    """Parts that hold all that is missing and what is next to it, one behind the other along an axis.

    One, unless it is so large that blending takes a gigabyte: then bands that overlap. They lie so that each
    of their rows, or columns, has something known, which is what blending goes by.
    """
    missing = ~known
    whole = _extent(np.any(missing, axis=1)), _extent(np.any(missing, axis=0))
    sides = [run.stop - run.start for run in whole]
    if not all(sides):
        return 0, []
    across = [axis for axis in (0, 1) if np.any(known, axis=1 - axis)[whole[axis]].all() or not known.any()]
    if sides[0] * sides[1] <= AT_ONCE or not across:
        return 0, [whole]
    axis = max(across, key=lambda each: sides[each])
    length = max(AT_ONCE // sides[1 - axis], 2 * OVERLAP)
    begin, end = whole[axis].start, whole[axis].stop
    starts = range(begin, max(end - OVERLAP, begin + 1), length - OVERLAP)
    runs = [slice(start, min(start + length, end)) for start in starts]
    return axis, [(run, whole[1]) if axis == 0 else (whole[0], run) for run in runs]


def _extent(missing: np.ndarray) -> slice:
    """From one before the first to one behind the last that is missing, as far as there are such."""
    places = np.flatnonzero(missing)
    if not len(places):
        return slice(0, 0)
    return slice(max(int(places[0]) - 1, 0), min(int(places[-1]) + 2, len(missing)))


def fade(before: np.ndarray, band: np.ndarray, axis: int) -> None:
    """Lets ``band`` begin as ``before`` ends, with which it shares OVERLAP rows, or columns."""
    ramp = (np.arange(OVERLAP, dtype=band.dtype) + 0.5) / OVERLAP
    old, new = np.moveaxis(before, axis, -1)[..., -OVERLAP:], np.moveaxis(band, axis, -1)
    new[..., :OVERLAP] = old + ramp * (new[..., :OVERLAP] - old)
