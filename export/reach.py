"""How far a completion network sees, found out by what it does.

A gradient is no witness: of dead units and of weak paths it is 0. NaN is one. It goes through every sum,
product, maximum and activation, whatever they are multiplied with; so a NaN in one column of a picture shows
in the output exactly where something depends on that column. What stops a NaN, such as a comparison, is found
by a second look: everything beyond the reach is replaced, and the output must stay bit for bit. And a
picture that is shifted must be drawn as before, but shifted: by what multiple, is measured too.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor

from edgefill.export.inpainter import Inpainter
from edgefill.export.sizes import smallest, takes
from edgefill.model.interface import Sizes

_LENGTHS = 384, 768, 1536  # of the strips that are looked at; who sees beyond the last sees everything
_LONGEST_PERIOD = 64  # pixels of a shift that may be needed for the same drawing, unless the multiple is more
_SAME = 1000  # roundings, of the deviation of what is drawn: no more may a shift change it


def measured_reach(inpainter: Inpainter, sizes: Sizes, side: int) -> tuple[int | None, Sizes]:
    """The pixels that an output sees in each direction, and the sizes by which pictures may be cut.

    The reach is a multiple of the sizes' multiple, which grows to what the network has to be shifted by; or
    None, the whole picture: for a network of one size, one that sees as far as was looked, or one that draws
    by where in the picture it is.
    """
    if sizes.fixed or inpainter.interface.output.dtype == "uint8":  # which knows no NaN
        return None, sizes
    floats = _on_floats(inpainter)
    strips = [_Strips(floats, sizes, across) for across in (False, True)]
    with _exactly():
        lengths = [each.length_that_holds_the_reach() for each in strips]
        if None in lengths:
            return None, sizes
        length = max(each for each in lengths if each)
        finer = _in_double(floats, side)
        periods = [_Strips(finer, sizes, across).period(length) for across in (False, True)]
        if None in periods:
            return None, sizes
        period = max(each for each in periods if each)
        spread = max(each.spread(length, period) for each in strips)
        reach: int | None = -(-spread // period) * period
        while reach is not None and any(each.sees_beyond(reach, period) for each in strips):
            reach = 2 * max(reach, period) if 2 * reach < _LENGTHS[-1] else None
    if reach is None:
        return None, sizes
    return reach, replace(sizes, multiple=period, smallest=smallest(inpainter, period, side))


def _on_floats(inpainter: Inpainter) -> Inpainter:
    """Whole numbers hold no NaN: it is given floats instead."""
    inputs = tuple(replace(each, dtype="float32") for each in inpainter.interface.inputs)
    return replace(inpainter, interface=replace(inpainter.interface, inputs=inputs))


def _in_double(inpainter: Inpainter, side: int) -> Inpainter:
    """The same in float64, which sees weaker paths, unless its code insists on float32."""
    double = replace(inpainter, network=copy.deepcopy(inpainter.network).double(), dtype=torch.float64)
    return double if takes(double, side, side) else inpainter


@contextmanager
def _exactly() -> Iterator[None]:
    """Convolutions as sums: faster ones mix neighbours that cancel, and NaN do not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the flags are on other machines
        with torch.backends.mkldnn.flags(enabled=False):
            yield


