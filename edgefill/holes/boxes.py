"""Regions of a picture: the box that a user names, and parts as slices of rows and columns."""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

import numpy as np

from edgefill.errors import InputError
from edgefill.limits import shown, whole_number

Part: TypeAlias = tuple[slice, slice]  # rows and columns


class Box(NamedTuple):
    """A region of a picture in pixels."""

    x: int
    y: int
    width: int
    height: int

    @classmethod
    def parse(cls, text: str) -> Box:
        """The box that ``x,y,w,h`` names. Raises InputError."""
        parts = [part.strip() for part in text.split(",")]
        numbers = [whole_number(part.removeprefix("-")) for part in parts]
        if len(numbers) != 4 or None in numbers:
            raise InputError(
                f"cannot use the box {shown(text)!r}: expected x,y,w,h in whole pixels, as in 100,40,256,256"
            )
        return cls(*map(int, parts))

    @property
    def part(self) -> Part:
        return slice(self.y, self.y + self.height), slice(self.x, self.x + self.width)

    def cut(self, array: np.ndarray) -> np.ndarray:
        """The part of ``array [H, W, ...]`` inside the box, as a view."""
        return array[self.part]

    def check(self, name: str, size: tuple[int, int]) -> None:
        """Raises InputError where the box does not lie in the picture ``name`` of ``size``."""
        height, width = size
        inside = self.x >= 0 and self.y >= 0 and self.width > 0 and self.height > 0
        if not (inside and self.x + self.width <= width and self.y + self.height <= height):
            raise InputError(
                f"cannot use the box {','.join(map(str, self))}: {name!r} has {width}×{height} "
                "pixels; expected a box with x + w and y + h within them"
            )


def grown(part: Part, margin: int, size: tuple[int, ...]) -> Part:
    """``part`` and ``margin`` more on each side, as far as a picture of ``size`` goes."""
    rows, columns = (
        slice(max(run.start - margin, 0), min(run.stop + margin, side))
        for run, side in zip(part, size, strict=True)
    )
    return rows, columns


def bounds(there: np.ndarray) -> Part:
    """The smallest part that holds every pixel which is true in ``there [h, w]``, of which there is one."""
    rows, columns = (np.flatnonzero(there.any(axis)) for axis in (1, 0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def within(part: Part, around: Part) -> Part:
    """``part`` as counted from the start of ``around``."""
    rows, columns = (
        slice(run.start - outer.start, run.stop - outer.start)
        for run, outer in zip(part, around, strict=True)
    )
    return rows, columns


def overlap(first: Part, second: Part) -> Part:
    """What lies in both."""
    rows, columns = (
        slice(max(one.start, other.start), min(one.stop, other.stop))
        for one, other in zip(first, second, strict=True)
    )
    return rows, columns


def united(first: Part, second: Part) -> Part:
    """The smallest part that holds both."""
    rows, columns = (
        slice(min(one.start, other.start), max(one.stop, other.stop))
        for one, other in zip(first, second, strict=True)
    )
    return rows, columns


def times(part: Part, factor: int) -> Part:
    """``part``, counted in blocks of ``factor`` pixels, in pixels."""
    rows, columns = (slice(run.start * factor, run.stop * factor) for run in part)
    return rows, columns


def extents(part: Part) -> tuple[int, int]:
    """Rows and columns of ``part``."""
    return part[0].stop - part[0].start, part[1].stop - part[1].start
