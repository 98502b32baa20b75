"""Pictures with holes that show which values occur within a network, and what is drawn in the holes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from edgefill.errors import InputError
from edgefill.holes.contexts import contexts
from edgefill.holes.frames import Frame, seen
from edgefill.holes.scaling import as_channels
from edgefill.model.interface import Interface
from edgefill.pictures.images import find_pictures, read_picture, to_unit
from edgefill.training.holes import drawn_hole, kinds_of_holes

_CELLS, _FEWEST, _MOST = 2**22, 16, 256  # of all cases, about, and how many cases there are


class Case(NamedTuple):
    """What a network sees of a picture, and what it should draw there; one row each."""

    picture: np.ndarray  # [1, C, h, w] in [-1, 1], where it is missing too
    known: np.ndarray  # [1, 1, h, w], 1 where it is shown, else 0
    hole: np.ndarray  # [h, w] bool: what is missing, as far as there is a picture


def cases_of_pictures(pictures: np.ndarray) -> list[Case]:
    """A case of each of ``pictures``, uint8 [N, C, h, w], or of as many as are enough."""
    size = pictures.shape[2], pictures.shape[3]
    chosen, rng = pictures[_spread(len(pictures), size)], np.random.default_rng(0)
    holes = [drawn_hole(kind, size, rng) for kind in kinds_of_holes(len(chosen), coarse=False)]
    return [
        Case(to_unit(picture)[None], (~hole)[None, None].astype(np.float32), hole)
        for picture, hole in zip(chosen, holes, strict=True)
    ]


def cases_of_folder(folder: str | Path, interface: Interface) -> list[Case]:
    """A case of each picture in ``folder``, or of as many as are enough, in a frame of the interface.

    A hole is cut into the picture, and the frame is that in which ``edgefill complete`` shows it where it is
    no stroke. Raises InputError where the folder holds no picture, or one that cannot be read.
    """
    if not Path(folder).is_dir():
        raise InputError(
            f"the calibration {folder} is no folder; expected one with pictures like those to come"
        )
    files = find_pictures([folder])
    if not files:
        raise InputError(f"the folder {folder} holds no pictures to calibrate by; give one that does")
    chosen, rng = _spread(len(files), interface.cells), np.random.default_rng(0)
    kinds = kinds_of_holes(len(chosen), coarse=False)
    return [_framed(files[number], interface, kind, rng) for number, kind in zip(chosen, kinds, strict=True)]


def feeds_of(cases: Sequence[Case], interface: Interface) -> Iterator[dict[str, np.ndarray]]:
    """What the network is given of each of ``cases``, made one after another."""
    for case in cases:
        rows = interface.batch or 1
        yield interface.feeds(*(np.repeat(each, rows, 0) for each in (case.picture, case.known)))


def _spread(count: int, cells: tuple[int, int]) -> np.ndarray:
    """The numbers of as many of ``count`` pictures as are enough, evenly spaced."""
    enough = min(count, max(_FEWEST, min(_MOST, _CELLS // (cells[0] * cells[1]))))
    return np.arange(enough) * count // enough


def _framed(file: Path, interface: Interface, kind: str, rng: np.random.Generator) -> Case:
    picture = read_picture(file)
    values = as_channels(to_unit(picture.values), interface.channels).transpose(2, 0, 1)
    shown = ~drawn_hole(kind, picture.size, rng)
    if shown.all():  # of a picture of a few pixels
        shown[:] = False
    around = contexts(shown, interface.cells, interface.reach)[0].frame
    frame = Frame(*(np.float32(each) for each in around))
    sight = seen(values, shown.astype(np.float32), frame, interface.cells)
    whole = seen(values, np.ones(picture.size, np.float32), frame, interface.cells)
    means = whole.means * (1 - sight.known) + sight.means * sight.known
    return Case(
        means[None].astype(np.float32), sight.known[None], (sight.known[0] == 0) & (whole.known[0] > 0)
    )
