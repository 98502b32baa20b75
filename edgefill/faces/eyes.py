"""The two eyes of a face, from which follows how it lies in a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from edgefill.errors import InputError
from edgefill.limits import shown

_EXPECTED = (
    "expected x,y,x,y in pixels, first the eye that is left in the upright face, and four numbers more for "
    "each further face, as in 310,220,390,224"
)
_FARTHEST = 1e6  # pixels from the picture's corner
_LEAST = 2.0  # pixels between two eyes


class Eyes(NamedTuple):
    """Their middles in pixels; "left" is what is left when the face stands upright."""

    left_x: float
    left_y: float
    right_x: float
    right_y: float

    @property
    def distance(self) -> float:
        """Pixels from one to the other."""
        return math.hypot(self.right_x - self.left_x, self.right_y - self.left_y)

    @property
    def middle(self) -> tuple[float, float]:
        """x and y between them."""
        return (self.left_x + self.right_x) / 2, (self.left_y + self.right_y) / 2


def read_eyes(text: str) -> tuple[float, ...]:
    """The numbers that ``text`` lists with commas. Raises InputError."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"cannot use the eyes {shown(text)!r}: {_EXPECTED}") from None


def eyes_of(numbers: Sequence[float]) -> tuple[Eyes, ...]:
    """Each four of ``numbers`` as Eyes. Raises InputError where they are none."""
    right = len(numbers) % 4 == 0 and all(_is_place(number) for number in numbers)
    pairs = [Eyes(*map(float, numbers[at : at + 4])) for at in range(0, len(numbers), 4)] if right else []
    if not right or any(pair.distance < _LEAST for pair in pairs):
        raise InputError(f"cannot use the eyes {shown(','.join(map(str, numbers)))!r}: {_EXPECTED}")
    return tuple(pairs)


def _is_place(number: object) -> bool:
    if isinstance(number, bool):
        return False
    try:
        return abs(float(number)) <= _FARTHEST  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return False