class _Strips:
    """Pictures that are long, and no wider than they have to be, and what a network draws of them.

    Each is [N, C, width, length]; ``across``, height and width change places for the network.
    """

    def __init__(self, inpainter: Inpainter, sizes: Sizes, across: bool) -> None:
        self._inpainter, self._sizes, self._across = inpainter, sizes, across
        self._longest = max(_LONGEST_PERIOD, sizes.multiple)
        self._random = torch.Generator().manual_seed(6)

    def length_that_holds_the_reach(self) -> int | None:
        """The shortest of the lengths in which a NaN in the middle does not reach the ends."""
        for length in map(self._even, _LENGTHS):
            if not takes(self._inpainter, *self._turned(self._sizes.smallest, length)):
                return None
            first, last = self._ends(length // 2, length)
            margin = min(first, length - 1 - last)
            if 2 * margin > 5 * self._longest:  # as many pixels are compared, shifted, and seen from others
                return length
        return None

    def period(self, length: int) -> int | None:
        """The fewest pixels by which a shifted picture is drawn as it was."""
        picture, known = self._noise(length + self._longest)
        before = self._draw(picture[..., :length], known[..., :length])
        tolerance = _SAME * torch.finfo(self._inpainter.dtype).eps
        middle = slice((length - self._longest) // 2, (length + self._longest) // 2)
        shift = self._sizes.multiple
        while shift <= self._longest:
            after = self._draw(picture[..., shift : shift + length], known[..., shift : shift + length])
            moved = slice(middle.start + shift, middle.stop + shift)
            if (before[..., moved] - after[..., middle]).abs().max() <= tolerance * before.std():
                return shift
            shift *= 2
        return None

    def spread(self, length: int, period: int) -> int:
        """By how many pixels at most something is seen from where it is.

        Where two places show from the same first to the same last pixel, so does all that is between them.
        """
        start = length // 2 - length // 2 % period
        ends: dict[int, tuple[int, int]] = {}
        runs = [(start, start + period)]
        while runs:
            run = runs.pop()
            for place in run:
                ends[place] = ends.get(place) or self._ends(place, length)
            middle = sum(run) // 2
            if ends[run[0]] != ends[run[1]] and middle not in run:
                runs += [(run[0], middle), (middle, run[1])]
        return max(max(place - first, last - place) for place, (first, last) in ends.items())

    def sees_beyond(self, reach: int, period: int) -> bool:
        """Whether what is drawn at an end changes with what is more than ``reach`` pixels away."""
        length = self._even(reach + 4 * period)
        ends = (
            (slice(0, period), slice(period + reach, None)),
            (slice(length - period, None), slice(0, length - period - reach)),
        )
        shares = (0.0, 0.5, 1.0)
        for (end, beyond), within, outside in product(ends, shares, shares):
            picture, known = self._noise(length, within)
            before = self._draw(picture, known)[..., end]
            other, weight = self._noise(length, outside)
            picture[..., beyond], known[..., beyond] = other[..., beyond], weight[..., beyond]
            if not torch.equal(self._draw(picture, known)[..., end], before):
                return True
        return False

    def _ends(self, place: int, length: int) -> tuple[int, int]:
        """The first and the last column that are NaN where the picture, or its mask, is NaN at ``place``.

        Those of the strip, where nothing shows at all.
        """
        spoiled = torch.zeros(length, dtype=torch.bool)
        for share, of_mask in product((0.0, 1.0), (False, True)):
            picture, known = self._noise(length, share)
            known[..., place] = torch.nan if of_mask else 1.0
            picture[..., place] = torch.nan
            spoiled |= self._draw(picture, known).isnan().flatten(0, 2).any(0)
        there = spoiled.nonzero().flatten().tolist()
        return (there[0], there[-1]) if there else (0, length - 1)

    def _draw(self, picture: Tensor, known: Tensor) -> Tensor:
        if not self._across:
            return self._inpainter(picture, known)
        return self._inpainter(picture.transpose(2, 3), known.transpose(2, 3)).transpose(2, 3)

    def _noise(self, length: int, share: float = 0.5) -> tuple[Tensor, Tensor]:
        """A picture of noise and what is known of it, that ``share`` of it."""
        shape = self._sizes.smallest, length
        picture = torch.rand(1, self._inpainter.interface.channels, *shape, generator=self._random) * 2 - 1
        return picture, (torch.rand(1, 1, *shape, generator=self._random) < share).float()

    def _even(self, length: int) -> int:
        """``length`` or a little more, of the sizes that it takes."""
        unit = self._sizes.multiple
        unit *= max(1, _LONGEST_PERIOD // unit)
        return -(-max(length, self._sizes.smallest) // unit) * unit

    def _turned(self, width: int, length: int) -> tuple[int, int]:
        return (length, width) if self._across else (width, length)
